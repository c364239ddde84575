"""Functions that read records and make objects of them, for the object layer."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from zlmdb.lmdb._native import lib
from zlmdb.lmdb.errors import NOTFOUND
from zlmdb.lmdb.views import LENGTH_MASK, PLACE_BITS

if TYPE_CHECKING:
    from zlmdb.lmdb.transaction import Transaction

    Read = Callable[[Transaction[Any], Any], Any]

OTHER = object()
"""What a function of `reader()` returns if it cannot tell, and `Transaction.get()` must."""

_get = lib.zl_get
_get_place = lib.zl_get_place
_get_plain = lib.zl_get_plain


def reader(encode: Callable[[Any], bytes], load: Callable[[Any], Any], cbor: bool = False) -> Read:
    """A function that reads the value of a key; None if there is no such key, or the value is empty.

    Args:
        encode: Makes bytes of a key.
        load: Makes an object of the value, which is copied, also if the transaction has `buffers`.
        cbor: The value is CBOR, and `load` gets the marshalled object (cbor.c).
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
        encode: Makes bytes of a key.
        load: Makes an object of a view on the value.
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
