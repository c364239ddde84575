"""Many records in one call: `getmulti` and `putmulti`."""

from __future__ import annotations

import marshal
from array import array
from collections.abc import Iterable, Iterator
from itertools import islice
from operator import index
from typing import TYPE_CHECKING, Any

from zlmdb.lmdb import batches
from zlmdb.lmdb._native import ffi, lib
from zlmdb.lmdb.buffers import as_bytes, as_record
from zlmdb.lmdb.database import ABOVE_LENGTH, DUPSORT
from zlmdb.lmdb.errors import KEYEXIST, LARGE, NOTFOUND, error
from zlmdb.lmdb.views import KEY_VIEWS, NOWHERE, VALUE_VIEWS, Views

if TYPE_CHECKING:
    from zlmdb.lmdb.cursor import Cursor
    from zlmdb.lmdb.transaction import Transaction

NODUPDATA = 0x20
NOOVERWRITE = 0x10
APPEND = 0x20000
APPENDDUP = 0x40000

GET_MULTIPLE, NEXT_DUP, NEXT_MULTIPLE = 5, 9, 10  # MDB_cursor_op

MARSHAL_VERSION = 2
"""The last one that writes every object in full, without references."""
BATCH_BYTES = 256 * 1024
SORTED_BYTES = 4 * 1024 * 1024
"""C sorts a batch where it may: the more there are, the more of them are neighbours."""
FIRST_BATCH, MOST_ITEMS, GROWTH = 64, 32768, 8

MOST_KEYS = 8192
"""Of `getmulti`, which looks up no more at a time."""
_CONTAINERS = {list, tuple}
"""These run no code of the caller's when they are iterated over."""
WRITTEN: int = lib.ZL_WRITTEN
_BAD_ITEM: int = lib.ZL_BAD_ITEM

_dumps = marshal.dumps
_get_many = lib.zl_get_many
_put_many = lib.zl_put_many
_put_records = lib.zl_put_records


def put_flags(dupdata: bool, overwrite: bool, append: bool, dupsort: int) -> int:
    """LMDB's flags for a write to a database with or without the flag DUPSORT."""
    flags = 0 if dupdata else NODUPDATA
    if not overwrite:
        flags |= NOOVERWRITE
    if append:
        flags |= APPENDDUP if dupsort else APPEND
    return flags


# -- putmulti --


def put_many(cursor: Cursor[Any], items: Iterable[Any], flags: int) -> tuple[int, int]:
    """Store the items; see `Cursor.putmulti()`."""
    sorts = not (flags & APPEND or cursor._pydb._flags & DUPSORT)
    if sorts or batches.IN_BATCHES:
        consumed, added = _put_batches(cursor, items, flags, SORTED_BYTES if sorts else BATCH_BYTES)
    else:
        consumed, added = _put_each(cursor, items, flags)
    if not consumed:
        cursor.key()  # a closed cursor refuses even that
    return consumed, added


def _put_each(cursor: Cursor[Any], items: Iterable[Any], flags: int) -> tuple[int, int]:
    consumed = added = 0
    for item in items:
        added += _put_one(cursor, item, flags)
        consumed += 1
    return consumed, added


