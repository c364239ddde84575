"""Records are stored in one call of C, with their index records, where the kinds of keys allow it.

C lays out the keys (plan.c) and writes plain data as CBOR (cbor.c): that saves most of what Python does for
a record. Whatever C or a codec refuses is stored the long way, which also tells what is wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from zlmdb.lmdb.errors import Error as LmdbError
from zlmdb.lmdb.plain import CBOR, INSERT, KEEP, USES_PLAIN_DATA, Layouts, planned_put, put_many_planned
from zlmdb.orm.indexes import is_null, stale_keys
from zlmdb.orm.parts import Uuid

if TYPE_CHECKING:
    from zlmdb.orm.indexed import IndexedRecords
    from zlmdb.orm.indexes import Index
    from zlmdb.orm.keys import Key
    from zlmdb.orm.transaction import Transaction

    Write = Callable[[Transaction, Any, Any], bool]

PAUSE = 50
"""Values that are encoded in Python after one that was no plain data."""
TUPLE, NULLABLE = 0x40, 0x80
MOST_PARTS, MOST_INDEXES = 8, 12


class Plan(NamedTuple):
    """How C lays out the records of a map and its indexes.

    Attributes:
        layouts: Of the keys, for C.
        plain_key: Makes of a key what C takes; None if that is the key itself.
        index_keys: Make of a value what C takes for the key of an index record.
        flags: With indexes, C must not replace a record: the index records of the old one are to be deleted.
    """

    layouts: Layouts
    plain_key: Callable[[Any], Any] | None
    index_keys: list[Callable[[Any], Any]]
    flags: int


def plan_of(pmap: IndexedRecords[Any, Any]) -> Plan | None:
    """Return the plan of a map; None if its records have to be laid out in Python."""
    indexes = list(pmap._indexes.values())
    parts = [_layout(pmap), *(_index_layout(index) for index in indexes)]
    layouts = [part for part in parts if part is not None]
    if not USES_PLAIN_DATA or len(indexes) > MOST_INDEXES or len(layouts) < len(parts):
        return None
    index_keys = [_plain_index_key(index) for index in indexes]
    return Plan(Layouts(layouts), _plain_key(pmap._key), index_keys, KEEP if indexes else 0)


def _layout(pmap: IndexedRecords[Any, Any], nullable: int = 0) -> bytes | None:
    codes, parts = pmap._key.codes, len(pmap._key.parts)
    if codes is None or parts > MOST_PARTS or (parts > 1 and Uuid in pmap._key.parts) or pmap._prefix is None:
        return None
    return pmap._prefix + bytes([parts | (TUPLE if parts > 1 else 0) | nullable]) + codes.encode()


def _index_layout(index: Index) -> bytes | None:
    if index.unique or not index.pmap._values.stores_key(index.owner._key):
        return None
    return _layout(index.pmap, NULLABLE if index.nullable else 0)


def _plain_key(key: Key[Any]) -> Callable[[Any], Any] | None:
    if key.parts != (Uuid,):
        return None
    return lambda value: (
        value.int if type(value) is UUID else None if value is None else ...
    )  # ... is refused


def _plain_index_key(index: Index) -> Callable[[Any], Any]:
    fkey, plain_key = index.fkey, _plain_key(index.pmap._key)
    return fkey if plain_key is None else lambda value: plain_key(fkey(value))


def long_way(_txn: Transaction, _key: object, _value: object) -> bool:
    """Store nothing."""
    return False


def writer(pmap: IndexedRecords[Any, Any], insert: bool = False) -> Write:
    """Return a function that stores a record and its index records, or returns False: nothing was stored.

    Args:
        pmap: The map.
        insert: Store nothing if there is a record already, but raise `zlmdb.lmdb.KeyExistsError`.
    """
    plan = pmap._plan
    if plan is None:
        return long_way
    plain, dump, plain_flags = pmap._plain, pmap._dump, INSERT if insert else plan.flags
    put = planned_put(plan.layouts)
    plain_key, index_keys = plan.plain_key, plan.index_keys
    only_index = index_keys[0] if len(index_keys) == 1 else None
    pause = 0  # how many values are still not to be tried as plain data

    def write(txn: Transaction, key: Any, value: Any) -> bool:
        nonlocal pause
        if plain is None:
            in_cbor, flags = False, plain_flags
        else:
            in_cbor = pause <= 0
            flags = plain_flags | CBOR if in_cbor else plain_flags
            pause -= not in_cbor
        try:
            # UUIDs, the most frequent keys that are not plain themselves, take no call.
            c_key = key if plain_key is None else key.int if type(key) is UUID else plain_key(key)
            data = plain(value) if in_cbor else dump(value)  # type: ignore[misc]
            if only_index is not None:
                fields = (c_key, data, only_index(value))
            else:
                fields = (c_key, data, *[index_key(value) for index_key in index_keys])
            stored = put(txn._txn, fields, flags)  # type: ignore[arg-type]
        except LmdbError:
            raise
        except Exception:  # noqa: BLE001 (raised again on the long way, with the record that it is about)
            return False
        if stored is False:
            if not in_cbor:
                return False
            pause = PAUSE
            return write(txn, key, value)
        if stored is not True:  # the value that is to be replaced
            stale = stale_keys(pmap, txn, key, stored, value)
            if put(txn._txn, fields, flags & ~KEEP) is not True:  # type: ignore[arg-type]
                return False
            for entry_key in stale:
                txn.delete(entry_key)
        if txn._stats is not None:
            txn._stats.puts += 1 + sum(not is_null(index_key) for index_key in fields[2:])
        return True

    return write


def write_many(
    pmap: IndexedRecords[Any, Any], txn: Transaction, keys: list[Any], values: list[Any], insert: bool
) -> tuple[int, int] | None:
    """Store records and their index records; return how many, and the bytes that this took.

    None is stored if one would replace another, and the map has indexes or they are to be inserted. None is
    returned if they have to go the long way.
    """
    plan = pmap._plan
    if plan is None:
        return None
    flags = KEEP if insert else plan.flags
    if pmap._plain is not None:
        flags |= CBOR
    try:
        c_keys = keys if plan.plain_key is None else list(map(plan.plain_key, keys))
        data = list(map(pmap._dump if pmap._plain is None else pmap._plain, values))
        columns = (c_keys, data, *[list(map(index_key, values)) for index_key in plan.index_keys])
        done = put_many_planned(txn._opened(), plan.layouts, columns, flags)
    except LmdbError as error:
        txn._refuse(error)
    except Exception:  # noqa: BLE001 (raised again on the long way, with the record that it is about)
        return None
    if done is not None and txn._stats is not None:
        txn._stats.puts += done[0]
    return done
