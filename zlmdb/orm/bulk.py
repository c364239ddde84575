"""Many records in one call."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, islice
from operator import lt
from typing import TYPE_CHECKING, Generic, TypeVar

from zlmdb.orm.direct import write_many
from zlmdb.orm.errors import RecordExistsError, UsageError
from zlmdb.orm.parts import shown

if TYPE_CHECKING:
    from zlmdb.orm.indexes import Index
    from zlmdb.orm.maps import PersistentMap
    from zlmdb.orm.transaction import Transaction

K = TypeVar("K")
V = TypeVar("V")

GROUP_BYTES = 8 * 1024 * 1024
GROUP_RECORDS = 20_000
"""At most so much is written in one go: with more, more neighbours meet, with less, it stays in caches."""
FIRST_BATCH, MOST = 16, 1000
"""Records that are encoded at once: first few, because they may be large."""

Columns = tuple[list[bytes], list[bytes]]
"""Raw records: keys and values."""


def get_many(pmap: PersistentMap[K, V], txn: Transaction, keys: Iterable[K]) -> list[V | None]:
    """Return the values of the keys; see `PersistentMap.get_many`."""
    keys = list(keys)
    try:
        record_keys = list(map(pmap._record_key, keys))
    except Exception:  # noqa: BLE001 (raised again, with the key that it is about)
        record_keys = list(map(pmap._bound, keys))
    found = txn._get_many(record_keys)
    load = pmap._load_view if txn._buffers else pmap._load
    try:
        return [load(data) if data else None for data in map(found.get, record_keys)]
    except Exception:  # noqa: BLE001 (likewise)
        return [
            pmap._decoded(txn, record_key, data) if (data := found.get(record_key)) else None
            for record_key in record_keys
        ]


def put_many(
    pmap: PersistentMap[K, V], txn: Transaction, items: Iterable[tuple[K, V | None]], insert: bool = False
) -> int:
    """Store the items; see `PersistentMap.put_many` and, with `insert`, `PersistentMap.insert_many`."""
    source = iter(items)
    direct = pmap._plan is not None
    count, size, singles = 0, min(FIRST_BATCH, GROUP_RECORDS), 0
    while (columns := _take(pmap, source, size))[0]:
        done = write_many(pmap, txn, *columns, insert) if direct else None
        if done is None:  # the long way, from here on
            direct = False
            group = Group(pmap, txn, chain(zip(*columns, strict=True), source))
            group.write(insert)
            count += len(group.keys)
            continue
        stored, length = done
        count += len(columns[0])
        if stored:
            singles = 0
            size = max(1, min(GROUP_RECORDS, 4 * size, GROUP_BYTES * len(columns[0]) // length))
        elif insert:
            raise _first_existing(pmap, txn, columns[0])
        else:  # some would replace others, and perhaps so would the next
            _put_each(pmap, txn, columns)
            singles = min(GROUP_RECORDS, 4 * singles + size)
            more = _take(pmap, source, singles)
            _put_each(pmap, txn, more)
            count += len(more[0])
            size = min(FIRST_BATCH, GROUP_RECORDS)
    return count


def _first_existing(pmap: PersistentMap[K, V], txn: Transaction, keys: list[K]) -> RecordExistsError:
    """Return the exception for the first of the keys that has a record, or that is here twice."""
    seen = set()
    for key in keys:
        record_key = pmap._record_key(key)
        if record_key in seen or txn.get(record_key) is not None:
            break
        seen.add(record_key)
    return pmap._existing(key)


def _put_each(pmap: PersistentMap[K, V], txn: Transaction, columns: tuple[list[K], list[V | None]]) -> None:
    for key, value in zip(*columns, strict=True):
        pmap[txn, key] = value


def _take(
    pmap: PersistentMap[K, V], items: Iterator[tuple[K, V | None]], count: int
) -> tuple[list[K], list[V | None]]:
    """Return the keys and the values of the next items."""
    keys: list[K] = []
    values: list[V | None] = []
    while len(keys) < count and (batch := list(islice(items, min(MOST, count - len(keys))))):
        more_keys, more_values = _columns(pmap, batch)
        keys += more_keys
        values += more_values
    return keys, values


def _columns(pmap: PersistentMap[K, V], batch: list[tuple[K, V | None]]) -> tuple[list[K], list[V | None]]:
    """Return the keys and the values of some items."""
    keys: list[K] = []
    values: list[V | None] = []
    try:
        for key, value in batch:
            keys.append(key)
            values.append(value)
    except Exception as error:
        raise UsageError(
            f"{pmap}: put_many takes pairs of key and value, not {shown(batch[len(keys)])}"
        ) from error
    return keys, values


class Group(Generic[K, V]):
    """Records that are written in one go: as many of the items as may be at once.

    They are kept in lists by column, which are worked on as a whole: no step is taken for each record. And as
    tuples they would keep the garbage collector busy.
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
        self._fill(items)

    def _fill(self, items: Iterator[tuple[K, V | None]]) -> None:
        size, room = FIRST_BATCH, GROUP_BYTES
        while room > 0 and (batch := list(islice(items, min(size, GROUP_RECORDS - len(self.keys))))):
            added = self._add(batch)
            room -= added
            size = max(1, min(MOST, 4 * size, room * len(batch) // (added + 1)))

    def _add(self, batch: list[tuple[K, V | None]]) -> int:
        """Encode some of the items; return the bytes of their values."""
        pmap = self._pmap
        keys, values = _columns(pmap, batch)
        record_keys: list[bytes] = []
        try:
            record_keys.extend(map(pmap._record_key, keys))
        except Exception as error:
            raise pmap._bad_subscript((self._txn, keys[len(record_keys)]), error) from error
        data: list[bytes] = []
        try:
            data.extend(map(pmap._dump, values))  # type: ignore[arg-type]
        except Exception as error:
            raise pmap._unencodable(keys[len(data)], values[len(data)], error) from error
        longest = max(record_keys, key=len)
        if len(longest) > self._txn._db._max_key_size:
            raise pmap._too_long(self._txn, longest)
        self.keys += keys
        self._values += values
        self._record_keys += record_keys
        self._data += data
        return sum(map(len, data))

    def write(self, insert: bool) -> None:
        """Store the records: all together, or one by one if some replace others or an index refuses one.

        Args:
            insert: None is to replace another.
        """
        indexes = self._pmap._indexes.values()
        records = _by_key(self._record_keys, self._data)
        entries = [self._entries(index) for index in indexes]
        unique = [columns for index, columns in zip(indexes, entries, strict=True) if index.unique]
        if insert and not self._are_new(records):
            raise _first_existing(self._pmap, self._txn, self.keys)
        if indexes and not all(map(self._are_new, [records, *unique])):
            _put_each(self._pmap, self._txn, (self.keys, self._values))
            return
        for keys, data in [records, *entries]:
            self._txn._put_many(zip(keys, data, strict=True))

    def _entries(self, index: Index) -> Columns:
        """Return the records of an index."""
        entry_keys, primaries = index.entries(self.keys, self._values)
        index.check_length(self._txn, entry_keys)
        return _by_key(entry_keys, primaries)

    def _are_new(self, records: Columns) -> bool:
        """Return whether none of the keys, which are sorted, has a record by now, or two here."""
        keys = records[0]
        return all(map(lt, keys, islice(keys, 1, None))) and not self._txn._present(keys)


def _by_key(keys: list[bytes], data: list[bytes]) -> Columns:
    """Sort records: neighbours go to a page while it is at hand."""
    order = sorted(range(len(keys)), key=keys.__getitem__)
    return list(map(keys.__getitem__, order)), list(map(data.__getitem__, order))
