"""The two on-disk formats of LMDB: page headers, records and constants.

Everything is in the byte order of the machine that wrote the file and 64 bits wide. The facts come
from the structures ``MDB_page``, ``MDB_node``, ``MDB_db`` and ``MDB_meta`` in LMDB's ``mdb.c``.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import NamedTuple

MAGIC = 0xBEEFC0DE
NO_PAGE = 2**64 - 1  # P_INVALID: the root of an empty tree
META_PAGES = 2
MAX_DEPTH = 32  # CURSOR_STACK: deeper trees cannot be walked by LMDB
MAX_DATA_SIZE = 0xFFFFFFFF

# Page flags (P_*). P_DIRTY exists in format v1 only and stays set on sub-pages.
P_BRANCH, P_LEAF, P_OVERFLOW, P_META, P_DIRTY, P_LEAF2, P_SUBP = (1 << bit for bit in range(7))

# Node flags (F_*).
F_BIGDATA, F_SUBDATA, F_DUPDATA = 1, 2, 4

# Database flags (MDB_*), as stored in md_flags.
FIXEDMAP, REVERSEKEY, DUPSORT, INTEGERKEY, DUPFIXED, INTEGERDUP, REVERSEDUP = (1 << bit for bit in range(7))
ENCRYPT, NOSUBDIR = 0x2000, 0x4000
DB_FLAGS = REVERSEKEY | DUPSORT | INTEGERKEY | DUPFIXED | INTEGERDUP | REVERSEDUP
DUPSORT_ONLY_FLAGS = DUPFIXED | INTEGERDUP | REVERSEDUP
# md_flags of the freeDB also holds the low half of the environment's flags (mm_flags).
FREE_DB_FLAGS = INTEGERKEY | FIXEDMAP | ENCRYPT | NOSUBDIR

U32 = struct.Struct("=I")
U64 = struct.Struct("=Q")
NODE = struct.Struct("=IHH")  # mn_lo and mn_hi as one number, mn_flags, mn_ksize
_DB = struct.Struct("=IHH5Q")
_META_HEAD = struct.Struct("=IIQQ")


class Database(NamedTuple):
    """An ``MDB_db`` record: where a tree starts and what it should hold."""

    pad: int
    flags: int
    depth: int
    branch: int
    leaf: int
    overflow: int
    entries: int
    root: int

    @classmethod
    def parse(cls, data: bytes, offset: int = 0) -> Database:
        """Read the record at `offset` of `data`."""
        return cls._make(_DB.unpack_from(data, offset))


DATABASE_SIZE = _DB.size


class Meta(NamedTuple):
    """An ``MDB_meta``: one of the two starting points of a file."""

    pgno: int  # of the page it is on, as the page's header has it
    magic: int
    version: int
    free: Database
    main: Database
    last_page: int
    txnid: int

    @classmethod
    def parse(cls, pgno: int, data: bytes, offset: int) -> Meta:
        """Read the content at `offset` of `data`, a meta page."""
        magic, version, _address, _map_size = _META_HEAD.unpack_from(data, offset)
        offset += _META_HEAD.size
        free = Database.parse(data, offset)
        main = Database.parse(data, offset + DATABASE_SIZE)
        offset += 2 * DATABASE_SIZE
        (last_page,), (txnid,) = U64.unpack_from(data, offset), U64.unpack_from(data, offset + 8)
        return cls(pgno, magic, version, free, main, last_page, txnid)


META_SIZE = _META_HEAD.size + 2 * DATABASE_SIZE + 16


class Header(NamedTuple):
    """A page header. `txnid` is 0 in format v1, which does not record it."""

    pgno: int
    pad: int
    flags: int
    lower: int
    upper: int
    txnid: int = 0


@dataclass(frozen=True, slots=True)
class Layout:
    """What differs between data format v1 (LMDB 0.9) and v3 (LMDB 1.0)."""

    version: int
    header_size: int
    base: int  # PAGEBASE: what mp_lower, mp_upper and mp_ptrs count from
    big_size: int  # bytes of a node's data that refer to an overflow page
    align: int  # a node's key is padded to a multiple of this
    max_page_size: int
    subpage_mark: int  # a flag that stays on sub-pages and means nothing there

    def header(self, page: bytes) -> Header:
        """Read the header at the start of `page`."""
        if self.version == 1:
            return Header(*_HEADER_V1.unpack_from(page))
        pgno, txnid, pad, flags, lower, upper = _HEADER_V3.unpack_from(page)
        return Header(pgno, pad, flags, lower, upper, txnid)

    def overflow_pages(self, size: int, page_size: int) -> int:
        """Return how many pages a value of `size` bytes needs (``OVPAGES``)."""
        return (self.header_size - 1 + size) // page_size + 1


_HEADER_V1 = struct.Struct("=QHHHH")
_HEADER_V3 = struct.Struct("=QQHHHH")

V1 = Layout(1, 16, 0, 8, 1, 0x8000, P_DIRTY)
V3 = Layout(3, 24, 24, 24, 2, 0x10000, 0)
