"""Single records: get, put, delete, replace and pop of a transaction."""

from __future__ import annotations

import array
import contextlib
import ctypes

import pytest

import zlmdb.lmdb as lmdb

BUFFERS = [
    bytearray,
    memoryview,
    lambda data: array.array("B", data),
    lambda data: (ctypes.c_char * len(data))(*data),
]


@pytest.fixture
def txn(env):
    """Return an open write transaction."""
    with env.begin(write=True) as txn:
        yield txn


@pytest.fixture
def dups(env):
    """Return an empty dupsort database."""
    return env.open_db(b"dups", dupsort=True)


@pytest.fixture
def dup_txn(env, dups):
    """Return a write transaction on the dupsort database."""
    with env.begin(dups, write=True) as txn:
        yield txn


@pytest.mark.parametrize("size", [0, 1, 100, 2000, 4096, 65_536, 1_000_000])
def test_round_trip_of_any_size(txn, size):
    value = bytes(i % 251 for i in range(size))
    assert txn.put(b"k", value) is True
    assert txn.get(b"k") == value
    assert type(txn.get(b"k")) is bytes


def test_every_byte_in_keys_and_values(txn):
    every = bytes(range(256))
    txn.put(every, every[::-1])
    txn.put(b"\0", b"\0")
    assert txn.get(every) == every[::-1]
    assert txn.get(b"\0") == b"\0"


def test_get_default(txn):
    assert txn.get(b"k") is None
    assert txn.get(b"k", 7) == 7
    assert txn.get(b"k", default="d") == "d"
    txn.put(b"k", b"")
    assert txn.get(b"k", 7) == b""


def test_put_overwrites(txn):
    txn.put(b"k", b"1")
    assert txn.put(b"k", b"2") is True
    assert txn.get(b"k") == b"2"


def test_put_without_overwrite(txn):
    assert txn.put(b"k", b"1", overwrite=False) is True
    assert txn.put(b"k", b"2", overwrite=False) is False
    assert txn.get(b"k") == b"1"


def test_put_append(txn):
    assert txn.put(b"b", b"", append=True) is True
    assert txn.put(b"c", b"", append=True) is True
    assert txn.put(b"a", b"", append=True) is False
    assert list(txn.keys()) == [b"b", b"c"]


def test_append_uses_the_kind_of_the_target_database(env, dups):
    """With APPEND instead of APPENDDUP a second value of the same key would be refused."""
    with env.begin(write=True) as txn:
        assert txn.put(b"k", b"1", append=True, db=dups) is True
        assert txn.put(b"k", b"2", append=True, db=dups) is True
        assert txn.put(b"k", b"1", append=True, db=dups) is False
        assert list(txn.values(db=dups)) == [b"1", b"2"]


def test_append_in_the_main_database_from_a_dupsort_transaction(env, dup_txn):
    main = env.open_db()
    assert dup_txn.put(b"x", b"", append=True, db=main) is True
    assert dup_txn.put(b"x", b"", append=True, db=main) is False


def test_delete(txn):
    txn.put(b"k", b"v")
    assert txn.delete(b"k") is True
    assert txn.delete(b"k") is False
    assert txn.get(b"k") is None


def test_delete_ignores_the_value_without_dupsort(txn):
    txn.put(b"k", b"v")
    assert txn.delete(b"k", b"other") is True


def test_replace(txn):
    assert txn.replace(b"k", b"1") is None
    assert txn.replace(b"k", b"2") == b"1"
    assert txn.get(b"k") == b"2"


def test_pop(txn):
    assert txn.pop(b"k") is None
    txn.put(b"k", b"v")
    assert txn.pop(b"k") == b"v"
    assert txn.get(b"k") is None


@pytest.mark.parametrize("size", [10_000, 300_000])
def test_replace_and_pop_large_values(txn, size):
    txn.put(b"k", b"a" * size)
    assert txn.replace(b"k", b"b" * size) == b"a" * size
    assert txn.pop(b"k") == b"b" * size


def test_methods_take_a_database(env, txn):
    db = env.open_db(b"named", txn=txn)
    assert txn.put(b"k", b"1", db=db)
    assert txn.replace(b"k", b"2", db=db) == b"1"
    assert txn.get(b"k", db=db) == b"2"
    assert txn.get(b"k") is None
    assert txn.pop(b"k", db=db) == b"2"
    assert txn.delete(b"k", db=db) is False


# -- dupsort --


def test_dupsort_get_gives_the_first_value(dup_txn):
    for value in (b"c", b"a", b"b"):
        assert dup_txn.put(b"k", value) is True
    assert dup_txn.get(b"k") == b"a"


def test_dupsort_existing_pair(dup_txn):
    assert dup_txn.put(b"k", b"v") is True
    assert dup_txn.put(b"k", b"v") is True
    assert dup_txn.put(b"k", b"v", dupdata=False) is False
    assert dup_txn.put(b"k", b"w", dupdata=False) is True
    assert dup_txn.put(b"k", b"x", overwrite=False) is False
    assert list(dup_txn.values()) == [b"v", b"w"]


