"""Open a wheel or a conda package: two archives of different formats, one view of what they install."""

import io
import json
import tarfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

MODULE_FOLDER = "zlmdb/lmdb/_native/"
MODULE_STEM = "_lmdb_cffi."
FLATC = "zlmdb/_flatc/bin/flatc"
CONDA_SITE_PACKAGES = "site-packages/"
CONDA_MACHINES = {"linux-64": "x86_64", "linux-aarch64": "aarch64"}


class ArtifactError(Exception):
    """A file cannot be read as a wheel or a conda package. The message says why."""


@dataclass(frozen=True)
class Fault:
    """One thing wrong with an artifact."""

    rule: str
    """Name of the broken rule, one word."""
    file: str
    """The file inside the artifact; the artifact's own name if none is to blame."""
    reason: str
    """What is there, and what the rule wants."""

    def __str__(self) -> str:
        return f"{self.rule}: {self.file}: {self.reason}"


@dataclass(frozen=True)
class Entry:
    """A file in an archive."""

    data: bytes
    mode: int
    """Permission bits."""


@dataclass(frozen=True, eq=False)
class Artifact:
    """An opened wheel or conda package."""

    path: Path
    files: Mapping[str, Entry]
    """What goes into site-packages, by path below it."""
    info: Mapping[str, Entry] = field(default_factory=dict)
    """What a conda package holds besides, by its path in the package."""

    @property
    def name(self) -> str:
        """The file name."""
        return self.path.name

    @property
    def is_wheel(self) -> bool:
        """True for a wheel, False for a conda package."""
        return self.path.suffix == ".whl"

    @cached_property
    def native(self) -> dict[str, bytes]:
        """The contents of the ELF files, by path below site-packages."""
        return {file: entry.data for file, entry in self.files.items() if entry.data.startswith(b"\x7fELF")}

    @property
    def module(self) -> str | None:
        """Path of the CFFI module; None if there is none."""
        prefix = MODULE_FOLDER + MODULE_STEM
        return next((file for file in self.native if file.startswith(prefix)), None)

    @cached_property
    def dist_info(self) -> str:
        """The metadata folder, with a trailing slash. Raises ArtifactError if there is not exactly one."""
        folders = {file.partition("/")[0] for file in self.files}
        found = sorted(folder for folder in folders if folder.endswith(".dist-info"))
        if len(found) != 1:
            raise ArtifactError(f"{self.name}: {len(found)} .dist-info folders, where one belongs")
        return f"{found[0]}/"

    def metadata(self, file: str) -> bytes | None:
        """The content of a file of the metadata folder; None if it is not there."""
        entry = self.files.get(self.dist_info + file)
        return entry.data if entry else None

    @cached_property
    def conda_index(self) -> dict[str, Any]:
        """The package record of a conda package. Raises ArtifactError if it is missing or no JSON object."""
        try:
            record = json.loads(self.info["info/index.json"].data)
        except (KeyError, ValueError) as error:
            raise ArtifactError(f"{self.name}: info/index.json is missing or malformed: {error}") from error
        if not isinstance(record, dict):
            raise ArtifactError(f"{self.name}: info/index.json is no JSON object")
        return record


def open_artifact(path: Path) -> Artifact:
    """Read a wheel (`.whl`) or a conda package (`.conda`) into memory. Raises ArtifactError."""
    readers = {".whl": _read_wheel, ".conda": _read_conda}
    if path.suffix not in readers:
        raise ArtifactError(f"{path}: neither a wheel (.whl) nor a conda package (.conda)")
    try:
        return readers[path.suffix](path)
    except (OSError, zipfile.BadZipFile, tarfile.TarError, ValueError) as error:
        raise ArtifactError(f"{path} cannot be read: {error}") from error


def _read_wheel(path: Path) -> Artifact:
    return Artifact(path, _read_zip(path))


def _read_zip(path: Path) -> dict[str, Entry]:
    with zipfile.ZipFile(path) as archive:
        return {
            member.filename: Entry(archive.read(member), member.external_attr >> 16 & 0o7777)
            for member in archive.infolist()
            if not member.is_dir()
        }


def _read_conda(path: Path) -> Artifact:
    files: dict[str, Entry] = {}
    for name, entry in _read_zip(path).items():
        if name.endswith(".tar.zst"):
            files.update(_read_tar(entry.data))
    site = {name: entry for name, entry in files.items() if name.startswith(CONDA_SITE_PACKAGES)}
    installed = {name.removeprefix(CONDA_SITE_PACKAGES): entry for name, entry in site.items()}
    return Artifact(path, installed, {name: files[name] for name in files.keys() - site.keys()})


def _read_tar(compressed: bytes) -> dict[str, Entry]:
    import zstandard

    try:
        unpacked = zstandard.ZstdDecompressor().stream_reader(compressed).read()
    except zstandard.ZstdError as error:
        raise ValueError(f"damaged compression: {error}") from error
    files = {}
    with tarfile.open(fileobj=io.BytesIO(unpacked)) as archive:
        for member in archive:
            if member.isfile() and (content := archive.extractfile(member)):
                files[member.name] = Entry(content.read(), member.mode)
    return files
