"""The indexes of a map, as the map shows them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from zlmdb.orm.direct import long_way, plan_of, writer
from zlmdb.orm.errors import IndexDefinitionError, UsageError
from zlmdb.orm.indexes import Index, IndexReport, check, rebuild
from zlmdb.orm.records import Records

if TYPE_CHECKING:
    from zlmdb.orm.maps import PersistentMap
    from zlmdb.orm.records import KeyLike, ValueLike
    from zlmdb.orm.transaction import Transaction

K = TypeVar("K")
V = TypeVar("V")


class IndexedRecords(Records[K, V]):
    """A map with indexes; see `zlmdb.orm.maps.PersistentMap`, which builds on this."""

    def __init__(
        self, slot: int | None, compress: int | None, key: KeyLike | None, value: ValueLike | None
    ) -> None:
        super().__init__(slot, compress, key, value)
        self._indexes: dict[str, Index] = {}
        self._index_attached_to: IndexedRecords[Any, Any] | None = None
        self._unchecked: list[Index] = []  # those that are yet to be used
        self._replan()

    def _replan(self) -> None:
        self._plan = plan_of(self)
        self._prepare_writing()

    def _prepare_writing(self) -> None:
        """Open the fast ways to write a record; they are closed while an index is unchecked."""
        is_open = not self._unchecked
        self._write = writer(self) if is_open else long_way
        self._insert = writer(self, insert=True) if is_open else long_way

    def _use_index(self, index: Index, txn: Transaction) -> None:
        """Use an index for the first time.

        Raises:
            IncompleteIndexError: It lacks the records from before it was attached.
        """
        index.check_complete(txn)
        self._checked_index(index)

    def _use_indexes(self, txn: Transaction) -> None:
        for index in list(self._unchecked):
            self._use_index(index, txn)

    def _checked_index(self, index: Index) -> None:
        self._unchecked = [other for other in self._unchecked if other is not index]
        index.pmap._check_lookups(None)
        self._prepare_writing()

    def __repr__(self) -> str:
        if self._index_attached_to is not None:
            return f"{super().__repr__()[:-1]}, an index of {self._index_attached_to}>"
        indexes = f", indexes {', '.join(self.indexes())}" if self._indexes else ""
        return f"{super().__repr__()[:-1]}{indexes}>"

    def attach_index(
        self,
        name: str,
        pmap: PersistentMap[Any, K],
        fkey: Callable[[V], Any],
        nullable: bool = False,
        unique: bool | None = None,
    ) -> None:
        """Keep an index of the values from now on.

        Records that are there already need `rebuild_index`. When the index is first used in this process, to
        write a record or to look one up, some records are looked for in it, and it is refused
        (`IncompleteIndexError`) if it lacks them.

        Args:
            name: A name for the index.
            pmap: The map of the index's records: index keys to keys of this map.
            fkey: Makes the index key of a value. It must depend on the value alone.
            nullable: Records whose index key is null (None, or a tuple with a None) are left out of the
                index; otherwise they are refused.
            unique: True refuses a record whose index key another record has. By default, as with False, the
                record that was written last takes the index record: the application sees to it that index
                keys are unique, for instance by making the primary key part of them.

        Raises:
            IndexDefinitionError: This map is an index itself, ``pmap`` is attached already or is this map, or
                the name or the slot is taken.
            UsageError: An argument is of the wrong type.
        """
        if not isinstance(pmap, IndexedRecords) or not callable(fkey) or not isinstance(name, str):
            raise UsageError("attach_index takes a name, a map for the index records, and a function")
        if self._index_attached_to is not None:
            raise IndexDefinitionError(f"{self} is an index itself, of {self._index_attached_to}")
        if pmap._index_attached_to is not None or pmap is self:
            owner = "itself" if pmap._index_attached_to is None else pmap._index_attached_to
            raise IndexDefinitionError(
                f"{pmap} cannot be an index of {self}: it is attached to {owner} already"
            )
        if pmap._indexes:
            raise IndexDefinitionError(f"{pmap} cannot be an index of {self}: it has indexes of its own")
        if name in self._indexes:
            raise IndexDefinitionError(f"{self} has an index {name!r} already")
        if pmap._slot and pmap._slot in (self._slot, *(index.pmap._slot for index in self._indexes.values())):
            raise IndexDefinitionError(
                f"{pmap} cannot be an index of {self}: the slot is taken, and records would mix"
            )
        index = self._indexes[name] = Index(self, name, pmap, fkey, nullable, bool(unique))
        pmap._index_attached_to = self
        pmap._check_lookups(partial(self._use_index, index))
        self._unchecked.append(index)
        self._replan()

    def detach_index(self, name: str) -> None:
        """Keep an index no longer; its records stay. Nothing happens if there is no such index."""
        index = self._indexes.pop(name, None)
        if index is not None:
            index.is_attached = False
            index.pmap._index_attached_to = None
            self._checked_index(index)
            self._replan()

    def indexes(self) -> list[str]:
        """Return the names of the indexes, sorted."""
        return sorted(self._indexes)

    def is_index(self) -> bool:
        """Return whether this map is an index of another."""
        return self._index_attached_to is not None

    def rebuild_index(self, txn: Transaction, name: str) -> tuple[int, int]:
        """Write the records of an index anew; records whose index key is null are left out.

        After an error the index is as it was; but in a database that is open with ``writemap``, where
        transactions cannot be nested, the transaction must be aborted.

        Returns:
            How many index records were deleted, and how many inserted.

        Raises:
            IndexDefinitionError: There is no such index.
            UniqueValueConstraint: The index is unique, and records have one index key.
            DecodeError: A record cannot be read.
            EncodeError: An index key cannot be stored.
            ReadOnlyError: The transaction is read-only.
        """
        if name not in self._indexes:
            raise IndexDefinitionError(f"{self} has no index {name!r}; it has {self.indexes()}")
        return rebuild(self._indexes[name], self._checked(txn))

    def rebuild_indexes(self, txn: Transaction) -> tuple[int, int]:
        """Write the records of all indexes anew; see `rebuild_index`.

        Returns:
            How many index records were deleted, and how many inserted.
        """
        counts = [self.rebuild_index(txn, name) for name in self.indexes()]
        return sum(deleted for deleted, _ in counts), sum(inserted for _, inserted in counts)

    def check_indexes(self, txn: Transaction) -> list[IndexReport]:
        """Compare the indexes with the records, all of them.

        Returns:
            A report for each index, in the order of their names. What is wrong, `rebuild_index` mends.

        Raises:
            UsageError: The transaction is not open.
            DecodeError: A record cannot be read.
        """
        self._checked(txn)
        return [check(self._indexes[name], txn) for name in self.indexes()]
