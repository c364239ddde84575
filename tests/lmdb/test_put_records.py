"""Records that belong together are stored together, or not at all."""

from __future__ import annotations

import pytest

from zlmdb.lmdb import BadValsizeError, ReadonlyError
from zlmdb.lmdb.bulk import put_records


def contents(txn):
    return dict(txn.items())


def test_all_are_stored_unless_the_first_key_exists(env):
    with env.begin(write=True) as txn:
        assert put_records(txn, (b"a", b"1", b"b", b"", b"c", b"3")) is None
        assert contents(txn) == {b"a": b"1", b"b": b"", b"c": b"3"}
        assert put_records(txn, (b"a", b"2", b"d", b"4")) == b"1"
        assert put_records(txn, (b"b", b"2", b"d", b"4")) == b""
        assert contents(txn) == {b"a": b"1", b"b": b"", b"c": b"3"}
        assert put_records(txn, (b"d", b"4", b"a", b"2")) is None, "the others may exist"
        assert put_records(txn, (b"b", b"5", b"c", b"6"), overwrite=True) is None
        assert contents(txn) == {b"a": b"2", b"b": b"5", b"c": b"6", b"d": b"4"}


def test_a_large_old_value(env):
    with env.begin(write=True) as txn:
        assert put_records(txn, (b"a", b"x" * 100_000)) is None
        assert put_records(txn, (b"a", b"1")) == b"x" * 100_000


def test_a_key_that_lmdb_refuses_keeps_all_from_being_stored(env):
    long = b"k" * (env.max_key_size() + 1)
    with env.begin(write=True) as txn:
        for key in (b"", long):
            with pytest.raises(BadValsizeError):
                put_records(txn, (b"a", b"1", key, b"2"))
        for key, value in ((b"b", "text"), (1, b"")):
            with pytest.raises(TypeError):
                put_records(txn, (b"a", b"1", key, value))
        assert contents(txn) == {}
        assert put_records(txn, (bytearray(b"a"), memoryview(b"1"))) is None
        assert contents(txn) == {b"a": b"1"}
    with env.begin() as txn, pytest.raises(ReadonlyError):
        put_records(txn, (b"b", b"1"))


def test_iterators_go_on_behind_it(env):
    with env.begin(write=True) as txn:
        put_records(txn, (b"a", b"1", b"c", b"3"))
        items = iter(txn.items())
        assert next(items) == (b"a", b"1")
        put_records(txn, (b"b", b"2"))
        assert list(items) == [(b"b", b"2"), (b"c", b"3")]
