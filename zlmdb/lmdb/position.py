"""The record that a cursor is at."""

from __future__ import annotations

from typing import Any

from zlmdb.lmdb._native import ffi, lib
from zlmdb.lmdb.errors import LARGE, NOTFOUND, error
from zlmdb.lmdb.iteration import Iteration
from zlmdb.lmdb.lifetime import V
from zlmdb.lmdb.scan import ITEMS, KEYS, VALUES
from zlmdb.lmdb.views import KEY_VIEWS, LENGTH_MASK, PLACE_BITS, VALUE_VIEWS

_place = lib.zl_cursor_place
_read = lib.zl_cursor_read


class Position(Iteration[V]):
    """The part of a cursor that reads the record it is at; see `Cursor`."""

    __slots__ = ("_buf",)

    _buf: Any

    def key(self) -> V:
        """The key at the cursor; b"" if it is not positioned."""
        key: V = self._part(KEYS, KEY_VIEWS)
        return key

    def value(self) -> V:
        """The value at the cursor; b"" if it is not positioned."""
        value: V = self._part(VALUES, VALUE_VIEWS)
        return value

    def item(self) -> tuple[V, V]:
        """The (key, value) at the cursor; (b"", b"") if it is not positioned."""
        if self._pytxn._views is not None:
            return self.key(), self.value()
        if self._ahead is not None:
            self._settle()
        n = _read(self._c, ITEMS)
        if n >= 0:
            end = n & 0xFFFF
            buf = self._buf
            return buf[:end], buf[end : end + (n >> 16)]
        if n == LARGE:
            pair: tuple[V, V] = tuple(self._read_pinned(ITEMS)) or (b"", b"")
            return pair
        self._check_unpositioned(n)
        return b"", b""  # type: ignore[return-value]

    def _part(self, what: int, kind: int) -> Any:
        """The key or the value at the cursor; `kind` is what says that it is wanted as a view."""
        if self._ahead is not None:
            self._settle()
        views = self._pytxn._views
        if views is None or not views.kinds & kind:
            n = _read(self._c, what)
            if n >= 0:
                return self._buf[:n]
            empty: bytes | memoryview = b""
        else:
            n = _place(self._c, what)
            if n >= 0:
                start = n >> PLACE_BITS
                return views.at(start, start + (n & LENGTH_MASK))
            empty = memoryview(b"")
        if n == LARGE:
            found = self._read_pinned(what)
            return found[0] if found else empty
        self._check_unpositioned(n)
        return empty

    def _check_unpositioned(self, code: int) -> None:
        if code != NOTFOUND and code != -50022:  # EINVAL: LMDB 0.9's word for an unpositioned cursor
            raise error("mdb_cursor_get", code)

    def _read_pinned(self, what: int) -> list[Any]:
        """[key, value], [key] or [value] at the cursor, read while LMDB is held still; [] if it is not
        positioned.
        """
        view = ffi.new("zl_view *")
        try:
            rc = lib.zl_cursor_pin(self._c, what, view)
            if rc == 0:
                return self._pinned(view, what)
        finally:
            lib.zl_unpin(view)
        self._check_unpositioned(rc if rc < 0 else -50000 - rc)
        return []

    def _pinned(self, view: Any, what: int) -> list[Any]:
        txn = self._pytxn
        out = []
        if what & KEYS:
            out.append(txn._pinned(view.key, view.klen, KEY_VIEWS))
        if what & VALUES:
            out.append(txn._pinned(view.val, view.vlen, VALUE_VIEWS))
        return out
