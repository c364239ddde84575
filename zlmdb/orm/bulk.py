"""Many records in one call."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Generic, TypeVar

from zlmdb.orm.errors import EncodeError, UsageError
from zlmdb.orm.parts import shown

if TYPE_CHECKING:
    from zlmdb.orm.indexes import Index
    from zlmdb.orm.maps import PersistentMap
    from zlmdb.orm.transaction import Transaction

K = TypeVar("K")
V = TypeVar("V")

GROUP_BYTES = 8 * 1024 * 1024
GROUP_RECORDS = 50_000
"""At most so much is kept in memory to be written in one go. The more, the more neighbours meet in it."""


def get_many(pmap: PersistentMap[K, V], txn: Transaction, keys: Iterable[K]) -> list[V | None]:
    """Return the values of the keys; see `PersistentMap.get_many`."""
    record_keys = [pmap._bound(key) for key in keys]
    found = txn._get_many(record_keys)
    return [
        pmap._decoded(txn, record_key, data) if (data := found.get(record_key)) else None
        for record_key in record_keys
    ]


def put_many(pmap: PersistentMap[K, V], txn: Transaction, items: Iterable[tuple[K, V | None]]) -> int:
    """Store the items; see `PersistentMap.put_many`."""
    source = iter(items)
    count = 0
    while (group := Group(pmap, txn, source)).keys:
        group.write()
        count += len(group.keys)
    return count


class Group(Generic[K, V]):
    """Records that are written in one go: as many of the items as may be at once.

    They are kept in lists by column: as tuples they would keep the garbage collector busy.
    """

    def __init__(
        self, pmap: PersistentMap[K, V], txn: Transaction, items: Iterator[tuple[K, V | None]]
    ) -> None:
        self._pmap = pmap
        self._txn = txn
        self.keys: list[K] = []
        self._values: list[V | None] = []
        self._record_keys: list[bytes] = []
        self._data: list[bytes] = []
        self._fill(islice(items, GROUP_RECORDS))

    def _fill(self, items: Iterable[tuple[K, V | None]]) -> None:
        pmap, txn = self._pmap, self._txn
        prefix, serialize_key, dump = pmap._attached(), pmap._serialize_key, pmap._dump
        longest = txn._db._max_key_size
        size = 0
        for item in items:
            try:
                key, value = item
                record_key = prefix + serialize_key(key)
            except Exception as error:
                raise self._bad_item(item, error) from error
            if len(record_key) > longest:
                raise pmap._too_long(txn, record_key)
            try:
                data = dump(value)  # type: ignore[arg-type]
            except Exception as error:
                raise pmap._unencodable(key, value, error) from error
            self.keys.append(key)
            self._values.append(value)
            self._record_keys.append(record_key)
            self._data.append(data)
            size += len(data)
            if size > GROUP_BYTES:
                break

    def _bad_item(self, item: object, error: Exception) -> UsageError:
        if isinstance(error, EncodeError):
            return EncodeError(f"{self._pmap}, item {shown(item)}: {error}")
        return UsageError(f"{self._pmap}: put_many takes pairs of key and value, not {shown(item)}")

    def write(self) -> None:
        """Store the records: all together, or one by one if some replace others or an index refuses one."""
        indexes = self._pmap._indexes.values()
        entries = [entries for index in indexes if (entries := self._entries(index)) is not None]
        if len(entries) < len(indexes) or (indexes and not self._are_new(self._record_keys)):
            for key, value in zip(self.keys, self._values, strict=True):
                self._pmap[self._txn, key] = value
            return
        self._put(self._record_keys, self._data)
        for entry_keys, primaries in entries:
            self._put(entry_keys, primaries)

    def _are_new(self, keys: list[bytes]) -> bool:
        """Return whether there is no record with one of the keys, and none has two."""
        return len(set(keys)) == len(keys) and not self._txn._present(keys)

    def _entries(self, index: Index) -> tuple[list[bytes], list[bytes]] | None:
        """Return the index records, keys and values; None if the index is unique and would refuse one."""
        entry_keys, primaries = [], []
        for key, value in zip(self.keys, self._values, strict=True):
            entry = index.required_entry(self._txn, key, value)
            if entry is not None:
                entry_keys.append(entry[0])
                primaries.append(entry[1])
        if index.unique and not self._are_new(entry_keys):
            return None
        return entry_keys, primaries

    def _put(self, keys: list[bytes], data: list[bytes]) -> None:
        """Store raw records, sorted: neighbours go to a page while it is at hand."""
        order = sorted(range(len(keys)), key=keys.__getitem__)
        self._txn._put_many(zip(map(keys.__getitem__, order), map(data.__getitem__, order), strict=True))
