"""Indexes: maps from something in the values of a map to its keys, kept in step with it.

All that can fail is done before the first write, so that a record and its index records are written together
or not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import islice
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from zlmdb.lmdb.bulk import put_records
from zlmdb.lmdb.errors import BadValsizeError, CorruptedError
from zlmdb.lmdb.errors import Error as LmdbError
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
    from zlmdb.orm.indexed import IndexedRecords
    from zlmdb.orm.maps import PersistentMap
    from zlmdb.orm.transaction import Transaction

Item = TypeVar("Item")

Entry = tuple[bytes, bytes]
"""An index record, key and value."""

BATCH = 1000
"""Records that are read and written together when many are."""
SAMPLE, SOME = 10, 3
"""Records at either end of a map that are looked for in an index when it is used for the first time; and how
many of them give an index away that has others."""


def is_null(index_key: object) -> bool:
    """Return whether an index key is None, or a tuple with a None."""
    return index_key is None or (isinstance(index_key, tuple) and any(part is None for part in index_key))


class Index:
    """An index of a map.

    Args:
        owner: The map that has the index.
        name: Its name there.
        pmap: The map of its records: index keys to primary keys.
        fkey: Makes an index key of a value.
        nullable: Values whose index key is null (None, or a tuple with a None) are left out.
        unique: Two records must not have one index key. Otherwise the last one written takes the index
            record.
    """

    def __init__(
        self,
        owner: IndexedRecords[Any, Any],
        name: str,
        pmap: PersistentMap[Any, Any],
        fkey: Callable[[Any], Any],
        nullable: bool,
        unique: bool,
    ) -> None:
        self.owner = owner
        self.name = name
        self.pmap = pmap
        self.fkey = fkey
        self.nullable = nullable
        self.unique = unique
        self.is_attached = True
        self._encode_key = pmap._record_key
        self._encode_primary = pmap._values.dump

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
            self.pmap._attached()
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

    def check_length(self, txn: Transaction, entry_keys: Iterable[bytes]) -> None:
        """Raise `KeyLengthError` if LMDB does not take all of the keys of index records."""
        longest = max(entry_keys, key=len, default=b"")
        if len(longest) > txn._db._max_key_size:
            raise self.pmap._too_long(txn, longest)

    def check_free(self, txn: Transaction, entry: Entry, key: Any) -> None:
        """Raise `UniqueValueConstraint` if another record has the index record.

        Releases before leave index records over, of keys that are 0 or "": what is stale takes no place.
        """
        held = txn.get(entry[0])
        if held is None or held == entry[1] or self._is_stale(txn, (entry[0], bytes(held))):
            return
        raise UniqueValueConstraint(
            f"{self} is unique, and another record than {shown(key)} has the index key "
            f"{self.pmap._shown_key(entry[0])} already"
        )

    def _is_stale(self, txn: Transaction, entry: Entry) -> bool:
        """Return whether an index record leads to no record, or to one that has another index key by now."""
        key, record_key = _target(self, txn, *entry)
        data = txn.get(record_key) if record_key else None
        return data is None or entry != self.stored_entry(key, self.owner._decoded(txn, record_key, data))

    def check_complete(self, txn: Transaction) -> None:
        """Raise `IncompleteIndexError` if the index lacks what the map had before it was attached.

        It is looked for by its first records and its last ones. That none of them is there gives the index
        away if it is empty, or if there are some: one alone may be missing where records had one index key,
        and the one that took the index record over is gone. Records that are left out of the index, or cannot
        be read, do not count.

        An index of the same slot that was in step in this open database, and is still attached, is so still.
        """
        slots = (self.owner._attached(), self.pmap._attached())
        known = txn._db._indexes_in_step.get(slots)
        if known is not None and known.is_attached:
            return
        for reverse in (False, True):
            wanted = self._sample(txn, reverse)
            is_missing = wanted and not any(txn.get(entry_key) is not None for entry_key in wanted)
            if is_missing and (len(set(wanted)) >= SOME or not self._has_records(txn)):
                raise IncompleteIndexError(
                    f"{self} lacks records that {self.owner} had before the index was attached, such as that "
                    f"of the index key {self.pmap._shown_key(wanted[0])}: call "
                    f"rebuild_index(txn, {self.name!r}) of the map once, in a write transaction"
                )
        txn._db._indexes_in_step[slots] = self

    def _has_records(self, txn: Transaction) -> bool:
        return any(True for _ in txn._opened().keys(prefix=self.pmap._attached(), limit=1))

    def _sample(self, txn: Transaction, reverse: bool) -> list[bytes]:
        """Return the keys of the index records that the records at one end of the map should have."""
        owner, entry_keys = self.owner, []
        records = txn._opened().items(prefix=owner._attached(), limit=SAMPLE, reverse=reverse)
        for record_key, data in records:
            with suppress(Exception):  # it is for others to say what is wrong with a record
                key, value = owner._key_in(record_key), owner._decoded(txn, record_key, data)
                if (entry := self.stored_entry(key, value)) is not None:
                    entry_keys.append(entry[0])
        return entry_keys

    def holds(self, txn: Transaction, entry: Entry) -> bool:
        """Return whether the index record is the entry, and not that of another record with the same key.

        A unique index may have been kept by releases before, which let others take index records over.
        """
        return txn.get(entry[0]) == entry[1]


def store(
    pmap: PersistentMap[Any, Any],
    txn: Transaction,
    key: Any,
    value: Any,
    record_key: bytes,
    data: bytes,
    overwrite: bool,
) -> bool:
    """Store a record and its index records; return False if there is one that is not to be replaced."""
    records: tuple[bytes, ...] = (record_key, data)
    for index in pmap._indexes.values():
        entry = index.entry(key, value)
        if entry is None:
            index.check_null(key)
        else:
            if index.unique:
                index.check_free(txn, entry, key)
            records += entry
    try:
        old = put_records(txn._txn or txn._opened(), records)
    except BadValsizeError:  # of which map?
        for index in pmap._indexes.values():
            prefix = index.pmap._attached()
            index.check_length(
                txn, [entry_key for entry_key in records[2::2] if entry_key.startswith(prefix)]
            )
        raise
    if old is not None and not overwrite:
        return False
    if old is not None:
        stale = [] if old == data else stale_keys(pmap, txn, key, old, value)
        put_records(txn._opened(), records, overwrite=True)
        for entry_key in stale:
            txn.delete(entry_key)
    if txn._stats is not None:
        txn._stats.puts += len(records) // 2
    return True


def stale_keys(
    pmap: IndexedRecords[Any, Any], txn: Transaction, key: Any, old_data: bytes, value: Any
) -> list[bytes]:
    """Return the keys of the index records that go when a value replaces a stored one."""
    record_key = pmap._record_key(key)
    old_value = pmap._decoded(txn, record_key, old_data)
    stale = []
    for index in pmap._indexes.values():
        old, new = index.stored_entry(key, old_value), index.entry(key, value)
        if old is not None and (new is None or new[0] != old[0]) and index.holds(txn, old):
            stale.append(old[0])
    return stale


def remove(pmap: PersistentMap[Any, Any], txn: Transaction, key: Any, record_key: bytes) -> None:
    """Delete a record and its index records."""
    data = txn.get(record_key)
    if data is None:
        return
    value = pmap._decoded(txn, record_key, data)
    entries = [(index, index.stored_entry(key, value)) for index in pmap._indexes.values()]
    for index, entry in entries:
        if entry is not None and index.holds(txn, entry):
            txn.delete(entry[0])
    txn.delete(record_key)


def delete_slot(txn: Transaction, prefix: bytes) -> int:
    """Delete all records whose keys begin with a slot; return how many.

    Raises:
        zlmdb.lmdb.CorruptedError: A record can be deleted neither by its key nor where it stands: the file is
            damaged.
    """
    deleted = 0
    while keys := list(txn._opened().keys(prefix=prefix, limit=BATCH)):
        found = sum(map(txn.delete, keys)) or _delete_in_place(txn, prefix)
        if not found:
            raise CorruptedError(
                f"database {txn._db.dbpath}: the record with the key {keys[0].hex()} cannot be deleted, the "
                "file is damaged. Abort the transaction; zlmdb.lmdb.verify says what is wrong"
            )
        deleted += found
    return deleted


def _delete_in_place(txn: Transaction, prefix: bytes) -> int:
    """Delete records where they stand: where keys are out of order, they are not found by them."""
    deleted = 0
    with txn._opened().cursor() as cursor:
        found = cursor.set_range(prefix)
        try:
            while found and cursor.key().startswith(prefix) and cursor.delete():
                deleted += 1
        except LmdbError as error:
            txn._refuse(error)
    if txn._stats is not None:
        txn._stats.dels += deleted
    return deleted


class IndexReport(NamedTuple):
    """What `PersistentMap.check_indexes` found for an index.

    Attributes:
        name: The name of the index.
        records: How many records the map has.
        entries: How many records the index has.
        missing: Primary keys of records that no index record leads to.
        stale: Index keys of index records whose record has another index key by now.
        extra: Index keys of index records without a record. One that is damaged is given in bytes.
    """

    name: str
    records: int
    entries: int
    missing: list[Any]
    stale: list[Any]
    extra: list[Any]

    @property
    def ok(self) -> bool:
        """Whether index and map agree."""
        return not (self.missing or self.stale or self.extra)


def rebuild(index: Index, txn: Transaction) -> tuple[int, int]:
    """Write the records of an index anew; return how many were deleted and how many inserted.

    They are written in a nested transaction, so that the index stays as it is if a record is refused.

    Raises:
        UniqueValueConstraint: The index is unique, and records have the same index key.
    """
    if txn._db.is_writemap:  # where LMDB nests no transactions
        return _rebuild(index, txn)
    with txn.begin() as nested:
        return _rebuild(index, nested)


def _rebuild(index: Index, txn: Transaction) -> tuple[int, int]:
    deleted = delete_slot(txn, index.pmap._attached())
    inserted = 0
    for batch in batches(_entries(index, txn)):
        entries = sorted((entry for _, entry in batch if entry is not None), key=itemgetter(0))
        index.check_length(txn, map(itemgetter(0), entries))
        stored = txn._put_many(entries, overwrite=not index.unique)
        if stored < len(entries):
            raise UniqueValueConstraint(f"{index} is unique, but several records have the same index key")
        inserted += stored
    return deleted, inserted


def check(index: Index, txn: Transaction) -> IndexReport:
    """Compare an index with its map."""
    report = IndexReport(
        index.name, txn._count(index.owner._attached()), txn._count(index.pmap._attached()), [], [], []
    )
    for batch in batches(_entries(index, txn)):
        found = txn._get_many([entry[0] for _, entry in batch if entry is not None])
        for key, entry in batch:
            led_to = entry is not None and found.get(entry[0]) == entry[1]
            if not led_to and not (entry is None and index.nullable):
                report.missing.append(key)
    for records in batches(txn._opened().items(prefix=index.pmap._attached())):
        _check_index_records(index, txn, records, report)
    return report


def _check_index_records(index: Index, txn: Transaction, batch: list[Entry], report: IndexReport) -> None:
    owner = index.owner
    targets = [_target(index, txn, *entry) for entry in batch]
    found = txn._get_many([record_key for _, record_key in targets if record_key])
    for entry, (key, record_key) in zip(batch, targets, strict=True):
        data = found.get(record_key)
        if data is None:
            report.extra.append(_index_key(index, entry[0]))
        elif index.stored_entry(key, owner._decoded(txn, record_key, data)) != entry:
            report.stale.append(_index_key(index, entry[0]))


def _target(index: Index, txn: Transaction, entry_key: bytes, primary: bytes) -> tuple[Any, bytes]:
    """Return the key of the record that an index record leads to, also in bytes: none if it is damaged."""
    try:
        key = index.pmap._decoded(txn, entry_key, primary)
        return key, index.owner._bound(key)
    except (DecodeError, EncodeError):
        return None, b""


def _index_key(index: Index, entry_key: bytes) -> Any:
    """Return the index key of an index record: as bytes if it is damaged."""
    try:
        return index.pmap._decoded_key(entry_key)
    except DecodeError:
        return entry_key[2:]


def _entries(index: Index, txn: Transaction) -> Iterator[tuple[Any, Entry | None]]:
    """Yield the key of each record, and the index record that it should have."""
    owner = index.owner
    for record_key, data in txn._opened().items(prefix=owner._attached()):
        key = owner._decoded_key(record_key)
        yield key, index.stored_entry(key, owner._decoded(txn, record_key, data))


def batches(items: Iterable[Item]) -> Iterator[list[Item]]:
    """Yield the items in lists of at most `BATCH`."""
    iterator = iter(items)
    while batch := list(islice(iterator, BATCH)):
        yield batch
