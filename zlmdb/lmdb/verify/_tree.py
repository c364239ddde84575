"""What is expected of a B-tree, and what was found in it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum

from zlmdb.lmdb.verify._layout import (
    DB_FLAGS,
    DUPFIXED,
    DUPSORT,
    DUPSORT_ONLY_FLAGS,
    FREE_DB_FLAGS,
    INTEGERDUP,
    INTEGERKEY,
    REVERSEDUP,
    REVERSEKEY,
    Database,
)

# A key turned into something that sorts as LMDB's comparison function would sort the key.
Rank = bytes | int
Order = Callable[[bytes], Rank]


def _lexical(key: bytes) -> Rank:  # mdb_cmp_memn
    return key


def _reverse(key: bytes) -> Rank:  # mdb_cmp_memnr
    return key[::-1]


def _integer(key: bytes) -> Rank:  # mdb_cmp_cint, mdb_cmp_long
    return int.from_bytes(key, sys.byteorder)


def _integer_dup(key: bytes) -> Rank:  # mdb_cmp_int, which reads an unsigned int of any other size
    return _integer(key if len(key) == 8 else key[:4])


def _key_order(flags: int) -> Order:
    """Return the order of the keys (``mdb_default_cmp``)."""
    if flags & REVERSEKEY:
        return _reverse
    return _integer if flags & INTEGERKEY else _lexical


def _dup_order(flags: int) -> Order:
    """Return the order of the duplicates of one key (``mdb_default_cmp``)."""
    if flags & INTEGERDUP:
        return _integer_dup if flags & DUPFIXED else _integer
    return _reverse if flags & REVERSEDUP else _lexical


class Kind(Enum):
    """The role of a tree."""

    FREE = "freeDB"
    MAIN = "main DB"
    NAMED = "named DB"
    DUP = "duplicates"


@dataclass(slots=True)
class Tree:
    """One B-tree: its record, its rules, and the counters that walking it fills."""

    kind: Kind
    name: str
    record: Database
    order: Order
    branch: int = 0
    leaf: int = 0
    overflow: int = 0
    entries: int = 0
    depths: set[int] = field(default_factory=set)  # levels at which leaves were found
    cut: bool = False  # part of the tree could not be read, so the counters say nothing
    oversized: list[str] = field(default_factory=list)  # overflow extents longer than needed

    @classmethod
    def of(cls, kind: Kind, name: str, record: Database) -> Tree:
        """Return the tree of the freeDB, the main or a named database."""
        return cls(kind, name, record, _key_order(record.flags))

    def duplicates(self, where: str, record: Database) -> Tree:
        """Return the sub-tree that holds the values of one key."""
        return Tree(Kind.DUP, f"{self.name}: {where}", record, _dup_order(self.record.flags))

    @property
    def dupsort(self) -> bool:
        """Whether a key may have several values."""
        return self.kind in (Kind.MAIN, Kind.NAMED) and bool(self.record.flags & DUPSORT)

    @property
    def may_name_databases(self) -> bool:
        """Whether nodes may hold the records of named databases."""
        return self.kind is Kind.MAIN and not self.record.flags & (DUPSORT | INTEGERKEY)

    @property
    def dup_flags(self) -> int:
        """The md_flags every sub-tree of duplicates must carry."""
        if not self.record.flags & DUPFIXED:
            return 0
        return DUPFIXED | (INTEGERKEY if self.record.flags & INTEGERDUP else 0)

    @property
    def fixed(self) -> bool:
        """Whether the leaves hold bare keys of one size (``P_LEAF2``)."""
        return self.kind is Kind.DUP and bool(self.record.flags & DUPFIXED)

    def flags_sound(self) -> bool:
        """Whether md_flags is a combination that LMDB writes."""
        flags = self.record.flags
        if self.kind is Kind.FREE:
            return bool(flags & INTEGERKEY) and not flags & ~FREE_DB_FLAGS
        if self.kind is Kind.DUP:
            return True  # compared with dup_flags of the parent instead
        return not flags & ~DB_FLAGS and (bool(flags & DUPSORT) or not flags & DUPSORT_ONLY_FLAGS)

    def miscounts(self) -> Iterator[str]:
        """Yield the counters of the record that contradict the tree, and what may explain it.

        In a dupsort database the page counters also count the sub-trees of duplicates; LMDB adds
        them when they come to be, does not subtract them when their key goes, and before 0.9.36 did
        not count them at all. There only the database's own pages are a bound, the lower one.
        """
        record = self.record
        if self.cut:
            yield from self.oversized
            return
        depths = self.depths or {0}
        if depths != {record.depth}:
            yield f"leaves at depth {sorted(depths)}, record says {record.depth}"
        if self.entries != record.entries:
            yield f"{self.entries} entries, record says {record.entries}"
        for what, found, said in (
            ("branch", self.branch, record.branch),
            ("leaf", self.leaf, record.leaf),
        ):
            if found > said or (found < said and not self.dupsort):
                yield f"{found} {what} pages, record says {said}"
        if self.overflow != record.overflow:
            yield f"{self.overflow} overflow pages, record says {record.overflow}"
            yield from self.oversized
