"""`zlmdb.flatbuffers.check` holds for the installation and finds each part that does not belong to it."""

from __future__ import annotations

from pathlib import Path
from shutil import copy

import pytest

from zlmdb import flatbuffers
from zlmdb.flatbuffers import FlatBuffersMismatchError, _check


@pytest.fixture
def package(tmp_path):
    """Return a directory with a copy of the reflection data, to be damaged."""
    for name in ("reflection.fbs", "reflection.bfbs"):
        copy(Path(flatbuffers.__file__).with_name(name), tmp_path)
    return tmp_path


def test_the_installation_is_of_one_version(package):
    versions = flatbuffers.check()
    assert versions == _check.check_versions(package)
    assert versions.runtime == versions.flatc == versions.reflection == flatbuffers.__version__


def test_runtime_of_another_version(monkeypatch):
    monkeypatch.setattr(_check, "__version__", "25.9.23")
    with pytest.raises(FlatBuffersMismatchError, match=r"flatc is 25\.12\.19, the runtime is 25\.9\.23"):
        flatbuffers.check()


def test_changed_schema(package):
    with (package / "reflection.fbs").open("a") as schema:
        schema.write("table More {}\n")
    with pytest.raises(FlatBuffersMismatchError, match="is not what flatc"):
        _check.check_versions(package)


def test_changed_binary_schema(package):
    data = bytearray((package / "reflection.bfbs").read_bytes())
    data[-1] ^= 1
    (package / "reflection.bfbs").write_bytes(data)
    with pytest.raises(FlatBuffersMismatchError, match="is not what flatc"):
        _check.check_versions(package)


@pytest.mark.parametrize("data", [b"", b"\0" * 8, b"\x18\0\0\0BFBT"])
def test_no_binary_schema(package, data):
    (package / "reflection.bfbs").write_bytes(data)
    with pytest.raises(FlatBuffersMismatchError, match="is no binary schema"):
        _check.check_versions(package)


@pytest.mark.parametrize("name", ["reflection.fbs", "reflection.bfbs"])
def test_missing_reflection_data(package, name):
    (package / name).unlink()
    with pytest.raises(FileNotFoundError, match=name):
        _check.check_versions(package)


def test_schema_that_does_not_compile(package):
    (package / "reflection.fbs").write_text("table {")
    with pytest.raises(FlatBuffersMismatchError, match=r"(?s)exit status 1: .*reflection\.fbs:1.*error: "):
        _check.check_versions(package)
