"""`Cursor.getmulti()`: many keys in a call, packed duplicates, and its errors."""

from __future__ import annotations

import array

import pytest

import zlmdb.lmdb as lmdb

RECORDS = {b"%04d" % i: b"value %d" % i for i in range(500)}


@pytest.fixture(params=[False, True], ids=["bytes", "buffers"])
def cursor(env, request):
    """Return a cursor on five hundred records."""
    with env.begin(write=True) as txn:
        txn.cursor().putmulti(RECORDS.items())
    with env.begin(buffers=request.param) as txn:
        yield txn.cursor()


def plain(pairs):
    return [(bytes(key), bytes(value)) for key, value in pairs]


def test_all(cursor):
    found = cursor.getmulti(list(RECORDS))
    assert type(found) is list
    assert plain(found) == list(RECORDS.items())


def test_order_repetition_and_missing_keys(cursor):
    keys = [b"0300", b"nope", b"0001", b"0300"]
    assert plain(cursor.getmulti(keys)) == [(key, RECORDS[key]) for key in keys if key in RECORDS]
    assert cursor.getmulti([b"x", b"y"]) == []
    assert cursor.getmulti([]) == []


def test_any_iterable_and_any_buffer(cursor):
    assert plain(cursor.getmulti(key for key in (b"0001", b"0002"))) == [
        (k, RECORDS[k]) for k in (b"0001", b"0002")
    ]
    assert plain(cursor.getmulti((bytearray(b"0001"), memoryview(b"0002")))) == [
        (k, RECORDS[k]) for k in (b"0001", b"0002")
    ]


def test_keys_only(cursor):
    assert [bytes(key) for key in cursor.getmulti([b"0001", b"x", b"0002"], values=False)] == [
        b"0001",
        b"0002",
    ]


def test_values_is_true_or_false_like_any_object(cursor):
    assert plain(cursor.getmulti([b"0001"], values="yes")) == [(b"0001", RECORDS[b"0001"])]
    assert cursor.getmulti([b"0001"], values=[]) == [b"0001"]


def test_the_cursor_stands_on_the_last_key(cursor):
    cursor.getmulti([b"0001", b"0007"])
    assert cursor.key() == b"0007"


def test_empty_key(cursor):
    with pytest.raises(lmdb.BadValsizeError):
        cursor.getmulti([b"0001", b""])


@pytest.mark.parametrize("keys", [[1], ["0001"], [None], 5, [(b"0001", b"x")]])
def test_wrong_types(cursor, keys):
    with pytest.raises(TypeError):
        cursor.getmulti(keys)


def test_an_iterable_that_raises(cursor):
    def keys():
        yield b"0001"
        raise KeyError("own")

    with pytest.raises(KeyError, match="own"):
        cursor.getmulti(keys())


def test_more_than_the_chunk(env):
    """Values of all sizes, more keys than one call takes."""
    records = [(b"%06d" % i, b"v" * (i % 97)) for i in range(20_000)]
    records[7] = (records[7][0], b"x" * 200_000)
    records[9000] = (records[9000][0], b"y" * 131_072)
    records[-1] = (records[-1][0], b"z" * 1_000_000)
    with env.begin(write=True) as txn:
        txn.cursor().putmulti(records)
        wanted = [key for pair in records for key in (pair[0], b"missing")]
        assert txn.cursor().getmulti(wanted) == records
        assert txn.cursor().getmulti(wanted, values=False) == [key for key, _ in records]


def test_sees_the_transactions_own_writes(env):
    with env.begin(write=True) as txn:
        cursor = txn.cursor()
        txn.put(b"a", b"1")
        assert cursor.getmulti([b"a", b"b"]) == [(b"a", b"1")]
        txn.put(b"b", b"2")
        txn.delete(b"a")
        assert cursor.getmulti([b"a", b"b"]) == [(b"b", b"2")]


def test_finished_transaction(env):
    txn = env.begin()
    cursor = txn.cursor()
    txn.abort()
    with pytest.raises(lmdb.Error, match="closed"):
        cursor.getmulti([b"k"])


# -- duplicates --

KEYS = [b"a", b"b", b"c"]


@pytest.fixture
def fixed(env):
    """Return a cursor on a dupfixed database: three keys with four-byte values, enough for several pages."""
    db = env.open_db(b"fixed", dupsort=True, dupfixed=True)
    with env.begin(db, write=True) as txn:
        for count, key in zip((1, 5, 5000), KEYS, strict=True):
            for number in range(count):
                txn.put(key, number.to_bytes(4, "big"))
        yield txn.cursor()


