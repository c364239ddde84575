"""Transactions: snapshots for reading, and atomic groups of writes."""

from __future__ import annotations

from errno import EACCES, EINVAL
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

from zlmdb.lmdb import bulk, scan
from zlmdb.lmdb._native import ffi, lib
from zlmdb.lmdb.buffers import as_bytes, as_record
from zlmdb.lmdb.cursor import Cursor
from zlmdb.lmdb.database import DUPSORT, _Database
from zlmdb.lmdb.errors import (
    BAD_TXN,
    DBIS_BUSY,
    KEYEXIST,
    LARGE,
    NOTFOUND,
    READ_ONLY,
    Error,
    InvalidParameterError,
    closed,
    error,
)
from zlmdb.lmdb.ranges import Ranges
from zlmdb.lmdb.views import LENGTH_BITS, LENGTH_MASK, VALUE_VIEWS, Views

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
_del = lib.zl_del
_begin = lib.zl_txn_begin
_begin_read = lib.zl_txn_begin_read
_get = lib.zl_get
_get_pin = lib.zl_get_pin
_get_place = lib.zl_get_place
_put = lib.zl_put
_release = lib.zl_txn_release
_unpin = lib.zl_unpin
_NULL = ffi.NULL


class Transaction(Ranges[V]):
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
        "__weakref__", "_batches", "_buf", "_c", "_dbi", "_done", "_parent", "_provisional", "_pydb",
        "_pyenv", "_reusable", "_slot", "_views", "_write",
    )  # fmt: skip

    _batches: set[scan.Ahead] | None
    _buf: Any
    _c: Any
    _dbi: int
    _done: bool
    _parent: Transaction[Any] | None
    _provisional: list[bytes] | None
    _pydb: _Database
    _pyenv: Environment
    _reusable: bool
    _slot: tuple[Any, Any]
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
            slot = env._slots.pop()
        except IndexError:
            slot = env._new_slot()
        except AttributeError:
            raise TypeError(f"env must be an open Environment, not {type(env).__name__}") from None
        self._slot = slot
        self._c, self._buf = slot
        self._pyenv = env
        self._reusable = True  # nothing else refers to the handle, so that it can serve another transaction
        self._done = True
        if db is None:
            self._dbi = 1
            self._pydb = env._main
        else:
            self._dbi = env._dbi_of(db)
            self._pydb = db
        self._write = write
        self._views = None
        self._batches = None
        self._parent = None
        self._provisional = None
        if parent is not None:
            rc = self._begin_child(parent, write)
        else:
            rc = _begin(self._c, _NULL, True) if write else _begin_read(self._c)
        if rc:
            raise self._refused(rc)
        self._done = False
        if buffers:
            self._views = Views(env._views, buffers)

    def _refused(self, rc: int) -> Error:
        if self._write and self._pyenv.readonly and rc != CLOSED:  # LMDB 1.0 has a code of its own for this
            return error("mdb_txn_begin", EACCES).advise(READ_ONLY)
        return error("mdb_txn_begin", rc)

    def _begin_child(self, parent: Transaction[Any], write: bool) -> int:
        if not isinstance(parent, Transaction):
            raise TypeError(f"parent must be a Transaction, not {type(parent).__name__}")
        if parent._pyenv is not self._pyenv:
            raise InvalidParameterError("The parent transaction belongs to another environment", EINVAL)
        if not parent._write:
            raise InvalidParameterError("Transactions cannot be nested in a read-only transaction", EINVAL)
        self._parent = parent
        self._reusable = False
        parent._settle()
        rc = int(_begin(self._c, parent._c, bool(write)))
        if rc in (EINVAL, BAD_TXN) and not (write or self._pyenv._major):
            raise InvalidParameterError("A read-only transaction nests in LMDB 1.0 environments only", EINVAL)
        return rc

    def __enter__(self) -> Self:
        if self._done:
            raise closed()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._done:
            return
        if exc_type is not None:
            self.abort()
        elif self._batches is not None or self._views is not None or self._provisional is not None:
            self._commit(ignore_closed=True)
        else:  # the usual case, without detours
            self._done = True
            rc = _commit(self._c)
            if rc and rc != CLOSED:
                self._raise_uncommitted(rc)

    def __del__(self) -> None:
        try:
            unused = self._done and self._reusable
        except AttributeError:  # it was never begun
            return
        if unused:
            self._pyenv._slots.append(self._slot)
            return
        if not self._done:
            self._end()
            self._forget_provisional()
        if _release(self._c):
            self._pyenv._slots.append(self._slot)

    # -- ending --

    def _end(self) -> None:
        """What must happen before LMDB's transaction goes: no iterator runs on, no view is read."""
        self._done = True
        if self._batches is not None:
            self._pyenv._batches.pop(id(self), None)
            scan.cut(self._batches)
        if self._views is not None:
            self._views.release()

    def _register(self, ahead: scan.Ahead) -> None:
        batches = self._batches
        if batches is None:
            self._batches = self._pyenv._batches[id(self)] = batches = set()
        batches.add(ahead)

    def _settle(self) -> None:
        """Before a write: put every iterating cursor where its reader is, since LMDB adjusts positions."""
        if self._batches:
            scan.settle(self._batches)

    def commit(self) -> None:
        """Make the writes of the transaction durable and visible (`mdb_txn_commit()`).

        A child's writes become its parent's. The transaction is finished afterwards, also when this fails.

        Raises:
            Error: the transaction is finished, or is a write transaction of another thread.
            MapFullError, DiskError: there is no room for the writes; nothing is committed.
        """
        self._commit()

    def _commit(self, ignore_closed: bool = False) -> None:
        self._end()
        rc = _commit(self._c)
        if rc == 0:
            if self._provisional:
                self._keep_provisional()
            return
        if not (ignore_closed and rc == CLOSED):
            self._raise_uncommitted(rc)

    def _raise_uncommitted(self, rc: int) -> None:
        if rc == OTHER_THREAD:
            self._done = False
            if self._views is not None:
                self._views.resume()
        else:
            self._forget_provisional()
        raise error("mdb_txn_commit", rc)

    def abort(self) -> None:
        """Undo the transaction (`mdb_txn_abort()`). Harmless on a finished one."""
        self._end()
        self._forget_provisional()  # before another thread can open them again
        _abort(self._c)

    def _keep_provisional(self) -> None:
        """Databases opened here live on: with the parent, or for good."""
        names, self._provisional = self._provisional, None
        if names and self._parent is not None:
            self._parent._provisional = (self._parent._provisional or []) + names

    def _forget_provisional(self) -> None:
        if self._provisional:
            self._pyenv._forget_databases(self._provisional)
            self._provisional = None

    # -- databases --

    def id(self) -> int:
        """The transaction's number (`mdb_txn_id()`): of the snapshot it reads, or of the one it writes.

        Raises:
            Error: the transaction is finished.
        """
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
        out = ffi.new("uint64_t[6]")
        rc = lib.zl_txn_stat(self._c, self._dbi if db is None else self._pyenv._dbi_of(db), out)
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
        dbi = self._dbi if db is None else self._pyenv._dbi_of(db)
        if self._views is None:
            n = _get(self._c, dbi, key, len(key))
            if n >= 0:
                return self._buf[:n]
        else:
            n = _get_place(self._c, dbi, key, len(key))
            if n >= 0:
                start = n >> LENGTH_BITS
                return self._views.at(start, start + (n & LENGTH_MASK))
        if n == NOTFOUND:
            return default
        if n != LARGE:
            raise self._pyenv._record_error("mdb_get", n, key)
        return self._get_pinned(dbi, key, default)

    def _get_pinned(self, dbi: int, key: bytes, default: Any) -> Any:
        view = ffi.new("zl_view *")
        rc = _get_pin(self._c, dbi, key, len(key), view)
        if rc == NOTFOUND:
            return default
        if rc:
            raise self._pyenv._record_error("mdb_get", rc, key)
        try:
            return self._pinned(view.val, view.vlen, VALUE_VIEWS)
        finally:
            _unpin(self._c)

    def _pinned(self, pointer: Any, length: int, kind: int) -> Any:
        """What pinned memory becomes for the user: a copy, or a view where that is wanted and safe.

        A page that this transaction has written lives outside the map and moves: it is always copied.
        """
        views = self._views
        if views is None or not views.kinds & kind:
            return ffi.buffer(pointer, length)[:]
        start = lib.zl_stable_at(self._c, pointer)
        if start < 0:
            return memoryview(ffi.buffer(pointer, length)[:])
        return views.at(start, start + length)

    def put(
        self,
        key: bytes,
        value: bytes,
        dupdata: bool = True,
        overwrite: bool = True,
        append: bool = False,
        db: _Database | None = None,
    ) -> bool:
        """Store a record (`mdb_put()`).

        Args:
            key: the key, 1 to `Environment.max_key_size()` bytes.
            value: the value; None counts as b"".
            dupdata: in a dupsort database, also accept a pair that exists already (nothing changes).
            overwrite: replace an existing value. In a dupsort database: add to the values of an existing key.
            append: the key (in a dupsort database, the pair) sorts after all others: faster, and refused with
                False if it does not.
            db: the database; by default the transaction's.

        Returns:
            True if the record was stored, False if `dupdata`, `overwrite` or `append` forbade it.

        Raises:
            ReadonlyError: the transaction is read-only.
            BadValsizeError: the key is empty or too long, or the value's length does not fit a dupsort
                database.
            MapFullError: the map is full; the transaction must be aborted.
            Error: the transaction is finished.
        """
        if type(key) is not bytes or type(value) is not bytes:
            key, value = as_record(key, value)
        if self._batches is not None:
            self._settle()
        dbi = self._dbi if db is None else self._pyenv._dbi_of(db)
        flags = 0
        if append:
            flags = bulk.put_flags(
                dupdata, overwrite, append, (self._pydb if db is None else db)._flags & DUPSORT
            )
        elif not (overwrite and dupdata):
            flags = (0 if overwrite else bulk.NOOVERWRITE) | (0 if dupdata else bulk.NODUPDATA)
        rc = _put(self._c, dbi, key, len(key), value, len(value), flags)
        if rc == 0:
            return True
        if rc == KEYEXIST:
            return False
        raise self._pyenv._record_error("mdb_put", rc, key, value)

    def delete(self, key: bytes, value: bytes = b"", db: _Database | None = None) -> bool:
        """Delete a key (`mdb_del()`); in a dupsort database, with a non-empty `value`, only that pair.

        Returns:
            True if something was deleted.

        Raises:
            ReadonlyError: the transaction is read-only.
            BadValsizeError: the key is empty or too long.
            Error: the transaction is finished.
        """
        if type(key) is not bytes:
            key = as_bytes(key, "key")
        if type(value) is not bytes:
            value = b"" if value is None else as_bytes(value, "value")
        if self._batches is not None:
            self._settle()
        dbi = self._dbi if db is None else self._pyenv._dbi_of(db)
        rc = _del(self._c, dbi, key, len(key), value, len(value))
        if rc == 0:
            return True
        if rc == NOTFOUND:
            return False
        raise self._pyenv._record_error("mdb_del", rc, key)

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
