"""Cursors from the constructor to the end, and what they take."""

from __future__ import annotations

import pytest

import zlmdb.lmdb as lmdb

# -- life --


def test_close_is_idempotent_and_final(cursor, raises_closed):
    assert cursor.first()
    cursor.close()
    cursor.close()
    for use in (
        cursor.first, cursor.next, cursor.key, cursor.value, cursor.item, cursor.count, cursor.delete,
        lambda: cursor.set_key(b"a"), lambda: cursor.put(b"a", b""), lambda: cursor.get(b"a"),
        lambda: cursor.pop(b"a"), lambda: cursor.replace(b"a", b""), lambda: list(cursor),
        lambda: cursor.putmulti([(b"a", b"")]), lambda: cursor.getmulti([b"a"], dupdata=True),
    ):  # fmt: skip
        with raises_closed():
            use()


@pytest.mark.parametrize("end", [
    lambda cursor: cursor.close(), lambda cursor: cursor._pytxn.drop(cursor._pydb),
], ids=["close", "drop"])  # fmt: skip
def test_bulk_methods_of_a_closed_cursor(dup_cursor, end, raises_closed):
    end(dup_cursor)
    with raises_closed():
        dup_cursor.getmulti([b"a"])
    with raises_closed():
        dup_cursor.getmulti([])
    with raises_closed():
        dup_cursor.putmulti([])


@pytest.mark.parametrize("name", [
    "iternext", "iterprev", "iternext_nodup", "iterprev_nodup", "iternext_dup", "iterprev_dup",
])  # fmt: skip
def test_no_iterator_of_a_closed_cursor(dup_cursor, name, raises_closed):
    """It is refused at once, and not when it is first used."""
    dup_cursor.close()
    with raises_closed():
        getattr(dup_cursor, name)()


def test_context_manager_closes(cursor, raises_closed):
    with cursor as entered:
        assert entered is cursor
        assert cursor.first()
    with raises_closed():
        cursor.first()


@pytest.mark.parametrize("end", ["commit", "abort"])
def test_a_cursor_ends_with_its_transaction(env, end, raises_closed):
    txn = env.begin(write=True)
    txn.put(b"k", b"v")
    cursor = txn.cursor()
    assert cursor.first()
    getattr(txn, end)()
    for use in (cursor.first, cursor.key, cursor.item, lambda: cursor.put(b"k", b"v")):
        with raises_closed():
            use()
    cursor.close()


def test_a_cursor_ends_with_its_environment(env, raises_closed):
    cursor = env.begin().cursor()
    env.close()
    with raises_closed():
        cursor.first()
    cursor.close()


def test_constructor(env):
    with env.begin(write=True) as txn:
        txn.put(b"k", b"v")
        assert lmdb.Cursor(env.open_db(), txn).get(b"k") == b"v"


def test_constructor_with_a_dropped_database(env):
    db = env.open_db(b"named")
    with env.begin(write=True) as txn:
        txn.drop(db)
        with pytest.raises(lmdb.InvalidParameterError):
            lmdb.Cursor(db, txn)


@pytest.mark.parametrize("key", [1, "a", None, [b"a"]])
def test_types(cursor, key):
    for use in (cursor.set_key, cursor.get, cursor.pop):
        with pytest.raises(TypeError):
            use(key)


@pytest.mark.parametrize("key", [1, "a", None, [b"a"]])
def test_types_of_set_range(cursor, key):
    with pytest.raises(TypeError, match="key"):
        cursor.set_range(key)


def test_buffers_as_arguments(dup_cursor):
    assert dup_cursor.set_key(bytearray(b"a"))
    assert dup_cursor.set_range(memoryview(b"aa"))
    assert dup_cursor.key() == b"b"
    assert dup_cursor.set_range(bytearray())
    assert dup_cursor.key() == b"a"
    assert dup_cursor.set_key_dup(bytearray(b"a"), memoryview(b"2"))
    assert dup_cursor.put(bytearray(b"z"), bytearray(b"1"))


def test_large_values(env):
    with env.begin(write=True) as txn:
        txn.put(b"k", b"x" * 1_000_000)
        cursor = txn.cursor()
        assert cursor.set_key(b"k")
        assert cursor.value() == b"x" * 1_000_000
        assert cursor.item() == (b"k", b"x" * 1_000_000)
        assert cursor.key() == b"k"


def test_longest_key_with_values_of_all_sizes(env):
    key = b"k" * env.max_key_size()
    with env.begin(write=True) as txn:
        cursor = txn.cursor()
        for size in (0, 1, 2000, 8192, 65_535, 65_536, 70_000):
            assert cursor.put(key, b"v" * size)
            assert cursor.item() == (key, b"v" * size)
