"""Closing ends everything that is open, waits for who writes, and never crashes those who still read."""

from __future__ import annotations

import gc
import threading
import weakref
from contextlib import suppress

import pytest

from zlmdb import lmdb


def put(env, key=b"key", value=b"value"):
    with env.begin(write=True) as txn:
        return txn.put(key, value)


def test_twice(env):
    assert env.close() is None
    assert env.close() is None


def test_with_gives_the_environment_itself_and_closes(open_env):
    env = open_env()
    with env as entered:
        assert entered is env
        put(env)
    with pytest.raises(lmdb.Error, match="closed"):
        env.stat()
    assert open_env().get(b"key") == b"value"


def test_with_closes_on_an_exception_and_lets_it_through(open_env):
    with pytest.raises(ZeroDivisionError), open_env() as env:
        raise ZeroDivisionError
    with pytest.raises(lmdb.Error, match="closed"):
        env.stat()
    open_env()


def test_with_accepts_an_environment_closed_inside(open_env):
    with open_env() as env:
        env.close()


def test_what_needs_no_file_still_answers(env, engine):
    env.close()
    assert env.lib_version()[0] == engine
    assert env.readonly is False


def test_own_write_transaction_is_aborted(env, open_env):
    put(env)
    txn = env.begin(write=True)
    txn.put(b"key", b"lost")
    child = env.begin(write=True, parent=txn)
    child.put(b"other", b"lost")
    env.close()
    for finished in (child, txn):
        with pytest.raises(lmdb.Error, match="closed"):
            finished.commit()
        finished.abort()
    env = open_env()
    assert env.getmulti([b"key", b"other"]) == [(b"key", b"value")]
    put(env)


def test_own_write_transaction_gives_up_the_writers_place(env, tmp_path, engine, run_child):
    """To other processes, too."""
    txn = env.begin(write=True)
    env.close()
    program = (
        "env = lmdb.open(sys.argv[1], lib_version=int(sys.argv[2]))\n"
        "with env.begin(write=True) as txn: print(txn.put(b'a', b'b'))"
    )
    assert run_child(program, tmp_path / "env", engine).stdout == "True\n"
    del txn


@pytest.mark.parametrize("spares", [0, 3])
def test_reader_slots_are_given_up(open_env, tmp_path, run_child, engine, spares):
    env = open_env(max_spare_txns=spares)
    readers = [env.begin() for _ in range(4)]
    del readers[:2]
    env.close()
    program = "env = lmdb.open(sys.argv[1], lib_version=int(sys.argv[2])); print(env.readers(), end='')"
    assert run_child(program, tmp_path / "env", engine).stdout == "(no active readers)\n"


def repeat(use, *args):
    while True:
        use(*args)


def wait_until_closing(env):
    with pytest.raises(lmdb.Error, match="closed"):
        repeat(env.stat)


def test_waits_for_a_write_transaction_of_another_thread(env, open_env, in_thread):
    """What that writes meanwhile counts."""
    writing, order = threading.Event(), []

    def write():
        with env.begin(write=True) as txn:
            writing.set()
            wait_until_closing(env)
            for i in range(200):
                txn.put(b"%d" % i, bytes(2000))
            order.append("written")

    writer = in_thread(write)
    assert writing.wait(30)
    env.close()
    order.append("closed")
    writer.result()
    assert order == ["written", "closed"]
    assert open_env().stat()["entries"] == 200


def test_copy_that_waits_for_a_writer(env, in_thread, tmp_path):
    """One thread writes and closes, another waits in copy() for the writer to end: none may wait for ever."""
    copying = threading.Event()
    (tmp_path / "copy").mkdir()

    def copy():
        copying.set()
        env.copy(str(tmp_path / "copy"))

    env.begin(write=True)
    copier = in_thread(copy)
    assert copying.wait(30)
    env.close()
    with suppress(lmdb.Error):  # if it was waiting
        copier.result()


def test_after_another_thread_has_aborted_a_write_transaction(run_child, tmp_path, engine):
    """The lock of that thread is in memory that it uses again when it next locks something."""
    program = (
        "import threading\n"
        "path, engine = sys.argv[1], int(sys.argv[2])\n"
        "begun, closed = threading.Event(), threading.Event()\n"
        "def work():\n"
        "    txns.append(env.begin(write=True)); begun.set(); closed.wait()\n"
        "    with lmdb.open(path + '2', lib_version=engine) as other, other.begin(write=True) as txn:\n"
        "        print(txn.put(b'k', b'v'))\n"
        "txns = []\n"
        "env = lmdb.open(path, lib_version=engine)\n"
        "thread = threading.Thread(target=work); thread.start(); begun.wait()\n"
        "txns.pop().abort(); env.close(); closed.set(); thread.join()\n"
        "with lmdb.open(path, lib_version=engine) as env, env.begin(write=True) as txn: print(txn.id())"
    )
    result = run_child(program, tmp_path / "env", engine)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines() == ["True", "1"]


def test_a_waiting_writer_gets_an_error(env, in_thread):
    """One thread holds the writer's place, one waits for it, one closes: the waiting one must not hang."""
    held = threading.Event()

    def hold():
        with env.begin(write=True) as txn:
            held.set()
            wait_until_closing(env)
            assert txn.put(b"key", b"value")

    def wait():
        with pytest.raises(lmdb.Error, match="closed"):
            env.begin(write=True)

    holder = in_thread(hold)
    assert held.wait(30)
    waiter = in_thread(wait)
    env.close()
    holder.result()
    waiter.result()


def test_by_many_threads_at_once(open_env, in_thread):
    for _round in range(10):
        env = open_env()
        barrier = threading.Barrier(4)

        def close(env=env, barrier=barrier):
            barrier.wait()
            env.close()

        for thread in [in_thread(close) for _ in range(4)]:
            thread.result()


