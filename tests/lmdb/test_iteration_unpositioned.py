"""Iterators whose cursor has been moved to nowhere: they are at its position, so they end."""

from __future__ import annotations

import pytest

from zlmdb import lmdb

EMPTY = (b"", b"")

ITERATORS = ["iternext", "iterprev", "iternext_nodup", "iterprev_nodup", "iternext_dup", "iterprev_dup"]


def before_the_first(cursor):
    assert cursor.first()
    assert not cursor.prev()


def behind_the_last(cursor):
    assert cursor.last()
    assert not cursor.next()


LOST = {
    "before the first": before_the_first,
    "behind the last": behind_the_last,
    "no such key": lambda cursor: cursor.set_key(b"zz"),
    "no such range": lambda cursor: cursor.set_range(b"zz"),
    "no such pair": lambda cursor: cursor.set_key_dup(b"a", b"9"),
    "another iterator's end": lambda cursor: list(cursor.iternext()),
    "another iterator's beginning": lambda cursor: list(cursor.iterprev()),
    "the last record deleted": lambda cursor: cursor.last() and cursor.delete(),
}


@pytest.mark.parametrize("lose", LOST.values(), ids=LOST)
@pytest.mark.parametrize("name", ITERATORS)
def test_an_iterator_does_not_begin_again(dup_cursor, name, lose):
    assert dup_cursor.set_key_dup(b"a", b"2")
    iterator = getattr(dup_cursor, name)()
    next(iterator)
    lose(dup_cursor)
    assert dup_cursor.item() == EMPTY
    assert list(iterator) == []
    assert dup_cursor.item() == EMPTY


@pytest.mark.parametrize("name", ITERATORS[:4])
def test_nor_before_its_first_record(cursor, name):
    iterator = getattr(cursor, name)()
    assert not cursor.set_key(b"zz")
    assert list(iterator) == []


def test_a_move_that_raises_ends_it_too(cursor):
    iterator = cursor.iternext()
    next(iterator)
    with pytest.raises(lmdb.IncompatibleError):
        cursor.first_dup()
    assert list(iterator) == []


def test_a_new_iterator_begins_where_it_always_does(cursor):
    behind_the_last(cursor)
    assert next(cursor.iternext(values=False)) == b"a"
    before_the_first(cursor)
    assert next(cursor.iterprev(values=False)) == b"d"


@pytest.mark.parametrize("dupsort", [False, True])
@pytest.mark.parametrize("buffers", [False, True])
@pytest.mark.parametrize("name", ITERATORS)
def test_the_only_record_is_deleted_before_it_is_given(env, name, buffers, dupsort):
    db = env.open_db(b"db", dupsort=dupsort)
    with env.begin(db, write=True, buffers=buffers) as txn:
        txn.put(b"k", b"v")
        cursor = txn.cursor()
        assert cursor.first()
        iterator = getattr(cursor, name)()
        assert txn.delete(b"k")
        assert list(iterator) == []
