"""Records of one kind in a slot, with their indexes: what a map has.

They are read and written by two strategies: first `planned`, in C, and what that passes on by `encoded`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from zlmdb.orm import index_checks
from zlmdb.orm.encoded import EncodedRecords
from zlmdb.orm.errors import IndexDefinitionError
from zlmdb.orm.indexes import Index
from zlmdb.orm.planned import PlannedRecords

if TYPE_CHECKING:
    from zlmdb.orm.codec import RecordCodec
    from zlmdb.orm.index_checks import IndexReport
    from zlmdb.orm.raw import RawTransaction

K = TypeVar("K")
V = TypeVar("V")


class Records(Generic[K, V]):
    """The records, their indexes and the strategies.

    Args:
        codec: Of the records.

    Attributes:
        codec: The same.
        indexes: The indexes by name.
        owner: The records that these are an index of; None if they are none.
        unchecked: The indexes that are yet to be checked, by `prepare_writing`.
        planned: The fast path. It passes on what an index that is yet to be checked forbids.
        encoded: The slow path.
    """

    __slots__ = (
        "_as_index",
        "_index_records",
        "codec",
        "encoded",
        "indexes",
        "owner",
        "planned",
        "unchecked",
    )

    def __init__(self, codec: RecordCodec[K, V]) -> None:
        self.codec = codec
        self.indexes: dict[str, Index] = {}
        self.owner: Records[Any, Any] | None = None
        self._as_index: Index | None = None
        self._index_records: dict[str, Records[Any, Any]] = {}
        self._choose()

    def __str__(self) -> str:
        return str(self.codec)

    def _choose(self) -> None:
        """Choose how records are read and written from now on."""
        indexes = list(self.indexes.values())
        reads = self._as_index is None or self._as_index.is_checked
        self.unchecked = [index for index in indexes if not index.is_checked]
        self.encoded = EncodedRecords(self.codec, indexes)
        self.planned = PlannedRecords(self.codec, indexes, reads, writes=not self.unchecked)

    # -- the first use of an index --

    def prepare_reading(self, raw: RawTransaction) -> None:
        """Check the index that these are, if it is used for the first time."""
        index = self._as_index
        if index is not None and not index.is_checked and self.owner is not None:
            self.owner._check(index, raw)

    def prepare_writing(self, raw: RawTransaction) -> None:
        """Check the indexes that are used for the first time."""
        for index in self.unchecked:
            self._check(index, raw)

    def _check(self, index: Index, raw: RawTransaction) -> None:
        index.check_complete(raw)
        index.is_checked = True
        self._choose()
        self._index_records[index.name]._choose()

    # -- indexes --

    def attach_index(
        self, name: str, records: Records[Any, K], fkey: Callable[[V], Any], nullable: bool, unique: bool
    ) -> None:
        """Keep an index from now on; see `PersistentMap.attach_index`."""
        if self.owner is not None:
            raise IndexDefinitionError(f"{self} is an index itself, of {self.owner}")
        if records.owner is not None or records is self:
            owner = "itself" if records.owner is None else records.owner
            raise IndexDefinitionError(
                f"{records} cannot be an index of {self}: it is attached to {owner} already"
            )
        if records.indexes:
            raise IndexDefinitionError(f"{records} cannot be an index of {self}: it has indexes of its own")
        if name in self.indexes:
            raise IndexDefinitionError(f"{self} has an index {name!r} already")
        taken = [self.codec.slot, *(index.codec.slot for index in self.indexes.values())]
        if records.codec.slot and records.codec.slot in taken:
            raise IndexDefinitionError(
                f"{records} cannot be an index of {self}: the slot is taken, and records would mix"
            )
        index = Index(self.codec, name, records.codec, fkey, nullable, unique)
        self.indexes[name] = records._as_index = index
        self._index_records[name] = records
        records.owner = self
        records._choose()
        self._choose()

    def detach_index(self, name: str) -> None:
        """Keep an index no longer; nothing happens if there is no such index."""
        index = self.indexes.pop(name, None)
        if index is not None:
            index.is_attached = False
            records = self._index_records.pop(name)
            records.owner = records._as_index = None
            records._choose()
            self._choose()

    def index(self, name: str) -> Index:
        """Return an index."""
        if name not in self.indexes:
            raise IndexDefinitionError(f"{self} has no index {name!r}; it has {sorted(self.indexes)}")
        return self.indexes[name]

    def check_indexes(self, raw: RawTransaction) -> list[IndexReport]:
        """Compare the indexes with the records; see `PersistentMap.check_indexes`."""
        return [index_checks.check(self.indexes[name], raw) for name in sorted(self.indexes)]

    def prefixes(self) -> list[bytes]:
        """Return what the keys of the records begin with, and those of each index."""
        return [self.codec.attached(), *(index.codec.attached() for index in self.indexes.values())]