def test_dupsort_delete(dup_txn):
    for value in (b"1", b"2", b"3"):
        dup_txn.put(b"k", value)
    assert dup_txn.delete(b"k", b"2") is True
    assert dup_txn.delete(b"k", b"2") is False
    assert list(dup_txn.values()) == [b"1", b"3"]
    assert dup_txn.delete(b"k") is True
    assert list(dup_txn.values()) == []


@pytest.mark.parametrize("value", [b"", None])
def test_dupsort_delete_with_no_value_means_all(dup_txn, value):
    dup_txn.put(b"k", b"1")
    dup_txn.put(b"k", b"2")
    assert dup_txn.delete(b"k", value) is True
    assert dup_txn.get(b"k") is None


def test_dupsort_replace_removes_all_values(dup_txn):
    for value in (b"1", b"2", b"3"):
        dup_txn.put(b"k", value)
    assert dup_txn.replace(b"k", b"9") == b"1"
    assert list(dup_txn.values()) == [b"9"]
    assert dup_txn.replace(b"l", b"9") is None


def test_dupsort_pop_takes_the_first_value(dup_txn):
    dup_txn.put(b"k", b"1")
    dup_txn.put(b"k", b"2")
    assert dup_txn.pop(b"k") == b"1"
    assert dup_txn.pop(b"k") == b"2"
    assert dup_txn.pop(b"k") is None


def test_dupsort_empty_value(dup_txn):
    with pytest.raises(lmdb.BadValsizeError, match="value has 0 bytes"):
        dup_txn.put(b"k", b"")
    assert dup_txn.put(b"k", b"v")


def test_dupsort_value_too_long_names_the_limit(env, dup_txn):
    limit = env.max_key_size()
    assert dup_txn.put(b"k", b"v" * limit)
    with pytest.raises(lmdb.BadValsizeError) as caught:
        dup_txn.put(b"k", b"v" * (limit + 1))
    assert str(limit) in str(caught.value)
    assert str(limit + 1) in str(caught.value)
    assert "value" in str(caught.value)


def test_dupfixed_takes_one_length(env):
    """LMDB itself would cut a longer value, and read beyond a shorter one."""
    db = env.open_db(b"fixed", dupsort=True, dupfixed=True)
    with env.begin(db, write=True) as txn:
        txn.put(b"k", b"1234")
        with pytest.raises(lmdb.BadValsizeError, match="length"):
            txn.put(b"k", b"12345")
        assert list(txn.values()) == [b"1234"]


def test_integerkey_order(env, native):
    db = env.open_db(b"numbers", integerkey=True)
    with env.begin(db, write=True) as txn:
        for number in (256, 1, 70_000, 255):
            txn.put(native(number), b"%d" % number)
        assert list(txn.values()) == [b"1", b"255", b"256", b"70000"]


def test_reverse_key_order(env):
    db = env.open_db(b"reversed", reverse_key=True)
    with env.begin(db, write=True) as txn:
        for key in (b"ab", b"ba", b"ca", b"bb"):
            txn.put(key, b"")
        assert list(txn.keys()) == [b"ba", b"ca", b"ab", b"bb"]


# -- arguments --


@pytest.mark.parametrize("make", BUFFERS)
def test_any_contiguous_buffer(txn, make):
    key, value = make(b"key"), make(b"value")
    assert txn.put(key, value)
    assert txn.get(key) == b"value"
    assert txn.replace(key, make(b"other")) == b"value"
    assert txn.pop(key) == b"other"
    txn.put(b"key", b"v")
    assert txn.delete(key)


def test_buffer_slices_and_items_of_several_bytes(txn):
    txn.put(memoryview(b"xxkeyxx")[2:5], memoryview(array.array("I", [1, 2])))
    assert txn.get(b"key") == array.array("I", [1, 2]).tobytes()


def test_a_put_copies_the_buffer(txn):
    value = bytearray(b"before")
    txn.put(b"k", value)
    value[:] = b"after!"
    assert txn.get(b"k") == b"before"


def test_a_buffer_is_not_left_exported(txn):
    value = bytearray(b"value")
    txn.put(b"k", value)
    value += b"more"  # BufferError if a view of it were still alive


def test_numpy_arrays(txn):
    numpy = pytest.importorskip("numpy")
    values = numpy.arange(6, dtype="<u4").reshape(2, 3)
    txn.put(b"k", values)
    assert txn.get(b"k") == values.tobytes()
    with pytest.raises(TypeError, match="C-contiguous"):
        txn.put(b"k", values.T)


def test_bytes_subclass(txn):
    class Name(bytes):
        __slots__ = ()

    assert txn.put(Name(b"k"), Name(b"v"))
    assert txn.get(Name(b"k")) == b"v"


def test_strided_buffer_is_refused(txn):
    with pytest.raises(TypeError, match=r"key must be a C-contiguous buffer; pass bytes\(key\)"):
        txn.get(memoryview(b"abcdef")[::2])
    with pytest.raises(TypeError, match="value must be a C-contiguous buffer"):
        txn.put(b"k", memoryview(b"abcdef")[::2])


