"""Indexes are in step with their map, in every case, or nothing has been written at all."""

from __future__ import annotations

from collections import namedtuple
from uuid import UUID, uuid4

import cbor2
import pytest

import zlmdb
from zlmdb.orm.errors import (
    DecodeError,
    EncodeError,
    IncompleteIndexError,
    IndexDefinitionError,
    IndexFunctionError,
    KeyLengthError,
    ReadOnlyError,
    UsageError,
)
from zlmdb.orm.index_checks import IndexReport

from .indexed_users import Users, unchanged


def test_an_index_leads_to_records(db):
    schema = Users(email={})
    users, by_email = schema.users, schema.indexes["email"]
    with db.begin(write=True) as txn:
        users[txn, 1] = {"email": "a"}
        users[txn, 2] = {"email": "b"}
        assert users[txn, by_email[txn, "b"]] == {"email": "b"}
        users[txn, 2] = {"email": "c"}
        assert schema.contents(txn) == {"email": {"a": 1, "c": 2}}
        users[txn, 2] = {"email": "c", "more": 1}
        del users[txn, 1]
        assert schema.contents(txn) == {"email": {"c": 2}}
        assert users.check_indexes(txn) == [IndexReport("email", 1, 1, [], [], [])]
        assert users.pop((txn, 2)) == {"email": "c", "more": 1}
        assert schema.contents(txn) == {"email": {}}


def test_index_records_have_the_bytes_of_the_index_map(db):
    schema = Users(email={})
    with db.begin(write=True) as txn:
        schema.users[txn, 5] = {"email": "a"}
        assert txn.get(b"\0\2a") == (5).to_bytes(8, "big")


def test_values_of_an_index_are_never_compressed(db):
    users = zlmdb.MapOidPickle(1, compress=1)
    index = zlmdb.MapStringOid(2)
    users.attach_index("name", index, unchanged)
    with db.begin(write=True) as txn:
        users[txn, 5] = "x" * 100
        assert txn.get(b"\0\2" + b"x" * 100) == (5).to_bytes(8, "big")
        assert users.rebuild_indexes(txn) == (1, 1)
        assert users[txn, index[txn, "x" * 100]] == "x" * 100


def test_composite_index_keys(db):
    users, index = zlmdb.MapUuidPickle(1), zlmdb.MapUuidStringUuid(2)
    users.attach_index("group", index, lambda user: (user["group"], user["name"]), nullable=True)
    group, one, two = uuid4(), uuid4(), uuid4()
    with db.begin(write=True) as txn:
        users[txn, one] = {"group": group, "name": "a"}
        users[txn, two] = {"group": None, "name": "b"}
        assert list(index.select(txn)) == [((group, "a"), one)]
        users[txn, one] = {"group": group, "name": None}
        assert list(index.select(txn)) == []
        assert users.check_indexes(txn)[0].ok


def test_null_has_no_record_in_a_nullable_index(db):
    schema = Users(email={"nullable": True})
    users = schema.users
    with db.begin(write=True) as txn:
        users[txn, 1] = {"email": None}
        assert schema.contents(txn) == {"email": {}}
        users[txn, 1] = {"email": "a"}
        assert schema.contents(txn) == {"email": {"a": 1}}
        users[txn, 1] = {"email": None}
        assert schema.contents(txn) == {"email": {}}
        users[txn, 2] = {"email": None}
        del users[txn, 1], users[txn, 2]
        assert users.count(txn) == 0


def test_a_namedtuple_with_none_is_a_null_like_any_tuple(db):
    pair = namedtuple("pair", "city oid")
    for nullable in (True, False):
        users, index = zlmdb.MapOidPickle(1), zlmdb.MapStringOidOid(2)
        users.attach_index("city", index, lambda city: pair(city, 1), nullable=nullable)
        with db.begin(write=True) as txn:
            users.truncate(txn)
            for store in (
                lambda: users.__setitem__((txn, 1), None),  # noqa: B023 (called here)
                lambda: users.put_many(txn, [(1, None)]),  # noqa: B023
            ):
                if nullable:
                    store()
                    assert (users.count(txn), index.count(txn)) == (1, 0)
                else:
                    with pytest.raises(zlmdb.NullValueConstraint):
                        store()
                    assert users.count(txn) == 0


