"""What docs/objects.md says is so: its tables are the code's. And what the modules' docstrings say."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
from pathlib import Path

import pytest

import zlmdb.orm
from zlmdb.orm.reference import reference

PAGE = Path(__file__).parents[2] / "docs" / "objects.md"
TEXT = PAGE.read_text(encoding="utf-8")


def test_the_reference_is_that_of_the_code():
    """Otherwise, put in what `python -m zlmdb.orm.reference` prints."""
    stored = TEXT.split("<!-- reference -->\n")[1].split("<!-- end of reference -->")[0]
    assert stored.strip() == reference()


def test_the_exceptions_are_all_there():
    names = [
        name
        for name, item in vars(zlmdb.orm.errors).items()
        if isinstance(item, type) and issubclass(item, zlmdb.Error)
    ]
    missing = {name for name in names if f"`{name}`" not in TEXT}
    assert missing <= {"Error", "TableIdError"}


@pytest.mark.parametrize("module", [m.name for m in pkgutil.iter_modules(zlmdb.orm.__path__, "zlmdb.orm.")])
def test_examples_in_docstrings(module):
    assert doctest.testmod(importlib.import_module(module)).failed == 0


def members(module):
    """Yield names and objects that a module and its classes define."""
    for name, item in vars(module).items():
        if getattr(item, "__module__", None) == module.__name__ and not name.startswith("_"):
            yield name, item
            if isinstance(item, type):
                fields = getattr(item, "_fields", ())  # of a NamedTuple: documented by the class
                yield from ((key, value) for key, value in vars(item).items() if key not in fields)


def test_everything_public_is_documented():
    undocumented = []
    for info in pkgutil.iter_modules(zlmdb.orm.__path__, "zlmdb.orm."):
        module = importlib.import_module(info.name)
        assert module.__doc__, info.name
        for name, item in members(module):
            function = getattr(item, "__func__", getattr(item, "fget", item))
            if callable(function) and not name.startswith("_") and not function.__doc__:
                undocumented.append(f"{info.name}.{name}")
    assert undocumented == []
