"""Cursors: every move, and what an unpositioned one does."""

from __future__ import annotations

import pytest

import zlmdb.lmdb as lmdb

EMPTY = (b"", b"")


# -- positions --


def test_new_cursor_is_unpositioned(cursor):
    assert cursor.key() == b""
    assert cursor.value() == b""
    assert cursor.item() == EMPTY


def test_first_last_next_prev(cursor):
    assert cursor.first() is True
    assert cursor.item() == (b"a", b"1")
    assert cursor.next() is True
    assert cursor.key() == b"b"
    assert cursor.value() == b"2"
    assert cursor.last() is True
    assert cursor.item() == (b"d", b"4")
    assert cursor.prev() is True
    assert cursor.item() == (b"c", b"3")


def test_next_and_prev_of_an_unpositioned_cursor(cursor):
    assert cursor.next() is True
    assert cursor.key() == b"a"
    other = cursor._pytxn.cursor()
    assert other.prev() is True
    assert other.key() == b"d"


@pytest.mark.parametrize(("end", "beyond"), [("last", "next"), ("first", "prev")])
def test_a_move_beyond_the_end_leaves_it_unpositioned(cursor, end, beyond):
    assert getattr(cursor, end)()
    assert getattr(cursor, beyond)() is False
    assert cursor.item() == EMPTY
    assert cursor.delete() is False


@pytest.mark.parametrize("move", [
    "first", "last", "next", "prev", "next_nodup", "prev_nodup",
])  # fmt: skip
def test_empty_database(env, move):
    with env.begin() as txn:
        cursor = txn.cursor()
        assert getattr(cursor, move)() is False
        assert cursor.item() == EMPTY
        assert list(cursor) == []
        assert cursor.set_key(b"k") is False
        assert cursor.set_range(b"k") is False
        assert cursor.set_range(b"") is False


def test_set_key(cursor):
    assert cursor.set_key(b"c") is True
    assert cursor.item() == (b"c", b"3")
    assert cursor.set_key(b"bb") is False
    assert cursor.item() == EMPTY


@pytest.mark.parametrize("seek", ["set_key", "get", "pop"])
def test_empty_key(cursor, seek):
    with pytest.raises(lmdb.BadValsizeError):
        getattr(cursor, seek)(b"")


@pytest.mark.parametrize(
    ("key", "found"), [(b"", b"a"), (b"a", b"a"), (b"aa", b"b"), (b"d", b"d"), (b"0", b"a")]
)
def test_set_range(cursor, key, found):
    assert cursor.set_range(key) is True
    assert cursor.key() == found


def test_failed_set_range_is_behind_the_last_record(cursor):
    assert cursor.first()
    assert cursor.set_range(b"e") is False
    assert cursor.item() == EMPTY
    assert cursor.next() is False
    assert cursor.set_range(b"e") is False
    assert cursor.prev() is True
    assert cursor.key() == b"d"


def test_a_failed_seek_leaves_it_as_new(cursor):
    assert cursor.set_key(b"b")
    assert cursor.set_key(b"bb") is False
    assert cursor.next() is True
    assert cursor.key() == b"a"
    assert cursor.set_key(b"bb") is False
    assert cursor.prev() is True
    assert cursor.key() == b"d"


def test_get(cursor):
    assert cursor.get(b"b") == b"2"
    assert cursor.key() == b"b"
    assert cursor.get(b"x") is None
    assert cursor.item() == EMPTY
    assert cursor.get(key=b"x", default=7) == 7


# -- duplicates --


def test_next_walks_every_pair(dup_cursor, pairs):
    seen = []
    while dup_cursor.next():
        seen.append(dup_cursor.item())
    assert seen == pairs


def test_prev_walks_every_pair(dup_cursor, pairs):
    seen = []
    while dup_cursor.prev():
        seen.append(dup_cursor.item())
    assert seen == pairs[::-1]


def test_moves_among_duplicates(dup_cursor):
    assert dup_cursor.set_key(b"a")
    assert dup_cursor.item() == (b"a", b"1")
    assert dup_cursor.last_dup() is True
    assert dup_cursor.item() == (b"a", b"3")
    assert dup_cursor.next_dup() is False
    assert dup_cursor.set_key_dup(b"a", b"3")
    assert dup_cursor.prev_dup() is True
    assert dup_cursor.item() == (b"a", b"2")
    assert dup_cursor.first_dup() is True
    assert dup_cursor.item() == (b"a", b"1")
    assert dup_cursor.prev_dup() is False


