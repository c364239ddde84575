"""Overflow pages: values too large for a leaf page."""

from __future__ import annotations

from zlmdb.lmdb.verify._layout import MAX_DATA_SIZE, P_OVERFLOW, U32, U64
from zlmdb.lmdb.verify._page import DamageError, Page, Value
from zlmdb.lmdb.verify._pagefile import PageFile
from zlmdb.lmdb.verify._tree import Tree


def check_overflow(pages: PageFile, tree: Tree, page: Page, value: Value) -> int:
    """Check the pages of a large value and return the offset of its first byte in the file.

    An extent may be longer than its value needs: LMDB overwrites a value that got shorter within
    one transaction in place.
    """
    layout = pages.layout
    pgno: int = U64.unpack_from(page.data, value.offset)[0]
    first = pages.open(pgno)
    if first.header.flags != P_OVERFLOW:
        raise first.damage(f"not a pure overflow page: flags {first.header.flags:#x}")
    count: int = U32.unpack_from(first.data, layout.header_size - 4)[0]
    needed = layout.overflow_pages(value.size, pages.page_size)
    extent = f"overflow page {pgno}: header mp_pages {count}, its {value.size} bytes need {needed}"
    if not needed <= count <= layout.overflow_pages(MAX_DATA_SIZE, pages.page_size):
        raise DamageError(extent)
    if layout.version == 3:
        _check_node_copy(pages, page, value, count)
    if count > needed:
        tree.oversized.append(extent)
    for other in range(pgno + 1, pgno + count):
        try:
            pages.claim(other)
        except DamageError as damage:
            raise DamageError(f"{extent}: {damage}") from None
    tree.overflow += count
    return pgno * pages.page_size + layout.header_size


def _check_node_copy(pages: PageFile, page: Page, value: Value, count: int) -> None:
    """Check the extent that format v3 repeats in the node (``MDB_ovpage``)."""
    (txnid,) = U64.unpack_from(page.data, value.offset + 8)
    (op_pages,) = U64.unpack_from(page.data, value.offset + 16)
    if op_pages != count:
        raise DamageError(f"overflow op_pages {op_pages} disagrees with header mp_pages {count}")
    if txnid > pages.meta.txnid:
        raise DamageError(f"overflow op_txnid {txnid} is yet to be committed")
