"""What nobody refers to any more is freed, in whatever order it goes, and takes its reader slot with it."""

from __future__ import annotations

import gc
import itertools
import sys
import weakref

import pytest

NONE = "(no active readers)\n"


def collect():
    for _ in range(1 if sys.implementation.name == "cpython" else 3):  # PyPy finalises in rounds
        gc.collect()


@pytest.fixture
def debug_leak():
    """Collect as a leak hunter does: what only the collector of cycles could free is kept instead."""
    if not hasattr(gc, "get_debug"):  # PyPy has no such mode
        yield
        return
    before = gc.get_debug()
    gc.collect()
    gc.set_debug(gc.DEBUG_LEAK if hasattr(gc, "DEBUG_LEAK") else 0)
    yield
    gc.set_debug(before)
    gc.garbage.clear()


@pytest.fixture
def make(tmp_path, engine):
    """Return a function that opens an environment that nothing but its result refers to."""
    import zlmdb.lmdb as lmdb

    def make(name="env", **options):
        return lmdb.open(str(tmp_path / name), max_dbs=2, lib_version=engine, **options)

    return make


def test_a_dropped_environment_is_freed_without_close(make, debug_leak, unraisable):
    calls = []
    env = make()
    reference = weakref.ref(env, calls.append)
    del env
    collect()
    assert reference() is None
    assert calls == [reference]
    make().close()  # the registration of open files is gone, too
    assert unraisable == []


def test_databases_do_not_hold_the_environment(make, debug_leak, unraisable):
    env = make()
    databases = [env.open_db(), env.open_db(b"named")]
    reference = weakref.ref(env)
    del env
    collect()
    assert reference() is None
    assert databases[1].flags()["dupsort"] is False
    assert unraisable == []


def test_a_used_environment_leaves_no_cycle(make, debug_leak, unraisable):
    env = make(max_spare_txns=1)
    db = env.open_db(b"named", dupsort=True)
    with env.begin(db, write=True) as txn, env.begin(db, write=True, parent=txn) as child:
        child.cursor().putmulti([(b"k", b"1"), (b"k", b"2")])
    with env.begin(db, buffers=True) as txn:
        cursor = txn.cursor()
        list(cursor)
        iterator = cursor.iternext()
        view = next(iterator)
        ranges = txn.items()
        next(ranges)
    env.get(b"k")
    env.getmulti([b"k"])
    env.dbs()
    references = [weakref.ref(thing) for thing in (env, txn, child, cursor)]
    del env, txn, child, cursor, iterator, ranges, view
    collect()
    assert [reference() for reference in references] == [None] * 4
    assert unraisable == []


def test_a_transaction_holds_its_environment(make):
    env = make()
    reference = weakref.ref(env)
    txn = env.begin()
    del env
    collect()
    assert reference() is not None
    assert txn.get(b"k") is None
    del txn
    collect()
    assert reference() is None


def test_a_cursor_holds_its_transaction_and_database(make):
    env = make()
    db = env.open_db(b"named")
    txn = env.begin(db)
    cursor = txn.cursor()
    references = [weakref.ref(txn), weakref.ref(db)]
    del txn, db
    collect()
    assert None not in [reference() for reference in references]
    assert cursor.first() is False
    del cursor
    collect()
    assert references[0]() is None
    env.close()


def chain(env):
    """A database in use, each thing held by the next alone."""
    with env.begin(write=True) as txn:
        for i in range(100):
            txn.put(b"%03d" % i, b"")
    txn = env.begin()
    cursor = txn.cursor()
    iterator = cursor.iternext()
    next(iterator)
    return {"env": env, "txn": txn, "cursor": cursor, "iterator": iterator}


def test_every_order_of_dropping(make, unraisable):
    orders = list(itertools.permutations(["env", "txn", "cursor", "iterator"]))
    chains = [chain(make(f"env{number}")) for number in range(len(orders))]
    for step in range(4):  # for all orders together, because each collection costs PyPy a tenth of a second
        for order, things in zip(orders, chains, strict=True):
            del things[order[step]]
        collect()
        assert unraisable == []
    for number in range(len(orders)):
        make(f"env{number}").close()  # nothing holds it open


@pytest.mark.parametrize("write", [False, True])
def test_a_dropped_transaction_is_aborted(make, unraisable, write):
    with make() as env:
        txn = env.begin(write=write)
        if write:
            txn.put(b"k", b"v")
        del txn
        collect()
        assert env.readers() == NONE
        assert env.get(b"k") is None
        env.begin(write=True).abort()
    assert unraisable == []


