"""Many records in one call."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, islice
from operator import lt
from typing import TYPE_CHECKING, Generic, TypeVar

from zlmdb.orm.errors import RecordExistsError, UsageError
from zlmdb.orm.parts import shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from zlmdb.orm.codec import RecordCodec
    from zlmdb.orm.indexes import Index
    from zlmdb.orm.raw import RawTransaction
    from zlmdb.orm.records import Records

K = TypeVar("K")
V = TypeVar("V")

GROUP_BYTES = 8 * 1024 * 1024
GROUP_RECORDS = 20_000
"""At most so much is written in one go: with more, more neighbours meet, with less, it stays in caches."""
FIRST_BATCH, MOST = 16, 1000
"""Records that are encoded at once: first few, because they may be large."""

Columns = tuple[list[bytes], list[bytes]]
"""Raw records: keys and values."""


def get_many(codec: RecordCodec[K, V], raw: RawTransaction, keys: Iterable[K]) -> list[V | None]:
    """Return the values of the keys; see `PersistentMap.get_many`."""
    keys = list(keys)
    try:
        record_keys = list(map(codec.encode_key, keys))
    except Exception:  # noqa: BLE001 (raised again, with the key that it is about)
        record_keys = list(map(codec.record_key, keys))
    found = raw.get_many(record_keys)
    load = codec.load_view if raw.buffers else codec.load
    try:
        return [load(data) if data else None for data in map(found.get, record_keys)]
    except Exception:  # noqa: BLE001 (likewise)
        return [
            codec.decoded(raw, record_key, data) if (data := found.get(record_key)) else None
            for record_key in record_keys
        ]


def put_many(
    records: Records[K, V],
    raw: RawTransaction,
    items: Iterable[tuple[K, V]],
    insert: bool,
    put: Callable[[K, V], object],
) -> int:
    """Store the items; see `PersistentMap.put_many` and, with `insert`, `PersistentMap.insert_many`.

    Args:
        records: Where to.
        raw: An open write transaction.
        items: Pairs of key and value.
        insert: None is to replace another.
        put: Stores a single record.
    """
    source = iter(items)
    codec, planned = records.codec, records.planned
    is_planned = planned.plan is not None
    count, size, singles = 0, min(FIRST_BATCH, GROUP_RECORDS), 0
    while (columns := _take(codec, source, size))[0]:
        done = planned.write_many(raw, *columns, insert) if is_planned else None
        if done is None:  # the slow path, from here on
            is_planned = False
            group = Group(records, raw, chain(zip(*columns, strict=True), source))
            if not group.write(insert):
                _put_each(put, (group.keys, group.values))
            count += len(group.keys)
            continue
        stored, length = done
        count += len(columns[0])
        if stored:
            singles = 0
            size = max(1, min(GROUP_RECORDS, 4 * size, GROUP_BYTES * len(columns[0]) // length))
        elif insert:
            raise _first_existing(codec, raw, columns[0])
        else:  # some would replace others, and perhaps so would the next
            _put_each(put, columns)
            singles = min(GROUP_RECORDS, 4 * singles + size)
            more = _take(codec, source, singles)
            _put_each(put, more)
            count += len(more[0])
            size = min(FIRST_BATCH, GROUP_RECORDS)
    return count


def _first_existing(codec: RecordCodec[K, V], raw: RawTransaction, keys: list[K]) -> RecordExistsError:
    """Return the exception for the first of the keys that has a record, or that is here twice."""
    seen = set()
    for key in keys:
        record_key = codec.encode_key(key)
        if record_key in seen or raw.get(record_key) is not None:
            break
        seen.add(record_key)
    return codec.existing(key)


def _put_each(put: Callable[[K, V], object], columns: tuple[list[K], list[V]]) -> None:
    for key, value in zip(*columns, strict=True):
        put(key, value)


def _take(codec: RecordCodec[K, V], items: Iterator[tuple[K, V]], count: int) -> tuple[list[K], list[V]]:
    """Return the keys and the values of the next items."""
    keys: list[K] = []
    values: list[V] = []
    while len(keys) < count and (batch := list(islice(items, min(MOST, count - len(keys))))):
        more_keys, more_values = _columns(codec, batch)
        keys += more_keys
        values += more_values
    return keys, values


def _columns(codec: RecordCodec[K, V], batch: list[tuple[K, V]]) -> tuple[list[K], list[V]]:
    """Return the keys and the values of some items."""
    keys: list[K] = []
    values: list[V] = []
    try:
        for key, value in batch:
            keys.append(key)
            values.append(value)
    except Exception as error:
        raise UsageError(
            f"{codec}: put_many takes pairs of key and value, not {shown(batch[len(keys)])}"
        ) from error
    return keys, values


class Group(Generic[K, V]):
    """Records that are written in one go: as many of the items as may be at once.

    They are kept in lists by column, which are worked on as a whole: no step is taken for each record. And as
    tuples they would keep the garbage collector busy.
    """

    def __init__(self, records: Records[K, V], raw: RawTransaction, items: Iterator[tuple[K, V]]) -> None:
        self._codec = records.codec
        self._indexes = list(records.indexes.values())
        self._raw = raw
        self.keys: list[K] = []
        self.values: list[V] = []
        self._record_keys: list[bytes] = []
        self._data: list[bytes] = []
        self._fill(items)

    def _fill(self, items: Iterator[tuple[K, V]]) -> None:
        size, room = FIRST_BATCH, GROUP_BYTES
        while room > 0 and (batch := list(islice(items, min(size, GROUP_RECORDS - len(self.keys))))):
            added = self._add(batch)
            room -= added
            size = max(1, min(MOST, 4 * size, room * len(batch) // (added + 1)))

    def _add(self, batch: list[tuple[K, V]]) -> int:
        """Encode some of the items; return the bytes of their values."""
        codec = self._codec
        keys, values = _columns(codec, batch)
        record_keys: list[bytes] = []
        try:
            record_keys.extend(map(codec.encode_key, keys))
        except Exception as error:
            raise codec.bad_key(keys[len(record_keys)], error) from error
        data: list[bytes] = []
        try:
            data.extend(map(codec.dump, values))
        except Exception as error:
            raise codec.unencodable(keys[len(data)], values[len(data)], error) from error
        codec.check_length(self._raw, max(record_keys, key=len))
        self.keys += keys
        self.values += values
        self._record_keys += record_keys
        self._data += data
        return sum(map(len, data))

    def write(self, insert: bool) -> bool:
        """Store the records all together; return False if they have to be stored one by one.

        They have if some replace others, or an index refuses one.

        Args:
            insert: None is to replace another.
        """
        records = _by_key(self._record_keys, self._data)
        entries = [self._entries(index) for index in self._indexes]
        unique = [columns for index, columns in zip(self._indexes, entries, strict=True) if index.unique]
        if insert and not self._are_new(records):
            raise _first_existing(self._codec, self._raw, self.keys)
        if self._indexes and not all(map(self._are_new, [records, *unique])):
            return False
        for keys, data in [records, *entries]:
            self._raw.put_many(zip(keys, data, strict=True))
        return True

    def _entries(self, index: Index) -> Columns:
        """Return the records of an index."""
        entry_keys, primaries = index.entries(self.keys, self.values)
        index.check_length(self._raw, entry_keys)
        return _by_key(entry_keys, primaries)

    def _are_new(self, records: Columns) -> bool:
        """Return whether none of the keys, which are sorted, has a record by now, or two here."""
        keys = records[0]
        return all(map(lt, keys, islice(keys, 1, None))) and not self._raw.has_any(keys)


def _by_key(keys: list[bytes], data: list[bytes]) -> Columns:
    """Sort records: neighbours go to a page while it is at hand."""
    order = sorted(range(len(keys)), key=keys.__getitem__)
    return list(map(keys.__getitem__, order)), list(map(data.__getitem__, order))
