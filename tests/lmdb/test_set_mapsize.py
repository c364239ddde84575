"""Resizing the map ends what reads from it, keeps the handles of databases, and loses nothing."""

from __future__ import annotations

import errno
import threading
import time
from contextlib import suppress

import pytest

from zlmdb import lmdb


def test_grows(open_env):
    env = open_env(map_size=1 << 20)
    with pytest.raises(lmdb.MapFullError), env.begin(write=True) as txn:
        txn.put(b"key", bytes(2 << 20))
    env.set_mapsize(1 << 23)
    assert env.info()["map_size"] == 1 << 23
    with env.begin(write=True) as txn:
        txn.put(b"key", bytes(2 << 20))
    for size in (1 << 24, 1 << 22, 1 << 25):
        env.set_mapsize(size)
        assert len(env.get(b"key")) == 2 << 20


def test_shrinks_no_further_than_the_data(open_env):
    env = open_env(map_size=1 << 23)
    with env.begin(write=True) as txn:
        txn.put(b"key", bytes(2 << 20))
    env.set_mapsize(4096)
    assert 2 << 20 < env.info()["map_size"] < 1 << 23
    assert len(env.get(b"key")) == 2 << 20


def test_argument(env):
    with pytest.raises(OverflowError):
        env.set_mapsize(-1)
    with pytest.raises(TypeError):
        env.set_mapsize("1")
    with pytest.raises(OverflowError, match="map_size must be <="):
        env.set_mapsize(1 << 64)
    assert env.set_mapsize(1 << 22) is None


@pytest.mark.parametrize("writemap", [False, True])
def test_failure_keeps_the_map(open_env, tmp_path, engine, run_child, writemap):
    """LMDB unmaps first, and would then have no map. In a child, since that crashes."""
    program = (
        "path, engine, writemap = sys.argv[1], int(sys.argv[2]), sys.argv[3] == 'True'\n"
        "env = lmdb.open(path, map_size=1 << 20, lib_version=engine, writemap=writemap)\n"
        "with env.begin(write=True) as txn: txn.put(b'key', b'value')\n"
        "try: env.set_mapsize(1 << 62)\n"
        "except lmdb.Error as error: print(type(error).__name__)\n"
        "print(env.info()['map_size'], env.stat()['entries'], env.get(b'key'))\n"
        "with env.begin(write=True) as txn: print(txn.put(b'key', b'new'))\n"
        "env.set_mapsize(1 << 22); print(env.get(b'key')); env.close()"
    )
    result = run_child(program, tmp_path / "env", engine, writemap)
    assert result.returncode == 0, result.stderr
    refused = "Error" if writemap else "MemoryError"  # with writemap the file cannot be as long, first of all
    assert result.stdout.splitlines() == [refused, "1048576 1 b'value'", "True", "b'new'"]


@pytest.mark.parametrize("grow", [False, True])
def test_a_file_that_may_not_grow_keeps_the_map(open_env, tmp_path, engine, run_child, grow):
    program = (
        "import resource, signal\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "path, engine, grow = sys.argv[1], int(sys.argv[2]), sys.argv[3] == 'True'\n"
        "env = lmdb.open(path, map_size=1 << 20, lib_version=engine, writemap=True, grow=grow)\n"
        "with env.begin(write=True) as txn: txn.put(b'key', b'value')\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 21, 1 << 21))\n"
        "try: env.set_mapsize(1 << 24)\n"
        "except lmdb.Error as error: print(error.code)\n"
        "print(env.info()['map_size'], env.get(b'key'))\n"
        "with env.begin(write=True) as txn: print(txn.put(b'key', b'new'))"
    )
    result = run_child(program, tmp_path / "env", engine, grow)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines() == [str(errno.EFBIG), "1048576 b'value'", "True"]


def test_an_interruption_does_not_leave_it_resizing(env, in_thread, monkeypatch):
    """Every other thread would wait for the end of it."""

    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr(env, "_invalidate_batches", interrupted)
    with pytest.raises(KeyboardInterrupt):
        env.set_mapsize(1 << 22)
    monkeypatch.undo()
    assert in_thread(env.stat).result()["entries"] == 0
    env.set_mapsize(1 << 23)
    assert env.info()["map_size"] == 1 << 23


def test_closed_environment(env):
    env.close()
    with pytest.raises(lmdb.Error, match="closed"):
        env.set_mapsize(1 << 22)


def test_refused_during_a_write_of_another_thread(env, in_thread):
    txn = env.begin(write=True)
    with pytest.raises(lmdb.Error, match="write transaction is active"):
        in_thread(env.set_mapsize, 1 << 24).result()
    txn.put(b"a", b"b")
    txn.commit()
    assert env.get(b"a") == b"b"


def test_in_a_read_only_environment(open_env):
    with open_env() as env, env.begin(write=True) as txn:
        txn.put(b"a", b"b")
    env = open_env(readonly=True)
    env.set_mapsize(1 << 24)
    assert env.get(b"a") == b"b"


def test_refused_during_a_write(env):
    with env.begin(write=True) as txn:
        txn.put(b"a", b"b")
        with pytest.raises(lmdb.Error, match="write transaction is active") as caught:
            env.set_mapsize(1 << 24)
        assert caught.value.code == 0
        txn.put(b"c", b"d")
    env.set_mapsize(1 << 24)
    assert env.getmulti([b"a", b"c"]) == [(b"a", b"b"), (b"c", b"d")]