def test_null_in_another_index_is_refused_and_nothing_is_written(db):
    schema = Users(name={}, email={})
    users = schema.users
    stats = zlmdb.TransactionStats()
    with db.begin(write=True, stats=stats) as txn:
        users[txn, 1] = {"name": "a", "email": "b"}
        before = schema.contents(txn)
        for write in (
            lambda: users.__setitem__((txn, 1), {"name": "c", "email": None}),
            lambda: users.__setitem__((txn, 2), {"name": "c", "email": None}),
            lambda: users.put_many(
                txn, [(1, {"name": "c", "email": "d"}), (2, {"name": "e", "email": None})]
            ),
        ):
            with pytest.raises(zlmdb.NullValueConstraint, match=r"'email' of MapOidCbor .* record int"):
                write()
            assert list(users.select(txn)) == [(1, {"name": "a", "email": "b"})]
            assert schema.contents(txn) == before
        assert (stats.puts, stats.dels) == (3, 0)
        users[txn, 3] = {"name": "f", "email": "g"}
    assert issubclass(zlmdb.NullValueConstraint, RuntimeError)


@pytest.mark.parametrize("index_key", [5, "x" * 3000, b"bytes"])
def test_an_index_key_that_cannot_be_stored_leaves_nothing_behind(db, index_key):
    users, index = zlmdb.MapOidPickle(1), zlmdb.MapStringOid(2)
    users.attach_index("name", index, lambda user: user["name"])
    with db.begin(write=True) as txn:
        users[txn, 1] = {"name": "a"}
        for write in (
            lambda: users.__setitem__((txn, 1), {"name": index_key}),
            lambda: users.__setitem__((txn, 2), {"name": index_key}),
            lambda: users.put_many(txn, [(2, {"name": index_key})]),
        ):
            with pytest.raises(
                EncodeError, match=r"index 'name' of|MapStringOid \(slot 2\), key str 'xxx"
            ) as caught:
                write()
            assert isinstance(caught.value, KeyLengthError) == (len(repr(index_key)) > 1000)
            assert list(users.select(txn)) == [(1, {"name": "a"})]
            assert list(index.select(txn)) == [("a", 1)]


def test_a_function_of_the_application_that_fails_leaves_nothing_behind(db):
    schema = Users(email={})
    with db.begin(write=True) as txn:
        with pytest.raises(KeyError):
            schema.users[txn, 1] = {"no email": 1}
        assert schema.users.count(txn) == 0


def test_an_index_map_without_a_slot_is_named(db):
    users = zlmdb.MapOidPickle(1)
    users.attach_index("name", zlmdb.MapStringOid(), unchanged)
    with db.begin(write=True) as txn:
        with pytest.raises(UsageError, match=r"MapStringOid \(slot None\) cannot be used"):
            users[txn, 1] = "a"
        assert users.count(txn) == 0


def test_indexes_can_be_detached_and_attached_again(db):
    schema = Users(b={}, a={})
    users = schema.users
    assert users.indexes() == ["a", "b"]
    assert schema.indexes["a"].is_index()
    assert not users.is_index()
    users.detach_index("a")
    users.detach_index("unknown")
    assert users.indexes() == ["b"]
    assert not schema.indexes["a"].is_index()
    with db.begin(write=True) as txn:
        users[txn, 1] = {"a": "x", "b": "y"}
        users.attach_index("a", schema.indexes["a"], lambda user: user["a"])
        with pytest.raises(IncompleteIndexError):
            schema.contents(txn)
        assert users.rebuild_index(txn, "a") == (0, 1)
        assert schema.contents(txn) == {"a": {"x": 1}, "b": {"y": 1}}


