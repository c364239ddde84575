"""A conda package is made a function of its contents, and keeps them."""

import io
import json
import tarfile
import zipfile
from pathlib import Path

import pytest
import zstandard

from conda.normalise import normalise

FILES = {
    "info/index.json": b'{"name": "zlmdb", "timestamp": 5}',
    "info/about.json": b'{"channels": ["file:///home/jane/channel/", "conda-forge"], "license": "MIT"}',
    "site-packages/a.py": b"a = 1\n",
}


def pack(path: Path, names: list[str], seconds: int, user: str) -> Path:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size, member.mtime, member.uname, member.mode = len(FILES[name]), seconds, user, 0o755
            archive.addfile(member, io.BytesIO(FILES[name]))
        link = tarfile.TarInfo("bin/link")
        link.type, link.linkname, link.mtime = tarfile.SYMTYPE, "../a", seconds
        archive.addfile(link)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(
            zipfile.ZipInfo("pkg.tar.zst", (2000 + seconds, 1, 1, 0, 0, 0)),
            zstandard.compress(buffer.getvalue()),
        )
        archive.writestr("metadata.json", "{}")
    return path


@pytest.fixture
def packages(tmp_path) -> list[Path]:
    """Two packages of the same contents, made at different times, by different users, in different order."""
    return [
        pack(tmp_path / "a.conda", list(FILES), 1, "jane"),
        pack(tmp_path / "b.conda", list(reversed(FILES)), 2, "joe"),
    ]


def members(path: Path) -> dict[str, tarfile.TarInfo]:
    with zipfile.ZipFile(path) as archive:
        data = zstandard.ZstdDecompressor().stream_reader(archive.read("pkg.tar.zst")).read()
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return {member.name: member for member in archive}


def test_two_builds_become_one(packages):
    assert packages[0].read_bytes() != packages[1].read_bytes()
    for path in packages:
        normalise(path, 1700000000)
    assert packages[0].read_bytes() == packages[1].read_bytes()


def test_contents_modes_and_links_are_kept(packages):
    before = members(packages[0])
    normalise(packages[0], 1700000000)
    after = members(packages[0])
    assert after.keys() == before.keys()
    assert {member.mtime for member in after.values()} == {1700000000}
    assert after["site-packages/a.py"].mode == 0o755
    assert after["bin/link"].linkname == "../a"


def read(path: Path, name: str) -> object:
    with zipfile.ZipFile(path) as archive:
        data = zstandard.ZstdDecompressor().stream_reader(archive.read("pkg.tar.zst")).read()
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return json.load(archive.extractfile(name))


def test_the_time_of_the_record_is_set_in_milliseconds(packages):
    normalise(packages[0], 1700000000)
    assert read(packages[0], "info/index.json") == {"name": "zlmdb", "timestamp": 1700000000000}


def test_folders_of_the_building_machine_are_left_out(packages):
    normalise(packages[0], 1700000000)
    assert read(packages[0], "info/about.json") == {"channels": ["conda-forge"], "license": "MIT"}
