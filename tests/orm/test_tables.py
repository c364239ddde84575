"""Tables are found by their ID, keep their slots, and are what the database says they are."""

from __future__ import annotations

import uuid

import cbor2
import pytest

import zlmdb
from zlmdb.orm.errors import ReadOnlyError, SlotError, TableError, TableIdError, UsageError


def unchanged(value):
    return value


def new_table(base=zlmdb.MapOidPickle, name="Table", doc=None, oid=None, **settings):
    """Return a new table class."""
    cls = type(name, (base,), {"__doc__": doc, "__module__": "app.models"})
    return zlmdb.table(oid or uuid.uuid4(), **settings)(cls)


def test_the_decorator_notes_settings_and_registers_the_class():
    oid = uuid.uuid4()

    @zlmdb.table(str(oid), marshal=unchanged, parse=list, compress=1)
    class Users(zlmdb.MapOidCbor): ...

    assert zlmdb.TABLES_BY_UUID[oid] is Users
    assert (Users._zlmdb_oid, Users._zlmdb_compress, Users._zlmdb_build, Users._zlmdb_cast) == (
        oid,
        1,
        None,
        None,
    )
    assert Users._zlmdb_marshal is unchanged
    assert Users._zlmdb_parse is list


def test_an_id_may_be_registered_again_with_the_same_settings_only():
    oid = uuid.uuid4()
    first = new_table(oid=oid, marshal=unchanged, parse=list, name="One")
    again = zlmdb.table(oid, marshal=unchanged, parse=list)(first)
    assert again is first, "the existing zlmdb returned None"
    second = new_table(oid=oid, marshal=unchanged, parse=list, name="One")
    assert second._zlmdb_oid == oid
    for settings in ({}, {"marshal": unchanged}, {"marshal": unchanged, "parse": list, "compress": 1}):
        with pytest.raises(
            AssertionError, match=f"table {oid} of Other is taken by class One, which has another"
        ):
            new_table(oid=oid, name="Other", **settings)
        with pytest.raises(AssertionError):
            zlmdb.table(oid, **settings)(first)


@pytest.mark.parametrize(("arguments", "settings"), [
    ((5,), {}), ((None,), {}), ((b"x" * 16,), {}), (("no uuid",), {}),
    *(((str(uuid.uuid4()),), {name: 5}) for name in ("marshal", "parse", "build", "cast", "compress")),
    ((str(uuid.uuid4()),), {"compress": 0}),
])  # fmt: skip
def test_bad_settings_are_refused(arguments, settings):
    with pytest.raises(AssertionError, match=r"must be"):
        zlmdb.table(*arguments, **settings)


def test_what_is_no_map_class_cannot_be_a_table():
    with pytest.raises(UsageError, match="subclasses of PersistentMap"):
        zlmdb.table(uuid.uuid4())(int)
    with pytest.raises(TableIdError):
        zlmdb.table("zzz")
    assert issubclass(TableIdError, ValueError)


def test_tables_get_slots_in_turn_and_keep_them(tmp_path, lib_version):
    tables = [new_table(name=f"Table{n}", doc=f"\n    Number {n}.\n\n      Inner.\n    ") for n in range(3)]
    with zlmdb.Database(tmp_path / "db", lib_version=lib_version) as db:
        assert [db.attach_table(table)._slot for table in tables[:2]] == [1, 2]
        with db.begin(write=True) as txn:
            db.attach_table(tables[1])[txn, 5] = "five"
            records = dict(txn._opened().items())
        assert records[b"\0\0\0\2"] == cbor2.dumps({
            "oid": str(tables[1]._zlmdb_oid), "name": "app.models.Table1",
            "description": "Number 1.\n\n      Inner.", "creator": "unknown", "slot": 2,
        })  # fmt: skip
    with zlmdb.Database(tmp_path / "db") as db:
        assert [db.attach_table(table)._slot for table in (tables[2], tables[1], tables[0])] == [3, 2, 1]
        with db.begin() as txn:
            assert db.attach_table(tables[1])[txn, 5] == "five"


def test_the_documented_example_of_metadata(db):
    from zlmdb.orm.slots import SlotInfo

    info = SlotInfo(uuid.UUID(int=5), 2, "__main__.Tab2")
    assert info.to_bytes() == (
        bytes.fromhex("a4636f69647824") + str(uuid.UUID(int=5)).encode()
        + bytes.fromhex("646e616d656d5f5f6d61696e5f5f2e54616232")
        + bytes.fromhex("6763726561746f7267756e6b6e6f776e 64736c6f7402")
    )  # fmt: skip


