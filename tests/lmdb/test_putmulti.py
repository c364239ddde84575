"""`Cursor.putmulti()`: the same as a `put()` for each item, only faster."""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import zlmdb.lmdb as lmdb


@pytest.fixture
def cursor(env):
    """Return a cursor on an empty database, in a write transaction."""
    with env.begin(write=True) as txn:
        yield txn.cursor()


@pytest.fixture
def dup_cursor(env):
    """Return a cursor on an empty dupsort database."""
    with env.begin(env.open_db(b"dups", dupsort=True), write=True) as txn:
        yield txn.cursor()


def stored(cursor):
    return list(cursor._pytxn.items())


@pytest.mark.parametrize("count", [0, 1, 63, 64, 65, 5000, 30_000])
def test_counts(cursor, count):
    items = [(b"%06d" % i, b"v%d" % i) for i in range(count)]
    assert cursor.putmulti(items) == (count, count)
    assert stored(cursor) == items


def test_any_iterable(cursor):
    assert cursor.putmulti((b"%d" % i, b"") for i in range(5)) == (5, 5)
    assert cursor.putmulti({b"a": b"1", b"b": b"2"}.items()) == (2, 2)
    assert cursor.putmulti(iter([(b"c", b"3")])) == (1, 1)
    assert cursor.putmulti(()) == (0, 0)


def test_overwriting_counts_as_added(cursor):
    assert cursor.putmulti([(b"k", b"1"), (b"k", b"2")]) == (2, 2)
    assert stored(cursor) == [(b"k", b"2")]


def test_without_overwrite(cursor):
    cursor.put(b"b", b"old")
    assert cursor.putmulti([(b"a", b"1"), (b"b", b"2"), (b"c", b"3")], overwrite=False) == (3, 2)
    assert stored(cursor) == [(b"a", b"1"), (b"b", b"old"), (b"c", b"3")]


# Keys whose order is decided late, or by their length, or by NULs.
KEYS = st.one_of(
    st.binary(min_size=1, max_size=3),
    st.text("\0a\xff", min_size=1, max_size=9).map(lambda text: text.encode("latin-1")),
    st.builds(lambda head, tail: b"k" * head + tail, st.integers(5, 30), st.binary(max_size=2)),
)
PAIRS = st.lists(st.tuples(KEYS, st.binary(max_size=2)), max_size=200)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=PAIRS, items=PAIRS, overwrite=st.booleans(), data=st.data())
def test_the_same_as_one_after_the_other(env, before, items, overwrite, data):
    """The records, what is counted, and where this cursor and another one stand."""
    results = []
    marks = data.draw(st.sampled_from([key for key, _ in before] or [b"none"]))
    for name in (b"together", b"apart"):
        db = env.open_db(name)
        with env.begin(db, write=True) as txn:
            txn.drop(db, delete=False)
            for key, value in before:
                txn.put(key, value)
            cursor, other = txn.cursor(), txn.cursor()
            other.set_key(marks)
            if name == b"together":
                counts = cursor.putmulti(items, overwrite=overwrite)
            else:
                counts = (len(items), sum(cursor.put(*item, overwrite=overwrite) for item in items))
            results.append((counts, cursor.item(), other.item(), list(other.iternext()), list(txn.items())))
    assert results[0] == results[1]


@pytest.mark.parametrize("prefix", [0, 6, 7, 8, 200])
def test_many_keys_in_any_order(cursor, prefix):
    items = [(b"p" * prefix + b"%d" % i, b"%d" % i) for i in range(20_000)]
    random.Random(prefix).shuffle(items)
    assert cursor.putmulti(items) == (20_000, 20_000)
    assert stored(cursor) == sorted(items)
    assert cursor.item() == items[-1]


def test_append(cursor):
    assert cursor.putmulti([(b"a", b"1"), (b"c", b"2"), (b"b", b"3"), (b"d", b"4")], append=True) == (4, 3)
    assert [key for key, _ in stored(cursor)] == [b"a", b"c", b"d"]


