"""`buffers=True`: views on LMDB's own pages that never outlive them.

What is read after the end of a transaction either raises ValueError or, where Python cannot take it back (a
NumPy array on a view), stays readable. Such parts run in a process of their own: a failure would be a crash.
"""

from __future__ import annotations

import contextlib
import gc
import sys

import pytest

import zlmdb.lmdb as lmdb

RECORDS = [(b"%03d" % i, b"value %d" % i) for i in range(100)]


@pytest.fixture
def filled(env):
    """Return an environment with a hundred records and a large one."""
    with env.begin(write=True) as txn:
        txn.cursor().putmulti(RECORDS)
        txn.put(b"large", b"x" * 100_000)
    return env


def views_of(txn):
    """A view from every way to get one."""
    cursor = txn.cursor()
    assert cursor.set_key(b"050")
    return [
        txn.get(b"001"), txn.get(b"large"), cursor.key(), cursor.value(), *cursor.item(),
        *next(txn.cursor().iternext()), *next(txn.cursor().iterprev()), next(txn.keys()), next(txn.values()),
        *next(txn.items()), cursor.get(b"002"), *cursor.getmulti([b"003"])[0],
    ]  # fmt: skip


def test_types_and_contents(filled):
    with filled.begin(buffers=True) as txn:
        for view in views_of(txn):
            assert type(view) is memoryview
            assert view.readonly
        assert txn.get(b"001") == b"value 1"
        assert bytes(txn.get(b"large")) == b"x" * 100_000
        assert len(txn.get(b"001")) == 7
        assert txn.get(b"001")[0] == ord("v")
        assert list(txn.cursor()) == [*RECORDS, (b"large", b"x" * 100_000)]
        assert txn.get(b"missing") is None
        assert txn.get(b"missing", 7) == 7


def test_unpositioned_cursor_gives_empty_views(filled):
    with filled.begin(buffers=True) as txn:
        cursor = txn.cursor()
        for view in (cursor.key(), cursor.value(), *cursor.item()):
            assert type(view) is not bytes
            assert len(view) == 0


@pytest.mark.parametrize("write", [False, True])
def test_views_of_values_only(filled, write):
    with filled.begin(buffers="values", write=write) as txn:
        cursor = txn.cursor()
        assert (cursor.key(), type(cursor.value())) == (b"", memoryview)
        assert cursor.set_key(b"050")
        assert (type(cursor.key()), type(cursor.value())) == (bytes, memoryview)
        assert [type(part) for part in cursor.item()] == [bytes, memoryview]
        assert cursor.item() == (b"050", b"value 50")
        assert list(txn.keys(limit=2)) == [b"000", b"001"]
        assert {type(key) for key in txn.keys(b"0")} == {bytes}
        for records in (
            txn.items(),
            txn.cursor(),
            txn.cursor().getmulti([k for k, _ in RECORDS] + [b"large"]),
        ):
            found = list(records)
            assert found == [*RECORDS, (b"large", b"x" * 100_000)]
            assert {(type(key), type(value)) for key, value in found} == {(bytes, memoryview)}
        assert list(txn.values(reverse=True, limit=3)) == [b"x" * 100_000, b"value 99", b"value 98"]
        held = [txn.get(b"001"), *txn.values(), *(value for _, value in txn.items())]
    for view in held:
        with pytest.raises(ValueError, match="released"):
            bytes(view)


def test_views_of_values_only_on_pages_that_are_written(filled):
    with filled.begin(buffers="values", write=True) as txn:
        assert txn.put(b"050", b"new")
        expected = sorted({**dict(RECORDS), b"050": b"new", b"large": b"x" * 100_000}.items())
        assert list(txn.items()) == expected
        assert list(txn.items(reverse=True)) == expected[::-1]
        assert {(type(key), type(value)) for key, value in txn.items()} == {(bytes, memoryview)}
        txn.delete(b"large")
        txn.put(b"larger", b"y" * 300_000)  # more than a batch holds
        assert list(txn.items(b"099")) == [(b"099", b"value 99"), (b"larger", b"y" * 300_000)]


def test_other_words_for_buffers(filled):
    with pytest.raises(ValueError, match='"values"'):
        filled.begin(buffers="keys")
    with filled.begin(write=True) as txn:  # nothing is left of the one that failed
        assert txn.put(b"k", b"v")


def test_empty_value(env):
    with env.begin(write=True, buffers=True) as txn:
        txn.put(b"k", b"")
    with env.begin(buffers=True) as txn:
        assert len(txn.get(b"k")) == 0
        assert type(txn.get(b"k")) is memoryview


def test_views_cannot_be_written(filled):
    with filled.begin(buffers=True) as txn, pytest.raises(TypeError):
        txn.get(b"001")[0] = 1


