"""Memoryviews on LMDB's own pages that cannot dangle: what `buffers=True` gives.

All views of a transaction are slices of one memoryview over the whole map, which costs far less than a
buffer for each (without a GIL: of one for each call). Weak references tell which of them are alive when the
transaction ends: these are released, and raise ValueError from then on. What a user has derived from one (a
slice, a NumPy array) cannot be found; but it keeps alive the object that exports the map, which C counts, and
so C knows how long the addresses must stay readable (views.c). That object also keeps a transaction open that
was dropped and not ended, as long as one of its views is alive.
"""

from __future__ import annotations

import functools
import os
import sys
import threading
import weakref
from collections.abc import Callable
from pickle import PickleBuffer
from typing import Any

from zlmdb.lmdb._native import ffi, lib
from zlmdb.lmdb.errors import closed, error
from zlmdb.lmdb.pool import owner

VALUES_ONLY = "values"
"""As the argument `buffers` of a transaction: views for values, bytes for keys."""

PLACE_BITS: int = lib.ZL_PLACE_BITS
LENGTH_MASK = (1 << PLACE_BITS) - 1
KEY_VIEWS: int = lib.ZL_KEY_VIEWS
VALUE_VIEWS: int = lib.ZL_VALUE_VIEWS

NOWHERE = 2**64 - 1
"""In place of where something begins: there is nothing."""

FEW_VIEWS = 256

SHARED = "t" not in getattr(sys, "abiflags", "")
"""Whether all threads may slice one memoryview. Without a GIL, CPython's count of its slices gets lost
(https://github.com/python/cpython/issues/155606), and the map would seem to be exported no longer."""

_MAP = ffi.typeof("zl_map *")
_ref = weakref.ref
_sifting = threading.Lock()


def _sift(refs: list[weakref.ref[Any]]) -> int:
    """Drop references to the dead, while other threads may append.

    Returns:
        How many there may be before it is worth while again.
    """
    with _sifting:
        count = len(refs)
        refs[:count] = [ref for ref in refs[:count] if ref() is not None]
    return 2 * len(refs) + FEW_VIEWS


def _after_fork_in_child() -> None:
    """A thread that the child does not have may hold the lock."""
    global _sifting  # noqa: PLW0603
    _sifting = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


def _buffers_hash() -> bool:
    try:
        hash(memoryview(ffi.buffer(ffi.new("char[]", 1))).toreadonly())
    except TypeError:
        return False
    return True


BUFFERS_HASH = _buffers_hash()
"""Whether memoryviews over CFFI's buffers have hashes, as they have on PyPy. CPython hashes a memoryview only
if it can hash what exports the memory, too; there ctypes exports it."""

HOLDS_TRANSACTION = not BUFFERS_HASH
"""Whether the object that exports the map can hold a transaction. Elsewhere, one that is dropped needs a
finalizer in Python, which releases its views.
"""


@functools.lru_cache(maxsize=16)
def _exporting_class(size: int) -> Any:
    import ctypes  # as late as this: it takes some time

    body = {"__slots__": ("map", "txn"), "__hash__": object.__hash__}
    return type("Map", (ctypes.c_ubyte * size,), body)


def _new_exporter(c: Any) -> Callable[[Any], Any]:
    """A function that makes, for the handle of a transaction, an object that exports the map: all that the
    map may grow to.

    Args:
        c: the environment's handle.

    Raises:
        Error: the environment is closed.
    """
    size = ffi.new("size_t *")
    rc = lib.zl_env_map_size(c, size)
    if rc:
        raise error("mdb_env_info", rc)
    try:
        used = owner(functools.partial(lib.zl_map_take, c), lib.zl_map_leave)(_MAP, {"rest": size[0] - 1})
    except MemoryError:  # another thread closes the environment
        raise closed() from None
    if BUFFERS_HASH:
        buffer = ffi.buffer(used)
        return lambda _txn: buffer
    new, address = _exporting_class(size[0]).from_address, int(ffi.cast("uintptr_t", used))

    def new_exporter(txn: Any) -> Any:
        exporter = new(address)
        exporter.map = used
        exporter.txn = txn
        return exporter

    return new_exporter


class MapViews:
    """What an environment knows of the views on its map.

    Args:
        c: the environment's handle.
        keep: views stay readable when their transaction ends.
    """

    __slots__ = ("_c", "_keeps", "_kept", "_limit", "_new_exporter", "_number", "_open")

    def __init__(self, c: Any, keep: bool = False) -> None:
        self._c = c
        self._keeps = keep
        self._kept: dict[int, KeptViews] = {}
        """By what comes as a view."""
        self._new_exporter: Callable[[Any], Any] | None = None
        """For the map that is in use, once one was needed."""
        self._number = 0
        """Of the map that is in use."""
        self._open: dict[int, weakref.ref[Views]] = {}
        """Of transactions that may be open, some of which were dropped."""
        self._limit = FEW_VIEWS

    def keep(self, buffers: bool | str) -> Views:
        """The views of all transactions that have the same `buffers`: they are kept."""
        views = KeptViews(self, buffers, self._c)
        return self._kept.setdefault(views.kinds, views)

    def export(self, views: Views, txn: Any) -> Any:
        """The object that exports the map for the views of a transaction, given its handle.

        Raises:
            Error: the environment is closed, or gives up this map just now.
        """
        number = self._number
        self._open[id(views)] = _ref(views)
        if len(self._open) > self._limit:
            self._sift()
        new = self._new_exporter
        if new is None:
            new = self._new_exporter = _new_exporter(self._c)
        if self._number != number:  # release() may not have seen it
            self._new_exporter = None
            self.ended(views)
            raise closed()
        return new(txn)

    def _sift(self) -> None:
        for key, reference in list(self._open.items()):
            if reference() is None:
                self._open.pop(key, None)
        self._limit = 2 * len(self._open) + FEW_VIEWS

    def ended(self, views: Views) -> None:
        """The transaction has ended, and its views with it."""
        self._open.pop(id(views), None)

    def replace(self) -> None:
        """Another map takes the place of this one: release the views on it, unless they are kept."""
        if not self._keeps:
            self.release()
            return
        self._number += 1
        self._new_exporter = None
        for views in list(self._kept.values()):
            views.renew()

    def release(self) -> None:
        """The map goes: release the views of open transactions, and those that were kept.

        For what is left of any view, C keeps the addresses.
        """
        self._number += 1
        for kept in list(self._kept.values()):
            kept.close()
        for reference in list(self._open.values()):
            views = reference()
            if views is not None:
                views.release()
        self._new_exporter = None


