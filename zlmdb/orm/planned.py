"""Records that C lays out, in one call with their index records: the fast path.

C lays out the keys (plan.c) and writes plain data as CBOR (cbor.c): that saves most of what Python does for
a record. Whatever C or a codec refuses is passed on to the slow path (`zlmdb.orm.encoded`), which also tells
what is wrong.
"""

from __future__ import annotations

import marshal
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from uuid import UUID

from zlmdb.lmdb._fast import (
    CBOR,
    INSERT,
    KEEP,
    LAYS_OUT_RECORDS,
    PASSED_ON,
    Layouts,
    planned_put,
    put_many_planned,
    reader,
    view_reader,
)
from zlmdb.lmdb.errors import Error as LmdbError
from zlmdb.orm.indexes import is_null, stale_keys
from zlmdb.orm.parts import Uuid
from zlmdb.orm.values import Cbor

if TYPE_CHECKING:
    from zlmdb import lmdb
    from zlmdb.orm.codec import RecordCodec
    from zlmdb.orm.indexes import Index
    from zlmdb.orm.keys import Key
    from zlmdb.orm.raw import RawTransaction

K = TypeVar("K")
V = TypeVar("V")

PAUSE = 50
"""Values that are encoded in Python after one that was no plain data."""
TUPLE, NULLABLE = 0x40, 0x80
MOST_PARTS, MOST_INDEXES = 8, 12


class PlannedRecords(Generic[K, V]):
    """The records of a slot with their index records, as far as C reads and writes them.

    Args:
        codec: Of the records.
        indexes: Those that are kept.
        reads: Whether records are read here; otherwise reading is passed on.
        writes: Whether records are written here; otherwise writing is passed on.

    Attributes:
        read: Returns the value of a key in a transaction of LMDB: None if there is none, or it is empty;
            `PASSED_ON` if it cannot tell. Other exceptions than those of LMDB may mean anything.
        read_view: Does the same in a transaction with views.
        plan: How C lays out the keys; None if writing is passed on.
    """

    __slots__ = (
        "_c_key", "_codec", "_dump", "_flags", "_index_keys", "_indexes", "_pause", "_plain", "_to_write",
        "plan", "read", "read_view",
    )  # fmt: skip

    read: Callable[[lmdb.Transaction[Any] | None, K], Any]
    read_view: Callable[[lmdb.Transaction[Any] | None, K], Any]

    def __init__(
        self, codec: RecordCodec[K, V], indexes: list[Index], reads: bool = True, writes: bool = True
    ) -> None:
        self._codec = codec
        self._indexes = indexes
        self._dump = codec.dump
        self._plain = _plain_data(codec)
        self._pause = 0  # how many values are still not to be tried as plain data
        self.read, self.read_view = _readers(codec) if reads else (_pass_on, _pass_on)
        self.plan = _plan(codec, indexes) if writes else None
        # With indexes, C must not replace a record: the index records of the old one are to be deleted.
        self._flags = KEEP if indexes else 0
        self._c_key = _c_key(codec.key)
        self._index_keys = keys = [_c_index_key(index) for index in indexes]
        # Together, as each attribute takes its time.
        self._to_write = (
            planned_put(self.plan or Layouts([])), self._flags, self._plain, self._dump, self._c_key,
            keys[0] if len(keys) == 1 else None, keys,
        )  # fmt: skip

    def write(self, raw: RawTransaction, key: K, value: V, insert: bool = False) -> bool:
        """Store a record and its index records, or return False: it is passed on, and nothing was stored.

        This must not be called without a plan.

        Args:
            raw: An open write transaction.
            key: The key.
            value: The value.
            insert: Raise `zlmdb.lmdb.KeyExistsError` if there is a record already.
        """
        put, flags, plain, dump, convert, only_index, index_keys = self._to_write
        if insert:
            flags = INSERT
        if plain is not None:
            if self._pause > 0:
                self._pause -= 1
                plain = None
            else:
                flags |= CBOR
        try:
            # UUIDs, the most frequent keys that are no plain data themselves, take no call.
            c_key: Any = key if convert is None else key.int if type(key) is UUID else convert(key)  # type: ignore[attr-defined]
            data = dump(value) if plain is None else plain(value)
            if only_index is not None:
                fields = (c_key, data, only_index(value))
            else:
                fields = (c_key, data, *[index_key(value) for index_key in index_keys])
            stored = put(raw.txn, fields, flags)  # type: ignore[arg-type]
        except LmdbError:
            raise
        except Exception:  # noqa: BLE001 (raised again on the slow path, with the record that it is about)
            return False
        if stored is False:
            if plain is None:
                return False
            self._pause = PAUSE
            return self.write(raw, key, value, insert)
        if stored is not True:  # the value that is to be replaced
            stale = stale_keys(self._codec, self._indexes, raw, key, stored, value)
            if put(raw.txn, fields, flags & ~KEEP) is not True:  # type: ignore[arg-type]
                return False
            for entry_key in stale:
                raw.delete(entry_key)
        if raw.stats is not None:
            raw.stats.puts += 1 + sum(not is_null(index_key) for index_key in fields[2:])
        return True

    def write_many(
        self, raw: RawTransaction, keys: list[K], values: list[V], insert: bool
    ) -> tuple[int, int] | None:
        """Store records and their index records; return how many, and the bytes that this took.

        None is stored if one would replace another, and there are indexes or they are to be inserted. None is
        returned if they are passed on.
        """
        if self.plan is None:
            return None
        flags = KEEP if insert else self._flags
        if self._plain is not None:
            flags |= CBOR
        try:
            c_keys = keys if self._c_key is None else list(map(self._c_key, keys))
            data = list(map(self._dump if self._plain is None else self._plain, values))
            columns = (c_keys, data, *[list(map(index_key, values)) for index_key in self._index_keys])
            done = put_many_planned(raw.opened(), self.plan, columns, flags)
        except LmdbError as error:
            raw.refuse(error)
        except Exception:  # noqa: BLE001 (raised again on the slow path, with the record that it is about)
            return None
        if done is not None:
            raw.count_puts(done[0])
        return done


