"""What a notebook needs: a cell that is run twice works, and objects show what they are."""

from __future__ import annotations

import pytest

import zlmdb
import zlmdb.aio
from zlmdb.orm.errors import UsageError

from .indexed_users import Users, unchanged

CELL = """
import zlmdb


class User:
    def __init__(self, name):
        self.name = name

    def marshal(self):
        return {"name": self.name}

    @staticmethod
    def parse(fields):
        return User(**fields)


@zlmdb.table("5c1f0a52-52c2-4d5e-9d0c-0f2d6f6a7c01", marshal=User.marshal, parse=lambda data: User(**data))
class Members(zlmdb.MapOidCbor):
    "Members by number."


@zlmdb.table("5c1f0a52-52c2-4d5e-9d0c-0f2d6f6a7c02")
class MembersByName(zlmdb.MapStringOid):
    "Numbers of members by name."


db = zlmdb.Database.open(path)
members, by_name = db.attach_table(Members), db.attach_table(MembersByName)
members.attach_index("name", by_name, lambda user: user.name)
with db.begin(write=True) as txn:
    members[txn, 1] = User("Ada")
with db.begin() as txn:
    found = members[txn, by_name[txn, "Ada"]]
"""


def test_a_cell_runs_twice(tmp_path):
    cells = {"__name__": "__main__", "path": str(tmp_path / "db")}
    for _ in range(2):
        exec(CELL, cells)
        assert type(cells["found"]) is cells["User"]
    assert zlmdb.TABLES_BY_UUID[cells["Members"]._zlmdb_oid] is cells["Members"]
    cells["db"].close()


def test_a_cell_with_a_block_runs_twice(tmp_path):
    cell = CELL.replace("db = zlmdb.Database.open(path)\n", "with zlmdb.Database(path) as db:\n")
    head, block = cell.split("as db:\n")
    cell = head + "as db:\n" + "".join(f"    {line}\n" for line in block.splitlines())
    cells = {"__name__": "__main__", "path": str(tmp_path / "db")}
    for _ in range(2):
        exec(cell, cells)
        assert cells["found"].name == "Ada"


def test_a_class_of_a_function_is_replaced_as_well():
    def define(function):
        @zlmdb.table("5c1f0a52-52c2-4d5e-9d0c-0f2d6f6a7c03", marshal=function, parse=function)
        class Local(zlmdb.MapOidCbor): ...

        return Local

    first, second = define(unchanged), define(lambda value: value)
    assert zlmdb.TABLES_BY_UUID[second._zlmdb_oid] is second
    with pytest.raises(UsageError, match="has another marshal"):
        zlmdb.table(first._zlmdb_oid, marshal=dict, parse=dict)(first)


def test_another_class_does_not_take_a_table_over():
    oid = "5c1f0a52-52c2-4d5e-9d0c-0f2d6f6a7c04"

    @zlmdb.table(oid, marshal=unchanged, parse=unchanged)
    class One(zlmdb.MapOidCbor): ...

    with pytest.raises(UsageError, match="of Other is taken by class One"):

        @zlmdb.table(oid, marshal=dict, parse=dict)
        class Other(zlmdb.MapOidCbor): ...

    assert zlmdb.TABLES_BY_UUID[One._zlmdb_oid] is One


def test_objects_show_what_they_are(tmp_path, lib_version):
    path = str(tmp_path / "db")
    db = zlmdb.Database(path, open_now=False, lib_version=lib_version)
    assert repr(db) == f"<Database {path!r}: closed, LMDB format {lib_version}>"
    schema, plain = Users(email={}), zlmdb.MapStringStringUuid(7)
    with db:
        assert repr(db) == f"<Database {path!r}: open, LMDB format {lib_version}>"
        assert repr(zlmdb.aio.wrap(db)) == f"<AsyncDatabase of {db!r}>"
        stats = zlmdb.TransactionStats()
        with db.begin(write=True, stats=stats) as txn:
            assert repr(txn) == f"<Transaction (write) of database {path!r}: open>"
            plain[txn, ("a", "b")] = None
            assert repr(plain.select(txn)) == "<Selection of records of MapStringStringUuid (slot 7)>"
            keys = plain.select(txn, return_values=False, reverse=True)
            assert repr(keys) == "<Selection of keys of MapStringStringUuid (slot 7), in reverse>"
            with txn.begin() as child:
                assert repr(child) == f"<Transaction (nested write) of database {path!r}: open>"
        assert repr(stats) == "<TransactionStats: 1 puts, 0 dels>"
        assert repr(txn) == f"<Transaction (write) of database {path!r}: not open>"
        assert repr(db.begin()) == f"<Transaction (read) of database {path!r}: not open>"
    with zlmdb.Database(path, readonly=True) as db:
        assert repr(db) == f"<Database {path!r}: open, read-only, LMDB format {lib_version}>"
    assert repr(plain) == "<MapStringStringUuid, slot 7: StringString to Uuid>"
    assert repr(schema.users) == "<MapOidCbor, slot 1: Oid to Cbor, indexes email>"
    assert (
        repr(schema.indexes["email"])
        == "<MapStringOid, slot 2: String to Oid, an index of MapOidCbor (slot 1)>"
    )
    assert repr(schema.users._records.indexes["email"]) == "index 'email' of MapOidCbor (slot 1)"
    assert repr(zlmdb.StartsWith("Lon")) == "StartsWith('Lon')"
    assert str(plain) == "MapStringStringUuid (slot 7)"
