"""What docs/design.md promises: rooms rest on lower ones only, and leave each other's insides alone.

An import counts wherever it stands: at the top, in a function, or for annotations.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

FLOORS = {
    "zlmdb/orm": [
        "errors",
        "parts raw opening settings",
        "compression prefixes timestamps transaction slots maintenance",
        "keys statistics",
        "values",
        "codec legacy_codecs",
        "indexes selection",
        "index_checks planned encoded",
        "records",
        "bulk",
        "maps",
        "kinds schema tables",
        "catalog database",
        "aio reference schema_files",
    ],
}
"""For each package its rooms, floor by floor from the ground; a room imports from lower floors only."""

UPWARD = {
    ("opening", "database"): "the registry of what is open names what it registers, in annotations",
}
"""Imports that go up all the same, each with its reason."""

DOORS = {
    "zlmdb/orm": (
        "zlmdb zlmdb._database zlmdb.flatbuffers "
        "zlmdb.lmdb zlmdb.lmdb._fast zlmdb.lmdb.errors zlmdb.lmdb.verify"
    ),
    "zlmdb/lmdb": "zlmdb",
    "build_scripts": "",
}
"""What a package imports of zlmdb besides its own rooms."""

OTHER_DOORS = {
    ("zlmdb/orm/opening.py", "zlmdb.lmdb.engine"): "a file's format is told before there is an environment",
    ("zlmdb/orm/opening.py", "zlmdb.lmdb._directory"): "a temporary database owns its directory",
}

FRIENDS = {
    ("maps", "_raw"): "a map works in a transaction that users see nothing of",
    ("statistics", "_raw"): "likewise",
    ("tables", "_raw"): "likewise",
    ("tables", "_records"): "to drop a map is to drop the slots of its indexes too",
    ("catalog", "_key_codec"): "the documentation shows what a class of maps was declared with",
    ("catalog", "_value_codec"): "likewise",
    ("database", "_LIB_VERSION_TO_MAJOR"): "a module's constant, under the name of older releases",
    ("maintenance", "_LIB_VERSION_TO_MAJOR"): "likewise",
    ("opening", "_LIB_VERSION_TO_MAJOR"): "likewise",
}
"""Rooms that use a private attribute of objects from other rooms, each with its reason."""

MOST_ACCESSES = 20


def rooms(package: str) -> dict[str, str]:
    """Return the source of each room of a package, or of a package in it, by name."""
    return {
        path.stem: path.read_text(encoding="utf-8")
        for path in sorted((ROOT / package).rglob("*.py"))
        if path.name != "__init__.py" and "cmake" not in path.parts
    }


def is_module(name: str) -> bool:
    """Return whether there is such a module or package here."""
    path = ROOT.joinpath(*name.split("."))
    return path.is_dir() or path.with_suffix(".py").exists()


def imports(source: str, package: str) -> set[str]:
    """Return the modules of zlmdb that a source imports; relative names are of the package."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = ".".join(filter(None, [package if node.level else "", node.module]))
            found.add(module)
            found.update(f"{module}.{a.name}" for a in node.names if is_module(f"{module}.{a.name}"))
    return {name for name in found if name.split(".")[0] == "zlmdb"}


def upward(package: str, sources: dict[str, str]) -> set[tuple[str, str]]:
    """Return the imports from one room by another that stands no higher."""
    dotted = package.replace("/", ".")
    floors = {room: n for n, floor in enumerate(FLOORS[package]) for room in floor.split()}
    return {
        (room, target)
        for room, source in sources.items()
        for target in (name.removeprefix(f"{dotted}.") for name in imports(source, dotted))
        if target in floors and floors[target] >= floors[room]
    }


def strange(package: str, sources: dict[str, str]) -> set[tuple[str, str]]:
    """Return the imports of what is neither a room of the package nor one of its doors."""
    dotted = package.replace("/", ".")
    doors = DOORS[package].split()
    return {
        (f"{package}/{room}.py", name)
        for room, source in sources.items()
        for name in imports(source, dotted)
        if name not in doors and not f"{name}.".startswith(f"{dotted}.")
    }


