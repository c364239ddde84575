"""Persistent maps: records of one kind, in a slot of a database."""

from __future__ import annotations

from collections.abc import Callable, Iterable, MutableMapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NoReturn, TypeVar, overload

from zlmdb.lmdb._fast import PASSED_ON
from zlmdb.lmdb.errors import Error as LmdbError
from zlmdb.lmdb.errors import KeyExistsError
from zlmdb.orm import bulk, compression, index_checks
from zlmdb.orm.codec import record_codec
from zlmdb.orm.errors import Error, MissingRecordError, UnsupportedError, UsageError
from zlmdb.orm.keys import Key
from zlmdb.orm.legacy_codecs import LegacyCodecs
from zlmdb.orm.parts import MAX_OID, Part, shown
from zlmdb.orm.records import Records
from zlmdb.orm.selection import Selection
from zlmdb.orm.transaction import Transaction

if TYPE_CHECKING:
    from uuid import UUID

    from zlmdb.orm.index_checks import IndexReport
    from zlmdb.orm.raw import RawTransaction
    from zlmdb.orm.values import Value

    KeyLike = Key[Any] | Part[Any] | tuple[Part[Any], ...]
    ValueLike = Value[Any] | type[Value[Any]]

K = TypeVar("K")
V = TypeVar("V")
D = TypeVar("D")

_NO_DEFAULT: Any = object()
MAX_LIMIT = 9_999_999


