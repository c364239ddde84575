"""Transactions of the object layer."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from zlmdb.lmdb.errors import Error as LmdbError
from zlmdb.lmdb.errors import ForkedError, MapFullError, ReadonlyError
from zlmdb.orm.errors import DatabaseFullError, ReadOnlyError, UsageError
from zlmdb.orm.parts import shown

if TYPE_CHECKING:
    from typing import Self

    from zlmdb import lmdb
    from zlmdb.orm.database import Database


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


class Transaction:
    """A transaction, from `Database.begin`: open while in its ``with`` block.

    It commits at the end of the block, and aborts if an exception leaves it. A write transaction belongs to
    the thread that entered it. Besides what maps do in it, it reads and writes raw records.

    Args:
        db: The database.
        write: Whether it may write. One write transaction is open at a time, in all processes; others wait.
        buffers: Hand FlatBuffers values a view on LMDB's own page instead of a copy. Such a value can be used
            until the transaction ends; using it later raises ValueError.
        stats: Counts the writes.
        parent: The write transaction to nest in; see `begin`.

    Raises:
        UsageError: ``stats`` is not a `TransactionStats`.
    """

    PUT = 1
    """Constant of the operation that stores a record."""
    DEL = 2
    """Constant of the operation that deletes a record."""

    def __init__(
        self,
        db: Database,
        write: bool = False,
        buffers: bool = False,
        stats: TransactionStats | None = None,
        parent: Transaction | None = None,
    ) -> None:
        if stats is not None and not isinstance(stats, TransactionStats):
            raise UsageError(f"stats must be a TransactionStats, not {shown(stats)}")
        self._db = db
        self._write = write
        self._buffers = buffers
        self._stats = stats
        self._parent = parent
        self._set(None)

    def __enter__(self) -> Self:
        if self._txn is not None:
            raise UsageError("This transaction is open already: begin another one")
        parent = None if self._parent is None else self._parent._opened()
        env = self._db._opened()
        if self._parent is not None and not self._parent._write:
            raise ReadOnlyError("The transaction is read-only: none can be nested in it")
        if self._parent is not None and self._write and self._db.is_writemap:
            raise UsageError("The database is open with writemap, where LMDB nests no transactions")
        views: Literal["values", False] = "values" if self._buffers else False
        self._set(env.begin(write=self._write, buffers=views, parent=parent))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        txn = self._opened()
        self._set(None)
        if kind is not None or not self._write:
            txn.abort()
            return
        try:
            txn.commit()
        except ForkedError:  # the block is of the parent process, which commits, and nothing was written here
            return
        except LmdbError as error:
            self._refuse(error)

    def __repr__(self) -> str:
        kind = ("nested " if self._parent is not None else "") + ("write" if self._write else "read")
        state = "open" if self._txn is not None else "not open"
        return f"<Transaction ({kind}) of database {self._db.dbpath!r}: {state}>"

    def _set(self, txn: lmdb.Transaction[Any] | None) -> None:
        """Use LMDB's transaction, with its methods at hand for the hot paths of maps."""
        self._txn = txn
        self._put: Callable[..., bool] = _not_open if txn is None else txn.put
        if txn is not None and self._stats is not None:
            self._put = self._counted_put

    def _counted_put(self, key: bytes, data: bytes, overwrite: bool = True) -> bool:
        stored = self._opened().put(key, data, overwrite=overwrite)
        if stored and self._stats is not None:
            self._stats.puts += 1
        return stored

    def _opened(self) -> lmdb.Transaction[Any]:
        if self._txn is None:
            _not_open()
        return self._txn

    def _refuse(self, error: LmdbError) -> NoReturn:
        """Raise what LMDB has refused, in terms of the object layer where it has some."""
        if isinstance(error, MapFullError):
            raise DatabaseFullError(
                f"database {self._db.dbpath} is full, its limit is maxsize={self._db.maxsize} bytes: abort "
                f"the transaction, and open the database with a larger maxsize or with grow=True ({error})"
            ) from error
        if isinstance(error, ReadonlyError):
            raise ReadOnlyError("the transaction is read-only: begin it with write=True") from error
        if not self._db.is_open:
            raise UsageError(
                f"database {self._db.dbpath} was closed while this transaction was open, which is aborted"
            ) from error
        raise error

    def begin(
        self, buffers: bool | None = None, stats: TransactionStats | None = None, write: bool = True
    ) -> Transaction:
        """Begin a transaction that is nested in this write transaction.

        What it writes becomes part of this transaction when it commits, and is undone when it aborts, while
        this one goes on. Until it has ended, this one must not be used.

        Args:
            buffers: As for `Database.begin`; by default like this transaction.
            stats: Counts the writes, also if they are undone; by default those of this transaction.
            write: Whether it may write; one that only reads needs LMDB 1.0.

        Raises:
            ReadOnlyError: When it is entered: this transaction is read-only.
            UsageError: When it is entered: this transaction is not open, or the database is open with
                ``writemap``.
        """
        return Transaction(
            self._db,
            write=write,
            buffers=self._buffers if buffers is None else buffers,
            stats=stats or self._stats,
            parent=self,
        )

    def id(self) -> int:
        """Return the number of the transaction (``mdb_txn_id()``): of the snapshot it reads, or of its write.

        Raises:
            UsageError: The transaction is not open.
        """
        return self._opened().id()

    def get(self, key: bytes) -> bytes | memoryview | None:
        """Return the value of a raw key, slot included; None if there is no such record.

        Raises:
            UsageError: The transaction is not open.
        """
        try:
            data: bytes | memoryview | None = self._opened().get(key)
        except LmdbError as error:
            self._refuse(error)
        return data

    def put(self, key: bytes, data: bytes, overwrite: bool = True) -> bool:
        """Store a raw record, without any index.

        Args:
            key: The key, slot included.
            data: The value.
            overwrite: Replace a record that exists.

        Returns:
            Whether it was stored; False if a record exists and must not be replaced.

        Raises:
            UsageError: The transaction is not open.
            DatabaseFullError: The database has reached its limit; the transaction must be aborted.
            ReadOnlyError: The transaction is read-only.
            zlmdb.lmdb.Error: The key is empty or too long.
        """
        try:
            return self._put(key, data, overwrite=overwrite)
        except LmdbError as error:
            self._refuse(error)

    def delete(self, key: bytes) -> bool:
        """Delete a raw record, without any index.

        Returns:
            Whether there was one.

        Raises:
            UsageError: The transaction is not open.
            DatabaseFullError: The database has reached its limit; the transaction must be aborted.
            ReadOnlyError: The transaction is read-only.
        """
        try:
            deleted = self._opened().delete(key)
        except LmdbError as error:
            self._refuse(error)
        if deleted and self._stats is not None:
            self._stats.dels += 1
        return deleted

    def _count(self, prefix: bytes, sizes: range | None = None) -> int:
        """Return the number of records whose key begins with the prefix, and has so many bytes as given."""
        keys = self._opened().keys(prefix=prefix)
        return sum(1 for _ in keys) if sizes is None else sum(len(key) in sizes for key in keys)

    def _put_many(self, records: Iterable[tuple[bytes, bytes]], overwrite: bool = True) -> int:
        """Store raw records in one call; return how many were."""
        with self._opened().cursor() as cursor:
            try:
                _, stored = cursor.putmulti(records, overwrite=overwrite)
            except LmdbError as error:
                self._refuse(error)
        if self._stats is not None:
            self._stats.puts += stored
        return stored

    def _present(self, keys: list[bytes]) -> bool:
        """Return whether there is a record with one of the raw keys, which are sorted."""
        with self._opened().cursor() as cursor:
            if not (keys and cursor.set_range(keys[0]) and cursor.key() <= keys[-1]):
                return False
            return bool(cursor.getmulti(keys, values=False))

    def _get_many(self, keys: list[bytes]) -> dict[bytes, Any]:
        """Return the values of the raw keys that exist."""
        with self._opened().cursor() as cursor:
            return dict(cursor.getmulti(keys))


def _not_open(*_: object, **__: object) -> NoReturn:
    raise UsageError("The transaction is not open: use it within its with block")
