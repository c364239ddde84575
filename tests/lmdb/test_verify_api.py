"""What can be verified at all, and how it is named."""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

import pytest

from zlmdb import lmdb
from zlmdb.lmdb.verify import VerifyError, resolve_data_path, verify

PAGE = mmap.PAGESIZE  # which LMDB takes for its own


@pytest.fixture(params=[0, 1], ids=["v1", "v3"])
def env_path(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """Return the directory of an environment with a few records."""
    path = tmp_path / "env"
    with lmdb.open(str(path), lib_version=request.param) as env, env.begin(write=True) as txn:
        txn.put(b"key", b"value")
    return path


def test_resolve_data_path(tmp_path):
    file = str(tmp_path / "file")
    assert resolve_data_path(str(tmp_path)) == str(tmp_path / "data.mdb")
    assert resolve_data_path(file) == file
    assert resolve_data_path(file, subdir=True) == str(tmp_path / "file" / "data.mdb")
    assert resolve_data_path(str(tmp_path), subdir=False) == str(tmp_path)
    assert resolve_data_path(bytes(tmp_path)) == bytes(tmp_path / "data.mdb")
    assert resolve_data_path(tmp_path) == str(tmp_path / "data.mdb")


def test_every_way_to_name_a_file(env_path):
    data = env_path / "data.mdb"
    for path, subdir in [
        (env_path, None),
        (env_path, True),
        (data, None),
        (data, False),
        (bytes(data), None),
    ]:
        assert verify(path, subdir) == []


def test_verifying_does_not_open_the_environment(env_path):
    # LMDB would create a lock file. A read-only file is enough, too.
    (env_path / "lock.mdb").unlink()
    (env_path / "data.mdb").chmod(0o400)
    assert verify(env_path) == []
    assert [path.name for path in env_path.iterdir()] == ["data.mdb"]


def test_verifying_an_open_environment(env_path):
    with lmdb.open(str(env_path)) as env, env.begin():
        assert verify(env_path) == []


@pytest.mark.parametrize("name", ["missing", "."])
def test_unreadable(tmp_path, name):
    with pytest.raises(OSError, match=r"No such file|directory"):
        verify(tmp_path / name, subdir=False)


@pytest.mark.parametrize("content", [b"", b"\0", bytes(10_000), b"not a database " * 1000])
def test_not_an_lmdb_file(tmp_path, content):
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(VerifyError, match="not an LMDB data file"):
        verify(tmp_path / "file")


def damaged(env_path: Path, offset: int, form: str, value: int, *slots: int) -> Path:
    """Overwrite a field of the content of meta pages, `offset` bytes after the magic number."""
    path = env_path / "data.mdb"
    data = bytearray(path.read_bytes())
    magic = struct.pack("=I", 0xBEEFC0DE)
    starts = [data.index(magic), data.index(magic, PAGE)]
    for slot in slots:
        struct.pack_into(form, data, starts[slot] + offset, value)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("offset", "form", "value", "slots", "message"),
    [
        (0, ">I" if struct.pack("=H", 1)[0] else "<I", 0xBEEFC0DE, (0, 1), "of the other byte order"),
        (4, "=I", 2, (0, 1), "data format v2 is not supported"),
        (4, "=I", 999, (0, 1), "data format v999 is not supported"),
        (24, "=I", 0, (0, 1), "page size 0 "),
        (24, "=I", 4095, (0, 1), "page size 4095 "),
        (24, "=I", 128, (0, 1), "page size 128 "),
        (24, "=I", 1 << 31, (0, 1), "page size 2147483648 "),
        (24, "=I", 2 * PAGE, (0,), "page 1 is not a meta page"),
        (24, "=I", PAGE << 3, (0,), "meta page 1 is cut short"),
        (24, "=I", 2 * PAGE, (1,), "disagree"),
        (0, "=I", 0, (1,), "page 1 is not a meta page"),
        (-6, "=H", 0, (0,), "page 0 is not a meta page"),
        (4, "=I", 7, (1,), "disagree"),
        (120, "=Q", 2**40, (0, 1), "last page 1099511627776 is absurd"),
        (120, "=Q", 2**64 - 1, (0, 1), "is absurd"),
        (120, "=Q", 0, (0, 1), "last page 0 is absurd"),
    ],
)
def test_meta_pages(env_path, offset, form, value, slots, message):
    with pytest.raises(VerifyError, match=message):
        verify(damaged(env_path, offset, form, value, *slots))


def test_file_of_a_32_bit_machine(tmp_path):
    header = struct.pack("=IHHHH", 0, 0, 8, 0, 0)
    (tmp_path / "file").write_bytes((header + struct.pack("=II", 0xBEEFC0DE, 1)).ljust(8192, b"\0"))
    with pytest.raises(VerifyError, match="32-bit"):
        verify(tmp_path / "file")


@pytest.mark.parametrize("size", [20, 100, PAGE, PAGE + 100])
def test_cut_inside_the_meta_pages(env_path, size):
    data = env_path / "data.mdb"
    data.write_bytes(data.read_bytes()[:size])
    with pytest.raises(VerifyError):
        verify(data)
