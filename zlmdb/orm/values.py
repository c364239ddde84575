r"""Value codecs: one small class for each kind of value.

A codec has two methods: `dump` makes bytes of a value, `load` a value of bytes. Maps read stored bytes that
are empty as None, without asking the codec.

>>> Cbor().dump({"name": "Ada"}).hex()
'a1646e616d6563416461'
>>> SetOf(Bytes20).load(bytes(20)) == {bytes(20)}
True
"""

from __future__ import annotations

from collections.abc import Callable, Set
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from zlmdb.orm.errors import EncodeError, UsageError
from zlmdb.orm.keys import Key
from zlmdb.orm.parts import Bytes20, Fault, Part, shown
from zlmdb.orm.parts import String as Text
from zlmdb.orm.timestamps import Timestamp

if TYPE_CHECKING:
    import numpy as np

    from zlmdb.flatbuffers import Builder

    Time = np.datetime64
else:
    Time = Any

V = TypeVar("V")

INITIAL_SIZE = 256
"""Bytes that a FlatBuffers builder begins with; it doubles them as needed."""


class Value(Generic[V]):
    """The codec of a kind of values.

    Attributes:
        name: As in the names of map classes, such as ``Cbor``.
        type_name: The Python type, for the documentation.
        layout: The bytes, in words, for the documentation.
        takes_views: `load` reads a memoryview in place; other codecs get a copy in a bytes object.
        dump: Returns the bytes of a value; raises `EncodeError`, or whatever the encoder raises.
        load: Returns the value of the bytes; raises ValueError, or whatever the decoder raises.
    """

    name: str
    type_name: str = "Any"
    layout: str
    takes_views = False
    dump: Callable[[V], bytes]
    load: Callable[[Any], V]

    def stores_key(self, key: Key[Any]) -> bool:  # noqa: ARG002
        """Return whether keys of this kind have the same bytes as values."""
        return False

    def fault(self, data: bytes, error: Exception) -> Fault | None:  # noqa: ARG002
        """Return what is to be blamed for an error of `load`; None if it is the stored bytes.

        Args:
            data: The stored bytes.
            error: What `load` has raised for them.
        """
        return Fault("load", self.load, data)


class _OwnValue(Value[V]):
    """What the codecs have in common that call no function of the application's."""

    def fault(self, data: bytes, error: Exception) -> Fault | None:  # noqa: ARG002
        """Return None: the stored bytes are to be blamed."""
        return None


class KeyValue(_OwnValue[V]):
    """A value that is stored as a key is: one part, or a tuple of them.

    Args:
        key: The codec, a `Part`, or a sequence of parts.
    """

    def __init__(self, key: Key[V] | Part[V] | tuple[Part[Any], ...]) -> None:
        self._key: Key[Any] = Key.of(key)
        self.name = self._key.name
        self.type_name = self._key.type_name
        self.layout = self._key.layout
        self.dump = self._key.encode
        self.load = self._key.decode

    def stores_key(self, key: Key[Any]) -> bool:
        """Return whether keys of this kind have the same bytes as values."""
        return type(self) is KeyValue and self._key.stores_like(key)


class String(_OwnValue[str | None]):
    """Text; None and the empty string are both stored as nothing, which reads as None."""

    name = "String"
    type_name = "str | None"
    layout = "UTF-8"

    def dump(self, value: str | None) -> bytes:
        """Return the text in UTF-8."""
        if isinstance(value, str):
            return value.encode()
        if value is None:
            return b""
        raise EncodeError(f"String takes a str or None, not {shown(value)}")

    def load(self, data: bytes) -> str | None:
        """Return the text, None if it is empty."""
        return data.decode() or None

    def stores_key(self, key: Key[Any]) -> bool:
        """Return whether keys of this kind have the same bytes as values."""
        return type(self) is String and key.parts == (Text,)


class Bytes20Timestamp(KeyValue[tuple[bytes | None, Time]]):
    """A pair of 20 bytes and a time; the bytes may be None or empty, which is stored as zeros."""

    def __init__(self) -> None:
        super().__init__(Key(Bytes20.optional, Timestamp))


class SetOf(_OwnValue[Set[V]]):
    """A set of values of one fixed size, stored one after the other, sorted."""

    def __init__(self, part: Part[V]) -> None:
        self._size = part.size or 1
        self._encode = part.encoder()
        self._decode = part.decoder()
        self.name = f"{part.name}Set"
        self.type_name = f"set[{part.type_name}]"
        self.layout = f"any number of: {part.layout}; sorted, no count"

    def dump(self, value: Set[V]) -> bytes:
        """Return the bytes of the elements."""
        if not isinstance(value, Set):
            raise EncodeError(f"{self.name} takes a set, not {shown(value)}")
        return b"".join(sorted(map(self._encode, value)))

    def load(self, data: bytes) -> set[V]:
        """Return the set of the elements."""
        size, decode = self._size, self._decode
        if len(data) % size:
            raise ValueError(f"{self.name} is stored in a multiple of {size} bytes, here are {len(data)}")
        return {decode(data[start : start + size]) for start in range(0, len(data), size)}


class Pickle(Value[Any]):
    """Any Python object that can be pickled. Open only databases that you trust: reading runs the pickle."""

    name = "Pickle"
    layout = "pickle, protocol 2"
    PROTOCOL = 2

    def __init__(self) -> None:
        import pickle

        dumps, protocol = pickle.dumps, self.PROTOCOL
        self.dump = lambda value: dumps(value, protocol)  # which is called sooner than a method
        self.load = pickle.loads
        self._damaged = (pickle.UnpicklingError, EOFError)

    def fault(self, data: bytes, error: Exception) -> Fault | None:
        """Return what is to be blamed for an error of `load`: a pickle calls what the application defines."""
        return None if isinstance(error, self._damaged) else super().fault(data, error)


