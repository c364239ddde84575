"""Transactions: snapshots for reading, and atomic groups of writes."""

from __future__ import annotations

from errno import EACCES, EINVAL
from typing import TYPE_CHECKING, Any, Literal

from zlmdb.lmdb._native import ffi, lib
from zlmdb.lmdb.cursor import Cursor
from zlmdb.lmdb.database import MAIN, _Database
from zlmdb.lmdb.errors import (
    BAD_TXN,
    CLOSED,
    DBIS_BUSY,
    READ_ONLY,
    Error,
    InvalidParameterError,
    error,
)
from zlmdb.lmdb.lifetime import V
from zlmdb.lmdb.pool import begin_again
from zlmdb.lmdb.views import Views
from zlmdb.lmdb.writing import Writing

if TYPE_CHECKING:
    from zlmdb.lmdb.environment import Environment

BUSY_HINT = "empty it before any named database is opened, or delete its records one by one"
STAT_FIELDS = ("psize", "depth", "branch_pages", "leaf_pages", "overflow_pages", "entries")

_begin = lib.zl_txn_begin
_NULL = ffi.NULL


class Transaction(Writing[V]):
    """A transaction of an environment (`mdb_txn_begin()`); as a context manager it commits, or aborts on an
    exception.

    Args:
        env: the environment.
        db: the database that methods use when not told another; the main database by default.
        parent: an open write transaction to nest in. LMDB 0.9 nests write transactions only; LMDB 1.0 also
            nests read-only ones, which see the parent's writes.
        write: whether it may write. One write transaction is open at a time over all processes; others wait.
        buffers: hand out memoryviews on LMDB's own pages instead of copies in bytes objects. They are valid
            until the transaction ends; reading one later raises ValueError. "values" means views for values,
            bytes for keys.

    Raises:
        InvalidParameterError: `parent` is read-only, or of another environment; or, with LMDB 1.0, the
            environment has `writemap`.
        BadTxnError: `parent` has failed, or has an open child; with LMDB 0.9, the environment has `writemap`.
        ValueError: `buffers` is a string other than "values".
        ReadonlyError: `write` in a read-only environment.
        ReadersFullError: every slot of the reader table is taken, also after clearing those of dead
            processes.
        TypeError: `env`, `db` or `parent` is something else.
        Error: this thread already has a write transaction; or `env` or `parent` is closed.
    """

    __slots__ = ("__weakref__",)

    # Environment.begin() calls this itself, to save the detour through type.__call__().
    def __init__(
        self,
        env: Environment,
        db: _Database | None = None,
        parent: Transaction[Any] | None = None,
        write: bool = False,
        buffers: bool | Literal["values"] = False,
    ) -> None:
        try:
            pool = env._pool
        except AttributeError:
            raise TypeError(f"env must be an open Environment, not {type(env).__name__}") from None
        try:
            slot = pool.waiting.pop()
        except IndexError:
            slot = pool.new()
        self._slot = slot
        self._c = slot.c
        self._pyenv = env
        self._write = write
        if not buffers:
            self._views = None
        elif env._kept_views is None:
            self._views = Views(env._views, buffers, slot.c)
        else:
            self._views = env._kept_views(buffers)
        self._ending = None
        if db is None:
            self._pydb = env._main
            dbi = MAIN
        else:
            self._pydb = db
            dbi = env._dbi_of(db)
        if parent is None:
            rc = _begin(slot.c, _NULL, 1 if write else 0, dbi)
        else:
            rc = self._begin_nested(parent, write, dbi)
        if rc and (rc := begin_again(slot.c, rc, dbi)):
            raise self._refused(rc)

    def _refused(self, rc: int) -> Error:
        if self._write and self._pyenv.readonly and rc != CLOSED:  # LMDB 1.0 has a code of its own for this
            return error("mdb_txn_begin", EACCES).advise(READ_ONLY)
        return error("mdb_txn_begin", rc)

    def _begin_nested(self, parent: Transaction[Any], write: bool, dbi: int) -> int:
        if not isinstance(parent, Transaction):
            raise TypeError(f"parent must be a Transaction, not {type(parent).__name__}")
        if parent._pyenv is not self._pyenv:
            raise InvalidParameterError("The parent transaction belongs to another environment", EINVAL)
        if not parent._write:
            raise InvalidParameterError("Transactions cannot be nested in a read-only transaction", EINVAL)
        self._attach().parent = parent
        parent._settle()
        rc = int(_begin(self._c, parent._c, 1 if write else 0, dbi))
        if rc in (EINVAL, BAD_TXN) and not (write or self._pyenv._major):
            raise InvalidParameterError("A read-only transaction nests in LMDB 1.0 environments only", EINVAL)
        if rc in (EINVAL, BAD_TXN) and self._pyenv.flags()["writemap"]:
            raise error("mdb_txn_begin", rc).advise("write transactions do not nest with writemap=True")
        return rc

    # -- databases --

    def id(self) -> int:
        """The transaction's number (`mdb_txn_id()`): of the snapshot it reads, or of the one it writes.

        Raises:
            Error: the transaction is finished.
        """
        self._attach()
        number = lib.zl_txn_id(self._c)
        if number < 0:
            raise error("mdb_txn_id", number)
        return int(number)

    def stat(self, db: _Database | None = None) -> dict[str, int]:
        """Statistics of a database (`mdb_stat()`).

        Returns:
            psize (bytes of a page), depth (of the tree), branch_pages, leaf_pages, overflow_pages, entries.

        Raises:
            Error: the transaction is finished.
        """
        self._attach()
        out = ffi.new("uint64_t[6]")
        rc = lib.zl_txn_stat(self._c, self._pyenv._dbi_of(self._pydb if db is None else db), out)
        if rc:
            raise error("mdb_stat", rc)
        return dict(zip(STAT_FIELDS, out, strict=True))

    def drop(self, db: _Database, delete: bool = True) -> None:
        """Delete a database, or only its records (`mdb_drop()`).

        Args:
            db: the database.
            delete: also delete the database itself: its handle and cursors become unusable.

        Raises:
            ReadonlyError: the transaction is read-only.
            InvalidParameterError: the database was dropped before.
            Error: the transaction is finished.
        """
        self._attach()
        self._settle()
        dbi = self._pyenv._dbi_of(db)
        rc = lib.zl_drop(self._c, dbi, bool(delete))
        if rc:
            raise error("mdb_drop", rc).advise(BUSY_HINT if rc == DBIS_BUSY else "")
        if delete and dbi != MAIN:
            db._invalidate()
            self._pyenv._forget_handle(db)

    def replace(self, key: bytes, value: bytes, db: _Database | None = None) -> bytes | None:
        """Store a record and return the value that it replaces, or None; see `Cursor.replace()`."""
        with self.cursor(db) as cursor:
            return cursor.replace(key, value)

    def pop(self, key: bytes, db: _Database | None = None) -> bytes | None:
        """Delete a key and return its value, or None; see `Cursor.pop()`."""
        with self.cursor(db) as cursor:
            return cursor.pop(key)

    def cursor(self, db: _Database | None = None) -> Cursor[V]:
        """A cursor on a database, not yet positioned (`mdb_cursor_open()`)."""
        return Cursor(self._pydb if db is None else db, self)
