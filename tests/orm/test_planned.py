"""Records that C lays out, writes as CBOR and reads: nothing differs from what Python makes of them."""

from __future__ import annotations

import enum
import marshal
import math
import random
import sys
from collections import namedtuple
from uuid import UUID

import cbor2
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import zlmdb
from zlmdb import lmdb
from zlmdb.lmdb._fast import CBOR, KEEP, PASSED_ON, Layouts, planned_put, put_many_planned, reader
from zlmdb.orm.errors import DatabaseFullError, DecodeError, EncodeError, Error
from zlmdb.orm.keys import Key, NativeUint16, Oid, String, Uint64, Uuid
from zlmdb.orm.planned import PlannedRecords
from zlmdb.orm.values import Cbor, KeyValue

pytestmark = pytest.mark.skipif(sys.implementation.name != "cpython", reason="everything takes the slow path")

SLOT = b"\x01\x02"
NUMBERS = [
    0,
    23,
    24,
    255,
    256,
    65535,
    65536,
    2**31 - 1,
    2**31,
    2**32,
    2**53,
    2**53 + 1,
    2**63,
    2**64 - 1,
    2**64,
    2**127,
]
numbers = st.integers() | st.sampled_from(NUMBERS + [-n for n in NUMBERS])
texts = st.text() | st.sampled_from(
    ["\ud7ff", "\ue000", "\U0001f600", "\udcff", "a\0b", "x" * 300, "x" * 600]
)
scalars = st.none() | st.booleans() | numbers | st.floats() | texts
data = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=30)
        | st.tuples(inner, inner)
        | st.dictionaries(texts | numbers | st.none() | st.tuples(texts), inner, max_size=30)
    ),
    max_leaves=60,
)


class Colour(enum.IntEnum):
    """An int that is more."""

    RED = 1


@pytest.fixture(scope="module", params=["0.9", "1.0"])
def txn(request, tmp_path_factory):
    """Return a write transaction that all examples use."""
    path = str(tmp_path_factory.mktemp("env"))
    with (
        lmdb.Environment(path, map_size=1 << 28, sync=False, lib_version=int(request.param[0])) as env,
        env.begin(write=True) as txn,
    ):
        yield txn


# -- CBOR --


@given(data)
@example({str(n): n for n in range(23)})
@example({str(n): n for n in range(24)})
@example({str(n): {n: n} for n in range(300)})
@example([math.nan, math.inf, -math.inf, -0.0])
@example([2**64 - 1, 2**64, -(2**64), -(2**64) - 1])
def test_cbor_is_not_written_or_read_otherwise_than_by_cbor2(txn, plain):
    if planned_put(Layouts([SLOT + b"\1S"]))(txn, ("key", plain), CBOR):
        stored = txn.get(SLOT + b"key")
        assert stored == cbor2.dumps(plain)
        read = reader(lambda key: key, marshal.loads, cbor=True)(txn, SLOT + b"key")
        assert read is PASSED_ON or repr(read) == repr(cbor2.loads(stored))


@given(st.binary(max_size=40) | data.map(lambda plain: bytes(cbor2.dumps(repr(plain)))[:-1]))
@example(b"\xff")
@example(b"\x9a\xff\xff\xff\xff")
@example(b"\xbb\xff\xff\xff\xff\xff\xff\xff\xff")
@example(b"\x81" * 2000 + b"\x00")
@example(b"\x63\xed\xa0\x80")
@example(b"\x62\xc3\x28")
@example(b"\x01\x02")
def test_bytes_that_are_no_plain_cbor_are_left_to_cbor2(txn, stored):
    txn.put(SLOT + b"any", stored)
    try:
        read = reader(lambda key: key, marshal.loads, cbor=True)(txn, SLOT + b"any")
    except ValueError:  # invalid UTF-8
        read = PASSED_ON
    if stored and read is not PASSED_ON:
        assert repr(read) == repr(cbor2.loads(stored))


@pytest.mark.parametrize(
    "value",
    [b"bytes", bytearray(b"x"), memoryview(b"x"), np.float64(1.5), np.int64(3), np.zeros(3), Colour.RED,
     {1, 2}, 1 + 2j, ..., object, range(3), [[b"x"]], {"a": np.float64(1)}],
)  # fmt: skip
def test_what_marshal_takes_for_something_else_is_not_written_as_that(txn, value):
    assert planned_put(Layouts([SLOT + b"\1S"]))(txn, ("key", value), CBOR) is False


