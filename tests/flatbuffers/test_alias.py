"""`flatbuffers.X` and `zlmdb.flatbuffers.X` are one module, whichever is imported first."""

from __future__ import annotations

import itertools
import pkgutil

import pytest

from zlmdb import flatbuffers


def submodules():
    """Return the names of all public submodules, relative to the package."""
    found = (module.name for module in pkgutil.walk_packages(flatbuffers.__path__, "zlmdb.flatbuffers."))
    names = (name.removeprefix("zlmdb.flatbuffers.") for name in found)
    return [name for name in names if not name.startswith("_")]


# Each does without the others: what one form of import has done may hide what another does not.
FORMS = ["import {0}", "from {1} import {2}", "importlib.import_module('{0}')"]


def imports(name):
    """Return statements that import the submodule `name`, by its own name and by the alias."""
    for package in ("zlmdb.flatbuffers", "flatbuffers"):
        full = f"{package}.{name}"
        parent, _, child = full.rpartition(".")
        yield [form.format(full, parent, child) for form in FORMS]


def test_every_submodule_is_covered():
    assert {"flexbuffers", "builder", "reflection", "reflection.Schema"} <= set(submodules())


@pytest.mark.parametrize("name", submodules())
def test_no_second_module_in_either_order(run_python, name):
    own, alias = imports(name)
    for first, second in [*zip(own, alias, strict=True), *zip(alias, own, strict=True)]:
        done = run_python(
            "-c",
            "import importlib, sys, zlmdb\n"
            f"{first}\n"
            f"{second}\n"
            f"ours = sys.modules['zlmdb.flatbuffers.{name}']\n"
            f"assert importlib.import_module('flatbuffers.{name}') is ours\n"
            f"assert ours.__name__ == ours.__spec__.name == 'zlmdb.flatbuffers.{name}'\n"
            f"assert zlmdb.flatbuffers.{name} is ours\n",
        )
        assert done.returncode == 0, f"{first}; {second}: {done.stderr}"


def test_no_second_module_in_any_order_of_several(run_python):
    statements = [
        "import flatbuffers.reflection.Schema",
        "import zlmdb.flatbuffers.flexbuffers",
        "import flatbuffers.flexbuffers",
        "import zlmdb.flatbuffers.reflection",
    ]
    for order in itertools.permutations(statements):
        done = run_python(
            "-c",
            "import sys, zlmdb\n" + "\n".join(order) + "\n"
            "for name in [name for name in sys.modules if name.startswith('flatbuffers.')]:\n"
            "    assert sys.modules[name] is sys.modules['zlmdb.' + name], name\n"
            "assert 'flatbuffers.reflection.Schema' in sys.modules\n",
        )
        assert done.returncode == 0, f"{order}: {done.stderr}"


def test_no_second_module_from_two_threads(run_python):
    done = run_python(
        "-c",
        "import sys, threading, zlmdb\n"
        "from importlib import import_module\n"
        "sys.setswitchinterval(1e-6)\n"
        "names = ['flexbuffers', 'reflection.Schema', 'reflection.Field']\n"
        "found, start = [], threading.Barrier(8)\n"
        "def work(package):\n"
        "    start.wait()\n"
        "    found.extend((name, import_module(package + name)) for name in names)\n"
        "packages = ['flatbuffers.', 'zlmdb.flatbuffers.'] * 4\n"
        "threads = [threading.Thread(target=work, args=[each]) for each in packages]\n"
        "[thread.start() for thread in threads]\n"
        "[thread.join() for thread in threads]\n"
        "assert len(found) == 24 and len(set(found)) == 3, found\n"
        "assert all(module.__spec__.name == 'zlmdb.flatbuffers.' + name for name, module in found)\n",
    )
    assert done.returncode == 0, done.stderr


def test_an_unknown_submodule_is_unknown_by_either_name(run_python):
    done = run_python(
        "-c",
        "import importlib.util, zlmdb\n"
        "for name in 'flatbuffers.nosuch', 'flatbuffers.reflection.nosuch', 'zlmdb.flatbuffers.nosuch':\n"
        "    assert importlib.util.find_spec(name) is None\n"
        "    try:\n"
        "        importlib.import_module(name)\n"
        "    except ModuleNotFoundError as error:\n"
        "        assert error.name == name, error.name\n"
        "    else:\n"
        "        raise SystemExit(name)\n",
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture
def stock(tmp_path):
    """Put a stock `flatbuffers` where it is installed, before ours."""
    package = tmp_path / "flatbuffers"
    package.mkdir()
    for name in ("__init__", "builder", "flexbuffers"):
        (package / f"{name}.py").write_text("STOCK = True\n")


@pytest.mark.usefixtures("stock")
def test_a_stock_flatbuffers_that_was_imported_earlier_keeps_its_modules(run_python):
    done = run_python(
        "-c",
        "import flatbuffers.builder, zlmdb, zlmdb.flatbuffers.flexbuffers\n"
        "import flatbuffers.flexbuffers\n"
        "assert flatbuffers.STOCK and flatbuffers.builder.STOCK and flatbuffers.flexbuffers.STOCK\n"
        "assert zlmdb.flatbuffers.flexbuffers.__name__ == 'zlmdb.flatbuffers.flexbuffers'\n",
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.usefixtures("stock")
def test_a_stock_flatbuffers_that_was_not_imported_does_not_mix_in(run_python):
    done = run_python(
        "-c",
        "import zlmdb, flatbuffers.flexbuffers, flatbuffers.builder, flatbuffers.reflection.Schema\n"
        "import zlmdb.flatbuffers.flexbuffers as ours\n"
        "assert flatbuffers is zlmdb.flatbuffers and flatbuffers.flexbuffers is ours\n"
        "assert flatbuffers.builder is zlmdb.flatbuffers.builder\n",
    )
    assert done.returncode == 0, done.stderr
