"""Raw records: what maps, indexes and tables do in a transaction, in bytes and whatever the slot.

`zlmdb.orm.transaction.Transaction`, which users have, owns a `RawTransaction`; all else works with that.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, Protocol

from zlmdb.lmdb.errors import CorruptedError, MapFullError, ReadonlyError
from zlmdb.lmdb.errors import Error as LmdbError
from zlmdb.orm.errors import DatabaseFullError, ReadOnlyError, UsageError

if TYPE_CHECKING:
    from zlmdb import lmdb

    class Index(Protocol):
        """An index, as far as it matters here."""

        is_attached: bool


BATCH = 1000
"""Records that are deleted together when many are."""


class OpenDatabase(NamedTuple):
    """What transactions need of a database that is open.

    Attributes:
        env: Its environment.
        path: Its directory.
        maxsize: The size of the memory map in bytes, as it was asked for.
        max_key_size: How many bytes a key may have.
        is_writemap: Whether LMDB writes into the memory map, and so nests no transactions.
        indexes_in_step: The indexes that were found in step since it was opened, by the slots of map and
            index.
    """

    env: lmdb.Environment
    path: str
    maxsize: int
    max_key_size: int
    is_writemap: bool
    indexes_in_step: dict[tuple[bytes, bytes], Index]

    def is_open(self) -> bool:
        """Return whether it still is."""
        try:
            self.env.path()
        except LmdbError:
            return False
        return True


class Openable(Protocol):
    """A database, which may be closed by now and opened again."""

    @property
    def dbpath(self) -> str:
        """The directory."""

    def _opened(self) -> OpenDatabase: ...


class TransactionStats:
    """Counts what transactions have written; one object may serve several.

    Attributes:
        puts: Records stored, those of indexes included.
        dels: Records deleted, those of indexes included.
    """

    def __init__(self) -> None:
        self.reset()

    @property
    def started(self) -> int:
        """When counting began, in nanoseconds since the epoch."""
        return self._started

    @property
    def duration(self) -> int:
        """The time since then in nanoseconds."""
        return time.time_ns() - self._started

    def __repr__(self) -> str:
        return f"<TransactionStats: {self.puts} puts, {self.dels} dels>"

    def reset(self) -> None:
        """Count from zero again."""
        self.puts = 0
        self.dels = 0
        self._started = time.time_ns()


class RawTransaction:
    """The raw records of a transaction.

    Attributes:
        txn: LMDB's transaction; None while it is not open.
        database: The database, once it was opened.
        buffers: Whether values may be views.
        stats: Counts the writes.
    """

    __slots__ = ("buffers", "database", "stats", "txn")

    database: OpenDatabase

    def __init__(self, buffers: bool, stats: TransactionStats | None) -> None:
        self.txn: lmdb.Transaction[Any] | None = None
        self.buffers = buffers
        self.stats = stats

    def opened(self) -> lmdb.Transaction[Any]:
        """Return LMDB's transaction."""
        if self.txn is None:
            raise UsageError("The transaction is not open: use it within its with block")
        return self.txn

    def refuse(self, error: LmdbError) -> NoReturn:
        """Raise what LMDB has refused, in terms of the object layer where it has some."""
        path, maxsize = self.database.path, self.database.maxsize
        if isinstance(error, MapFullError):
            raise DatabaseFullError(
                f"database {path} is full, its limit is maxsize={maxsize} bytes: abort "
                f"the transaction, and open the database with a larger maxsize or with grow=True ({error})"
            ) from error
        if isinstance(error, ReadonlyError):
            raise ReadOnlyError("the transaction is read-only: begin it with write=True") from error
        if not self.database.is_open():
            raise UsageError(
                f"database {path} was closed while this transaction was open, which is aborted"
            ) from error
        raise error

    def count_puts(self, puts: int) -> None:
        """Count records that were stored."""
        if self.stats is not None:
            self.stats.puts += puts

    def count_deletes(self, dels: int) -> None:
        """Count records that were deleted."""
        if self.stats is not None:
            self.stats.dels += dels

    # -- single records --

    def get(self, key: bytes) -> bytes | memoryview | None:
        """Return the value of a key; None if there is no such record."""
        try:
            data: bytes | memoryview | None = self.opened().get(key)
        except LmdbError as error:
            self.refuse(error)
        return data

    def put(self, key: bytes, data: bytes, overwrite: bool = True) -> bool:
        """Store a record; return False if there is one that is not to be replaced.

        What LMDB raises is left to the caller, who knows the key, and calls `refuse`.
        """
        stored = (self.txn or self.opened()).put(key, data, overwrite=overwrite)
        if stored and self.stats is not None:
            self.stats.puts += 1
        return stored

    def delete(self, key: bytes) -> bool:
        """Delete a record; return whether there was one."""
        try:
            deleted = self.opened().delete(key)
        except LmdbError as error:
            self.refuse(error)
        if deleted and self.stats is not None:
            self.stats.dels += 1
        return deleted

    # -- many records --

    def get_many(self, keys: list[bytes]) -> dict[bytes, Any]:
        """Return the values of the keys that exist."""
        with self.opened().cursor() as cursor:
            return dict(cursor.getmulti(keys))

    def has_any(self, keys: list[bytes]) -> bool:
        """Return whether there is a record with one of the keys, which are sorted."""
        with self.opened().cursor() as cursor:
            if not (keys and cursor.set_range(keys[0]) and cursor.key() <= keys[-1]):
                return False
            return bool(cursor.getmulti(keys, values=False))

    def put_many(self, records: Iterable[tuple[bytes, bytes]], overwrite: bool = True) -> int:
        """Store records in one call; return how many were."""
        with self.opened().cursor() as cursor:
            try:
                _, stored = cursor.putmulti(records, overwrite=overwrite)
            except LmdbError as error:
                self.refuse(error)
        self.count_puts(stored)
        return stored

    def count(self, prefix: bytes, sizes: range | None = None) -> int:
        """Return the number of records whose key begins with the prefix, and has so many bytes as given."""
        keys = self.opened().keys(prefix=prefix)
        return sum(1 for _ in keys) if sizes is None else sum(len(key) in sizes for key in keys)

    def delete_all(self, prefix: bytes) -> int:
        """Delete all records whose keys begin with the prefix; return how many."""
        deleted = 0
        while keys := list(self.opened().keys(prefix=prefix, limit=BATCH)):
            found = sum(map(self.delete, keys)) or self._delete_in_place(prefix)
            if not found:
                raise CorruptedError(
                    f"database {self.database.path}: the record with the key {keys[0].hex()} cannot be "
                    "deleted, the file is damaged. Abort the transaction; "
                    "zlmdb.lmdb.verify says what is wrong"
                )
            deleted += found
        return deleted

    def _delete_in_place(self, prefix: bytes) -> int:
        """Delete records where they stand: where keys are out of order, they are not found by them."""
        deleted = 0
        with self.opened().cursor() as cursor:
            found = cursor.set_range(prefix)
            try:
                while found and cursor.key().startswith(prefix) and cursor.delete():
                    deleted += 1
            except LmdbError as error:
                self.refuse(error)
        self.count_deletes(deleted)
        return deleted