class PersistentMap(LegacyCodecs, MutableMapping[tuple[Transaction, K], V | None]):
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

    _key_codec: ClassVar[Key[Any] | None] = None
    _value_codec: ClassVar[ValueLike | None] = None

    # What the decorators `table` and `Schema.slot` set.
    _zlmdb_oid: UUID | None = None
    _zlmdb_marshal: Callable[..., Any] | None = None
    _zlmdb_unmarshal: Callable[..., Any] | None = None
    _zlmdb_parse: Callable[..., Any] | None = None
    _zlmdb_build: Callable[..., Any] | None = None
    _zlmdb_cast: Callable[..., Any] | None = None
    _zlmdb_compress: int | None = None
    _zlmdb_slot: int | None = None

    def __init_subclass__(
        cls, key: KeyLike | None = None, value: ValueLike | None = None, **options: Any
    ) -> None:
        super().__init_subclass__(**options)
        if key is not None:
            cls._key_codec = Key.of(key)
        if value is not None:
            cls._value_codec = value

    def __init__(
        self,
        slot: int | None = None,
        compress: int | None = None,
        *,
        key: Key[K] | Part[K] | tuple[Part[Any], ...] | None = None,
        value: Value[V] | type[Value[V]] | None = None,
    ) -> None:
        cls = type(self)
        value = cls._value_codec if value is None else value
        keys, values = self._with_overrides(
            cls._key_codec if key is None else Key.of(key), value() if isinstance(value, type) else value
        )
        if keys is None or values is None:
            raise UsageError(f"{cls.__name__} lacks a codec: make it with key= and value=")
        self._slot = slot
        codec = record_codec(cls.__name__, slot, compress, keys, values, cls._zlmdb_parse)
        self._records: Records[K, Any] = Records(codec)

    @classmethod
    def new_key(cls, secure: bool = False) -> K:  # noqa: ARG003
        """Return a key that is most likely not in use: random, except that a timestamp is the time now.

        Args:
            secure: Accepted for compatibility: all keys come from the operating system's random generator.

        Raises:
            UsageError: The class has no codec for keys.
        """
        if cls._key_codec is None:
            raise UsageError(f"{cls.__name__} has no codec of keys that could make one")
        key: K = cls._key_codec.new()
        return key

    def __str__(self) -> str:
        return str(self._records)

    def __repr__(self) -> str:
        records = self._records
        codecs = records.codec.key, records.codec.values
        keys, values = (getattr(codec, "name", type(codec).__name__) for codec in codecs)
        owner = "" if records.owner is None else f", an index of {records.owner}"
        indexes = f", indexes {', '.join(self.indexes())}" if records.indexes else ""
        return f"<{type(self).__name__}, slot {self._slot}: {keys} to {values}{owner or indexes}>"

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
            raw, planned = txn._raw, self._records.planned
            read = planned.read_view if raw.buffers else planned.read
            value: V | None = read(raw.txn, key)  # type: ignore[arg-type]
        except Exception:  # noqa: BLE001 (raised again on the slow path, with the record that it is about)
            pass
        else:
            if value is not PASSED_ON:
                return value
        return self._records.encoded.read(*self._located(subscript))

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
        planned = self._records.planned
        try:
            txn, key = subscript
            raw = txn._raw
            if planned.plan is not None and planned.write(raw, key, value):
                return
        except LmdbError as error:
            raw.refuse(error)
        except Error:
            raise
        except (TypeError, ValueError, AttributeError):  # no pair, or no transaction: said below
            pass
        self._write_encoded(subscript, value)

    def insert(self, txn: Transaction, key: K, value: V | None) -> None:
        """Store a new record, and its index records with it; one that is there already is not replaced.

        Raises:
            RecordExistsError: There is a record with the key.
            Error: As for storing a record.
        """
        records = self._records
        try:
            has_plan = isinstance(txn, Transaction) and records.planned.plan is not None
            stored = has_plan and records.planned.write(txn._raw, key, value, insert=True)
            stored = stored or self._write_encoded((txn, key), value, overwrite=False)
        except KeyExistsError as error:
            raise records.codec.existing(key) from error
        except LmdbError as error:
            txn._raw.refuse(error)
        if not stored:
            raise records.codec.existing(key)

    def _write_encoded(
        self, subscript: tuple[Transaction, K], value: V | None, overwrite: bool = True
    ) -> bool:
        """Store a record on the slow path; return False if there is one that is not to be replaced."""
        records = self._records
        try:
            txn, key = subscript
            raw, record_key = txn._raw, records.codec.encode_key(key)
        except Exception as error:
            raise self._bad_subscript(subscript, error) from error
        if records.unchecked:
            records.prepare_writing(raw)
        return records.encoded.write(raw, key, record_key, value, overwrite)

    def __delitem__(self, subscript: tuple[Transaction, K]) -> None:
        """Delete a record and its index records; nothing happens if there is none.

        Raises:
            UsageError: The subscript is not an open transaction and a key of the map.
            DecodeError: The map has indexes, and the record cannot be read.
            ReadOnlyError: The transaction is read-only.
        """
        raw, record_key = self._located(subscript)
        if self._records.unchecked:
            self._records.prepare_writing(raw)
        self._records.encoded.delete(raw, subscript[1], record_key)

    def __contains__(self, subscript: object) -> bool:
        """Return whether there is a record: ``(txn, key) in pmap``.

        Raises:
            UsageError: The subscript is not an open transaction and a key of the map.
        """
        raw, record_key = self._located(subscript)  # type: ignore[arg-type]
        return raw.get(record_key) is not None

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
        codec = self._records.codec
        raw, record_key = self._located((txn, key))
        data = raw.get(record_key)
        if data is None or codec.compress is None:
            return data
        try:
            return codec.decompress(bytes(data))
        except Exception as error:
            raise codec.undecodable(record_key, error) from error

    # -- what stands between the brackets --

    def _located(self, subscript: tuple[Transaction, K | None]) -> tuple[RawTransaction, bytes]:
        """Return the transaction and the record key that ``pmap[txn, key]`` stands for, to look it up."""
        records = self._records
        try:
            txn, key = subscript
            record_key = records.codec.encode_key(key)  # type: ignore[arg-type]
            raw = self._usable(txn)
        except Exception as error:
            raise self._bad_subscript(subscript, error) from error
        if records.owner is not None:
            records.prepare_reading(raw)
        return raw, record_key

    def _bad_subscript(self, subscript: object, error: Exception) -> UsageError:
        """Return the exception for what cannot stand between the brackets of ``pmap[...]``."""
        if not isinstance(subscript, tuple) or len(subscript) != 2:
            return UsageError(f"{self} is used as pmap[txn, key], not with {shown(subscript)}")
        txn, key = subscript
        self._usable(txn)
        return self._records.codec.bad_key(key, error)

    def _usable(self, txn: Transaction) -> RawTransaction:
        """Return the records of a transaction that the map can be used with."""
        if not isinstance(txn, Transaction):
            raise UsageError(f"{self} is used with a zlmdb.Transaction, not with {shown(txn)}")
        raw = txn._raw
        raw.opened()
        self._records.codec.attached()
        return raw

    def _readable(self, txn: Transaction) -> RawTransaction:
        """Return the records of a transaction in which those of the map can be looked up."""
        raw = self._usable(txn)
        self._records.prepare_reading(raw)
        return raw

    def _writable(self, txn: Transaction) -> RawTransaction:
        """Return the records of a transaction in which those of the map can be stored."""
        raw = self._usable(txn)
        self._records.prepare_writing(raw)
        return raw

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
        return self._put_many(txn, items, insert=False)

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
        return self._put_many(txn, items, insert=True)

    def _put_many(self, txn: Transaction, items: Iterable[tuple[K, V | None]], insert: bool) -> int:
        def put(key: K, value: V | None) -> None:
            self[txn, key] = value

        raw = self._writable(txn)
        return bulk.put_many(self._records, raw, items, insert, put)

    def get_many(self, txn: Transaction, keys: Iterable[K]) -> list[V | None]:
        """Return the values of many keys in their order, None for each that has no record.

        Raises:
            UsageError: The transaction is not open, or a key is not one of the map.
            DecodeError: A record cannot be read.
        """
        return bulk.get_many(self._records.codec, self._readable(txn), keys)

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
        raw, codec = self._readable(txn), self._records.codec
        start = None if from_key is None else codec.record_key(from_key)
        stop = None if to_key is None else codec.record_key(to_key)
        begin, sizes = codec.key_prefix(prefix)
        bounds = {"start": start, "stop": stop, "prefix": begin, "reverse": reverse, "limit": limit}
        return Selection(codec, raw, bounds, sizes, return_keys, return_values)

    def count(self, txn: Transaction, prefix: Any = None) -> int:
        """Return the number of records, or of those whose key begins with a prefix.

        Args:
            txn: An open transaction.
            prefix: As for `select`.

        Raises:
            UsageError: The transaction is not open, or the prefix does not fit the map's keys.
        """
        if prefix is None:  # which is true of an index also before it is used
            return self._usable(txn).count(self._records.codec.attached())
        return self._readable(txn).count(*self._records.codec.key_prefix(prefix))

    def count_range(self, txn: Transaction, from_key: K, to_key: K) -> int:
        """Return the number of records from a key (included) to another (not included).

        Raises:
            UsageError: The transaction is not open, or a bound is not a key of the map.
        """
        raw, codec = self._readable(txn), self._records.codec
        start, stop = codec.record_key(from_key), codec.record_key(to_key)
        return sum(1 for _ in raw.opened().keys(start=start, stop=stop))

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
        raw = self._usable(txn)
        slot, *indexes = self._records.prefixes()
        deleted = raw.delete_all(slot)
        if rebuild_indexes:
            deleted += sum(map(raw.delete_all, indexes))
        return deleted

    # -- indexes --

    def attach_index(
        self,
        name: str,
        pmap: PersistentMap[Any, K],
        fkey: Callable[[V], Any],
        nullable: bool = False,
        unique: bool | None = None,
    ) -> None:
        """Keep an index of the values from now on.

        Records that are there already need `rebuild_index`. When the index is first used in this process, to
        write a record or to look one up, some records are looked for in it, and it is refused
        (`IncompleteIndexError`) if it lacks them.

        Args:
            name: A name for the index.
            pmap: The map of the index's records: index keys to keys of this map.
            fkey: Makes the index key of a value. It must depend on the value alone.
            nullable: Records whose index key is null (None, or a tuple with a None) are left out of the
                index; otherwise they are refused.
            unique: True refuses a record whose index key another record has. By default, as with False, the
                record that was written last takes the index record: the application sees to it that index
                keys are unique, for instance by making the primary key part of them.

        Raises:
            IndexDefinitionError: This map is an index itself, ``pmap`` is attached already or is this map, or
                the name or the slot is taken.
            UsageError: An argument is of the wrong type.
        """
        if not isinstance(pmap, PersistentMap) or not callable(fkey) or not isinstance(name, str):
            raise UsageError("attach_index takes a name, a map for the index records, and a function")
        self._records.attach_index(name, pmap._records, fkey, nullable, bool(unique))

    def detach_index(self, name: str) -> None:
        """Keep an index no longer; its records stay. Nothing happens if there is no such index."""
        self._records.detach_index(name)

    def indexes(self) -> list[str]:
        """Return the names of the indexes, sorted."""
        return sorted(self._records.indexes)

    def is_index(self) -> bool:
        """Return whether this map is an index of another."""
        return self._records.owner is not None

    def rebuild_index(self, txn: Transaction, name: str) -> tuple[int, int]:
        """Write the records of an index anew; records whose index key is null are left out.

        After an error the index is as it was; but in a database that is open with ``writemap``, where
        transactions cannot be nested, the transaction must be aborted.

        Returns:
            How many index records were deleted, and how many inserted.

        Raises:
            IndexDefinitionError: There is no such index.
            UniqueValueConstraint: The index is unique, and records have one index key.
            DecodeError: A record cannot be read.
            EncodeError: An index key cannot be stored.
            ReadOnlyError: The transaction is read-only.
        """
        index = self._records.index(name)
        raw = self._readable(txn)
        if raw.database.is_writemap:  # where LMDB nests no transactions
            return index_checks.rebuild(index, raw)
        with txn.begin() as nested:
            return index_checks.rebuild(index, nested._raw)

    def rebuild_indexes(self, txn: Transaction) -> tuple[int, int]:
        """Write the records of all indexes anew; see `rebuild_index`.

        Returns:
            How many index records were deleted, and how many inserted.
        """
        counts = [self.rebuild_index(txn, name) for name in self.indexes()]
        return sum(deleted for deleted, _ in counts), sum(inserted for _, inserted in counts)

    def check_indexes(self, txn: Transaction) -> list[IndexReport]:
        """Compare the indexes with the records, all of them.

        Returns:
            A report for each index, in the order of their names. What is wrong, `rebuild_index` mends.

        Raises:
            UsageError: The transaction is not open.
            DecodeError: A record cannot be read.
        """
        return self._records.check_indexes(self._readable(txn))

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
