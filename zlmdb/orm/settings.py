"""What the decorators of tables and slots note in classes and maps.

It stands in attributes ``_zlmdb_...``, which applications know as well.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple
from uuid import UUID

from zlmdb.orm.errors import UsageError

Function = Callable[..., Any]

PREFIX = "_zlmdb_"


class Settings(NamedTuple):
    """What the decorator `table` notes in a class."""

    marshal: Function | None = None
    parse: Function | None = None
    build: Function | None = None
    cast: Function | None = None
    compress: int | None = None

    @classmethod
    def of(cls, klass: object) -> Settings:
        """Return what is noted in a class."""
        return cls(*(getattr(klass, PREFIX + name) for name in cls._fields))

    def arguments(self) -> dict[str, Any]:
        """Return the keyword arguments for the constructor of a map.

        Raises:
            UsageError: Of a pair of functions one is missing, or both pairs are given.
        """
        given = [function is not None for function in self[:4]]
        if given == [True, True, False, False]:
            return {"marshal": self.marshal, "unmarshal": self.parse, "compress": self.compress}
        if given == [False, False, True, True]:
            return {"build": self.build, "cast": self.cast, "compress": self.compress}
        if not any(given):
            return {"compress": self.compress}
        raise UsageError(
            "a table has either marshal and parse, or build and cast, or none of the four: this one has "
            + " and ".join(self.functions())
        )

    def functions(self) -> list[str]:
        """Return the names of the functions that are given."""
        return [name for name in self._fields[:4] if getattr(self, name) is not None]


def note(target: object, **settings: Any) -> None:
    """Note settings in a class, or in a map."""
    for name, setting in settings.items():
        setattr(target, PREFIX + name, setting)


def table_id(klass: type[Any], inherited: bool = True) -> UUID | None:
    """Return the ID of the table that a class is, if it is one.

    Args:
        klass: The class.
        inherited: Whether that of a base class counts.
    """
    found = getattr(klass, PREFIX + "oid", None) if inherited else vars(klass).get(PREFIX + "oid")
    return found if isinstance(found, UUID) else None
