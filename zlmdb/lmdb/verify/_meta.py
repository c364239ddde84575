"""Reading the two meta pages, on which everything else depends."""

from __future__ import annotations

from typing import BinaryIO

from zlmdb.lmdb.verify._layout import (
    MAGIC,
    META_SIZE,
    P_META,
    U32,
    V1,
    V3,
    Layout,
    Meta,
)

_MIN_PAGE_SIZE = 256
_SWAPPED_MAGIC = int.from_bytes(MAGIC.to_bytes(4, "little"), "big")
_SNIFF = 64


class VerifyError(Exception):
    """The audit cannot start: this is not an LMDB file that this machine can read."""


def read_metas(file: BinaryIO, size: int) -> tuple[Layout, tuple[Meta, Meta]]:
    """Return the format of a data file and its two meta pages.

    Raises:
        VerifyError: They are missing, of another machine's format, or contradict each other.
    """
    layout = _detect(_read(file, 0, _SNIFF))
    first = _read_meta(file, layout, 0, 0)
    page_size = first.free.pad
    if page_size & (page_size - 1) or not _MIN_PAGE_SIZE <= page_size <= layout.max_page_size:
        raise VerifyError(f"page size {page_size} is not a power of two that LMDB supports")
    second = _read_meta(file, layout, 1, page_size)
    if second.version != first.version or second.free.pad != page_size:
        raise VerifyError("the two meta pages disagree about format or page size")
    latest = max(first, second, key=lambda meta: meta.txnid)
    # A page beyond the end of the file takes up 8 bytes in the freeDB, which is in the file.
    if not 0 < latest.last_page <= size // page_size + size // 8:
        raise VerifyError(f"last page {latest.last_page} is absurd for a file of {size} bytes")
    return layout, (first, second)


def _read(file: BinaryIO, offset: int, size: int) -> bytes:
    file.seek(offset)
    return file.read(size)


def _detect(start: bytes) -> Layout:
    """Find out which format a file begins with."""
    words = {at: U32.unpack_from(start, at)[0] for at in range(0, len(start) - 3, 4)}
    for at, word in words.items():
        if word == _SWAPPED_MAGIC:
            raise VerifyError("the file was written on a machine of the other byte order")
        if word == MAGIC:
            version = words.get(at + 4, 0)
            for layout in (V1, V3):
                if (version, at) == (layout.version, layout.header_size):
                    return layout
                if version == layout.version:
                    raise VerifyError("the file was written by a 32-bit build of LMDB")
            raise VerifyError(f"data format v{version} is not supported, only v1 and v3 are")
    raise VerifyError("not an LMDB data file: no magic number near its start")


def _read_meta(file: BinaryIO, layout: Layout, slot: int, offset: int) -> Meta:
    data = _read(file, offset, layout.header_size + META_SIZE)
    if len(data) < layout.header_size + META_SIZE:
        raise VerifyError(f"meta page {slot} is cut short by the end of the file")
    header = layout.header(data)
    meta = Meta.parse(header.pgno, data, layout.header_size)
    if not header.flags & P_META or meta.magic != MAGIC:
        raise VerifyError(f"page {slot} is not a meta page")
    return meta
