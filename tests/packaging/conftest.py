"""A small project root with one vendored component, for tests that damage what they work on."""

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from vendoring import archives
from vendoring.pins import Origin, Vendor

SOURCES = {
    "a.c": b"one\ntwo\nthree\n",
    "a.h": b"int a;\n",
    "LICENSE": b"Do as you like.\n",
    "patches/first.patch": b"--- a/a.c\n+++ b/a.c\n@@ -1,3 +1,4 @@\n one\n+one and a half\n two\n three\n",
    "patches/again.patch": b"--- a/a.c\n+++ b/a.c\n@@ -2,3 +2,3 @@\n one and a half\n-two\n+2\n three\n",
}
PATCHED = {"a.c": b"one\none and a half\n2\nthree\n", "a.h": SOURCES["a.h"]}

PIN = """\
# A component for tests.
version = "1.0"
license = "MIT"
license_files = ["LICENSE"]
homepage = "https://example.org"

[[origins]]
# Where it is published.
archive = "https://example.org/thing-{version}.tar.gz"
paths = { "" = "src/", "patches/" = "contrib/patches/" }

[select]
files = ["*.c", "*.h", "LICENSE", "patches/*.patch"]
skip = ["*_test.c"]
patchable = ["*.c", "*.h"]

"""


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _table(header: str, entries: Mapping[str, object]) -> str:
    # A JSON string, or list of strings, is also one of TOML.
    lines = [f"{json.dumps(key)} = {json.dumps(value)}" for key, value in entries.items()]
    return "\n".join([f"[{header}]", *lines, ""])


@dataclass
class Thing:
    """A component that is published, pinned, and not yet materialised."""

    folder: Path
    published: dict[str, bytes] = field(default_factory=lambda: {**SOURCES, "a_test.c": b"int main;\n"})

    def __post_init__(self) -> None:
        self.vendor = Vendor(self.folder)
        self.source = self.vendor.source("thing")
        self.pin()

    def pin(
        self, series: tuple[str, ...] = ("patches/first.patch", "patches/again.patch"), **own: str
    ) -> None:
        """Write the pin of `SOURCES`, with the sha256 of what the patches make of them."""
        patches = {"series": series, "own": list(own)}
        tables = [
            _table("files", {name: _sha256(content) for name, content in SOURCES.items()}),
            _table("patches", patches),
            _table("patched", {name: _sha256(content) for name, content in PATCHED.items()}),
        ]
        self.vendor.folder.mkdir(parents=True, exist_ok=True)
        self.vendor.pin_path("thing").write_text(PIN + "\n".join(tables))

    def add_own_patch(self, name: str, diff: bytes) -> None:
        """Put a patch of our own where zLMDB's lie, without listing it in the pin."""
        folder = self.vendor.folder / "patches" / "thing"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(diff)

    def archive(self, top: str = "thing-1.0") -> Path:
        """Write the archive that upstream publishes, and return its path."""
        path = self.folder / f"{top}.tar.gz"
        with tarfile.open(path, "w:gz") as archive:
            for name, content in self.published.items():
                place = f"contrib/{name}" if name.startswith("patches/") else f"src/{name}"
                entry = tarfile.TarInfo(f"{top}/{place}")
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
        return path


@pytest.fixture
def thing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Thing:
    """A component whose archive is served without a network."""
    thing = Thing(tmp_path)

    def download(origin: Origin, folder: Path) -> Path:
        assert origin.archive == "https://example.org/thing-1.0.tar.gz"
        return thing.archive()

    monkeypatch.setattr(archives, "download", download)
    return thing
