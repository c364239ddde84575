"""Ranges of keys: `Transaction.items()`, `keys()` and `values()` against a sorted list."""

from __future__ import annotations

import tempfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import zlmdb.lmdb as lmdb

CLOSED = r"^Attempt to operate on closed/deleted/dropped object\.$"

# Few different bytes, so that ranges and prefixes meet keys; 0xFF and 0 are the hard edges.
KEYS = st.lists(st.sampled_from([0x00, 0x01, 0x61, 0xFE, 0xFF]), min_size=1, max_size=4).map(bytes)
BOUNDS = st.one_of(st.none(), st.just(b""), KEYS)
RANGES = st.fixed_dictionaries({
    "start": BOUNDS, "stop": BOUNDS, "prefix": BOUNDS, "reverse": st.booleans(),
    "limit": st.one_of(st.none(), st.integers(0, 5)),
})  # fmt: skip


def expected(pairs, start, stop, prefix, reverse, limit):
    found = [
        (key, value) for key, value in sorted(pairs)
        if (start is None or key >= start) and (stop is None or key < stop) and key.startswith(prefix or b"")
    ]  # fmt: skip
    return (found[::-1] if reverse else found)[:limit]


@pytest.fixture
def filled(env):
    """Return an environment with the keys 00 to 99."""
    with env.begin(write=True) as txn:
        for i in range(100):
            txn.put(b"%02d" % i, b"v%d" % i)
    return env


@pytest.mark.parametrize("major", [0, 1])
@pytest.mark.parametrize("dupsort", [False, True])
@pytest.mark.parametrize("buffers", [False, True])
def test_ranges_are_those_of_a_sorted_list(major, dupsort, buffers):
    values = st.sampled_from([b"1", b"2", b"3"])
    collections = st.sets(st.tuples(KEYS, values), max_size=40) if dupsort else (
        st.dictionaries(KEYS, values, max_size=40).map(lambda mapping: set(mapping.items()))
    )  # fmt: skip

    with (
        tempfile.TemporaryDirectory() as path,
        lmdb.open(path, max_dbs=1, lib_version=major, sync=False) as env,
    ):
        db = env.open_db(b"db", dupsort=dupsort)

        @settings(max_examples=150, deadline=None, derandomize=True, database=None)
        @given(collections, st.lists(RANGES, min_size=1, max_size=8))
        def check(pairs, ranges):
            with env.begin(write=True) as txn:
                txn.drop(db, delete=False)
                for key, value in pairs:
                    txn.put(key, value, db=db)
            with env.begin(db, buffers=buffers) as txn:
                for range_ in ranges:
                    wanted = expected(pairs, **range_)
                    assert [(bytes(k), bytes(v)) for k, v in txn.items(**range_)] == wanted
                    assert [bytes(k) for k in txn.keys(**range_)] == [key for key, _ in wanted]
                    assert [bytes(v) for v in txn.values(**range_)] == [value for _, value in wanted]

        check()


def test_everything(filled):
    with filled.begin() as txn:
        assert list(txn.items()) == [(b"%02d" % i, b"v%d" % i) for i in range(100)]
        assert list(txn.keys(reverse=True)) == [b"%02d" % i for i in range(99, -1, -1)]
        assert list(txn.values(limit=2)) == [b"v0", b"v1"]


def test_start_is_included_and_stop_is_not(filled):
    with filled.begin() as txn:
        assert list(txn.keys(b"10", b"13")) == [b"10", b"11", b"12"]
        assert list(txn.keys(b"10", b"13", reverse=True)) == [b"12", b"11", b"10"]
        assert list(txn.keys(start=b"97")) == [b"97", b"98", b"99"]
        assert list(txn.keys(stop=b"02")) == [b"00", b"01"]


