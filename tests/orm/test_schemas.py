"""Schemas register maps under their slots; schema files describe some."""

from __future__ import annotations

import sys

import pytest

import zlmdb
import zlmdb._database
from zlmdb.orm.errors import DependencyError, UsageError


def unchanged(value):
    return value


def test_constants_are_those_of_existing_releases():
    names = ["EMPTY", "METADATA", "TYPE", "SEQUENCE", "TABLE", "INDEX", "REPLICATION", "MATERIALIZATION"]
    assert [getattr(zlmdb.Schema, f"SLOT_DATA_{name}") for name in names] == list(range(8))


class WithoutInit(zlmdb.Schema):
    def __init__(self):
        """Do not call the base class, as applications may."""


@pytest.mark.parametrize("cls", [zlmdb.Schema, WithoutInit])
def test_a_slot_notes_settings_in_the_map(cls):
    schema = cls()
    pmap = zlmdb.MapOidCbor(1, marshal=unchanged, unmarshal=unchanged)
    assert schema.slot(100, marshal=list, unmarshal=dict, compress=1)(pmap) is pmap
    assert (pmap._zlmdb_slot, pmap._zlmdb_marshal, pmap._zlmdb_unmarshal) == (100, list, dict)
    assert (pmap._zlmdb_build, pmap._zlmdb_cast, pmap._zlmdb_compress) == (None, None, 1)


def test_slots_and_names_are_unique_in_a_schema():
    schema = zlmdb.Schema()
    schema.slot(100)(zlmdb.MapOidOid(1))
    for slot, pmap in (
        (100, zlmdb.MapOidPickle(2)),
        (101, zlmdb.MapOidOid(3)),
        (102, zlmdb.MapOidPickle),
        (103, 5),
    ):
        with pytest.raises(AssertionError, match=r"taken|already|decorates"):
            schema.slot(slot)(pmap)
    for arguments in (("100",), (100, 5), (0,), (-1,), (65536,)):
        with pytest.raises(AssertionError):
            schema.slot(*arguments)
    zlmdb.Schema().slot(100)(zlmdb.MapOidPickle(2))


YAML = """
slots:
  - {index: 100, name: users, key: string, value: json, schema: User, description: All users}
  - {index: 65535, name: visits, key: uuid, value: cbor}
"""


@pytest.fixture
def parse(tmp_path):
    pytest.importorskip("yaml", reason="schema files need PyYAML, which zlmdb does not depend on")

    def parse(text):
        (tmp_path / "schema.yaml").write_text(text)
        return zlmdb._database.Schema.parse(str(tmp_path / "schema.yaml"))

    return parse


def test_a_schema_file_describes_maps(db, parse):
    schema = parse(YAML)
    assert sorted(schema) == ["users", "visits"]
    assert len(schema) == 2
    assert isinstance(schema["users"], zlmdb.MapStringJson)
    assert isinstance(schema["visits"], zlmdb.MapUuidCbor)
    assert schema["visits"]._slot == 65535
    with db.begin(write=True) as txn:
        schema["users"][txn, "a"] = {"b": 1}
        assert schema["users"][txn, "a"] == {"b": 1}
    with pytest.raises(IndexError, match="unknown"):
        schema["unknown"]
    with pytest.raises(TypeError):
        schema["users"] = None


@pytest.mark.parametrize("text", [
    "", "slots: 5", "[1]", "slots: [5]", "a: b: c",
    "slots: [{index: 99, name: a, key: string, value: json}]",
    "slots: [{index: 65536, name: a, key: string, value: json}]",
    "slots: [{index: true, name: a, key: string, value: json}]",
    "slots: [{index: 100, key: string, value: json}]",
    "slots: [{index: 100, name: a, key: oid, value: json}]",
    "slots: [{index: 100, name: a, key: string, value: pickle}]",
    "slots: [{index: 100, name: a, key: [1], value: {a: 1}}]",
    "slots: [{index: 100, name: a, key: string, value: json}, {index: 100, name: b, key: uuid, value: cbor}]",
    "slots: [{index: 100, name: a, key: string, value: json}, {index: 101, name: a, key: uuid, value: cbor}]",
])  # fmt: skip
def test_a_bad_schema_file_is_refused_with_its_name(parse, text):
    with pytest.raises(UsageError, match=r"schema\.yaml"):
        parse(text)


def test_schema_files_without_pyyaml_say_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(DependencyError, match="pyyaml"):
        zlmdb._database.Schema.parse("x.yaml")
