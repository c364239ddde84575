"""Iteration: records come from C in batches, while every cursor seems to move one record at a time.

A scan asks C for a batch of records ahead of the reader and hands out plain list iterators over it, so that
delivering a record costs no call of ours. LMDB's cursor meanwhile stands on the last record of the batch. Whatever
needs the true position (another cursor method, a write in the transaction) first calls `Batch.settle()`, which
empties the list under the reader, and puts LMDB's cursor back on the record that the reader saw last; the scan then
continues from there with a new, small batch. Batches double while they are consumed whole, so that a loop that
writes as it reads wastes little.
"""

from __future__ import annotations

import marshal
import sys
from collections.abc import Iterator
from itertools import chain
from operator import length_hint
from typing import TYPE_CHECKING, Any

from zlmdb.lmdb._native import ffi, lib
from zlmdb.lmdb.buffers import as_bytes
from zlmdb.lmdb.database import INTEGERKEY, REVERSEKEY, _Database
from zlmdb.lmdb.errors import LARGE, error

if TYPE_CHECKING:
    from zlmdb.lmdb.cursor import Cursor
    from zlmdb.lmdb.transaction import Transaction

KEYS: int = lib.ZL_KEYS
VALUES: int = lib.ZL_VALUES
ITEMS: int = lib.ZL_ITEMS

NEXT, PREV = 8, 12  # MDB_cursor_op

CHUNK_BYTES = 128 * 1024
"""Larger chunks fall out of the processor's cache and are slower."""
FIRST_BATCH, AFTER_SETTLING, MOST = 16, 2, 16384
VIEWS_MOST = 512

_MARSHAL = sys.implementation.name == "cpython"
"""PyPy decodes the plain format faster."""

_fill = lib.zl_cursor_fill
_rewind = lib.zl_cursor_rewind
_NULL = ffi.NULL


class Chunk:
    """Memory that C fills with a batch of records."""

    __slots__ = ("data", "lengths", "result", "view")

    def __init__(self) -> None:
        self.data = ffi.new("char[]", CHUNK_BYTES)
        self.lengths = ffi.NULL if _MARSHAL else ffi.new("uint32_t[]", 2 * MOST)
        self.result = ffi.new("uint32_t[3]")
        buffer = ffi.buffer(self.data)
        self.view: Any = memoryview(buffer) if _MARSHAL else buffer

    def decode(self, count: int, size: int) -> list[bytes | None]:
        """The byte strings that C wrote; None where it wrote none."""
        if _MARSHAL:
            decoded: list[bytes | None] = marshal.loads(self.view[:size])
            return decoded
        out: list[bytes | None] = []
        at, view, lengths = 0, self.view, self.lengths
        for index in range(count):
            length = lengths[index]
            if length == 0xFFFFFFFF:
                out.append(None)
            else:
                out.append(view[at : at + length])
                at += length
        return out


_chunks: list[Chunk] = []


def take_chunk() -> Chunk:
    """A chunk for one call; give it back with `give_chunk()`."""
    try:
        return _chunks.pop()
    except IndexError:
        return Chunk()


def give_chunk(chunk: Chunk) -> None:
    """Keep a chunk for the next call."""
    if len(_chunks) < 8:
        _chunks.append(chunk)


class Batch:
    """Records read ahead of a scan's reader, from the cursor `c` by moves of `op`."""

    __slots__ = ("_c", "_items", "_iterator", "_op", "_total", "_width", "first", "settled", "unseen")

    def __init__(self, c: Any, op: int, items: list[Any], width: int, first: bool) -> None:
        self._c = c
        self._op = op
        self._items = items
        self._iterator = iter(items)
        self._width = width
        self._total = len(items) // width
        self.first = first
        """The reader has seen no record of the scan before this batch."""
        self.settled = False
        self.unseen = False
        """When it was settled, the reader had seen no record of the scan at all."""

    def deliver(self) -> Iterator[Any]:
        """What the reader iterates over."""
        return zip(self._iterator, self._iterator, strict=False) if self._width == 2 else self._iterator

    def cut(self) -> int:
        """Take back the records that the reader has not seen; how many."""
        self.settled = True
        left = length_hint(self._iterator) // self._width
        self._items.clear()
        return left

    def settle(self) -> None:
        """Cut, and put LMDB's cursor on the record that the reader has seen last."""
        if self.settled:
            return
        left = self.cut()
        self.unseen = self.first and left == self._total
        if left:
            _rewind(self._c, self._op, left - self.unseen)


def cut(everywhere: set[Batch], batches: set[Batch]) -> None:
    """The transaction of these batches ends: their readers meet the end of the batch, then the error."""
    for batch in list(batches):
        batch.cut()
    everywhere.difference_update(batches)
    batches.clear()


def settle(everywhere: set[Batch], batches: set[Batch]) -> None:
    """The transaction of these batches writes: LMDB adjusts the cursors, so they must stand where they seem to."""
    for batch in list(batches):
        batch.settle()
    everywhere.difference_update(batches)
    batches.clear()


