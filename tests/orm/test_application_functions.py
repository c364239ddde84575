"""A function of the application that fails is named: data are not called damaged for it."""

from __future__ import annotations

import pickle

import pytest

import zlmdb
from zlmdb.flatbuffers import encode, packer, table
from zlmdb.orm.errors import DecodeError, DependencyError, EncodeError, IndexFunctionError
from zlmdb.orm.kinds import PickleMap
from zlmdb.orm.values import Cbor, Value

from .indexed_users import unchanged


class Note:
    """A table with a text, as it is read."""

    def __init__(self, data):
        self._tab = table.Table(data, encode.Get(packer.uoffset, data, 0))

    def Text(self):  # noqa: N802 (as flatc names it)
        return self._tab.String(self._tab.Pos + self._tab.Offset(4)).decode()


class NoteT:
    """The same table, as it is written: the object API."""

    def __init__(self, text):
        self.text = text


def build(note, builder):
    text = builder.CreateString(note.text)
    builder.StartObject(1)
    builder.PrependUOffsetTRelativeSlot(0, text, 0)
    return builder.EndObject()


def text_of(note):
    """Return the index key of a note, of the object API only."""
    return note.text


def indexed(pmap, function=text_of, **options):
    pmap.attach_index("text", zlmdb.MapStringOid(2), function, **options)
    return pmap


@pytest.mark.parametrize("unique", [True, False])
def test_an_index_function_for_the_object_api_is_named_at_the_first_update(db, unique):
    notes = indexed(zlmdb.MapOidFlatBuffers(1, build=build, cast=Note), unique=unique)
    with db.begin(write=True) as txn:
        notes[txn, 1] = NoteT("a")
        uses = {
            "update": lambda: notes.__setitem__((txn, 1), NoteT("b")),
            "put_many": lambda: notes.put_many(txn, [(1, NoteT("b"))]),
            "delete": lambda: notes.__delitem__((txn, 1)),
            "check": lambda: notes.check_indexes(txn),
            "rebuild": lambda: notes.rebuild_index(txn, "text"),
        }
        for use in uses.values():
            with pytest.raises(IndexFunctionError) as caught:
                use()
            message = str(caught.value)
            assert "damaged" not in message
            for part in (
                "index 'text' of MapOidFlatBuffers (slot 1)",
                "record int 1",
                "text_of",
                "Note",
                "as it is read",
            ):
                assert part in message
            assert isinstance(caught.value, AttributeError)
        assert notes[txn, 1].Text() == "a"


@pytest.mark.parametrize("many", [True, False])
@pytest.mark.parametrize("pmap", [
    lambda: zlmdb.MapOidPickle(1), lambda: zlmdb.MapOidJson(1, marshal=unchanged, unmarshal=unchanged),
    lambda: zlmdb.MapOidCbor(1, marshal=unchanged, unmarshal=unchanged),
])  # fmt: skip
def test_an_index_function_that_fails_for_a_new_value_is_named_and_nothing_is_written(db, pmap, many):
    pmap = indexed(pmap(), lambda value: value["name"])
    with db.begin(write=True) as txn:
        for value, kind in (({"other": 1}, KeyError), (5, TypeError)):
            with pytest.raises(kind, match=r"index 'text' of .*record int 1.*lambda.*to be stored") as caught:
                pmap.put_many(txn, [(1, value)]) if many else pmap.__setitem__((txn, 1), value)
            assert isinstance(caught.value, IndexFunctionError)
        assert (pmap.count(txn), list(txn._opened().keys())) == (0, [])


class User:
    """What an application stores."""

    @staticmethod
    def parse(fields):
        raise ValueError(f"no field in {fields}")


READING = {
    "cbor": lambda: zlmdb.MapOidCbor(1, marshal=unchanged, unmarshal=User.parse),
    "json": lambda: zlmdb.MapOidJson(1, compress=1, marshal=unchanged, unmarshal=User.parse),
}


def reads(pmap, txn):
    """Return all ways to read a record."""
    return [
        lambda: pmap[txn, 1],
        lambda: pmap.get_many(txn, [1]),
        lambda: list(pmap.select(txn)),
        lambda: list(pmap.select(txn, return_keys=False)),
        lambda: list(pmap.select(txn, prefix=1, return_keys=False)),
    ]


@pytest.mark.parametrize("buffers", [True, False])
@pytest.mark.parametrize("name", sorted(READING))
def test_a_record_that_unmarshal_refuses_is_not_called_damaged(db, name, buffers):
    pmap = READING[name]()
    with db.begin(write=True) as txn:
        pmap[txn, 1] = {"a": 1}
    with db.begin(buffers=buffers) as txn:
        for read in reads(pmap, txn):
            with pytest.raises(
                DecodeError, match=r"key int 1: its function unmarshal \(User.parse, .*py:\d+\)"
            ) as caught:
                read()
            assert "damaged" not in str(caught.value)
            assert "which was given dict {'a': 1}: ValueError: no field" in str(caught.value)


