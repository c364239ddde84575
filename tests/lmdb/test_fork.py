"""A forked child leaves its parent's environment alone, also when it drops what it inherited."""

from __future__ import annotations

import os

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork()")

PREPARE = """
import gc
spares, engine = int(sys.argv[2]), int(sys.argv[1])
env = lmdb.open("env", map_size=1 << 30, max_dbs=2, max_spare_txns=spares, lib_version=engine)
with env.begin(write=True) as txn:
    for i in range(100):
        txn.put(b"%03d" % i, b"v%d" % i)

def fork(function):
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            function()
            code = 0
        except BaseException:
            import traceback
            traceback.print_exc()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
"""

PROGRAMS = {
    "a child that exits leaves the parent's readers": """
txn = env.begin()
before = env.readers()
assert fork(lambda: None) == 0
assert env.readers() == before != "(no active readers)\\n"
assert txn.get(b"042") == b"v42"
""",
    "a child that drops what it inherited leaves the parent's transactions": """
reader, writer = env.begin(), env.begin(write=True)
cursor, iterator = writer.cursor(), writer.cursor().iternext()
next(iterator)
before = env.readers()
writer.put(b"k", b"v")
def drop():
    global env, reader, writer, cursor, iterator
    iterator = cursor = writer = reader = env = None
    gc.collect()
assert fork(drop) == 0
assert env.readers() == before
assert reader.get(b"042") == b"v42"
writer.put(b"l", b"w")
writer.commit()
assert env.get(b"k") == b"v" and env.get(b"l") == b"w"
""",
    "a child that closes and aborts what it inherited leaves the parent's transactions": """
reader, writer = env.begin(), env.begin(write=True)
cursor = writer.cursor()
before = env.readers()
def close():
    cursor.close()
    writer.abort()
    reader.abort()
    env.close()
assert fork(close) == 0
assert env.readers() == before
assert reader.get(b"042") == b"v42"
writer.put(b"k", b"v")
writer.commit()
assert env.get(b"k") == b"v"
""",
    "a child cannot commit its parent's transaction": """
writer = env.begin(write=True)
writer.put(b"k", b"child?")
def commit():
    try:
        writer.commit()
    except lmdb.Error:
        pass
assert fork(commit) == 0
writer.abort()
assert env.get(b"k") is None
""",
    "a child opens the environment for itself": """
env.begin().abort()
def use():
    with lmdb.open("env", lib_version=int(sys.argv[1])) as own:
        with own.begin(write=True) as txn:
            txn.put(b"child", b"was here")
        assert own.get(b"042") == b"v42"
def use_after_closing_the_inherited():
    env.close()
    use()
assert fork(use_after_closing_the_inherited) == 0
assert env.get(b"child") == b"was here"
""",
    "a spare reader of the parent is not the child's": """
env.begin().abort()
before = env.readers()
def read():
    try:
        txn = env.begin()
        txn.get(b"042")
        txn.abort()
    except lmdb.Error:
        pass
assert fork(read) == 0
assert env.reader_check() <= 1
with env.begin() as txn:
    assert txn.get(b"042") == b"v42"
with env.begin(write=True) as txn:
    txn.put(b"042", b"new")
with env.begin() as txn:
    assert txn.get(b"042") == b"new"
""",
    "a child that dies with a reader of its own leaves a slot to clear": """
def die():
    env.close()
    own = lmdb.open("env", lib_version=int(sys.argv[1]))
    txn = own.begin()
    os.kill(os.getpid(), 9)
assert fork(die) == -9
assert env.reader_check() == 1
assert env.reader_check() == 0
""",
    "fork while threads use the environment": """
import threading, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 and later warn of just this
done = threading.Event()
def use():
    while not done.is_set():
        env.get(b"042")
        env.begin().abort()
        with env.begin(write=True) as txn:
            txn.put(b"k", b"v")
threads = [threading.Thread(target=use) for _ in range(2)]
for thread in threads:
    thread.start()
def drop():
    global env
    env = None
    gc.collect()
import signal
def bounded():
    signal.alarm(20)
    drop()
codes = {fork(bounded) for _ in range(20)}
done.set()
for thread in threads:
    thread.join()
assert codes == {0}, codes
assert env.get(b"042") == b"v42"
""",
    "a child that uses what threads had locked does not wait for them": """
import signal, threading, warnings
warnings.simplefilter("ignore", DeprecationWarning)
done, shared = threading.Event(), env.begin()
def use():
    while not done.is_set():
        env.get(b"042")
        shared.get(b"042")
        env.begin().abort()
        with env.begin(write=True) as txn:
            txn.put(b"k", b"v")
threads = [threading.Thread(target=use) for _ in range(2)]
for thread in threads:
    thread.start()
def bounded():
    signal.alarm(20)
    try:
        shared.get(b"042")
    except lmdb.Error as error:
        assert "open it again in the child" in str(error)
    else:
        raise AssertionError
    assert env.get(b"042") == b"v42"
    env.begin().abort()
    env.info()
    try:
        env.begin(write=True).abort()
    except lmdb.Error as error:
        assert "fork" in str(error), error
    env.close()
codes = {fork(bounded) for _ in range(60)}
done.set()
for thread in threads:
    thread.join()
assert codes == {0}, codes
""",
    "a child that sets the map's size leaves the parent's readers": """
txn = env.begin()
before = env.readers()
def resize():
    try:
        env.set_mapsize(1 << 24)
    except lmdb.Error as error:
        assert "open it again in the child" in str(error)
    else:
        raise AssertionError
assert fork(resize) == 0
assert env.readers() == before
assert txn.get(b"042") == b"v42"
""",
}


@pytest.mark.parametrize("spares", [0, 2])
@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_fork(run_child, engine, program, spares):
    child = run_child(PREPARE + program + "\nprint('good')\n", engine, spares)
    assert (child.returncode, child.stdout, child.stderr) == (0, "good\n", "")