def test_an_aborted_and_dropped_transaction_frees_its_slot(make):
    with make() as env:
        for _ in range(300):  # more than there are slots
            txn = env.begin()
            txn.cursor().first()
            txn.abort()
            del txn
        assert env.readers() == NONE


def test_dropped_transactions_free_their_slots(make):
    with make(max_readers=4) as env:
        for _ in range(6):
            txn = env.begin()
            txn.get(b"k")
            del txn
            collect()
        assert env.readers() == NONE


def test_dropped_iterators_free_their_slots(make):
    with make(max_readers=2) as env:
        with env.begin(write=True) as txn:
            for i in range(100):
                txn.put(b"%03d" % i, b"")
        for _ in range(4):
            iterator = env.begin().items()
            next(iterator)
            del iterator
            collect()
        assert env.readers() == NONE


def test_objects_of_a_closed_environment_are_freed(make, debug_leak, unraisable):
    env = make()
    txn = env.begin(write=True)
    child = env.begin(write=True, parent=txn)
    cursor = child.cursor()
    references = [weakref.ref(thing) for thing in (env, txn, child, cursor)]
    env.close()
    del env, txn, child, cursor
    collect()
    assert [reference() for reference in references] == [None] * 4
    assert unraisable == []


def test_constructors_that_fail_leave_nothing_to_raise(make, unraisable):
    import zlmdb.lmdb as lmdb

    with make() as env:
        with env.begin() as txn, pytest.raises(lmdb.InvalidParameterError):
            env.begin(parent=txn)
        with pytest.raises(TypeError):
            lmdb.Transaction(env, db=b"named")
        with pytest.raises(TypeError):
            lmdb.Cursor(b"named", env.begin())
        db = env.open_db(b"named")
        with env.begin(write=True) as txn:
            txn.drop(db)
            with pytest.raises(lmdb.InvalidParameterError):
                lmdb.Cursor(db, txn)
        collect()
    assert unraisable == []


COLLECTED_TOGETHER = """
import gc, itertools
class User:
    def __del__(self):
        for use in self.uses:
            try:
                use()
            except lmdb.Error:
                pass
        self.env.close()
gc.disable()
for turn, order in enumerate(itertools.permutations(range(4))):
    env = lmdb.open(f"{sys.argv[1]}-{turn}", lib_version=int(sys.argv[2]))
    with env.begin(write=True) as txn:
        txn.put(b"k", b"v")
    env.get(b"k")  # leaves a handle for others
    user = User()
    makers = [
        lambda: user, lambda: env.begin(), lambda: env.begin(write=True),
        lambda: env.begin(buffers=True),
    ]
    objects = [None] * 4
    for index in order:  # the collector goes by age
        objects[index] = makers[index]()
    _, reader, writer, viewer = objects
    cursor, scan = writer.cursor(), viewer.cursor()
    scan.first()
    user.env, user.me, user.objects = env, user, objects
    user.uses = [
        lambda r=reader: r.get(b"k"), lambda w=writer: w.put(b"a", b"b"), lambda c=cursor: c.first(),
        lambda c=cursor: c.put(b"x", b"y"), lambda s=scan: list(s), lambda e=env: e.get(b"k"),
        lambda e=env: e.begin().get(b"k"), lambda e=env: e.begin(write=True).commit(),
        lambda v=viewer: bytes(v.get(b"k")),
    ]
    del env, txn, user, makers, objects, reader, writer, viewer, cursor, scan, _
    for _ in range(5):
        gc.collect()
print("alive")
"""


def test_what_is_collected_together_may_be_used_by_each_others_finalizers(
    run_child, tmp_path, engine, monkeypatch
):
    monkeypatch.setenv("MALLOC_PERTURB_", "165")  # glibc overwrites what is freed: its use crashes
    child = run_child(COLLECTED_TOGETHER, tmp_path / "env", engine)
    assert (child.returncode, child.stdout) == (0, "alive\n"), child.stderr
    assert child.stderr == ""


@pytest.mark.skipif(sys.implementation.name != "cpython", reason="PyPy counts other objects")
def test_reads_keep_no_reference(make):
    """Nothing that stays alive grows with the number of operations."""
    with make() as env:
        with env.begin(write=True) as txn:
            for i in range(10):
                txn.put(b"%d" % i, b"v" * 100)

        def use():
            for _ in range(60):
                env.get(b"1")
                with env.begin(buffers=True) as txn:
                    txn.get(b"1")
                    list(txn.cursor())
                with env.begin(write=True) as txn:
                    txn.put(b"1", b"v")
                    txn.cursor().putmulti([(b"a", b"b")])
                    list(txn.items())

        use()
        collect()
        before = len(gc.get_objects())
        for _ in range(10):
            use()
        collect()
        assert len(gc.get_objects()) - before < 50
