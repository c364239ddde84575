"""Schemas in YAML files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from zlmdb.orm.catalog import MapStringCbor, MapStringJson, MapUuidCbor, MapUuidJson
from zlmdb.orm.errors import DependencyError, UsageError
from zlmdb.orm.maps import PersistentMap
from zlmdb.orm.parts import shown

FIRST_SLOT, LAST_SLOT = 100, 0xFFFF
"""The slots that a schema file may use."""

CLASSES: dict[str, Any] = {
    "string-json": MapStringJson,
    "string-cbor": MapStringCbor,
    "uuid-json": MapUuidJson,
    "uuid-cbor": MapUuidCbor,
}
"""The map class for each kind of keys and values."""


class Schema(Mapping[str, PersistentMap[Any, Any]]):
    """The maps that a YAML file describes, by name.

    The file has a list ``slots``, each with an ``index`` (100 to 65535), a ``name``, the kinds of ``key``
    ("string" or "uuid") and ``value`` ("json" or "cbor"), and optionally ``schema`` and ``description``.
    """

    def __init__(self, maps: dict[str, PersistentMap[Any, Any]]) -> None:
        self._maps = maps

    def __getitem__(self, name: str) -> PersistentMap[Any, Any]:
        if name not in self._maps:
            raise IndexError(f"no slot {name!r} in the schema; it has {sorted(self._maps)}")
        return self._maps[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._maps)

    def __len__(self) -> int:
        return len(self._maps)

    @classmethod
    def parse(cls, filename: str) -> Schema:
        """Read a YAML file, which needs the package PyYAML.

        Raises:
            UsageError: The file is not of this form.
            DependencyError: PyYAML is not installed.
            OSError: The file cannot be read.
        """
        return cls(_maps(filename))


def _maps(filename: str) -> dict[str, PersistentMap[Any, Any]]:
    """Return the maps that a file describes, by name."""
    try:
        import yaml  # type: ignore[import-untyped,unused-ignore]
    except ImportError as error:
        raise DependencyError(
            "Schema files need the package PyYAML; install it with: python -m pip install pyyaml"
        ) from error
    try:
        document = yaml.safe_load(Path(filename).read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise UsageError(f"{filename} is not a YAML file: {error}") from error
    slots = document.get("slots") if isinstance(document, dict) else None
    if not isinstance(slots, list):
        raise UsageError(f"{filename} must have a list named slots")
    maps: dict[str, PersistentMap[Any, Any]] = {}
    used: set[int] = set()
    for number, slot in enumerate(slots):
        where = f"{filename}, slot {number + 1} of the list"
        name, index, pmap = _map(where, slot)
        if name in maps or index in used:
            raise UsageError(f"{where}: the name {name!r} or the index {index} is used before")
        maps[name] = pmap
        used.add(index)
    return maps


def _map(where: str, slot: Any) -> tuple[str, int, PersistentMap[Any, Any]]:
    if not isinstance(slot, dict):
        raise UsageError(f"{where} must be a mapping, not {shown(slot)}")
    name, index, kinds = slot.get("name"), slot.get("index"), f"{slot.get('key')}-{slot.get('value')}"
    if not isinstance(name, str) or not name:
        raise UsageError(f"{where}: name must be a text, not {shown(name)}")
    if type(index) is not int or not FIRST_SLOT <= index <= LAST_SLOT:
        raise UsageError(f"{where}: index must be from {FIRST_SLOT} to {LAST_SLOT}, not {shown(index)}")
    if kinds not in CLASSES:
        raise UsageError(f"{where}: key and value must be one of {sorted(CLASSES)}, not {kinds}")
    return name, index, CLASSES[kinds](index, marshal=_plain, unmarshal=_plain)


def _plain(value: Any) -> Any:
    return value
