"""The records of the freeDB: which pages each transaction set free."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterator
from itertools import chain

from zlmdb.lmdb.verify._layout import F_BIGDATA, U64
from zlmdb.lmdb.verify._overflow import check_overflow
from zlmdb.lmdb.verify._page import DamageError, Page, Value
from zlmdb.lmdb.verify._pagefile import PageFile
from zlmdb.lmdb.verify._pagemap import FREE, LIVE
from zlmdb.lmdb.verify._tree import Tree

_BLOCK = 1 << 20  # bytes of a record looked at in one go; a multiple of 8


class FreeList:
    """Checks freeDB records and marks the pages they list."""

    def __init__(self, pages: PageFile) -> None:
        self._pages = pages
        # Records with room but without pages: legal, unless pages turn out to be missing.
        self.hollow: list[str] = []

    def check(self, tree: Tree, page: Page, keys: list[bytes], values: list[Value]) -> None:
        """Check the records on a leaf page of the freeDB."""
        for key, value in zip(keys, values, strict=True):
            tree.entries += 1
            record = f"freeDB: record {int.from_bytes(key[:8], sys.byteorder)}"
            try:
                self._check_record(tree, record, page, key, value)
            except DamageError as damage:
                self._pages.report(f"{record}: {damage}")
                tree.cut = True

    def _check_record(self, tree: Tree, record: str, page: Page, key: bytes, value: Value) -> None:
        if len(key) != U64.size:
            raise DamageError(f"its key has {len(key)} bytes, not 8")
        (txnid,) = U64.unpack(key)
        if not 0 < txnid <= self._pages.meta.txnid:
            raise DamageError("that transaction was never committed")
        if value.flags & ~F_BIGDATA:
            raise DamageError(f"invalid flag combination {value.flags:#x}")
        blocks = self._blocks(tree, page, value)
        (count,) = next(blocks)
        room, rest = divmod(value.size - U64.size, U64.size)
        if count == room and not rest:
            self._mark(record, blocks)
            return
        mismatch = f"page count {count} does not match value size {value.size}"
        if count or rest:
            raise DamageError(mismatch)
        # LMDB reserves records before it knows how much will be left to put into them.
        self.hollow.append(f"{record}: {mismatch}")

    def _blocks(self, tree: Tree, page: Page, value: Value) -> Iterator[array[int]]:
        """Yield the numbers of a record in blocks: the first holds the page count alone."""
        if value.size < U64.size:
            raise DamageError(f"page count missing: does not match value size {value.size}")
        if value.flags & F_BIGDATA:
            start = check_overflow(self._pages, tree, page, value)
            read = self._pages.read
        else:
            start = value.offset
            data = page.data

            def read(offset: int, size: int) -> bytes:
                return data[offset : offset + size]

        end = start + value.size
        yield array("Q", read(start, U64.size))
        for offset in range(start + U64.size, end, _BLOCK):
            yield array("Q", read(offset, min(_BLOCK, end - offset)))

    def _mark(self, record: str, blocks: Iterator[array[int]]) -> None:
        """Note the pages of one record, which must descend strictly (``MDB_IDL``)."""
        pages = self._pages
        above = pages.meta.last_page + 1
        for pgno in chain.from_iterable(blocks):
            if not pages.in_range(pgno):
                pages.report(f"{record} lists out-of-range page {pgno}")
                continue
            if pgno >= above:
                pages.report(f"{record}: page {pgno} after page {above}: not strictly descending")
            above = pgno
            before = pages.seen.mark(pgno, FREE)
            if before & LIVE:
                pages.report_conflict(pgno)
            if before & FREE:
                pages.report(f"{record}: page {pgno} is listed more than once")
