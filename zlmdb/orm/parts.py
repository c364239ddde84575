r"""Parts of keys: a codec for each kind of thing that a key is made of.

>>> Oid.encode(5)
b'\x00\x00\x00\x00\x00\x00\x00\x05'
>>> String.decode(b"abc")
'abc'
>>> Bytes16.nullable.encode(None) == bytes(16)
True
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any, Generic, Literal, NamedTuple, TypeVar
from uuid import UUID, SafeUUID, uuid4

from zlmdb.orm.errors import EncodeError

T = TypeVar("T")

MAX_OID = 2**53
"""The highest object ID: up to here a double holds every integer exactly."""

ID_ALPHABET = "345679ACEFGHJKLMNPQRSTUVWXY"
"""What new string keys are made of: nothing that is easily taken for something else."""


def shown(value: object) -> str:
    """A value in the text of an error: its type and the beginning of its representation."""
    try:
        text = repr(value[:60] if isinstance(value, (str, bytes)) else value)
    except Exception:  # noqa: BLE001 (the error is about something else)
        text = "that cannot be shown"
    return f"{type(value).__name__} {text if len(text) <= 60 else text[:57] + '...'}"


def _base(prefix: bytes, size: int) -> int:
    """Return what to add to an integer whose `size` bytes follow a prefix: cheaper than adding up bytes."""
    return int.from_bytes(prefix, "big") << 8 * size


class Fault(NamedTuple):
    """A function of the application's that has failed, in reading stored bytes that are in order.

    Attributes:
        role: The name of the argument that the function was given as, such as ``cast``.
        function: The function.
        given: What it was called with.
    """

    role: str
    function: Callable[..., Any]
    given: Any


class Part(Generic[T]):
    """The codec of one part of a key.

    Attributes:
        name: as in the names of map classes, such as ``Uuid``.
        type_name: the Python type, for the documentation.
        layout: the bytes, in words, for the documentation.
        size: their number; None if it varies.
        sorts: their order is that of the values.
        has_beginnings: it can be asked for by its beginning; see `zlmdb.StartsWith`.
    """

    name: str
    type_name: str
    layout: str
    size: int | None
    sorts: bool = True
    has_beginnings: bool = False

    def encode(self, value: T) -> bytes:
        """Return the bytes of a value.

        Raises:
            EncodeError: The value is of the wrong type or outside the range.
        """
        raise NotImplementedError

    def decode(self, data: bytes) -> T:
        """Return the value of the bytes.

        Raises:
            ValueError: The bytes are not of this part.
        """
        raise NotImplementedError

    def encoder(self, prefix: bytes = b"") -> Callable[[T], bytes]:
        """Return a function that encodes a value behind a prefix: what maps call for every record."""
        encode = self.encode
        return (lambda value: prefix + encode(value)) if prefix else encode

    def decoder(self, skip: int = 0) -> Callable[[bytes], T]:
        """Return a function that decodes what follows a prefix of `skip` bytes."""
        decode = self.decode
        return (lambda data: decode(data[skip:])) if skip else decode

    def encode_prefix(self, value: T) -> bytes:
        """Return what the bytes begin with, of a value that begins with this one."""
        return self.encode(value)

    def fault(self, data: bytes) -> Fault | None:  # noqa: ARG002
        """Return what is to be blamed if `decode` has failed; None if it is the stored bytes."""
        return None

    def new(self) -> T:
        """Return a fresh value: random, or the current time."""
        raise NotImplementedError

    @property
    def nullable(self) -> Part[T | None]:
        """The same part taking None as well, which is stored as zeros (an empty string) and read as such."""
        return _Nullable(self)

    @property
    def optional(self) -> Part[T | None]:
        """The same part taking None and all else that is falsy, such as empty bytes, in that way."""
        return _Optional(self)

    @property
    def not_null(self) -> Part[Any]:
        """The part that stores what is not None."""
        return self

    def _sized(self, data: bytes) -> bytes:
        if len(data) != self.size:
            raise ValueError(f"{self.name} is stored in {self.size} bytes, here are {len(data)}")
        return data

    def _refused(self, wanted: str, value: object) -> EncodeError:
        return EncodeError(f"{self.name} takes {wanted}, not {shown(value)}")


class _Nullable(Part[T | None]):
    def __init__(self, part: Part[T]) -> None:
        self.name, self.layout, self.size, self.sorts = part.name, part.layout, part.size, part.sorts
        self.type_name = f"{part.type_name} | None"
        self.has_beginnings = part.has_beginnings
        self._part = part
        self._zeros = bytes(part.size or 0)

    def encode(self, value: T | None) -> bytes:
        return self._zeros if value is None else self._part.encode(value)

    def encoder(self, prefix: bytes = b"") -> Callable[[T | None], bytes]:
        nothing, encode = prefix + self._zeros, self._part.encoder(prefix)
        return lambda value: nothing if value is None else encode(value)

    def decode(self, data: bytes) -> T:
        return self._part.decode(data)

    def decoder(self, skip: int = 0) -> Callable[[bytes], T]:
        return self._part.decoder(skip)

    def encode_prefix(self, value: T | None) -> bytes:
        return self._zeros if value is None else self._part.encode_prefix(value)

    @property
    def not_null(self) -> Part[Any]:
        return self._part

    def new(self) -> T:
        return self._part.new()


class _Optional(_Nullable[T]):
    def encode(self, value: T | None) -> bytes:
        return super().encode(value or None)

    def encoder(self, prefix: bytes = b"") -> Callable[[T | None], bytes]:
        encode = super().encoder(prefix)
        return lambda value: encode(value or None)


class IntPart(Part[int]):
    """An unsigned integer; `native` stores it in the byte order of the host, which seldom sorts."""

    type_name = "int"
    size: int

    def __init__(self, name: str, size: int, maximum: int | None = None, native: bool = False) -> None:
        self.name = name
        self.size = size
        self.maximum = 256**size - 1 if maximum is None else maximum
        self.order: Literal["little", "big"] = sys.byteorder if native else "big"
        self.sorts = size == 1 or self.order == "big"
        order = "host byte order" if native else "big-endian"
        self.layout = f"uint{8 * size}, {order}" if size > 1 else "uint8"
        self._encode = self.encoder()
        self._decode = self.decoder()

    def encode(self, value: int) -> bytes:
        """Return the bytes of an int, which must not be a bool or of another subclass."""
        return self._encode(value)

    def encoder(self, prefix: bytes = b"") -> Callable[[int], bytes]:
        """Return a function like `encode`."""
        order, maximum = self.order, self.maximum
        if prefix and order == "little":
            return super().encoder(prefix)
        base, length = _base(prefix, self.size), len(prefix) + self.size

        def encode(value: int) -> bytes:
            if type(value) is int and 0 <= value <= maximum:
                return (base + value).to_bytes(length, order)
            raise self._refused(f"an int from 0 to {maximum}", value)

        return encode

    def decode(self, data: bytes) -> int:
        """Return the int of the bytes."""
        return self._decode(data)

    def decoder(self, skip: int = 0) -> Callable[[bytes], int]:
        """Return a function like `decode`."""
        length, order, from_bytes = skip + self.size, self.order, int.from_bytes

        def decode(data: bytes) -> int:
            if len(data) != length:
                self._sized(data[skip:])
            return from_bytes(data[skip:] if skip else data, order)

        return decode

    def new(self) -> int:
        """Return a random int."""
        bits = (self.maximum + 1).bit_length() - 1
        return int.from_bytes(os.urandom(self.size), "big") & ((1 << bits) - 1)


class TupledIntPart(IntPart):
    """An unsigned integer that is also taken as ``(n,)``, the form in which older releases returned it."""

    def encoder(self, prefix: bytes = b"") -> Callable[[int | tuple[int]], bytes]:
        """Return a function that encodes an int, or the only element of a tuple."""
        encode = super().encoder(prefix)

        def encode_element(value: int | tuple[int]) -> bytes:
            if type(value) is tuple and len(value) == 1:
                (value,) = value
            return encode(value)  # type: ignore[arg-type]

        return encode_element


class UuidPart(Part[UUID]):
    """A UUID."""

    name = "Uuid"
    type_name = "UUID"
    layout = "16 bytes, as in RFC 9562"
    size = 16

    def __init__(self) -> None:
        self._encode = self.encoder()
        self._decode = self.decoder()

    def encode(self, value: UUID) -> bytes:
        """Return the bytes of a `uuid.UUID`."""
        return self._encode(value)

    def encoder(self, prefix: bytes = b"") -> Callable[[UUID], bytes]:
        """Return a function like `encode`."""
        base, length = _base(prefix, 16), len(prefix) + 16

        def encode(value: UUID) -> bytes:
            if isinstance(value, UUID):
                return (base + value.int).to_bytes(length, "big")
            raise self._refused("a uuid.UUID", value)

        return encode

    def decode(self, data: bytes) -> UUID:
        """Return the UUID of the bytes."""
        return self._decode(data)

    def decoder(self, skip: int = 0) -> Callable[[bytes], UUID]:
        """Return a function like `decode`.

        It sets the two slots of a UUID: the constructor takes three times as long, to check what is right.
        """
        length, from_bytes = skip + 16, int.from_bytes
        new, unknown = object.__new__, SafeUUID.unknown
        set_int, set_is_safe = UUID.__dict__["int"].__set__, UUID.__dict__["is_safe"].__set__

        def decode(data: bytes) -> UUID:
            if len(data) != length:
                self._sized(data[skip:])
            value = new(UUID)
            set_int(value, from_bytes(data[skip:] if skip else data, "big"))
            set_is_safe(value, unknown)
            return value

        return decode

    def new(self) -> UUID:
        """Return a random UUID (version 4)."""
        return uuid4()


class BytesPart(Part[bytes]):
    """Bytes of one length."""

    type_name = "bytes"
    size: int
    has_beginnings = True

    def __init__(self, size: int) -> None:
        self.name = f"Bytes{size}"
        self.layout = f"{size} bytes"
        self.size = size

    def encode(self, value: bytes) -> bytes:
        """Return the bytes themselves."""
        if isinstance(value, bytes) and len(value) == self.size:
            return value
        raise self._refused(f"{self.size} bytes", value)

    def decode(self, data: bytes) -> bytes:
        """Return the bytes themselves."""
        return self._sized(data)

    def encode_prefix(self, value: bytes) -> bytes:
        """Return the bytes themselves, which may be fewer here."""
        if isinstance(value, bytes) and len(value) <= self.size:
            return value
        raise self._refused(f"up to {self.size} bytes", value)

    def new(self) -> bytes:
        """Return random bytes."""
        return os.urandom(self.size)


class StringPart(Part[str]):
    """Text of any length; `needed` refuses the empty string."""

    name = "String"
    type_name = "str"
    layout = "UTF-8"
    size = None
    has_beginnings = True

    def __init__(self, needed: bool = False) -> None:
        self.needed = needed
        self.layout = "UTF-8, not empty" if needed else "UTF-8"
        self._encode = self.encoder()

    def encode(self, value: str) -> bytes:
        """Return the text in UTF-8."""
        return self._encode(value)

    def encoder(self, prefix: bytes = b"") -> Callable[[str], bytes]:
        """Return a function like `encode`."""
        needed = self.needed

        def encode(value: str) -> bytes:
            if isinstance(value, str) and (value or not needed):
                try:
                    return prefix + value.encode()
                except UnicodeEncodeError as error:
                    raise EncodeError(f"String takes text that UTF-8 can encode: {error}") from error
            raise self._refused("a str that is not empty" if needed else "a str", value)

        return encode

    def decode(self, data: bytes) -> str:
        """Return the text of the UTF-8."""
        return data.decode()

    def decoder(self, skip: int = 0) -> Callable[[bytes], str]:
        """Return a function like `decode`."""
        return lambda data: data[skip:].decode()

    def encode_prefix(self, value: str) -> bytes:
        """Return the beginning of the text in UTF-8, also if it is empty."""
        return self.encode(value) if value != "" else b""

    def new(self) -> str:
        """Return a random identifier of four groups of six letters and digits."""
        from random import SystemRandom

        choices = SystemRandom().choices
        return "-".join("".join(choices(ID_ALPHABET, k=6)) for _ in range(4))


Oid = IntPart("Oid", 8, MAX_OID)
"""An object ID: an int from 0 to 2**53."""
Uint64Oid = IntPart("Oid", 8)
"""An object ID that may be any uint64, as in two of the older kinds of keys."""
Uint8 = TupledIntPart("Uint8", 1)
Uint16 = IntPart("Uint16", 2)
NativeUint16 = TupledIntPart("Uint16", 2, native=True)
Uint64 = IntPart("Uint64", 8)
Slot = IntPart("Slot", 2)
Uuid = UuidPart()
Bytes16 = BytesPart(16)
Bytes20 = BytesPart(20)
Bytes32 = BytesPart(32)
String = StringPart()
NonEmptyString = StringPart(needed=True)
