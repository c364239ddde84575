"""Schemas: classes of maps made known as tables, and collections of maps with fixed slots."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, NamedTuple, TypeVar
from uuid import UUID, uuid4

from zlmdb.orm.codec import MAX_SLOT
from zlmdb.orm.compression import SNAPPY, ZLIB
from zlmdb.orm.errors import TableIdError, UsageError
from zlmdb.orm.maps import PersistentMap
from zlmdb.orm.parts import shown
from zlmdb.orm.settings import Function, Settings, note, table_id
from zlmdb.orm.values import check_functions

MapClass = TypeVar("MapClass", bound=type[PersistentMap[Any, Any]])
Map = TypeVar("Map", bound=PersistentMap[Any, Any])

TABLES_BY_UUID: dict[UUID, type[PersistentMap[Any, Any]]] = {}
"""The classes that `table` has decorated, by their IDs."""


def table(
    oid: UUID | str,
    marshal: Function | None = None,
    parse: Function | None = None,
    build: Function | None = None,
    cast: Function | None = None,
    compress: int | None = None,
) -> Callable[[MapClass], MapClass]:
    """Return a decorator for a map class that makes it a table, for `Database.attach_table`.

    A class that is defined anew, with the same name in the same module, takes the place of the one before:
    the cell of a notebook may be run twice.

    Args:
        oid: The ID of the table, in all databases that have it.
        marshal: Makes plain data of a value, for CBOR and JSON.
        parse: Makes a value of plain data.
        build: Writes a value with a FlatBuffers builder.
        cast: Makes a value of FlatBuffers bytes.
        compress: How values are compressed; see `PersistentMap`.

    Raises:
        UsageError: An argument is of the wrong type. From the decorator: the ID is taken by a table with
            other settings.
        TableIdError: The ID is not a UUID.
    """
    table_oid = _table_id(oid)
    check_functions(marshal=marshal, parse=parse, build=build, cast=cast)
    if compress not in (None, ZLIB, SNAPPY):
        raise UsageError(f"compress must be None, COMPRESS_ZLIB or COMPRESS_SNAPPY, not {shown(compress)}")
    settings = Settings(marshal, parse, build, cast, compress)

    def decorate(cls: MapClass) -> MapClass:
        if not (isinstance(cls, type) and issubclass(cls, PersistentMap)):
            raise UsageError(f"table decorates subclasses of PersistentMap, not {shown(cls)}")
        decorated = cls if table_id(cls, inherited=False) == table_oid else TABLES_BY_UUID.get(table_oid)
        if decorated is None or _is_redefined(decorated, cls):
            TABLES_BY_UUID[table_oid] = cls
        elif table_id(decorated) == table_oid:
            _check_same(decorated, cls, settings)
        note(cls, oid=table_oid, **settings._asdict())
        return cls

    return decorate


def _table_id(oid: UUID | str) -> UUID:
    if isinstance(oid, UUID):
        return oid
    if not isinstance(oid, str):
        raise UsageError(f"oid must be a UUID or a str, not {shown(oid)}")
    try:
        return UUID(oid)
    except ValueError as error:
        raise TableIdError(f"oid must be a UUID such as {uuid4()}, not {oid!r}") from error


def _is_redefined(known: type[Any], cls: type[Any]) -> bool:
    """Return whether a class is another definition of the one that is known."""
    names = [(each.__module__, each.__qualname__) for each in (known, cls)]
    return known is not cls and names[0] == names[1]


def _check_same(known: type[Any], cls: type[Any], settings: Settings) -> None:
    for name, registered, setting in zip(settings._fields, Settings.of(known), settings, strict=True):
        if registered != setting:
            raise UsageError(
                f"table {table_id(known)} of {cls.__name__} is taken by class {known.__name__}, which has "
                f"another {name}: {registered!r} instead of {setting!r}"
            )


class Slot(NamedTuple):
    """A slot of a schema.

    Attributes:
        slot: The number of the slot.
        name: The name of the map's class.
        pmap: The map.
    """

    slot: int
    name: str
    pmap: PersistentMap[Any, Any]


class Schema:
    """Base class for an application's collection of maps, which are attributes of its instance."""

    SLOT_DATA_EMPTY = 0
    SLOT_DATA_METADATA = 1
    SLOT_DATA_TYPE = 2
    SLOT_DATA_SEQUENCE = 3
    SLOT_DATA_TABLE = 4
    SLOT_DATA_INDEX = 5
    SLOT_DATA_REPLICATION = 6
    SLOT_DATA_MATERIALIZATION = 7

    @cached_property
    def _index_to_slot(self) -> dict[int, Slot]:
        return {}

    @cached_property
    def _name_to_slot(self) -> dict[str, Slot]:
        return {}

    def slot(
        self,
        slot_index: int,
        marshal: Function | None = None,
        unmarshal: Function | None = None,
        build: Function | None = None,
        cast: Function | None = None,
        compress: int | bool = False,
    ) -> Callable[[Map], Map]:
        """Return a decorator for a map, an instance, that registers it with a slot and with the settings.

        The settings are noted in the map's ``_zlmdb_...`` attributes; how the map works they do not change.

        Args:
            slot_index: The number of the slot, once in a schema.
            marshal: Makes plain data of a value.
            unmarshal: Makes a value of plain data.
            build: Writes a value with a FlatBuffers builder.
            cast: Makes a value of FlatBuffers bytes.
            compress: How values are compressed.

        Raises:
            UsageError: An argument is of the wrong type. From the decorator: not a map, or the slot or the
                name of the map's class is in the schema already.
        """
        if type(slot_index) is not int or not 1 <= slot_index <= MAX_SLOT:
            raise UsageError(f"slot_index must be an int from 1 to {MAX_SLOT}, not {shown(slot_index)}")
        check_functions(marshal=marshal, unmarshal=unmarshal, build=build, cast=cast)

        def decorate(pmap: Map) -> Map:
            self._register(slot_index, pmap)
            note(
                pmap, slot=slot_index, marshal=marshal, unmarshal=unmarshal, build=build, cast=cast,
                compress=compress,
            )  # fmt: skip
            return pmap

        return decorate

    def _register(self, slot_index: int, pmap: PersistentMap[Any, Any]) -> None:
        if not isinstance(pmap, PersistentMap):
            raise UsageError(f"slot decorates maps, not {shown(pmap)}")
        slot = Slot(slot_index, type(pmap).__name__, pmap)
        if slot_index in self._index_to_slot:
            raise UsageError(
                f"slot {slot_index} of the schema is taken by {self._index_to_slot[slot_index].name}"
            )
        if slot.name in self._name_to_slot:
            raise UsageError(
                f"the schema has a {slot.name} already, in slot {self._name_to_slot[slot.name].slot}"
            )
        self._index_to_slot[slot_index] = slot
        self._name_to_slot[slot.name] = slot