@pytest.mark.parametrize("size", [1000, 2000, 9000, 200_000])
def test_large_values_in_cbor_are_no_different(db, size):
    pmap = zlmdb.MapOidCbor(1, marshal=dict, unmarshal=dict)
    value = {"text": "x" * size, "numbers": list(range(size // 100))}
    with db.begin(write=True) as txn:
        pmap[txn, 1] = value
        pmap.put_many(txn, [(2, value)])
        assert pmap[txn, 1] == pmap[txn, 2] == value
        assert pmap.get_bytes(txn, 1) == pmap.get_bytes(txn, 2) == cbor2.dumps(value)


def test_values_that_are_no_plain_data_do_not_keep_others_from_being_stored(db):
    pmap = zlmdb.MapOidCbor(1, marshal=list, unmarshal=list)
    values = [[n, b"bytes"] if n % 60 == 5 else [n] for n in range(200)]
    with db.begin(write=True) as txn:
        for key, value in enumerate(values):
            pmap[txn, key] = value
        assert list(pmap.select(txn, return_keys=False)) == values
        assert pmap.put_many(txn, enumerate(values[:100])) == 100
        assert [pmap[txn, key] for key in range(200)] == values


# -- keys --

parts = {"O": (Oid, numbers), "Q": (Uint64, numbers), "U": (Uuid, st.uuids()), "S": (String, texts)}
wrong = st.none() | st.booleans() | numbers | texts | st.binary() | st.uuids() | st.just(Colour.RED)


@given(st.data(), st.lists(st.sampled_from("OQSS"), min_size=1, max_size=4) | st.just(["U"]))
def test_a_key_is_not_laid_out_otherwise_than_its_codec_does(txn, draw, kinds):
    if "S" in kinds:  # strings are neighbours
        kinds = sorted(kinds, key="OSQ".index)
    key = Key(*[parts[kind][0] for kind in kinds])
    values = [draw.draw(parts[kind][1] | wrong) for kind in kinds]
    value = tuple(values) if len(values) > 1 else values[0]
    try:
        expected = key.encode(value)
    except EncodeError:
        expected = None
    layout = SLOT + bytes([len(kinds) + (0x40 if len(kinds) > 1 else 0)]) + key.codes.encode()
    c_key = value.int if isinstance(value, UUID) and kinds == ["U"] else value if kinds != ["U"] else ...
    before = txn.stat()["entries"]
    stored = planned_put(Layouts([layout]))(txn, (c_key, b"value"), 0)
    if expected is None or len(SLOT + expected) > txn._pyenv.max_key_size():
        assert stored is False
        assert txn.stat()["entries"] == before
    else:
        assert stored is True
        assert txn.delete(SLOT + expected)


def test_kinds_of_keys_that_c_cannot_lay_out_take_the_slow_path(db):
    wide = zlmdb.PersistentMap(1, key=(Uuid, String), value=zlmdb.orm.values.Pickle())
    native = zlmdb.PersistentMap(2, key=NativeUint16, value=zlmdb.orm.values.Pickle())
    with db.begin(write=True) as txn:
        for pmap, key in ((wide, (UUID(int=1), "a")), (native, 258)):
            assert pmap._records.planned.plan is None
            pmap[txn, key] = 5
            pmap.put_many(txn, [(key, 6)])
            assert pmap[txn, key] == 6
        assert list(native.select(txn)) == [(258, 6)]


class Negated(type(Oid)):
    """An int that is stored otherwise."""

    def encoder(self, prefix=b""):
        """Return a function that encodes an int."""
        encode = super().encoder(prefix)
        return lambda value: encode(self.maximum - value)


class Shouted(Cbor):
    """CBOR with another way to write."""

    def __init__(self):
        super().__init__()
        self.dump = lambda value: cbor2.dumps(value.upper())


class Doubled(KeyValue):
    """A primary key that is stored otherwise."""

    def __init__(self):
        super().__init__(Oid)
        self.dump = lambda value: Oid.encode(2 * value)


def test_codecs_of_ones_own_are_not_passed_over(db):
    for part in (Negated("Oid", 8, Oid.maximum), type(Oid)("Oid", 7, Oid.maximum)):
        pmap = zlmdb.PersistentMap(1, key=part, value=Shouted())
        index = zlmdb.PersistentMap(2, key=String, value=Doubled())
        with db.begin(write=True) as txn:
            pmap.truncate(txn)
            pmap[txn, 1] = "a"
            pmap.put_many(txn, [(2, "b")])
            keys = sorted(b"\0\1" + part.encode(n) for n in (1, 2))
            assert list(txn._opened().keys(prefix=b"\0\1")) == keys
            assert pmap[txn, 1] == "A"
            plain = zlmdb.MapOidPickle(3)
            plain.attach_index("text", index, str)
            plain[txn, 5] = "five"
            assert txn.get(b"\0\2five") == Oid.encode(10)


# -- records and their index records --

Pair = namedtuple("Pair", "a b")


def users_map():
    """Return a map with three kinds of indexes, of one that C lays out."""
    users = zlmdb.MapUuidCbor(1, marshal=dict, unmarshal=dict)
    name, friend = zlmdb.MapStringUuid(2), zlmdb.MapUuidUuid(4)
    city = zlmdb.PersistentMap(3, key=(String, Oid), value=zlmdb.orm.values.KeyValue(Uuid))
    users.attach_index("name", name, lambda user: user["name"])
    users.attach_index("city", city, lambda user: Pair(user.get("city"), user["n"]), nullable=True)
    users.attach_index(
        "friend", friend, lambda user: user.get("friend") and UUID(user["friend"]), nullable=True
    )
    return users


user_values = st.fixed_dictionaries(
    {"name": st.sampled_from("abc") | scalars, "n": st.sampled_from([1, 2]) | numbers},
    optional={"city": st.none() | texts, "friend": st.none() | st.uuids().map(str), "photo": st.binary()},
)
operations = st.lists(
    st.tuples(st.sampled_from([UUID(int=n) for n in (0, 1, 2**127)]), user_values), max_size=8
)


def outcome(function):
    """What a function returns, or the exception that it raises, in words."""
    try:
        return function()
    except Error as error:
        return type(error), str(error)


@given(st.data(), operations, st.booleans(), st.sampled_from(["0.9", "1.0"]))
def test_the_fast_path_and_the_slow_path_do_not_leave_different_databases(draw, items, many, lib_version):
    fast, slow = users_map(), users_map()
    records = slow._records
    records.planned = PlannedRecords(records.codec, list(records.indexes.values()), writes=False)
    results = []
    for pmap in (fast, slow):
        with zlmdb.Database(lib_version=lib_version, sync=False) as db:
            stats = zlmdb.TransactionStats()
            with db.begin(write=True, stats=stats) as txn:
                if many:
                    results.append(outcome(lambda: pmap.put_many(txn, items)))  # noqa: B023 (called here)
                else:
                    for key, value in items:
                        results.append(outcome(lambda: pmap.__setitem__((txn, key), value)))  # noqa: B023
                results += [list(txn._opened().items()), [pmap[txn, key] for key, _ in items], stats.puts]
                results.append([report.ok for report in pmap.check_indexes(txn)])
    half = len(results) // 2
    assert results[:half] == results[half:]


def test_puts_of_records_that_replace_others_leave_no_stale_index_records(db):
    pmap, index = zlmdb.MapOidPickle(1), zlmdb.MapStringOid(2)
    pmap.attach_index("name", index, lambda value: value["name"], nullable=True)
    stats = zlmdb.TransactionStats()
    with db.begin(write=True, stats=stats) as txn:
        pmap[txn, 1] = {"name": "a"}
        pmap[txn, 1] = {"name": "b"}
        pmap[txn, 1] = {"name": "b"}
        assert list(index.select(txn)) == [("b", 1)]
        pmap[txn, 1] = {"name": None}
        assert list(index.select(txn)) == []
        assert (stats.puts, stats.dels) == (7, 2)
        txn.put(b"\0\1" + bytes(7) + b"\1", b"damaged")
        with pytest.raises(DecodeError, match="key int 1"):
            pmap[txn, 1] = {"name": "c"}
        assert list(index.select(txn)) == []
        assert txn.get(b"\0\1" + bytes(7) + b"\1") == b"damaged"


def test_a_batch_with_a_record_that_exists_is_not_half_written(db):
    pmap, index = zlmdb.MapOidPickle(1), zlmdb.MapOidOid(2)
    pmap.attach_index("n", index, lambda value: value)
    with db.begin(write=True) as txn:
        pmap[txn, 7] = 700
        rows = list(range(16))
        columns = (rows, [pmap._serialize_value(n) for n in rows], rows)
        stored, _ = put_many_planned(txn._opened(), pmap._records.planned.plan, columns, KEEP)
        assert stored == 0
        assert list(pmap.select(txn)) == [(7, 700)]
        assert list(index.select(txn)) == [(700, 7)]
        pmap.put_many(txn, zip(rows, rows, strict=True))
        assert list(pmap.select(txn)) == list(index.select(txn)) == list(zip(rows, rows, strict=True))


def test_of_several_items_with_one_key_the_last_is_not_lost(db):
    plain = zlmdb.MapStringPickle(1)
    indexed, index = zlmdb.MapStringPickle(2), zlmdb.MapOidString(3)
    indexed.attach_index("n", index, lambda value: value)
    items = [(f"key {n % 7}", n) for n in range(100)]
    with db.begin(write=True) as txn:
        for pmap in (plain, indexed):
            assert pmap.put_many(txn, items) == 100
            assert dict(pmap.select(txn)) == dict(items)
        assert [report.ok for report in indexed.check_indexes(txn)] == [True]


def test_a_full_database_is_said_to_be_full(lib_version):
    pmap = zlmdb.MapOidCbor(1, marshal=dict, unmarshal=dict)
    with zlmdb.Database(maxsize=1 << 17, grow=False, lib_version=lib_version) as db:
        for store in (
            lambda txn: [pmap.__setitem__((txn, n), {"text": "x" * 500}) for n in range(10_000)],
            lambda txn: pmap.put_many(txn, ((n, {"text": "x" * 500}) for n in range(10_000))),
        ):
            with pytest.raises(DatabaseFullError, match="maxsize=131072"), db.begin(write=True) as txn:
                store(txn)
            with db.begin() as txn:
                assert pmap.count(txn) == 0


def test_functions_that_fail_are_reported_with_the_record(db):
    def fail(_value):
        raise KeyError("no")

    pmap = zlmdb.MapOidCbor(1, marshal=dict, unmarshal=fail)
    with db.begin(write=True) as txn:
        pmap[txn, 5] = {}
        with pytest.raises(DecodeError, match=r"MapOidCbor \(slot 1\), key int 5: .* KeyError: 'no'"):
            pmap[txn, 5]
        with pytest.raises(EncodeError, match=r"MapOidCbor \(slot 1\), key int 6: cannot encode"):
            pmap[txn, 6] = 6
        assert pmap[txn, 6] is None
        pmap.attach_index("x", zlmdb.MapStringOid(2), fail)
        with pytest.raises(KeyError, match="no"):
            pmap[txn, 6] = {}
        assert pmap.get_bytes(txn, 6) is None


def test_cbor_is_read_in_transactions_with_buffers_and_other_threads(db):
    pmap = zlmdb.MapOidCbor(1, marshal=dict, unmarshal=dict)
    seen = []
    with db.begin(write=True) as txn:
        pmap[txn, 1] = {"a": 1}
    with db.begin(buffers=True) as txn:
        assert pmap[txn, 1] == {"a": 1}
        assert pmap[txn, 2] is None
        import threading

        thread = threading.Thread(target=lambda: seen.append(pmap[txn, 1]))
        thread.start()
        thread.join()
    assert seen == [{"a": 1}]


@pytest.mark.parametrize("existing", [1, 2, 50, 999])
def test_put_many_among_records_that_exist(db, existing):
    """Those are replaced one by one, in whatever order they come among new ones."""
    pmap, index = zlmdb.MapOidPickle(1), zlmdb.MapOidOid(2)
    pmap.attach_index("n", index, lambda value: value)
    rows = list(range(1000))
    with db.begin(write=True) as txn:
        for row in rows[::existing]:
            pmap[txn, row] = 5000 + row
        random.Random(existing).shuffle(rows)
        assert pmap.put_many(txn, ((row, 2000 + row) for row in rows)) == 1000
        assert list(pmap.select(txn)) == [(row, 2000 + row) for row in range(1000)]
        assert list(index.select(txn)) == [(2000 + row, row) for row in range(1000)]
