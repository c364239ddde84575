"""Memoryviews on LMDB's own pages that cannot dangle: what `buffers=True` gives.

All views of a transaction are slices of one memoryview over the whole map, which costs far less than a
buffer for each (without a GIL: of one for each call). Weak references tell which of them are alive when the
transaction ends: these are released, and raise ValueError from then on. What a user has derived from one (a
slice, a NumPy array) cannot be found; but it keeps alive the object that exports the map, and so the
environment knows whether the map must stay readable.
"""

from __future__ import annotations

import functools
import sys
import threading
import weakref
from collections.abc import Callable
from pickle import PickleBuffer
from typing import Any

from zlmdb.lmdb._native import ffi, lib
from zlmdb.lmdb.errors import closed, error

VALUES_ONLY = "values"
"""As the argument `buffers` of a transaction: views for values, bytes for keys."""

PLACE_BITS: int = lib.ZL_PLACE_BITS
LENGTH_MASK = (1 << PLACE_BITS) - 1
KEY_VIEWS: int = lib.ZL_KEY_VIEWS
VALUE_VIEWS: int = lib.ZL_VALUE_VIEWS

NOWHERE = 2**64 - 1
"""In place of where something begins: there is nothing."""

UNMAP: int = lib.ZL_UNMAP
KEEP_ADDRESSES: int = lib.ZL_KEEP_ADDRESSES
"""Of a former map: zeros can be read there."""
KEEP_FILE: int = lib.ZL_KEEP_FILE
"""It stays as it is until the environment closes."""

FEW = 256

SHARED = "t" not in getattr(sys, "abiflags", "")
"""Whether all threads may slice one memoryview. Without a GIL, CPython's count of its slices gets lost
(https://github.com/python/cpython/issues/155606), and the map would seem to be exported no longer."""

_ref = weakref.ref
_sifting = threading.Lock()


def _sift(refs: list[weakref.ref[Any]]) -> int:
    """Drop references to the dead, while other threads may append.

    Returns:
        How many there may be before it is worth while again.
    """
    if _sifting.acquire(blocking=False):  # never waited for: a forked child may find it locked for good
        try:
            count = len(refs)
            refs[:count] = [ref for ref in refs[:count] if ref() is not None]
        finally:
            _sifting.release()
    return 2 * len(refs) + FEW


def _forget(refs: list[weakref.ref[Any]], dead: weakref.ref[Any]) -> None:
    """Drop a reference, unless another thread sifts just now."""
    if _sifting.acquire(blocking=False):
        try:
            refs.remove(dead)
        except ValueError:  # release() has taken it
            pass
        finally:
            _sifting.release()


def _buffers_hash() -> bool:
    try:
        hash(memoryview(ffi.buffer(ffi.new("char[]", 1))).toreadonly())
    except TypeError:
        return False
    return True


BUFFERS_HASH = _buffers_hash()
"""Whether memoryviews over CFFI's buffers have hashes, as they have on PyPy. CPython hashes a memoryview only
if it can hash what exports the memory, too; there ctypes exports it."""


@functools.lru_cache(maxsize=16)
def _exporting_class(size: int) -> Any:
    import ctypes  # as late as this: it takes some time

    return type("Map", (ctypes.c_ubyte * size,), {"__slots__": (), "__hash__": object.__hash__})


def _exporting(pointer: Any, size: int) -> Callable[[], Any]:
    """A function that makes objects which export the memory of a map."""
    if BUFFERS_HASH:
        return functools.partial(ffi.buffer, pointer, size)
    return functools.partial(_exporting_class(size).from_address, int(ffi.cast("uintptr_t", pointer)))


