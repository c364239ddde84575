"""FlatBuffers values in a transaction with buffers=True are views on LMDB's own pages, and end with it."""

from __future__ import annotations

import numpy as np
import pytest

import zlmdb
from zlmdb.flatbuffers import encode, number_types, packer, table
from zlmdb.orm import kinds
from zlmdb.orm.keys import Uint16


class Note:
    """A table with a text and a vector of bytes, as flatc generates them."""

    def __init__(self, data):
        self.data = data
        self._tab = table.Table(data, encode.Get(packer.uoffset, data, 0))

    def text(self):
        return self._tab.String(self._tab.Pos + self._tab.Offset(4)).decode()

    def payload(self):
        offset = self._tab.Offset(6)
        start = self._tab.Vector(offset)
        return self._tab.Bytes[start : start + self._tab.VectorLen(offset)]

    def weight(self):
        return self._tab.Get(number_types.Float64Flags, self._tab.Pos + self._tab.Offset(8))

    @staticmethod
    def build(note, builder):
        text = builder.CreateString(note["text"])
        payload = builder.CreateByteVector(note["payload"])
        builder.StartObject(3)
        builder.PrependUOffsetTRelativeSlot(0, text, 0)
        builder.PrependUOffsetTRelativeSlot(1, payload, 0)
        builder.PrependFloat64Slot(2, note["weight"], 0.0)
        return builder.EndObject()


NOTE = {"text": "hé", "payload": bytes(range(256)) * 40, "weight": 2.5}


@pytest.fixture
def notes(db):
    """Return a map with some notes."""
    pmap = zlmdb.MapUuidFlatBuffers(1, build=Note.build, cast=Note)
    keys = sorted(pmap.new_key() for _ in range(100))
    with db.begin(write=True) as txn:
        pmap.put_many(txn, ((key, {**NOTE, "text": f"note {n}"}) for n, key in enumerate(keys)))
    pmap.all_keys = keys
    return pmap


def address(view):
    """Return the address of a memoryview's memory."""
    return np.frombuffer(view, "u1").ctypes.data


def test_the_payload_is_not_copied(db, notes):
    key = notes.all_keys[50]
    with db.begin(buffers=True) as txn:
        note = notes[txn, key]
        assert isinstance(note.data, memoryview)
        assert note.data.readonly
        assert (note.text(), note.payload(), note.weight()) == ("note 50", NOTE["payload"], 2.5)
        place = address(note.data)
        again, selected = notes[txn, key], dict(notes.select(txn))[key]
        assert address(again.data) == address(selected.data) == place
        assert address(notes.get_bytes(txn, key)) == place
        assert address(notes.get_many(txn, [key])[0].data) == place
        info = db._env.info()
        if info["map_addr"]:
            assert info["map_addr"] < place < info["map_addr"] + info["map_size"]
        assert address(note.payload()) - place > 0, "the vector is a part of the record, not a copy"


def test_a_value_ends_with_its_transaction(db, notes):
    with db.begin(buffers=True) as txn:
        note, others = notes[txn, notes.all_keys[0]], [value for _, value in notes.select(txn, limit=3)]
        assert [value.text() for value in others] == ["note 0", "note 1", "note 2"]
    for ended in (note, *others):
        for use in (ended.text, ended.payload, ended.weight):
            with pytest.raises(ValueError, match="released"):
                use()


def test_views_of_a_write_transaction_show_what_it_wrote(db, notes):
    with db.begin(write=True, buffers=True) as txn:
        key = notes.all_keys[0]
        notes[txn, key] = {**NOTE, "text": "new"}
        assert notes[txn, key].text() == "new"
        assert notes[txn, notes.all_keys[1]].text() == "note 1"


def test_without_buffers_values_are_copies_that_stay(db, notes):
    with db.begin() as txn:
        note = notes[txn, notes.all_keys[3]]
        assert type(note.data) is bytes
        assert type(notes.get_bytes(txn, notes.all_keys[3])) is bytes
    assert note.text() == "note 3"


def test_compressed_values_are_copies_in_any_case(db):
    pmap = zlmdb.MapOidFlatBuffers(2, compress=1, build=Note.build, cast=Note)
    with db.begin(write=True) as txn:
        pmap[txn, 1] = NOTE
    with db.begin(buffers=True) as txn:
        note = pmap[txn, 1]
        assert type(note.data) is bytes
        assert pmap.get_bytes(txn, 1) == note.data
    assert note.payload() == NOTE["payload"]


def test_a_record_is_passed_on_without_encoding_it_again(db, notes):
    key = notes.all_keys[7]
    with db.begin(buffers=True) as txn:
        message = b"".join([b"header", notes.get_bytes(txn, key)])
    assert Note(message[6:]).text() == "note 7"


def test_other_kinds_of_values_are_the_same_with_buffers(db):
    """The existing zlmdb failed to decode them."""
    maps = {
        zlmdb.MapStringString(1): ("é", "ü"),
        zlmdb.MapOidPickle(2): (5, [1]),
        zlmdb.MapUuidTimestampUuid(3): (zlmdb.MapUuidTimestampUuid.new_key(), zlmdb.MapUuidUuid.new_key()),
        zlmdb.MapOidOidSet(4): (1, {1, 2, 3}),
        zlmdb.MapBytes20Bytes20(5): (b"a" * 20, b"b" * 20),
        zlmdb.PersistentMap(6, key=Uint16, value=zlmdb.orm.values.Json()): (5, {"a": [1]}),
    }
    by_value = zlmdb.MapStringString(7)
    next(iter(maps)).attach_index("value", by_value, lambda value: value)
    with db.begin(write=True, buffers=True) as txn:
        for pmap, (key, value) in maps.items():
            pmap[txn, key] = value
            pmap[txn, key] = value
    with db.begin(buffers=True) as txn:
        for pmap, (key, value) in maps.items():
            assert pmap[txn, key] == value
            assert list(pmap.select(txn)) == [(key, value)]
            assert list(pmap.select(txn, return_values=False)) == [key]
            assert pmap.get_many(txn, [key]) == [value]
            assert pmap.count(txn) == 1
        assert by_value[txn, "ü"] == "é"
    with db.begin(write=True, buffers=True) as txn:
        for pmap, (key, _) in maps.items():
            del pmap[txn, key]
            assert (txn, key) not in pmap
        assert by_value.count(txn) == 0
        assert issubclass(kinds.FlatBuffersMap, zlmdb.PersistentMap)
