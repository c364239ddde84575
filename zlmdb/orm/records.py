"""How the records of a map are stored: slot, key and value as bytes, and the errors that name them."""

from __future__ import annotations

import marshal
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NoReturn, TypeVar

from zlmdb.lmdb.plain import USES_PLAIN_DATA
from zlmdb.lmdb.reading import OTHER, reader, view_reader
from zlmdb.orm.compression import compression
from zlmdb.orm.errors import (
    DecodeError,
    DependencyError,
    EncodeError,
    Error,
    KeyLengthError,
    UsageError,
    caused,
    described,
)
from zlmdb.orm.hooks import Hooks
from zlmdb.orm.keys import Key
from zlmdb.orm.parts import Part, shown
from zlmdb.orm.transaction import Transaction
from zlmdb.orm.values import Cbor, Fault, Value

if TYPE_CHECKING:
    from uuid import UUID

    from zlmdb.lmdb.reading import Read

    KeyLike = Key[Any] | Part[Any] | tuple[Part[Any], ...]
    ValueLike = Value[Any] | type[Value[Any]]

K = TypeVar("K")
V = TypeVar("V")

MAX_SLOT = 0xFFFF


def _unmarshalled(restore: Callable[[Any], V]) -> Callable[[bytes], V]:
    loads = marshal.loads
    return lambda data: restore(loads(data))


def _cannot_tell(_txn: object, _key: object) -> object:
    return OTHER