def _release(view: memoryview, holds: bool) -> None:
    """Release a view; what exports the map for it no longer holds the transaction, if it does so far."""
    try:
        if holds:
            view.obj.txn = None  # type: ignore[attr-defined]
        view.release()
    except (BufferError, ValueError):  # something exports it, and keeps the exporter alive; or it is released
        pass


class Views:
    """The views that a transaction hands out.

    Args:
        of_map: the views on the map of the environment.
        buffers: as for the transaction, and not false.
        c: the transaction's handle.

    Raises:
        ValueError: `buffers` is a string other than "values".
    """

    __slots__ = ("__weakref__", "_base", "_c", "_ended", "_limit", "_of_map", "_refs", "kinds")

    def __init__(self, of_map: MapViews, buffers: bool | str, c: Any) -> None:
        self.kinds = KEY_VIEWS | VALUE_VIEWS
        """What comes as a view, as `zl_cursor_fill()` takes it."""
        if buffers is not True and isinstance(buffers, str):
            if buffers != VALUES_ONLY:
                raise ValueError(f'buffers must be True, False or "{VALUES_ONLY}", not {buffers!r:.40}')
            self.kinds = VALUE_VIEWS
        self._of_map = of_map
        self._base: memoryview | None = None
        self._refs: list[weakref.ref[memoryview]] = []
        self._limit = FEW_VIEWS
        self._ended = False
        self._c = c

    def _open(self) -> memoryview:
        if self._ended:
            raise closed()
        exporter = self._of_map.export(self, self._c)
        # As plain bytes: ctypes would have the format "<B", for which there is no hash.
        view = memoryview(exporter) if BUFFERS_HASH else PickleBuffer(exporter).raw()
        base = view.toreadonly()
        if SHARED:
            self._base = base
        return base

    def at(self, start: int, end: int) -> memoryview:
        """A view on a part of the map, where the transaction has just found something.

        Raises:
            Error: the transaction has ended meanwhile.
        """
        base = self._base
        if base is None:
            base = self._open()
        try:
            view = base[start:end]
        except ValueError:
            raise closed() from None
        refs = self._refs
        refs.append(_ref(view))
        if len(refs) > self._limit:
            self._limit = _sift(refs)
        if self._ended:
            self._too_late()
        return view

    def at_places(self, places: list[int]) -> list[Any]:
        """Views on parts of the map, which are given by where each begins and ends; otherwise as `at()`."""
        base = self._base
        if base is None:
            base = self._open()
        numbers = iter(places)
        try:
            views = [base[start:end] for start, end in zip(numbers, numbers, strict=True)]
        except ValueError:
            raise closed() from None
        refs = self._refs
        refs.extend(map(_ref, views))
        if len(refs) > self._limit:
            self._limit = _sift(refs)
        if self._ended:
            self._too_late()
        return views

    def _too_late(self) -> None:
        """Another thread has ended the transaction, maybe before it could see the latest views."""
        self.release()
        raise closed()

    def release(self) -> None:
        """The transaction ends: its views raise ValueError from now on. Calling it again is harmless."""
        self._end()

    def _end(self) -> None:
        self._ended = True
        try:
            self._release_all()
        except BaseException:  # of a signal's handler, which is heard once all is done
            self._end()
            raise

    def _release_all(self) -> None:
        base = self._base
        if base is not None:
            _release(base, HOLDS_TRANSACTION)
            self._base = None
        elif SHARED and not self._refs:
            return  # there are no views
        holds = HOLDS_TRANSACTION and not SHARED
        for reference in self._refs[:]:
            view = reference()
            if view is not None:
                _release(view, holds)
        self._refs = []
        self._of_map.ended(self)

    def resume(self) -> None:
        """The transaction goes on, and may give other views: its end was refused."""
        self._ended = False

    if not HOLDS_TRANSACTION:

        def __del__(self) -> None:
            self.release()


class KeptViews(Views):
    """The views that all transactions of an environment hand out which is to keep them: they end with it."""

    __slots__ = ()

    def release(self) -> None:
        """A transaction ends: nothing becomes of its views."""

    def renew(self) -> None:
        """Another map takes the place of this one, of which the views stay."""
        self._base = None
        self._of_map.ended(self)

    def close(self) -> None:
        """The environment closes."""
        self._end()
