"""Iteration: records come from C in batches, while every cursor seems to move one record at a time.

A scan asks C for a batch of records ahead of the reader and hands out plain list iterators over it, so that
delivering a record costs no call of ours. LMDB's cursor meanwhile stands on the last record of the batch.
Whatever needs the true position (another cursor method, a write in the transaction) first calls
`Ahead.settle()`, which empties the list under the reader, and puts LMDB's cursor back on the record that the
reader saw last; the scan then continues from there with a new, small batch. Batches double while they are
consumed whole, and a cursor's next scan begins with as many records as its last one has delivered, so that a
loop that writes as it reads, or stops early, wastes little.
"""

from __future__ import annotations

import marshal
import sys
import weakref
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from struct import Struct
from typing import TYPE_CHECKING, Any

from zlmdb.lmdb._native import ffi, lib
from zlmdb.lmdb.errors import LARGE, error
from zlmdb.lmdb.views import KEY_VIEWS, VALUE_VIEWS, Views

if TYPE_CHECKING:
    from zlmdb.lmdb.cursor import Cursor

KEYS: int = lib.ZL_KEYS
VALUES: int = lib.ZL_VALUES
ITEMS: int = lib.ZL_ITEMS
ADVANCE: int = lib.ZL_ADVANCE

NEXT, PREV = 8, 12  # MDB_cursor_op

CHUNK_BYTES = 128 * 1024
"""Larger chunks fall out of the processor's cache and are slower."""
FIRST_BATCH, AFTER_SETTLING, MOST = 16, 1, 8192
FREQUENT = 4
"""How many batches of one shape, in number and lengths, make it worth while to prepare for more."""
MOST_UNPACKERS, MOST_SHAPES = 16, 256
LIST_HEAD: int = lib.ZL_LIST_HEAD
VIEWS_MOST = 128
"""With more, each batch of views and weak references to them would set off the garbage collector."""
MOST_ABANDONED = 16
"""So many cursors that were dropped in the middle of a batch may wait for others to be noticed."""
MOST_PLACES = 1024
"""Of keys and values: what a chunk has room for."""

IN_BATCHES = sys.implementation.name == "cpython"
"""Records cross the border to C in the format of marshal.

PyPy reads and writes the plain format faster.
"""

_fill = lib.zl_cursor_fill
_rewind = lib.zl_cursor_rewind
_loads = marshal.loads
_ref = weakref.ref


class Chunk:
    """Memory that C fills with byte strings."""

    __slots__ = ("_data", "_lengths", "_places", "_view", "c", "decode")

    def __init__(self) -> None:
        self._data = ffi.new("char[]", CHUNK_BYTES + lib.ZL_SLACK)
        self._lengths = ffi.NULL if IN_BATCHES else ffi.new("uint32_t[]", 2 * MOST)
        self._places = ffi.new("uint64_t[]", 2 * MOST_PLACES)
        self.c = ffi.new("zl_chunk *", (self._data, CHUNK_BYTES, self._lengths, 0, self._places))
        buffer = ffi.buffer(self._data)
        self._view: Any = memoryview(buffer) if IN_BATCHES else buffer
        self.decode: Callable[[], list[Any]] = (
            partial(_loads, self._view) if IN_BATCHES else self._decode_plain
        )
        """Gives the byte strings that C wrote; None where it wrote none."""

    def decode_alike(self, shape: int) -> list[Any]:
        """As `decode()`, if C says that all records have keys and values of one length.

        Args:
            shape: what C says of their number and their lengths.
        """
        unpack = _unpackers.get(shape) or _new_unpacker(shape)
        return self.decode() if unpack is None else [*unpack(self._view, LIST_HEAD)]

    def places(self, count: int) -> list[int]:
        """Where in the map `count` byte strings begin and end, in turns."""
        places: list[int] = ffi.unpack(self._places, 2 * count)
        return places

    def _decode_plain(self) -> list[Any]:
        out: list[Any] = []
        at, view, lengths = 0, self._view, self._lengths
        for index in range(self.c.count):
            length = lengths[index]
            if length == 0xFFFFFFFF:
                out.append(None)
            else:
                out.append(view[at : at + length])
                at += length
        return out


_unpackers: dict[int, Callable[[Any, int], tuple[bytes, ...]]] = {}
_sightings: Counter[int] = Counter()


def _new_unpacker(shape: int) -> Callable[[Any, int], tuple[bytes, ...]] | None:
    """A function that takes records of this shape apart, a fifth faster than marshal; None while it is not
    certain that it will be used often enough to be worth making.
    """
    _sightings[shape] += 1
    if _sightings[shape] < FREQUENT:
        if len(_sightings) > MOST_SHAPES:
            _sightings.clear()
        return None
    if len(_unpackers) >= MOST_UNPACKERS:
        _unpackers.clear()
    count, lengths = shape & (1 << lib.ZL_COUNT_BITS) - 1, shape >> lib.ZL_COUNT_BITS
    klen, vlen = lengths & (1 << lib.ZL_KEY_BITS) - 1, lengths >> lib.ZL_KEY_BITS
    record = "".join(f"{lib.ZL_BYTES_HEAD}x{length - 1}s" for length in (klen, vlen) if length)
    unpack = _unpackers[shape] = Struct("<" + record * count).unpack_from
    return unpack


