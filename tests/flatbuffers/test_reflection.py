"""The reflection classes read the reflection data: FlatBuffers' schema of schemas, describing itself."""

from __future__ import annotations

from importlib.resources import files

import pytest

from zlmdb.flatbuffers.reflection.BaseType import BaseType
from zlmdb.flatbuffers.reflection.Schema import Schema


@pytest.fixture(scope="module")
def data():
    return files("zlmdb.flatbuffers").joinpath("reflection.bfbs").read_bytes()


@pytest.fixture(scope="module")
def schema(data):
    return Schema.GetRootAs(data)


def fields(table):
    return {table.Fields(i).Name().decode(): table.Fields(i) for i in range(table.FieldsLength())}


def objects(schema):
    return {schema.Objects(i).Name().decode(): schema.Objects(i) for i in range(schema.ObjectsLength())}


def test_file(data, schema):
    assert len(data) == 8016
    assert Schema.SchemaBufferHasIdentifier(data, 0)
    assert (schema.FileIdent(), schema.FileExt()) == (b"BFBS", b"bfbs")
    assert schema.ServicesLength() == 0
    assert schema.FbsFilesLength() == 1
    assert schema.FbsFiles(0).Filename() == b"//reflection.fbs"
    assert schema.FbsFiles(0).IncludedFilenamesLength() == 0


def test_every_table_is_described(schema):
    assert set(objects(schema)) == {
        f"reflection.{name}"
        for name in ("Enum", "EnumVal", "Field", "KeyValue", "Object", "RPCCall", "Schema", "SchemaFile")
    } | {"reflection.Service", "reflection.Type"}
    assert schema.RootTable().Name() == b"reflection.Schema"
    assert not any(table.IsStruct() for table in objects(schema).values())


def test_fields_and_their_types(schema):
    field = fields(objects(schema)["reflection.Object"])
    assert set(field) == {
        *("name", "fields", "is_struct", "minalign", "bytesize", "attributes", "documentation"),
        "declaration_file",
    }
    assert field["name"].Type().BaseType() == BaseType.String
    assert field["name"].Required()
    assert field["name"].Key()
    vector = field["fields"].Type()
    assert (vector.BaseType(), vector.Element()) == (BaseType.Vector, BaseType.Obj)
    assert schema.Objects(vector.Index()).Name() == b"reflection.Field"
    assert field["documentation"].Type().Element() == BaseType.String


def test_enums_and_their_values(schema):
    assert schema.EnumsLength() == 2
    enum = {schema.Enums(i).Name().decode(): schema.Enums(i) for i in range(2)}["reflection.BaseType"]
    named = {enum.Values(i).Name().decode(): enum.Values(i).Value() for i in range(enum.ValuesLength())}
    assert named.pop("None") == BaseType.None_
    assert named == {name: value for name, value in vars(BaseType).items() if not name.endswith("_")}
    assert not enum.IsUnion()


def test_comments_are_in_the_data(schema):
    documented = fields(objects(schema)["reflection.Type"])["base_size"]
    assert b"The size (octets) of the `base_type` field." in documented.Documentation(0)