def _pass_on(_txn: object, _key: object) -> object:
    return PASSED_ON


def _plain_data(codec: RecordCodec[Any, V]) -> Callable[[V], Any] | None:
    """Return what makes plain data of a value that C writes as CBOR; None if Python encodes values."""
    values = codec.values
    if type(values) is not Cbor or codec.compress is not None or not LAYS_OUT_RECORDS:
        return None  # a codec of one's own may differ
    return values.plain


def _readers(codec: RecordCodec[Any, Any]) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Return the functions that read values, without and with views."""
    values, encode_key = codec.values, codec.encode_key
    if _plain_data(codec) is not None:
        read = reader(encode_key, _unmarshalled(values.restore), cbor=True)  # type: ignore[attr-defined]
        return read, read
    read = reader(encode_key, codec.load)
    if values.takes_views and codec.compress is None:
        return read, view_reader(encode_key, codec.load_view)
    return read, read


def _unmarshalled(restore: Callable[[Any], V]) -> Callable[[bytes], V]:
    loads = marshal.loads
    return lambda data: restore(loads(data))


def _plan(codec: RecordCodec[Any, Any], indexes: list[Index]) -> Layouts | None:
    """Return how C lays out the keys of records and of their index records; None if Python has to."""
    parts = [_layout(codec), *map(_index_layout, indexes)]
    layouts = [part for part in parts if part is not None]
    if not LAYS_OUT_RECORDS or len(indexes) > MOST_INDEXES or len(layouts) < len(parts):
        return None
    return Layouts(layouts)


def _layout(codec: RecordCodec[Any, Any], nullable: int = 0) -> bytes | None:
    key, prefix = codec.key, codec.prefix
    codes, parts = key.codes, len(key.parts)
    if codes is None or parts > MOST_PARTS or (parts > 1 and Uuid in key.parts) or prefix is None:
        return None
    return prefix + bytes([parts | (TUPLE if parts > 1 else 0) | nullable]) + codes.encode()


def _index_layout(index: Index) -> bytes | None:
    if index.unique or not index.codec.values.stores_key(index.owner.key):
        return None
    return _layout(index.codec, NULLABLE if index.nullable else 0)


def _c_key(key: Key[Any]) -> Callable[[Any], Any] | None:
    """Return what makes of a key what C takes; None if that is the key itself."""
    if key.parts != (Uuid,):
        return None
    return lambda value: (
        value.int if type(value) is UUID else None if value is None else ...
    )  # ... is refused


def _c_index_key(index: Index) -> Callable[[Any], Any]:
    """Return what makes of a value what C takes for the key of an index record."""
    fkey, c_key = index.fkey, _c_key(index.codec.key)
    return fkey if c_key is None else lambda value: c_key(fkey(value))
