"""A unique index holds a key for one record only; by default, the last record takes it."""

from __future__ import annotations

import pytest

import zlmdb

from .indexed_users import Users, unchanged


def test_by_default_the_last_record_takes_the_index_record(db):
    """As in existing releases, whose unique=True is the default and never enforced."""
    for options in ({}, {"unique": False}, {"unique": None}):
        schema = Users(email=options)
        users, by_email = schema.users, schema.indexes["email"]
        with db.begin(write=True) as txn:
            users[txn, 1] = {"email": "same"}
            users[txn, 2] = {"email": "same"}
            assert by_email[txn, "same"] == 2
            report = users.check_indexes(txn)[0]
            assert (report.ok, report.missing) == (False, [1])
            users[txn, 1] = {"email": "other"}
            assert schema.contents(txn) == {"email": {"same": 2, "other": 1}}
            users[txn, 1] = {"email": "same"}
            del users[txn, 2]
            assert by_email[txn, "same"] == 1, "the record of another must not be deleted"
            users.truncate(txn)


def test_a_unique_index_refuses_a_second_record_and_nothing_is_written(db):
    schema = Users(name={}, email={"unique": True})
    users = schema.users
    with db.begin(write=True) as txn:
        users[txn, 1] = {"name": "a", "email": "one"}
        users[txn, 2] = {"name": "b", "email": "two"}
        records, entries = list(users.select(txn)), schema.contents(txn)
        for write in (
            lambda: users.__setitem__((txn, 3), {"name": "c", "email": "one"}),
            lambda: users.__setitem__((txn, 2), {"name": "c", "email": "one"}),
            lambda: users.put_many(txn, [(3, {"name": "c", "email": "one"})]),
            lambda: users.put_many(txn, [(2, {"name": "c", "email": "one"})]),
        ):
            with pytest.raises(zlmdb.orm.UniqueValueConstraint, match="index key str 'one' already"):
                write()
            assert list(users.select(txn)) == records
            assert schema.contents(txn) == entries
        users[txn, 1] = {"name": "z", "email": "one"}
        users[txn, 1] = {"name": "z", "email": "free"}
        users[txn, 2] = {"name": "b", "email": "one"}
        del users[txn, 2]
        users[txn, 4] = {"name": "d", "email": "one"}
        with pytest.raises(zlmdb.orm.UniqueValueConstraint):
            users.put_many(txn, [(5, {"name": "e", "email": "new"}), (6, {"name": "f", "email": "new"})])
        assert all(report.ok for report in users.check_indexes(txn))


def test_left_over_index_records_take_no_place_in_a_unique_index(db):
    """26.10 leaves them when an index key that is "" or 0 changes, and when such a record is deleted."""
    schema = Users(email={"unique": True})
    users, by_email = schema.users, schema.indexes["email"]
    with db.begin(write=True) as txn:
        users[txn, 1] = {"email": "a"}
        by_email[txn, ""] = 1  # which has another key by now
        by_email[txn, "gone"] = 2  # which there is not
        txn.put(b"\0\2damaged", b"short")
        users[txn, 3] = {"email": ""}
        assert users.put_many(txn, [(4, {"email": "gone"}), (5, {"email": "damaged"})]) == 2
        assert schema.contents(txn) == {"email": {"a": 1, "": 3, "gone": 4, "damaged": 5}}
        with pytest.raises(zlmdb.orm.UniqueValueConstraint):
            users[txn, 6] = {"email": ""}
        assert all(report.ok for report in users.check_indexes(txn))


def test_records_of_one_index_key_from_before_it_was_unique_leave_each_other_alone(db):
    """26.10 does not enforce that an index is unique."""
    before, schema = Users(email={}), Users(email={"unique": True})
    with db.begin(write=True) as txn:
        for key in (1, 2, 3):
            before.users[txn, key] = {"email": "a"}
        schema.users[txn, 1] = {"email": "b"}
        del schema.users[txn, 2]
        assert schema.contents(txn) == {"email": {"a": 3, "b": 1}}
        del schema.users[txn, 3]
        assert schema.contents(txn) == {"email": {"b": 1}}


def test_rebuilding_a_unique_index_of_records_that_are_not_is_refused(db):
    users, index = zlmdb.MapOidPickle(1), zlmdb.MapStringOid(2)
    with db.begin(write=True) as txn:
        users.put_many(txn, [(1, "same"), (2, "same")])
        users.attach_index("value", index, unchanged, unique=True)
        with pytest.raises(zlmdb.orm.UniqueValueConstraint):
            users.rebuild_indexes(txn)
