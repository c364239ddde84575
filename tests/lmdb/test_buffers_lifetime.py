"""How long the memory under a view lasts: whatever ends or grows meanwhile, nothing is read that is gone.

Some of this runs in a process of its own: a failure would be a crash.
"""

from __future__ import annotations

import contextlib
import gc
import sys
import threading
from itertools import chain

import pytest

from zlmdb import lmdb
from zlmdb.lmdb import views

KEY = b"k" * 20


@pytest.fixture
def filled(env):
    """Return an environment with a thousand records."""
    with env.begin(write=True) as txn:
        txn.cursor().putmulti([(b"%04d" % i, b"value %d" % i * 10) for i in range(1000)])
    return env


def test_every_view_of_a_scan_ends(filled):
    """Also those of batches read ahead, those of earlier batches, and those that nobody has seen."""
    with filled.begin(buffers=True) as txn:
        scan = txn.items()
        held = [next(scan) for _ in range(700)]
        backwards = list(txn.cursor().iterprev())
    with pytest.raises(lmdb.Error):
        next(scan)
    for key, value in [*held, *backwards]:
        for view in (key, value):
            with pytest.raises(ValueError, match="released"):
                view.tobytes()


def test_views_are_forgotten_when_they_die(filled):
    """Nothing adds up in a long transaction."""
    with filled.begin(buffers=True) as txn:
        for _ in range(1000):
            assert sum(len(value) for value in txn.values()) > 70_000
        dead_live_on = sys.implementation.name == "pypy"  # for a while
        assert len(txn._views._refs) < (500_000 if dead_live_on else 3_000)  # of a million views


def test_a_transaction_that_gave_no_view(filled):
    txn = filled.begin(buffers=True)
    assert txn.get(b"missing") is None
    txn.abort()
    with pytest.raises(lmdb.Error):
        txn.get(b"0001")
    with pytest.raises(lmdb.Error):
        next(txn.items())


def test_views_of_a_child_end_with_it(filled):
    with filled.begin(write=True, buffers=True) as txn:
        outer = txn.get(b"0001")
        with filled.begin(write=True, buffers=True, parent=txn) as child:
            inner = child.get(b"0002")
            child.put(b"0001", b"new")
        with pytest.raises(ValueError, match="released"):
            bytes(inner)
        assert outer == b"value 1" * 10
        assert txn.get(b"0001") == b"new"


def test_views_in_a_cycle(filled):
    """The collector may end the transaction and its views in any order."""
    txn = filled.begin(buffers=True)
    cycle = [txn, txn.get(b"0001"), txn.cursor()]
    cycle.append(cycle)
    view = txn.get(b"0002")
    del txn, cycle
    gc.collect()
    if sys.implementation.name == "pypy":
        assert not can_be_read(view)
    else:  # it holds the transaction
        assert view == b"value 2" * 10
    del view
    gc.collect()
    assert filled.readers() == "(no active readers)\n"


def test_a_view_outlives_its_environment(open_env):
    env = open_env("other")
    with env.begin(write=True) as txn:
        txn.put(KEY, b"v" * 100)
    txn = env.begin(buffers=True)
    view = txn.get(KEY)
    env.close()
    with pytest.raises(ValueError, match="released"):
        view[0]
    with pytest.raises(lmdb.Error):
        txn.get(KEY)


@pytest.fixture
def frequent_switches():
    """Let threads take turns all the time."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(interval)


def read_until_the_end(txn, started, got):
    started.wait()
    with contextlib.suppress(lmdb.Error):
        while True:
            got.append(txn.get(b"0500", b"missing"))
            got.extend(txn.values(b"0100", b"0120"))


def can_be_read(view):
    try:
        view.tobytes()
    except ValueError:
        return False
    return True


@pytest.mark.usefixtures("frequent_switches")
def test_threads_read_while_the_transaction_ends(filled):
    """Each view that a thread gets ends, also one that it gets at that moment."""
    nothing = filled.open_db(b"nothing")
    for _ in range(20):
        txn = filled.begin(buffers=True)
        started = threading.Barrier(3)
        got: list[list[memoryview]] = [[], []]
        threads = [threading.Thread(target=read_until_the_end, args=[txn, started, out]) for out in got]
        for thread in threads:
            thread.start()
        started.wait()
        while not all(got) and any(thread.is_alive() for thread in threads):
            pass
        txn.abort()
        empty = [filled.begin(db=nothing, buffers=True) for _ in range(3)]  # one of them gets its handle
        for thread in threads:
            thread.join()
        for other in empty:
            other.abort()
        assert all(got)
        assert not any(map(can_be_read, chain.from_iterable(got)))


def test_no_view_is_made_on_a_map_that_another_thread_has_given_up(filled, monkeypatch):
    """The environment closes after the value was found, and before its view is known."""
    real = views._new_exporter

    def overtaken(*args):
        monkeypatch.setattr(views, "_new_exporter", real)
        filled.close()
        return real(*args)

    txn = filled.begin(buffers=True)
    monkeypatch.setattr(views, "_new_exporter", overtaken)
    with pytest.raises(lmdb.Error):
        txn.get(b"0001").tobytes()
    with pytest.raises(lmdb.Error):
        txn.get(b"0001")


def test_the_map_stays_while_another_thread_ends_the_transaction_of_a_view(filled, monkeypatch):
    """The environment closes after the views were released, before what was derived from them is known."""
    real = views.MapViews.ended

    def overtaken(*args):
        monkeypatch.setattr(views.MapViews, "ended", real)
        filled.close()
        return real(*args)

    txn = filled.begin(buffers=True)
    derived = txn.get(b"0001")[:5]
    monkeypatch.setattr(views.MapViews, "ended", overtaken)
    txn.abort()
    assert derived.tobytes() in (b"value", bytes(5))


def test_a_refused_commit_ends_the_views_and_not_the_transaction(filled, in_thread):
    txn = filled.begin(write=True, buffers=True)
    view = txn.get(b"0001")
    with pytest.raises(lmdb.Error, match="thread"):
        in_thread(txn.commit).result()
    assert not can_be_read(view)
    view = txn.get(b"0001")
    assert view == b"value 1" * 10
    txn.commit()
    assert not can_be_read(view)


EXPORTED = """
import gc, pickle, re, struct
env = lmdb.open("env", lib_version=int(sys.argv[1]))
with env.begin(write=True) as txn:
    txn.put(b"k", b"x" * 4000)
    txn.put(b"large", b"y" * 5_000_000)  # longer than the place of a view tells in one number