class Records(Hooks, Generic[K, V]):
    """The codecs of a map in its slot; see `zlmdb.orm.maps.PersistentMap`, which builds on this."""

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

    def __init__(self, slot: int | None, compress: int | None, key: KeyLike | None, value: ValueLike | None):
        if slot is not None and (type(slot) is not int or not 0 <= slot <= MAX_SLOT):
            raise UsageError(f"A slot is a number from 1 to {MAX_SLOT}, not {shown(slot)}")
        value = self._value_codec if value is None else value
        keys, values = self._hooked(
            self._key_codec if key is None else Key.of(key), value() if isinstance(value, type) else value
        )
        if keys is None or values is None:
            raise UsageError(f"{type(self).__name__} lacks a codec: make it with key= and value=")
        self._slot = slot
        self._prefix = slot.to_bytes(2, "big") if slot else None  # slot 0 is the database's own
        self._key = keys
        self._record_key: Callable[[K], bytes] = keys.encoder(self._prefix) if self._prefix else self._no_slot
        self._key_in: Callable[[bytes], K] = keys.decoder(len(self._prefix or b""))
        self._use_value_codec(values, compress)

    def _use_value_codec(self, codec: Value[V], compress: int | None) -> None:
        """Put together how values are written and read."""
        pack, unpack = compression(compress)
        dump, load = codec.dump, codec.load
        self._compress = pack
        self._decompress = unpack
        self._dump: Callable[[V], bytes] = dump if compress is None else lambda value: pack(dump(value))
        self._load: Callable[[Any], V] = load if compress is None else lambda data: load(unpack(data))
        in_place = codec.takes_views and compress is None
        self._values = codec
        self._load_view: Callable[[Any], V] = load if in_place else lambda view: self._load(bytes(view))
        read: Read = reader(self._record_key, self._load)
        read_view = read
        self._plain: Callable[[V], Any] | None = None
        if in_place:
            read_view = view_reader(self._record_key, load)
        elif type(codec) is Cbor and compress is None and USES_PLAIN_DATA:  # one of one's own may differ
            self._plain = codec.plain
            read = read_view = reader(self._record_key, _unmarshalled(codec.restore), cbor=True)
        self._readers = read, read_view
        self._check_lookups(None)

    def _check_lookups(self, check: Callable[[Transaction], object] | None) -> None:
        """Have a function called with the transaction before records are looked up, or no longer."""
        self._lookup_check = check
        self._read: Read = self._readers[0] if check is None else _cannot_tell
        self._read_view: Read = self._readers[1] if check is None else _cannot_tell

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

    def _locate(self, subscript: tuple[Transaction, K]) -> tuple[Transaction, bytes]:
        """Return the transaction and the record key that ``pmap[txn, key]`` stands for."""
        try:
            txn, key = subscript
            record_key = self._record_key(key)
            self._usable(txn)
        except Exception as error:
            raise self._bad_subscript(subscript, error) from error
        if self._lookup_check is not None:
            self._lookup_check(txn)
        return txn, record_key

    def _bad_subscript(self, subscript: object, error: Exception) -> UsageError:
        """Return the exception for what cannot stand between the brackets of ``pmap[...]``."""
        if not isinstance(subscript, tuple) or len(subscript) != 2:
            return UsageError(f"{self} is used as pmap[txn, key], not with {shown(subscript)}")
        txn, key = subscript
        self._usable(txn)
        return EncodeError(f"{self}, key {shown(key)}: {error}")

    def _checked(self, txn: Transaction) -> Transaction:
        """Return the transaction if records can be looked up in it."""
        self._usable(txn)
        if self._lookup_check is not None:
            self._lookup_check(txn)
        return txn

    def _usable(self, txn: Transaction) -> Transaction:
        """Return the transaction if the map can be used with it."""
        if not isinstance(txn, Transaction):
            raise UsageError(f"{self} is used with a zlmdb.Transaction, not with {shown(txn)}")
        txn._opened()
        self._attached()
        return txn

    def _attached(self) -> bytes:
        """Return the slot as bytes."""
        return self._no_slot() if self._prefix is None else self._prefix

    def _no_slot(self, _key: object = None) -> NoReturn:
        why = "slot 0 holds the database's own data" if self._slot == 0 else "it has no slot"
        raise UsageError(
            f"{self} cannot be used: {why}; attach it with Database.attach_table, or give a slot"
        )

    def _bound(self, key: K) -> bytes:
        """Return the record key of a bound of a range."""
        try:
            return self._record_key(key)
        except EncodeError as error:
            raise EncodeError(f"{self}, key {shown(key)}: {error}") from error

    def _prefixed(self, prefix: Any) -> tuple[bytes, range | None]:
        """Return what `Prefix` tells about the record keys that begin with a prefix; with None, about all."""
        slot = self._attached()
        if prefix is None:
            return slot, None
        try:
            data, sizes = self._key.prefix(prefix)
        except EncodeError as error:
            raise EncodeError(f"{self}, prefix {shown(prefix)}: {error}") from error
        skip = len(slot)
        return slot + data, sizes and range(sizes.start + skip, sizes.stop + skip)

    def _unencodable(self, key: K, value: Any, error: Exception) -> EncodeError:
        text = f"{self}, key {shown(key)}: cannot encode {shown(value)}: {type(error).__name__}: {error}"
        return caused(EncodeError, text, error)

    def _decoded(self, txn: Transaction, record_key: bytes, data: Any) -> V:
        """Return the value that is stored as the data."""
        try:
            return self._load_view(data) if txn._buffers else self._load(data)
        except Exception as error:
            raise self._undecodable(record_key, error, data) from error

    def _decoded_key(self, record_key: bytes) -> K:
        """Return the key of a record key."""
        try:
            return self._key_in(record_key)
        except Exception as error:
            raise self._undecodable(record_key, error) from error

    def _undecodable(self, record_key: bytes, error: Exception, data: Any = None) -> Error:
        """Return the exception for a record that cannot be decoded.

        Args:
            record_key: Its key.
            error: What was raised.
            data: The stored value; none if it was not decoded.
        """
        if isinstance(error, DependencyError):
            return error
        fault = self._fault(record_key, error, data)
        if fault is None:
            why = "the record cannot be decoded, it is damaged or of another kind"
        else:
            function = f"its function {self._role(fault)} ({described(fault.function)})"
            why = f"{function} has failed, which was given {shown(fault.given)}"
        text = f"{self}, key {self._shown_key(record_key)}: {why}: {type(error).__name__}: {error}"
        return caused(DecodeError, text, error)

    def _fault(self, record_key: bytes, error: Exception, data: Any) -> Fault | None:
        """Return the application's function to blame for a record that cannot be decoded, if it is one."""
        try:
            self._key_in(record_key)
        except Exception:  # noqa: BLE001 (that is what was to be found out)
            function = self._deserialize_key
            is_own = getattr(function, "__func__", None) is Hooks._deserialize_key
            return None if is_own else Fault("_deserialize_key", function, record_key[2:])
        try:
            return None if data is None else self._values.fault(self._decompress(bytes(data)), error)
        except Exception:  # noqa: BLE001 (likewise)
            return None

    def _role(self, fault: Fault) -> str:
        """Return the name of the argument that the application gave a function as."""
        return "parse" if type(self)._zlmdb_parse is fault.function else fault.role

    def _too_long(self, txn: Transaction, record_key: bytes) -> KeyLengthError:
        return KeyLengthError(
            f"{self}, key {self._shown_key(record_key)}: it takes {len(record_key)} bytes with the slot, "
            f"LMDB takes at most {txn._db._max_key_size}"
        )

    def _shown_key(self, record_key: bytes) -> str:
        try:
            return shown(self._key_in(record_key))
        except Exception:  # noqa: BLE001 (the caller reports what is wrong with the record)
            return f"with bytes {record_key[2:].hex()}"

    def __str__(self) -> str:
        return f"{type(self).__name__} (slot {self._slot})"

    def __repr__(self) -> str:
        keys, values = (getattr(codec, "name", type(codec).__name__) for codec in (self._key, self._values))
        return f"<{type(self).__name__}, slot {self._slot}: {keys} to {values}>"
