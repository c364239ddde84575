"""A map gets, sets, deletes and finds records in transactions, and says what is wrong if it cannot."""

from __future__ import annotations

import copy
import pickle
import sys
import zlib
from uuid import UUID, uuid4

import pytest

import zlmdb
from zlmdb.orm.errors import DecodeError, DependencyError, EncodeError, KeyLengthError, UsageError
from zlmdb.orm.keys import Key, Oid, String, Uint16, Uuid
from zlmdb.orm.kinds import CborMap, PickleMap
from zlmdb.orm.values import Cbor, Pickle


def unchanged(value):
    return value


def cbor_map(slot=1, **options):
    return zlmdb.MapOidCbor(slot, marshal=unchanged, unmarshal=unchanged, **options)


def test_records_are_stored_found_and_deleted(db):
    pmap = cbor_map()
    with db.begin(write=True) as txn:
        assert pmap[txn, 1] is None
        assert (txn, 1) not in pmap
        pmap[txn, 1] = {"a": 1}
        pmap[txn, 1] = {"a": 2}
        assert pmap[txn, 1] == {"a": 2}
        assert (txn, 1) in pmap
    with db.begin() as txn:
        assert pmap[txn, 1] == {"a": 2}
    with db.begin(write=True) as txn:
        del pmap[txn, 1]
        del pmap[txn, 1]
        assert pmap[txn, 1] is None


def test_what_is_stored_as_nothing_reads_as_none(db):
    strings, sets = zlmdb.MapOidString(1), zlmdb.MapOidOidSet(2)
    with db.begin(write=True) as txn:
        strings[txn, 1] = ""
        strings[txn, 2] = None
        sets[txn, 1] = set()
        sets[txn, 2] = {3, 1, 2}
        assert [strings[txn, 1], strings[txn, 2], sets[txn, 1], sets[txn, 2]] == [None, None, None, {1, 2, 3}]
        assert list(strings.select(txn)) == [(1, None), (2, None)]
        assert list(sets.select(txn, return_keys=False)) == [None, {1, 2, 3}]
        assert (txn, 1) in strings


def test_maps_do_not_see_records_of_other_slots(db):
    low, high = zlmdb.MapStringString(255), zlmdb.MapStringString(256)
    last = zlmdb.MapStringString(65535)
    with db.begin(write=True) as txn:
        for pmap in (low, high, last):
            pmap[txn, "\xff"] = str(pmap._slot)
            pmap[txn, ""] = str(pmap._slot)
        for pmap in (low, high, last):
            assert list(pmap.select(txn)) == [("", str(pmap._slot)), ("\xff", str(pmap._slot))]
            assert list(pmap.select(txn, reverse=True, limit=1)) == [("\xff", str(pmap._slot))]
            assert pmap.count(txn) == 2


@pytest.mark.parametrize("use", [
    lambda pmap, txn: pmap[1],
    lambda pmap, txn: pmap[txn],
    lambda pmap, txn: pmap[txn, 1, 2],
    lambda pmap, txn: pmap[1, 2],
    lambda pmap, txn: pmap[None, 1],
    lambda pmap, txn: pmap[txn._opened(), 1],
    lambda pmap, txn: pmap[txn, "a"],
    lambda pmap, txn: pmap.__setitem__((txn, "a"), 1),
    lambda pmap, txn: pmap.__setitem__(txn, 1),
    lambda pmap, txn: pmap.__setitem__((None, 1), 1),
    lambda pmap, txn: pmap.__delitem__((txn, "a")),
    lambda pmap, txn: (1, 2) in pmap,
    lambda pmap, txn: (txn, None) in pmap,
    lambda pmap, txn: pmap.get((txn, None)),
    lambda pmap, txn: pmap.count(None),
    lambda pmap, txn: pmap.count(txn, "prefix"),
    lambda pmap, txn: pmap.count_range(txn, None, 5),
    lambda pmap, txn: pmap.count_range(txn, 0, None),
    lambda pmap, txn: pmap.select(None),
    lambda pmap, txn: pmap.select(txn, from_key="a"),
    lambda pmap, txn: pmap.select(txn, to_key=-1),
    lambda pmap, txn: pmap.select(txn, limit=0),
    lambda pmap, txn: pmap.select(txn, limit=10_000_000),
    lambda pmap, txn: pmap.select(txn, limit=True),
    lambda pmap, txn: pmap.truncate(5),
    lambda pmap, txn: pmap.get_many(txn, ["a"]),
    lambda pmap, txn: pmap.put_many(txn, [("a", 1)]),
    lambda pmap, txn: pmap.put_many(txn, [1]),
    lambda pmap, txn: pmap.put_many(txn, [(1, 2, 3)]),
])  # fmt: skip
def test_wrong_use_is_an_assertion_error_that_names_the_map_and_changes_nothing(db, use):
    pmap = cbor_map()
    with db.begin(write=True) as txn:
        with pytest.raises(AssertionError, match=r"MapOidCbor|limit must be") as caught:
            use(pmap, txn)
        assert isinstance(caught.value, zlmdb.orm.Error)
        assert list(pmap.select(txn)) == []


