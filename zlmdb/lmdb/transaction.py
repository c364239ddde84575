"""Transactions: snapshots for reading, and atomic groups of writes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from errno import EACCES, EINVAL
from itertools import chain, islice
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Literal

from zlmdb.lmdb import batches, bulk, ranges, scan
from zlmdb.lmdb import cleanup as cleanups
from zlmdb.lmdb._native import ffi, lib
from zlmdb.lmdb.buffers import V, as_bytes, as_record
from zlmdb.lmdb.cleanup import ENDS_IN_ONE_STEP, TransactionCleanup
from zlmdb.lmdb.cursor import Cursor
from zlmdb.lmdb.database import ABOVE_LENGTH, DUPSORT, MAIN, _Database
from zlmdb.lmdb.errors import (
    BAD_TXN,
    CLOSED,
    DBIS_BUSY,
    FORKED,
    KEYEXIST,
    LARGE,
    NOTFOUND,
    OTHER_THREAD,
    READ_ONLY,
    Error,
    InvalidParameterError,
    closed,
    commit_error,
    error,
)
from zlmdb.lmdb.handle import Handle
from zlmdb.lmdb.pool import CLOSED as CLOSED_SLOT
from zlmdb.lmdb.pool import CLOSED_HANDLE, PooledHandle, begin_again
from zlmdb.lmdb.views import LENGTH_MASK, PLACE_BITS, VALUE_VIEWS, Views

if TYPE_CHECKING:
    from typing import Self

    from zlmdb.lmdb.environment import Environment

BUSY_HINT = "empty it before any named database is opened, or delete its records one by one"
STAT_FIELDS = ("psize", "depth", "branch_pages", "leaf_pages", "overflow_pages", "entries")

_NULL = ffi.NULL
_abort = lib.zl_txn_abort
_begin = lib.zl_txn_begin
_commit = lib.zl_txn_commit
_del = lib.zl_del
_get = lib.zl_get
_get_pin = lib.zl_get_pin
_get_place = lib.zl_get_place
_in_doubt = lib.zl_txn_in_doubt
_put = lib.zl_put
_unpin = lib.zl_unpin

_references: Any = getattr(sys, "getrefcount", None)


def _nobody_else(holder: PooledHandle) -> int:
    """What `_references()` says of a handle that a pooled handle and one variable refer to."""
    c = holder.c
    return int(_references(c)) if ENDS_IN_ONE_STEP else 0


NOBODY_ELSE = _nobody_else(PooledHandle(ffi.new("int *"), b""))
"""How many references a handle has that no other thread is about to call with."""


class Transaction(Handle, Generic[V]):
    """A transaction of an environment (`mdb_txn_begin()`); as a context manager it commits, or aborts on an
    exception.

    Args:
        env: The environment.
        db: The database that methods use when not told another; the main database by default.
        parent: An open write transaction to nest in. LMDB 0.9 nests write transactions only; LMDB 1.0 also
            nests read-only ones, which see the parent's writes.
        write: Whether it may write. One write transaction is open at a time over all processes; others wait.
        buffers: Hand out memoryviews on LMDB's own pages instead of copies in bytes objects. They are valid
            until the transaction ends; reading one later raises ValueError. "values" means views for values,
            bytes for keys.

    Raises:
        InvalidParameterError: `parent` is read-only, or of another environment; or, with LMDB 1.0, the
            environment has `writemap`.
        BadTxnError: `parent` has failed, or has an open child; with LMDB 0.9, the environment has `writemap`.
        ValueError: `buffers` is a string other than "values".
        ReadonlyError: `write` in a read-only environment.
        ReadersFullError: Every slot of the reader table is taken, also after clearing those of dead
            processes.
        TypeError: `env`, `db` or `parent` is something else.
        Error: This thread already has a write transaction; or `env` or `parent` is closed.
    """

    __slots__ = ("__weakref__", "_c", "_cleanup", "_pydb", "_pyenv", "_slot", "_views", "_write")

    _c: Any
    """The slot's native handle; once the transaction has ended, one that stays closed."""
    _cleanup: TransactionCleanup | None
    _pydb: _Database
    _pyenv: Environment
    _slot: PooledHandle
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
        self._cleanup = None
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

    def _begin_nested(self, parent: Transaction[Any], write: bool, dbi: int) -> int:
        if not isinstance(parent, Transaction):
            raise TypeError(f"parent must be a Transaction, not {type(parent).__name__}")
        if parent._pyenv is not self._pyenv:
            raise InvalidParameterError("The parent transaction belongs to another environment", EINVAL)
        if not parent._write:
            raise InvalidParameterError("Transactions cannot be nested in a read-only transaction", EINVAL)
        self._attach().parent = parent
        parent._synchronise()
        rc = int(_begin(self._c, parent._c, 1 if write else 0, dbi))
        if rc in (EINVAL, BAD_TXN) and not (write or self._pyenv._major):
            raise InvalidParameterError("A read-only transaction nests in LMDB 1.0 environments only", EINVAL)
        if rc in (EINVAL, BAD_TXN) and self._pyenv.flags()["writemap"]:
            raise error("mdb_txn_begin", rc).advise("write transactions do not nest with writemap=True")
        return rc

    def _refused(self, rc: int) -> Error:
        if self._write and self._pyenv.readonly and rc != CLOSED:  # LMDB 1.0 has a code of its own for this
            return error("mdb_txn_begin", EACCES).advise(READ_ONLY)
        return error("mdb_txn_begin", rc)

    def id(self) -> int:
        """Return the number (`mdb_txn_id()`) of the snapshot that it reads, or of the one that it writes.

        Raises:
            Error: The transaction is finished.
        """
        self._attach()
        number = lib.zl_txn_id(self._c)
        if number < 0:
            raise error("mdb_txn_id", number)
        return int(number)

    # -- single records --

    def get(self, key: bytes, default: Any = None, db: _Database | None = None) -> Any:
        """Return the value of a key (`mdb_get()`); of the first of several in a dupsort database.

        Args:
            key: The key.
            default: What to return if there is none.
            db: The database; by default the transaction's.

        Returns:
            bytes, a memoryview if the transaction has `buffers=True`, or `default`.

        Raises:
            BadValsizeError: The key is empty.
            Error: The transaction is finished.
        """
        if type(key) is not bytes:
            key = as_bytes(key, "key")
        klen = len(key) if db is None else len(key) | self._pyenv._dbi_of(db) << ABOVE_LENGTH
        c = self._c
        if self._views is None:
            n = _get(c, key, klen)
            if n >= 0:
                value = self._slot.buf[:n]
                if self._c is c:
                    return value
        else:
            n = _get_place(c, key, klen)
            if n >= 0:
                start = n >> PLACE_BITS
                return self._views.at(start, start + (n & LENGTH_MASK))
        if self._c is not c:  # another thread has ended the transaction: this may come from the next one
            raise closed()
        if n == NOTFOUND:
            return default
        if n != LARGE:
            raise self._pyenv._record_error("mdb_get", n, key)
        return self._get_pinned(key, klen, default)

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
            key: The key, 1 to `Environment.max_key_size()` bytes.
            value: The value; None counts as b"".
            dupdata: In a dupsort database, also accept a pair that exists already (nothing changes).
            overwrite: Replace an existing value. In a dupsort database: add to the values of an existing key.
            append: The key (in a dupsort database, the pair) sorts after all others: faster, and refused with
                False if it does not.
            db: The database; by default the transaction's.

        Returns:
            True if the record was stored, False if `dupdata`, `overwrite` or `append` forbade it.

        Raises:
            ReadonlyError: The transaction is read-only.
            BadValsizeError: The key is empty or too long, or the value's length does not fit a dupsort
                database.
            MapFullError: The map is full; the transaction must be aborted.
            Error: The transaction is finished.
        """
        if type(key) is not bytes or type(value) is not bytes:
            key, value = as_record(key, value)
        cleanup = self._cleanup  # as in _synchronise(), only faster
        if cleanup is not None and cleanup.batches:
            scan.synchronise(cleanup.batches)
        klen = len(key) if db is None else len(key) | self._pyenv._dbi_of(db) << ABOVE_LENGTH
        vlen = len(value)
        if append or not (overwrite and dupdata):
            dupsort = (self._pydb if db is None else db)._flags & DUPSORT
            vlen |= bulk.put_flags(dupdata, overwrite, append, dupsort) << ABOVE_LENGTH
        rc = _put(self._c, key, klen, value, vlen)
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
            ReadonlyError: The transaction is read-only.
            BadValsizeError: The key is empty or too long.
            Error: The transaction is finished.
        """
        if type(key) is not bytes:
            key = as_bytes(key, "key")
        if type(value) is not bytes:
            value = b"" if value is None else as_bytes(value, "value")
        self._synchronise()
        klen = len(key) if db is None else len(key) | self._pyenv._dbi_of(db) << ABOVE_LENGTH
        rc = _del(self._c, key, klen, value, len(value))
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

    # -- ranges of keys --

    def cursor(self, db: _Database | None = None) -> Cursor[V]:
        """Return a cursor on a database, not yet positioned (`mdb_cursor_open()`)."""
        return Cursor(self._pydb if db is None else db, self)

    def items(
        self,
        start: bytes | None = None,
        stop: bytes | None = None,
        prefix: bytes | None = None,
        reverse: bool = False,
        limit: int | None = None,
        db: _Database | None = None,
    ) -> Iterator[tuple[V, V]]:
        """Iterate over the records of a range of keys, in key order.

        Args:
            start: The first key of the range, included; by default the range is open below.
            stop: The end of the range, not included; by default the range is open above.
            prefix: Only keys that begin with it. Not together with a database that orders keys otherwise than
                byte by byte (`reverse_key`, `integerkey`).
            reverse: Walk from the end of the range down.
            limit: At most this many records.
            db: The database; by default the transaction's.

        Returns:
            An iterator of (key, value). In a dupsort database a key comes once with each of its values.

        Raises:
            ValueError: `limit` is negative, or `prefix` is used on a database that does not order by prefix.
            Error: The transaction is finished.
        """
        return self._range(db, batches.ITEMS, start, stop, prefix, reverse, limit)

    def keys(
        self,
        start: bytes | None = None,
        stop: bytes | None = None,
        prefix: bytes | None = None,
        reverse: bool = False,
        limit: int | None = None,
        db: _Database | None = None,
    ) -> Iterator[V]:
        """Iterate over the keys of a range, in order, without reading values; arguments as for `items()`."""
        return self._range(db, batches.KEYS, start, stop, prefix, reverse, limit)

    def values(
        self,
        start: bytes | None = None,
        stop: bytes | None = None,
        prefix: bytes | None = None,
        reverse: bool = False,
        limit: int | None = None,
        db: _Database | None = None,
    ) -> Iterator[V]:
        """Iterate over the values of a range of keys, in key order; arguments as for `items()`."""
        return self._range(db, batches.VALUES, start, stop, prefix, reverse, limit)

    def _range(
        self,
        db: _Database | None,
        what: int,
        start: bytes | None,
        stop: bytes | None,
        prefix: bytes | None,
        reverse: bool,
        limit: int | None,
    ) -> Iterator[Any]:
        """Iterate over a range with a cursor of its own; see `items()`."""
        if limit is not None and limit < 0:
            raise ValueError(f"limit must be >= 0, not {limit}")
        cursor = self.cursor(db)
        low, high = ranges.bounds(cursor._pydb._flags, start, stop, prefix)
        if reverse:
            found = cursor._seek_below(high)
            cursor._bound(lib.ZL_BOUND_FROM, low)
        else:
            found = cursor.set_range(low) if low else cursor.first()
            cursor._bound(lib.ZL_BOUND_BELOW, high)
        if not found or high == b"":
            cursor.close()
            return iter(())
        op = scan.PREV if reverse else scan.NEXT
        scanned = scan.new_scan(cursor, op, what, scan.FIRST_BATCH if limit is None else limit)
        records = chain.from_iterable(scanned)
        return records if limit is None else islice(records, limit)

    # -- databases --

    def stat(self, db: _Database | None = None) -> dict[str, int]:
        """Return the statistics of a database (`mdb_stat()`).

        Returns:
            psize (bytes of a page), depth (of the tree), branch_pages, leaf_pages, overflow_pages, entries.

        Raises:
            Error: The transaction is finished.
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
            db: The database.
            delete: Also delete the database itself: its handle and cursors become unusable.

        Raises:
            ReadonlyError: The transaction is read-only.
            InvalidParameterError: The database was dropped before.
            Error: The transaction is finished.
        """
        self._attach()
        self._synchronise()
        dbi = self._pyenv._dbi_of(db)
        rc = lib.zl_drop(self._c, dbi, bool(delete))
        if rc:
            raise error("mdb_drop", rc).advise(BUSY_HINT if rc == DBIS_BUSY else "")
        if delete and dbi != MAIN:
            db._invalidate()
            self._pyenv._forget_handle(db)

    # -- the end --
    #
    # The handler of a signal may raise an exception at each call of Python's. So whatever stands between the
    # decision to end a transaction and the call of C that does it leads to that call also then, and what
    # follows the call is no more than what a dropped transaction can do without.

    def __enter__(self) -> Self:
        if self._c is CLOSED_HANDLE:
            raise closed()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        c, write = self._c, self._write
        try:
            if exc_type is not None and (write or self._cleanup is not None):
                self.abort()
                return
            if c is CLOSED_HANDLE:
                return
            if ENDS_IN_ONE_STEP and self._cleanup is None:  # as in _end(), only faster
                slot = self._slot
                self._c = CLOSED_HANDLE
                self._slot = CLOSED_SLOT
                if self._views is not None:
                    self._release_or_abort(c)
                rc = _commit(c)
                if rc == 0 and (not write or _references(c) == NOBODY_ELSE):
                    self._pyenv._waiting.append(slot)
                elif write:
                    self._slot = slot
                    if rc == OTHER_THREAD:
                        self._go_on(c)
            else:
                rc = self._end()
        except BaseException:  # of a signal's handler
            _abort(self._slot.c)
            self._c = CLOSED_HANDLE
            self._before_end()
            raise
        if rc and rc not in (CLOSED, FORKED):
            raise commit_error(rc, bool(_in_doubt(c)))

    def commit(self) -> None:
        """Make the writes of the transaction durable and visible (`mdb_txn_commit()`).

        A child's writes become its parent's. The transaction is finished afterwards, also when this fails.

        Raises:
            Error: The transaction is finished, or is a write transaction of another thread.
            MapFullError, DiskError: There is no room for the writes.
                The message says whether nothing was committed, or the commit may be on the disk all the same.
        """
        c = self._c
        rc = self._end()
        if rc:
            raise commit_error(rc, bool(_in_doubt(c)))

    def abort(self) -> None:
        """Undo the transaction (`mdb_txn_abort()`). Harmless on a finished one."""
        try:
            if self._give_back() is not None:
                return
            self._take_handle()
            self._before_end()
            if self._cleanup is not None:
                self._cleanup.forget_databases()  # before another thread can open them again
        finally:
            _abort(self._slot.c)

    def _end(self) -> int:
        rc = None if self._write else self._give_back()
        return self._commit_all() if rc is None else rc

    def _give_back(self) -> int | None:
        """End a transaction that has only read, and leave its slot to others; None if there is more to do."""
        c = CLOSED_HANDLE
        try:
            with cleanups.handle_lock:
                if self._cleanup is not None or self._write:
                    return None
                if self._c is CLOSED_HANDLE:
                    return CLOSED
                slot = self._slot
                c, self._c, self._slot = slot.c, CLOSED_HANDLE, CLOSED_SLOT
            if self._views is not None:
                self._views.release()
            rc: int = _commit(c)
        except BaseException:
            _abort(c)
            self._before_end()
            raise
        if rc == 0:
            self._pyenv._waiting.append(slot)
        return rc

    def _commit_all(self) -> int:
        """Commit what may have written; the handle stays until the transaction is dropped."""
        try:
            c = self._take_handle()
            self._before_end()
        except BaseException:
            _abort(self._slot.c)
            self._before_end()
            raise
        cleanup = self._cleanup
        rc: int = _commit(c)
        if rc == OTHER_THREAD:
            self._go_on(c)
        elif cleanup is not None and cleanup.provisional:
            if rc == 0:
                cleanup.keep_databases()
            else:
                cleanup.forget_databases()
        return rc

    def _take_handle(self) -> Any:
        """Return the handle of a transaction that ends: from now on nothing can be attached to it."""
        with cleanups.handle_lock:
            c, self._c = self._c, CLOSED_HANDLE
        return c

    def _before_end(self) -> None:
        if self._cleanup is not None:
            self._cleanup.end()
        elif self._views is not None:
            self._views.release()

    def _release_or_abort(self, c: Any) -> None:
        """Release the views of a transaction that is about to end; it does in any case."""
        try:
            if self._views is not None:
                self._views.release()
        except BaseException:
            _abort(c)
            raise

    def _go_on(self, c: Any) -> None:
        """It does not end: only the thread that began it may commit it."""
        self._c = c
        if self._views is not None:
            self._views.resume()

    @property
    def _done(self) -> bool:
        return self._c is CLOSED_HANDLE

    @property
    def _parent(self) -> Transaction[Any] | None:
        return None if self._cleanup is None else self._cleanup.parent

    # -- for cursors, bulk functions and databases --

    def _attach(self) -> TransactionCleanup:
        """Keep the handle until the transaction is dropped.

        Whatever uses it without that must look afterwards whether `_c` is the same: another thread may have
        ended the transaction meanwhile, and begun another with the handle.
        """
        if self._cleanup is not None:
            return self._cleanup
        with cleanups.handle_lock:
            cleanup = self._cleanup
            if cleanup is None:
                env = self._pyenv
                cleanup = TransactionCleanup(env._attached, env._databases, self._views)
                if self._c is not CLOSED_HANDLE:
                    self._cleanup = cleanup
        return cleanup

    def _synchronise(self) -> None:
        """Before a write: put every iterating cursor where its reader is, since LMDB adjusts positions."""
        if self._cleanup is not None and self._cleanup.batches:
            scan.synchronise(self._cleanup.batches)

    def _kept(self, n: int) -> bytes:
        """Return the value of `n` bytes that C has just found in place of a write."""
        value: bytes = self._slot.buf[:n]
        if self._c is CLOSED_HANDLE:  # another thread has ended the transaction, and may use its handle
            raise closed()
        return value

    def _get_pinned(self, key: bytes, klen: int, default: Any) -> Any:
        self._attach()
        view = ffi.new("zl_view *")
        try:
            rc = _get_pin(self._c, key, klen, view)
            if rc == 0:
                return self._pinned(view.val, view.vlen, VALUE_VIEWS)
        finally:
            _unpin(view)
        if rc == NOTFOUND:
            return default
        raise self._pyenv._record_error("mdb_get", rc, key)

    def _pinned(self, pointer: Any, length: int, kind: int) -> Any:
        """Return what pinned memory becomes for the user: a copy, or a view where that is wanted and safe.

        A page that this transaction has written lives outside the map and moves: it is always copied.
        """
        views = self._views
        if views is None or not views.kinds & kind:
            return ffi.buffer(pointer, length)[:]
        start = lib.zl_stable_at(self._slot.c, pointer)
        if start < 0:
            return memoryview(ffi.buffer(pointer, length)[:])
        return views.at(start, start + length)
