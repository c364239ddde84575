r"""Key codecs: a key is one part, or a tuple of them.

The parts stand one after the other as they are. Strings have neither length nor terminator, except that of
several all but the last end with a NUL byte; they must be neighbours. LMDB sorts keys by their bytes, so
records come in the order of their parts, first to last, if each of them `sorts`.

>>> key = Key(Uint16, String)
>>> key.encode((258, "abc"))
b'\x01\x02abc'
>>> key.decode(b"\x01\x02abc")
(258, 'abc')
>>> key.prefix((258,)).data
b'\x01\x02'
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from struct import Struct
from typing import Any, Generic, TypeVar, overload

from zlmdb.orm.errors import EncodeError, UsageError
from zlmdb.orm.parts import (
    MAX_OID,
    Bytes16,
    Bytes20,
    Bytes32,
    Fault,
    IntPart,
    NativeUint16,
    NonEmptyString,
    Oid,
    Part,
    Slot,
    String,
    StringPart,
    Uint8,
    Uint16,
    Uint64,
    Uint64Oid,
    Uuid,
    shown,
)
from zlmdb.orm.prefixes import Prefix, StartsWith
from zlmdb.orm.timestamps import NativeTimestamp, Timestamp

__all__ = [
    "Bytes16", "Bytes20", "Bytes32", "Key", "NativeTimestamp", "NativeUint16", "NonEmptyString", "Oid",
    "Part", "Slot", "String", "Timestamp", "Uint8", "Uint16", "Uint64", "Uint64Oid", "Uuid",
]  # fmt: skip

K = TypeVar("K")
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")

AnyPart = Part[Any]

LONGEST = 1 << 32
"""More bytes than any key has."""


class Key(Generic[K]):
    """The codec of a kind of keys.

    Args:
        parts: One part, and keys are its values; or several, and keys are tuples of their values.

    Attributes:
        parts: The parts.
        size: Bytes of a key; None if that varies.
        encode: Returns the bytes of a key; raises `EncodeError`.
        decode: Returns the key of the bytes; raises `ValueError`.

    Raises:
        UsageError: There is no part, something is not a part, or strings are not neighbours.
    """

    encode: Callable[[K], bytes]
    decode: Callable[[bytes], K]

    @overload
    def __init__(self: Key[A], part: Part[A], /) -> None: ...
    @overload
    def __init__(self: Key[tuple[A, B]], a: Part[A], b: Part[B], /) -> None: ...
    @overload
    def __init__(self: Key[tuple[A, B, C]], a: Part[A], b: Part[B], c: Part[C], /) -> None: ...
    @overload
    def __init__(self: Key[tuple[A, B, C, D]], a: Part[A], b: Part[B], c: Part[C], d: Part[D], /) -> None: ...
    @overload
    def __init__(self, *parts: AnyPart) -> None: ...
    def __init__(self, *parts: AnyPart) -> None:
        if not parts or not all(isinstance(part, Part) for part in parts):
            raise UsageError(f"A key is made of parts such as Oid, Uuid or String, not of {shown(parts)}")
        self.parts = parts
        sizes = [part.size or 0 for part in parts]
        self.size = sum(sizes) if all(sizes) else None
        self._terminated = _terminated_parts(parts)
        self._encoders = [
            _terminated(part) if index in self._terminated else part.encoder()
            for index, part in enumerate(parts)
        ]
        self.encode = self.encoder()
        self.decode = self.decoder()

    @classmethod
    def of(cls, key: Key[Any] | AnyPart | Sequence[AnyPart]) -> Key[Any]:
        """Return the codec of a key that is given as such, as its only part, or as a sequence of parts."""
        if isinstance(key, Key):
            return key
        return cls(key) if isinstance(key, Part) else cls(*key)

    @property
    def name(self) -> str:
        """The names of the parts, in one word."""
        return "".join(part.name for part in self.parts)

    @property
    def type_name(self) -> str:
        """The Python type of keys, for the documentation."""
        names = [part.type_name for part in self.parts]
        return names[0] if len(names) == 1 else f"tuple[{', '.join(names)}]"

    @property
    def layout(self) -> str:
        """The bytes, in words, for the documentation."""
        last = max((i for i, part in enumerate(self.parts) if part.size is None), default=0)
        ends = [" and NUL" if part.size is None and i < last else "" for i, part in enumerate(self.parts)]
        return "; ".join(part.layout + end for part, end in zip(self.parts, ends, strict=True))

    @property
    def sorts(self) -> bool:
        """Whether the order of records is that of their keys.

        A string sorts only at the end of a key or before a NUL, not directly before another part.
        """
        sizes = [part.size for part in self.parts]
        text_before_fixed = any(a is None and b is not None for a, b in pairwise(sizes))
        return all(part.sorts for part in self.parts) and not text_before_fixed

    @property
    def codes(self) -> str | None:
        """What C is told of the parts to lay them out (plan.c); None if it cannot."""
        codes = "".join(_code(part) for part in self.parts)
        texts = codes.count("S")
        return None if "?" in codes else codes.replace("S", "Z", max(0, texts - 1))

    def stores_like(self, other: Key[Any]) -> bool:
        """Whether keys that both can encode, apart from those with None, have the same bytes."""
        return [part.not_null for part in self.parts] == [part.not_null for part in other.parts]

    def encoder(self, prefix: bytes = b"") -> Callable[[K], bytes]:
        """Return a function that encodes a key behind a prefix: what maps call for every record."""
        if len(self.parts) == 1:
            return self.parts[0].encoder(prefix)
        encoders, count = self._encoders, len(self.parts)

        def encode(key: K) -> bytes:
            if not isinstance(key, tuple) or len(key) != count:
                raise EncodeError(f"This key is a {self.type_name}, not {shown(key)}")
            return prefix + b"".join([encode(value) for encode, value in zip(encoders, key)])  # noqa: B905

        return encode

    def decoder(self, skip: int = 0) -> Callable[[bytes], K]:
        """Return a function that decodes the key that follows a prefix of `skip` bytes."""
        return self.parts[0].decoder(skip) if len(self.parts) == 1 else _tuple_decoder(self.parts, skip)

    def prefix(self, prefix: Any) -> Prefix:
        """Return what the keys have in common that begin with some parts.

        Args:
            prefix: A tuple of the first parts, or the first part alone; the last one may be a `StartsWith`.
                Of a key with one part it is the beginning, or in a tuple the whole of it.

        Raises:
            EncodeError: A value is of the wrong type, or there are more of them than parts.
        """
        parts = self.parts
        if len(parts) == 1 and not (isinstance(prefix, tuple) and parts[0].has_beginnings):
            is_asked = isinstance(prefix, StartsWith)
            return Prefix(self._beginning(0, prefix) if is_asked else parts[0].encode_prefix(prefix), None)
        values = prefix if isinstance(prefix, tuple) else (prefix,)
        if not 1 <= len(values) <= len(parts):
            raise EncodeError(f"A prefix of this key has 1 to {len(parts)} parts, not {len(values)}")
        last = len(values) - 1
        is_exact = not isinstance(values[last], StartsWith)
        encoded = [encode(value) for encode, value in zip(self._encoders, values[:last], strict=False)]
        end = self._encoders[last](values[last]) if is_exact else self._beginning(last, values[last])
        data = b"".join([*encoded, end])
        return Prefix(data, self._sizes(len(data), last, None if is_exact else len(end)))

    def _beginning(self, index: int, value: StartsWith) -> bytes:
        """Return the bytes that a part begins with."""
        part = self.parts[index]
        if not part.has_beginnings:
            raise EncodeError(f"{part.name} is given as a whole, not as {shown(value)}")
        data = part.encode_prefix(value.value)
        if index in self._terminated and b"\0" in data:
            raise EncodeError(f"A string before another has no NUL, which ends it: {shown(value)}")
        return data

    def _sizes(self, length: int, last: int, begun: int | None) -> range | None:
        """Return how many bytes keys may have that begin with a prefix; None if its bytes tell all.

        Args:
            length: The bytes of the prefix.
            last: The place of the last part that it names.
            begun: The bytes of this part's beginning; None if the part is exact.
        """
        sizes = [part.size for part in self.parts]
        text = self._terminated.stop  # the place of the string whose end is not marked
        if text > last or sizes[text] is not None:
            return None
        rest = sum(size or 0 for size in sizes[last + 1 :])
        if begun is None or text < last:
            size = length + rest + ((sizes[last] or 0) - begun if begun is not None else 0)
            return range(size, size + 1)
        return range(length + rest, LONGEST) if rest else None

    def fault(self, data: bytes) -> Fault | None:
        """Return what is to be blamed for a key that cannot be decoded; None if it is the stored bytes."""
        return self.parts[0].fault(data) if len(self.parts) == 1 else None

    def new(self) -> K:
        """Return a key that is most likely not in use: of random parts, except for the current time."""
        values = tuple(part.new() for part in self.parts)
        return values[0] if len(values) == 1 else values  # type: ignore[return-value]


def _code(part: AnyPart) -> str:
    """Return what C is told of a part; parts of one's own have other bytes."""
    if type(part) is IntPart and part.size == 8 and part.order == "big":
        return {MAX_OID: "O", 2**64 - 1: "Q"}.get(part.maximum, "?")
    if type(part) is StringPart and not part.needed:
        return "S"
    return "U" if part is Uuid else "?"


