"""Records whose keys and values C makes of plain data: see plan.h and cbor.c."""

from __future__ import annotations

import marshal
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from zlmdb.lmdb._native import ffi, lib
from zlmdb.lmdb.bulk import MARSHAL_VERSION, WRITTEN
from zlmdb.lmdb.errors import KEYEXIST, LARGE

if TYPE_CHECKING:
    from typing import Self

    from zlmdb.lmdb.transaction import Transaction

    Put = Callable[[Transaction[Any], tuple[Any, ...], int], bytes | bool]

USES_PLAIN_DATA = sys.implementation.name == "cpython"
"""Elsewhere the long way is faster."""

CBOR: int = lib.ZL_CBOR
KEEP: int = lib.ZL_KEEP
INSERT: int = lib.ZL_INSERT
_LONG_WAY = {LARGE, lib.ZL_BAD_ITEM}

_dumps = marshal.dumps
_put = lib.zl_put_planned
_put_many = lib.zl_put_many_planned


class Layouts:
    """How the key of a record and those for its indexes become bytes.

    Args:
        parts: A layout for each (plan.h).
    """

    __slots__ = ("_data", "c")

    def __init__(self, parts: Sequence[bytes]) -> None:
        data = b"".join(parts)
        self._data = ffi.new("char[]", data)
        self.c = ffi.new("zl_layouts *", (self._data, len(data), len(parts)))

    def __deepcopy__(self, _memo: object) -> Self:
        return self  # it never changes


def planned_put(layouts: Layouts) -> Put:
    """A function that stores a record and its index records.

    Args:
        layouts: How the key and those for the indexes become bytes.

    Returns:
        A function of a write transaction on a database without duplicates; the key, the value, and a key for
        each index, as plain data; and flags. CBOR: the value is plain data, to be stored as CBOR; otherwise
        it is bytes. KEEP: store nothing if the record has another value, and return that. INSERT: store
        nothing if there is a record.

        It returns True: all are stored. False: the fields do not fit the layouts, and nothing is. Bytes: what
        is kept. It raises KeyExistsError if there is a record and INSERT is set; MapFullError if the map is
        full, and the transaction must be aborted; and errors as `Transaction.put()`.
    """

    def put(txn: Transaction[Any], fields: tuple[Any, ...], flags: int) -> bytes | bool:
        try:
            data = _dumps(fields, MARSHAL_VERSION)
        except ValueError:  # not plain
            return False
        if txn._cleanup is not None:
            txn._synchronise()
        n = _put(txn._c, layouts.c, data, len(data), flags)
        if n == WRITTEN:
            return True
        if n >= 0:
            return txn._kept(n)
        if n in _LONG_WAY:
            return False
        raise txn._pyenv._record_error("mdb_put", n, b"")

    return put


def put_many_planned(
    txn: Transaction[Any], layouts: Layouts, columns: tuple[list[Any], ...], flags: int
) -> tuple[int, int] | None:
    """Store many records and their index records, as `planned_put()` does.

    Args:
        txn: A write transaction on a database without duplicates.
        layouts: How the keys and those for the indexes become bytes.
        columns: The keys, the values, and keys for each index, as plain data.
        flags: CBOR: as for `planned_put()`. KEEP: store nothing if there is a record with one of the keys, or
            if two here have the same.

    Returns:
        How many records were stored, those of indexes included, and the bytes that this took: none if KEEP
        forbade it. None: nothing was stored, as the columns do not fit the layouts.

    Raises:
        MapFullError: The map is full; the transaction must be aborted.
        Error: As `Transaction.put()`.
    """
    try:
        data = _dumps(columns, MARSHAL_VERSION)
    except ValueError:  # not plain
        return None
    if txn._cleanup is not None:
        txn._synchronise()
    n = _put_many(txn._c, layouts.c, data, len(data), flags, len(columns[0]))
    if n >= 0 or n == KEYEXIST:
        return max(0, n), len(data)
    if n in _LONG_WAY:
        return None
    raise txn._pyenv._record_error("mdb_cursor_put", n, b"")