def test_what_cannot_be_an_index_is_refused():
    schema = Users(a={})
    users, index = schema.users, schema.indexes["a"]
    free, other = zlmdb.MapStringOid(8), zlmdb.MapOidPickle(9)
    with pytest.raises(IndexDefinitionError, match="is an index itself"):
        index.attach_index("b", free, unchanged)
    with pytest.raises(IndexDefinitionError, match="attached to MapOidCbor"):
        users.attach_index("b", index, unchanged)
    with pytest.raises(IndexDefinitionError, match="attached to MapOidCbor"):
        other.attach_index("b", index, unchanged)
    with pytest.raises(IndexDefinitionError, match="has an index 'a' already"):
        users.attach_index("a", free, unchanged)
    with pytest.raises(IndexDefinitionError, match="attached to itself"):
        other.attach_index("b", other, unchanged)
    with pytest.raises(IndexDefinitionError, match="indexes of its own"):
        other.attach_index("b", users, unchanged)
    for same_slot in (zlmdb.MapStringOid(users._slot), zlmdb.MapStringOid(index._slot)):
        with pytest.raises(IndexDefinitionError, match="the slot is taken"):
            users.attach_index("b", same_slot, unchanged)
    for arguments in (("b", "map", unchanged), ("b", free, "function"), (5, free, unchanged)):
        with pytest.raises(UsageError):
            users.attach_index(*arguments)
    assert not free.is_index()
    assert users.indexes() == ["a"]


def test_rebuilding_writes_index_records_anew(db):
    """The existing zlmdb stored value.oid instead of the key, and failed on compression and nulls."""
    users = zlmdb.MapUuidPickle(1, compress=1)
    by_name, by_email = zlmdb.MapStringUuid(2), zlmdb.MapStringUuid(3)
    keys = [UUID(int=n) for n in range(2500)]
    stats = zlmdb.TransactionStats()
    with db.begin(write=True, stats=stats) as txn:
        users.put_many(
            txn, ((key, {"name": f"n{key}", "email": None if key.int % 5 else f"e{key}"}) for key in keys)
        )
        by_name[txn, "left over"] = UUID(int=9999)
        users.attach_index("name", by_name, lambda user: user["name"])
        users.attach_index("email", by_email, lambda user: user["email"], nullable=True)
        stats.reset()
        assert users.rebuild_indexes(txn) == (1, 3000)
        assert (stats.puts, stats.dels) == (3000, 1)
        assert users.rebuild_index(txn, "email") == (500, 500)
        assert by_email[txn, f"e{keys[5]}"] == keys[5]
        assert all(report.ok for report in users.check_indexes(txn))
        with pytest.raises(IndexDefinitionError, match="no index 'unknown'; it has"):
            users.rebuild_index(txn, "unknown")


def test_an_index_that_cannot_be_rebuilt_stays_as_it_is(db):
    schema = Users(email={})
    users, by_email = schema.users, schema.indexes["email"]
    with db.begin(write=True) as txn:
        users.put_many(txn, ((n, {"email": f"e{n}"}) for n in range(1500)))
        before = dict(by_email.select(txn))
        txn.put(b"\0\1" + (1400).to_bytes(8, "big"), b"\xff")
        with pytest.raises(DecodeError, match="key int 1400"):
            users.rebuild_index(txn, "email")
        assert dict(by_email.select(txn)) == before
        txn.put(b"\0\1short", b"\x01")
        del users[txn, 1399]
        txn.put(b"\0\1" + (1398).to_bytes(8, "big"), cbor2.dumps({"no": "email"}))
        uses = [
            lambda: users.check_indexes(txn),
            lambda: users.__setitem__((txn, 1398), {"email": "new"}),
            lambda: users.__delitem__((txn, 1398)),
        ]
        for use in uses:
            with pytest.raises(IndexFunctionError, match=r"record int 1398: .* KeyError: 'email'"):
                use()
        txn.delete(b"\0\1" + (1398).to_bytes(8, "big"))
    with db.begin(write=True) as txn:
        txn.delete(b"\0\1" + (1400).to_bytes(8, "big"))
        with pytest.raises(DecodeError, match="key with bytes 73686f7274"):
            users.check_indexes(txn)
    with db.begin() as txn, pytest.raises(ReadOnlyError):
        users.rebuild_indexes(txn)


def test_with_writemap_an_index_is_rebuilt_in_place(tmp_path, lib_version):
    schema = Users(email={})
    with (
        zlmdb.Database(str(tmp_path / "db"), writemap=True, lib_version=lib_version) as db,
        db.begin(write=True) as txn,
    ):
        schema.users.put_many(txn, ((n, {"email": f"e{n}"}) for n in range(10)))
        assert schema.users.rebuild_indexes(txn) == (10, 10)