class Scan:
    """One iteration over a cursor, as an iterator of batches to be chained.

    Args:
        cursor: the positioned cursor.
        op: NEXT, PREV, or their kin for duplicates.
        what: KEYS, VALUES or ITEMS.
        limit: at most this many records.
        own: the cursor belongs to the scan, which closes it at the end.
    """

    __slots__ = ("_advance", "_batch", "_cursor", "_left", "_most", "_op", "_own", "_what")

    def __init__(self, cursor: Cursor[Any], op: int, what: int, limit: int | None = None, own: bool = False) -> None:
        self._cursor = cursor
        self._op = op
        self._what = what
        self._left = sys.maxsize if limit is None else limit
        self._own = own
        self._advance = False
        self._most = FIRST_BATCH
        self._batch: Batch | None = None

    def __iter__(self) -> Scan:
        return self

    def __next__(self) -> Iterator[Any]:
        cursor = self._cursor
        self._take_stock()
        cursor._settle()
        items = self._read(min(self._most, self._left)) if self._left else []
        if not items:
            if self._own:
                cursor.close()
            raise StopIteration
        width = 2 if self._what == ITEMS else 1
        self._batch = cursor._batch = Batch(cursor._c, self._op, items, width, not self._advance)
        self._left -= len(items) // width
        cursor._pytxn._add_batch(self._batch)
        return self._batch.deliver()

    def _take_stock(self) -> None:
        """How the last batch ended decides where to go on, and how far."""
        batch, self._batch = self._batch, None
        if batch is None:
            return
        if batch.settled:
            self._advance = self._advance or not batch.unseen
            self._most = AFTER_SETTLING
        else:
            self._advance = True
            self._most = min(2 * self._most, MOST)

    def _read(self, most: int) -> list[Any]:
        cursor = self._cursor
        if cursor._pytxn._views is not None:
            return self._read_views(min(most, VIEWS_MOST))
        chunk = take_chunk()
        result = chunk.result
        rc = _fill(
            cursor._c, self._op, self._advance, self._what, most, chunk.data, CHUNK_BYTES, chunk.lengths, _NULL, result
        )
        if rc == 0:
            items: list[Any] = chunk.decode(result[0] * (2 if self._what == ITEMS else 1), result[2])
        give_chunk(chunk)
        if rc == 0:
            return items
        if rc == LARGE:
            return cursor._read_pinned(self._what)
        raise error("mdb_cursor_get", rc)

    def _read_views(self, most: int) -> list[Any]:
        cursor = self._cursor
        txn = cursor._pytxn
        views = ffi.new("zl_view[]", most)
        result = ffi.new("uint32_t[3]")
        rc = lib.zl_txn_pin(txn._c)
        if rc:
            raise error("mdb_cursor_get", rc)
        try:
            rc = _fill(cursor._c, self._op, self._advance, self._what, most, _NULL, 0, _NULL, views, result)
            if rc:
                raise error("mdb_cursor_get", rc)
            return cursor._from_views(views[0 : result[0]], self._what)
        finally:
            lib.zl_unpin(txn._c)


def successor(prefix: bytes) -> bytes | None:
    """The smallest byte string above all that begin with `prefix`; None if there is none."""
    stem = prefix.rstrip(b"\xff")
    return stem[:-1] + bytes([stem[-1] + 1]) if stem else None


def _bounds(
    flags: int, start: bytes | None, stop: bytes | None, prefix: bytes | None
) -> tuple[bytes | None, bytes | None]:
    """The range [start, stop) that the arguments of `Transaction.items()` describe together."""
    start = None if start is None else as_bytes(start, "start")
    stop = None if stop is None else as_bytes(stop, "stop")
    if flags & INTEGERKEY and any(bound is not None and len(bound) not in (4, 8) for bound in (start, stop)):
        raise ValueError("start and stop of an integerkey database must be native integers of 4 or 8 bytes")
    if prefix is None:
        return start, stop
    if flags & (INTEGERKEY | REVERSEKEY):
        raise ValueError("prefix needs a database that orders keys byte by byte, not integerkey or reverse_key")
    prefix = as_bytes(prefix, "prefix")
    end = successor(prefix)
    low = prefix if start is None else max(start, prefix)
    return low, stop if end is None else end if stop is None else min(stop, end)


def range_iterator(
    txn: Transaction[Any],
    db: _Database | None,
    what: int,
    start: bytes | None,
    stop: bytes | None,
    prefix: bytes | None,
    reverse: bool,
    limit: int | None,
) -> Iterator[Any]:
    """Iterate over a range with a cursor of its own; see `Transaction.items()`."""
    if limit is not None and limit < 0:
        raise ValueError(f"limit must be >= 0, not {limit}")
    cursor: Cursor[Any] = txn.cursor(db)
    low, high = _bounds(cursor._pydb._flags, start, stop, prefix)
    if reverse:
        found = cursor._seek_below(high)
        cursor._bound(lib.ZL_BOUND_FROM, low)
    else:
        found = cursor.set_range(low) if low else cursor.first()
        cursor._bound(lib.ZL_BOUND_BELOW, high)
    if not found or high == b"":
        cursor.close()
        return iter(())
    return chain.from_iterable(Scan(cursor, PREV if reverse else NEXT, what, limit, own=True))