class _Marshalled(Value[V]):
    """What the codecs of structured data have in common: functions between an object and its plain data.

    Args:
        marshal: Makes plain data (dicts, lists, strings, numbers) of an object; None stores objects as given.
        unmarshal: Makes an object of plain data; None returns the data.

    Raises:
        UsageError: One of them is not a function.
    """

    def __init__(
        self, marshal: Callable[[V], Any] | None = None, unmarshal: Callable[[Any], V] | None = None
    ) -> None:
        check_functions(marshal=marshal, unmarshal=unmarshal)
        dumps, loads = self._functions()
        self.dump = _chain(marshal, dumps)
        self.load = _chain(loads, unmarshal)
        self._loads, self._unmarshal = loads, unmarshal

    def _functions(self) -> tuple[Callable[[Any], bytes], Callable[[bytes], Any]]:
        """Return what encodes plain data, and what decodes it."""
        raise NotImplementedError

    def fault(self, data: bytes, error: Exception) -> Fault | None:  # noqa: ARG002
        """Return what is to be blamed for an error of `load`: ``unmarshal`` if the bytes are plain data."""
        try:
            plain = self._loads(data)
        except Exception:  # noqa: BLE001 (that is what was to be found out)
            return None
        return None if self._unmarshal is None else Fault("unmarshal", self._unmarshal, plain)


class Cbor(_Marshalled[V]):
    """Structured data as CBOR (RFC 8949), as `cbor2.dumps` writes it: order kept, floats in 64 bits.

    Attributes:
        plain: Makes plain data of a value.
        restore: Makes a value of plain data.
    """

    name = "Cbor"
    layout = "CBOR, not canonical"

    def __init__(
        self, marshal: Callable[[V], Any] | None = None, unmarshal: Callable[[Any], V] | None = None
    ) -> None:
        super().__init__(marshal, unmarshal)
        self.plain: Callable[[V], Any] = marshal or _unchanged
        self.restore: Callable[[Any], V] = unmarshal or _unchanged

    def _functions(self) -> tuple[Callable[[Any], bytes], Callable[[bytes], Any]]:
        from cbor2 import dumps, loads

        return dumps, loads


class Json(_Marshalled[V]):
    """Structured data as JSON text in UTF-8, without white space and with the order of keys kept."""

    name = "Json"
    layout = "JSON in UTF-8, compact"

    def _functions(self) -> tuple[Callable[[Any], bytes], Callable[[bytes], Any]]:
        import json.scanner

        encode = _json_encoder(json)
        # half the time of json.loads(), which looks for white space
        scan: Callable[..., tuple[Any, int]] = json.scanner.make_scanner(json.JSONDecoder())  # type: ignore[arg-type]

        def dumps(value: Any) -> bytes:
            return encode(value).encode()

        def loads(data: bytes) -> Any:
            text = data.decode()
            try:
                value, end = scan(text, 0)
            except StopIteration:
                end = -1
            return value if end == len(text) else json.loads(text)  # with white space, or wrong

        return dumps, loads


def _json_encoder(json: Any) -> Callable[[Any], str]:
    """Return the function that makes compact JSON text."""
    encoder = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False)
    make = json.encoder.c_make_encoder
    if make is None:  # not CPython
        encode: Callable[[Any], str] = encoder.encode
        return encode
    # JSONEncoder.encode() makes such a C encoder at each call, which takes a third of its time.
    chunks = make(None, encoder.default, json.encoder.encode_basestring, None, ":", ",", False, False, True)
    return lambda value: "".join(chunks(value, 0))


def _chain(first: Callable[[Any], Any] | None, second: Callable[[Any], Any] | None) -> Callable[[Any], Any]:
    """Return the function that applies the one, then the other; one of them may be None."""
    if first is None or second is None:
        return first or second or _unchanged
    return lambda value: second(first(value))


def _unchanged(value: Any) -> Any:
    return value


class FlatBuffers(Value[V]):
    """FlatBuffers tables, read in place: without file identifier or size prefix.

    Args:
        build: Called with a value and a `zlmdb.flatbuffers.Builder`, writes the table and returns its offset.
        cast: Makes a value of the stored bytes, such as ``Airport.GetRootAs``; in a transaction with
            ``buffers=True`` it gets a memoryview of LMDB's page.

    Raises:
        UsageError: One of them is not a function.
    """

    name = "FlatBuffers"
    layout = "a FlatBuffers table"
    takes_views = True

    def __init__(
        self,
        build: Callable[[V, Builder], int] | None = None,
        cast: Callable[[bytes | memoryview], V] | None = None,
    ) -> None:
        check_functions(build=build, cast=cast)
        self._build = build
        self.load = cast or self._no_cast

    def dump(self, value: V) -> bytes:
        """Return the finished table."""
        from zlmdb.flatbuffers import Builder

        if self._build is None:
            raise EncodeError("FlatBuffers values are written by a build function, and none was given")
        builder = Builder(INITIAL_SIZE)
        builder.Finish(self._build(value, builder))
        return bytes(builder.Output())

    def fault(self, data: bytes, error: Exception) -> Fault | None:  # noqa: ARG002
        """Return what is to be blamed for an error of `load`: ``cast``, which alone reads the bytes."""
        return Fault("cast", self.load, data)

    def _no_cast(self, _data: object) -> V:
        raise ValueError("FlatBuffers values are read by a cast function, and none was given")


def check_functions(**functions: object) -> None:
    """Raise `UsageError` for an argument that is neither None nor a function."""
    for name, function in functions.items():
        if function is not None and not callable(function):
            raise UsageError(f"{name} must be a function, not {shown(function)}")
