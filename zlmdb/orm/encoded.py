"""Records that Python encodes, and LMDB stores as they are: the slow path.

It takes whatever the fast path (`zlmdb.orm.planned`) passes on, and says what is wrong with what it refuses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

from zlmdb.lmdb._fast import put_records
from zlmdb.lmdb.errors import BadValsizeError
from zlmdb.lmdb.errors import Error as LmdbError
from zlmdb.orm.errors import Error
from zlmdb.orm.indexes import stale_keys

if TYPE_CHECKING:
    from zlmdb.orm.codec import RecordCodec
    from zlmdb.orm.indexes import Index
    from zlmdb.orm.raw import RawTransaction

K = TypeVar("K")
V = TypeVar("V")


class EncodedRecords(Generic[K, V]):
    """The records of a slot with their index records, by record key.

    Args:
        codec: Of the records.
        indexes: Those that are kept.
    """

    __slots__ = ("_codec", "_indexes")

    def __init__(self, codec: RecordCodec[K, V], indexes: list[Index]) -> None:
        self._codec = codec
        self._indexes = indexes

    def read(self, raw: RawTransaction, record_key: bytes) -> V | None:
        """Return the value of a record; None if there is none, or it is empty."""
        data = raw.get(record_key)
        return self._codec.decoded(raw, record_key, data) if data else None

    def write(self, raw: RawTransaction, key: K, record_key: bytes, value: V, overwrite: bool = True) -> bool:
        """Store a record and its index records; return False if there is one that is not to be replaced."""
        codec = self._codec
        try:
            data = codec.dump(value)
        except Exception as error:
            raise codec.unencodable(key, value, error) from error
        try:
            if self._indexes:
                return self._write_indexed(raw, key, record_key, value, data, overwrite)
            stored = (raw.txn or raw.opened()).put(record_key, data, overwrite=overwrite)
        except Error:
            raise
        except BadValsizeError as error:
            raise codec.too_long(raw, record_key) from error
        except LmdbError as error:
            raw.refuse(error)
        if stored and raw.stats is not None:
            raw.stats.puts += 1
        return stored

    def _write_indexed(
        self, raw: RawTransaction, key: K, record_key: bytes, value: V, data: bytes, overwrite: bool
    ) -> bool:
        records: tuple[bytes, ...] = (record_key, data)
        for index in self._indexes:
            entry = index.entry(key, value)
            if entry is None:
                index.check_null(key)
            else:
                if index.unique:
                    index.check_free(raw, entry, key)
                records += entry
        try:
            old = put_records(raw.txn or raw.opened(), records)
        except BadValsizeError:  # of which map?
            for index in self._indexes:
                prefix = index.codec.attached()
                index.check_length(raw, [each for each in records[2::2] if each.startswith(prefix)])
            raise
        if old is not None and not overwrite:
            return False
        if old is not None:
            stale = [] if old == data else stale_keys(self._codec, self._indexes, raw, key, old, value)
            put_records(raw.opened(), records, overwrite=True)
            for entry_key in stale:
                raw.delete(entry_key)
        if raw.stats is not None:
            raw.stats.puts += len(records) // 2
        return True

    def delete(self, raw: RawTransaction, key: Any, record_key: bytes) -> None:
        """Delete a record and its index records; nothing happens if there is none."""
        if self._indexes:
            data = raw.get(record_key)
            if data is None:
                return
            value = self._codec.decoded(raw, record_key, data)
            entries = [(index, index.stored_entry(key, value)) for index in self._indexes]
            for index, entry in entries:
                if entry is not None and index.holds(raw, entry):
                    raw.delete(entry[0])
        raw.delete(record_key)
