"""Iterators that begin among the duplicates of a key: the cursor is on the very pair that was given last."""

from __future__ import annotations

import pytest

KEYS = [b"a", b"b", b"c"]
ITERATORS = ["iternext", "iterprev", "iternext_nodup", "iterprev_nodup", "iternext_dup", "iterprev_dup"]


@pytest.fixture(params=[3, 1000], ids=["on a page", "in a tree"])
def values(request):
    """Return the values of each key: few stay on the key's page, many get a tree of their own."""
    return [b"%04d" % number for number in range(request.param)]


@pytest.fixture
def cursor(env, values):
    """Return a cursor in a write transaction on a database whose keys have all the values."""
    db = env.open_db(b"dups", dupsort=True)
    with env.begin(db, write=True) as txn:
        cursor = txn.cursor()
        cursor.putmulti([(key, value) for key in KEYS for value in values])
        yield cursor


@pytest.mark.parametrize("at", [0, 1, -1])
@pytest.mark.parametrize("name", ITERATORS)
@pytest.mark.parametrize("taken", [1, 2])
def test_the_cursor_stands_on_the_pair_given_last(cursor, values, name, at, taken):
    assert cursor.set_key_dup(b"b", values[at])
    iterator = getattr(cursor, name)(keys=True, values=True)
    given = [pair for _, pair in zip(range(taken), iterator, strict=False)]
    assert given[0] == (b"b", values[at])
    if len(given) == taken:
        assert cursor.item() == given[-1]


@pytest.mark.parametrize("name", ITERATORS)
def test_the_pair_given_last_is_what_is_deleted(cursor, values, name):
    before = [(key, value) for key in KEYS for value in values]
    assert cursor.set_key_dup(b"b", values[1])
    given = next(getattr(cursor, name)(keys=True, values=True))
    assert given == (b"b", values[1])
    assert cursor.delete()
    before.remove(given)
    assert cursor.first()
    assert list(cursor.iternext()) == before


@pytest.mark.parametrize(("name", "others"), [("iternext_nodup", [b"c"]), ("iterprev_nodup", [b"a"])])
def test_keys_follow_from_there(cursor, values, name, others):
    assert cursor.set_key_dup(b"b", values[1])
    side = values[0] if name == "iternext_nodup" else values[-1]
    pairs = list(getattr(cursor, name)(keys=True, values=True))
    assert pairs == [(b"b", values[1]), *((key, side) for key in others)]
