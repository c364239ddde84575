"""Which pages of a file have been seen, and as what."""

from __future__ import annotations

from collections.abc import Iterator

LIVE = 1  # reachable from a root
FREE = 2  # listed in the freeDB

_CHUNK_BITS = 8
_CHUNK = 1 << _CHUNK_BITS


class PageMap:
    """A sparse map from page number to `LIVE`, `FREE`, both, or nothing.

    Memory grows with the pages marked, never with the page numbers a hostile file invents.
    """

    def __init__(self) -> None:
        self._chunks: dict[int, bytearray] = {}

    def mark(self, pgno: int, state: int) -> int:
        """Add `state` to page `pgno` and return what the page was before."""
        chunk = self._chunks.get(pgno >> _CHUNK_BITS)
        if chunk is None:
            chunk = self._chunks[pgno >> _CHUNK_BITS] = bytearray(_CHUNK)
        slot = pgno & (_CHUNK - 1)
        before = chunk[slot]
        chunk[slot] = before | state
        return before

    def pages(self, state: int) -> Iterator[int]:
        """Yield the pages that carry `state`, ascending."""
        for index in sorted(self._chunks):
            for slot, value in enumerate(self._chunks[index]):
                if value & state:
                    yield (index << _CHUNK_BITS) + slot

    def gaps(self, first: int, last: int) -> Iterator[tuple[int, int]]:
        """Yield the runs ``(from, to)`` of unmarked pages within `first` .. `last`, ascending."""
        expected = first
        for pgno in self.pages(LIVE | FREE):
            if pgno > expected:
                yield expected, pgno - 1
            expected = pgno + 1
        if expected <= last:
            yield expected, last