@pytest.mark.parametrize("use", ["get", "iterate", "one-shot", "status", "begin"])
def test_while_others_read(open_env, in_thread, use):
    """They get an error, at any point of what they do."""
    uses = {
        "get": lambda env, txn: txn.get(b"7"),
        "iterate": lambda env, txn: list(txn.cursor()),
        "one-shot": lambda env, txn: env.get(b"7"),
        "status": lambda env, txn: (env.stat(), env.info(), env.readers(), env.flags()),
        "begin": lambda env, txn: env.begin().abort(),
    }
    for _round in range(5):
        env = open_env()
        with env.begin(write=True) as txn:
            for i in range(50):
                txn.put(b"%d" % i, bytes(300))
        barrier = threading.Barrier(3)

        def read(env=env, barrier=barrier):
            txn = env.begin()
            barrier.wait()
            with pytest.raises(lmdb.Error) as caught:
                repeat(uses[use], env, txn)
            return caught.value.code

        readers = [in_thread(read) for _ in range(2)]
        barrier.wait()
        env.close()
        assert [thread.result() for thread in readers] == [0, 0]


def test_ends_iterators(env):
    with env.begin(write=True) as txn:
        for i in range(500):
            txn.put(b"%d" % i, bytes(100))
    txn = env.begin()
    iterators = [iter(txn.cursor()), txn.cursor().iterprev(), txn.items(), txn.keys(prefix=b"1")]
    for iterator in iterators:
        next(iterator)
    env.close()
    for iterator in iterators:
        with pytest.raises(lmdb.Error, match="closed"):
            for _item in iterator:
                pass


def test_views_raise_afterwards(env):
    put(env)
    txn = env.begin(buffers=True)
    view = txn.get(b"key")
    env.close()
    with pytest.raises(ValueError, match="released"):
        bytes(view)


def test_handles_keep_their_flags(env):
    db = env.open_db(b"db", dupsort=True)
    env.close()
    assert db.flags()["dupsort"]


def test_the_handle_of_a_closed_environment_fits_no_other(env, open_env):
    db = env.open_db(b"db")
    env.close()
    with open_env().begin() as txn, pytest.raises(lmdb.InvalidParameterError):
        txn.get(b"key", db=db)


# -- collection --


def test_collection_closes(open_env, tmp_path, engine):
    env = lmdb.open(str(tmp_path / "env"), lib_version=engine)
    put(env)
    del env
    gc.collect()
    assert open_env().get(b"key") == b"value"


def test_collected_without_close(tmp_path, engine):
    """Used in every way that could tie it to itself."""
    env = lmdb.open(str(tmp_path / "env"), lib_version=engine, max_dbs=4, max_spare_txns=2)
    db = env.open_db(b"db")
    put(env)
    env.dbs()
    env.get(b"key")
    with env.begin(db=db, buffers=True) as txn, txn.cursor() as cursor:
        list(cursor)
        list(txn.items())
    died = []
    reference = weakref.ref(env, died.append)
    del env, txn, cursor
    gc.collect()
    assert reference() is None
    assert len(died) == 1
    assert db.flags()["dupsort"] is False


def test_a_transaction_keeps_its_environment(tmp_path, engine):
    env = lmdb.open(str(tmp_path / "env"), lib_version=engine)
    put(env)
    cursor = env.begin().cursor()
    reference = weakref.ref(env)
    del env
    gc.collect()
    assert cursor.get(b"key") == b"value"
    del cursor
    gc.collect()
    assert reference() is None


def test_collection_during_a_write_undoes_it(open_env, tmp_path, engine):
    env = lmdb.open(str(tmp_path / "env"), lib_version=engine)
    txn = env.begin(write=True)
    txn.put(b"key", b"lost")
    del env, txn
    gc.collect()
    env = open_env()
    assert env.get(b"key") is None
    put(env)


def test_at_the_end_of_the_program(run_child, tmp_path, engine):
    """Whatever order the interpreter drops things in, nothing is printed, and the exit is clean."""
    program = (
        "env = lmdb.open(sys.argv[1], lib_version=int(sys.argv[2]), max_spare_txns=2)\n"
        "with env.begin(write=True) as txn: txn.put(b'a', b'b')\n"
        "reader = env.begin(buffers=True); view = reader.get(b'a')\n"
        "cursor = reader.cursor(); items = iter(cursor); next(items)\n"
        "writer = env.begin(write=True); env.me = [env, reader, cursor, items, writer]\n"
    )
    result = run_child(program, tmp_path / "env", engine)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_an_environment_that_outlives_its_modules_is_closed_silently(run_python):
    """A reference from `sys` keeps the variables of the program until those of the package are gone."""
    program = "import sys\nfrom zlmdb import lmdb\nenv = lmdb.open('db')\nsys.excepthook = lambda *_: env\n"
    done = run_python("-c", program)
    assert (done.returncode, done.stderr) == (0, "")


CLEARED = """
env = lmdb.open("env", lib_version=int(sys.argv[1]))
with env.begin(write=True) as txn:
    txn.put(b"k", b"v")
readers = [env.begin(), env.begin(buffers=True)]
scan = iter(readers[0].cursor())
next(scan)
writer = env.begin(write=True)
left = [writer.cursor(), writer.cursor(), scan, writer, env]
for name, module in list(sys.modules.items()):
    if name.startswith("zlmdb."):
        vars(module).update(dict.fromkeys(vars(module)))
del left, scan, readers, writer, txn, env
"""


def test_what_outlives_the_modules_ends_without_a_word(run_child, engine):
    """At its end the interpreter clears modules: without a GIL, often before it finds the last objects."""
    done = run_child(CLEARED, engine)
    assert (done.returncode, done.stderr) == (0, "")