def foreign(source: str) -> Iterator[str]:
    """Yield the private attributes that a source uses of objects, and that it does not define itself."""
    tree = ast.parse(source)
    in_classes = {id(n) for cls in ast.walk(tree) if isinstance(cls, ast.ClassDef) for n in ast.walk(cls)}
    own = {"_asdict", "_fields", "_replace"}  # which are public in a NamedTuple
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            own.add(node.name)
        elif isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store):
            is_own = isinstance(node, ast.Name) or getattr(node.value, "id", "") == "self"
            own.update([node.id if isinstance(node, ast.Name) else node.attr] if is_own else [])
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.endswith("__"):
            is_self = id(node) in in_classes and getattr(node.value, "id", "") in ("self", "cls")
            if not is_self and node.attr not in own:
                yield node.attr


def intruders(sources: dict[str, str]) -> list[tuple[str, str]]:
    """Return the rooms that use private attributes of others without being named friends."""
    return [
        (room, name)
        for room, source in sources.items()
        for name in foreign(source)
        if not any(room == friend and name == attribute for friend, attribute in FRIENDS)
    ]


@pytest.mark.parametrize("package", FLOORS)
def test_no_room_rests_on_a_higher_one(package):
    sources = rooms(package)
    assert set(sources) == {room for floor in FLOORS[package] for room in floor.split()}
    assert upward(package, sources) == set(UPWARD)


@pytest.mark.parametrize("package", DOORS)
def test_no_package_is_entered_by_another_way_than_its_doors(package):
    found = strange(package, rooms(package))
    assert found == {way for way in OTHER_DOORS if way[0].startswith(package)}


@pytest.mark.parametrize("package", FLOORS)
def test_no_room_uses_the_private_parts_of_another(package):
    sources = rooms(package)
    assert intruders(sources) == []
    used = [(room, name) for room, source in sources.items() for name in foreign(source)]
    assert len(used) <= MOST_ACCESSES
    assert set(FRIENDS) == set(used)


@pytest.mark.parametrize(
    "source",
    [
        "from zlmdb.orm.maps import PersistentMap",
        "from zlmdb.orm import maps",
        "from .maps import PersistentMap",
        "from . import maps",
        "import zlmdb.orm.maps",
        "def late():\n    from zlmdb.orm.maps import PersistentMap",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from zlmdb.orm.maps import PersistentMap",
        "from zlmdb.orm.records import Records",  # of the same floor
    ],
)
def test_an_import_that_goes_up_does_not_pass(source):
    room = "records" if "records" in source else "codec"
    assert upward("zlmdb/orm", {room: source}) != set()


@pytest.mark.parametrize(
    ("package", "source"),
    [
        ("zlmdb/orm", "from zlmdb.lmdb.bulk import put_records"),
        ("zlmdb/orm", "from zlmdb.lmdb._native import lib"),
        ("zlmdb/lmdb", "from zlmdb.orm.errors import Error"),
        ("zlmdb/lmdb", "from zlmdb import orm"),
        ("build_scripts", "import zlmdb"),
    ],
)
def test_a_way_around_the_doors_does_not_pass(package, source):
    assert strange(package, {"room": source}) != set()


@pytest.mark.parametrize(
    "source",
    [
        "def f(pmap):\n    return pmap._records",
        "class A:\n    def f(self):\n        return self.other._hidden",
        "class A:\n    def f(self, other):\n        other._hidden = 5",
        "def f(cls):\n    return cls._key_codec",
    ],
)
def test_a_stranger_who_uses_private_parts_does_not_pass(source):
    assert intruders({"selection": source}) != []


def test_what_a_room_keeps_to_itself_passes():
    source = "class A:\n    def f(self, other):\n        self._own = 1\n        return other._own"
    assert intruders({"selection": source}) == []