def test_errors_name_map_slot_and_key(db):
    with db.begin(write=True) as txn:
        with pytest.raises(EncodeError, match=r"MapOidCbor \(slot 7\), key str 'x': Oid takes an int"):
            cbor_map(7)[txn, "x"]
        with pytest.raises(
            EncodeError, match=r"MapOidCbor \(slot 7\), key int 5: cannot encode object"
        ) as caught:
            cbor_map(7)[txn, 5] = object()
        assert caught.value.__cause__ is not None
        txn.put(b"\0\7" + (5).to_bytes(8, "big"), b"\x82\x01")
        for read in (
            lambda: cbor_map(7)[txn, 5],
            lambda: list(cbor_map(7).select(txn)),
            lambda: list(cbor_map(7).select(txn, return_keys=False)),
            lambda: cbor_map(7).get_many(txn, [5]),
            lambda: zlmdb.MapOidCbor(7, 1, unchanged, unchanged).get_bytes(txn, 5),
        ):
            with pytest.raises(
                DecodeError, match=r"MapOidCbor \(slot 7\), key int 5: the record cannot be decoded"
            ):
                read()
        txn.put(b"\0\7abc", b"\x01")
        for parts in ({}, {"return_values": False}):
            with pytest.raises(DecodeError, match="key with bytes 616263"):
                list(cbor_map(7).select(txn, reverse=True, **parts))


def test_a_value_that_cannot_be_shown_is_refused_all_the_same(db):
    deep = []
    for _ in range(100_000):
        deep = [deep]
    with db.begin(write=True) as txn, pytest.raises(EncodeError, match="list that cannot be shown"):
        zlmdb.MapOidPickle(1)[txn, 1] = deep


def test_functions_of_the_application_that_fail_are_named_with_their_error(db):
    def fail(_value):
        raise KeyError("oops")

    with db.begin(write=True) as txn:
        with pytest.raises(EncodeError, match="KeyError: 'oops'"):
            zlmdb.MapOidJson(1, marshal=fail, unmarshal=fail)[txn, 1] = {}
        cbor_map()[txn, 1] = 1
        with pytest.raises(DecodeError, match="KeyError: 'oops'"):
            zlmdb.MapOidCbor(1, marshal=fail, unmarshal=fail)[txn, 1]


def test_a_key_that_is_too_long_names_the_limit(db):
    pmap = zlmdb.MapStringString(1)
    limit = db._env.max_key_size()
    with db.begin(write=True) as txn:
        pmap[txn, "x" * (limit - 2)] = "fits"
        for write in (
            lambda: pmap.__setitem__((txn, "x" * (limit - 1)), "1"),
            lambda: pmap.put_many(txn, [("x" * limit, "1")]),
        ):
            with pytest.raises(KeyLengthError, match=f"at most {limit}") as caught:
                write()
            assert isinstance(caught.value, zlmdb.lmdb.BadValsizeError)
        assert pmap.count(txn) == 1