@pytest.mark.parametrize("end", [
    lambda env, txn: txn.commit(), lambda env, txn: txn.abort(), lambda env, txn: env.close(),
    lambda env, txn: env.set_mapsize(1 << 25), lambda env, txn: txn.__exit__(None, None, None),
], ids=["commit", "abort", "close", "set_mapsize", "exit"])  # fmt: skip
def test_reading_after_the_end_raises(filled, end):
    txn = filled.begin(buffers=True)
    views = views_of(txn)
    end(filled, txn)
    for view in views:
        with pytest.raises(ValueError, match="released"):
            bytes(view)
        with pytest.raises(ValueError, match="released"):
            view[0]


@pytest.mark.parametrize("end", ["commit", "abort"])
def test_writers_views_raise_after_the_end(filled, end):
    txn = filled.begin(buffers=True, write=True)
    clean = txn.get(b"001")
    assert clean == b"value 1"
    getattr(txn, end)()
    with pytest.raises(ValueError, match="released"):
        bytes(clean)


@pytest.mark.parametrize("write", [False, True])
def test_a_view_of_a_dropped_transaction_never_shows_other_data(filled, write):
    """It holds the transaction open; on PyPy, whose collector has no order, it is released."""
    txn = filled.begin(buffers=True, write=write)
    view = txn.get(b"001")
    del txn
    gc.collect()
    if not write:
        for number in range(10):
            with filled.begin(write=True) as writer:
                writer.put(b"001", b"other %d" % number)
    if sys.implementation.name == "pypy":
        with pytest.raises(ValueError, match="released"):
            bytes(view)
    else:
        assert view == b"value 1"
    del view
    gc.collect()
    with filled.begin(write=True) as writer:  # the writer's lock is free
        assert writer.get(b"001")


def test_views_of_other_transactions_stay(filled):
    first, second = filled.begin(buffers=True), filled.begin(buffers=True)
    gone, kept = first.get(b"001"), second.get(b"001")
    first.abort()
    assert kept == b"value 1"
    with pytest.raises(ValueError, match="released"):
        bytes(gone)
    second.abort()


def test_a_view_keeps_what_it_saw_while_others_write(filled):
    with filled.begin(buffers=True) as txn:
        view = txn.get(b"001")
        for i in range(20):
            with filled.begin(write=True) as writer:
                writer.put(b"001", b"round %d" % i)
        assert view == b"value 1"


def test_pages_written_in_this_transaction_are_copied(filled):
    """They move and are overwritten by the next write."""
    with filled.begin(buffers=True, write=True) as txn:
        txn.put(b"001", b"before!")
        view = txn.get(b"001")
        txn.put(b"001", b"after!!")
        for key, _ in RECORDS[2:]:
            txn.delete(key)
        assert view == b"before!"
    assert view == b"before!"


@pytest.mark.parametrize("values_of", [
    lambda txn: txn.get(b"001"), lambda txn: next(txn.values(b"001")), lambda txn: txn.pop(b"001"),
    lambda txn: next(txn.items(b"001"))[1], lambda txn: list(txn.cursor())[1][1],
], ids=["get", "values", "pop", "items", "cursor"])  # fmt: skip
@pytest.mark.parametrize("writemap", [False, True])
def test_pages_written_in_the_map_are_copied(open_env, writemap, values_of):
    """With writemap, LMDB changes the pages of its transaction in place."""
    env = open_env(writemap=writemap)
    with env.begin(write=True) as txn:
        txn.cursor().putmulti(RECORDS)
    with env.begin(buffers=True, write=True) as txn:
        txn.put(b"001", b"before!")
        view = values_of(txn)
        txn.put(b"001", b"after!!")
        for key, _ in RECORDS[2:]:
            txn.delete(key)
        assert view == b"before!"
    assert view == b"before!"


def test_a_view_on_a_clean_page_survives_writes_of_its_transaction(filled):
    with filled.begin(buffers=True, write=True) as txn:
        view = txn.get(b"050")
        for i in range(1000):
            txn.put(b"%05d" % i, b"y" * 50)
        txn.delete(b"050")
        assert view == b"value 50"


@pytest.mark.parametrize(
    "derive", [lambda view: view[1:4], lambda view: view.cast("b"), lambda view: view.toreadonly()]
)
def test_derived_views_are_readable_or_raise(filled, derive):
    """A slice cannot always be taken back; it must then show what it showed, or raise, whatever ends."""
    txn = filled.begin(buffers=True)
    derived = derive(txn.get(b"001"))
    expected = bytes(derived)
    txn.abort()
    with contextlib.suppress(ValueError):
        assert bytes(derived) == expected


DERIVED = """
import gc
import sys
env = lmdb.open("env", lib_version=int(sys.argv[1]))
with env.begin(write=True) as txn:
    txn.put(b"k", b"x" * 4000)
    txn.put(b"large", b"y" * 1_000_000)
txn = env.begin(buffers=True)
held = []
for key in (b"k", b"large"):
    view = txn.get(key)
    held += [view[10:20], view[::3], view.cast("b"), memoryview(view)[5:]]
    try:
        import numpy
    except ImportError:
        pass
    else:
        array = numpy.frombuffer(view, "u1")
        held += [array, array[5:], array.reshape(-1, 4)]
        del array
    del view
{end}
gc.collect()
for thing in held:
    try:
        bytes(memoryview(thing))
        sum(memoryview(thing).tolist() if hasattr(thing, "cast") else thing.ravel().tolist())
    except ValueError:
        pass
print("alive", len(held))
"""


