"""Whole indexes: compared with their map, and written anew."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from zlmdb.orm.errors import DecodeError, UniqueValueConstraint

if TYPE_CHECKING:
    from zlmdb.orm.indexes import Entry, Index
    from zlmdb.orm.raw import RawTransaction

Item = TypeVar("Item")

BATCH = 1000
"""Records that are read and written together."""


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


def rebuild(index: Index, raw: RawTransaction) -> tuple[int, int]:
    """Write the records of an index anew; return how many were deleted and how many inserted.

    Raises:
        UniqueValueConstraint: The index is unique, and records have the same index key.
    """
    deleted = raw.delete_all(index.codec.attached())
    inserted = 0
    for batch in batches(_entries(index, raw)):
        entries = sorted((entry for _, entry in batch if entry is not None), key=itemgetter(0))
        index.check_length(raw, map(itemgetter(0), entries))
        stored = raw.put_many(entries, overwrite=not index.unique)
        if stored < len(entries):
            raise UniqueValueConstraint(f"{index} is unique, but several records have the same index key")
        inserted += stored
    return deleted, inserted


def check(index: Index, raw: RawTransaction) -> IndexReport:
    """Compare an index with its map."""
    report = IndexReport(
        index.name, raw.count(index.owner.attached()), raw.count(index.codec.attached()), [], [], []
    )
    for batch in batches(_entries(index, raw)):
        found = raw.get_many([entry[0] for _, entry in batch if entry is not None])
        for key, entry in batch:
            led_to = entry is not None and found.get(entry[0]) == entry[1]
            if not led_to and not (entry is None and index.nullable):
                report.missing.append(key)
    for records in batches(raw.opened().items(prefix=index.codec.attached())):
        _check_index_records(index, raw, records, report)
    return report


def _check_index_records(index: Index, raw: RawTransaction, batch: list[Entry], report: IndexReport) -> None:
    owner = index.owner
    targets = [index.target(raw, *entry) for entry in batch]
    found = raw.get_many([record_key for _, record_key in targets if record_key])
    for entry, (key, record_key) in zip(batch, targets, strict=True):
        data = found.get(record_key)
        if data is None:
            report.extra.append(_index_key(index, entry[0]))
        elif index.stored_entry(key, owner.decoded(raw, record_key, data)) != entry:
            report.stale.append(_index_key(index, entry[0]))


def _index_key(index: Index, entry_key: bytes) -> Any:
    """Return the index key of an index record: as bytes if it is damaged."""
    try:
        return index.codec.decoded_key(entry_key)
    except DecodeError:
        return entry_key[2:]


def _entries(index: Index, raw: RawTransaction) -> Iterator[tuple[Any, Entry | None]]:
    """Yield the key of each record, and the index record that it should have."""
    owner = index.owner
    for record_key, data in raw.opened().items(prefix=owner.attached()):
        key = owner.decoded_key(record_key)
        yield key, index.stored_entry(key, owner.decoded(raw, record_key, data))


def batches(items: Iterable[Item]) -> Iterator[list[Item]]:
    """Yield the items in lists of at most `BATCH`."""
    iterator = iter(items)
    while batch := list(islice(iterator, BATCH)):
        yield batch
