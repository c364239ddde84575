"""The format of new databases, and schemas from YAML files: names that applications of older releases use.

The database itself is in `zlmdb.orm.database`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zlmdb.orm.maps import PersistentMap

DEFAULT_LIB_VERSION = "1.0"
"""The LMDB format of new databases that are created without ``lib_version``; read whenever one is."""

_LIB_VERSION_TO_MAJOR = {"0.9": 0, "1.0": 1}
"""LMDB's major version for each ``lib_version``."""

FIRST_SLOT, LAST_SLOT = 100, 0xFFFF
"""The slots that a schema file may use."""


class Schema(Mapping[str, "PersistentMap[Any, Any]"]):
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
            zlmdb.orm.errors.UsageError: The file is not of this form.
            zlmdb.orm.errors.DependencyError: PyYAML is not installed.
            OSError: The file cannot be read.
        """
        from zlmdb.orm.schema_files import parse

        return cls(parse(filename))