@pytest.mark.parametrize("end", [
    "txn.abort()", "env.close()", "env.set_mapsize(1 << 26)", "del txn, env", "txn.abort(); env.close()",
    "env.set_mapsize(1 << 26); env.close()",
])  # fmt: skip
def test_derived_objects_never_crash(run_child, engine, end):
    child = run_child(DERIVED.format(end=end), engine)
    assert (child.returncode, child.stderr) == (0, "")
    assert child.stdout.startswith("alive")


HELD_WHILE_GROWING = """
env = lmdb.open("env", lib_version=int(sys.argv[1]), map_size=1 << 20, grow=True)
with env.begin(write=True) as txn:
    txn.put(b"k", b"x" * 100)
reader = env.begin(buffers=True)
view = reader.get(b"k")
piece = view[10:20]
with env.begin(write=True) as txn:
    for i in range(3000):
        txn.put(b"%d" % i, b"y" * 3000)
assert bytes(view) == b"x" * 100
assert bytes(piece) == b"x" * 10
with env.begin(buffers=True) as txn:
    assert txn.get(b"2999") == b"y" * 3000
reader.abort()
print("good")
"""


def test_views_while_the_map_grows(run_child, engine):
    child = run_child(HELD_WHILE_GROWING, engine)
    assert (child.stdout, child.stderr) == ("good\n", "")


def test_many_views(filled):
    """What keeps track of views keeps up with them, whether they are held or dropped."""
    with filled.begin(buffers=True) as txn:
        held = [txn.get(b"%03d" % (i % 100)) for i in range(2000)]
        for i in range(5000):
            assert txn.get(b"%03d" % (i % 100)) == b"value %d" % (i % 100)
    for view in held:
        with pytest.raises(ValueError, match="released"):
            bytes(view)


def test_exported_views_do_not_hinder_the_end(filled):
    """A live export would make `release()` raise BufferError; the transaction ends all the same."""
    txn = filled.begin(buffers=True)
    exported = [memoryview(txn.get(key)) for key, _ in RECORDS]
    txn.commit()
    assert filled.readers() == "(no active readers)\n"
    del exported
    with filled.begin(write=True) as writer:
        writer.put(b"k", b"v")


def test_iterating_in_buffers_mode_over_changing_data(filled):
    with filled.begin(buffers=True, write=True) as txn:
        seen = []
        for key, value in txn.cursor():
            seen.append((bytes(key), bytes(value)))
            if len(key) == 3:
                txn.delete(bytes(key))
        assert seen == [*RECORDS, (b"large", b"x" * 100_000)]
        assert txn.stat()["entries"] == 1


def test_replace_and_pop_give_the_old_value(filled):
    with filled.begin(buffers=True, write=True) as txn:
        assert bytes(txn.replace(b"001", b"new")) == b"value 1"
        assert bytes(txn.pop(b"001")) == b"new"
        assert bytes(txn.pop(b"large")) == b"x" * 100_000
        assert txn.pop(b"large") is None


def test_views_as_arguments(filled):
    """A value may be copied from one database to the other without bytes in between."""
    other = filled.open_db(b"other")
    with filled.begin(buffers=True, write=True) as txn:
        for key, value in txn.cursor():
            if len(key) == 3:
                assert txn.put(key, value, db=other)
        assert [(bytes(k), bytes(v)) for k, v in txn.items(db=other)] == RECORDS


def test_cursor_of_a_closed_environment(filled):
    cursor = filled.begin(buffers=True).cursor()
    assert cursor.first()
    filled.close()
    with pytest.raises(lmdb.Error):
        cursor.value()


@pytest.mark.parametrize("write", [False, True])
def test_getmulti_of_values_as_views(filled, write):
    """Found and missing ones, on pages that are written and that are not, in more than one call of C."""
    many = [(b"m%05d" % i, b"%d" % i * 40) for i in range(5000)]
    with filled.begin(write=True) as txn:
        txn.cursor().putmulti(many)
    with filled.begin(buffers="values", write=write) as txn:
        if write:
            txn.put(b"m02500", b"new")
            many[2500] = b"m02500", b"new"
        wanted = [key for pair in zip(many, many, strict=True) for key in (pair[0][0], pair[1][0] + b"?")]
        cursor = txn.cursor()
        assert cursor.getmulti([b"none", *wanted, b"large"]) == [*many, (b"large", b"x" * 100_000)]
        assert cursor.getmulti(wanted, values=False) == [key for key, _ in many]
        found = cursor.getmulti(wanted)
        assert {(type(key), type(value)) for key, value in found} == {(bytes, memoryview)}
    for _, value in [] if write else found:  # with pages that are written, some values are copies
        with pytest.raises(ValueError, match="released"):
            bytes(value)
