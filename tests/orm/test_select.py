"""Selections are the records of a range, in order, whatever the bounds: checked against a sorted list."""

from __future__ import annotations

import tempfile
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import zlmdb
from zlmdb.orm.keys import Bytes16, Key, String, Uint16
from zlmdb.orm.values import Pickle


@pytest.fixture(scope="module")
def shared():
    """Return a database that examples of one test share, each in a transaction that it aborts."""
    with tempfile.TemporaryDirectory() as path, zlmdb.Database(path, sync=False) as db:
        yield db


words = st.text("ab\xff", max_size=3)
bounds = st.none() | words


@settings(max_examples=200)
@given(st.sets(words), bounds, bounds, bounds, st.booleans(), st.none() | st.integers(1, 5))
def test_any_range_is_that_of_a_sorted_list(shared, undone, present, start, stop, prefix, reverse, limit):
    pmap = zlmdb.MapStringString(500)
    neighbours = [zlmdb.MapStringString(499), zlmdb.MapStringString(501)]
    expected = sorted(
        key for key in present
        if (not start or key >= start) and (not stop or key < stop) and key.startswith(prefix or "")
    )  # fmt: skip
    expected = (expected[::-1] if reverse else expected)[:limit]
    with undone(shared) as txn:
        for other in neighbours:
            other[txn, ""] = other[txn, "\xff"] = "x"
        for key in present:
            pmap[txn, key] = key or "empty"
        options = {"from_key": start, "to_key": stop, "prefix": prefix, "reverse": reverse, "limit": limit}
        assert list(pmap.select(txn, **options)) == [(key, key or "empty") for key in expected]
        assert list(pmap.select(txn, **options, return_values=False)) == expected
        assert list(pmap.select(txn, **options, return_keys=False)) == [key or "empty" for key in expected]
        nothing = list(pmap.select(txn, **options, return_keys=False, return_values=False))
        assert nothing == [None] * len(expected)
        assert pmap.count(txn, prefix) == sum(key.startswith(prefix or "") for key in present)
        if start is not None and stop is not None:
            assert pmap.count_range(txn, start, stop) == sum(start <= key < stop for key in present)


def test_a_selection_can_be_iterated_over_again_and_sees_what_is_written(db):
    pmap = zlmdb.MapOidOid(1)
    with db.begin(write=True) as txn:
        selection = pmap.select(txn)
        assert list(selection) == []
        pmap.put_many(txn, ((i, i) for i in range(1, 10)))
        assert [key for key, _ in selection] == list(range(1, 10))
        seen = []
        for key, _ in selection:
            seen.append(key)
            if key == 3:
                pmap[txn, 20] = 20
                del pmap[txn, 4]
        assert seen == [1, 2, 3, 5, 6, 7, 8, 9, 20]
        iterator = iter(selection)
        assert next(iterator) == (1, 1)


def test_zero_and_the_empty_string_as_bounds_count_as_not_given(db):
    oids, strings = zlmdb.MapOidOid(1), zlmdb.MapStringString(2)
    with db.begin(write=True) as txn:
        for i in (0, 1, 2):
            oids[txn, i] = i
            strings[txn, str(i)] = "x"
        assert list(oids.select(txn, from_key=0, to_key=0, return_values=False)) == [0, 1, 2]
        assert list(strings.select(txn, from_key="", to_key="", return_values=False)) == ["0", "1", "2"]
        assert oids.count(txn, 0) == 3
        assert oids.count_range(txn, 0, 2) == 2


def test_prefixes_of_composite_keys(db):
    pmap = zlmdb.PersistentMap(1, key=Key(Uint16, Bytes16, String), value=Pickle)
    keys = [(n, bytes([b]) * 16, s) for n in (1, 2) for b in (5, 255) for s in ("", "x", "xy", "y")]
    with db.begin(write=True) as txn:
        for key in keys:
            pmap[txn, key] = key
        for prefix, expected in [
            (1, [key for key in keys if key[0] == 1]),
            ((2,), [key for key in keys if key[0] == 2]),
            ((2, b"\xff"), [key for key in keys if key[:2] == (2, b"\xff" * 16)]),
            ((2, b"\xff" * 16, "x"), [(2, b"\xff" * 16, "x"), (2, b"\xff" * 16, "xy")]),
            ((3,), []),
        ]:
            assert list(pmap.select(txn, prefix=prefix, return_values=False)) == expected
            assert pmap.count(txn, prefix) == len(expected)
            last = pmap.select(txn, prefix=prefix, reverse=True, limit=1, return_values=False)
            assert list(last) == expected[-1:]
        assert list(pmap.select(txn, prefix=(1,), from_key=(1, b"\xff" * 16, "xy"), return_values=False)) == [
            (1, b"\xff" * 16, "xy"),
            (1, b"\xff" * 16, "y"),
        ]


def test_a_selection_ends_with_its_transaction(db):
    pmap = zlmdb.MapOidOid(1)
    with db.begin(write=True) as txn:
        pmap.put_many(txn, ((i, i) for i in range(100)))
        selection = pmap.select(txn)
        iterators = [
            iter(selection),
            iter(pmap.select(txn, return_values=False)),
            iter(pmap.select(txn, return_keys=False)),
        ]
        for iterator in iterators:
            next(iterator)
    for iterator in iterators:
        with pytest.raises(zlmdb.orm.Error, match="not open"):
            list(iterator)
    with pytest.raises(zlmdb.orm.Error, match="not open"):
        list(selection)


def test_records_come_in_the_order_of_their_times(db):
    import numpy as np

    pmap = zlmdb.MapTimestampUuidCbor(1, marshal=lambda v: v, unmarshal=lambda v: v)
    times = [np.datetime64(n, "ns") for n in (5, 1, 3)]
    with db.begin(write=True) as txn:
        for time in times:
            pmap[txn, (time, UUID(int=1))] = int(time.astype(int))
        assert list(pmap.select(txn, return_keys=False)) == [1, 3, 5]
        assert list(pmap.select(txn, prefix=times[2], return_keys=False)) == [3]
