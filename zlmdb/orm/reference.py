"""Tables of the kinds of keys, the kinds of values and the map classes, for the documentation.

``python -m zlmdb.orm.reference`` prints them as they stand in ``docs/objects.md``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from zlmdb.orm.catalog import NAMED_MAPS, codecs
from zlmdb.orm.keys import Key
from zlmdb.orm.maps import PersistentMap
from zlmdb.orm.values import Value


def reference() -> str:
    """Return the tables in Markdown."""
    keys: dict[str, Key[Any]] = {}
    values: dict[str, Value[Any]] = {}
    classes: dict[str, list[str]] = {}
    for name, cls in NAMED_MAPS.items():
        kind, key, value = _kinds(cls)
        keys[kind] = key
        values[value.name] = value
        classes.setdefault(value.name, []).append(f"`{name}`")
    parts = [
        "### Kinds of keys",
        _table("Kind", "Python type", "Bytes", "Sorted")(
            (kind, f"`{key.type_name}`", key.layout, "yes" if key.sorts else "no")
            for kind, key in sorted(keys.items())
        ),
        "### Kinds of values",
        _table("Kind", "Python type", "Bytes")(
            (kind, f"`{value.type_name}`", value.layout) for kind, value in sorted(values.items())
        ),
        "### Map classes",
        _table("Values", "Classes")((kind, ", ".join(names)) for kind, names in sorted(classes.items())),
    ]
    return "\n\n".join(parts)


def _kinds(cls: type[PersistentMap[Any, Any]]) -> tuple[str, Key[Any], Value[Any]]:
    """Return the name of the kind of keys, as in the name of the class, and the codecs."""
    key, value = codecs(cls)
    return cls.__name__.removeprefix("Map").removesuffix(value.name), key, value


def _table(*head: str) -> Callable[[Iterable[tuple[str, ...]]], str]:
    """Return what makes a table with these heads of rows."""

    def line(cells: Iterable[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    return lambda rows: "\n".join([line(head), line("---" for _ in head), *map(line, rows)])


if __name__ == "__main__":
    print(reference())
