"""Iteration: records come from C in batches, while every cursor seems to move one record at a time.

A scan asks C for a batch of records ahead of the reader and hands out plain list iterators over it, so that
delivering a record costs no call of ours. LMDB's cursor meanwhile stands on the last record of the batch.
Whatever needs the true position (another cursor method, a write in the transaction) first calls
`ReadAhead.synchronise()`, which empties the list under the reader, and puts LMDB's cursor back on the
record that the reader saw last; the scan then continues from there with a new, small batch. Batches double
while they are consumed whole, and a cursor's next scan begins with as many records as its last one has
delivered, so that a loop that writes as it reads, or stops early, wastes little.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from zlmdb.lmdb._native import lib
from zlmdb.lmdb.batches import ITEMS, MOST_RECORDS, Chunk, chunks, give_chunk, take_chunk
from zlmdb.lmdb.errors import LARGE, error
from zlmdb.lmdb.views import KEY_VIEWS, VALUE_VIEWS, Views

if TYPE_CHECKING:
    from zlmdb.lmdb.cursor import Cursor

ADVANCE: int = lib.ZL_ADVANCE

NEXT, PREV = 8, 12  # MDB_cursor_op

FIRST_BATCH, AFTER_SYNCHRONISING = 16, 1
MOST_VIEWS_AT_ONCE = 128
"""With more, each batch of views and weak references to them would set off the garbage collector."""
MOST_ABANDONED = 16
"""So many cursors that were dropped in the middle of a batch may wait for others to be noticed."""

_fill = lib.zl_cursor_fill
_rewind = lib.zl_cursor_rewind
_ref = weakref.ref


class ReadAhead:
    """What a scan has read ahead of its reader, from the cursor `c` by moves of `op`.

    `Scan.__next__()` makes it, without the cost of a constructor.
    """

    __slots__ = ("_c", "_op", "cursor", "delivered", "invalidated", "items", "iterator", "unseen", "width")

    cursor: weakref.ref[Cursor[Any]]
    _c: Any
    _op: int
    width: int
    """Items of a record."""
    items: list[Any]
    iterator: Any
    delivered: int
    """Items of all batches so far."""
    unseen: bool
    """The reader has seen no record of the scan before this batch; once it is invalidated, none at all."""
    invalidated: bool

    def refill(self, items: list[Any], iterator: Any) -> None:
        """The next batch."""
        self.items = items
        self.iterator = iterator
        self.delivered += len(items)
        self.unseen = False

    def invalidate(self) -> int:
        """Take back the items that the reader has not seen; how many."""
        left: int = self.iterator.__length_hint__()
        if left:
            self.unseen = self.unseen and left == len(self.items)
            self.delivered -= left
            self.items.clear()
        else:
            self.unseen = False
        self.invalidated = True
        return left

    def synchronise(self) -> None:
        """Invalidate, and put LMDB's cursor on the record that the reader has seen last."""
        if self.invalidated:
            return
        left = self.invalidate()
        if left:
            _rewind(self._c, self._op & ~ADVANCE, left // self.width - self.unseen)


def _emptied(batches: set[ReadAhead]) -> Iterator[ReadAhead]:
    """The batches, each taken out; another thread may take some at the same time."""
    with suppress(KeyError):
        while True:
            yield batches.pop()


def add(batches: set[ReadAhead], ahead: ReadAhead) -> None:
    """Add a batch, and drop those whose cursors were dropped, if they may be many."""
    batches.add(ahead)
    if len(batches) > MOST_ABANDONED:
        for other in list(batches):
            if other.cursor() is None:
                batches.discard(other)


def invalidate(batches: set[ReadAhead]) -> None:
    """The transaction of these batches ends: their readers meet the end of the batch, then the error."""
    for batch in _emptied(batches):
        batch.invalidate()


def synchronise(batches: set[ReadAhead]) -> None:
    """The transaction of these batches writes: LMDB adjusts the cursors, so they must stand where they
    seem to.
    """
    for batch in _emptied(batches):
        batch.synchronise()


class Scan:
    """One iteration over a cursor, as an iterator of batches to be chained; `new_scan()` makes it."""

    __slots__ = ("_ahead", "_cursor", "_most", "_op", "_what")

    _ahead: ReadAhead | None
    _cursor: Cursor[Any]
    _most: int
    """How many records to read next."""
    _op: int
    _what: int

    def __iter__(self) -> Scan:
        return self

    def __next__(self) -> Iterator[Any]:
        ahead = self._ahead
        cursor = self._cursor
        if ahead is not None and not ahead.invalidated:  # the reader has taken the last batch whole
            ahead.items.clear()  # so that the next one is written to the same memory
            self._op |= ADVANCE
            self._most *= 2
        else:
            if ahead is not None:
                self._resume(ahead)
                ahead = None
            if cursor._ahead is not None:
                cursor._synchronise()
        if self._most > MOST_RECORDS:
            self._most = MOST_RECORDS
        items = self._read(cursor, self._most, self._op)
        if not items:
            cursor._drop_batch()
            raise StopIteration
        iterator = iter(items)
        if ahead is not None:
            ahead.refill(items, iterator)
        else:
            ahead = ReadAhead()
            ahead.cursor = _ref(cursor)
            ahead._c = cursor._c
            ahead._op = self._op
            ahead.width = 2 if self._what == ITEMS else 1
            ahead.items = items
            ahead.iterator = iterator
            ahead.delivered = len(items)
            ahead.unseen = not self._op & ADVANCE
            ahead.invalidated = False
            self._ahead = cursor._ahead = ahead  # only now: another thread may use the cursor
            add(cursor._batches, ahead)
        return zip(iterator, iterator) if self._what == ITEMS else iterator  # noqa: B905 (strict= doubles the cost)

    def _resume(self, last: ReadAhead) -> None:
        """Go on where the cursor was put back."""
        self._most = AFTER_SYNCHRONISING
        if not last.unseen:
            self._op |= ADVANCE

    def _read(self, cursor: Cursor[Any], most: int, op: int) -> list[Any]:
        try:
            chunk = chunks.pop()
        except IndexError:
            chunk = Chunk()
        n = _fill(cursor._c, chunk.c, self._what, op, most)
        items = chunk.decode_alike(n) if n > MOST_RECORDS else chunk.decode() if n > 0 else []
        chunks.append(chunk)
        if n >= 0:
            return items
        if n == LARGE:
            return cursor._read_pinned(self._what)
        raise error("mdb_cursor_get", n)


class ViewScan(Scan):
    """A scan in a transaction with `buffers`."""

    __slots__ = ("_kinds", "_views")

    _kinds: int
    """What is to be views."""
    _views: Views

    def _read(self, cursor: Cursor[Any], most: int, op: int) -> list[Any]:
        chunk = take_chunk()
        n = _fill(cursor._c, chunk.c, self._what | self._kinds, op, min(most, MOST_VIEWS_AT_ONCE))
        items = self._decode(chunk, n) if n > 0 else []
        give_chunk(chunk)
        if n >= 0:
            return items
        if n != LARGE:
            raise error("mdb_cursor_get", n)
        # The cursor stands on a page that the transaction has written.
        copies = super()._read(cursor, most, op & ~ADVANCE)
        if self._what == ITEMS and not self._kinds & KEY_VIEWS:
            copies[1::2] = map(_as_view, copies[1::2])
            return copies
        return list(map(_as_view, copies))

    def _decode(self, chunk: Chunk, records: int) -> list[Any]:
        mixed = self._what == ITEMS and self._kinds == VALUE_VIEWS
        count = 2 * records if self._what == ITEMS and not mixed else records
        views = self._views.at_places(chunk.places(count))
        if not mixed:
            return views
        items: list[Any] = [None] * (2 * records)
        items[::2] = chunk.decode()
        items[1::2] = views
        return items


def _as_view(value: bytes | memoryview) -> memoryview:
    return memoryview(value) if isinstance(value, bytes) else value


def new_scan(cursor: Any, op: int, what: int, most: int) -> Scan:
    """An iteration over a cursor.

    Args:
        cursor: The positioned cursor.
        op: NEXT, PREV, or their kin for duplicates.
        what: KEYS, VALUES or ITEMS.
        most: How many records to read at first.
    """
    views = cursor._pytxn._views
    if views is None or not what * KEY_VIEWS & views.kinds:
        scan = Scan()
    else:
        scan = view_scan = ViewScan()
        view_scan._views = views
        view_scan._kinds = what * KEY_VIEWS & views.kinds
    scan._cursor = cursor
    scan._op = op
    scan._what = what
    scan._most = most
    scan._ahead = None
    return scan
