"""The life of a transaction: the native handle that it has, and how it ends."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic

from zlmdb.lmdb import ending as endings
from zlmdb.lmdb._native import lib
from zlmdb.lmdb.ending import CLOSED_HANDLE, CLOSED_SLOT, ENDS_IN_ONE_STEP, Ending, Slot
from zlmdb.lmdb.errors import CLOSED, FORKED, OTHER_THREAD, closed, commit_error
from zlmdb.lmdb.handle import Handle

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

_abort = lib.zl_txn_abort
_commit = lib.zl_txn_commit
_in_doubt = lib.zl_txn_in_doubt


class Lifetime(Handle, Generic[V]):
    """The part of `Transaction` that ends it."""

    __slots__ = ("_c", "_ending", "_pydb", "_pyenv", "_slot", "_views", "_write")

    _c: Any
    """The slot's native handle; once the transaction has ended, one that stays closed."""
    _ending: Ending | None
    _pydb: _Database
    _pyenv: Environment
    _slot: Slot
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
        if exc_type is not None and (write or self._ending is not None):
            self.abort()
            return
        if c is CLOSED_HANDLE:
            return
        if ENDS_IN_ONE_STEP and self._ending is None:  # as in _end(), only faster
            self._c = CLOSED_HANDLE
            slot = self._slot
            if not write:
                self._slot = CLOSED_SLOT
            if self._views is not None:
                self._views.release()
            rc = _commit(c)
            if not (rc or write):
                self._pyenv._slots.append(slot)
            elif rc == OTHER_THREAD:
                self._go_on(c)
        else:
            rc = self._end()
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