txn = env.begin(buffers=True)
held = []
for key in (b"k", b"large"):
    view = txn.get(key)
    held += [
        struct.iter_unpack("100s", view), re.finditer(b"[xy]+", view), re.match(b"[xy]*", view),
        memoryview(view.toreadonly()).cast("I"), memoryview(pickle.PickleBuffer(view[3:])), iter(view[:100]),
        view.cast("B", (2, len(view) // 2)),
    ]
held += [value[1:] for value in txn.values()]
del view
{end}
gc.collect()
for thing in held:
    try:
        if isinstance(thing, memoryview):
            thing.tobytes()
        elif isinstance(thing, re.Match):
            thing.group()
        else:
            sum(1 for _ in thing)
    except ValueError:
        pass
print("alive", len(held))
"""


@pytest.mark.parametrize("end", [
    "txn.abort()", "env.close()", "env.set_mapsize(1 << 26)", "del txn, env", "txn.commit(); env.close()",
    "env.set_mapsize(1 << 26); env.begin(buffers=True).get(b'k'); env.close()",
])  # fmt: skip
def test_what_exports_a_view_never_crashes(run_child, engine, end):
    child = run_child(EXPORTED.format(end=end), engine)
    assert (child.returncode, child.stderr) == (0, "")
    assert child.stdout == "alive 16\n"


GROWN_BY_ANOTHER = """
import subprocess
path, version = "env", int(sys.argv[1])
WRITE = (
    "import sys; from zlmdb import lmdb; env = lmdb.open('env', map_size=1 << 20, grow=True)\\n"
    "with env.begin(write=True) as txn:\\n"
    "    for i in range(3000): txn.put(b'%d' % i, b'y' * 3000)"
)
env = lmdb.open(path, lib_version=version, map_size=1 << 20, grow=True)
with env.begin(write=True) as txn:
    txn.put(b"k", b"x" * 100)
reader = env.begin(buffers=True)
view = reader.get(b"k")
subprocess.run([sys.executable, "-c", WRITE], check=True)
assert reader.get(b"2999") is None
with env.begin(buffers=True) as txn:  # it has mapped more of the file
    far = txn.get(b"2999")
    assert far == b"y" * 3000
    assert sum(len(value) for value in txn.values()) == 3000 * 3000 + 100
    assert view == b"x" * 100
    with env.begin(write=True) as writer:
        writer.put(b"z", b"z" * 50_000_000)
    assert far == b"y" * 3000
assert bytes(view) == b"x" * 100 == reader.get(b"k")
reader.abort()
for ended in (view, far):
    try:
        bytes(ended)
    except ValueError:
        pass
    else:
        raise AssertionError("a view was read after its end")
print("good")
"""


def test_views_while_another_process_grows_the_map(run_child, engine):
    child = run_child(GROWN_BY_ANOTHER, engine)
    assert (child.stdout, child.stderr) == ("good\n", "")


KEPT = """
import gc
from zlmdb.lmdb._native import ffi

def address_space():
    with open("/proc/self/maps") as maps:
        for line in maps:
            where, access, _ = line.split(None, 2)
            yield *(int(end, 16) for end in where.split("-")), access

def size():
    return sum(end - start for start, end, _ in address_space())

def is_kept(address):
    return any(start <= address < end and access == "r--p" for start, end, access in address_space())

for leak in (False, True):
    env = lmdb.open("env", lib_version=int(sys.argv[1]), grow=True)
    with env.begin(write=True) as txn:
        txn.put(b"k", b"x" * 1000)
    before = size()
    txn = env.begin(buffers=True)
    piece = txn.get(b"k")[10:20]
    address = int(ffi.cast("uintptr_t", ffi.from_buffer(piece)))
    txn.abort()
    if not leak:
        del piece
        for _ in range(5):
            gc.collect()
    env.close()
    assert is_kept(address) == leak
    assert not leak or piece == bytes(10)
    assert before - size() > 1 << 30 or before < 1 << 30, "what was reserved for growth is given back"
print("good")
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks at /proc/self/maps")
def test_the_map_goes_unless_something_derived_is_alive(run_child, engine):
    child = run_child(KEPT, engine)
    assert (child.stdout, child.stderr) == ("good\n", "")
