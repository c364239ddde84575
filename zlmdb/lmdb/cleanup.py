"""How transactions end in order: what was read ahead, views, and databases that they have opened."""

from __future__ import annotations

import os
import sys
import threading
import weakref
from typing import TYPE_CHECKING, Any

from zlmdb.lmdb import scan

if TYPE_CHECKING:
    from zlmdb.lmdb.databases import Databases
    from zlmdb.lmdb.views import Views

ENDS_IN_ONE_STEP = sys.implementation.name == "cpython" and getattr(sys, "_is_gil_enabled", lambda: True)()
"""CPython with a GIL switches threads and runs signal handlers at calls and at jumps back only: a test and
the assignment that follows are one step. Elsewhere, and where speed does not count, `handle_lock` makes them
one.
"""

handle_lock = threading.RLock()
"""Held by whoever changes from plain reads to more than that, or ends: only one may have the handle then."""

FEW_TRANSACTIONS = 64


def _after_fork_in_child() -> None:
    """A thread that the child does not have may hold the lock."""
    global handle_lock  # noqa: PLW0603
    handle_lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


class Attached:
    """The transactions of an environment that have more than plain reads and writes, as far as they are open.

    A transaction that was dropped is noticed when others come.
    """

    __slots__ = ("_limit", "_references")

    def __init__(self) -> None:
        self._references: dict[int, weakref.ref[TransactionCleanup]] = {}
        self._limit = FEW_TRANSACTIONS

    def add(self, cleanup: TransactionCleanup) -> None:
        """From now on `invalidate()` reaches what the transaction has read ahead."""
        references = self._references
        references[id(cleanup)] = weakref.ref(cleanup)
        if len(references) > self._limit:
            for key, reference in list(references.items()):
                if reference() is None:
                    references.pop(key, None)
            self._limit = 2 * len(references) + FEW_TRANSACTIONS

    def discard(self, cleanup: TransactionCleanup) -> None:
        """The transaction has ended."""
        self._references.pop(id(cleanup), None)

    def invalidate(self) -> None:
        """No iterator delivers a record from now on."""
        for reference in list(self._references.values()):
            cleanup = reference()
            if cleanup is not None and cleanup.batches is not None:
                scan.invalidate(cleanup.batches)


class TransactionCleanup:
    """What must be put in order when a transaction with more than plain reads and writes ends.

    Nothing of it is left to do for one that is dropped: iterators and cursors hold their transaction, C ends
    it and its views, and the databases that it opened are found out when somebody asks for them.

    Args:
        attached: The environment's transactions like this one.
        databases: The environment's databases.
        views: What the transaction has given away.
    """

    __slots__ = ("__weakref__", "_attached", "_databases", "_views", "batches", "parent", "provisional")

    def __init__(self, attached: Attached, databases: Databases, views: Views | None) -> None:
        self._attached = attached
        self._databases = databases
        self._views = views
        self.batches: set[scan.ReadAhead] | None = None
        """What scans have read ahead of their readers, once there are cursors."""
        self.parent: Any = None
        """The transaction that it is nested in."""
        self.provisional: list[bytes] = []
        """Names of the databases that it has opened."""

    def watched(self) -> set[scan.ReadAhead]:
        """The batches, which the environment knows of from now on: it invalidates them when it closes."""
        with handle_lock:
            if self.batches is None:
                self.batches = set()
        self._attached.add(self)
        return self.batches

    def end(self) -> None:
        """What must happen before LMDB's transaction goes: no iterator runs on, no view is read."""
        if self.batches is not None:
            self._attached.discard(self)
            scan.invalidate(self.batches)
        if self._views is not None:
            self._views.release()

    def keep_databases(self) -> None:
        """Databases opened here live on: with the parent, or for good."""
        names, self.provisional = self.provisional, []
        if not names:
            return
        if self.parent is None:
            self._databases.keep(names)
        else:
            self._databases.hand_up(names, self.parent)
            self.parent._attach().provisional += names

    def forget_databases(self) -> None:
        """Databases opened here are gone."""
        if self.provisional:
            self._databases.forget(self.provisional)
            self.provisional = []
