"""How transactions end: native handles serve one after the other, and what else must be put in order."""

from __future__ import annotations

import gc
import os
import sys
import threading
from collections import deque
from typing import TYPE_CHECKING, Any

from zlmdb.lmdb import scan
from zlmdb.lmdb._native import ffi, lib
from zlmdb.lmdb.database import MAIN
from zlmdb.lmdb.errors import READERS_FULL

if TYPE_CHECKING:
    from zlmdb.lmdb.environment import Environment
    from zlmdb.lmdb.transaction import Transaction
    from zlmdb.lmdb.views import Views

ENDS_IN_ONE_STEP = sys.implementation.name == "cpython" and getattr(sys, "_is_gil_enabled", lambda: True)()
"""CPython with a GIL switches threads and runs signal handlers at calls and at jumps back only: a test and
the assignment that follows are one step. Elsewhere, and where speed does not count, `alone` makes them one.
"""

alone = threading.RLock()
"""Held by whoever changes from plain reads to more than that, or ends: only one may have the handle then."""


def _after_fork_in_child() -> None:
    """A thread that the child does not have may hold the lock."""
    global alone  # noqa: PLW0603
    alone = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)

CLOSED_HANDLE: Any = lib.zl_txn_closed()
"""What a transaction has for a handle once it has ended: every call with it reports a closed one."""

COLLECTIONS = 0 if sys.implementation.name == "cpython" else 3
"""How many bring back dropped handles: PyPy runs finalizers after one; the next finds what they let go of."""

_release = lib.zl_txn_release


class Slot:
    """A native handle, which serves one transaction after the other, and the buffer that its results come in.

    Args:
        c: the handle.
        buf: the buffer.
    """

    __slots__ = ("buf", "c", "kept", "pool", "views")

    def __init__(self, c: Any, buf: Any) -> None:
        self.c = c
        self.buf = buf
        self.pool: deque[Slot] | None = None
        """Where a write transaction that is dropped leaves it to others."""
        self.kept = False
        """Someone else gives it back: see `Ending`."""
        self.views: Views | None = None
        """What the transaction has given away."""

    def __del__(self) -> None:  # its transaction was dropped, or its environment
        if not self.kept and lib is not None:  # else the interpreter ends, and has cleared the modules
            self.give_back(self.pool)

    def give_back(self, pool: deque[Slot] | None) -> None:
        """Abort the transaction if it has not ended, and leave the handle to others."""
        if self.views is not None:
            self.views.release()
        # In a cycle, this may be in a pool, or be put there yet by the finalizer of another object.
        c, self.c = self.c, CLOSED_HANDLE
        if not _release(c):
            return
        if pool is None:
            lib.zl_txn_unref(c)
        else:
            pool.append(Slot(c, self.buf))


CLOSED_SLOT = Slot(CLOSED_HANDLE, b"")
CLOSED_SLOT.kept = True


def new_slot(env: Environment) -> Slot:
    """A slot with a new handle."""
    c = lib.zl_txn_new(env._c)
    if not c:
        raise MemoryError
    return Slot(c, ffi.buffer(lib.zl_txn_arena(c), lib.ZL_ARENA))


def begin_again(c: Any, code: int, dbi: int = MAIN) -> int:
    """A reader could not begin with the handle: the code of a second attempt, or of the first.

    Where all reader slots are taken, and transactions that were dropped and not ended wait for the garbage
    collector, that has its turn first.
    """
    if code != READERS_FULL or not COLLECTIONS:
        return code
    for _ in range(COLLECTIONS):
        gc.collect()
    return int(lib.zl_txn_begin(c, ffi.NULL, 0, dbi))


class Ending:
    """What must be put in order when a transaction with more than plain reads and writes ends, or is dropped.

    It is apart from the transaction so that one without it needs no finalizer.
    """

    __slots__ = ("_env", "_pool", "_slot", "armed", "batches", "parent", "provisional", "views")

    def __init__(self, env: Environment, slot: Slot, write: bool) -> None:
        self._env = env
        self._slot = slot
        self._pool = env._write_slots if write else env._slots
        self.armed = False
        """It belongs to a transaction."""
        self.batches: set[scan.Ahead] | None = None
        """What scans have read ahead of their readers, once there are cursors."""
        self.parent: Transaction[Any] | None = None
        self.provisional: list[bytes] = []
        """Names of the databases that it has opened."""
        self.views = slot.views

    def __del__(self) -> None:
        if self.armed and lib is not None:  # see Slot
            if self.batches is not None or self.views is not None:
                self.end()
            if self.provisional:
                self.forget_databases()
            self._slot.give_back(self._pool)

    def watched(self) -> set[scan.Ahead]:
        """The batches, which the environment knows of from now on: it cuts them when it closes."""
        with alone:
            if self.batches is None:
                self.batches = set()
        self._env._batches[id(self)] = self.batches
        return self.batches

    def end(self) -> None:
        """What must happen before LMDB's transaction goes: no iterator runs on, no view is read."""
        if self.batches is not None:
            self._env._batches.pop(id(self), None)
            scan.cut(self.batches)
        if self.views is not None:
            self.views.release()

    def keep_databases(self) -> None:
        """Databases opened here live on: with the parent, or for good."""
        names, self.provisional = self.provisional, []
        if names and self.parent is not None:
            self.parent._attach().provisional += names

    def forget_databases(self) -> None:
        """Databases opened here are gone."""
        if self.provisional:
            self._env._forget_databases(self.provisional)
            self.provisional = []
