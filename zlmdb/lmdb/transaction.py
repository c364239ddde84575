"""Transactions: snapshots for reading, and atomic groups of writes."""

from __future__ import annotations

from errno import EACCES, EINVAL
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

from zlmdb.lmdb import ending as endings
from zlmdb.lmdb._native import ffi, lib
from zlmdb.lmdb.buffers import as_bytes
from zlmdb.lmdb.cursor import Cursor
from zlmdb.lmdb.database import ABOVE, MAIN, _Database
from zlmdb.lmdb.ending import (
    CLOSED_HANDLE,
    CLOSED_SLOT,
    ENDS_IN_ONE_STEP,
    Ending,
    Slot,
    begin_again,
    new_slot,
)
from zlmdb.lmdb.errors import (
    BAD_TXN,
    DBIS_BUSY,
    LARGE,
    NOTFOUND,
    READ_ONLY,
    Error,
    InvalidParameterError,
    closed,
    error,
)
from zlmdb.lmdb.views import LENGTH_BITS, LENGTH_MASK, VALUE_VIEWS, Views
from zlmdb.lmdb.writing import Writing

if TYPE_CHECKING:
    from typing import Self

    from typing_extensions import TypeVar

    from zlmdb.lmdb.environment import Environment

    V = TypeVar("V", bytes, memoryview, default=bytes)
else:
    from typing import TypeVar

    V = TypeVar("V")

BUSY_HINT = "empty it before any named database is opened, or delete its records one by one"
STAT_FIELDS = ("psize", "depth", "branch_pages", "leaf_pages", "overflow_pages", "entries")

CLOSED: int = lib.ZL_CLOSED
OTHER_THREAD: int = lib.ZL_OTHER_THREAD

