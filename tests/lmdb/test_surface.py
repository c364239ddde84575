"""A program of py-lmdb's finds every name it imports."""

from __future__ import annotations

import importlib
import sys
import typing

import pytest

import zlmdb
from zlmdb import lmdb

EXCEPTIONS = [
    "BadChecksumError", "BadDbiError", "BadRslotError", "BadTxnError", "BadValsizeError",
    "CorruptedError", "CryptoFailError", "CursorFullError", "DbsFullError", "DiskError",
    "EnvEncryptionError", "Error", "IncompatibleError", "InvalidError", "InvalidParameterError",
    "KeyExistsError", "LockError", "MapFullError", "MapResizedError", "MemoryError",
    "NotFoundError", "PageFullError", "PageNotFoundError", "PanicError", "ProblemError",
    "ReadersFullError", "ReadonlyError", "TlsFullError", "TxnFullError", "VersionMismatchError",
]  # fmt: skip


def test_all():
    names = ["Cursor", "Environment", "Transaction", "_Database", "enable_drop_gil", "version", *EXCEPTIONS]
    assert sorted(lmdb.__all__) == sorted(names)
    assert len(EXCEPTIONS) == 30
    for name in names:
        assert hasattr(lmdb, name)


def test_open_is_the_class_and_not_in_all():
    assert lmdb.open is lmdb.Environment
    assert "open" not in lmdb.__all__


def test_levels():
    assert lmdb.__version__ == "3.0.0"
    assert lmdb.__forked_from__ == "py-lmdb 3.0.0"


def test_importable_as_attribute_and_as_module():
    assert importlib.import_module("zlmdb.lmdb") is lmdb is zlmdb.lmdb
    assert hasattr(lmdb, "__path__")


@pytest.mark.parametrize("name", ["aio", "tool", "verify", "cffi"])
def test_submodules_become_attributes(name):
    module = importlib.import_module(f"zlmdb.lmdb.{name}")
    assert getattr(lmdb, name) is module


def test_cffi_variant_has_the_same_names():
    cffi = importlib.import_module("zlmdb.lmdb.cffi")
    for name in [*lmdb.__all__, "open", "__version__"]:
        assert getattr(cffi, name) is getattr(lmdb, name)


@pytest.mark.parametrize("name", ["LMDB_FORCE_CFFI", "LMDB_FORCE_CPYTHON"])
def test_backend_variables_are_ignored(run_python, monkeypatch, name):
    monkeypatch.setenv(name, "1")
    result = run_python("-c", "from zlmdb import lmdb; print(lmdb.version())")
    assert (result.stdout, result.stderr) == (f"{lmdb.version()}\n", "")


def test_enable_drop_gil_does_nothing():
    assert lmdb.enable_drop_gil() is None


def test_typed():
    """The package says that it is typed, and its annotations resolve."""
    assert (importlib.resources.files(zlmdb) / "py.typed").is_file()
    assert typing.get_type_hints(lmdb.Environment.path)["return"] is str


def test_import_is_light():
    """What the command line tool and asyncio need is not imported with the binding."""
    heavy = {"asyncio", "numpy", "optparse", "csv"}
    code = f"import sys; from zlmdb import lmdb; print(sorted({heavy!r} & set(sys.modules)))"
    import subprocess

    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "[]\n"
