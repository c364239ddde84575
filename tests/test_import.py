"""`import zlmdb` is light, and its names are those promised."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from shutil import copyfile
from types import ModuleType

import pytest

import zlmdb

# Each of these takes milliseconds to import, the packages tens of them.
HEAVY = {"asyncio", "inspect", "numpy", "cbor2", "click", "cffi", "pathlib", "re", "subprocess", "typing"}


def imported_by(run_python, statement):
    """Return the names of the modules that a statement imports in a fresh interpreter."""
    code = (
        f"import json, sys; before = set(sys.modules); {statement}; "
        "print(json.dumps(sorted(set(sys.modules) - before)))"
    )
    done = run_python("-c", code)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout))


@pytest.mark.parametrize("statement", ["import zlmdb", "import zlmdb._flatc"])
def test_import_loads_nothing_heavy(run_python, statement):
    imported = imported_by(run_python, statement)
    assert "zlmdb" in imported
    assert not imported & HEAVY
    assert not {name for name in imported if name.startswith(("zlmdb.lmdb", "zlmdb.orm", "zlmdb.cli"))}


def test_the_binding_is_loaded_at_first_use(run_python):
    imported = imported_by(run_python, "import zlmdb; zlmdb.lmdb")
    assert "zlmdb.lmdb" in imported
    assert "numpy" not in imported


def test_public_names():
    assert len(zlmdb.__all__) == len(set(zlmdb.__all__)) == 94
    assert sum(name.startswith("Map") for name in zlmdb.__all__) == 83
    assert {*zlmdb.__all__, "PersistentMap", "TABLES_BY_UUID", "Error"} <= set(dir(zlmdb))


def test_lmdb_is_a_package_and_an_attribute():
    import zlmdb.lmdb as package

    assert zlmdb.lmdb is package is sys.modules["zlmdb.lmdb"]


def test_misspelt_name():
    with pytest.raises(AttributeError, match="module 'zlmdb' has no attribute 'Databse'"):
        zlmdb.Databse  # noqa: B018
    assert not hasattr(zlmdb, "__path_to_nowhere__")


def autobahn(monkeypatch, version):
    """Install an autobahn that bundles a version of FlatBuffers."""
    package, bundled = ModuleType("autobahn"), ModuleType("autobahn.flatbuffers")
    bundled.__version__ = version
    package.flatbuffers = bundled
    monkeypatch.setitem(sys.modules, "autobahn", package)
    monkeypatch.setitem(sys.modules, "autobahn.flatbuffers", bundled)


def test_autobahn_of_the_same_flatbuffers_version(monkeypatch):
    autobahn(monkeypatch, zlmdb.flatbuffers.__version__)
    assert zlmdb.check_autobahn_flatbuffers_version_in_sync() == "25.12.19"


@pytest.mark.parametrize("version", ["25.9.23", "v25.12.19", "25.12.19 "])
def test_autobahn_of_another_flatbuffers_version(monkeypatch, version):
    autobahn(monkeypatch, version)
    with pytest.raises(RuntimeError, match=rf"mismatch.* 25\.12\.19.* {version}.*pip install"):
        zlmdb.check_autobahn_flatbuffers_version_in_sync()


def test_autobahn_absent(monkeypatch):
    monkeypatch.setitem(sys.modules, "autobahn", None)
    with pytest.raises(ModuleNotFoundError, match="pip install"):
        zlmdb.check_autobahn_flatbuffers_version_in_sync()


def test_an_unbuilt_source_tree_says_how_to_build_it(run_python, tmp_path):
    source, tree = Path(zlmdb.__file__).parent, tmp_path / "zlmdb"
    for name in ("__init__.py", "flatbuffers/__init__.py"):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        copyfile(source / name, tree / name)
    done = run_python("-S", "-c", "import zlmdb")  # without the import hook of an editable installation
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("ModuleNotFoundError: No module named 'zlmdb.flatbuffers.compat'")
    assert "pip install -e ." in last
