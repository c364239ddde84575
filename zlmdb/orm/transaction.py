"""Transactions of the object layer."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

from zlmdb.lmdb.errors import Error as LmdbError
from zlmdb.lmdb.errors import ForkedError
from zlmdb.orm.errors import ReadOnlyError, UsageError
from zlmdb.orm.parts import shown
from zlmdb.orm.raw import RawTransaction, TransactionStats

if TYPE_CHECKING:
    from typing import Self

    from zlmdb import lmdb
    from zlmdb.orm.raw import Openable, OpenDatabase


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
        db: Openable,
        write: bool = False,
        buffers: bool = False,
        stats: TransactionStats | None = None,
        parent: Transaction | None = None,
    ) -> None:
        if stats is not None and not isinstance(stats, TransactionStats):
            raise UsageError(f"stats must be a TransactionStats, not {shown(stats)}")
        self._db = db
        self._write = write
        self._parent = parent
        self._raw = RawTransaction(buffers, stats)

    def __enter__(self) -> Self:
        raw = self._raw
        if raw.txn is not None:
            raise UsageError("This transaction is open already: begin another one")
        outer = None if self._parent is None else self._parent._opened()
        database = raw.database = self._db._opened()
        if self._parent is not None:
            self._check_nesting(self._parent, database)
        views: Literal["values", False] = "values" if raw.buffers else False
        raw.txn = database.env.begin(write=self._write, buffers=views, parent=outer)
        return self

    def _check_nesting(self, parent: Transaction, database: OpenDatabase) -> None:
        if not parent._write:
            raise ReadOnlyError("The transaction is read-only: none can be nested in it")
        if self._write and database.is_writemap:
            raise UsageError("The database is open with writemap, where LMDB nests no transactions")

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        raw = self._raw
        txn, raw.txn = raw.txn or raw.opened(), None
        if kind is not None or not self._write:
            txn.abort()
            return
        try:
            txn.commit()
        except ForkedError:  # the block is of the parent process, which commits, and nothing was written here
            return
        except LmdbError as error:
            raw.refuse(error)

    def __repr__(self) -> str:
        kind = ("nested " if self._parent is not None else "") + ("write" if self._write else "read")
        state = "open" if self._raw.txn is not None else "not open"
        return f"<Transaction ({kind}) of database {self._db.dbpath!r}: {state}>"

    def _opened(self) -> lmdb.Transaction[Any]:
        return self._raw.opened()

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
            buffers=self._raw.buffers if buffers is None else buffers,
            stats=stats or self._raw.stats,
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
        return self._raw.get(key)

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
            return self._raw.put(key, data, overwrite=overwrite)
        except LmdbError as error:
            self._raw.refuse(error)

    def delete(self, key: bytes) -> bool:
        """Delete a raw record, without any index.

        Returns:
            Whether there was one.

        Raises:
            UsageError: The transaction is not open.
            DatabaseFullError: The database has reached its limit; the transaction must be aborted.
            ReadOnlyError: The transaction is read-only.
        """
        return self._raw.delete(key)