_chunks: deque[Chunk] = deque()


def take_chunk() -> Chunk:
    """A chunk for one call; give it back with `give_chunk()`."""
    try:
        return _chunks.pop()
    except IndexError:
        return Chunk()


give_chunk = _chunks.append


class Ahead:
    """What a scan has read ahead of its reader, from the cursor `c` by moves of `op`.

    `Scan.__next__()` makes it, without the cost of a constructor.
    """

    __slots__ = ("_c", "_op", "cursor", "delivered", "items", "iterator", "settled", "unseen", "width")

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
    """The reader has seen no record of the scan before this batch; once settled, none at all."""
    settled: bool

    def refill(self, items: list[Any], iterator: Any) -> None:
        """The next batch."""
        self.items = items
        self.iterator = iterator
        self.delivered += len(items)
        self.unseen = False

    def cut(self) -> int:
        """Take back the items that the reader has not seen; how many."""
        left: int = self.iterator.__length_hint__()
        if left:
            self.unseen = self.unseen and left == len(self.items)
            self.delivered -= left
            self.items.clear()
        else:
            self.unseen = False
        self.settled = True
        return left

    def settle(self) -> None:
        """Cut, and put LMDB's cursor on the record that the reader has seen last."""
        if self.settled:
            return
        left = self.cut()
        if left:
            _rewind(self._c, self._op & ~ADVANCE, left // self.width - self.unseen)


def _emptied(batches: set[Ahead]) -> Iterator[Ahead]:
    """The batches, each taken out; another thread may take some at the same time."""
    with suppress(KeyError):
        while True:
            yield batches.pop()


def add(batches: set[Ahead], ahead: Ahead) -> None:
    """Add a batch, and drop those whose cursors were dropped, if they may be many."""
    batches.add(ahead)
    if len(batches) > MOST_ABANDONED:
        for other in list(batches):
            if other.cursor() is None:
                batches.discard(other)


def cut(batches: set[Ahead]) -> None:
    """The transaction of these batches ends: their readers meet the end of the batch, then the error."""
    for batch in _emptied(batches):
        batch.cut()


def settle(batches: set[Ahead]) -> None:
    """The transaction of these batches writes: LMDB adjusts the cursors, so they must stand where they
    seem to.
    """
    for batch in _emptied(batches):
        batch.settle()


class Scan:
    """One iteration over a cursor, as an iterator of batches to be chained; `new_scan()` makes it."""

    __slots__ = ("_ahead", "_cursor", "_most", "_op", "_what")

    _ahead: Ahead | None
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
        if ahead is not None and not ahead.settled:  # the reader has taken the last batch whole
            ahead.items.clear()  # so that the next one is written to the same memory
            self._op |= ADVANCE
            self._most *= 2
        else:
            if ahead is not None:
                self._resume(ahead)
                ahead = None
            if cursor._ahead is not None:
                cursor._settle()
        if self._most > MOST:
            self._most = MOST
        items = self._read(cursor, self._most, self._op)
        if not items:
            cursor._drop_batch()
            raise StopIteration
        iterator = iter(items)
        if ahead is not None:
            ahead.refill(items, iterator)
        else:
            ahead = Ahead()
            ahead.cursor = _ref(cursor)
            ahead._c = cursor._c
            ahead._op = self._op
            ahead.width = 2 if self._what == ITEMS else 1
            ahead.items = items
            ahead.iterator = iterator
            ahead.delivered = len(items)
            ahead.unseen = not self._op & ADVANCE
            ahead.settled = False
            self._ahead = cursor._ahead = ahead  # only now: another thread may use the cursor
            add(cursor._batches, ahead)
        return zip(iterator, iterator) if self._what == ITEMS else iterator  # noqa: B905 (strict= doubles the cost)

    def _resume(self, last: Ahead) -> None:
        """Go on where the cursor was settled."""
        self._most = AFTER_SETTLING
        if not last.unseen:
            self._op |= ADVANCE

    def _read(self, cursor: Cursor[Any], most: int, op: int) -> list[Any]:
        try:
            chunk = _chunks.pop()
        except IndexError:
            chunk = Chunk()
        n = _fill(cursor._c, chunk.c, self._what, op, most)
        items = chunk.decode_alike(n) if n > MOST else chunk.decode() if n > 0 else []
        _chunks.append(chunk)
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
        n = _fill(cursor._c, chunk.c, self._what | self._kinds, op, min(most, VIEWS_MOST))
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
        cursor: the positioned cursor.
        op: NEXT, PREV, or their kin for duplicates.
        what: KEYS, VALUES or ITEMS.
        most: how many records to read at first.
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
