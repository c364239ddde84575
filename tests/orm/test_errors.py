"""Exceptions say which record they are about, and are still caught as what caused them."""

from __future__ import annotations

import pickle

import pytest

import zlmdb
from zlmdb.orm.errors import DecodeError, EncodeError, caused


class RefusedError(Exception):
    """What an application raises in its own functions."""

    def __init__(self, field, reason):
        super().__init__(field, reason)
        self.field = field


def refuse(*_):
    raise RefusedError("name", "is empty")


def unchanged(value):
    return value


def built(value, builder):
    return builder.CreateString(value)


WRITING = [
    zlmdb.MapOidCbor(1, marshal=refuse, unmarshal=unchanged),
    zlmdb.MapOidJson(1, marshal=refuse, unmarshal=unchanged, compress=1),
    zlmdb.MapOidFlatBuffers(1, build=refuse, cast=unchanged),
]
READING = [
    zlmdb.MapOidCbor(1, marshal=unchanged, unmarshal=refuse),
    zlmdb.MapOidJson(1, marshal=unchanged, unmarshal=refuse, compress=1),
    zlmdb.MapOidFlatBuffers(1, build=built, cast=refuse),
]


@pytest.mark.parametrize("pmap", WRITING)
def test_what_marshal_raises_is_caught_by_its_type(db, pmap):
    for store in (lambda txn: pmap.__setitem__((txn, 5), "x"), lambda txn: pmap.put_many(txn, [(5, "x")])):
        with db.begin(write=True) as txn:
            with pytest.raises(RefusedError, match=r"key int 5: .*is empty") as caught:
                store(txn)
            assert isinstance(caught.value, EncodeError)
            assert caught.value.field == "name"
            assert pmap.count(txn) == 0


@pytest.mark.parametrize("pmap", READING)
def test_what_unmarshal_raises_is_caught_by_its_type(db, pmap):
    reads = [
        lambda txn: pmap[txn, 5],
        lambda txn: pmap.get_many(txn, [5]),
        lambda txn: list(pmap.select(txn)),
        lambda txn: list(pmap.select(txn, return_keys=False)),
    ]
    with db.begin(write=True) as txn:
        pmap[txn, 5] = "x"
    for read in reads:
        for buffers in (False, True):
            with db.begin(buffers=buffers) as txn:
                with pytest.raises(RefusedError, match=r"key int 5: .*is empty") as caught:
                    read(txn)
                assert isinstance(caught.value, DecodeError)


def test_what_codecs_raise_is_caught_by_its_type(db):
    texts = zlmdb.MapOidString(1)
    plain = zlmdb.MapOidJson(2, marshal=unchanged, unmarshal=unchanged)
    with db.begin(write=True) as txn:
        with pytest.raises(TypeError, match="not JSON serializable") as caught:
            plain[txn, 5] = {1}
        assert isinstance(caught.value, EncodeError)
        with pytest.raises(UnicodeError, match="surrogates not allowed") as caught:
            texts[txn, 5] = "\ud800"
        assert isinstance(caught.value, EncodeError)
        txn.put(b"\0\1" + bytes(8), b"\xff")
        with pytest.raises(UnicodeError, match="key int 0") as caught:
            texts[txn, 0]
        assert isinstance(caught.value, DecodeError)


def test_a_record_that_cannot_be_read_is_no_missing_one(db):
    """`Mapping.get` and its like take a KeyError for that, and setdefault() would overwrite the record."""
    pmap = zlmdb.MapOidJson(1, marshal=unchanged, unmarshal=lambda data: data["missing"])
    with db.begin(write=True) as txn:
        pmap[txn, 5] = {"a": 1}
        for read in (pmap.get, pmap.pop, pmap.setdefault):
            with pytest.raises(LookupError, match="KeyError: 'missing'") as caught:
                read((txn, 5), "default")
            assert isinstance(caught.value, DecodeError)
        assert pmap.get_bytes(txn, 5) == b'{"a":1}'


def test_exceptions_that_cannot_be_both_are_of_the_kind_alone():
    group = ExceptionGroup("some", [ValueError()])  # made by its own constructor only
    for cause in (group, StopIteration(1), AssertionError("no"), Exception("no")):
        error = caused(EncodeError, "text", cause)
        assert type(error) is EncodeError
        assert str(error) == "text"


@pytest.mark.parametrize("cause", [FileNotFoundError(2, "no"), UnicodeDecodeError("utf-8", b"", 0, 1, "no")])
def test_exceptions_with_fields_in_c_are_caught_as_well(cause):
    error = caused(DecodeError, "text", cause)
    assert isinstance(error, type(cause))
    assert (str(error), error.args) == ("text", ("text",))


def test_an_exception_crosses_processes_as_one_of_its_kind():
    error = pickle.loads(pickle.dumps(caused(DecodeError, "text", RefusedError("a", "b"))))
    assert (type(error), error.args) == (DecodeError, ("text",))