def test_a_map_without_a_slot_cannot_be_used(db):
    with db.begin(write=True) as txn:
        for pmap in (zlmdb.MapStringString(), zlmdb.MapStringString(0)):
            for use in (
                lambda pmap: pmap[txn, "a"],
                lambda pmap: pmap.__setitem__((txn, "a"), "b"),
                lambda pmap: pmap.select(txn),
                lambda pmap: pmap.count(txn),
                lambda pmap: pmap.truncate(txn),
                lambda pmap: pmap.put_many(txn, [("a", "b")]),
                lambda pmap: (txn, "a") in pmap,
            ):
                with pytest.raises(UsageError, match=r"attach it|slot 0"):
                    use(pmap)


@pytest.mark.parametrize("slot", [-1, 65536, "1", 1.0, True])
def test_bad_slots_are_refused(slot):
    with pytest.raises(AssertionError, match="from 1 to 65535"):
        zlmdb.MapStringString(slot)


@pytest.mark.parametrize("use", [
    len, iter, bool, list, lambda m: m.keys(), lambda m: m.values(), lambda m: m.items(),
    lambda m: m.clear(), lambda m: m.popitem(),
])  # fmt: skip
def test_what_needs_a_transaction_is_not_implemented_without(use):
    with pytest.raises(NotImplementedError):
        use(cbor_map())


def test_maps_are_equal_to_themselves_alone():
    one, other = cbor_map(), cbor_map()
    assert one == one
    assert one != other
    assert len({one, other}) == 2


@pytest.mark.parametrize("compress", [0, 3, "zlib", True, 1.0])
def test_unknown_compression_is_refused(compress):
    with pytest.raises(AssertionError, match="COMPRESS_ZLIB"):
        zlmdb.MapStringString(1, compress=compress)


def test_zlib_compresses_whole_values(db):
    pmap = cbor_map(compress=zlmdb.PersistentMap.COMPRESS_ZLIB)
    with db.begin(write=True) as txn:
        pmap[txn, 1] = ["x" * 1000]
        stored = txn.get(b"\0\1" + bytes(7) + b"\1")
        assert stored[:2] == b"\x78\x9c"
        assert zlib.decompress(stored) == pmap._serialize_value(["x" * 1000])
        assert pmap[txn, 1] == ["x" * 1000]
        assert list(pmap.select(txn)) == [(1, ["x" * 1000])]
        txn.put(b"\0\1" + bytes(7) + b"\2", b"not zlib")
        with pytest.raises(DecodeError):
            pmap[txn, 2]


def test_snappy_compresses_as_raw_blocks(db, monkeypatch):
    class Snappy:
        compress = staticmethod(lambda data: b"snappy" + data)
        decompress = staticmethod(lambda data: data.removeprefix(b"snappy"))

    monkeypatch.setitem(sys.modules, "snappy", Snappy)
    pmap = zlmdb.MapStringString(1, compress=2)
    with db.begin(write=True) as txn:
        pmap[txn, "a"] = "b"
        assert txn.get(b"\0\1a") == b"snappyb"
        assert pmap[txn, "a"] == "b"


def test_snappy_without_the_package_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "snappy", None)
    with pytest.raises(DependencyError, match="python-snappy"):
        zlmdb.MapStringString(1, compress=zlmdb.PersistentMap.COMPRESS_SNAPPY)


def test_constants_of_the_kinds_are_where_programs_look_for_them():
    assert zlmdb.MapOidCbor.MAX_OID == zlmdb.MapOidOid(1).MAX_OID == 2**53
    assert zlmdb.MapStringPickle.PROTOCOL == zlmdb.MapUuidPickle(1).PROTOCOL == 2


def test_cbor_and_json_maps_need_both_functions():
    for cls in (zlmdb.MapOidCbor, zlmdb.MapUuidJson):
        for options in ({}, {"marshal": unchanged}, {"unmarshal": unchanged}):
            with pytest.raises(AssertionError, match="needs the functions"):
                cls(1, **options)

    class Inherited(zlmdb.MapOidCbor):
        _zlmdb_marshal = staticmethod(unchanged)
        _zlmdb_unmarshal = staticmethod(unchanged)

    assert Inherited(1)._serialize_value(1) == b"\1"


