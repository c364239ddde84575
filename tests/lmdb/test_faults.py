"""Page faults: keys are read without touching values, and values with Python's lock released."""

from __future__ import annotations

import sys

import pytest

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts faults as Linux does")

SIZE = 16 << 20

PREPARE = f"""
import resource
SIZE = {SIZE}
env = lmdb.open("env", map_size=2 * SIZE, lib_version=int(sys.argv[1]), writemap=True, sync=False)
with env.begin(write=True) as txn:
    txn.put(b"a", b"small")
    txn.put(b"k", bytes(SIZE - 100))
    txn.put(b"z", b"small")
env.close()

def faults():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_minflt + usage.ru_majflt

env = lmdb.open("env", map_size=2 * SIZE, lib_version=int(sys.argv[1]), readahead=False)
txn = env.begin(buffers=sys.argv[2] == "True")
cursor = txn.cursor()
cursor.set_key(b"a")
cursor.key(), cursor.value(), list(txn.keys(limit=1)), cursor.getmulti([b"a"], values=False)
list(cursor.iternext(values=False))
before = faults()
"""

KEY_READS = [
    "cursor.set_key(b'k'); cursor.key()", "cursor.set_range(b'b'); cursor.key()", "list(txn.keys())",
    "list(cursor.iternext(values=False))", "cursor.getmulti([b'a', b'k', b'z'], values=False)",
    "list(txn.keys(prefix=b'k', reverse=True))",
    "cursor.first(); cursor.next(); cursor.next(); cursor.prev(); cursor.key()",
]  # fmt: skip
VALUE_READS = [
    "txn.get(b'k')", "cursor.set_key(b'k'); cursor.value()", "cursor.set_key(b'k'); cursor.item()",
    "cursor.getmulti([b'k'])", "list(txn.values(prefix=b'k'))",
]  # fmt: skip


def count(run_child, engine, read, buffers=False):
    child = run_child(PREPARE + read + "\nprint(faults() - before)\n", engine, buffers)
    assert (child.returncode, child.stderr) == (0, "")
    return int(child.stdout)


@pytest.mark.parametrize("read", KEY_READS)
def test_reading_keys_touches_no_value(run_child, engine, read):
    """The value has 4096 pages; even with faults served 16 pages at a time that would be 256."""
    assert count(run_child, engine, read) < 60


@pytest.mark.parametrize("read", VALUE_READS)
def test_reading_the_value_touches_its_pages(run_child, engine, read):
    assert count(run_child, engine, read) > 200


@pytest.mark.parametrize("read", VALUE_READS[:3])
def test_a_view_has_its_pages_read_when_it_is_made(run_child, engine, read):
    """So that no page fault comes later, where Python's lock is held."""
    assert count(run_child, engine, read, buffers=True) > 200


@pytest.mark.parametrize("read", ["view = txn.get(b'z')", "cursor.set_key(b'z'); view = cursor.value()"])
def test_a_small_view_touches_no_other_value(run_child, engine, read):
    assert count(run_child, engine, read, buffers=True) < 60


GIL = """
import threading
sys.setswitchinterval(1000)  # The other thread runs only if the reader releases the lock by itself.
turn = threading.Lock()
turn.acquire()
ticks = 0
stopping = False
def tick():
    global ticks
    while not stopping:
        turn.acquire()
        ticks += 1
thread = threading.Thread(target=tick)
thread.start()
seen = 0
for _ in range(20):
    if turn.locked():
        turn.release()
    before = ticks
    {read}
    seen += ticks > before
stopping = True
if turn.locked():
    turn.release()
thread.join()
print("released", seen)
"""


@pytest.mark.skipif(sys.implementation.name != "cpython", reason="PyPy's lock has no switch interval")
@pytest.mark.skipif("t" in getattr(sys, "abiflags", ""), reason="there is no lock of Python's")
@pytest.mark.parametrize("read", ["txn.get(b'k')", "cursor.set_key(b'k'); cursor.value()"])
def test_the_lock_is_released_while_a_large_value_is_read(run_child, engine, read):
    """The reader is never interrupted: if the other thread moves on, the reader released the lock."""
    child = run_child(PREPARE + GIL.format(read=read), engine, False)
    assert (child.returncode, child.stderr) == (0, "")
    assert int(child.stdout.split()[1]) > 0