class MapViews:
    """What an environment knows of the views on its map.

    Args:
        c: the environment's handle.
        keep: views stay readable when their transaction ends.
    """

    __slots__ = ("_c", "_keeps", "_kept", "_left", "_left_limit", "_map", "_map_number", "_open")

    def __init__(self, c: Any, keep: bool = False) -> None:
        self._c = c
        self._keeps = keep
        self._kept: dict[int, KeptViews] = {}
        """By what comes as a view."""
        self._map: tuple[Callable[[], Any] | None, int] = None, -1
        self._map_number = 0
        """Of the map that is in use; the one that `_map` knows may be a former one."""
        self._open: dict[Views, Any] = {}
        self._left: list[weakref.ref[Any]] = []
        self._left_limit = FEW

    def keep(self, buffers: bool | str) -> Views:
        """The views of all transactions that have the same `buffers`: they are kept."""
        views = KeptViews(self, buffers)
        return self._kept.setdefault(views.kinds, views)

    def export(self, views: Views) -> Any:
        """The object that exports the map for the views of a transaction: all that the map may grow to.

        Raises:
            Error: the environment is closed, or gives up this map just now.
        """
        wanted = self._map_number
        new, number = self._map
        if new is None or number != wanted:
            out = ffi.new("zl_view *")
            rc = lib.zl_env_map(self._c, out)
            if rc:
                raise error("mdb_env_info", rc)
            new = _exporting(out.val, out.vlen)
            self._map = new, wanted
        exporter = self._open.setdefault(views, new())
        if self._map_number != wanted:  # release() may not have seen it
            del exporter
            self.ended(views)
            raise closed()
        return exporter

    def ended(self, views: Views) -> None:
        """The transaction has ended; its exporter lives on if something does that was derived from a view.

        At every moment release() finds it in one place or the other.
        """
        exporter = self._open.get(views)
        if exporter is None:
            return
        left = _ref(exporter)
        self._left.append(left)
        self._open.pop(views, None)
        del exporter
        if left() is None:
            _forget(self._left, left)
        elif len(self._left) > self._left_limit:
            self._left_limit = _sift(self._left)

    def replace(self) -> int:
        """Another map takes the place of this one. What is to become of this one, as C takes it."""
        if not self._keeps:
            return self.release()
        self._map_number += 1
        for views in list(self._kept.values()):
            views.renew()
        return KEEP_FILE

    def release(self) -> int:
        """The map goes: release the views of open transactions, and those that were kept.

        Returns:
            What is to become of it, as C takes it. The address range must stay if something derived from a
            view, of these or of earlier transactions, is alive, or another thread is about to release some.
        """
        self._map_number += 1
        for kept in list(self._kept.values()):
            kept.close()
        for views in list(self._open):
            views.release()
        unfinished = bool(self._open)
        left, self._left = self._left, []
        in_use = unfinished or any(exporter() is not None for exporter in left)
        return KEEP_ADDRESSES if in_use else UNMAP


class Views:
    """The views that a transaction hands out.

    Args:
        of_map: the views on the map of the environment.
        buffers: as for the transaction, and not false.

    Raises:
        ValueError: `buffers` is a string other than "values".
    """

    __slots__ = ("_base", "_ended", "_limit", "_of_map", "_refs", "kinds")

    def __init__(self, of_map: MapViews, buffers: bool | str) -> None:
        self.kinds = KEY_VIEWS | VALUE_VIEWS
        """What comes as a view, as `zl_cursor_fill()` takes it."""
        if buffers is not True and isinstance(buffers, str):
            if buffers != VALUES_ONLY:
                raise ValueError(f'buffers must be True, False or "{VALUES_ONLY}", not {buffers!r:.40}')
            self.kinds = VALUE_VIEWS
        self._of_map = of_map
        self._base: memoryview | None = None
        self._refs: list[weakref.ref[memoryview]] = []
        self._limit = FEW
        self._ended = False

    def _open(self) -> memoryview:
        if self._ended:
            raise closed()
        exporter = self._of_map.export(self)
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
        self._ended = True
        base = self._base
        if base is not None:
            base.release()
            self._base = None
        elif SHARED and not self._refs:
            return  # there are no views
        refs, self._refs = self._refs, []
        while refs:
            try:
                view = refs.pop()()
                if view is not None:
                    view.release()
            except (BufferError, IndexError):  # something exports it, and keeps the exporter alive; or
                continue  # another thread does the same
        self._of_map.ended(self)

    def resume(self) -> None:
        """The transaction goes on, and may give other views: its end was refused."""
        self._ended = False


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
        super().release()
