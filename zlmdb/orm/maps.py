"""Persistent maps: records of one kind, in a slot of a database."""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping
from typing import TYPE_CHECKING, Any, Literal, NoReturn, TypeVar, overload

from zlmdb.lmdb.errors import BadValsizeError, KeyExistsError
from zlmdb.lmdb.errors import Error as LmdbError
from zlmdb.lmdb.reading import OTHER
from zlmdb.orm import bulk, compression
from zlmdb.orm.errors import Error, MissingRecordError, RecordExistsError, UnsupportedError, UsageError
from zlmdb.orm.indexed import IndexedRecords
from zlmdb.orm.indexes import delete_slot, remove, store
from zlmdb.orm.parts import MAX_OID, shown
from zlmdb.orm.selection import Selection
from zlmdb.orm.transaction import Transaction

if TYPE_CHECKING:
    from zlmdb.orm.keys import Key, Part
    from zlmdb.orm.values import Value

K = TypeVar("K")
V = TypeVar("V")
D = TypeVar("D")

_NO_DEFAULT: Any = object()
MAX_LIMIT = 9_999_999


class PersistentMap(IndexedRecords[K, V], MutableMapping[tuple[Transaction, K], V | None]):
    """A map of keys to values, stored in one slot of a database.

    A map is used with an open transaction: ``pmap[txn, key]``. Records are sorted by the bytes of their keys.
    The kinds of keys and values are given for a class of maps, or for a single one::

        class Visits(CborMap[tuple[UUID, np.datetime64]], key=(Uuid, Timestamp)):
            ...

        visits = PersistentMap(100, key=(Uuid, Timestamp), value=Cbor())

    Args:
        slot: The number of the slot, 1 to 65535; None for a map that belongs to no database yet.
        compress: `COMPRESS_ZLIB`, or `COMPRESS_SNAPPY` (which needs python-snappy): values are stored
            compressed, except for those of an index.
        key: The codec of keys: a `Key`, a part, or a tuple of parts; by default that of the class.
        value: The codec of values; by default that of the class.

    Raises:
        UsageError: An argument is of the wrong type or outside its range, or there are no codecs.
        DependencyError: A package that is needed is not installed.
    """

    COMPRESS_ZLIB = compression.ZLIB
    COMPRESS_SNAPPY = compression.SNAPPY
    MAX_OID = MAX_OID

    def __init__(
        self,
        slot: int | None = None,
        compress: int | None = None,
        *,
        key: Key[K] | Part[K] | tuple[Part[Any], ...] | None = None,
        value: Value[V] | type[Value[V]] | None = None,
    ) -> None:
        super().__init__(slot, compress, key, value)

    # -- single records --

    def __getitem__(self, subscript: tuple[Transaction, K | None]) -> V | None:
        """Return the value for ``pmap[txn, key]``; None if there is no record, or the stored value is empty.

        A type checker lets pass what an index may give, None included; where there is no such key, it is
        refused.

        Raises:
            UsageError: The subscript is not an open transaction and a key of the map.
            DecodeError: The record cannot be read.
        """
        # Functions that are attributes are looked up before they are called: CPython takes self.f() for a
        # method, and looks for it in the class first.
        try:
            txn, key = subscript
            read = self._read_view if txn._buffers else self._read
            value = read(txn._txn, key)  # type: ignore[arg-type]
        except Exception:  # noqa: BLE001 (raised again on the long way, with the record that it is about)
            return self._fetch(subscript)
        return self._fetch(subscript) if value is OTHER else value

    def _fetch(self, subscript: tuple[Transaction, K | None]) -> V | None:
        """Read a record the long way."""
        txn, record_key = self._locate(subscript)  # type: ignore[arg-type]
        data = txn.get(record_key)
        return self._decoded(txn, record_key, data) if data else None

    def __setitem__(self, subscript: tuple[Transaction, K], value: V | None) -> None:
        """Store a record, and its index records with it: ``pmap[txn, key] = value``.

        Raises:
            UsageError: The subscript is not an open transaction and a key of the map.
            EncodeError: The value, or the key of an index record, cannot be stored.
            NullValueConstraint: An index that is not nullable would get a null.
            UniqueValueConstraint: A unique index has the value for another record already.
            IndexFunctionError: The function of an index fails for the value, or for that which it replaces.
            IncompleteIndexError: An index lacks the records from before it was attached.
            DatabaseFullError: The database has reached its limit; the transaction must be aborted.
            ReadOnlyError: The transaction is read-only.
        """
        write = self._write
        try:
            txn, key = subscript
            if write(txn, key, value):
                return
        except LmdbError as error:
            txn._refuse(error)
        except Error:
            raise
        except (TypeError, ValueError):  # no pair: said below
            pass
        self._store(subscript, value)

    def insert(self, txn: Transaction, key: K, value: V | None) -> None:
        """Store a new record, and its index records with it; one that is there already is not replaced.

        Raises:
            RecordExistsError: There is a record with the key.
            Error: As for storing a record.
        """
        try:
            stored = self._insert(txn, key, value) or self._store((txn, key), value, overwrite=False)
        except KeyExistsError as error:
            raise self._existing(key) from error
        except LmdbError as error:
            txn._refuse(error)
        if not stored:
            raise self._existing(key)

    def _existing(self, key: K) -> RecordExistsError:
        return RecordExistsError(
            f"{self} has a record with the key {shown(key)} already, which insert does not replace"
        )

    def _store(self, subscript: tuple[Transaction, K], value: V | None, overwrite: bool = True) -> bool:
        """Store a record the long way; return False if there is one that is not to be replaced."""
        try:
            txn, key = subscript
            encode, dump, put = self._record_key, self._dump, txn._put
            record_key = encode(key)
        except Exception as error:
            raise self._bad_subscript(subscript, error) from error
        if self._unchecked:
            self._writable(txn)
        try:
            data = dump(value)  # type: ignore[arg-type]
        except Exception as error:
            raise self._unencodable(key, value, error) from error
        try:
            if self._indexes:
                return store(self, txn, key, value, record_key, data, overwrite)
            return put(record_key, data, overwrite=overwrite)
        except Error:
            raise
        except BadValsizeError as error:
            raise self._too_long(txn, record_key) from error
        except LmdbError as error:
            txn._refuse(error)

    def __delitem__(self, subscript: tuple[Transaction, K]) -> None:
        """Delete a record and its index records; nothing happens if there is none.

        Raises:
            UsageError: The subscript is not an open transaction and a key of the map.
            DecodeError: The map has indexes, and the record cannot be read.
            ReadOnlyError: The transaction is read-only.
        """
        txn, record_key = self._locate(subscript)
        if self._unchecked:
            self._use_indexes(txn)
        if self._indexes:
            remove(self, txn, subscript[1], record_key)
        else:
            txn.delete(record_key)

    def __contains__(self, subscript: object) -> bool:
        """Return whether there is a record: ``(txn, key) in pmap``.

        Raises:
            UsageError: The subscript is not an open transaction and a key of the map.
        """
        txn, record_key = self._locate(subscript)  # type: ignore[arg-type]
        return txn.get(record_key) is not None

    def get_bytes(self, txn: Transaction, key: K) -> bytes | memoryview | None:
        """Return a value in its stored form, to be passed on as it is: not compressed, but not decoded.

        Args:
            txn: An open transaction; with ``buffers=True`` the result is a view, which ends with it.
            key: The key.

        Returns:
            The bytes; None if there is no record.

        Raises:
            UsageError: The transaction is not open, or the key is not one of the map.
            DecodeError: The value cannot be decompressed.
        """
        txn, record_key = self._locate((txn, key))
        data = txn.get(record_key)
        if data is None or self._decompress is compression.unchanged:
            return data
        try:
            return self._decompress(bytes(data))
        except Exception as error:
            raise self._undecodable(record_key, error) from error

    # -- many records --

    def put_many(self, txn: Transaction, items: Iterable[tuple[K, V | None]]) -> int:
        """Store many records in one call.

        They are written in groups of some megabytes. If one is refused, it is not written, but those in the
        groups before it are.

        Args:
            txn: An open write transaction.
            items: Pairs of key and value, in any order. Of several with one key the last counts.

        Returns:
            How many pairs there were.

        Raises:
            Error: As for storing a single record.
        """
        return bulk.put_many(self, self._writable(txn), items)

    def insert_many(self, txn: Transaction, items: Iterable[tuple[K, V | None]]) -> int:
        """Store many new records in one call; none that is there already is replaced.

        They are written in groups, as by `put_many`. Of a group in which one is refused none is written, but
        those in the groups before it are: where it is to be all or none, call this in a nested transaction,
        or abort this one.

        Args:
            txn: An open write transaction.
            items: Pairs of key and value, in any order; each key once.

        Returns:
            How many records there were.

        Raises:
            RecordExistsError: There is a record with one of the keys, or two here have the same.
            Error: As for storing a single record.
        """
        return bulk.put_many(self, self._writable(txn), items, insert=True)

    def _writable(self, txn: Transaction) -> Transaction:
        """Return the transaction if records can be stored in it."""
        self._usable(txn)
        self._use_indexes(txn)
        return txn

    def get_many(self, txn: Transaction, keys: Iterable[K]) -> list[V | None]:
        """Return the values of many keys in their order, None for each that has no record.

        Raises:
            UsageError: The transaction is not open, or a key is not one of the map.
            DecodeError: A record cannot be read.
        """
        return bulk.get_many(self, self._checked(txn), keys)

    @overload
    def select(
        self, txn: Transaction, from_key: K | None = None, to_key: K | None = None,
        return_keys: Literal[True] = True, return_values: Literal[True] = True,
        reverse: bool = False, limit: int | None = None, *, prefix: Any = None,
    ) -> Selection[tuple[K, V]]: ...  # fmt: skip
    @overload
    def select(
        self, txn: Transaction, from_key: K | None = None, to_key: K | None = None, *,
        return_keys: Literal[False], return_values: Literal[True] = True,
        reverse: bool = False, limit: int | None = None, prefix: Any = None,
    ) -> Selection[V]: ...  # fmt: skip
    @overload
    def select(
        self, txn: Transaction, from_key: K | None = None, to_key: K | None = None, *,
        return_keys: Literal[True] = True, return_values: Literal[False],
        reverse: bool = False, limit: int | None = None, prefix: Any = None,
    ) -> Selection[K]: ...  # fmt: skip
    @overload
    def select(
        self, txn: Transaction, from_key: K | None = None, to_key: K | None = None,
        return_keys: bool = True, return_values: bool = True,
        reverse: bool = False, limit: int | None = None, *, prefix: Any = None,
    ) -> Selection[Any]: ...  # fmt: skip
    def select(
        self,
        txn: Transaction,
        from_key: K | None = None,
        to_key: K | None = None,
        return_keys: bool = True,
        return_values: bool = True,
        reverse: bool = False,
        limit: int | None = None,
        *,
        prefix: Any = None,
    ) -> Selection[Any]:
        """Return the records of a range of keys, to be iterated over.

        Args:
            txn: An open transaction.
            from_key: The first key of the range, included; None: the first of the map.
            to_key: The end of the range, not included; None: the end of the map.
            return_keys: Whether to return the keys.
            return_values: Whether to return the values.
            reverse: Walk from the end of the range down.
            limit: Return at most so many, 1 to 9999999.
            prefix: Only keys that begin with this: the first parts, in a tuple, or the first part alone.
                They are exact; ``StartsWith("Lon")`` as the last one is the beginning of a string or of
                bytes. Where keys have only one part, a prefix is the beginning of the key in any case.

        Returns:
            An iterable of (key, value), or of keys or values alone; of as many None as there are records if
            neither is wanted.

        Raises:
            UsageError: The transaction is not open, a bound is not a key of the map, or limit is out of
                range.
            DecodeError: In the iteration: a record cannot be read.
        """
        if limit is not None and (type(limit) is not int or not 1 <= limit <= MAX_LIMIT):
            raise UsageError(f"limit must be an int from 1 to {MAX_LIMIT}, not {shown(limit)}")
        self._checked(txn)
        start = None if from_key is None else self._bound(from_key)
        stop = None if to_key is None else self._bound(to_key)
        begin, sizes = self._prefixed(prefix)
        bounds = {"start": start, "stop": stop, "prefix": begin, "reverse": reverse, "limit": limit}
        return Selection(self, txn, bounds, sizes, return_keys, return_values)

    def count(self, txn: Transaction, prefix: Any = None) -> int:
        """Return the number of records, or of those whose key begins with a prefix.

        Args:
            txn: An open transaction.
            prefix: As for `select`.

        Raises:
            UsageError: The transaction is not open, or the prefix does not fit the map's keys.
        """
        if prefix is None:  # which is true of an index also before it is used
            return self._usable(txn)._count(self._attached())
        self._checked(txn)
        return txn._count(*self._prefixed(prefix))

    def count_range(self, txn: Transaction, from_key: K, to_key: K) -> int:
        """Return the number of records from a key (included) to another (not included).

        Raises:
            UsageError: The transaction is not open, or a bound is not a key of the map.
        """
        self._checked(txn)
        start, stop = self._bound(from_key), self._bound(to_key)
        return sum(1 for _ in txn._opened().keys(start=start, stop=stop))

    def truncate(self, txn: Transaction, rebuild_indexes: bool = True) -> int:
        """Delete all records.

        Args:
            txn: An open write transaction.
            rebuild_indexes: Also delete the records of the indexes; without, they are left over.

        Returns:
            How many records were deleted, those of indexes included.

        Raises:
            UsageError: The transaction is not open.
            ReadOnlyError: The transaction is read-only.
        """
        self._usable(txn)
        deleted = delete_slot(txn, self._attached())
        if rebuild_indexes:
            deleted += sum(index.pmap.truncate(txn) for index in self._indexes.values())
        return deleted

    # -- what makes it a mapping --

    @overload
    def get(self, subscript: tuple[Transaction, K | None], default: None = None) -> V | None: ...
    @overload
    def get(self, subscript: tuple[Transaction, K | None], default: D) -> V | D | None: ...
    def get(self, subscript: tuple[Transaction, K | None], default: Any = None) -> Any:
        """Return ``pmap[txn, key]``, or the default if there is no record.

        Raises:
            UsageError: The subscript is not an open transaction and a key of the map.
            DecodeError: The record cannot be read.
        """
        value = self[subscript]
        return default if value is None and default is not None and subscript not in self else value

    def setdefault(self, subscript: tuple[Transaction, K], default: V | None = None) -> V | None:
        """Return ``pmap[txn, key]``; if there is no record, store the default and return it.

        Raises:
            Error: As for reading and for storing a record.
        """
        value = self[subscript]
        if value is None and subscript not in self:
            self[subscript] = value = default
        return value

    @overload
    def pop(self, subscript: tuple[Transaction, K]) -> V | None: ...
    @overload
    def pop(self, subscript: tuple[Transaction, K], default: D) -> V | D | None: ...
    def pop(self, subscript: tuple[Transaction, K], default: Any = _NO_DEFAULT) -> Any:
        """Delete a record and its index records, and return the value; the default if there is none.

        Raises:
            MissingRecordError: There is no record, and no default; it is a KeyError.
            Error: As for reading and for deleting a record.
        """
        value = self[subscript]
        if value is None and subscript not in self:
            if default is not _NO_DEFAULT:
                return default
            raise MissingRecordError(f"{self} has no record with the key {shown(subscript[1])}")
        del self[subscript]
        return value

    # -- and what it cannot do without a transaction --

    def __iter__(self) -> NoReturn:
        raise UnsupportedError(f"{self}: a map is iterated over in a transaction, with select(txn)")

    def __reversed__(self) -> NoReturn:
        raise UnsupportedError(f"{self}: it is walked down in a transaction, with select(txn, reverse=True)")

    def __len__(self) -> int:
        raise UnsupportedError(f"{self}: records are counted in a transaction, with count(txn)")

    def keys(self) -> NoReturn:
        """Raise `UnsupportedError`: see `select`."""
        raise UnsupportedError(f"{self}: keys come from select(txn, return_values=False)")

    def values(self) -> NoReturn:
        """Raise `UnsupportedError`: see `select`."""
        raise UnsupportedError(f"{self}: values come from select(txn, return_keys=False)")

    def items(self) -> NoReturn:
        """Raise `UnsupportedError`: see `select`."""
        raise UnsupportedError(f"{self}: records come from select(txn)")

    def popitem(self) -> NoReturn:
        """Raise `UnsupportedError`: see `select` and `pop`."""
        raise UnsupportedError(f"{self}: a record is found with select(txn, limit=1), and taken out with pop")

    def clear(self) -> NoReturn:
        """Raise `UnsupportedError`: see `truncate`."""
        raise UnsupportedError(f"{self}: all records are deleted in a transaction, with truncate(txn)")

    # A map is equal to itself alone: its contents are known in a transaction only.
    __eq__ = object.__eq__
    __hash__ = object.__hash__
