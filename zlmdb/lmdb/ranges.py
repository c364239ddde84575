"""Ranges of keys: where they begin and end."""

from __future__ import annotations

from zlmdb.lmdb.buffers import as_bytes
from zlmdb.lmdb.database import INTEGERKEY, REVERSEKEY


def successor(prefix: bytes) -> bytes | None:
    """The smallest byte string above all that begin with `prefix`; None if there is none."""
    stem = prefix.rstrip(b"\xff")
    return stem[:-1] + bytes([stem[-1] + 1]) if stem else None


def bounds(
    flags: int, start: bytes | None, stop: bytes | None, prefix: bytes | None
) -> tuple[bytes | None, bytes | None]:
    """The range [start, stop) that the arguments of `Transaction.items()` describe together."""
    start = None if start is None else as_bytes(start, "start")
    stop = None if stop is None else as_bytes(stop, "stop")
    if flags & INTEGERKEY and any(bound is not None and len(bound) not in (4, 8) for bound in (start, stop)):
        raise ValueError("start and stop of an integerkey database must be native integers of 4 or 8 bytes")
    if prefix is None:
        return start, stop
    if flags & (INTEGERKEY | REVERSEKEY):
        raise ValueError(
            "prefix needs a database that orders keys byte by byte, not integerkey or reverse_key"
        )
    prefix = as_bytes(prefix, "prefix")
    end = successor(prefix)
    low = prefix if start is None else max(start, prefix)
    return low, stop if end is None else end if stop is None else min(stop, end)
