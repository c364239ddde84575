"""Base classes of maps, one for each kind of values.

A class of maps adds the kind of keys: ``class Visits(CborMap[tuple[UUID, str]], key=(Uuid, String)): ...``
"""

from __future__ import annotations

from collections.abc import Callable, Set
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from zlmdb.orm import values
from zlmdb.orm.errors import UsageError
from zlmdb.orm.keys import Bytes16, Bytes20, Bytes32, Oid, Timestamp, Uuid
from zlmdb.orm.maps import PersistentMap
from zlmdb.orm.values import KeyValue, SetOf

if TYPE_CHECKING:
    import numpy as np

    from zlmdb.flatbuffers import Builder

    Time = np.datetime64
else:
    Time = Any

K = TypeVar("K")
V = TypeVar("V")


class _MarshalMap(PersistentMap[K, Any]):
    """What maps of CBOR and JSON have in common."""

    def __init__(
        self,
        slot: int | None = None,
        compress: int | None = None,
        marshal: Callable[[Any], Any] | None = None,
        unmarshal: Callable[[Any], Any] | None = None,
    ) -> None:
        cls = type(self)
        marshal = marshal or cls._zlmdb_marshal
        unmarshal = unmarshal or cls._zlmdb_unmarshal or cls._zlmdb_parse
        if marshal is None or unmarshal is None:
            raise UsageError(
                f"{cls.__name__} needs the functions marshal and parse: give them to zlmdb.table"
                if cls._zlmdb_oid is not None
                else f"{cls.__name__} needs the functions marshal and unmarshal"
            )
        codec: Any = self._value_codec
        super().__init__(slot, compress, value=codec(marshal, unmarshal))


class CborMap(_MarshalMap[K], value=values.Cbor):
    """Base class of maps whose values are stored as CBOR.

    Args:
        slot: The number of the slot; None for a map that belongs to no database yet.
        compress: As for `PersistentMap`.
        marshal: Makes plain data of a value; by default the class attribute ``_zlmdb_marshal``.
        unmarshal: Makes a value of plain data; by default the class attribute ``_zlmdb_unmarshal``.

    Raises:
        UsageError: One of the functions is missing.
    """


class JsonMap(_MarshalMap[K], value=values.Json):
    """Base class of maps whose values are stored as JSON; arguments as for `CborMap`."""


class FlatBuffersMap(PersistentMap[K, Any], value=values.FlatBuffers):
    """Base class of maps whose values are FlatBuffers tables.

    Args:
        slot: The number of the slot; None for a map that belongs to no database yet.
        compress: As for `PersistentMap`.
        build: Called with a value and a `zlmdb.flatbuffers.Builder`, writes the table and returns its offset;
            by default the class attribute ``_zlmdb_build``.
        cast: Makes a value of the stored bytes, such as ``Airport.GetRootAs``; by default the class attribute
            ``_zlmdb_cast``. In a transaction with ``buffers=True`` it gets a view on LMDB's page, without a
            copy.
    """

    def __init__(
        self,
        slot: int | None = None,
        compress: int | None = None,
        build: Callable[[Any, Builder], int] | None = None,
        cast: Callable[[Any], Any] | None = None,
    ) -> None:
        cls = type(self)
        codec = values.FlatBuffers(build or cls._zlmdb_build, cast or cls._zlmdb_cast)
        super().__init__(slot, compress, value=codec)


class _FixedMap(PersistentMap[K, V]):
    """What maps have in common whose codecs take no arguments."""

    def __init__(self, slot: int | None = None, compress: int | None = None) -> None:
        super().__init__(slot, compress)


class PickleMap(_FixedMap[K, Any], value=values.Pickle):
    """Base class of maps of objects that can be pickled."""

    PROTOCOL = values.Pickle.PROTOCOL


class StringMap(_FixedMap[K, str], value=values.String):
    """Base class of maps of text; None and "" are both stored as nothing and read as None."""


class OidMap(_FixedMap[K, int], value=KeyValue(Oid)):
    """Base class of maps of object IDs."""


class UuidMap(_FixedMap[K, UUID], value=KeyValue(Uuid.nullable)):
    """Base class of maps of UUIDs; None is stored as the nil UUID and read as such."""


class TimestampMap(_FixedMap[K, Time], value=KeyValue(Timestamp.nullable)):
    """Base class of maps of points in time; None is stored as 1970-01-01 and read as such."""


class Bytes16Map(_FixedMap[K, bytes], value=KeyValue(Bytes16.nullable)):
    """Base class of maps of 16 bytes; None is stored as zeros and read as such."""


class Bytes20Map(_FixedMap[K, bytes], value=KeyValue(Bytes20.nullable)):
    """Base class of maps of 20 bytes; None is stored as zeros and read as such."""


class Bytes32Map(_FixedMap[K, bytes], value=KeyValue(Bytes32.nullable)):
    """Base class of maps of 32 bytes; None is stored as zeros and read as such."""


class Bytes20TimestampMap(_FixedMap[K, tuple[bytes | None, Time]], value=values.Bytes20Timestamp()):
    """Base class of maps of pairs of 20 bytes and a time; no bytes are stored as zeros and read as such."""


class OidSetMap(_FixedMap[K, Set[int]], value=SetOf(Oid)):
    """Base class of maps of sets of object IDs; an empty set is stored as nothing and reads as None."""


class UuidSetMap(_FixedMap[K, Set[UUID]], value=SetOf(Uuid)):
    """Base class of maps of sets of UUIDs; an empty set is stored as nothing and reads as None."""