def test_a_map_is_composed_in_one_statement_of_any_parts_and_value(db):
    single = zlmdb.PersistentMap(1, key=(Uuid, Uint16, String), value=Pickle)

    class Visits(CborMap[tuple[UUID, str]], key=(Uuid, String)):
        """A class of maps."""

    class Counted(PickleMap[int], key=Oid): ...

    visits = Visits(2, marshal=unchanged, unmarshal=unchanged)
    other = zlmdb.PersistentMap(3, key=Key(Oid), value=Cbor(str, int), compress=1)
    oid = uuid4()
    with db.begin(write=True) as txn:
        single[txn, (oid, 5, "a")] = {1, 2}
        visits[txn, (oid, "b")] = [1]
        other[txn, 5] = 17
        Counted(4)[txn, 1] = complex(1, 2)
        assert single[txn, (oid, 5, "a")] == {1, 2}
        assert list(visits.select(txn, prefix=oid)) == [((oid, "b"), [1])]
        assert other[txn, 5] == 17
        assert other._serialize_value(17) == b"\x6217"
        assert Counted(4)[txn, 1] == complex(1, 2)
    with pytest.raises(UsageError, match="lacks a codec"):
        zlmdb.PersistentMap(1)
    with pytest.raises(UsageError, match="no codec of keys"):
        zlmdb.PersistentMap.new_key()


def test_named_classes_are_real_documented_and_picklable():
    cls = zlmdb.MapUuidTimestampCbor
    assert pickle.loads(pickle.dumps(cls)) is cls
    assert cls.__name__ == "MapUuidTimestampCbor"
    assert "UUID" in cls.__doc__
    assert "numpy.datetime64" in cls.__doc__
    assert len(zlmdb.orm.catalog.NAMED_MAPS) == 83


def test_a_map_with_an_index_can_be_copied(db):
    pmap, index = cbor_map(), zlmdb.MapStringOid(2)
    pmap.attach_index("name", index, lambda value: value["name"])
    twin = copy.deepcopy(pmap)
    with db.begin(write=True) as txn:
        pmap[txn, 1] = {"name": "one"}
        twin[txn, 2] = {"name": "two"}
        assert [twin[txn, 1], pmap[txn, 2]] == [{"name": "one"}, {"name": "two"}]
        assert dict(index.select(txn)) == {"one": 1, "two": 2}


def test_bytes_are_passed_on_as_they_are_stored(db):
    plain, packed = cbor_map(1), cbor_map(2, compress=1)
    with db.begin(write=True) as txn:
        plain[txn, 1] = packed[txn, 1] = {"a": 1}
        assert plain.get_bytes(txn, 1) == packed.get_bytes(txn, 1) == plain._serialize_value({"a": 1})
        assert plain.get_bytes(txn, 2) is None
        with pytest.raises(EncodeError):
            plain.get_bytes(txn, "x")


def test_truncate_deletes_the_records_of_its_slot_only(db):
    """The existing zlmdb deleted everything from the slot to the end of the database."""
    maps = [zlmdb.MapOidOid(slot) for slot in (1, 2, 3, 65535)]
    with db.begin(write=True) as txn:
        txn.put(b"\0\0\0\2", b"metadata of slot 2")
        for pmap in maps:
            pmap.put_many(txn, ((i, i) for i in range(3000)))
    stats = zlmdb.TransactionStats()
    with db.begin(write=True, stats=stats) as txn:
        assert maps[1].truncate(txn) == 3000
        assert stats.dels == 3000
        assert maps[1].truncate(txn) == 0
    with db.begin() as txn:
        assert [pmap.count(txn) for pmap in maps] == [3000, 0, 3000, 3000]
        assert txn.get(b"\0\0\0\2") == b"metadata of slot 2"
