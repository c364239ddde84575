"""How the records of a map are stored: slot, key and value as bytes, and the errors that name them."""

from __future__ import annotations

import marshal
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NoReturn, TypeVar

from zlmdb.lmdb.plain import USES_PLAIN_DATA
from zlmdb.lmdb.reading import reader, view_reader
from zlmdb.orm.compression import compression
from zlmdb.orm.errors import DecodeError, EncodeError, KeyLengthError, UsageError, caused
from zlmdb.orm.hooks import Hooks
from zlmdb.orm.keys import Key
from zlmdb.orm.parts import Part, shown
from zlmdb.orm.transaction import Transaction
from zlmdb.orm.values import Cbor, Value

if TYPE_CHECKING:
    from uuid import UUID

    KeyLike = Key[Any] | Part[Any] | tuple[Part[Any], ...]
    ValueLike = Value[Any] | type[Value[Any]]

K = TypeVar("K")
V = TypeVar("V")

MAX_SLOT = 0xFFFF


def _unmarshalled(restore: Callable[[Any], V]) -> Callable[[bytes], V]:
    loads = marshal.loads
    return lambda data: restore(loads(data))


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
        self._plain: Callable[[V], Any] | None = None
        self._load_view: Callable[[Any], V] = load if in_place else lambda view: self._load(bytes(view))
        self._read = self._read_view = reader(self._record_key, self._load)
        if in_place:
            self._read_view = view_reader(self._record_key, load)
        elif type(codec) is Cbor and compress is None and USES_PLAIN_DATA:  # one of one's own may differ
            self._plain = codec.plain
            self._read = self._read_view = reader(self._record_key, _unmarshalled(codec.restore), cbor=True)

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
            return self._checked(txn), self._record_key(key)
        except Exception as error:
            raise self._bad_subscript(subscript, error) from error

    def _bad_subscript(self, subscript: object, error: Exception) -> UsageError:
        """Return the exception for what cannot stand between the brackets of ``pmap[...]``."""
        if not isinstance(subscript, tuple) or len(subscript) != 2:
            return UsageError(f"{self} is used as pmap[txn, key], not with {shown(subscript)}")
        txn, key = subscript
        self._checked(txn)
        return EncodeError(f"{self}, key {shown(key)}: {error}")

    def _checked(self, txn: Transaction) -> Transaction:
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

    def _prefix_bytes(self, prefix: Any) -> bytes:
        """Return what the record keys begin with; what is falsy stands for all records."""
        try:
            return self._attached() + (self._key.encode_prefix(prefix) if prefix else b"")
        except EncodeError as error:
            raise EncodeError(f"{self}, prefix {shown(prefix)}: {error}") from error

    def _unencodable(self, key: K, value: Any, error: Exception) -> EncodeError:
        text = f"{self}, key {shown(key)}: cannot encode {shown(value)}: {type(error).__name__}: {error}"
        return caused(EncodeError, text, error)

    def _decoded(self, txn: Transaction, record_key: bytes, data: Any) -> V:
        """Return the value that is stored as the data."""
        try:
            return self._load_view(data) if txn._buffers else self._load(data)
        except Exception as error:
            raise self._undecodable(record_key, error) from error

    def _decoded_key(self, record_key: bytes) -> K:
        """Return the key of a record key."""
        try:
            return self._key_in(record_key)
        except Exception as error:
            raise self._undecodable(record_key, error) from error

    def _undecodable(self, record_key: bytes, error: Exception) -> DecodeError:
        text = (
            f"{self}, key {self._shown_key(record_key)}: the record cannot be decoded, it is damaged or of "
            f"another kind: {type(error).__name__}: {error}"
        )
        return caused(DecodeError, text, error)

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

    def __repr__(self) -> str:
        return f"{type(self).__name__} (slot {self._slot})"
