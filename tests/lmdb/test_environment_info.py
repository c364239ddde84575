"""What an environment tells about itself, and about who reads it."""

from __future__ import annotations

import mmap
import subprocess
import sys

import pytest

from zlmdb import lmdb

STAT = {"psize", "depth", "branch_pages", "leaf_pages", "overflow_pages", "entries"}


def test_stat(env):
    assert env.stat() == {**dict.fromkeys(STAT, 0), "psize": mmap.PAGESIZE}
    with env.begin(write=True) as txn:
        for i in range(1000):
            txn.put(b"%04d" % i, b"x" * 100)
        txn.put(b"large", b"x" * 10000)
        inside = txn.stat()
    stat = env.stat()
    assert set(stat) == STAT
    assert stat == inside
    assert (stat["entries"], stat["depth"], stat["branch_pages"], stat["overflow_pages"]) == (1001, 2, 1, 3)
    assert stat["leaf_pages"] > 20


def test_stat_takes_no_database(env):
    with pytest.raises(TypeError):
        env.stat(env.open_db(b"db"))


def test_stat_of_a_database(env):
    db = env.open_db(b"db")
    with env.begin(write=True) as txn:
        txn.put(b"a", b"b", db=db)
        txn.put(b"c", b"d", db=db)
        assert (txn.stat(db)["entries"], txn.stat()["entries"]) == (2, 1)
    with env.begin(db=db) as txn:
        assert txn.stat() == txn.stat(db)


def test_info(open_env, engine):
    env = open_env(map_size=1 << 21, max_readers=7)
    info = env.info()
    assert list(info) == ["map_addr", "map_size", "last_pgno", "last_txnid", "max_readers", "num_readers"]
    assert (info["map_size"], info["max_readers"], info["last_pgno"], info["last_txnid"]) == (
        1 << 21,
        7,
        1,
        0,
    )
    assert bool(info["map_addr"]) == bool(engine)
    with env.begin(write=True) as txn:
        txn.put(b"a", b"b")
    assert env.info()["last_txnid"] == 1
    assert env.info()["last_pgno"] == 2


def test_map_address_is_unsigned_and_full_width(open_env, engine):
    address = open_env().info()["map_addr"]
    assert (address > 1 << 32) == bool(engine)


def test_limits(open_env):
    env = open_env(max_readers=17)
    assert env.max_readers() == 17
    assert type(env.max_key_size()) is int


def test_readers(env):
    assert env.readers() == "(no active readers)\n"
    first, second = env.begin(), env.begin()
    header, *lines = env.readers().splitlines()
    assert "pid" in header
    assert len(lines) == 2
    first.abort()
    second.abort()
    del first, second
    assert env.readers() == "(no active readers)\n"
    assert env.reader_check() == 0


DIES = "env = lmdb.open(sys.argv[1], max_readers=int(sys.argv[2]))\ntxn = env.begin()\nos._exit(0)"


def test_dead_reader(open_env, tmp_path, run_child):
    env = open_env()
    assert run_child(DIES, tmp_path / "env", 126).returncode == 0
    assert len(env.readers().splitlines()) == 2
    assert env.reader_check() == 1
    assert env.reader_check() == 0
    assert env.readers() == "(no active readers)\n"


def test_slots_of_the_dead_are_cleared_before_readers_full(open_env, tmp_path, run_child):
    env = open_env(max_readers=2)
    for _dead in range(2):
        assert run_child(DIES, tmp_path / "env", 2).returncode == 0
    assert len(env.readers().splitlines()) == 3
    with env.begin(), env.begin():
        with pytest.raises(lmdb.ReadersFullError, match="max_readers") as caught:
            env.begin()
        assert caught.value.code == -30790
    env.begin().abort()


def test_slots_of_the_living_are_not(open_env, tmp_path):
    env = open_env(max_readers=1)
    env.close()
    program = (
        "import sys; from zlmdb import lmdb\n"
        "env = lmdb.open(sys.argv[1], max_readers=1)\n"
        "txn = env.begin(); print(flush=True); sys.stdin.readline()\n"
        "print(txn.get(b'key'))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, tmp_path / "env"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        process.stdout.readline()
        with pytest.raises(lmdb.ReadersFullError):
            open_env(max_readers=1)
        assert process.communicate("\n")[0] == "None\n"
    assert process.returncode == 0


def test_sync(open_env):
    env = open_env(sync=False, metasync=False)
    with env.begin(write=True) as txn:
        txn.put(b"a", b"b")
    assert env.sync() is None
    assert env.sync(True) is None
    assert env.sync(force=True) is None


def test_context_manager(open_env):
    with open_env() as env:
        assert env.stat()["entries"] == 0
    with pytest.raises(lmdb.Error):
        env.stat()
    with pytest.raises(ZeroDivisionError), open_env():
        raise ZeroDivisionError
    open_env()
