"""Writes at a cursor, and writes of its transaction that it sees."""

from __future__ import annotations

import pytest

import zlmdb.lmdb as lmdb

EMPTY = (b"", b"")


# -- writes --


def test_delete_moves_to_the_next_record(cursor):
    assert cursor.set_key(b"b")
    assert cursor.delete() is True
    assert cursor.item() == (b"c", b"3")
    assert cursor.delete() is True
    assert cursor.delete() is True
    assert cursor.item() == EMPTY
    assert cursor.delete() is False
    assert list(cursor._pytxn.keys()) == [b"a"]


def test_delete_of_an_unpositioned_cursor(cursor):
    assert cursor.delete() is False
    assert cursor._pytxn.stat()["entries"] == 4


def test_delete_one_duplicate(dup_cursor, pairs):
    assert dup_cursor.set_key_dup(b"a", b"2")
    assert dup_cursor.delete() is True
    assert dup_cursor.item() == (b"a", b"3")
    assert list(dup_cursor._pytxn.items()) == [pair for pair in pairs if pair != (b"a", b"2")]


def test_delete_all_duplicates(dup_cursor, pairs):
    assert dup_cursor.set_key_dup(b"a", b"2")
    assert dup_cursor.delete(dupdata=True) is True
    assert dup_cursor.item() == (b"b", b"1")
    assert list(dup_cursor._pytxn.items()) == pairs[3:]


def test_delete_every_pair_in_a_loop(dup_cursor, pairs):
    assert dup_cursor.first()
    deleted = []
    while (item := dup_cursor.item()) != EMPTY:
        deleted.append(item)
        assert dup_cursor.delete()
    assert deleted == pairs
    assert dup_cursor._pytxn.stat()["entries"] == 0


def test_put_moves_to_the_record(cursor):
    assert cursor.put(b"bb", b"x") is True
    assert cursor.item() == (b"bb", b"x")
    assert cursor.next()
    assert cursor.key() == b"c"


def test_put_flags(cursor):
    assert cursor.put(b"a", b"x", overwrite=False) is False
    assert cursor.put(b"e", b"5", append=True) is True
    assert cursor.put(b"a", b"x", append=True) is False
    assert cursor.put(b"a", b"x") is True
    assert cursor.get(b"a") == b"x"


def test_put_takes_names(cursor):
    assert cursor.put(key=b"k", value=b"v", dupdata=True, overwrite=True, append=False) is True


def test_put_duplicates(dup_cursor):
    assert dup_cursor.put(b"a", b"2") is True
    assert dup_cursor.put(b"a", b"2", dupdata=False) is False
    assert dup_cursor.put(b"a", b"0", overwrite=False) is False
    assert dup_cursor.put(b"c", b"6", append=True) is True
    assert dup_cursor.item() == (b"c", b"6")
    assert dup_cursor.put(b"c", b"1", append=True) is False


def test_a_put_that_is_refused_moves_to_the_record_in_the_way(cursor):
    assert cursor.put(b"b", b"new", overwrite=False) is False
    assert cursor.item() == (b"b", b"2")
    assert cursor.put(b"a", b"new", append=True) is False
    assert cursor.item() == (b"d", b"4")
    assert cursor.putmulti([(b"c", b"new")], overwrite=False) == (1, 0)
    assert cursor.item() == (b"c", b"3")
    assert cursor.next()
    assert cursor.key() == b"d"


def test_a_refused_duplicate_too(dup_cursor):
    assert dup_cursor.put(b"a", b"2", dupdata=False) is False
    assert dup_cursor.item() == (b"a", b"2")
    assert dup_cursor.put(b"b", b"1", dupdata=False) is False
    assert dup_cursor.item() == (b"b", b"1")
    assert dup_cursor.put(b"c", b"9", overwrite=False) is False
    assert dup_cursor.item() == (b"c", b"1")


def test_an_error_does_not_move(cursor):
    assert cursor.set_key(b"b")
    with pytest.raises(lmdb.BadValsizeError):
        cursor.put(b"", b"v")
    assert cursor.item() == (b"b", b"2")


