"""How the records of a slot become bytes and objects, and the errors that name map, slot and key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar

from zlmdb.orm.compression import compression
from zlmdb.orm.errors import (
    DecodeError,
    DependencyError,
    EncodeError,
    Error,
    KeyLengthError,
    RecordExistsError,
    UsageError,
    caused,
    described,
)
from zlmdb.orm.parts import shown
from zlmdb.orm.prefixes import Prefix

if TYPE_CHECKING:
    from collections.abc import Callable

    from zlmdb.orm.keys import Key
    from zlmdb.orm.parts import Fault
    from zlmdb.orm.raw import RawTransaction
    from zlmdb.orm.values import Value

K = TypeVar("K")
V = TypeVar("V")

MAX_SLOT = 0xFFFF


@dataclass(frozen=True, slots=True, eq=False)
class RecordCodec(Generic[K, V]):
    """The codec of the records in a slot; `record_codec` makes one.

    The functions are attributes, which are called sooner than methods that call them.

    Attributes:
        name: The name of the map's class, for errors.
        slot: The number of the slot; None if there is none yet.
        prefix: What record keys begin with: the slot. None: the codec cannot be used.
        key: The codec of keys.
        values: The codec of values.
        compress: How values are compressed; see `zlmdb.orm.compression`.
        parse: The function that the table has under this name, for errors.
        encode_key: Returns the record key of a key.
        decode_key: Returns the key of a record key.
        dump: Returns the data of a value.
        load: Returns the value of data, which are not empty.
        load_view: Returns the value of data in a memoryview.
        decompress: Returns what is in the data.
    """

    name: str
    slot: int | None
    prefix: bytes | None
    key: Key[K]
    values: Value[V]
    compress: int | None
    parse: Callable[..., Any] | None
    encode_key: Callable[[K], bytes]
    decode_key: Callable[[bytes], K]
    dump: Callable[[V], bytes]
    load: Callable[[Any], V]
    load_view: Callable[[Any], V]
    decompress: Callable[[bytes], bytes]

    def __str__(self) -> str:
        return _title(self.name, self.slot)

    # -- keys --

    def attached(self) -> bytes:
        """Return the slot as bytes."""
        return _no_slot(self.name, self.slot) if self.prefix is None else self.prefix

    def record_key(self, key: K) -> bytes:
        """Return the record key of a key."""
        try:
            return self.encode_key(key)
        except EncodeError as error:
            raise self.bad_key(key, error) from error

    def bad_key(self, key: object, error: Exception) -> EncodeError:
        """Return the exception for what is no key of the map."""
        return EncodeError(f"{self}, key {shown(key)}: {error}")

    def key_prefix(self, prefix: Any) -> Prefix:
        """Return what the record keys have in common that begin with a prefix; with None, all."""
        slot = self.attached()
        if prefix is None:
            return Prefix(slot, None)
        try:
            data, sizes = self.key.prefix(prefix)
        except EncodeError as error:
            raise EncodeError(f"{self}, prefix {shown(prefix)}: {error}") from error
        skip = len(slot)
        return Prefix(slot + data, sizes and range(sizes.start + skip, sizes.stop + skip))

    def decoded_key(self, record_key: bytes) -> K:
        """Return the key of a record key."""
        try:
            return self.decode_key(record_key)
        except Exception as error:
            raise self.undecodable(record_key, error) from error

    def check_length(self, raw: RawTransaction, record_key: bytes) -> None:
        """Raise `KeyLengthError` if LMDB does not take a record key."""
        if len(record_key) > raw.database.max_key_size:
            raise self.too_long(raw, record_key)

    def too_long(self, raw: RawTransaction, record_key: bytes) -> KeyLengthError:
        """Return the exception for a record key that LMDB does not take."""
        return KeyLengthError(
            f"{self}, key {self.shown_key(record_key)}: it takes {len(record_key)} bytes with the slot, "
            f"LMDB takes at most {raw.database.max_key_size}"
        )

    def existing(self, key: object) -> RecordExistsError:
        """Return the exception for a record that is not to be replaced."""
        return RecordExistsError(
            f"{self} has a record with the key {shown(key)} already, which insert does not replace"
        )

    def shown_key(self, record_key: bytes) -> str:
        """Return the key of a record key in the text of an error."""
        try:
            return shown(self.decode_key(record_key))
        except Exception:  # noqa: BLE001 (the caller reports what is wrong with the record)
            return f"with bytes {record_key[2:].hex()}"

    # -- values --

    def unencodable(self, key: object, value: object, error: Exception) -> EncodeError:
        """Return the exception for a value that cannot be stored."""
        text = f"{self}, key {shown(key)}: cannot encode {shown(value)}: {type(error).__name__}: {error}"
        return caused(EncodeError, text, error)

    def decoded(self, raw: RawTransaction, record_key: bytes, data: Any) -> V:
        """Return the value that is stored as the data."""
        try:
            return self.load_view(data) if raw.buffers else self.load(data)
        except Exception as error:
            raise self.undecodable(record_key, error, data) from error

    def undecodable(self, record_key: bytes, error: Exception, data: Any = None) -> Error:
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
            role = "parse" if self.parse is fault.function else fault.role
            function = f"its function {role} ({described(fault.function)})"
            why = f"{function} has failed, which was given {shown(fault.given)}"
        text = f"{self}, key {self.shown_key(record_key)}: {why}: {type(error).__name__}: {error}"
        return caused(DecodeError, text, error)

    def _fault(self, record_key: bytes, error: Exception, data: Any) -> Fault | None:
        """Return the application's function to blame for a record that cannot be decoded, if it is one."""
        try:
            self.decode_key(record_key)
        except Exception:  # noqa: BLE001 (that is what was to be found out)
            return self.key.fault(record_key[2:])
        try:
            return None if data is None else self.values.fault(self.decompress(bytes(data)), error)
        except Exception:  # noqa: BLE001 (likewise)
            return None


def record_codec(
    name: str,
    slot: int | None,
    compress: int | None,
    key: Key[K],
    values: Value[V],
    parse: Callable[..., Any] | None = None,
) -> RecordCodec[K, V]:
    """Return the codec of the records in a slot; arguments as its attributes.

    Raises:
        UsageError: The slot is no such number, or there is no such compression.
        DependencyError: A package that is needed is not installed.
    """
    if slot is not None and (type(slot) is not int or not 0 <= slot <= MAX_SLOT):
        raise UsageError(f"A slot is a number from 1 to {MAX_SLOT}, not {shown(slot)}")
    prefix = slot.to_bytes(2, "big") if slot else None
    encode_key = (lambda _key: _no_slot(name, slot)) if prefix is None else key.encoder(prefix)
    pack, unpack = compression(compress)
    dump, load = values.dump, values.load
    if compress is not None:
        dump, load = (lambda value: pack(values.dump(value))), (lambda data: values.load(unpack(data)))
    in_place = values.takes_views and compress is None
    load_view = load if in_place else lambda view: load(bytes(view))
    return RecordCodec(
        name, slot, prefix, key, values, compress, parse,
        encode_key, key.decoder(len(prefix or b"")), dump, load, load_view, unpack,
    )  # fmt: skip


def _title(name: str, slot: int | None) -> str:
    return f"{name} (slot {slot})"


def _no_slot(name: str, slot: int | None) -> NoReturn:
    why = "slot 0 holds the database's own data" if slot == 0 else "it has no slot"
    raise UsageError(
        f"{_title(name, slot)} cannot be used: {why}; attach it with Database.attach_table, or give a slot"
    )
