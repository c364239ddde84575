"""Selections are the records of a range, in order, whatever the bounds: checked against a sorted list."""

from __future__ import annotations

import enum
import tempfile
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import zlmdb
from zlmdb.orm.keys import Bytes16, Key, Oid, String, Uint16
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
        if (start is None or key >= start) and (stop is None or key < stop) and key.startswith(prefix or "")
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


def test_zero_and_the_empty_string_are_bounds_like_others(db):
    oids, strings = zlmdb.MapOidOid(1), zlmdb.MapStringString(2)
    pairs = zlmdb.MapOidOidOid(3)
    with db.begin(write=True) as txn:
        for i in (0, 1, 2):
            oids[txn, i] = pairs[txn, (i, i)] = i
            strings[txn, str(i) if i else ""] = "x"
        assert list(oids.select(txn, from_key=0, to_key=0)) == []
        assert list(oids.select(txn, to_key=1, return_values=False)) == [0]
        assert list(strings.select(txn, to_key="")) == []
        assert list(strings.select(txn, from_key="", to_key="1", return_values=False)) == [""]
        assert oids.count(txn, 0) == oids.count(txn, prefix=0) == 1
        assert pairs.count(txn, prefix=0) == pairs.count(txn, prefix=(0,)) == 1
        assert list(pairs.select(txn, prefix=0, return_keys=False)) == [0]
        assert oids.count(txn, None) == oids.count(txn) == len(list(oids.select(txn, None, None))) == 3
        assert oids.count_range(txn, 0, 2) == 2


class Zero(enum.IntEnum):
    """A first member that is falsy."""

    FIRST = 0


def test_the_first_member_of_an_enum_is_no_missing_bound(db):
    """It is refused by the kinds of keys that refuse its siblings."""
    pmap = zlmdb.MapOidOid(1)
    with db.begin() as txn:
        for use in (pmap.count, lambda txn, key: pmap.select(txn, from_key=key)):
            with pytest.raises(zlmdb.orm.errors.EncodeError, match=r"Zero\.FIRST"):
                use(txn, Zero.FIRST)


