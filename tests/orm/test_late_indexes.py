"""An index that was attached to a map with records is not empty in silence."""

from __future__ import annotations

import asyncio

import pytest

import zlmdb
import zlmdb.aio
from zlmdb.lmdb._fast import LAYS_OUT_RECORDS
from zlmdb.orm.errors import IncompleteIndexError

from .indexed_users import unchanged


def users_and_index(unique=False, nullable=False):
    """Return a map and its index, which is attached anew."""
    users = zlmdb.MapOidCbor(1, marshal=unchanged, unmarshal=unchanged)
    index = zlmdb.MapStringOid(2)
    users.attach_index("email", index, lambda user: user["email"], nullable=nullable, unique=unique)
    return users, index


@pytest.fixture
def filled(db):
    """Return a database with records that no index has."""
    users = zlmdb.MapOidCbor(1, marshal=unchanged, unmarshal=unchanged)
    with db.begin(write=True) as txn:
        users.put_many(txn, ((n, {"email": f"e{n}"}) for n in range(100)))
    return db


USES = {
    "look up": lambda users, index, txn: index[txn, "e5"],
    "get": lambda users, index, txn: index.get((txn, "e5")),
    "contains": lambda users, index, txn: (txn, "e5") in index,
    "get_many": lambda users, index, txn: index.get_many(txn, ["e5"]),
    "select": lambda users, index, txn: list(index.select(txn)),
    "count": lambda users, index, txn: index.count(txn, "e"),
    "count_range": lambda users, index, txn: index.count_range(txn, "e", "f"),
    "get_bytes": lambda users, index, txn: index.get_bytes(txn, "e5"),
    "store": lambda users, index, txn: users.__setitem__((txn, 200), {"email": "new"}),
    "insert": lambda users, index, txn: users.insert(txn, 200, {"email": "new"}),
    "put_many": lambda users, index, txn: users.put_many(txn, [(200, {"email": "new"})]),
    "insert_many": lambda users, index, txn: users.insert_many(txn, [(200, {"email": "new"})]),
    "delete": lambda users, index, txn: users.__delitem__((txn, 5)),
    "pop": lambda users, index, txn: users.pop((txn, 5)),
}


@pytest.mark.parametrize("unique", [True, False])
@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_using_an_index_without_the_records_is_refused_until_it_is_rebuilt(filled, use, unique):
    users, index = users_and_index(unique)
    with filled.begin(write=True) as txn:
        for _ in range(2):
            with pytest.raises(IncompleteIndexError, match=r"'email' of .*rebuild_index\(txn, 'email'\)"):
                use(users, index, txn)
        assert (users.count(txn), index.count(txn)) == (100, 0)
        assert users[txn, 5] == {"email": "e5"}
        assert users.rebuild_index(txn, "email") == (0, 100)
        use(users, index, txn)
        assert users.check_indexes(txn)[0].ok


def test_an_index_is_used_the_fast_way_once_it_is_found_complete(db):
    users, index = users_and_index()
    assert users._records.planned.plan is None
    slow_read = index._records.planned.read
    with db.begin(write=True) as txn:
        users[txn, 1] = {"email": "a"}
        assert index[txn, "a"] == 1
    assert (users._records.planned.plan is not None) is LAYS_OUT_RECORDS
    assert index._records.planned.read is not slow_read


def test_a_rebuild_that_is_undone_does_not_hide_that_the_index_is_empty(filled, undone):
    users, index = users_and_index()
    with undone(filled) as txn:
        users.rebuild_indexes(txn)
    with filled.begin() as txn, pytest.raises(IncompleteIndexError):
        index[txn, "e5"]


def test_looking_after_indexes_is_never_refused(filled):
    users, index = users_and_index()
    with filled.begin(write=True) as txn:
        assert len(users.check_indexes(txn)[0].missing) == 100
        assert index.count(txn) == index.truncate(txn) == 0
        assert users.truncate(txn) == 100
        assert index[txn, "e5"] is None


def test_an_index_of_nulls_has_no_records_and_is_complete(db):
    users, index = users_and_index(nullable=True)
    with db.begin(write=True) as txn:
        users.put_many(txn, ((n, {"email": None}) for n in range(100)))
    users, index = users_and_index(nullable=True)
    with db.begin(write=True) as txn:
        assert index[txn, "a"] is None
        users[txn, 5] = {"email": "a"}
        assert index[txn, "a"] == 5


