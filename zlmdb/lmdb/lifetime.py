"""The life of a transaction: the native handle that it has, and how it ends."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic

from zlmdb.lmdb import ending as endings
from zlmdb.lmdb._native import ffi, lib
from zlmdb.lmdb.ending import ENDS_IN_ONE_STEP, Ending
from zlmdb.lmdb.errors import CLOSED, FORKED, OTHER_THREAD, closed, commit_error
from zlmdb.lmdb.handle import Handle
from zlmdb.lmdb.pool import CLOSED as CLOSED_SLOT
from zlmdb.lmdb.pool import CLOSED_HANDLE, PooledHandle

if TYPE_CHECKING:
    from typing import Self

    from typing_extensions import TypeVar

    from zlmdb.lmdb.database import _Database
    from zlmdb.lmdb.environment import Environment
    from zlmdb.lmdb.transaction import Transaction
    from zlmdb.lmdb.views import Views

    V = TypeVar("V", bytes, memoryview, default=bytes)
else:
    from typing import TypeVar

    V = TypeVar("V")

_references: Any = getattr(sys, "getrefcount", None)


def _nobody_else(holder: PooledHandle) -> int:
    """What `_references()` says of a handle that a pooled handle and one variable refer to."""
    c = holder.c
    return int(_references(c)) if ENDS_IN_ONE_STEP else 0


NOBODY_ELSE = _nobody_else(PooledHandle(ffi.new("int *"), b""))
"""How many references a handle has that no other thread is about to call with."""
_abort = lib.zl_txn_abort
_commit = lib.zl_txn_commit
_in_doubt = lib.zl_txn_in_doubt


class Lifetime(Handle, Generic[V]):
    """The part of `Transaction` that ends it.

    The handler of a signal may raise an exception at each call of Python's. So whatever stands between the
    decision to end a transaction and the call of C that does it leads to that call also then, and what
    follows the call is no more than what a dropped transaction can do without.
    """

    __slots__ = ("_c", "_ending", "_pydb", "_pyenv", "_slot", "_views", "_write")

    _c: Any
    """The slot's native handle; once the transaction has ended, one that stays closed."""
    _ending: Ending | None
    _pydb: _Database
    _pyenv: Environment
    _slot: PooledHandle
    _views: Views | None
    _write: bool

    def __enter__(self) -> Self:
        if self._c is CLOSED_HANDLE:
            raise closed()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        c, write = self._c, self._write
        try:
            if exc_type is not None and (write or self._ending is not None):
                self.abort()
                return
            if c is CLOSED_HANDLE:
                return
            if ENDS_IN_ONE_STEP and self._ending is None:  # as in _end(), only faster
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
                env = self._pyenv
                ending = Ending(env._attached, env._databases, self._views)
                if self._c is not CLOSED_HANDLE:
                    self._ending = ending
        return ending

    def _give_back(self) -> int | None:
        """End a transaction that has only read, and leave its slot to others; None if there is more to do."""
        c = CLOSED_HANDLE
        try:
            with endings.alone:
                if self._ending is not None or self._write:
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

    def _release_or_abort(self, c: Any) -> None:
        """Release the views of a transaction that is about to end; it does in any case."""
        try:
            if self._views is not None:
                self._views.release()
        except BaseException:
            _abort(c)
            raise

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
            MapFullError, DiskError: there is no room for the writes.
                The message says whether nothing was committed, or the commit may be on the disk all the same.
        """
        c = self._c
        rc = self._end()
        if rc:
            raise commit_error(rc, bool(_in_doubt(c)))

    def _end(self) -> int:
        rc = None if self._write else self._give_back()
        return self._commit_all() if rc is None else rc

    def _commit_all(self) -> int:
        """Commit what may have written; the handle stays until the transaction is dropped."""
        try:
            c = self._take_handle()
            self._before_end()
        except BaseException:
            _abort(self._slot.c)
            self._before_end()
            raise
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
        try:
            if self._give_back() is not None:
                return
            self._take_handle()
            self._before_end()
            if self._ending is not None:
                self._ending.forget_databases()  # before another thread can open them again
        finally:
            _abort(self._slot.c)