def test_ends_readers_and_keeps_handles(open_env):
    env = open_env(max_spare_txns=2)
    db = env.open_db(b"db", dupsort=True)
    with env.begin(write=True) as txn:
        txn.put(b"a", b"b")
        txn.put(b"c", b"d", db=db)
    spare = env.begin()
    reader = env.begin()
    spare.abort()
    del spare
    cursor = reader.cursor()
    cursor.first()
    iterator = reader.cursor(db).iternext()
    env.set_mapsize(1 << 24)
    for use in (lambda: reader.get(b"a"), cursor.key, cursor.next, lambda: next(iterator), reader.commit):
        with pytest.raises(lmdb.Error):
            use()
    reader.abort()
    with env.begin(db=db) as txn:
        assert txn.get(b"c") == b"d"
        assert txn.get(b"a", db=env.open_db()) == b"b"
    assert env.open_db(b"db") is db
    assert db.flags()["dupsort"]


def test_views_raise_afterwards(env):
    with env.begin(write=True) as txn:
        txn.put(b"key", b"value")
    reader = env.begin(buffers=True)
    view = reader.get(b"key")
    part = view[1:3]
    env.set_mapsize(1 << 24)
    with pytest.raises(ValueError, match="released"):
        bytes(view)
    with suppress(ValueError):
        bytes(part)  # derived, so that it may not be released: it must not crash


def test_adopts_the_size_that_another_process_set(open_env, tmp_path, run_child):
    env = open_env(map_size=1 << 20)
    program = (
        "env = lmdb.open(sys.argv[1], map_size=1 << 24)\n"
        "with env.begin(write=True) as txn: txn.put(b'key', bytes(4 << 20))"
    )
    assert run_child(program, tmp_path / "env").returncode == 0
    with pytest.raises(lmdb.MapResizedError, match="set_mapsize"):
        env.begin()
    with pytest.raises(lmdb.MapResizedError):
        env.open_db(b"db")
    env.set_mapsize(0)
    assert env.info()["map_size"] >= 4 << 20
    assert len(env.get(b"key")) == 4 << 20


def test_waits_for_nobody_who_only_holds_a_reader(env, in_thread):
    reader = env.begin()
    in_thread(env.set_mapsize, 1 << 24).result()
    with pytest.raises(lmdb.Error):
        reader.get(b"key")


def test_under_load(open_env, in_thread):
    """Two seconds of readers, writers and others, while the map is resized: only LMDB's errors may happen."""
    env = open_env(map_size=1 << 22, max_readers=64)
    with env.begin(write=True) as txn:
        for i in range(100):
            txn.put(b"%d" % i, bytes(100))
    end = time.monotonic() + 2
    done = dict.fromkeys(["read", "write", "iterate", "ask", "resize"], 0)

    def work(name, step):
        while time.monotonic() < end:
            try:
                step()
                done[name] += 1
            except (lmdb.Error, ValueError):  # the latter from views that the resizing has released
                pass

    def read():
        with env.begin() as txn:
            for i in range(100):
                assert txn.get(b"%d" % i) == bytes(100)

    def iterate():
        with env.begin(buffers=True) as txn:
            for _key, value in txn.cursor():
                assert len(value) == 100

    def write():
        with env.begin(write=True) as txn:
            txn.put(b"7", bytes(100))

    def ask():
        env.stat(), env.info(), env.readers(), env.get(b"3")

    def resize(sizes=[1 << 22, 1 << 23, 1 << 24]):  # noqa: B006
        sizes.append(sizes.pop(0))
        env.set_mapsize(sizes[0])

    threads = [in_thread(work, "read", read) for _ in range(3)]
    threads += [
        in_thread(work, "iterate", iterate),
        in_thread(work, "write", write),
        in_thread(work, "ask", ask),
    ]
    threads += [in_thread(work, "resize", resize)]
    for thread in threads:
        thread.result()
    assert all(done.values()), done
    read()
    write()
    assert threading.active_count() < 20


@pytest.mark.parametrize("grow", [False, True])
def test_a_smaller_map_does_not_shorten_the_file(open_env, tmp_path, run_child, grow):
    """With writemap the file is as long as the map, and another process may need all of it."""
    env = open_env(map_size=1 << 24, writemap=True)
    size = (tmp_path / "env" / "data.mdb").stat().st_size
    with env.begin(write=True) as txn:
        txn.put(b"large", bytes(8 << 20))  # not committed yet: a newcomer does not know of it
        program = (
            "env = lmdb.open(sys.argv[1], map_size=1 << 21, writemap=True, grow=bool(int(sys.argv[2])))\n"
            "env.set_mapsize(1 << 22)\n"
            "print(env.stat()['entries'])"
        )
        result = run_child(program, tmp_path / "env", int(grow))
        assert (result.stdout, result.stderr) == ("0\n", "")
        assert (tmp_path / "env" / "data.mdb").stat().st_size == size
    assert len(env.get(b"large")) == 8 << 20


def test_another_thread_closes_meanwhile(open_env, in_thread, monkeypatch):
    """Part of the resizing is Python's, and lets other threads run: closing waits for the rest of it."""
    env = open_env()
    invalidate_batches = env._invalidate_batches
    closing = []

    def cut_while_another_closes():
        if not closing:
            closing.append(threading.current_thread())
            closing[0] = in_thread(env.close)
            with pytest.raises(lmdb.Error, match="closed"):  # as soon as it has begun
                env.stat()
        invalidate_batches()

    monkeypatch.setattr(env, "_invalidate_batches", cut_while_another_closes)
    env.set_mapsize(1 << 22)
    assert closing[0].result() is None
    open_env()


def test_a_finalizer_closes_meanwhile(open_env, monkeypatch):
    """It runs in the thread that resizes, and so cannot wait for it."""
    env = open_env()
    monkeypatch.setattr(env, "_invalidate_batches", lambda: monkeypatch.undo() or env.close() or False)
    with pytest.raises(lmdb.Error, match="closed"):
        env.set_mapsize(1 << 22)
    open_env()
