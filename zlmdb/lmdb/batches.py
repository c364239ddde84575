"""Batches: records as they cross the border from C, many in a call."""

from __future__ import annotations

import marshal
import sys
from collections import Counter, deque
from collections.abc import Callable
from functools import partial
from struct import Struct
from typing import Any

from zlmdb.lmdb._native import ffi, lib

KEYS: int = lib.ZL_KEYS
VALUES: int = lib.ZL_VALUES
ITEMS: int = lib.ZL_ITEMS

CHUNK_BYTES = 128 * 1024
"""Larger chunks fall out of the processor's cache and are slower."""
MOST_RECORDS = 8192
"""Of one batch."""
FREQUENT = 4
"""How many batches of one shape, in number and lengths, make it worth while to prepare for more."""
MOST_UNPACKERS, MOST_SHAPES = 16, 256
LIST_HEAD: int = lib.ZL_LIST_HEAD
MOST_VIEWS = 1024
"""Keys and values of a batch that can be views: what a chunk has room for."""

IN_BATCHES = sys.implementation.name == "cpython"
"""Records cross the border to C in the format of marshal.

PyPy reads and writes the plain format faster.
"""

_loads = marshal.loads


class Chunk:
    """Memory that C fills with byte strings."""

    __slots__ = ("_data", "_lengths", "_places", "_view", "c", "decode")

    def __init__(self) -> None:
        self._data = ffi.new("char[]", CHUNK_BYTES + lib.ZL_SLACK)
        self._lengths = ffi.NULL if IN_BATCHES else ffi.new("uint32_t[]", 2 * MOST_RECORDS)
        self._places = ffi.new("uint64_t[]", 2 * MOST_VIEWS)
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
            shape: What C says of their number and their lengths.
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


chunks: deque[Chunk] = deque()
"""Those that no call has."""


def take_chunk() -> Chunk:
    """A chunk for one call; give it back with `give_chunk()`."""
    try:
        return chunks.pop()
    except IndexError:
        return Chunk()


give_chunk = chunks.append
