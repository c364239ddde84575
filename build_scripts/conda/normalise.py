"""Make a conda package a function of its contents: without times and folders, with its members in order."""

import io
import json
import tarfile
import zipfile
from pathlib import Path

import zstandard

ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)
LEVEL = 19


def normalise(path: Path, seconds: int) -> None:
    """Rewrite a `.conda` file with all its times set to `seconds` since 1970."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in sorted(archive.namelist())}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            packed = _repack(content, seconds) if name.endswith(".tar.zst") else content
            archive.writestr(zipfile.ZipInfo(name, ZIP_EPOCH), packed)


def _repack(compressed: bytes, seconds: int) -> bytes:
    source = io.BytesIO(zstandard.ZstdDecompressor().stream_reader(compressed).read())
    target = io.BytesIO()
    with tarfile.open(fileobj=source) as old, tarfile.open(fileobj=target, mode="w") as new:
        for member in sorted(old, key=lambda each: each.name):
            content = old.extractfile(member) if member.isfile() else None  # Links have none of their own.
            data = content.read() if content else b""
            if member.name == "info/index.json":
                data = _changed(data, timestamp=seconds * 1000)  # It counts milliseconds.
            elif member.name == "info/about.json":
                data = _changed(data, channels=_published(data))
            member.size, member.mtime = len(data), seconds
            member.uid = member.gid = 0
            member.uname = member.gname = ""
            member.pax_headers = {}
            new.addfile(member, io.BytesIO(data))
    return zstandard.ZstdCompressor(level=LEVEL).compress(target.getvalue())


def _changed(record: bytes, **values: object) -> bytes:
    """Return a JSON object with some of its values replaced."""
    return json.dumps({**json.loads(record), **values}, indent=2).encode()


def _published(about: bytes) -> list[str]:
    """Return the channels that a package was built from, without the folders of the building machine."""
    return [each for each in json.loads(about).get("channels", []) if not each.startswith("file:")]