def test_prefix(filled):
    with filled.begin() as txn:
        assert list(txn.keys(prefix=b"4")) == [b"%02d" % i for i in range(40, 50)]
        assert list(txn.keys(prefix=b"4", reverse=True, limit=2)) == [b"49", b"48"]
        assert list(txn.keys(prefix=b"42")) == [b"42"]
        assert list(txn.keys(prefix=b"x")) == []
        assert len(list(txn.keys(prefix=b""))) == 100
        assert list(txn.keys(start=b"45", stop=b"47", prefix=b"4")) == [b"45", b"46"]


@pytest.mark.parametrize("prefix", [b"\xff", b"\xff\xff", b"a\xff", b"a\xff\xff"])
@pytest.mark.parametrize("reverse", [False, True])
def test_prefix_that_ends_in_ff(env, prefix, reverse):
    """It has no successor of the same length: the usual "increment the last byte" is wrong."""
    keys = [b"a", b"a\xfe", b"a\xff", b"a\xff\x00", b"a\xff\xff", b"a\xff\xff\xff", b"b", b"\xfe", b"\xff",
            b"\xff\xfe", b"\xff\xff", b"\xff\xff\x00", b"\xff\xff\xff"]  # fmt: skip
    with env.begin(write=True) as txn:
        for key in keys:
            txn.put(key, b"")
        wanted = sorted(key for key in keys if key.startswith(prefix))
        assert list(txn.keys(prefix=prefix, reverse=reverse)) == (wanted[::-1] if reverse else wanted)


@pytest.mark.parametrize("range_", [
    {"start": b"50", "stop": b"50"}, {"start": b"60", "stop": b"50"}, {"stop": b""}, {"start": b"x"},
    {"prefix": b"1", "start": b"2"}, {"prefix": b"2", "stop": b"2"}, {"limit": 0}, {"stop": b"0"},
])  # fmt: skip
@pytest.mark.parametrize("reverse", [False, True])
def test_empty_ranges(filled, range_, reverse):
    with filled.begin() as txn:
        assert list(txn.items(**range_, reverse=reverse)) == []


@pytest.mark.parametrize("reverse", [False, True])
def test_empty_database(env, reverse):
    with env.begin() as txn:
        assert list(txn.items(reverse=reverse)) == []
        assert list(txn.keys(start=b"a", stop=b"b", prefix=b"a", reverse=reverse)) == []


def test_limit(filled):
    with filled.begin() as txn:
        for limit in (0, 1, 15, 16, 17, 99, 100, 101, 10**9):
            assert len(list(txn.items(limit=limit))) == min(limit, 100)
        with pytest.raises(ValueError, match="limit must be >= 0, not -1"):
            txn.items(limit=-1)


def test_named_and_default_databases(filled):
    db = filled.open_db(b"named")
    with filled.begin(db, write=True) as txn:
        txn.put(b"k", b"v")
        assert list(txn.items()) == [(b"k", b"v")]
        assert b"00" in list(txn.keys(db=filled.open_db()))


def test_dupsort_gives_every_value(env):
    db = env.open_db(b"dups", dupsort=True)
    pairs = [(b"%d" % i, b"%d" % j) for i in range(3) for j in range(3)]
    with env.begin(db, write=True) as txn:
        txn.cursor().putmulti(pairs)
        assert list(txn.items()) == pairs
        assert list(txn.items(reverse=True)) == pairs[::-1]
        assert list(txn.items(start=b"1", stop=b"2")) == pairs[3:6]
        assert list(txn.items(start=b"1", limit=4)) == pairs[3:7]
        assert list(txn.items(stop=b"2", reverse=True, limit=4)) == pairs[2:6][::-1]


def test_integerkey(env, native):
    db = env.open_db(b"numbers", integerkey=True)
    numbers = [1, 2, 255, 256, 257, 65_536]
    with env.begin(db, write=True) as txn:
        for number in numbers:
            txn.put(native(number), b"%d" % number)
        assert list(txn.values()) == [b"%d" % number for number in numbers]
        assert list(txn.values(start=native(255), stop=native(257))) == [b"255", b"256"]
        assert list(txn.values(stop=native(256), reverse=True)) == [b"255", b"2", b"1"]
        with pytest.raises(ValueError, match="integerkey"):
            txn.items(start=b"abc")
        with pytest.raises(ValueError, match="prefix"):
            txn.items(prefix=native(1))


