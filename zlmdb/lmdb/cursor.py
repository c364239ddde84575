"""Cursors: a position in a database, to move, read and write at."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic

from zlmdb.lmdb import bulk, scan
from zlmdb.lmdb._native import ffi, lib
from zlmdb.lmdb.batches import ITEMS, KEYS, VALUES
from zlmdb.lmdb.buffers import V, as_bytes, as_record
from zlmdb.lmdb.database import DUPSORT, _Database
from zlmdb.lmdb.errors import KEYEXIST, LARGE, NOTFOUND, error
from zlmdb.lmdb.handle import Handle
from zlmdb.lmdb.pool import owner
from zlmdb.lmdb.views import KEY_VIEWS, LENGTH_MASK, PLACE_BITS, VALUE_VIEWS

if TYPE_CHECKING:
    from typing import Self

    from zlmdb.lmdb.transaction import Transaction

# MDB_cursor_op
FIRST, FIRST_DUP, GET_BOTH, GET_BOTH_RANGE, LAST, LAST_DUP = 0, 1, 2, 3, 6, 7
NEXT, NEXT_DUP, NEXT_NODUP, PREV, PREV_DUP, PREV_NODUP = 8, 9, 11, 12, 13, 14
SET_KEY, SET_RANGE = 16, 17
NODUPDATA = 0x20

STAY: int = lib.ZL_STAY

_CURSOR = ffi.typeof("zl_cursor *")
_chain = chain.from_iterable
_new = owner(lib.zl_cursor_alloc, lib.zl_cursor_free)

_move = lib.zl_cursor_move
_open = lib.zl_cursor_open
_place = lib.zl_cursor_place
_read = lib.zl_cursor_read
_seek = lib.zl_cursor_seek
_start = lib.zl_cursor_start


class Cursor(Handle, Generic[V]):
    """A cursor on a database in a transaction (`mdb_cursor_open()`), at first not positioned.

    While it is not positioned, `key()`, `value()` and `item()` give empty byte strings. Any move that fails
    leaves it so. As a context manager it closes at the end; it also closes with its transaction.

    Args:
        db: The database, from `Environment.open_db()`.
        txn: The transaction.

    Raises:
        InvalidParameterError: The database is not visible in the transaction, or of another environment.
        TypeError: `db` is no database, or `txn` no transaction.
        Error: The transaction is finished.
    """

    __slots__ = ("__weakref__", "_ahead", "_batches", "_buf", "_c", "_most", "_pydb", "_pytxn")

    _ahead: scan.ReadAhead | None
    _batches: set[scan.ReadAhead]
    _buf: Any
    _c: Any
    _most: int
    _pydb: _Database
    _pytxn: Transaction[V]

    def __init__(self, db: _Database, txn: Transaction[V]) -> None:
        self._ahead = None
        self._most = scan.FIRST_BATCH
        self._pydb = db
        self._pytxn = txn
        try:
            self._buf = txn._slot.buf
        except AttributeError:
            raise TypeError(f"txn must be a Transaction, not {type(txn).__name__}") from None
        self._batches = txn._attach().watched()
        self._c = _new(_CURSOR)
        rc = _open(self._c, txn._c, txn._pyenv._dbi_of(db))
        if rc:
            raise error("mdb_cursor_open", rc)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the cursor (`mdb_cursor_close()`). Harmless on a closed one."""
        self._drop_batch()
        lib.zl_cursor_close(self._c)

    # -- moving --

    def first(self) -> bool:
        """Move to the first record (MDB_FIRST); False if the database is empty."""
        return self._go(FIRST)

    def last(self) -> bool:
        """Move to the last record (MDB_LAST), of a dupsort database the last value of the last key."""
        return self._go(LAST)

    def next(self) -> bool:
        """Move to the next record (MDB_NEXT), from an unpositioned cursor to the first; False at the end."""
        return self._go(NEXT)

    def prev(self) -> bool:
        """Move to the previous record (MDB_PREV), from an unpositioned cursor to the last; False at the
        beginning.
        """
        return self._go(PREV)

    def first_dup(self) -> bool:
        """Move to the first value of the current key (MDB_FIRST_DUP).

        Raises:
            InvalidParameterError: The cursor is not positioned, or the database is not dupsort.
        """
        return self._go(FIRST_DUP)

    def last_dup(self) -> bool:
        """Move to the last value of the current key (MDB_LAST_DUP); raises as `first_dup()`."""
        return self._go(LAST_DUP)

    def next_dup(self) -> bool:
        """Move to the next value of the current key (MDB_NEXT_DUP); False after the last."""
        return self._go(NEXT_DUP)

    def prev_dup(self) -> bool:
        """Move to the previous value of the current key (MDB_PREV_DUP); False before the first."""
        return self._go(PREV_DUP)

    def next_nodup(self) -> bool:
        """Move to the first value of the next key (MDB_NEXT_NODUP)."""
        return self._go(NEXT_NODUP)

    def prev_nodup(self) -> bool:
        """Move to the last value of the previous key (MDB_PREV_NODUP)."""
        return self._go(PREV_NODUP)

    def set_key(self, key: bytes) -> bool:
        """Move to a key (MDB_SET_KEY); False if there is none.

        Raises:
            BadValsizeError: The key is empty.
        """
        return self._find(SET_KEY, key)

    def set_key_dup(self, key: bytes, value: bytes) -> bool:
        """Move to a (key, value) pair of a dupsort database (MDB_GET_BOTH)."""
        return self._find_pair(GET_BOTH, key, value)

    def set_range(self, key: bytes) -> bool:
        """Move to the first key that is not below `key` (MDB_SET_RANGE); an empty key means the first of
        all.
        """
        if type(key) is not bytes:
            key = as_bytes(key, "key")
        return self._find(SET_RANGE, key) if key else self.first()

    def set_range_dup(self, key: bytes, value: bytes) -> bool:
        """Move to the first value of `key` that is not below `value` (MDB_GET_BOTH_RANGE)."""
        return self._find_pair(GET_BOTH_RANGE, key, value)

    def get(self, key: bytes, default: Any = None) -> Any:
        """Move to a key and return its value, or `default` if there is none."""
        return self.value() if self.set_key(key) else default

    # -- reading --

    def key(self) -> V:
        """Return the key at the cursor; b"" if it is not positioned."""
        key: V = self._part(KEYS, KEY_VIEWS)
        return key

    def value(self) -> V:
        """Return the value at the cursor; b"" if it is not positioned."""
        value: V = self._part(VALUES, VALUE_VIEWS)
        return value

    def item(self) -> tuple[V, V]:
        """Return the (key, value) at the cursor; (b"", b"") if it is not positioned."""
        if self._pytxn._views is not None:
            return self.key(), self.value()
        if self._ahead is not None:
            self._synchronise()
        n = _read(self._c, ITEMS)
        if n >= 0:
            end = n & 0xFFFF
            buf = self._buf
            return buf[:end], buf[end : end + (n >> 16)]
        if n == LARGE:
            pair: tuple[V, V] = tuple(self._read_pinned(ITEMS)) or (b"", b"")
            return pair
        self._check_unpositioned(n)
        return b"", b""  # type: ignore[return-value]

    def count(self) -> int:
        """Return the number of values of the current key (`mdb_cursor_count()`).

        Raises:
            IncompatibleError: The database is not dupsort.
            InvalidParameterError: The cursor is not positioned.
        """
        if self._ahead is not None:
            self._synchronise()
        out = ffi.new("size_t *")
        rc = lib.zl_cursor_count(self._c, out)
        if rc:
            raise error("mdb_cursor_count", rc)
        return int(out[0])

    def getmulti(
        self,
        keys: Iterable[bytes],
        dupdata: bool = False,
        dupfixed_bytes: int | None = None,
        keyfixed: bool = False,
        values: bool = True,
    ) -> Any:
        """Read many keys at once. Missing ones are skipped.

        Args:
            keys: The keys.
            dupdata: Give every value of a key, not only the first.
            dupfixed_bytes: The length of each value of a dupfixed database, in bytes: values are then read a
                page at a time.
            keyfixed: All keys have one length, too: return one buffer of packed key and value pairs, as for a
                NumPy structured array.
            values: With False, the keys that exist are returned, and no value is read.

        Returns:
            A list of (key, value); with `keyfixed` a memoryview; with `values=False` a list of keys.

        Raises:
            TypeError: `keyfixed` without `dupfixed_bytes`, one of these without `dupdata`, or `dupdata`
                without values; `dupfixed_bytes` is not an integer.
            ValueError: `keyfixed` with keys of different lengths.
            OverflowError: `dupfixed_bytes` is negative.
        """
        return bulk.get_many(self, keys, dupdata, dupfixed_bytes, keyfixed, values)

    # -- iterating --

    def iternext(self, keys: bool = True, values: bool = True) -> Iterator[Any]:
        """Iterate from the current record to the end; from the first one if the cursor is not positioned.

        The iterator moves the cursor itself: the record it gave last is the cursor's current one, and moving
        the cursor moves the iterator. At the end the cursor is not positioned.

        Args:
            keys: Include keys.
            values: Include values.

        Returns:
            An iterator of (key, value), or of keys or values alone.
        """
        return self._iterate(NEXT, keys, values, FIRST)

    def iterprev(self, keys: bool = True, values: bool = True) -> Iterator[Any]:
        """Iterate from the current record to the beginning; from the last one if the cursor is not
        positioned.
        """
        return self._iterate(PREV, keys, values, LAST)

    def iternext_nodup(self, keys: bool = True, values: bool = False) -> Iterator[Any]:
        """Iterate over keys upwards, with the first value of each."""
        return self._iterate(NEXT_NODUP, keys, values, FIRST)

    def iterprev_nodup(self, keys: bool = True, values: bool = False) -> Iterator[Any]:
        """Iterate over keys downwards, with the last value of each."""
        return self._iterate(PREV_NODUP, keys, values, LAST)

    def iternext_dup(self, keys: bool = False, values: bool = True) -> Iterator[Any]:
        """Iterate over the values of the current key upwards; nothing if the cursor is not positioned."""
        return self._iterate(NEXT_DUP, keys, values, STAY)

    def iterprev_dup(self, keys: bool = False, values: bool = True) -> Iterator[Any]:
        """Iterate over the values of the current key downwards; nothing if the cursor is not positioned."""
        return self._iterate(PREV_DUP, keys, values, STAY)

    def __iter__(self) -> Iterator[tuple[V, V]]:
        return self.iternext()

    # -- writing --

    def put(
        self, key: bytes, value: bytes, dupdata: bool = True, overwrite: bool = True, append: bool = False
    ) -> bool:
        """Store a record (`mdb_cursor_put()`) and move to it; arguments and errors as for
        `Transaction.put()`. Where that returns False, move to the record that stands in the way.
        """
        if type(key) is not bytes or type(value) is not bytes:
            key, value = as_record(key, value)
        self._pytxn._synchronise()
        flags = bulk.put_flags(dupdata, overwrite, append, self._pydb._flags & DUPSORT)
        rc = lib.zl_cursor_put(self._c, key, len(key), value, len(value), flags)
        if rc == 0:
            return True
        if rc == KEYEXIST:
            return False
        raise self._pytxn._pyenv._record_error("mdb_cursor_put", rc, key, value)

    def delete(self, dupdata: bool = False) -> bool:
        """Delete the current record (`mdb_cursor_del()`); the cursor then stands on the next one.

        Args:
            dupdata: In a dupsort database, delete all values of the key.

        Returns:
            False if the cursor is not positioned.
        """
        self._pytxn._synchronise()
        rc = lib.zl_cursor_del(self._c, NODUPDATA if dupdata else 0)
        if rc == 0:
            return True
        if rc == NOTFOUND:
            return False
        raise error("mdb_cursor_del", rc)

    def replace(self, key: bytes, value: bytes) -> bytes | None:
        """Store a record and return the value that it replaces, or None.

        In a dupsort database all values of the key are replaced, and the first of them is returned. It is
        bytes also in a transaction with `buffers=True`: the page it was on is about to change.
        """
        key, value = as_record(key, value)
        old = None
        if self.set_key(key):
            old = bytes(self.value())
            if self._pydb._flags & DUPSORT:
                self.delete(dupdata=True)
        self.put(key, value)
        return old

    def pop(self, key: bytes) -> bytes | None:
        """Delete a key and return its value as bytes, or None; in a dupsort database, its first value."""
        if not self.set_key(key):
            return None
        old = bytes(self.value())
        self.delete()
        return old

    def putmulti(
        self,
        items: Iterable[tuple[bytes, bytes]],
        dupdata: bool = True,
        overwrite: bool = True,
        append: bool = False,
    ) -> tuple[int, int]:
        """Store many records, several in a call; arguments as for `put()`.

        Args:
            items: (key, value) tuples. What reads the transaction when it is iterated over should do so from
                the first item on: then it sees each item before the next is asked for.
            dupdata: As for `put()`.
            overwrite: As for `put()`.
            append: As for `put()`.

        Returns:
            (consumed, added): the number of items, and of those that `put()` would have answered with True.

        Raises:
            TypeError: An item is not a tuple of two buffers; the ones before it are stored.
            IncompatibleError: A key is the name of a database; some of the other items are stored.
            Error: As `Transaction.put()`.
        """
        flags = bulk.put_flags(dupdata, overwrite, append, self._pydb._flags & DUPSORT)
        return bulk.put_many(self, items, flags)

    # -- how it moves, and stays where its reader is --

    def _go(self, op: int) -> bool:
        if self._ahead is not None:
            self._synchronise()
        rc = _move(self._c, op)
        if rc == 0:
            return True
        if rc == NOTFOUND:
            return False
        raise error("mdb_cursor_get", rc)

    def _find(self, op: int, key: bytes) -> bool:
        if type(key) is not bytes:
            key = as_bytes(key, "key")
        if self._ahead is not None:
            self._drop_batch()
        rc = _seek(self._c, op, key, len(key))
        if rc == 0:
            return True
        if rc == NOTFOUND:
            return False
        raise self._pytxn._pyenv._record_error("mdb_cursor_get", rc, key)

    def _find_pair(self, op: int, key: bytes, value: bytes) -> bool:
        key, value = as_bytes(key, "key"), as_bytes(value, "value")
        self._drop_batch()
        rc = lib.zl_cursor_seek_pair(self._c, op, key, len(key), value, len(value))
        if rc == 0:
            return True
        if rc == NOTFOUND:
            return False
        raise error("mdb_cursor_get", rc)

    def _seek_below(self, stop: bytes | None) -> bool:
        """Move to the last record whose key is below `stop`; to the last of all if it is None."""
        if stop and self.set_range(stop):
            return self.prev()
        return stop != b"" and self.last()

    def _bound(self, kind: int, limit: bytes | None) -> None:
        if limit and lib.zl_cursor_bound(self._c, kind, limit, len(limit)):
            raise MemoryError

    def _iterate(self, op: int, keys: bool, values: bool, start: int) -> Iterator[Any]:
        if self._ahead is not None:
            self._synchronise()
        rc = _start(self._c, start)
        if rc and rc != NOTFOUND:
            raise error("mdb_cursor_get", rc)
        what = (ITEMS if values else KEYS) if keys or not values else VALUES
        return _chain(scan.new_scan(self, op, what, self._most))

    def _synchronise(self) -> None:
        """Stand where a scan over this cursor has brought its reader."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            ahead.synchronise()
            self._most = ahead.delivered // ahead.width or 1
            self._batches.discard(ahead)

    def _drop_batch(self) -> None:
        """Move away from where a scan has read ahead."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            ahead.invalidate()
            self._most = ahead.delivered // ahead.width or 1
            self._batches.discard(ahead)

    # -- how it reads --

    def _part(self, what: int, kind: int) -> Any:
        """Return the key or the value at the cursor; `kind` is what says that it is wanted as a view."""
        if self._ahead is not None:
            self._synchronise()
        views = self._pytxn._views
        if views is None or not views.kinds & kind:
            n = _read(self._c, what)
            if n >= 0:
                return self._buf[:n]
            empty: bytes | memoryview = b""
        else:
            n = _place(self._c, what)
            if n >= 0:
                start = n >> PLACE_BITS
                return views.at(start, start + (n & LENGTH_MASK))
            empty = memoryview(b"")
        if n == LARGE:
            found = self._read_pinned(what)
            return found[0] if found else empty
        self._check_unpositioned(n)
        return empty

    def _check_unpositioned(self, code: int) -> None:
        if code != NOTFOUND and code != -50022:  # EINVAL: LMDB 0.9's word for an unpositioned cursor
            raise error("mdb_cursor_get", code)

    def _read_pinned(self, what: int) -> list[Any]:
        """[key, value], [key] or [value] at the cursor, read while LMDB is held still; [] if it is not
        positioned.
        """
        view = ffi.new("zl_view *")
        try:
            rc = lib.zl_cursor_pin(self._c, what, view)
            if rc == 0:
                return self._pinned(view, what)
        finally:
            lib.zl_unpin(view)
        self._check_unpositioned(rc if rc < 0 else -50000 - rc)
        return []

    def _pinned(self, view: Any, what: int) -> list[Any]:
        txn = self._pytxn
        out = []
        if what & KEYS:
            out.append(txn._pinned(view.key, view.klen, KEY_VIEWS))
        if what & VALUES:
            out.append(txn._pinned(view.val, view.vlen, VALUE_VIEWS))
        return out