_abort = lib.zl_txn_abort
_commit = lib.zl_txn_commit
_begin = lib.zl_txn_begin
_get = lib.zl_get
_get_pin = lib.zl_get_pin
_get_place = lib.zl_get_place
_unpin = lib.zl_unpin
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
        InvalidParameterError: `parent` is read-only, or of another environment.
        ValueError: `buffers` is a string other than "values".
        ReadonlyError: `write` in a read-only environment.
        ReadersFullError: every slot of the reader table is taken, also after clearing those of dead
            processes.
        TypeError: `env`, `db` or `parent` is something else.
        Error: this thread already has a write transaction; or `env` or `parent` is closed.
    """

    __slots__ = (
        "__weakref__", "_c", "_ending", "_pydb", "_pyenv", "_slot", "_views", "_write"
    )  # fmt: skip

    _c: Any
    """The slot's native handle; once the transaction has ended, one that stays closed."""
    _ending: Ending | None
    _pydb: _Database
    _pyenv: Environment
    _slot: Slot
    _views: Views | None
    _write: bool

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
            pool = env._write_slots if write else env._slots
        except AttributeError:
            raise TypeError(f"env must be an open Environment, not {type(env).__name__}") from None
        try:
            slot = pool.pop()
        except IndexError:
            slot = CLOSED_SLOT
        if slot.c is CLOSED_HANDLE:
            slot = new_slot(env)
        if write:
            slot.pool = pool
        self._slot = slot
        self._c = slot.c
        self._pyenv = env
        self._write = write
        self._views = slot.views = Views(env._views, buffers) if buffers else None
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
        if rc and (rc := begin_again(slot.c, rc)):
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
            raise InvalidParameterError("Write transactions do not nest with writemap=True", EINVAL)
        return rc

    def __enter__(self) -> Self:
        if self._c is CLOSED_HANDLE:
            raise closed()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        c, write = self._c, self._write
        if exc_type is not None and (write or self._ending is not None):
            self.abort()
        elif c is not CLOSED_HANDLE:
            if ENDS_IN_ONE_STEP and self._ending is None:  # as in _end(), only faster
                self._c = CLOSED_HANDLE
                slot = self._slot
                if not write:
                    self._slot = CLOSED_SLOT
                if self._views is not None:
                    self._views.release()
                rc = _commit(c)
                if not rc:
                    if not write:
                        self._pyenv._slots.append(slot)
                    return
                if rc == OTHER_THREAD:
                    self._go_on(c)
            else:
                rc = self._end()
            if rc and rc != CLOSED:
                raise error("mdb_txn_commit", rc)

    # -- ending --

    def _attach(self) -> Ending:
        """Keep the handle until the transaction is dropped.

        Whatever uses it without that must look afterwards whether `_c` is the same: another thread may have
        ended the transaction meanwhile, and begun another with the handle.
        """
        if self._ending is not None:
            return self._ending
        with endings.alone:
            ending = self._ending
            if ending is None:
                ending = Ending(self._pyenv, self._slot, self._write)
                if self._c is not CLOSED_HANDLE:
                    self._ending = ending
                    ending.armed = self._slot.kept = True
        return ending

    def _give_back(self) -> int | None:
        """End a transaction that has only read, and leave its slot to others; None if there is more to do."""
        with endings.alone:
            c, slot = self._c, self._slot
            if self._ending is not None or self._write:
                return None
            if c is CLOSED_HANDLE:
                return CLOSED
            self._c = CLOSED_HANDLE
            self._slot = CLOSED_SLOT
        if self._views is not None:
            self._views.release()
        rc: int = _commit(c)
        if rc == 0:
            self._pyenv._slots.append(slot)
        return rc

    def _take_handle(self) -> Any:
        """The handle of a transaction that ends: from now on nothing can be attached to it."""
        with endings.alone:
            c, self._c = self._c, CLOSED_HANDLE
        return c

    @property
    def _done(self) -> bool:
        return self._c is CLOSED_HANDLE

    @property
    def _parent(self) -> Transaction[Any] | None:
        return None if self._ending is None else self._ending.parent

    def commit(self) -> None:
        """Make the writes of the transaction durable and visible (`mdb_txn_commit()`).

        A child's writes become its parent's. The transaction is finished afterwards, also when this fails.

        Raises:
            Error: the transaction is finished, or is a write transaction of another thread.
            MapFullError, DiskError: there is no room for the writes; nothing is committed.
        """
        rc = self._end()
        if rc:
            raise error("mdb_txn_commit", rc)

    def _end(self) -> int:
        rc = None if self._write else self._give_back()
        return self._commit_all() if rc is None else rc

    def _commit_all(self) -> int:
        """Commit what may have written; the slot stays until the transaction is dropped."""
        c = self._take_handle()
        self._before_end()
        ending = self._ending
        rc: int = _commit(c)
        if rc == OTHER_THREAD:
            self._go_on(c)
        elif ending is not None and ending.provisional:
            if rc == 0:
                ending.keep_databases()
            else:
                ending.forget_databases()
        return rc

    def _go_on(self, c: Any) -> None:
        """It does not end: only the thread that began it may commit it."""
        self._c = c
        if self._views is not None:
            self._views.resume()

    def _before_end(self) -> None:
        if self._ending is not None:
            self._ending.end()
        elif self._views is not None:
            self._views.release()

    def abort(self) -> None:
        """Undo the transaction (`mdb_txn_abort()`). Harmless on a finished one."""
        if self._give_back() is not None:
            return
        c = self._take_handle()
        self._before_end()
        if self._ending is not None:
            self._ending.forget_databases()  # before another thread can open them again
        _abort(c)

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
        if delete and dbi > 1:
            db._invalidate()
            self._pyenv._forget_handle(db)

    # -- records --

    def get(self, key: bytes, default: Any = None, db: _Database | None = None) -> Any:
        """The value of a key (`mdb_get()`); of the first of several in a dupsort database.

        Args:
            key: the key.
            default: what to return if there is none.
            db: the database; by default the transaction's.

        Returns:
            bytes, a memoryview if the transaction has `buffers=True`, or `default`.

        Raises:
            BadValsizeError: the key is empty.
            Error: the transaction is finished.
        """
        if type(key) is not bytes:
            key = as_bytes(key, "key")
        size = len(key) if db is None else len(key) | self._pyenv._dbi_of(db) << ABOVE
        c = self._c
        if self._views is None:
            n = _get(c, key, size)
            if n >= 0:
                value = self._slot.buf[:n]
                if self._c is c:
                    return value
        else:
            n = _get_place(c, key, size)
            if n >= 0:
                start = n >> LENGTH_BITS
                return self._views.at(start, start + (n & LENGTH_MASK))
        if self._c is not c:  # another thread has ended the transaction: this may come from the next one
            raise closed()
        if n == NOTFOUND:
            return default
        if n != LARGE:
            raise self._pyenv._record_error("mdb_get", n, key)
        return self._get_pinned(key, size, default)

    def _get_pinned(self, key: bytes, size: int, default: Any) -> Any:
        self._attach()
        view, c = ffi.new("zl_view *"), self._c
        rc = _get_pin(c, key, size, view)
        if rc == NOTFOUND:
            return default
        if rc:
            raise self._pyenv._record_error("mdb_get", rc, key)
        try:
            return self._pinned(view.val, view.vlen, VALUE_VIEWS)
        finally:
            _unpin(c)

    def _pinned(self, pointer: Any, length: int, kind: int) -> Any:
        """What pinned memory becomes for the user: a copy, or a view where that is wanted and safe.

        A page that this transaction has written lives outside the map and moves: it is always copied.
        """
        views = self._views
        if views is None or not views.kinds & kind:
            return ffi.buffer(pointer, length)[:]
        start = lib.zl_stable_at(self._slot.c, pointer)
        if start < 0:
            return memoryview(ffi.buffer(pointer, length)[:])
        return views.at(start, start + length)

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