def test_reverse_key(env):
    db = env.open_db(b"reversed", reverse_key=True)
    keys = [b"ba", b"ca", b"ab", b"bb"]
    with env.begin(db, write=True) as txn:
        for key in keys:
            txn.put(key, b"")
        assert list(txn.keys()) == keys
        assert list(txn.keys(start=b"ca", stop=b"bb")) == [b"ca", b"ab"]
        assert list(txn.keys(start=b"ca", stop=b"bb", reverse=True)) == [b"ab", b"ca"]
        with pytest.raises(ValueError, match="prefix"):
            txn.items(prefix=b"a")


def test_any_buffer_as_a_bound(filled):
    with filled.begin() as txn:
        assert list(txn.keys(bytearray(b"10"), memoryview(b"12"))) == [b"10", b"11"]
        assert list(txn.keys(prefix=bytearray(b"42"))) == [b"42"]


@pytest.mark.parametrize("name", ["start", "stop", "prefix"])
@pytest.mark.parametrize("bound", [1, "10", [b"10"]])
def test_types(filled, name, bound):
    with filled.begin() as txn, pytest.raises(TypeError, match=name):
        txn.items(**{name: bound})


def test_bounds_longer_than_any_key(filled):
    with filled.begin() as txn:
        assert list(txn.keys(start=b"98" + b"x" * 5000)) == [b"99"]
        assert list(txn.keys(stop=b"00" + b"x" * 5000)) == [b"00"]
        assert list(txn.keys(stop=b"01" + b"x" * 5000, reverse=True)) == [b"01", b"00"]


def test_iterators_are_independent(filled):
    with filled.begin() as txn:
        assert list(zip(txn.keys(), txn.keys(reverse=True), strict=True)) == [
            (b"%02d" % i, b"%02d" % (99 - i)) for i in range(100)
        ]


def test_writing_while_iterating(filled):
    with filled.begin(write=True) as txn:
        for key in txn.keys(prefix=b"4"):
            txn.delete(key)
            if int(key) % 2 and len(key) == 2:
                txn.put(key + b"x", b"")
        assert list(txn.keys(prefix=b"4")) == [b"41x", b"43x", b"45x", b"47x", b"49x"]


def test_deleting_the_range_backwards(filled):
    with filled.begin(write=True) as txn:
        seen = []
        for key in txn.keys(b"20", b"80", reverse=True):
            seen.append(key)
            txn.delete(key)
        assert seen == [b"%02d" % i for i in range(79, 19, -1)]
        assert len(list(txn.keys())) == 40


def test_limit_counts_over_writes(filled):
    with filled.begin(write=True) as txn:
        seen = []
        for key in txn.keys(limit=30):
            seen.append(key)
            txn.delete(key)
        assert seen == [b"%02d" % i for i in range(30)]


@pytest.mark.parametrize("end", ["abort", "commit"])
def test_the_end_in_mid_iteration(filled, end):
    txn = filled.begin()
    iterator = txn.items()
    next(iterator)
    getattr(txn, end)()
    with pytest.raises(lmdb.Error, match=CLOSED):
        next(iterator)


def test_values_beyond_the_chunk(env):
    records = [(b"%02d" % i, bytes([i]) * (i * 50_000)) for i in range(12)]
    with env.begin(write=True) as txn:
        txn.cursor().putmulti(records)
        assert list(txn.items(b"02", b"11")) == records[2:11]
        assert list(txn.items(b"02", b"11", reverse=True)) == records[2:11][::-1]
        assert list(txn.values(prefix=b"1", limit=1)) == [records[10][1]]