def _put_batches(cursor: Cursor[Any], items: Iterable[Any], flags: int, room: int) -> tuple[int, int]:
    source = iter(items)
    consumed = added = 0
    size, most = (FIRST_BATCH if type(items) in _CONTAINERS else 1), MOST_ITEMS
    failure: BaseException | None = None
    while failure is None:
        batch: list[Any] = []
        uses = _uses(cursor)
        try:
            batch.extend(islice(source, size))
        except BaseException as problem:  # noqa: BLE001 (raised again, once what came before is stored)
            failure = problem
        if not batch:
            break
        if _uses(cursor) != uses + 1:  # by the source, which has to see each item that came before
            most = 1
        stored, length = _put_batch(cursor, batch, flags)
        consumed += len(batch)
        added += stored
        size = max(1, min(most, GROWTH * size, size * room // (length + 1)))
    if failure is not None:
        raise failure
    return consumed, added


def _uses(cursor: Cursor[Any]) -> int:
    return int(lib.zl_txn_uses(cursor._pytxn._slot.c))


def _put_batch(cursor: Cursor[Any], batch: list[Any], flags: int) -> tuple[int, int]:
    """(items added, bytes of all)."""
    done = added = size = 0
    step = len(batch)
    while done < len(batch):
        part = batch[done : done + step]
        count, stored, length = _put_plain(cursor, part, flags)
        step *= GROWTH
        if count < len(part):  # the next item needs a closer look, and so may those after it
            stored += _put_one(cursor, part[count], flags)
            count += 1
            step = 1
        done += count
        added += stored
        size += length
    return added, size


def _put_plain(cursor: Cursor[Any], batch: list[Any], flags: int) -> tuple[int, int, int]:
    """(items consumed, items added, bytes), up to the first item that is not a plain pair."""
    data, lengths = _marshalled(batch) if batches.IN_BATCHES else _joined(batch)
    cursor._pytxn._synchronise()
    result = ffi.new("uint32_t[2]")
    pairs = len(lengths) // 2 if lengths else 0
    rc = _put_many(cursor._c, data, len(data), lengths, pairs, flags, result)
    if rc and rc != _BAD_ITEM:
        raise cursor._pytxn._pyenv._record_error("mdb_cursor_put", rc, *batch[result[0]])
    return result[0], result[1], len(data)


def _marshalled(batch: list[Any]) -> tuple[bytes, Any]:
    """A batch in the format of marshal; nothing if that does not know a type of object in it."""
    try:
        return _dumps(batch, MARSHAL_VERSION), ffi.NULL
    except ValueError:
        return b"", ffi.NULL


def _joined(batch: list[Any]) -> tuple[bytes, Any]:
    """Keys and values end to end, and their lengths, up to the first item that is not a pair of bytes."""
    parts: list[bytes] = []
    for item in batch:
        if type(item) is not tuple or len(item) != 2:
            break
        key, value = item
        if type(key) is not bytes or type(value) is not bytes or (len(key) | len(value)) >> 31:
            break
        parts.append(key)
        parts.append(value)
    return b"".join(parts), ffi.from_buffer("uint32_t[]", array("I", map(len, parts)))


def _put_one(cursor: Cursor[Any], item: Any, flags: int) -> int:
    """Store an item; 1 if it was added."""
    if type(item) is not tuple or len(item) != 2:
        raise TypeError(f"putmulti() takes (key, value) tuples, not {item!r:.80}")
    key, value = as_bytes(item[0], "key"), as_bytes(item[1], "value")
    cursor._pytxn._synchronise()
    rc = lib.zl_cursor_put(cursor._c, key, len(key), value, len(value), flags)
    if rc and rc != KEYEXIST:
        raise cursor._pytxn._pyenv._record_error("mdb_cursor_put", rc, key, value)
    return int(rc == 0)


# -- a record and what goes with it --


def put_records(txn: Transaction[Any], records: tuple[bytes, ...], overwrite: bool = False) -> bytes | None:
    """Store records that belong together in one call, in the transaction's database.

    Args:
        txn: A write transaction on a database without duplicates.
        records: Keys and values in turn.
        overwrite: Replace existing records; otherwise nothing is stored if the first key exists.

    Returns:
        The value of the first key if that kept the records from being stored, else None.

    Raises:
        BadValsizeError: A key is empty or too long; nothing is stored.
        MapFullError: The map is full; the transaction must be aborted.
        Error: As `Transaction.put()`.
    """
    if txn._cleanup is not None:
        txn._synchronise()
    try:
        data = _dumps(records, MARSHAL_VERSION)
    except ValueError:  # something of more than 2 GiB
        return _put_records_singly(txn, records, overwrite)
    n = _put_records(txn._c, data, len(data), 0 if overwrite else NOOVERWRITE)
    if n == WRITTEN:
        return None
    if n >= 0:
        return txn._kept(n)
    if n == LARGE:
        return bytes(txn.get(records[0]))
    if n == _BAD_ITEM:
        return _put_records_singly(txn, records, overwrite)
    raise txn._pyenv._record_error("mdb_put", n, max(records[::2], key=len))


def _put_records_singly(txn: Transaction[Any], records: tuple[bytes, ...], overwrite: bool) -> bytes | None:
    """What `put_records()` does, for what marshal does not write; other types are refused as by put()."""
    pairs = [as_record(key, value) for key, value in zip(records[::2], records[1::2], strict=True)]
    if not overwrite and (old := txn.get(pairs[0][0])) is not None:
        return bytes(old)
    for key, value in pairs:
        txn.put(key, value)
    return None


# -- getmulti --


def get_many(
    cursor: Cursor[Any],
    keys: Iterable[Any],
    dupdata: bool,
    dupfixed_bytes: int | None,
    keyfixed: bool,
    values: bool,
) -> Any:
    """Read the keys; see `Cursor.getmulti()`."""
    size = 0 if dupfixed_bytes is None else index(dupfixed_bytes)
    if size < 0:
        raise OverflowError("dupfixed_bytes must be >= 0")
    if (size or keyfixed) and not dupdata:
        raise TypeError("dupfixed_bytes and keyfixed need dupdata=True")
    if keyfixed and not size:
        raise TypeError("keyfixed needs dupfixed_bytes")
    if dupdata and not values:
        raise TypeError("values=False gives keys only, it does not go with dupdata=True")
    wanted = [key if type(key) is bytes else as_bytes(key, "key") for key in keys]
    if not wanted:
        cursor.key()  # a closed cursor refuses even that
    if keyfixed:
        return _packed(cursor, wanted, size)
    if size:
        return [pair for key in wanted for pair in _fixed_values(cursor, key, size)]
    if dupdata:
        return [pair for key in wanted if cursor.set_key(key) for pair in cursor.iternext_dup(keys=True)]
    if wanted:
        cursor.set_key(wanted[-1])  # where reading one key after the other ends
    views = cursor._pytxn._views
    find = _lookup if views is None or not views.kinds & KEY_VIEWS else _one_by_one
    return find(cursor, wanted, bool(values))


def _lookup(cursor: Cursor[Any], wanted: list[bytes], values: bool) -> list[Any]:
    pairs = lookup(cursor._pytxn, cursor._pydb._dbi, wanted, values)
    return pairs if values else [key for key, _ in pairs]


def _one_by_one(cursor: Cursor[Any], wanted: list[bytes], values: bool) -> list[Any]:
    return [cursor.item() if values else cursor.key() for key in wanted if cursor.set_key(key)]


def lookup(
    txn: Transaction[Any], dbi: int, wanted: list[bytes], values: bool = True
) -> list[tuple[bytes, bytes]]:
    """(key, value) of each of the keys that exists; an empty value without `values`."""
    out: list[tuple[bytes, Any]] = []
    most = MOST_KEYS if txn._views is None else batches.MOST_VIEWS
    for begin in range(0, len(wanted), most):
        part = wanted[begin : begin + most]
        found, complete = _lookup_part(txn, dbi, part, values)
        pairs = zip(part, found, strict=True)
        out.extend(pairs if complete else (pair for pair in pairs if pair[1] is not None))
    return out


def _lookup_part(txn: Transaction[Any], dbi: int, part: list[bytes], values: bool) -> tuple[list[Any], bool]:
    """The value of each key, None for a missing one; and whether all were found."""
    views = txn._views if values else None
    what = batches.KEYS if not values else batches.VALUES if views is None else batches.VALUES | VALUE_VIEWS
    keys = marshal.dumps(part, MARSHAL_VERSION)
    at, left = ffi.new("size_t *", 5), ffi.new("uint32_t *", len(part))
    found: list[Any] = []
    hits, hit = 0, ffi.new("uint32_t *")
    chunk = batches.take_chunk()
    while left[0]:
        rc = _get_many(txn._c, dbi, keys, len(keys), at, left, what, chunk.c, hit)
        if rc == LARGE:
            key = part[len(found)]
            found.append(txn._get_pinned(key, len(key) | dbi << ABOVE_LENGTH, None))
            hits += found[-1] is not None
            _skip(keys, at, left)
            continue
        if rc:
            raise error("mdb_get", rc)
        found += chunk.decode() if views is None else _views(views, chunk, hit[0])
        hits += hit[0]
    batches.give_chunk(chunk)
    return found, hits == len(part)


def _views(views: Views, chunk: batches.Chunk, hits: int) -> list[Any]:
    places = chunk.places(chunk.c.count)
    found = views.at_places(places)
    if hits == len(found):
        return found
    return [None if start == NOWHERE else view for start, view in zip(places[::2], found, strict=True)]


def _skip(keys: bytes, at: Any, left: Any) -> None:
    """Step over one key of a marshal list."""
    at[0] += 5 + int.from_bytes(keys[at[0] + 1 : at[0] + 5], "little")
    left[0] -= 1


def _pages(cursor: Cursor[Any], key: bytes) -> Iterator[bytes]:
    """The values of a key of a dupfixed database, packed, a page at a time."""
    if not cursor.set_key(key):
        return
    view = ffi.new("zl_view *")
    op = GET_MULTIPLE
    while True:
        try:
            rc = lib.zl_cursor_multiple(cursor._c, op, view)
            page = ffi.buffer(view.val, view.vlen)[:] if rc == 0 else b""
        finally:
            lib.zl_unpin(view)
        if rc:
            break
        yield page
        op = NEXT_MULTIPLE
    if rc != NOTFOUND:
        raise error("mdb_cursor_get", rc)


def _fixed_values(cursor: Cursor[Any], key: bytes, size: int) -> Iterator[tuple[bytes, bytes]]:
    for page in _pages(cursor, key):
        if len(page) % size:
            raise ValueError(f"dupfixed_bytes={size} is not the length of this database's values")
        for start in range(0, len(page), size):
            yield key, page[start : start + size]


def _packed(cursor: Cursor[Any], wanted: list[bytes], size: int) -> memoryview:
    if len({len(key) for key in wanted}) > 1:
        raise ValueError("keyfixed needs keys of one length")
    return memoryview(
        b"".join(part for key in wanted for pair in _fixed_values(cursor, key, size) for part in pair)
    )
