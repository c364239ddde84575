"""Classes that override the methods by which maps encoded before there were codecs.

They were passed over in silence: records went into the database in other bytes than those that the
application had stored there before, which then could not be read.
"""

from __future__ import annotations

import pytest

import zlmdb
from zlmdb.orm.errors import DecodeError, EncodeError


class Texts(zlmdb.MapOidPickle):
    """Values by methods of its own."""

    def _serialize_value(self, value):
        return repr(value).encode()

    def _deserialize_value(self, data):
        return data.decode()


class Versioned(zlmdb.MapOidPickle):
    """Values by the methods of the class above, and something more."""

    def _serialize_value(self, value):
        return b"v1" + super()._serialize_value(value)

    def _deserialize_value(self, data):
        return super()._deserialize_value(data[2:])


class Decimals(zlmdb.MapStringOid):
    """Keys by methods of its own."""

    def _serialize_key(self, key):
        return b"%03d" % key

    def _deserialize_key(self, data):
        return int(data)


class Own(zlmdb.PersistentMap):
    """All by methods of its own, with no codecs below."""

    _serialize_key = Decimals._serialize_key
    _deserialize_key = Decimals._deserialize_key
    _serialize_value = Texts._serialize_value
    _deserialize_value = Texts._deserialize_value


@pytest.mark.parametrize("compress", [None, 1])
@pytest.mark.parametrize(
    ("cls", "stored_key", "value", "stored", "read"),
    [
        (Texts, b"\0\0\0\0\0\0\0\5", 7, b"7", "7"),
        (Versioned, b"\0\0\0\0\0\0\0\5", 7, b"v1\x80\x02K\x07.", 7),
        (Decimals, b"005", 7, b"\0\0\0\0\0\0\0\7", 7),
        (Own, b"005", 7, b"7", "7"),
    ],
)
def test_a_class_encodes_by_its_own_methods(db, cls, compress, stored_key, value, stored, read):
    pmap = cls(1, compress)
    with db.begin(write=True) as txn:
        pmap[txn, 5] = value
        assert list(txn._opened().keys()) == [b"\0\1" + stored_key]
        assert pmap.get_bytes(txn, 5) == stored
        assert pmap.put_many(txn, [(6, value)]) == 1
        assert pmap.get_many(txn, [5, 6, 7]) == [read, read, None]
        assert pmap[txn, 5] == read
        assert list(pmap.select(txn, from_key=5, to_key=6)) == [(5, read)]
        assert pmap.count(txn, prefix=5) == pmap.count_range(txn, 5, 6) == 1
        del pmap[txn, 5]
        assert (txn, 5) not in pmap
    with db.begin(buffers=True) as txn:
        assert pmap[txn, 6] == read


def test_they_are_indexes_and_have_some(db):
    pmap, by_length, without_x = Versioned(1), Decimals(2), Own(3)
    pmap.attach_index("length", by_length, len)
    pmap.attach_index("without", without_x, lambda text: None if "x" in text else len(text), nullable=True)
    with db.begin(write=True) as txn:
        for key, text in [(1, "a"), (2, "bb"), (3, "xxx"), (1, "cccc")]:
            pmap[txn, key] = text
        assert list(by_length.select(txn)) == [(2, 2), (3, 3), (4, 1)]
        assert list(without_x.select(txn)) == [(2, "2"), (4, "1")]
        del pmap[txn, 2]
        assert pmap.rebuild_index(txn, "length") == (2, 2)
        assert list(by_length.select(txn)) == [(3, 3), (4, 1)]


def test_what_the_methods_raise_names_the_record(db):
    with db.begin(write=True) as txn:
        with pytest.raises(EncodeError, match=r"Decimals \(slot 1\), key str 'x'"):
            Decimals(1)[txn, "x"] = 1
        txn.put(b"\0\1abc", bytes(8))
        with pytest.raises(DecodeError, match="key with bytes 616263"):
            list(Decimals(1).select(txn))