def test_dupsort(dup_cursor):
    items = [(b"k", b"1"), (b"k", b"2"), (b"k", b"1"), (b"l", b"1")]
    assert dup_cursor.putmulti(items) == (4, 4)
    assert stored(dup_cursor) == [(b"k", b"1"), (b"k", b"2"), (b"l", b"1")]


def test_dupsort_without_dupdata(dup_cursor):
    items = [(b"k", b"1"), (b"k", b"2"), (b"k", b"1"), (b"l", b"1")]
    assert dup_cursor.putmulti(items, dupdata=False) == (4, 3)
    assert len(stored(dup_cursor)) == 3


def test_dupsort_without_overwrite(dup_cursor):
    assert dup_cursor.putmulti([(b"k", b"1"), (b"k", b"2")], overwrite=False) == (2, 1)
    assert stored(dup_cursor) == [(b"k", b"1")]


def test_dupsort_append(dup_cursor):
    """APPENDDUP: the values of a key in order."""
    items = [(b"k", b"%04d" % i) for i in range(2000)] + [(b"l", b"1")]
    assert dup_cursor.putmulti(items, append=True) == (2001, 2001)
    assert stored(dup_cursor) == items


def test_arguments_by_position(cursor):
    cursor.put(b"k", b"old")
    assert cursor.putmulti([(b"k", b"new")], True, False, False) == (1, 0)


def test_buffers_as_items(cursor):
    items = [(b"a", b"1"), (bytearray(b"b"), memoryview(b"2")), (memoryview(b"d"), b"4")]
    assert cursor.putmulti(items) == (3, 3)
    assert stored(cursor) == [(b"a", b"1"), (b"b", b"2"), (b"d", b"4")]


def test_large_values(cursor):
    items = [(b"%d" % i, bytes([i]) * size) for i, size in enumerate((10, 1_000_000, 0, 300_000, 5))]
    assert cursor.putmulti(items) == (5, 5)
    assert stored(cursor) == items


BAD = {
    "list": [b"k", b"v"], "three": (b"k", b"v", b"w"), "one": (b"k",), "bytes": b"kv", "None": None, "int": 5,
    "int key": (1, b"v"), "str key": ("k", b"v"), "str value": (b"k", "v"),
    "no key": (None, b"v"), "no value": (b"k", None), "nested": ((b"k", b"v"), (b"k", b"v")),
    "empty": (), "str": "kv",
}  # fmt: skip


@pytest.mark.parametrize("before", [0, 1, 64, 200])
@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_a_bad_item_keeps_the_ones_before(cursor, bad, before):
    good = [(b"%04d" % i, b"v") for i in range(before)]
    with pytest.raises(TypeError):
        cursor.putmulti([*good, bad, (b"after", b"v")])
    assert stored(cursor) == good


def test_a_subclass_of_tuple_is_no_exact_pair(cursor):
    class Pair(tuple):
        __slots__ = ()

    with pytest.raises(TypeError):
        cursor.putmulti([Pair((b"k", b"v"))])
    assert stored(cursor) == []


@pytest.mark.parametrize("before", [0, 1, 64, 200])
@pytest.mark.parametrize("key", [b"", b"k" * 5000])
def test_a_bad_key_keeps_the_ones_before(cursor, key, before):
    good = [(b"%04d" % i, b"v") for i in range(before)]
    with pytest.raises(lmdb.BadValsizeError):
        cursor.putmulti([*good, (key, b"v"), (b"after", b"v")])
    assert stored(cursor) == good


def test_a_too_long_key_names_the_limit(cursor, env):
    limit = env.max_key_size()
    with pytest.raises(lmdb.BadValsizeError, match=f"key has {limit + 1} bytes, it must have 1 to {limit}"):
        cursor.putmulti([(b"a", b"1"), (b"k" * (limit + 1), b"v")])


