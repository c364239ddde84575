"""Programs that name the binding `zlmdb._lmdb_vendor` get the modules in use, not second copies of them."""

from __future__ import annotations

import importlib
import importlib.util

import pytest

from zlmdb import lmdb


def test_the_package():
    assert importlib.import_module("zlmdb._lmdb_vendor") is lmdb
    import zlmdb

    assert zlmdb._lmdb_vendor is lmdb


@pytest.mark.parametrize("name", ["aio", "cffi", "tool", "verify", "errors", "verify._page"])
def test_submodules(name):
    former = importlib.import_module(f"zlmdb._lmdb_vendor.{name}")
    assert former is importlib.import_module(f"zlmdb.lmdb.{name}")
    assert former.__name__ == former.__spec__.name == f"zlmdb.lmdb.{name}"


def test_from_import():
    from zlmdb._lmdb_vendor import aio, cffi, tool, verify

    assert [aio, cffi, tool, verify] == [lmdb.aio, lmdb.cffi, lmdb.tool, lmdb.verify]


def test_patches_reach_the_module_in_use(monkeypatch):
    tool = importlib.import_module("zlmdb.lmdb.tool")
    monkeypatch.setattr("zlmdb._lmdb_vendor.tool._find_diskstat", "patched")
    assert tool._find_diskstat == "patched"


def test_unknown_submodule():
    with pytest.raises(ModuleNotFoundError, match="no_such"):
        importlib.import_module("zlmdb._lmdb_vendor.no_such")
    assert importlib.util.find_spec("zlmdb._lmdb_vendor.no_such") is None


def test_lazily(run_python):
    result = run_python("-c", "import sys, zlmdb._lmdb_vendor; print('zlmdb.lmdb.aio' in sys.modules)")
    assert result.stdout == "False\n", result.stderr