def test_moves_between_keys(dup_cursor):
    assert dup_cursor.first()
    assert dup_cursor.next_nodup() is True
    assert dup_cursor.item() == (b"b", b"1")
    assert dup_cursor.next_nodup() is True
    assert dup_cursor.item() == (b"c", b"1")
    assert dup_cursor.next_nodup() is False
    assert dup_cursor.item() == EMPTY
    assert dup_cursor.last()
    assert dup_cursor.item() == (b"c", b"5")
    assert dup_cursor.prev_nodup() is True
    assert dup_cursor.item() == (b"b", b"1")
    assert dup_cursor.prev_nodup() is True
    assert dup_cursor.item() == (b"a", b"3")
    assert dup_cursor.prev_nodup() is False


@pytest.mark.parametrize("by", ["next_nodup", "iternext_nodup"])
def test_after_the_last_key_there_is_no_next_value_either(dup_cursor, by):
    """LMDB would go on with the second value of the last key."""
    assert dup_cursor.set_key(b"c")
    if by == "next_nodup":
        assert dup_cursor.next_nodup() is False
    else:
        assert list(dup_cursor.iternext_nodup()) == [b"c"]
    assert dup_cursor.next() is False
    assert dup_cursor.next_nodup() is False
    assert dup_cursor.item() == EMPTY
    assert dup_cursor.first()
    assert dup_cursor.next()


def test_set_key_dup(dup_cursor):
    assert dup_cursor.set_key_dup(b"a", b"2") is True
    assert dup_cursor.item() == (b"a", b"2")
    assert dup_cursor.set_key_dup(b"a", b"9") is False
    assert dup_cursor.item() == EMPTY
    assert dup_cursor.set_key_dup(b"x", b"1") is False


def test_set_range_dup(dup_cursor):
    assert dup_cursor.set_range_dup(b"c", b"2") is True
    assert dup_cursor.item() == (b"c", b"5")
    assert dup_cursor.set_range_dup(b"a", b"0") is True
    assert dup_cursor.item() == (b"a", b"1")
    assert dup_cursor.set_range_dup(b"c", b"6") is False
    assert dup_cursor.item() == EMPTY
    assert dup_cursor.set_range_dup(b"bb", b"1") is False
    assert dup_cursor.item() == EMPTY


def test_set_range_dup_on_a_key_with_one_value(dup_cursor):
    """There is no tree of duplicates to look in, only the one value."""
    assert dup_cursor.set_range_dup(b"b", b"0") is True
    assert dup_cursor.item() == (b"b", b"1")
    assert dup_cursor.set_range_dup(b"b", b"2") is False


@pytest.mark.parametrize("move", ["first_dup", "last_dup"])
def test_dup_moves_in_a_plain_database(cursor, move):
    with pytest.raises(lmdb.InvalidParameterError):
        getattr(cursor, move)()
    cursor.first()
    with pytest.raises((lmdb.InvalidParameterError, lmdb.IncompatibleError)):
        getattr(cursor, move)()


@pytest.mark.parametrize("move", ["first_dup", "last_dup"])
def test_dup_moves_of_an_unpositioned_cursor(dup_cursor, move):
    with pytest.raises(lmdb.InvalidParameterError):
        getattr(dup_cursor, move)()


def test_prev_dup_in_a_plain_database(cursor):
    assert cursor.first()
    assert cursor.prev_dup() is False


def test_count(dup_cursor):
    for key, count in ((b"a", 3), (b"b", 1), (b"c", 2)):
        assert dup_cursor.set_key(key)
        assert dup_cursor.count() == count


def test_count_errors(cursor):
    cursor.first()
    with pytest.raises(lmdb.IncompatibleError):
        cursor.count()


def test_count_of_an_unpositioned_cursor(dup_cursor):
    with pytest.raises(lmdb.InvalidParameterError):
        dup_cursor.count()


def test_dup_seeks_in_a_plain_database(cursor):
    for seek in (cursor.set_key_dup, cursor.set_range_dup):
        with pytest.raises(lmdb.Error):
            seek(b"a", b"1")
