"""Compression of whole values."""

from __future__ import annotations

from collections.abc import Callable

from zlmdb.orm.errors import DependencyError, UsageError
from zlmdb.orm.parts import shown

ZLIB = 1
SNAPPY = 2


def unchanged(data: bytes) -> bytes:
    """Return the data: the compression of maps that have none."""
    return data


def compression(kind: int | None) -> tuple[Callable[[bytes], bytes], Callable[[bytes], bytes]]:
    """Return the functions that compress and decompress.

    Args:
        kind: `ZLIB`: zlib at its default level; `SNAPPY`: raw snappy blocks; None: no compression.

    Raises:
        UsageError: It is none of these.
        DependencyError: python-snappy is needed and not installed.
    """
    if kind is None:
        return unchanged, unchanged
    if type(kind) is int and kind == ZLIB:
        import zlib

        return zlib.compress, zlib.decompress
    if type(kind) is int and kind == SNAPPY:
        try:
            import snappy  # type: ignore[import-not-found,import-untyped,unused-ignore]
        except ImportError as error:
            raise DependencyError(
                "Snappy compression needs the package python-snappy; install it with: "
                "python -m pip install python-snappy"
            ) from error
        return snappy.compress, snappy.decompress
    raise UsageError(f"compress must be None, COMPRESS_ZLIB (1) or COMPRESS_SNAPPY (2), not {shown(kind)}")
