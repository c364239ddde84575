"""Keys of any parts: they come back as they were, sort as promised, and are refused if they do not fit."""

from __future__ import annotations

import sys
from datetime import date
from uuid import UUID, SafeUUID

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zlmdb.orm import catalog, kinds
from zlmdb.orm.catalog import NAMED_MAPS
from zlmdb.orm.errors import EncodeError, Error, UsageError
from zlmdb.orm.keys import (
    Bytes16,
    Bytes20,
    Bytes32,
    Key,
    NativeTimestamp,
    NativeUint16,
    NonEmptyString,
    Oid,
    Slot,
    String,
    Timestamp,
    Uint8,
    Uint16,
    Uint64,
    Uint64Oid,
    Uuid,
)
from zlmdb.orm.parts import MAX_OID
from zlmdb.orm.prefixes import StartsWith

text = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
times = st.integers(-(2**63) + 1, 2**63 - 1).map(lambda n: np.datetime64(n, "ns"))
since_1970 = st.integers(0, 2**63 - 1).map(lambda n: np.datetime64(n, "ns"))
VALUES = {
    Oid: st.integers(0, MAX_OID),
    Uint64Oid: st.integers(0, 2**64 - 1),
    Uint8: st.integers(0, 255),
    Uint16: st.integers(0, 65535),
    NativeUint16: st.integers(0, 65535),
    Uint64: st.integers(0, 2**64 - 1),
    Slot: st.integers(0, 65535),
    Uuid: st.uuids(),
    Bytes16: st.binary(min_size=16, max_size=16),
    Bytes20: st.binary(min_size=20, max_size=20),
    Bytes32: st.binary(min_size=32, max_size=32),
    String: text,
    NonEmptyString: text.filter(bool),
    Timestamp: times,
    NativeTimestamp: times,
}
FIXED = [part for part in VALUES if part.size is not None]
PARTS = {id(part): part for part in VALUES}


def values_of(part):
    """Return what generates values of a part, or of one that takes None as well."""
    return VALUES[PARTS.get(id(part)) or part._part]


@st.composite
def keys(draw, sorting=False):
    """Return a key codec of any parts and two of its keys."""
    parts = [part for part in FIXED if part.sorts or not sorting]
    head = draw(st.lists(st.sampled_from(parts), max_size=3))
    texts = draw(st.lists(st.sampled_from([String, NonEmptyString]), max_size=3, min_size=not head))
    tail = [] if sorting and texts else draw(st.lists(st.sampled_from(parts), max_size=2))
    codec = Key(*head, *texts, *tail)
    values = st.tuples(
        *(since_1970 if sorting and part is Timestamp else values_of(part) for part in codec.parts)
    )
    one, other = draw(values), draw(values)
    return (codec, one, other) if len(codec.parts) > 1 else (codec, one[0], other[0])


@given(keys())
def test_any_key_comes_back(case):
    codec, key, _ = case
    data = codec.encode(key)
    assert codec.decode(data) == key
    assert codec.size in (None, len(data))


@given(keys(sorting=True))
def test_bytes_sort_as_keys_do(case):
    codec, one, other = case
    assert codec.sorts
    assert (codec.encode(one) < codec.encode(other)) == bool(one < other)


@given(st.data())
@pytest.mark.parametrize("name", sorted(NAMED_MAPS))
def test_keys_of_every_class_come_back(name, data):
    codec = NAMED_MAPS[name]._key_codec
    values = tuple(data.draw(values_of(part)) for part in codec.parts)
    key = values if len(values) > 1 else values[0]
    assert codec.decode(codec.encode(key)) == key


@given(keys(), st.data())
def test_a_prefix_is_what_encoded_keys_begin_with(case, data):
    codec, key, _ = case
    whole = codec.encode(key)
    values = key if len(codec.parts) > 1 else (key,)
    count = data.draw(st.integers(1, len(codec.parts)))
    prefix = values[:count]
    if isinstance(prefix[-1], str | bytes) and data.draw(st.booleans()):
        prefix = (*prefix[:-1], StartsWith(prefix[-1][: data.draw(st.integers(0, len(prefix[-1])))]))
    begin, sizes = codec.prefix(prefix if len(codec.parts) > 1 else prefix[0])
    assert whole.startswith(begin)
    assert sizes is None or len(whole) in sizes
    assert codec.prefix(prefix[0]) == codec.prefix(prefix[:1] if len(codec.parts) > 1 else prefix[0])


