"""Records are read: what a transaction does without a cursor, and functions that make objects of values."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from zlmdb.lmdb._native import ffi, lib
from zlmdb.lmdb.buffers import as_bytes
from zlmdb.lmdb.database import ABOVE
from zlmdb.lmdb.errors import LARGE, NOTFOUND, closed
from zlmdb.lmdb.lifetime import V
from zlmdb.lmdb.ranges import Ranges
from zlmdb.lmdb.views import LENGTH_MASK, PLACE_BITS, VALUE_VIEWS

if TYPE_CHECKING:
    from zlmdb.lmdb.database import _Database
    from zlmdb.lmdb.transaction import Transaction

    Read = Callable[[Transaction[Any], Any], Any]

OTHER = object()
"""What a function of `reader()` returns if it cannot tell, and `Transaction.get()` must."""

_get = lib.zl_get
_get_pin = lib.zl_get_pin
_get_place = lib.zl_get_place
_get_plain = lib.zl_get_plain
_unpin = lib.zl_unpin


class Reading(Ranges[V]):
    """The part of `Transaction` that reads single records."""

    __slots__ = ()

    def get(self, key: bytes, default: Any = None, db: _Database | None = None) -> Any:
        """The value of a key (`mdb_get()`); of the first of several in a dupsort database.

        Args:
            key: the key.
            default: what to return if there is none.
            db: the database; by default the transaction's.

        Returns:
            bytes, a memoryview if the transaction has `buffers=True`, or `default`.

        Raises:
            BadValsizeError: the key is empty.
            Error: the transaction is finished.
        """
        if type(key) is not bytes:
            key = as_bytes(key, "key")
        klen = len(key) if db is None else len(key) | self._pyenv._dbi_of(db) << ABOVE
        c = self._c
        if self._views is None:
            n = _get(c, key, klen)
            if n >= 0:
                value = self._slot.buf[:n]
                if self._c is c:
                    return value
        else:
            n = _get_place(c, key, klen)
            if n >= 0:
                start = n >> PLACE_BITS
                return self._views.at(start, start + (n & LENGTH_MASK))
        if self._c is not c:  # another thread has ended the transaction: this may come from the next one
            raise closed()
        if n == NOTFOUND:
            return default
        if n != LARGE:
            raise self._pyenv._record_error("mdb_get", n, key)
        return self._get_pinned(key, klen, default)

    def _get_pinned(self, key: bytes, klen: int, default: Any) -> Any:
        self._attach()
        view = ffi.new("zl_view *")
        try:
            rc = _get_pin(self._c, key, klen, view)
            if rc == 0:
                return self._pinned(view.val, view.vlen, VALUE_VIEWS)
        finally:
            _unpin(view)
        if rc == NOTFOUND:
            return default
        raise self._pyenv._record_error("mdb_get", rc, key)

    def _pinned(self, pointer: Any, length: int, kind: int) -> Any:
        """What pinned memory becomes for the user: a copy, or a view where that is wanted and safe.

        A page that this transaction has written lives outside the map and moves: it is always copied.
        """
        views = self._views
        if views is None or not views.kinds & kind:
            return ffi.buffer(pointer, length)[:]
        start = lib.zl_stable_at(self._slot.c, pointer)
        if start < 0:
            return memoryview(ffi.buffer(pointer, length)[:])
        return views.at(start, start + length)


def reader(encode: Callable[[Any], bytes], load: Callable[[Any], Any], cbor: bool = False) -> Read:
    """A function that reads the value of a key; None if there is no such key, or the value is empty.

    Args:
        encode: makes bytes of a key.
        load: makes an object of the value, which is copied, also if the transaction has `buffers`.
        cbor: the value is CBOR, and `load` gets the marshalled object (cbor.c).
    """
    get = _get_plain if cbor else _get

    def read(txn: Transaction[Any], key: Any) -> Any:
        record_key, c = encode(key), txn._c
        n = get(c, record_key, len(record_key))
        if n > 0:
            data = txn._slot.buf[:n]
            if txn._c is c:  # else it was read in a transaction of another thread
                return load(data)
        return None if n == NOTFOUND or n == 0 else OTHER

    return read


def view_reader(encode: Callable[[Any], bytes], load: Callable[[memoryview], Any]) -> Read:
    """A function like that of `reader`, for transactions with `buffers`: `load` gets a view.

    Args:
        encode: makes bytes of a key.
        load: makes an object of a view on the value.
    """

    def read(txn: Transaction[Any], key: Any) -> Any:
        record_key, views = encode(key), txn._views
        place = _get_place(txn._c, record_key, len(record_key))
        if place < 0 or views is None:
            return None if place == NOTFOUND else OTHER
        start = place >> PLACE_BITS
        view = views.at(start, start + (place & LENGTH_MASK))
        return load(view) if view else None

    return read
