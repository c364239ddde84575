"""A map does what dicts do, where that can be done in a transaction, and says what it cannot do."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from uuid import UUID

import numpy as np
import pytest

import zlmdb
import zlmdb.aio
from zlmdb.lmdb import KeyExistsError
from zlmdb.orm.errors import (
    EncodeError,
    MissingRecordError,
    NullValueConstraint,
    ReadOnlyError,
    RecordExistsError,
    UniqueValueConstraint,
    UnsupportedError,
    UsageError,
)
from zlmdb.orm.planned import PlannedRecords

from .indexed_users import Users, unchanged

KINDS = {
    "cbor": lambda: zlmdb.MapOidCbor(1, marshal=unchanged, unmarshal=unchanged),
    "pickle": lambda: zlmdb.MapOidPickle(1),
    "compressed": lambda: zlmdb.MapOidCbor(1, compress=1, marshal=unchanged, unmarshal=unchanged),
    "planned in python": lambda: without_plan(zlmdb.MapOidCbor(1, marshal=unchanged, unmarshal=unchanged)),
}


def without_plan(pmap):
    """Have records laid out in Python."""
    records = pmap._records
    records.planned = PlannedRecords(records.codec, list(records.indexes.values()), writes=False)
    return pmap


@pytest.fixture(params=sorted(KINDS))
def pmap(request):
    """Return a map of each kind."""
    return KINDS[request.param]()


def test_get_gives_the_default_for_what_is_missing(db, pmap):
    with db.begin(write=True) as txn:
        pmap[txn, 1] = "here"
        pmap[txn, 0] = 0
        assert pmap.get((txn, 1), "default") == "here"
        assert pmap.get((txn, 0), "default") == 0
        assert pmap.get((txn, 2), "default") == "default"
        assert pmap.get((txn, 2)) is None
        with pytest.raises(UsageError, match="is used as pmap"):
            pmap.get(txn, 1)


def test_what_is_stored_as_none_is_not_missing(db):
    pmap = zlmdb.MapOidString(1)
    with db.begin(write=True) as txn:
        pmap[txn, 1] = ""
        assert pmap.get((txn, 1), "default") is None
        assert pmap.setdefault((txn, 1), "default") is None
        assert pmap.pop((txn, 1), "default") is None
        assert (txn, 1) not in pmap


def test_setdefault_stores_the_default(db, pmap):
    with db.begin(write=True) as txn:
        assert pmap.setdefault((txn, 1), "first") == "first"
        assert pmap.setdefault((txn, 1), "second") == "first"
        assert list(pmap.select(txn)) == [(1, "first")]
        with pytest.raises(EncodeError):
            zlmdb.MapOidOid(2).setdefault((txn, 1))


def test_pop_of_what_is_missing_raises_key_error_or_gives_the_default(db, pmap):
    with db.begin(write=True) as txn:
        pmap[txn, 1] = "here"
        assert pmap.pop((txn, 1)) == "here"
        assert pmap.pop((txn, 1), "default") == "default"
        assert pmap.pop((txn, 1), None) is None
        with pytest.raises(KeyError, match=r"Map\w+ \(slot 1\) has no record with the key int 1") as caught:
            pmap.pop((txn, 1))
        assert isinstance(caught.value, MissingRecordError)
        assert isinstance(caught.value, zlmdb.Error)
        assert not str(caught.value).startswith("'")


def test_pop_and_setdefault_keep_indexes_in_step(db):
    schema = Users(email={"unique": True})
    with db.begin(write=True) as txn:
        schema.users.setdefault((txn, 1), {"email": "a"})
        assert schema.contents(txn) == {"email": {"a": 1}}
        assert schema.users.pop((txn, 1)) == {"email": "a"}
        assert schema.contents(txn) == {"email": {}}


def test_update_stores_all_items(db, pmap):
    with db.begin(write=True) as txn:
        pmap.update({(txn, 1): "a", (txn, 2): "b"})
        pmap.update([((txn, 2), "c")])
        assert list(pmap.select(txn)) == [(1, "a"), (2, "c")]
        with pytest.raises(UsageError, match="is used as pmap"):
            pmap.update(name="x")


@pytest.mark.parametrize(("use", "instead"), [
    (iter, "select"), (len, "count"), (bool, "count"), (list, "select"), (dict, "select"),
    (reversed, "reverse"),
    (lambda pmap: pmap.keys(), "select"), (lambda pmap: pmap.values(), "select"),
    (lambda pmap: pmap.items(), "select"), (lambda pmap: pmap.popitem(), "pop"),
    (lambda pmap: pmap.clear(), "truncate"), ({}.update, "select"),
    (lambda pmap: pmap.update(zlmdb.MapOidOid(2)), "select"),
])  # fmt: skip
def test_what_needs_a_transaction_says_what_to_call_instead(use, instead):
    pmap = zlmdb.MapOidOid(1)
    assert isinstance(pmap, MutableMapping)
    with pytest.raises(NotImplementedError, match=rf"MapOidOid \(slot [12]\): .*{instead}") as caught:
        use(pmap)
    assert isinstance(caught.value, UnsupportedError)


# -- insert --


def test_insert_does_not_replace_a_record(db, pmap):
    with db.begin(write=True) as txn:
        pmap.insert(txn, 1, "first")
        pmap.insert(txn, 2, "other")
        for again in ("first", "second", "x" * 10_000):
            with pytest.raises(RecordExistsError, match=r"Map\w+ \(slot 1\) has .* int 1 already") as caught:
                pmap.insert(txn, 1, again)
            assert isinstance(caught.value, KeyExistsError)
        assert list(pmap.select(txn)) == [(1, "first"), (2, "other")]
        pmap[txn, 1] = "x" * 10_000
        with pytest.raises(RecordExistsError):
            pmap.insert(txn, 1, "x")


@pytest.mark.parametrize("unique", [True, False])
def test_a_record_that_is_not_inserted_leaves_indexes_alone(db, unique):
    schema = Users(email={"unique": unique}, city={"nullable": True})
    with db.begin(write=True) as txn:
        schema.users.insert(txn, 1, {"email": "a", "city": None})
        for value in ({"email": "b", "city": "Oslo"}, {"email": "a", "city": None}):
            with pytest.raises(RecordExistsError):
                schema.users.insert(txn, 1, value)
            assert schema.contents(txn) == {"email": {"a": 1}, "city": {}}
        with pytest.raises(NullValueConstraint):
            schema.users.insert(txn, 2, {"email": None, "city": None})
        if unique:
            with pytest.raises(UniqueValueConstraint):
                schema.users.insert(txn, 2, {"email": "a", "city": None})
        assert schema.users[txn, 1] == {"email": "a", "city": None}
        assert schema.users.count(txn) == 1
        assert all(report.ok for report in schema.users.check_indexes(txn))


def test_what_insert_stores_is_counted_and_nothing_else(db):
    schema, stats = Users(email={}), zlmdb.TransactionStats()
    with db.begin(write=True, stats=stats) as txn:
        schema.users.insert(txn, 1, {"email": "a"})
        with pytest.raises(RecordExistsError):
            schema.users.insert(txn, 1, {"email": "b"})
        assert stats.puts == 2
        with pytest.raises(RecordExistsError):
            schema.users.insert_many(txn, [(2, {"email": "b"}), (1, {"email": "c"})])
        assert schema.contents(txn) == {"email": {"a": 1}}


def test_insert_refuses_what_storing_a_record_refuses(db, pmap):
    with db.begin(write=True) as txn:
        with pytest.raises(EncodeError, match="key str 'a'"):
            pmap.insert(txn, "a", 1)
        with pytest.raises(EncodeError, match="cannot encode"):
            pmap.insert(txn, 1, lambda: None)
        with pytest.raises(UsageError):
            pmap.insert(None, 1, 1)
    with db.begin() as txn, pytest.raises(ReadOnlyError):
        pmap.insert(txn, 1, 1)
    with pytest.raises(UsageError, match="not open"):
        pmap.insert(txn, 1, 1)


@pytest.mark.parametrize("indexed", [False, True])
@pytest.mark.parametrize(("items", "first"), [
    ([(3, "c"), (1, "x"), (4, "d")], 1), ([(3, "c"), (4, "d"), (3, "e")], 3), ([(1, "a")], 1),
])  # fmt: skip
def test_insert_many_refuses_a_group_in_which_one_exists(db, pmap, indexed, items, first):
    if indexed:
        pmap.attach_index("value", zlmdb.MapStringOid(2), unchanged)
        before = pmap._records.planned.plan
        with db.begin(write=True) as txn:
            pmap[txn, 1] = "a"
        if before is None:
            without_plan(pmap)
    with db.begin(write=True) as txn:
        pmap[txn, 1] = "a"
        with pytest.raises(RecordExistsError, match=f"key int {first}"):
            pmap.insert_many(txn, items)
        assert list(pmap.select(txn)) == [(1, "a")]
        assert pmap.insert_many(txn, [(5, "e"), (2, "b")]) == 2
        assert list(pmap.select(txn)) == [(1, "a"), (2, "b"), (5, "e")]
        assert all(report.ok for report in pmap.check_indexes(txn))
        assert pmap.insert_many(txn, []) == 0
        assert pmap.insert_many(txn, ((n, f"v{n}") for n in range(10, 30_010))) == 30_000
        assert pmap.count(txn) == 30_003


def test_events_at_the_same_time_are_not_lost_in_silence(db):
    events = zlmdb.MapUint64TimestampUuid(1)

    now = np.datetime64("2026-12-01", "ns")
    with db.begin(write=True) as txn:
        with pytest.raises(RecordExistsError, match=r"has a record with the key tuple \(5, "):
            events.insert_many(txn, (((5, now), UUID(int=n)) for n in range(500)))
        assert events.count(txn) == 0


def test_the_async_transaction_has_the_same_methods():
    async def main():
        pmap = KINDS["cbor"]()
        async with zlmdb.aio.open() as db, db.begin(write=True) as txn:
            await txn.insert(pmap, 1, "a")
            with pytest.raises(RecordExistsError):
                await txn.insert(pmap, 1, "b")
            assert await txn.insert_many(pmap, [(2, "b"), (3, "c")]) == 2
            assert await txn.get(pmap, 9, "default") == "default"
            assert await txn.setdefault(pmap, 4, "d") == "d"
            assert await txn.pop(pmap, 4) == "d"
            assert await txn.pop(pmap, 4, None) is None
            with pytest.raises(MissingRecordError):
                await txn.pop(pmap, 4)
            assert await txn.count(pmap, prefix=2) == 1
            assert await txn.select(pmap, to_key=2, return_keys=False) == ["a"]

    asyncio.run(main())