def test_slots_in_the_middle_are_not_used_again(db):
    one, two, three, four = (new_table(name=f"T{n}") for n in range(4))
    maps = [db.attach_table(table) for table in (one, two, three)]
    with db.begin(write=True) as txn:
        for pmap in maps:
            pmap.put_many(txn, ((n, n) for n in range(10)))
    assert db.drop_table(two) == 10
    assert db.drop_table(two) == 0
    assert db.attach_table(four)._slot == 4
    assert db.drop_table(four._zlmdb_oid) == 0
    assert db.drop_table(maps[2]) == 10
    assert db.attach_table(two)._slot == 2
    with db.begin() as txn:
        assert [pmap.count(txn) for pmap in maps] == [10, 0, 0]


def test_slots_with_records_of_others_are_not_taken(db):
    """Slots that an application uses by number have records, but no metadata."""
    with db.begin(write=True) as txn:
        for slot in (1, 2, 4):
            zlmdb.MapOidOid(slot)[txn, 1] = 1
    tables = [db.attach_table(new_table()) for _ in range(3)]
    assert [pmap._slot for pmap in tables] == [3, 5, 6]


def test_a_dropped_map_takes_its_indexes_along(db):
    users, index = (
        db.attach_table(new_table(name="Users")),
        db.attach_table(new_table(zlmdb.MapStringOid, "Index")),
    )
    users.attach_index("index", index, unchanged)
    keep = db.attach_table(new_table(name="Keep"))
    with db.begin(write=True) as txn:
        users.put_many(txn, ((n, str(n)) for n in range(10)))
        keep[txn, 1] = 1
    assert db.drop_table(users) == 20
    assert [slot["name"] for slot in db.stats(include_slots=True)["slots"]] == ["app.models.Keep"]
    with pytest.raises(TableError):
        db.drop_table(int)
    free = zlmdb.MapOidOid(100)
    with db.begin(write=True) as txn:
        free[txn, 1] = 1
    assert db.drop_table(free) == 1


def test_settings_decide_how_the_map_is_made(db):
    from zlmdb.orm.kinds import FlatBuffersMap

    cbor = db.attach_table(new_table(zlmdb.MapOidCbor, "A", marshal=unchanged, parse=unchanged, compress=1))
    flat = db.attach_table(new_table(zlmdb.MapOidFlatBuffers, "B", build=unchanged, cast=bytes))
    packed = db.attach_table(new_table(zlmdb.MapOidPickle, "C", compress=1))
    assert isinstance(flat, FlatBuffersMap)
    assert flat._deserialize_value(b"abc") == b"abc"
    with db.begin(write=True) as txn:
        cbor[txn, 1] = ["x" * 100]
        packed[txn, 1] = "y"
        assert txn.get(b"\0\1" + bytes(7) + b"\1").startswith(b"\x78\x9c")
        assert packed[txn, 1] == "y"


@pytest.mark.parametrize("settings", [
    {"marshal": unchanged}, {"parse": unchanged}, {"build": unchanged}, {"cast": unchanged},
    {"marshal": unchanged, "cast": unchanged},
    {"marshal": unchanged, "parse": unchanged, "build": unchanged, "cast": unchanged},
])  # fmt: skip
def test_incomplete_settings_are_refused_and_no_slot_is_used(db, settings):
    with pytest.raises(AssertionError, match="either marshal and parse, or build and cast"):
        db.attach_table(new_table(zlmdb.MapOidCbor, **settings))
    assert db.stats()["num_slots"] == 0


def test_what_is_no_table_is_refused_and_no_slot_is_used(db):
    class Undecorated(zlmdb.MapOidPickle): ...

    for klass in (5, "x", int, zlmdb.PersistentMap, zlmdb.MapOidPickle, Undecorated, zlmdb.MapOidPickle(1)):
        with pytest.raises(TypeError, match="is no table"):
            db.attach_table(klass)
    with pytest.raises(TableError, match="do not fit Table"):
        db.attach_table(new_table(build=unchanged, cast=unchanged))
    with pytest.raises(UsageError, match="needs the functions"):
        db.attach_table(new_table(zlmdb.MapOidCbor))
    assert db.stats()["num_slots"] == 0


def test_a_class_of_another_name_is_refused_until_the_table_is_renamed(db):
    oid = uuid.uuid4()
    old, new = new_table(name="Old", oid=oid), new_table(name="New", oid=oid, doc="New.")
    db.attach_table(old)
    with pytest.raises(
        SlotError, match=r"in slot 1 was made with the class app.models.Old, not with app.models.New"
    ):
        db.attach_table(new)
    assert db.attach_table(new, rename=True)._slot == 1
    assert db.attach_table(new)._slot == 1
    assert db.stats(include_slots=True)["slots"] == [
        {"oid": str(oid), "slot": 1, "name": "app.models.New", "description": "New.", "records": 0}
    ]
    with pytest.raises(SlotError):
        db.attach_table(old)