def test_prefixes_of_composite_keys(db):
    pmap = zlmdb.PersistentMap(1, key=Key(Uint16, Bytes16, String), value=Pickle)
    keys = [(n, bytes([b]) * 16, s) for n in (1, 2) for b in (5, 255) for s in ("", "x", "xy", "y")]
    starts = zlmdb.StartsWith
    with db.begin(write=True) as txn:
        for key in keys:
            pmap[txn, key] = key
        for prefix, expected in [
            (1, [key for key in keys if key[0] == 1]),
            ((2,), [key for key in keys if key[0] == 2]),
            ((2, b"\xff" * 16), [key for key in keys if key[:2] == (2, b"\xff" * 16)]),
            ((2, starts(b"\xff")), [key for key in keys if key[:2] == (2, b"\xff" * 16)]),
            ((2, starts(b"")), [key for key in keys if key[0] == 2]),
            ((2, b"\xff" * 16, "x"), [(2, b"\xff" * 16, "x")]),
            ((2, b"\xff" * 16, ""), [(2, b"\xff" * 16, "")]),
            ((2, b"\xff" * 16, starts("x")), [(2, b"\xff" * 16, "x"), (2, b"\xff" * 16, "xy")]),
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


def test_londonderry_is_not_in_london(db):
    by_city = zlmdb.MapStringOidOid(1)
    with db.begin(write=True) as txn:
        for oid, city in enumerate(["London", "Londonderry", "London", "Lond", "London\0", ""]):
            by_city[txn, (city, oid)] = oid
        for london in ("London", ("London",)):
            assert list(by_city.select(txn, prefix=london, return_keys=False)) == [0, 2]
            assert list(by_city.select(txn, prefix=london, return_values=False)) == [
                ("London", 0),
                ("London", 2),
            ]
            assert list(by_city.select(txn, prefix=london)) == [(("London", 0), 0), (("London", 2), 2)]
            assert list(by_city.select(txn, prefix=london, limit=1, reverse=True, return_keys=False)) == [2]
            assert list(by_city.select(txn, prefix=london, from_key=("London", 1), return_keys=False)) == [2]
            assert by_city.count(txn, london) == 2
        assert by_city.count(txn, ("London", 2)) == 1
        assert by_city.count(txn, zlmdb.StartsWith("London")) == 4
        assert by_city.count(txn, (zlmdb.StartsWith("Lond"),)) == 5
        assert by_city.count(txn, "") == by_city.count(txn, ("", 5)) == 1
        assert by_city.count(txn, zlmdb.StartsWith("")) == 6


def test_what_follows_a_string_is_not_taken_for_its_end(db):
    pmap = zlmdb.PersistentMap(1, key=(String, Bytes16), value=Pickle)
    with db.begin(write=True) as txn:
        for key in [
            ("", b"abc" + bytes(13)),
            ("a", b"bc" + bytes(14)),
            ("abc", bytes(16)),
            ("abcd", bytes(16)),
        ]:
            pmap[txn, key] = key[0]
        starts = zlmdb.StartsWith
        for prefix, expected in [
            ("a", ["a"]),
            (starts("a"), ["a", "abc", "abcd"]),
            (starts("abc"), ["abc", "abcd"]),
        ]:
            assert list(pmap.select(txn, prefix=prefix, return_keys=False)) == expected
            assert pmap.count(txn, prefix) == len(expected)
        assert list(pmap.select(txn, prefix=("a", starts(b"bc")), return_keys=False)) == ["a"]


parts = st.lists(st.sampled_from([Oid, Bytes16, String, Uint16]), min_size=1, max_size=4)


def value_of(part):
    if part is Bytes16:
        return st.sampled_from([bytes(16), b"a" * 16, b"a" * 15 + b"\0"])
    return st.text("a\0b", max_size=3) if part is String else st.integers(0, 3)


@settings(max_examples=500)
@given(st.data(), parts)
def test_a_prefix_is_exact_in_each_part_that_it_names(shared, undone, data, kinds):
    try:
        pmap = zlmdb.PersistentMap(1, key=Key(*kinds), value=Pickle)
    except zlmdb.orm.errors.UsageError:  # strings that are no neighbours
        return
    drawn = data.draw(st.lists(st.tuples(*map(value_of, kinds)), min_size=1, max_size=12))
    named = data.draw(st.integers(1, len(kinds)))
    first = data.draw(st.sampled_from(drawn))[:named]
    begun = kinds[named - 1].has_beginnings and data.draw(st.booleans())
    with undone(shared) as txn:
        stored = set()
        for key in drawn:
            try:
                pmap[txn, key if len(kinds) > 1 else key[0]] = key
                stored.add(key)
            except zlmdb.orm.errors.EncodeError:  # NUL in a string before another
                pass
        if first not in {key[:named] for key in stored} or (len(kinds) == 1 and not kinds[0].has_beginnings):
            return
        expected = {key for key in stored if key[:named] == first}
        prefix = first
        if begun:
            start = first[-1][: data.draw(st.integers(0, len(first[-1])))]
            if "\0" in str(start) and named < len(kinds) and kinds[named] is String:
                return
            prefix = (*first[:-1], zlmdb.StartsWith(start))
            expected = {
                key for key in stored if key[: named - 1] == first[:-1] and key[named - 1].startswith(start)
            }
        assert set(pmap.select(txn, prefix=prefix, return_keys=False)) == expected
        assert pmap.count(txn, prefix) == len(expected)


def test_of_keys_with_one_part_a_prefix_is_the_beginning_as_before(db):
    """So counted the releases before, which knew no other."""
    strings, hashes = zlmdb.MapStringString(1), zlmdb.MapBytes20Bytes20(2)
    with db.begin(write=True) as txn:
        for key in ("test-1", "test-11", "test-2", ""):
            strings[txn, key] = "x"
        hashes[txn, b"a" * 20] = hashes[txn, b"ab" * 10] = bytes(20)
        assert [strings.count(txn, p) for p in ("test-1", "", zlmdb.StartsWith("test-1"))] == [2, 4, 2]
        assert [strings.count(txn, (p,)) for p in ("test-1", "", "test")] == [1, 1, 0]
        assert [hashes.count(txn, p) for p in (b"a", b"ab", zlmdb.StartsWith(b"a"))] == [2, 1, 2]


def test_what_the_releases_before_counted_of_whole_keys_is_asked_for_with_startswith(db):
    pmap = zlmdb.MapStringStringUuid(1)
    with db.begin(write=True) as txn:
        for key in [("a", "b"), ("a", "bc"), ("ab", "b")]:
            pmap[txn, key] = UUID(int=1)
        assert pmap.count(txn, ("a", "b")) == 1
        assert pmap.count(txn, ("a", zlmdb.StartsWith("b"))) == 2
        assert pmap.count(txn, ("a", zlmdb.StartsWith(""))) == pmap.count(txn, "a") == 2


@pytest.mark.parametrize(("prefix", "message"), [
    (zlmdb.StartsWith("1"), "Oid is given as a whole"),
    ((zlmdb.StartsWith("a"), 5), "Oid"),
    ((5, zlmdb.StartsWith(b"a")), "String takes a str"),
    ((5, "a", "b"), "1 to 2 parts, not 3"),
    ((), "1 to 2 parts, not 0"),
])  # fmt: skip
def test_prefixes_that_do_not_fit_are_refused_with_the_map(db, prefix, message):
    pmap = zlmdb.MapOidStringOid(1)
    with (
        db.begin() as txn,
        pytest.raises(zlmdb.orm.errors.EncodeError, match=rf"MapOidStringOid .*{message}"),
    ):
        pmap.count(txn, prefix)


def test_a_beginning_of_something_else_than_text_is_refused():
    with pytest.raises(zlmdb.orm.errors.UsageError, match=r"StartsWith takes .* not int 5"):
        zlmdb.StartsWith(5)


def test_what_select_returns_is_an_iterator_itself(db):
    pmap = zlmdb.MapOidOid(1)
    with db.begin(write=True) as txn:
        pmap.put_many(txn, ((n, n) for n in range(4)))
        selection = pmap.select(txn, return_values=False)
        assert [next(selection), next(selection)] == [0, 1]
        iterator = iter(selection)
        assert [next(iterator), next(selection), next(iterator)] == [0, 1, 2]
        assert list(selection) == [0, 1, 2, 3]
        with pytest.raises(StopIteration):
            next(selection)
        assert next(pmap.select(txn, from_key=9), None) is None
        del selection, iterator
    with pytest.raises(zlmdb.orm.Error, match="not open"):
        next(pmap.select(txn))


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
