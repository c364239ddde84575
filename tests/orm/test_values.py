"""Values of any kind: they come back as they were, and are refused if they do not fit."""

from __future__ import annotations

import json

import cbor2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zlmdb.orm import values
from zlmdb.orm.errors import EncodeError, Error, UsageError
from zlmdb.orm.keys import Bytes16, Key, Oid, Uuid
from zlmdb.orm.keys import String as StringPart
from zlmdb.orm.values import Bytes20Timestamp, Cbor, FlatBuffers, Json, KeyValue, Pickle, SetOf, String

text = st.text(st.characters(codec="utf-8"))
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=20,
)


@given(plain)
@pytest.mark.parametrize("codec", [Cbor(), Json(), Pickle()])
def test_plain_data_comes_back(codec, value):
    assert codec.load(codec.dump(value)) == value


@given(plain)
def test_json_and_cbor_have_the_bytes_of_the_standard_encoders(value):
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, sort_keys=False)
    assert Json().dump(value) == text.encode()
    assert Cbor().dump(value) == cbor2.dumps(value)


@given(plain)
def test_json_is_the_same_without_the_c_encoder(value):
    """On PyPy, and wherever json has no accelerator."""

    class Plain:
        JSONEncoder = json.JSONEncoder
        encoder = type("encoder", (), {"c_make_encoder": None})

    assert values._json_encoder(Plain)(value) == values._json_encoder(json)(value)


def test_functions_stand_between_objects_and_plain_data():
    for codec in (Cbor(list, tuple), Json(list, tuple)):
        assert codec.load(codec.dump((1, 2))) == (1, 2)
    with pytest.raises(UsageError, match="marshal must be a function"):
        Cbor(marshal=5)
    with pytest.raises(UsageError, match="cast must be a function"):
        FlatBuffers(cast="no")


@pytest.mark.parametrize("text", [" [1, 2]\n", "[1,2]", "\t[ 1 , 2 ]"])
def test_json_of_other_programs_may_have_white_space(text):
    assert Json().load(text.encode()) == [1, 2]


@pytest.mark.parametrize("data", [b"[1] 2", b"[1", b"", b"\xff"])
def test_bad_json_is_refused(data):
    with pytest.raises(ValueError, match=r"Extra|Expecting|Unexpected|decode"):
        Json().load(data)


def test_circular_json_is_refused():
    circular = []
    circular.append(circular)
    with pytest.raises((RecursionError, ValueError)):
        Json().dump(circular)


@given(st.sets(st.integers(0, 2**53)))
def test_sets_come_back_whole_whatever_their_order(value):
    codec = SetOf(Oid)
    data = codec.dump(value)
    assert codec.load(data) == value
    assert data == b"".join(sorted(Oid.encode(item) for item in value))


def test_sets_of_what_does_not_fit_are_refused():
    for value in ([1, 2], {-1}, None, {"a"}):
        with pytest.raises(EncodeError):
            SetOf(Oid).dump(value)
    with pytest.raises(ValueError, match="multiple of 16"):
        SetOf(Uuid).load(b"x" * 17)


def test_strings_are_text_or_none():
    assert [String().dump(value) for value in ("é", "", None)] == [b"\xc3\xa9", b"", b""]
    assert [String().load(data) for data in (b"\xc3\xa9", b"")] == ["é", None]
    with pytest.raises(EncodeError):
        String().dump(b"bytes")


def test_pairs_of_bytes_and_time():
    time = np.datetime64(5, "ns")
    codec = Bytes20Timestamp()
    assert codec.load(codec.dump((b"x" * 20, time))) == (b"x" * 20, time)
    for nothing in (None, b""):
        assert codec.load(codec.dump((nothing, time))) == (bytes(20), time)
    for value in ((b"x" * 20, None), None, (b"x" * 20,), (b"x", time), [b"x" * 20, time]):
        with pytest.raises(EncodeError):
            codec.dump(value)


def test_a_value_may_be_what_a_key_is():
    for codec, value in (
        (KeyValue((Uuid, StringPart)), (Uuid.new(), "a")),
        (KeyValue(Key(Bytes16)), bytes(16)),
    ):
        assert codec.load(codec.dump(value)) == value


def test_flatbuffers_without_functions_say_so():
    with pytest.raises(Error, match="build function"):
        FlatBuffers().dump(1)
    with pytest.raises(ValueError, match="cast function"):
        FlatBuffers().load(b"x")
