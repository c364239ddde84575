"""How a cursor iterates, and stays where its reader is."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING, Any, Generic

from zlmdb.lmdb import scan
from zlmdb.lmdb._native import lib
from zlmdb.lmdb.errors import NOTFOUND, error
from zlmdb.lmdb.handle import Handle
from zlmdb.lmdb.lifetime import V

if TYPE_CHECKING:
    from zlmdb.lmdb.transaction import Transaction

# MDB_cursor_op
FIRST, LAST = 0, 6
NEXT, NEXT_DUP, NEXT_NODUP, PREV, PREV_DUP, PREV_NODUP = 8, 9, 11, 12, 13, 14

STAY: int = lib.ZL_STAY

_chain = chain.from_iterable
_start = lib.zl_cursor_start


class Iteration(Handle, Generic[V]):
    """The part of a cursor that iterates; see `Cursor`."""

    __slots__ = ("_ahead", "_batches", "_c", "_most", "_pytxn")

    _ahead: scan.Ahead | None
    _batches: set[scan.Ahead]
    _c: Any
    _most: int
    _pytxn: Transaction[V]

    def _drop_batch(self) -> None:
        """Move away from where a scan has read ahead."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            ahead.cut()
            self._most = ahead.delivered // ahead.width or 1
            self._batches.discard(ahead)

    def _settle(self) -> None:
        """Stand where a scan over this cursor has brought its reader."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            ahead.settle()
            self._most = ahead.delivered // ahead.width or 1
            self._batches.discard(ahead)

    def _iterate(self, op: int, keys: bool, values: bool, start: int) -> Iterator[Any]:
        if self._ahead is not None:
            self._settle()
        rc = _start(self._c, start)
        if rc and rc != NOTFOUND:
            raise error("mdb_cursor_get", rc)
        what = (scan.ITEMS if values else scan.KEYS) if keys or not values else scan.VALUES
        return _chain(scan.new_scan(self, op, what, self._most))

    def iternext(self, keys: bool = True, values: bool = True) -> Iterator[Any]:
        """Iterate from the current record to the end; from the first one if the cursor is not positioned.

        The iterator moves the cursor itself: the record it gave last is the cursor's current one, and moving
        the cursor moves the iterator. At the end the cursor is not positioned.

        Args:
            keys: include keys.
            values: include values.

        Returns:
            An iterator of (key, value), or of keys or values alone.
        """
        return self._iterate(NEXT, keys, values, FIRST)

    def iterprev(self, keys: bool = True, values: bool = True) -> Iterator[Any]:
        """Iterate from the current record to the beginning; from the last one if the cursor is not
        positioned.
        """
        return self._iterate(PREV, keys, values, LAST)

    def iternext_nodup(self, keys: bool = True, values: bool = False) -> Iterator[Any]:
        """Iterate over keys upwards, with the first value of each."""
        return self._iterate(NEXT_NODUP, keys, values, FIRST)

    def iterprev_nodup(self, keys: bool = True, values: bool = False) -> Iterator[Any]:
        """Iterate over keys downwards, with the last value of each."""
        return self._iterate(PREV_NODUP, keys, values, LAST)

    def iternext_dup(self, keys: bool = False, values: bool = True) -> Iterator[Any]:
        """Iterate over the values of the current key upwards; nothing if the cursor is not positioned."""
        return self._iterate(NEXT_DUP, keys, values, STAY)

    def iterprev_dup(self, keys: bool = False, values: bool = True) -> Iterator[Any]:
        """Iterate over the values of the current key downwards; nothing if the cursor is not positioned."""
        return self._iterate(PREV_DUP, keys, values, STAY)

    def __iter__(self) -> Iterator[tuple[V, V]]:
        return self.iternext()