def expected(keys):
    counts = dict(zip(KEYS, (1, 5, 5000), strict=True))
    return [(key, number.to_bytes(4, "big")) for key in keys for number in range(counts.get(key, 0))]


def test_first_value_only(fixed):
    assert fixed.getmulti(KEYS) == [(key, bytes(4)) for key in KEYS]


@pytest.mark.parametrize("size", [None, 4])
def test_all_values(fixed, size):
    keys = [b"c", b"missing", b"a", b"b"]
    assert fixed.getmulti(keys, dupdata=True, dupfixed_bytes=size) == expected(keys)
    assert fixed.getmulti(keys, True, size) == expected(keys)


def test_zero_means_not_fixed(fixed):
    assert fixed.getmulti(KEYS, dupdata=True, dupfixed_bytes=0) == expected(KEYS)


def test_keyfixed_is_packed(fixed):
    packed = fixed.getmulti(KEYS, dupdata=True, dupfixed_bytes=4, keyfixed=True)
    assert type(packed) is memoryview
    assert packed.tobytes() == b"".join(key + value for key, value in expected(KEYS))


def test_keyfixed_of_nothing(fixed):
    assert len(fixed.getmulti([b"x"], dupdata=True, dupfixed_bytes=4, keyfixed=True)) == 0
    assert len(fixed.getmulti([], dupdata=True, dupfixed_bytes=4, keyfixed=True)) == 0


def test_keyfixed_as_a_structured_array(fixed):
    numpy = pytest.importorskip("numpy")
    packed = fixed.getmulti(KEYS, dupdata=True, dupfixed_bytes=4, keyfixed=True)
    records = numpy.frombuffer(packed, [("key", "S1"), ("value", ">u4")])
    assert records["value"][records["key"] == b"c"].tolist() == list(range(5000))


def test_dupsort_values_of_different_lengths(env):
    db = env.open_db(b"dups", dupsort=True)
    pairs = [(b"k", b"a"), (b"k", b"bbb"), (b"l", b"c" * 100)]
    with env.begin(db, write=True) as txn:
        txn.cursor().putmulti(pairs)
        assert txn.cursor().getmulti([b"l", b"k"], dupdata=True) == [pairs[2], *pairs[:2]]


def test_integerdup(env):
    db = env.open_db(b"numbers", integerdup=True)
    numbers = array.array("Q", range(1000))
    with env.begin(db, write=True) as txn:
        for number in numbers:
            txn.put(b"k", array.array("Q", [number]))
        packed = txn.cursor().getmulti([b"k"], True, 8)
        assert [value for _, value in packed] == [array.array("Q", [number]).tobytes() for number in numbers]


def test_wrong_dupfixed_bytes(fixed):
    with pytest.raises(ValueError, match="dupfixed_bytes=3"):
        fixed.getmulti([b"b"], dupdata=True, dupfixed_bytes=3)


@pytest.mark.parametrize(("arguments", "error"), [
    ({"dupdata": True, "dupfixed_bytes": -1}, OverflowError),
    ({"dupfixed_bytes": -1}, OverflowError),
    ({"dupfixed_bytes": 4}, TypeError),
    ({"dupdata": True, "dupfixed_bytes": 4.0}, TypeError),
    ({"keyfixed": True}, TypeError),
    ({"keyfixed": True, "dupfixed_bytes": 4}, TypeError),
    ({"dupdata": True, "keyfixed": True}, TypeError),
    ({"dupdata": True, "values": False}, TypeError),
    ({"dupdata": True, "dupfixed_bytes": 4, "values": False}, TypeError),
])  # fmt: skip
def test_arguments_that_do_not_go_together(fixed, arguments, error):
    with pytest.raises(error):
        fixed.getmulti(KEYS, **arguments)


def test_keyfixed_with_keys_of_different_lengths(fixed):
    with pytest.raises(ValueError, match="one length"):
        fixed.getmulti([b"a", b"bb"], dupdata=True, dupfixed_bytes=4, keyfixed=True)


def test_dupfixed_bytes_on_a_plain_database(env):
    with env.begin(write=True) as txn:
        txn.put(b"k", b"1234")
        with pytest.raises((lmdb.IncompatibleError, lmdb.InvalidParameterError)):
            txn.cursor().getmulti([b"k"], dupdata=True, dupfixed_bytes=4)
