"""Access to the pages of a file, each of which may be claimed once."""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO

from zlmdb.lmdb.verify._layout import META_PAGES
from zlmdb.lmdb.verify._meta import read_metas
from zlmdb.lmdb.verify._page import DamageError, Page
from zlmdb.lmdb.verify._pagemap import FREE, LIVE, PageMap


class PageFile:
    """The pages of the latest snapshot in a data file, and what has been seen of them.

    Args:
        file: The data file, open for reading in binary mode.
        size: Its size in bytes.
        report: Called with the text of each problem that does not stop a page from being read.

    Raises:
        VerifyError: The meta pages do not describe a file that can be walked.
    """

    def __init__(self, file: BinaryIO, size: int, report: Callable[[str], None]) -> None:
        self._file = file
        self._size = size
        self.report = report
        self.layout, self.metas = read_metas(file, size)
        self.meta = max(self.metas, key=lambda meta: meta.txnid)
        self.page_size = self.meta.free.pad
        self.seen = PageMap()

    def in_range(self, pgno: int) -> bool:
        """Whether the snapshot has a page `pgno` that is not a meta page."""
        return META_PAGES <= pgno <= self.meta.last_page

    def read(self, offset: int, size: int) -> bytes:
        """Return `size` bytes of the file."""
        self._file.seek(offset)
        data = self._file.read(size)
        if len(data) != size:
            raise DamageError(f"the file ends before offset {offset + size}: beyond EOF")
        return data

    def claim(self, pgno: int) -> None:
        """Note that page `pgno` is reachable."""
        if not self.in_range(pgno):
            raise DamageError(f"out-of-range page {pgno}, the last one is {self.meta.last_page}")
        if (pgno + 1) * self.page_size > self._size:
            raise DamageError(f"page {pgno} lies beyond EOF")
        before = self.seen.mark(pgno, LIVE)
        if before & LIVE:
            raise DamageError(f"page {pgno} is reachable more than once")
        if before & FREE:
            self.report_conflict(pgno)

    def report_conflict(self, pgno: int) -> None:
        """Report a page that a later transaction would reuse while it still holds data."""
        self.report(f"page {pgno} is both reachable and in the freeDB")

    def open(self, pgno: int) -> Page:
        """Claim page `pgno` and return it, with what all headers have in common checked."""
        self.claim(pgno)
        page = Page(self.layout, self.read(pgno * self.page_size, self.page_size), f"page {pgno}")
        if page.header.pgno != pgno:
            raise page.damage(f"its header calls it page {page.header.pgno}")
        if page.header.txnid > self.meta.txnid:
            raise page.damage(f"dirty mark: mp_txnid {page.header.txnid} is yet to be committed")
        return page