WRONG = [
    (Key(Oid), [-1, MAX_OID + 1, 1.0, "1", None, True, np.int64(1), (1,)]),
    (Key(Uint64Oid), [-1, 2**64, "1", None]),
    (Key(Uint8), [-1, 256, (256,), (1, 2), "1"]),
    (Key(Uint16), [65536, (1,)]),
    (Key(Uuid), ["12345678-1234-5678-1234-567812345678", b"x" * 16, 5, None]),
    (Key(String), [b"abc", 5, None, "\ud800"]),
    (Key(NonEmptyString), [""]),
    (Key(Bytes20), [b"x" * 19, b"x" * 21, "x" * 20, None, bytearray(20)]),
    (Key(Timestamp), [5, None, "2020-01-01", date(2020, 1, 1), np.timedelta64(5, "ns")]),
    (Key(Timestamp), [np.datetime64("3000-01-01"), np.datetime64(1, "as")]),
    (Key(Uuid, String), [UUID(int=1), (UUID(int=1),), [UUID(int=1), "a"], (UUID(int=1), "a", "b"), None]),
    (Key(String, String), [("a\0b", "c"), ("a", None)]),
    (Key(Uuid.nullable, String.nullable), [None, (None, 5), ("", None)]),
]  # fmt: skip


@pytest.mark.parametrize(("codec", "key"), [(codec, key) for codec, keys in WRONG for key in keys])
def test_what_is_no_key_is_refused_with_a_message(codec, key):
    with pytest.raises(EncodeError, match=r"takes|is a|must not") as caught:
        codec.encode(key)
    assert isinstance(caught.value, Error)
    assert isinstance(caught.value, AssertionError)


TIME, OID, ADDRESS = np.datetime64(5, "ns"), UUID(int=7), b"x" * 20
EMPTY_BYTES = [
    (catalog.Bytes16Timestamp, (b"", TIME), (bytes(16), TIME)),
    (catalog.Bytes16TimestampUuid, (b"", TIME, OID), (bytes(16), TIME, OID)),
    (catalog.Bytes20Timestamp, (b"", TIME), (bytes(20), TIME)),
    (catalog.UuidBytes20Bytes20Uint8Uuid, (OID, ADDRESS, b"", 1, OID), (OID, ADDRESS, bytes(20), 1, OID)),
]


@pytest.mark.parametrize(("codec", "key", "read"), EMPTY_BYTES)
def test_empty_bytes_stand_for_none_where_they_used_to(codec, key, read):
    """They were refused, which 26.10 stores as zeros in these kinds of keys."""
    assert codec.encode(key) == codec.encoder(b"prefix")(key)[6:] == codec.encode(read)
    assert codec.decode(codec.encode(key)) == read
    with pytest.raises(EncodeError, match=r"Bytes\d\d takes"):
        codec.encode(tuple(b"short" if part == b"" else part for part in key))


@pytest.mark.parametrize(
    ("codec", "data"),
    [
        (Key(Oid), b"1234567"),
        (Key(Uuid), b"x" * 17),
        (Key(Bytes20), b""),
        (Key(Timestamp), b"x" * 7),
        (Key(String), b"\xff"),
        (Key(Uuid, Uuid), b"x" * 31),
        (Key(Uuid, String), b"x" * 15),
        (Key(String, String), b"abc"),
        (Key(String, Oid), b"1234567"),
    ],
)
def test_what_is_no_encoded_key_is_refused(codec, data):
    with pytest.raises(ValueError, match=r"bytes|strings|decode"):
        codec.decode(data)


@pytest.mark.parametrize("parts", [(), (5,), (Oid, "Uuid"), (String, Oid, String)])
def test_what_cannot_be_a_key_codec_is_refused(parts):
    with pytest.raises(UsageError):
        Key(*parts)


def test_prefixes_that_do_not_fit_are_refused():
    codec = Key(Uuid, String)
    for prefix in ((), (UUID(int=1), "a", "b"), "a", (5,)):
        with pytest.raises(EncodeError):
            codec.prefix(prefix)
    with pytest.raises(EncodeError):
        Key(Bytes20).prefix(b"x" * 21)


def test_times_of_other_units_are_converted():
    codec = Key(Timestamp)
    assert codec.decode(codec.encode(np.datetime64("2020-01-01"))) == np.datetime64("2020-01-01T00", "ns")
    assert codec.decode(codec.encode(np.datetime64("2020-01-01"))).dtype == "datetime64[ns]"
    assert np.isnat(codec.decode(codec.encode(np.datetime64("NaT", "s"))))


def test_small_integers_are_taken_as_older_releases_returned_them():
    assert Uint8.encode((7,)) == b"\7"
    assert NativeUint16.encode((258,)) == (258).to_bytes(2, sys.byteorder)


def test_uuids_are_complete_objects():
    import copy
    import pickle

    decoded = Uuid.decode(bytes(range(16)))
    assert decoded == UUID(bytes=bytes(range(16)))
    assert decoded.is_safe is SafeUUID.unknown
    assert copy.deepcopy(decoded) == decoded
    assert pickle.loads(pickle.dumps(decoded)) == decoded


def test_keys_of_a_string_before_other_parts_do_not_claim_to_sort():
    assert not Key(String, Oid).sorts
    assert not Key(Oid, NativeTimestamp).sorts
    assert Key(Uuid, String, String).sorts
    assert kinds.CborMap._key_codec is None