def test_the_module_of_a_class_may_change(db):
    """Existing databases have the bare name of the class if Twisted was not installed."""
    table = new_table(name="Moved")
    with db.begin(write=True) as txn:
        txn.put(
            b"\0\0\0\7",
            cbor2.dumps({"oid": str(table._zlmdb_oid), "name": "Moved", "creator": "x", "slot": 7}),
        )
    assert db.attach_table(table)._slot == 7
    table.__module__ = "elsewhere"
    assert db.attach_table(table)._slot == 7
    assert db.attach_table(new_table())._slot == 8


def test_a_slot_without_a_name_is_of_any_class(db):
    """Existing releases write null where a slot is attached without a name."""
    table = new_table()
    with db.begin(write=True) as txn:
        fields = {"oid": str(table._zlmdb_oid), "name": None, "creator": "unknown", "slot": 1}
        txn.put(b"\0\0\0\1", cbor2.dumps(fields))
    assert db.attach_table(table)._slot == db.attach_table(table, rename=True)._slot == 1


def test_a_subclass_of_a_table_is_that_table(db):
    table = new_table(name="Base")
    derived = type("Derived", (table,), {})
    assert db.attach_table(table)._slot == 1
    assert isinstance(db.attach_table(derived), derived)
    assert db.stats()["num_slots"] == 1


@pytest.mark.parametrize("position", [0, 1, 2, 3])
def test_a_table_opens_as_any_class_of_its_family(db, position):
    """26.10 notes the class that is attached first, not the decorated one: such databases were refused."""
    table = new_table(name="Base")
    derived = type("Derived", (table,), {"__doc__": " Derived. ", "__module__": "app.models"})
    family = [table, derived, type("Further", (derived,), {}), type("Other", (table,), {})]
    stranger = zlmdb.table(uuid.uuid4())(type("Stranger", (table,), {}))
    for cls in (family[position], *family):
        assert isinstance(db.attach_table(cls), cls)
    slots = db.stats(include_slots=True)["slots"]
    assert [slot["name"].split(".")[-1] for slot in slots] == [family[position].__name__]
    if position == 1:
        assert (slots[0]["name"], slots[0]["description"]) == ("app.models.Derived", "Derived.")
    assert db.attach_table(stranger)._slot == 2
    assert db.attach_table(derived, rename=True)._slot == 1
    assert db.stats(include_slots=True)["slots"][0]["name"] == "app.models.Derived"


@pytest.mark.parametrize("data", [b"\xff", cbor2.dumps({}), cbor2.dumps([1]), cbor2.dumps({
    "oid": str(uuid.uuid4()), "name": "x", "slot": 4}), cbor2.dumps({
    "oid": str(uuid.uuid4()), "name": 5, "slot": 3})])  # fmt: skip
def test_damaged_metadata_is_named(db, data):
    with db.begin(write=True) as txn:
        txn.put(b"\0\0\0\3", data)
        txn.put(b"\0\0\1", b"a key that is too short is ignored")
    with pytest.raises(SlotError, match="metadata of slot 3"):
        db.attach_table(new_table())


def test_the_last_slot_is_the_last(db):
    with db.begin(write=True) as txn:
        txn.put(b"\0\0\xff\xff", cbor2.dumps({"oid": str(uuid.uuid4()), "name": "x", "slot": 65535}))
    with pytest.raises(SlotError, match="no slot is free"):
        db.attach_table(new_table())


def test_a_read_only_database_gets_no_new_tables(tmp_path):
    known, new = new_table(name="Known"), new_table(name="New")
    with zlmdb.Database(tmp_path / "db") as db:
        db.attach_table(known)
    with zlmdb.Database(tmp_path / "db", readonly=True) as db:
        assert db.attach_table(known)._slot == 1
        with pytest.raises(ReadOnlyError, match="read-only"):
            db.attach_table(new)
        with pytest.raises(ReadOnlyError):
            db.drop_table(known)


def test_slots_of_classes_that_are_not_decorated(db):
    oid = uuid.uuid4()
    with pytest.raises(RuntimeError, match="No slot found"):
        db._attach_slot(oid, zlmdb.MapOidPickle, create=False)
    with pytest.raises(AssertionError, match="must be a UUID"):
        db._attach_slot(str(oid), zlmdb.MapOidPickle)
    pmap = db._attach_slot(
        oid, zlmdb.MapOidCbor, marshal=unchanged, parse=unchanged, name="any", description="more"
    )
    assert pmap._slot == 1
    assert db._attach_slot(oid, zlmdb.MapOidPickle, create=False)._slot == 1