def test_put_errors_name_the_limit(cursor, env):
    limit = env.max_key_size()
    with pytest.raises(lmdb.BadValsizeError, match=f"key has {limit + 7} bytes, it must have 1 to {limit}"):
        cursor.put(b"k" * (limit + 7), b"v")
    with pytest.raises(lmdb.BadValsizeError):
        cursor.put(None, b"v")


def test_replace(cursor):
    assert cursor.replace(b"b", b"new") == b"2"
    assert cursor.item() == (b"b", b"new")
    assert cursor.replace(b"x", b"new") is None
    assert cursor.item() == (b"x", b"new")


def test_replace_duplicates(dup_cursor, pairs):
    assert dup_cursor.replace(b"a", b"9") == b"1"
    assert list(dup_cursor._pytxn.items()) == [(b"a", b"9"), *pairs[3:]]


def test_pop(cursor):
    assert cursor.pop(b"b") == b"2"
    assert cursor.pop(b"b") is None
    assert list(cursor._pytxn.keys()) == [b"a", b"c", b"d"]


@pytest.mark.parametrize("method", ["replace", "pop"])
def test_old_values_are_bytes_with_buffers_too(env, method):
    """A view would be on a page that has just changed."""
    arguments = (b"new",) if method == "replace" else ()
    with env.begin(write=True, buffers=True) as txn:
        for target in (txn, txn.cursor()):
            txn.put(b"k", b"old")
            old = getattr(target, method)(b"k", *arguments)
            assert type(old) is bytes
            assert old == b"old"


def test_pop_duplicates(dup_cursor, pairs):
    assert dup_cursor.pop(b"a") == b"1"
    assert list(dup_cursor._pytxn.items()) == pairs[1:]


def test_next_nodup_after_the_only_key_was_deleted_and_inserted_again(env):
    db = env.open_db(b"dups", dupsort=True)
    with env.begin(db, write=True) as txn:
        txn.put(b"k", b"1")
        cursor = txn.cursor()
        assert cursor.set_key(b"k")
        txn.delete(b"k")
        txn.put(b"k", b"2")
        cursor.set_key(b"k")
        assert cursor.next_nodup() is False


@pytest.mark.parametrize("dupsort", [False, True])
def test_next_nodup_of_a_cursor_that_stood_on_the_deleted_key(env, dupsort):
    db = env.open_db(b"db", dupsort=dupsort)
    with env.begin(db, write=True) as txn:
        txn.put(b"k", b"1")
        cursor = txn.cursor()
        assert cursor.set_key(b"k")
        txn.delete(b"k")
        txn.put(b"k", b"2")
        assert cursor.next_nodup() is False


# -- other writers in the same transaction --


def test_values_are_read_anew_after_a_write_of_the_transaction(cursor):
    assert cursor.set_key(b"b")
    assert cursor.value() == b"2"
    cursor._pytxn.put(b"b", b"changed")
    assert cursor.item() == (b"b", b"changed")
    other = cursor._pytxn.cursor()
    other.put(b"b", b"again and longer" * 10)
    assert cursor.value() == b"again and longer" * 10


def test_a_record_deleted_under_the_cursor(cursor):
    assert cursor.set_key(b"b")
    cursor._pytxn.delete(b"b")
    assert cursor.key() == b"c"


def test_the_last_record_deleted_under_the_cursor(cursor):
    assert cursor.last()
    cursor._pytxn.delete(b"d")
    assert cursor.item() == EMPTY
    assert cursor.next() is False


def test_page_splits_keep_positions(env):
    with env.begin(write=True) as txn:
        for i in range(0, 2000, 2):
            txn.put(b"%05d" % i, b"x" * 20)
        cursors = [txn.cursor() for _ in range(20)]
        for n, cursor in enumerate(cursors):
            assert cursor.set_key(b"%05d" % (n * 100))
        for i in range(1, 2000, 2):
            txn.put(b"%05d" % i, b"y" * 20)
        for n, cursor in enumerate(cursors):
            assert cursor.key() == b"%05d" % (n * 100)
            assert cursor.next()
            assert cursor.key() == b"%05d" % (n * 100 + 1)