@pytest.mark.parametrize(
    ("index_key", "primary", "email"),
    [
        (b"e1", b"\0\0", IndexReport("email", 5, 5, missing=[1], stale=[], extra=["e1"])),
        (b"e1", b"", IndexReport("email", 5, 5, missing=[1], stale=[], extra=["e1"])),
        (b"e1", b"\xff" * 8, IndexReport("email", 5, 5, missing=[1], stale=[], extra=["e1"])),
        (b"\xff\xfe", bytes(8), IndexReport("email", 5, 6, missing=[], stale=[b"\xff\xfe"], extra=[])),
        (b"\xff\xfe", b"\0", IndexReport("email", 5, 6, missing=[], stale=[], extra=[b"\xff\xfe"])),
    ],
)
def test_checking_reports_damaged_index_records_and_rebuilding_mends_them(db, index_key, primary, email):
    schema = Users(email={})
    with db.begin(write=True) as txn:
        schema.users.put_many(txn, ((n, {"email": f"e{n}"}) for n in range(5)))
        txn.put(b"\0\2" + index_key, primary)
        assert schema.users.check_indexes(txn) == [email]
        schema.users.rebuild_indexes(txn)
        assert schema.users.check_indexes(txn) == [IndexReport("email", 5, 5, [], [], [])]


def test_checking_finds_what_is_missing_stale_and_extra(db):
    schema = Users(email={"nullable": True}, name={})
    users, by_email = schema.users, schema.indexes["email"]
    with db.begin(write=True) as txn:
        users.put_many(txn, ((n, {"email": f"e{n}", "name": f"n{n}"}) for n in range(1, 1500)))
        users[txn, 1500] = {"email": None, "name": "n1500"}
        del by_email[txn, "e7"]
        by_email[txn, "nobody"] = 5000
        by_email[txn, "e8"] = 9
        by_email[txn, "old"] = 10
        email, name = users.check_indexes(txn)
        assert email == IndexReport(
            "email", 1500, 1500, missing=[7, 8], stale=["e8", "old"], extra=["nobody"]
        )
        assert not email.ok
        assert name == IndexReport("name", 1500, 1500, [], [], [])
        assert users.rebuild_index(txn, "email") == (1500, 1499)
        assert users.check_indexes(txn)[0].ok


def test_truncating_empties_indexes_too(db):
    schema = Users(a={}, b={}, c={}, d={}, e={}, f={})
    users = schema.users
    stats = zlmdb.TransactionStats()
    with db.begin(write=True) as txn:
        users.put_many(txn, ((n, {field: f"{field}{n}" for field in "abcdef"}) for n in range(1000)))
    with db.begin(write=True, stats=stats) as txn:
        assert users.truncate(txn) == 7000
        assert stats.dels == 7000
        assert users.count(txn) == 0
        assert schema.contents(txn) == {field: {} for field in "abcdef"}
    with db.begin(write=True) as txn:
        users[txn, 1] = dict.fromkeys("abcdef", "x")
        assert users.truncate(txn, rebuild_indexes=False) == 1
        assert schema.indexes["a"].count(txn) == 1


def test_a_record_that_is_written_again_unchanged_is_not_decoded(db):
    def fail(_data):
        raise AssertionError("decoded")

    users, index = zlmdb.MapOidCbor(1, marshal=unchanged, unmarshal=fail), zlmdb.MapStringOid(2)
    users.attach_index("name", index, lambda user: user["name"])
    with db.begin(write=True) as txn:
        for _ in range(2):
            users[txn, 1] = {"name": "a"}
        assert list(index.select(txn)) == [("a", 1)]
        with pytest.raises(zlmdb.Error, match="decoded"):
            users[txn, 1] = {"name": "b"}
        assert list(index.select(txn)) == [("a", 1)]


def test_stats_count_index_records(db):
    schema = Users(a={}, b={"nullable": True})
    stats = zlmdb.TransactionStats()
    with db.begin(write=True, stats=stats) as txn:
        schema.users[txn, 1] = {"a": "x", "b": "y"}
        assert (stats.puts, stats.dels) == (3, 0)
        schema.users[txn, 1] = {"a": "z", "b": None}
        assert (stats.puts, stats.dels) == (5, 2)
        del schema.users[txn, 1]
        assert (stats.puts, stats.dels) == (5, 4)
