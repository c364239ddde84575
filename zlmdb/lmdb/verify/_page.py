"""Taking one page, or one sub-page, apart without trusting anything in it."""

from __future__ import annotations

from functools import reduce
from operator import le, or_
from struct import unpack_from
from typing import NamedTuple

from zlmdb.lmdb.verify._layout import F_BIGDATA, F_DUPDATA, F_SUBDATA, NODE, Layout

_NODE_FLAGS = (F_BIGDATA, F_SUBDATA, F_DUPDATA, F_DUPDATA | F_SUBDATA)


class DamageError(Exception):
    """A page or record that cannot be used; the text says why."""


class Value(NamedTuple):
    """Where a leaf node keeps its data: node flags, offset in the page, size of the value."""

    flags: int
    offset: int
    size: int


class Page:
    """The bytes of a page (or of a sub-page inside a node), its header, and its name in problems."""

    __slots__ = ("data", "header", "layout", "name")

    def __init__(self, layout: Layout, data: bytes, name: str) -> None:
        self.layout = layout
        self.data = data
        self.name = name
        if len(data) < layout.header_size:
            raise self.damage(f"{len(data)} bytes cannot hold a page header")
        self.header = layout.header(data)

    def damage(self, text: str) -> DamageError:
        """Return an error about this page."""
        return DamageError(f"{self.name}: {text}")

    def _key_count(self) -> int:
        """Return the number of keys, which only mp_lower tells (``NUMKEYS``)."""
        count, odd = divmod(self.header.lower - self.layout.header_size + self.layout.base, 2)
        if count < 0 or odd:
            raise self._bad_bounds()
        return count

    def _bad_bounds(self) -> DamageError:
        return self.damage(f"bad mp_lower/mp_upper {self.header.lower}/{self.header.upper}")

    def _pointers(self) -> tuple[int, ...]:
        """Return the offsets of the nodes, each with room for a node header behind it."""
        header, base = self.header, self.layout.base
        count = self._key_count()
        if not header.lower <= header.upper <= len(self.data) - base:
            raise self._bad_bounds()
        if not count:
            raise self.damage("bad mp_lower/mp_upper: no keys on the page")
        pointers: tuple[int, ...] = unpack_from(f"={count}H", self.data, self.layout.header_size)
        last = len(self.data) - base - NODE.size
        if min(pointers) < header.upper or max(pointers) > last or reduce(or_, pointers) & 1:
            raise self.damage("a node pointer lies outside the node area")
        return pointers

    def _check_extents(self, pointers: tuple[int, ...], ends: list[int]) -> None:
        """Refuse nodes that overlap; a page full of them could also cost unbounded time."""
        ends.sort()
        base = self.layout.base
        starts = [pointer + base for pointer in sorted(pointers)]
        if ends[-1] > len(self.data):
            raise self.damage("a node runs past the end of the page")
        if not all(map(le, ends, starts[1:])):
            raise self.damage("nodes overlap")

    def leaf(self) -> tuple[list[bytes], list[Value]]:
        """Return the keys and the values of a leaf page."""
        data, base, align = self.data, self.layout.base, self.layout.align - 1
        unpack, big_size, make = NODE.unpack_from, self.layout.big_size, Value._make
        pointers = self._pointers()
        keys: list[bytes] = []
        values: list[Value] = []
        ends: list[int] = []
        for pointer in pointers:
            start = pointer + base
            size, flags, key_size = unpack(data, start)
            start += 8
            end = start + key_size
            keys.append(data[start:end])
            offset = end + (key_size & align)
            values.append(make((flags, offset, size)))
            if flags and flags not in _NODE_FLAGS:
                raise self.damage(f"node {len(ends)}: invalid flag combination {flags:#x}")
            ends.append(offset + (big_size if flags == F_BIGDATA else size))
        self._check_extents(pointers, ends)
        return keys, values

    def branch(self) -> tuple[list[bytes], list[int]]:
        """Return the separator keys and child page numbers of a branch page.

        The first key stands for "lower than everything"; what it holds means nothing.
        """
        data, base = self.data, self.layout.base
        pointers = self._pointers()
        keys: list[bytes] = []
        children: list[int] = []
        ends: list[int] = []
        for pointer in pointers:
            start = pointer + base
            low, high, key_size = NODE.unpack_from(data, start)
            start += NODE.size
            ends.append(start + key_size)
            keys.append(data[start : start + key_size])
            children.append(low | high << 32)
        self._check_extents(pointers, ends)
        return keys, children

    def fixed_keys(self, size: int) -> list[bytes]:
        """Return the keys of a ``P_LEAF2`` page, `size` bytes each and without node headers."""
        header, start = self.header, self.layout.header_size
        if header.pad != size or not size:
            raise self.damage(f"mp_pad {header.pad} disagrees with md_pad {size}")
        count = self._key_count()
        left = len(self.data) - start - count * size
        # mp_upper does not bound anything here, but it always moves so that this holds.
        if not count or left < 0 or (header.upper - header.lower - left) & 0xFFFF:
            raise self._bad_bounds()
        return [self.data[at : at + size] for at in range(start, start + count * size, size)]