@pytest.mark.parametrize("place", [0, 99])
def test_a_single_record_that_is_not_null_gives_an_empty_index_away(db, place):
    users = zlmdb.MapOidCbor(1, marshal=unchanged, unmarshal=unchanged)
    with db.begin(write=True) as txn:
        users.put_many(txn, ((n, {"email": "a" if n == place else None}) for n in range(100)))
    _, index = users_and_index(nullable=True)
    with db.begin() as txn, pytest.raises(IncompleteIndexError, match="index key str 'a'"):
        index[txn, "a"]


def test_an_index_that_has_only_the_latest_records_is_noticed(filled):
    """As releases before leave it, which went on in silence."""
    with filled.begin(write=True) as txn:
        for n in range(90, 120):
            txn.put(b"\0\1" + n.to_bytes(8, "big"), b"\xa1\x65email\x62e%d" % (n % 10))
            txn.put(b"\0\2e%d" % (n % 10), n.to_bytes(8, "big"))
        txn.delete(b"\0\2e0")
        for n in range(10):
            txn.put(b"\0\1" + n.to_bytes(8, "big"), b"\xa1\x65email\x62a%d" % n)
    _, index = users_and_index()
    with filled.begin() as txn, pytest.raises(IncompleteIndexError):
        index[txn, "e5"]


def test_index_records_that_others_have_taken_over_are_not_missed(db):
    users, index = users_and_index()
    with db.begin(write=True) as txn:
        for n in range(30):
            users[txn, n] = {"email": f"e{n % 3}"}
        del users[txn, 29]
    users, index = users_and_index()
    with db.begin(write=True) as txn:
        assert index[txn, "e0"] == 27
        users[txn, 31] = {"email": "x"}


def test_a_record_whose_index_record_was_taken_over_and_went_does_not_make_an_index_late(filled):
    """As by default, when two records had one index key: the index has nothing left, or only others."""
    with filled.begin(write=True) as txn:
        zlmdb.MapOidOid(1).truncate(txn)
        users, index = users_and_index(nullable=True)
        for oid, email in ((0, "a"), (3, "a"), (3, None)):
            users[txn, oid] = {"email": email}
        assert index.count(txn) == 0
        users, index = users_and_index(nullable=True)
        users[txn, 5] = {"email": "b"}
    with zlmdb.Database(lib_version=filled.lib_version) as other:
        with filled.begin() as source, other.begin(write=True) as txn:
            for key, data in source._opened().items():
                txn.put(key, data)
        users, index = users_and_index(nullable=True)
        with other.begin() as txn:
            assert (index[txn, "b"], index[txn, "a"]) == (5, None)


def test_an_index_that_was_detached_meanwhile_is_looked_at_again(filled):
    with filled.begin(write=True) as txn:
        users, index = users_and_index()
        users.truncate(txn)
        users[txn, 1] = {"email": "a"}
        users.detach_index("email")
        users.truncate(txn)
        index.truncate(txn)
        users[txn, 2] = {"email": "b"}
        users.attach_index("email", index, lambda user: user["email"])
        with pytest.raises(IncompleteIndexError):
            index[txn, "b"]


def test_records_that_cannot_be_read_do_not_keep_an_index_from_being_used(db):
    with db.begin(write=True) as txn:
        txn.put(b"\0\1" + bytes(8), b"\xff")
        txn.put(b"\0\1short", b"\xff")
        txn.put(b"\0\1" + bytes(7) + b"\1", b"\xa0")
    users, index = users_and_index()
    with db.begin(write=True) as txn:
        assert index[txn, "a"] is None
        users[txn, 5] = {"email": "a"}
        assert index[txn, "a"] == 5


def test_a_detached_index_is_a_map_again(filled):
    users, index = users_and_index()
    users.detach_index("email")
    with filled.begin(write=True) as txn:
        assert index[txn, "e5"] is None
        users[txn, 5] = {"email": "other"}


def test_async_transactions_notice_it_too(filled):
    users, index = users_and_index()

    async def main():
        async with zlmdb.aio.wrap(filled).begin(write=True) as txn:
            for use in (
                lambda: txn.get(index, "e5"),
                lambda: txn.put(users, 1, {"email": "x"}),
                lambda: txn.put_many(users, [(1, {"email": "x"})]),
                lambda: txn.select(index),
                lambda: txn.delete(users, 1),
            ):
                with pytest.raises(IncompleteIndexError):
                    await use()

    asyncio.run(main())