def test_the_function_is_called_as_the_table_names_it(db):
    @zlmdb.table("0f5e6a3c-3c5c-4f0e-8a8e-4a7d0b6f9e11", marshal=unchanged, parse=User.parse)
    class Users(zlmdb.MapOidCbor): ...

    users = db.attach_table(Users)
    with db.begin(write=True) as txn:
        users[txn, 1] = {"a": 1}
        with pytest.raises(DecodeError, match=r"Users .*, key int 1: its function parse \(User.parse"):
            users[txn, 1]


def test_a_cast_that_fails_is_named(db):
    def refuse(_data):
        raise TypeError("no")

    pmap = zlmdb.MapOidFlatBuffers(1, build=build, cast=refuse)
    with db.begin(write=True) as txn:
        pmap[txn, 1] = NoteT("a")
        with pytest.raises(DecodeError, match=r"function cast \(.*refuse, .*which was given bytes") as caught:
            pmap[txn, 1]
        assert "damaged" not in str(caught.value)


class Gone:
    """A class that is not there any more when its objects are read."""


def test_a_pickle_of_a_class_that_is_gone_is_not_called_damaged(db, monkeypatch):
    pmap = zlmdb.MapOidPickle(1)
    with db.begin(write=True) as txn:
        pmap[txn, 1] = Gone()
        txn.put(b"\0\1" + bytes(8), pickle.dumps([1, 2, 3])[:-3])
        monkeypatch.delattr(f"{__name__}.Gone")
        with pytest.raises(DecodeError, match=r"AttributeError.*Gone") as caught:
            pmap[txn, 1]
        assert "damaged" not in str(caught.value)
        with pytest.raises(DecodeError, match="damaged"):
            pmap[txn, 0]


class Strict(Value):
    """A codec of the application's."""

    def load(self, data):
        raise ValueError("not mine")

    def dump(self, value):
        return value


class Overriding(PickleMap):
    """A map that decodes with a method of its own."""

    def _deserialize_value(self, data):
        raise ValueError("not mine")


def test_a_codec_of_the_application_that_fails_is_named(db):
    maps = (
        (zlmdb.PersistentMap(1, key=zlmdb.orm.keys.Oid, value=Strict), "Strict.load"),
        (type("Oids", (Overriding,), {}, key=zlmdb.orm.keys.Oid)(1), "Overriding._deserialize_value"),
    )
    with db.begin(write=True) as txn:
        txn.put(b"\0\1" + bytes(7) + b"\1", b"abc")
        for pmap, name in maps:
            with pytest.raises(DecodeError, match=f"{name}.*not mine") as caught:
                pmap[txn, 1]
            assert "damaged" not in str(caught.value)


@pytest.mark.parametrize("compress", [None, 1])
def test_bytes_that_are_no_record_are_called_damaged(db, compress):
    pmap = zlmdb.MapOidCbor(1, compress, unchanged, User.parse)
    with db.begin(write=True) as txn:
        txn.put(b"\0\1" + bytes(7) + b"\1", b"\x82\x01")
        for read in reads(pmap, txn):
            with pytest.raises(DecodeError, match="key int 1: the record cannot be decoded, it is damaged"):
                read()


def test_a_package_that_is_missing_is_not_called_damage(db):
    def refuse(_data):
        raise DependencyError("Timestamps need numpy")

    class Times(Cbor):
        def __init__(self):
            super().__init__(unchanged, refuse)

    pmap = zlmdb.PersistentMap(1, key=zlmdb.orm.keys.Oid, value=Times)
    with db.begin(write=True) as txn:
        pmap[txn, 1] = 5
        for read in reads(pmap, txn):
            with pytest.raises(DependencyError, match=r"^Timestamps need numpy$"):
                read()


@pytest.mark.parametrize(("base", "settings", "message"), [
    (zlmdb.MapOidCbor, {}, "Documents needs the functions marshal and parse: give them to zlmdb.table"),
    (zlmdb.MapOidCbor, {"marshal": dict}, "this one has marshal$"),
    (zlmdb.MapOidOid, {"marshal": dict, "parse": dict}, "Documents: it takes no marshal and parse"),
    (zlmdb.MapOidCbor, {"build": dict, "cast": dict}, "Documents: it takes no build and cast"),
])  # fmt: skip
def test_wrong_settings_are_called_by_the_names_that_table_takes(db, base, settings, message):
    @zlmdb.table("0f5e6a3c-3c5c-4f0e-8a8e-4a7d0b6f9e12", **settings)
    class Documents(base): ...

    with pytest.raises((zlmdb.orm.errors.TableError, zlmdb.orm.errors.UsageError), match=message) as caught:
        db.attach_table(Documents)
    assert "unmarshal" not in str(caught.value)
    assert not isinstance(caught.value, EncodeError)
