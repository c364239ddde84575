"""Ranges of keys: iteration from a key, up to a key, over a prefix, in either direction."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from zlmdb.lmdb._native import lib
from zlmdb.lmdb.buffers import as_bytes
from zlmdb.lmdb.database import INTEGERKEY, REVERSEKEY, _Database
from zlmdb.lmdb.lifetime import Lifetime, V
from zlmdb.lmdb.scan import FIRST_BATCH, ITEMS, KEYS, NEXT, PREV, VALUES, new_scan

if TYPE_CHECKING:
    from zlmdb.lmdb.cursor import Cursor


class Ranges(Lifetime[V]):
    """What a transaction offers to iterate over ranges of keys."""

    __slots__ = ()

    def items(
        self,
        start: bytes | None = None,
        stop: bytes | None = None,
        prefix: bytes | None = None,
        reverse: bool = False,
        limit: int | None = None,
        db: _Database | None = None,
    ) -> Iterator[tuple[V, V]]:
        """The records of a range of keys, in key order.

        Args:
            start: the first key of the range, included; by default the range is open below.
            stop: the end of the range, not included; by default the range is open above.
            prefix: only keys that begin with it. Not together with a database that orders keys otherwise than
                byte by byte (`reverse_key`, `integerkey`).
            reverse: walk from the end of the range down.
            limit: at most this many records.
            db: the database; by default the transaction's.

        Returns:
            An iterator of (key, value). In a dupsort database a key comes once with each of its values.

        Raises:
            ValueError: `limit` is negative, or `prefix` is used on a database that does not order by prefix.
            Error: the transaction is finished.
        """
        return _iterate(self, db, ITEMS, start, stop, prefix, reverse, limit)

    def keys(
        self,
        start: bytes | None = None,
        stop: bytes | None = None,
        prefix: bytes | None = None,
        reverse: bool = False,
        limit: int | None = None,
        db: _Database | None = None,
    ) -> Iterator[V]:
        """The keys of a range, in order, without reading values; arguments as for `items()`."""
        return _iterate(self, db, KEYS, start, stop, prefix, reverse, limit)

    def values(
        self,
        start: bytes | None = None,
        stop: bytes | None = None,
        prefix: bytes | None = None,
        reverse: bool = False,
        limit: int | None = None,
        db: _Database | None = None,
    ) -> Iterator[V]:
        """The values of a range of keys, in key order; arguments as for `items()`."""
        return _iterate(self, db, VALUES, start, stop, prefix, reverse, limit)


def successor(prefix: bytes) -> bytes | None:
    """The smallest byte string above all that begin with `prefix`; None if there is none."""
    stem = prefix.rstrip(b"\xff")
    return stem[:-1] + bytes([stem[-1] + 1]) if stem else None


def _bounds(
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


def _iterate(
    txn: Any,
    db: _Database | None,
    what: int,
    start: bytes | None,
    stop: bytes | None,
    prefix: bytes | None,
    reverse: bool,
    limit: int | None,
) -> Iterator[Any]:
    """Iterate over a range with a cursor of its own; see `Transaction.items()`."""
    if limit is not None and limit < 0:
        raise ValueError(f"limit must be >= 0, not {limit}")
    cursor: Cursor[Any] = txn.cursor(db)
    low, high = _bounds(cursor._pydb._flags, start, stop, prefix)
    if reverse:
        found = cursor._seek_below(high)
        cursor._bound(lib.ZL_BOUND_FROM, low)
    else:
        found = cursor.set_range(low) if low else cursor.first()
        cursor._bound(lib.ZL_BOUND_BELOW, high)
    if not found or high == b"":
        cursor.close()
        return iter(())
    batches = new_scan(cursor, PREV if reverse else NEXT, what, FIRST_BATCH if limit is None else limit)
    records = chain.from_iterable(batches)
    return records if limit is None else islice(records, limit)