def test_a_too_long_value_names_the_limit(dup_cursor, env):
    limit = env.max_key_size()
    with pytest.raises(lmdb.BadValsizeError, match=f"value has {limit + 1} bytes"):
        dup_cursor.putmulti([(b"a", b"1"), (b"b", b"v" * (limit + 1))])


def test_an_iterable_that_raises_keeps_the_items_before(cursor):
    def items():
        for i in range(100):
            yield b"%04d" % i, b"v"
        raise KeyError("own")

    with pytest.raises(KeyError, match="own"):
        cursor.putmulti(items())
    assert [key for key, _ in stored(cursor)] == [b"%04d" % i for i in range(100)]


def test_not_iterable(cursor):
    with pytest.raises(TypeError):
        cursor.putmulti(5)


def test_an_iterable_that_reads_the_transaction_sees_each_item_before(cursor):
    txn = cursor._pytxn
    words = [b"one", b"two", b"one", b"three", b"one"] * 200

    def counts():
        for word in words:
            yield word, b"%d" % (int(txn.get(word, b"0")) + 1)

    assert cursor.putmulti(counts()) == (1000, 1000)
    assert stored(cursor) == [(b"one", b"600"), (b"three", b"200"), (b"two", b"200")]


def test_an_iterable_over_the_same_database_meets_what_it_adds(cursor):
    cursor.putmulti([(b"%d" % digit, b"") for digit in range(3)])
    source = cursor._pytxn.cursor()
    longer = ((key + b"x", b"") for key, _ in source if len(key) < 4)
    assert cursor.putmulti(longer) == (9, 9)
    assert len(stored(cursor)) == 12


def test_an_iterable_that_closes_the_cursor(cursor):
    def items():
        yield b"a", b""
        cursor.close()
        yield b"b", b""

    with pytest.raises(lmdb.Error, match="closed"):
        cursor.putmulti(items())


def test_during_an_iteration_of_the_same_transaction(cursor):
    cursor.putmulti([(b"%04d" % i, b"old") for i in range(200)])
    iterator = cursor._pytxn.cursor().iternext()
    assert next(iterator) == (b"0000", b"old")
    cursor.putmulti([(b"%04d" % i, b"new") for i in range(200)])
    assert list(iterator) == [(b"%04d" % i, b"new") for i in range(1, 200)]


def test_map_full(open_env):
    env = open_env(map_size=256 * 1024)
    txn = env.begin(write=True)
    with pytest.raises(lmdb.MapFullError):
        txn.cursor().putmulti((b"%06d" % i, b"v" * 100) for i in range(100_000))
    txn.abort()
    assert env.stat()["entries"] == 0


def test_read_transaction(env):
    with env.begin() as txn:
        with pytest.raises(lmdb.ReadonlyError):
            txn.cursor().putmulti([(b"k", b"v")])
        assert txn.cursor().putmulti([]) == (0, 0)


def test_same_as_single_puts(env):
    """In every mode, on data with repetitions."""
    import itertools
    import random

    source = random.Random(11)
    items = [(b"%d" % source.randrange(50), b"%d" % source.randrange(4)) for _ in range(400)]
    modes = [dict(zip(("dupdata", "overwrite", "append"), mode, strict=True))
             for mode in itertools.product((True, False), repeat=3)]  # fmt: skip
    for dupsort in (False, True):
        one = env.open_db(b"one%d" % dupsort, dupsort=dupsort)
        many = env.open_db(b"many%d" % dupsort, dupsort=dupsort)
        for mode in modes:
            with env.begin(write=True) as txn:
                txn.drop(one, delete=False)
                txn.drop(many, delete=False)
                added = sum(txn.put(key, value, db=one, **mode) for key, value in items)
                assert txn.cursor(many).putmulti(items, **mode) == (400, added)
                assert list(txn.items(db=many)) == list(txn.items(db=one))