def _terminated_parts(parts: tuple[AnyPart, ...]) -> range:
    """Return the places of the parts that end with NUL: all strings but the last."""
    texts = [index for index, part in enumerate(parts) if part.size is None]
    if texts and texts[-1] - texts[0] >= len(texts):
        raise UsageError("The strings of a key must be neighbours: else it could not be read back")
    return range(texts[0], texts[-1]) if texts else range(0)


def _terminated(part: AnyPart) -> Callable[[Any], bytes]:
    encode_part = part.encoder()

    def encode(value: Any) -> bytes:
        data = encode_part(value)
        if b"\0" in data:
            raise EncodeError(f"A string before another must not contain NUL, which ends it: {shown(value)}")
        return data + b"\0"

    return encode


def _tuple_decoder(parts: tuple[AnyPart, ...], skip: int) -> Callable[[bytes], Any]:
    decoders = [part.decoder() for part in parts]
    texts = sum(part.size is None for part in parts)
    before = [part.size is None for part in parts].index(True) if texts else len(parts)
    head, tail = _fields(parts[:before], skip), _fields(parts[before + texts :])
    start, length = head.size, head.size + tail.size

    def decode_fixed(data: bytes) -> tuple[Any, ...]:
        if len(data) != start:
            raise ValueError(f"this key is stored in {start - skip} bytes, here are {len(data) - skip}")
        return tuple([decode(field) for decode, field in zip(decoders, head.unpack(data))])  # noqa: B905

    def decode_with_texts(data: bytes) -> tuple[Any, ...]:
        stop = len(data) - tail.size
        if len(data) < length:
            raise ValueError(
                f"this key is stored in {length - skip} bytes or more, here are {len(data) - skip}"
            )
        strings = data[start:stop].split(b"\0", texts - 1)
        if len(strings) < texts:
            raise ValueError(f"this key has {texts} strings, here are {len(strings)}")
        fields = [*head.unpack_from(data), *strings, *tail.unpack_from(data, stop)]
        return tuple([decode(field) for decode, field in zip(decoders, fields)])  # noqa: B905

    return decode_with_texts if texts else decode_fixed


def _fields(parts: Sequence[AnyPart], skip: int = 0) -> Struct:
    return Struct(f"{skip}x" + "".join(f"{part.size}s" for part in parts))
