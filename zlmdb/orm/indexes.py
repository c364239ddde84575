"""Indexes: maps from something in the values of a map to its keys, kept in step with it.

All that can fail is done before the first write, so that a record and its index records are written together
or not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from zlmdb.orm.errors import (
    DecodeError,
    EncodeError,
    IncompleteIndexError,
    IndexFunctionError,
    NullValueConstraint,
    UniqueValueConstraint,
    caused,
    described,
)
from zlmdb.orm.parts import shown

if TYPE_CHECKING:
    from zlmdb.orm.codec import RecordCodec
    from zlmdb.orm.raw import RawTransaction

Entry = tuple[bytes, bytes]
"""An index record, key and value."""

SAMPLE, SOME = 10, 3
"""Records at either end of a map that are looked for in an index when it is used for the first time; and how
many of them give an index away that has others."""


def is_null(index_key: object) -> bool:
    """Return whether an index key is None, or a tuple with a None."""
    return index_key is None or (isinstance(index_key, tuple) and any(part is None for part in index_key))


class Index:
    """An index of a map.

    Args:
        owner: The codec of the map that has the index.
        name: Its name there.
        codec: That of its own records: index keys to primary keys.
        fkey: Makes an index key of a value.
        nullable: Values whose index key is null (None, or a tuple with a None) are left out.
        unique: Two records must not have one index key. Otherwise the last one written takes the index
            record.

    Attributes:
        is_checked: Whether it has been looked at, and is not known to lack records; see `check_complete`.
    """

    def __init__(
        self,
        owner: RecordCodec[Any, Any],
        name: str,
        codec: RecordCodec[Any, Any],
        fkey: Callable[[Any], Any],
        nullable: bool,
        unique: bool,
    ) -> None:
        self.owner = owner
        self.name = name
        self.codec = codec
        self.fkey = fkey
        self.nullable = nullable
        self.unique = unique
        self.is_attached = True
        self.is_checked = False
        self._encode_key = codec.encode_key
        self._encode_primary = codec.values.dump  # never compressed

    def __repr__(self) -> str:
        return f"index {self.name!r} of {self.owner}"

    def entry(self, key: Any, value: Any, is_stored: bool = False) -> Entry | None:
        """Return the index record of a record; None if its index key is null.

        Args:
            key: The key of the record.
            value: Its value.
            is_stored: Whether the value was read, and is not one that is to be stored.

        Raises:
            IndexFunctionError: The function of the index fails for the value.
            EncodeError: The index key cannot be stored.
        """
        fkey, encode_key, encode_primary = self.fkey, self._encode_key, self._encode_primary
        try:
            index_key = fkey(value)
        except Exception as error:
            raise self._failed(key, value, is_stored, error) from error
        if is_null(index_key):
            return None
        try:
            return encode_key(index_key), encode_primary(key)
        except Exception as error:
            self.codec.attached()
            raise EncodeError(
                f"{self}, index key {shown(index_key)}, record {shown(key)}: {error}"
            ) from error

    def _failed(self, key: Any, value: Any, is_stored: bool, error: Exception) -> IndexFunctionError:
        origin = "the value as it is read from the database" if is_stored else "the value to be stored"
        text = (
            f"{self}, record {shown(key)}: the function of the index ({described(self.fkey)}) has failed, "
            f"which was given {shown(value)}, {origin}: {type(error).__name__}: {error}"
        )
        return caused(IndexFunctionError, text, error, mistaken=(StopIteration, StopAsyncIteration))

    def stored_entry(self, key: Any, value: Any) -> Entry | None:
        """Return the index record of a record that is stored."""
        return self.entry(key, value, is_stored=True)

    def entries(self, keys: list[Any], values: list[Any]) -> tuple[list[bytes], list[bytes]]:
        """Return the index records of records that are to be stored: their keys, and their values.

        Raises:
            NullValueConstraint: One of the index keys is null, and the index is not nullable.
        """
        with suppress(Exception):  # found again below, with the record that it is about
            index_keys = list(map(self.fkey, values))
            if not any(map(is_null, index_keys)):
                return list(map(self._encode_key, index_keys)), list(map(self._encode_primary, keys))
        entries = []
        for key, value in zip(keys, values, strict=True):
            entry = self.entry(key, value)
            if entry is None:
                self.check_null(key)
            else:
                entries.append(entry)
        return [entry_key for entry_key, _ in entries], [primary for _, primary in entries]

    def check_null(self, key: Any) -> None:
        """Raise `NullValueConstraint` if the index key of a record must not be null."""
        if not self.nullable:
            raise NullValueConstraint(f"{self} is not nullable, but its key for record {shown(key)} is null")

    def check_length(self, raw: RawTransaction, entry_keys: Iterable[bytes]) -> None:
        """Raise `KeyLengthError` if LMDB does not take all of the keys of index records."""
        self.codec.check_length(raw, max(entry_keys, key=len, default=b""))

    def check_free(self, raw: RawTransaction, entry: Entry, key: Any) -> None:
        """Raise `UniqueValueConstraint` if another record has the index record.

        Releases before leave index records over, of keys that are 0 or "": what is stale takes no place.
        """
        held = raw.get(entry[0])
        if held is None or held == entry[1] or self._is_stale(raw, (entry[0], bytes(held))):
            return
        raise UniqueValueConstraint(
            f"{self} is unique, and another record than {shown(key)} has the index key "
            f"{self.codec.shown_key(entry[0])} already"
        )

    def _is_stale(self, raw: RawTransaction, entry: Entry) -> bool:
        """Return whether an index record leads to no record, or to one that has another index key by now."""
        key, record_key = self.target(raw, *entry)
        data = raw.get(record_key) if record_key else None
        return data is None or entry != self.stored_entry(key, self.owner.decoded(raw, record_key, data))

    def target(self, raw: RawTransaction, entry_key: bytes, primary: bytes) -> tuple[Any, bytes]:
        """Return the key of the record that an index record leads to, also in bytes: none if damaged."""
        try:
            key = self.codec.decoded(raw, entry_key, primary)
            return key, self.owner.record_key(key)
        except (DecodeError, EncodeError):
            return None, b""

    def check_complete(self, raw: RawTransaction) -> None:
        """Raise `IncompleteIndexError` if the index lacks what the map had before it was attached.

        It is looked for by its first records and its last ones. That none of them is there gives the index
        away if it is empty, or if there are some: one alone may be missing where records had one index key,
        and the one that took the index record over is gone. Records that are left out of the index, or cannot
        be read, do not count.

        An index of the same slot that was in step in this open database, and is still attached, is so still.
        """
        slots, in_step = (self.owner.attached(), self.codec.attached()), raw.database.indexes_in_step
        known = in_step.get(slots)
        if known is not None and known.is_attached:
            return
        for reverse in (False, True):
            wanted = self._sample(raw, reverse)
            is_missing = wanted and not any(raw.get(entry_key) is not None for entry_key in wanted)
            if is_missing and (len(set(wanted)) >= SOME or not self._has_records(raw)):
                raise IncompleteIndexError(
                    f"{self} lacks records that {self.owner} had before the index was attached, such as that "
                    f"of the index key {self.codec.shown_key(wanted[0])}: call "
                    f"rebuild_index(txn, {self.name!r}) of the map once, in a write transaction"
                )
        in_step[slots] = self

    def _has_records(self, raw: RawTransaction) -> bool:
        return any(True for _ in raw.opened().keys(prefix=self.codec.attached(), limit=1))

    def _sample(self, raw: RawTransaction, reverse: bool) -> list[bytes]:
        """Return the keys of the index records that the records at one end of the map should have."""
        owner, entry_keys = self.owner, []
        records = raw.opened().items(prefix=owner.attached(), limit=SAMPLE, reverse=reverse)
        for record_key, data in records:
            with suppress(Exception):  # it is for others to say what is wrong with a record
                key, value = owner.decode_key(record_key), owner.decoded(raw, record_key, data)
                if (entry := self.stored_entry(key, value)) is not None:
                    entry_keys.append(entry[0])
        return entry_keys

    def holds(self, raw: RawTransaction, entry: Entry) -> bool:
        """Return whether the index record is the entry, and not that of another record with the same key.

        A unique index may have been kept by releases before, which let others take index records over.
        """
        return raw.get(entry[0]) == entry[1]


def stale_keys(
    codec: RecordCodec[Any, Any],
    indexes: list[Index],
    raw: RawTransaction,
    key: Any,
    old_data: bytes,
    value: Any,
) -> list[bytes]:
    """Return the keys of the index records that go when a value replaces a stored one."""
    old_value = codec.decoded(raw, codec.encode_key(key), old_data)
    stale = []
    for index in indexes:
        old, new = index.stored_entry(key, old_value), index.entry(key, value)
        if old is not None and (new is None or new[0] != old[0]) and index.holds(raw, old):
            stale.append(old[0])
    return stale