@pytest.mark.parametrize("key", [123, "text", 1.5, object(), [b"k"], (b"k",)])
def test_wrong_type_of_key(txn, key):
    for use in (
        txn.get,
        txn.delete,
        txn.pop,
        lambda key: txn.put(key, b"v"),
        lambda key: txn.replace(key, b"v"),
    ):
        with pytest.raises(TypeError, match="key"):
            use(key)
    assert txn.stat()["entries"] == 0


@pytest.mark.parametrize("value", [123, "text", 1.5, object(), [b"k"]])
def test_wrong_type_of_value(txn, value):
    for use in (txn.put, txn.replace, txn.delete):
        with pytest.raises(TypeError, match="value"):
            use(b"k", value)
    assert txn.stat()["entries"] == 0


def test_str_says_how_to_encode(txn):
    with pytest.raises(
        TypeError, match=r"key must be bytes, not str: encode it first, for example key.encode\(\)"
    ):
        txn.put("key", b"value")


def test_none(txn):
    with pytest.raises(lmdb.BadValsizeError, match="key"):
        txn.put(None, b"v")
    with pytest.raises(TypeError, match="key must be given"):
        txn.get(None)
    assert txn.put(b"k", None) is True
    assert txn.get(b"k") == b""
    assert txn.delete(b"k", None) is True


@pytest.mark.parametrize("method", ["get", "delete", "pop"])
def test_empty_key(txn, method):
    with pytest.raises(lmdb.BadValsizeError, match="key has 0 bytes"):
        getattr(txn, method)(b"")


@pytest.mark.parametrize("method", ["put", "replace"])
def test_empty_key_written(txn, method):
    with pytest.raises(lmdb.BadValsizeError, match="key has 0 bytes"):
        getattr(txn, method)(b"", b"v")


def test_empty_key_written_names_the_limits(env, txn):
    with pytest.raises(
        lmdb.BadValsizeError, match=f"key has 0 bytes, it must have 1 to {env.max_key_size()}"
    ):
        txn.put(b"", b"v")


def test_too_long_key_names_the_limit(env, txn, engine):
    limit = env.max_key_size()
    assert limit == (511 if engine == 0 else 1978)
    assert txn.put(b"k" * limit, b"v")
    assert txn.get(b"k" * limit) == b"v"
    with pytest.raises(lmdb.BadValsizeError, match=f"key has {limit + 1} bytes, it must have 1 to {limit}"):
        txn.put(b"k" * (limit + 1), b"v")
    assert txn.put(b"other", b"v"), "the transaction is still good"


def test_too_long_key_is_not_found(env, txn):
    """Looking for it either finds nothing or says that it is too long."""
    long = b"k" * 5000
    for use in (txn.get, txn.delete, txn.pop):
        with contextlib.suppress(lmdb.BadValsizeError):
            assert not use(long)


@pytest.mark.parametrize("use", [
    lambda txn: txn.put(b"k", b"v"), lambda txn: txn.delete(b"k"), lambda txn: txn.replace(b"k", b"v"),
    lambda txn: txn.pop(b"k"), lambda txn: txn.cursor().put(b"k", b"v"),
    lambda txn: txn.cursor().replace(b"k", b"v"),
    lambda txn: txn.cursor().putmulti([(b"k", b"v")]), lambda txn: txn.cursor().pop(b"k"),
])  # fmt: skip
def test_writes_in_a_read_transaction(env, use):
    with env.begin(write=True) as txn:
        txn.put(b"k", b"old")
    with env.begin() as txn:
        with pytest.raises(lmdb.ReadonlyError):
            use(txn)
        assert txn.get(b"k") == b"old"


def test_name_of_a_database_is_protected(env, engine):
    """What a program writes under it would be lost, or taken for a database."""
    env.open_db(b"named")
    stored = b"named" + b"\0" * engine
    with env.begin(write=True) as txn:
        with pytest.raises(lmdb.IncompatibleError):
            txn.put(stored, b"v")
        if engine:
            assert txn.put(b"named", b"v")
    assert env.dbs() == [b"named"]


def test_random_records_against_a_dict(env):
    import random

    source = random.Random(7)
    model = {}
    with env.begin(write=True) as txn:
        for _ in range(3000):
            key = b"%d" % source.randrange(400)
            match source.randrange(5):
                case 0:
                    assert txn.delete(key) == (model.pop(key, None) is not None)
                case 1:
                    assert txn.pop(key) == model.pop(key, None)
                case 2:
                    value = source.randbytes(source.choice((0, 1, 50, 5000)))
                    assert txn.replace(key, value) == model.get(key)
                    model[key] = value
                case 3:
                    value = source.randbytes(source.choice((0, 1, 50, 5000)))
                    assert txn.put(key, value)
                    model[key] = value
                case _:
                    assert txn.get(key) == model.get(key)
        assert dict(txn.items()) == model
