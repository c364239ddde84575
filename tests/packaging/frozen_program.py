"""What a frozen program may do with zLMDB. `test_frozen.py` freezes and runs it; it is no test itself."""

import os
import sys
import tempfile
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from ipaddress import ip_address
from pathlib import Path
from uuid import UUID

import zlmdb
from zlmdb import lmdb
from zlmdb._flatc import run_flatc

VALUES = [datetime(2026, 1, 1, tzinfo=UTC), Decimal("1.5"), Fraction(1, 3), ip_address("::1"), UUID(int=7)]
"""Those for which cbor2 imports something."""


def same(value):
    return value


@zlmdb.table("7f0a3c1e-5d2b-4b8e-9a51-0c2f6d1e8b01", marshal=same, parse=same)
class Users(zlmdb.MapOidCbor):
    """Users by number."""


@zlmdb.table("7f0a3c1e-5d2b-4b8e-9a51-0c2f6d1e8b02")
class UsersByName(zlmdb.MapStringOid):
    """Numbers of users by name."""


def use_lmdb():
    for version in (0, 1):
        with lmdb.open(f"lmdb-{version}", lib_version=version) as env:
            with env.begin(write=True) as txn:
                txn.put(b"key", b"value")
            assert env.get(b"key") == b"value"


def use_objects():
    with zlmdb.Database("objects") as db:
        users, by_name = db.attach_table(Users), db.attach_table(UsersByName)
        users.attach_index("by_name", by_name, lambda user: user["name"], unique=True)
        with db.begin(write=True) as txn:
            users[txn, 1] = {"name": "alice", "values": VALUES}
        with db.begin() as txn:
            assert users[txn, by_name[txn, "alice"]]["values"] == VALUES


def use_flatbuffers():
    versions = zlmdb.flatbuffers.check()
    assert versions.runtime == versions.flatc == versions.reflection
    Path("user.fbs").write_text("table User { name: string; karma: int; } root_type User;", encoding="utf-8")
    assert run_flatc(["--python", "--gen-onefile", "--gen-object-api", "user.fbs"]) == 0
    sys.path.insert(0, ".")
    import flatbuffers.flexbuffers
    import flatbuffers.reflection.Schema
    import user_generated as schema

    builder = zlmdb.flatbuffers.Builder()
    builder.Finish(schema.UserT(name="alice", karma=7).Pack(builder))
    assert schema.User.GetRootAs(bytes(builder.Output())).Karma() == 7
    assert flatbuffers.flexbuffers.Loads(flatbuffers.flexbuffers.Dumps([1])) == [1]
    assert flatbuffers.reflection.Schema is zlmdb.flatbuffers.reflection.Schema


def use_the_command():
    from zlmdb.cli import main

    main(["info", "objects"], standalone_mode=False)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for use in (use_lmdb, use_objects, use_flatbuffers, use_the_command):
            use()
            print(f"{use.__name__}: done", flush=True)
