"""Open a wheel or a conda package: two archives of different formats, one view of what they install."""

import io
import json
import re
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

MODULE_FOLDER = "zlmdb/lmdb/_native/"
MODULE_STEM = "_lmdb_cffi."
FLATC = "zlmdb/_flatc/bin/flatc"
# Below the metadata folder (`.dist-info`): the bill of materials, and what names the third-party components.
SBOM = "sboms/zlmdb.cdx.json"
NOTICE = "licenses/NOTICE"
CONDA_SITE_PACKAGES = "site-packages/"
CONDA_MACHINES = {"linux-64": "x86_64", "linux-aarch64": "aarch64"}

# Ten times what a package of zLMDB has: more is no such package, but may fill the memory.
MAX_BYTES = 64 * 2**20
MAX_FILES = 2_000
ENCRYPTED = 1  # of the flags of a member of a zip file
NAME = re.compile(r"[^/\\:\x00-\x1f]+")
"""A part of a path inside an archive that means the same on every system."""


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
    """Type and permission bits, as in `st_mode`. Without a type bit it is a regular file."""


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
        """The metadata folder, with a trailing slash.

        Raises:
            ArtifactError: There is not exactly one.
        """
        folders = {file.partition("/")[0] for file in self.files}
        found = sorted(folder for folder in folders if folder.endswith(".dist-info"))
        if len(found) != 1:
            raise ArtifactError(f"{self.name}: {len(found)} .dist-info folders, where one belongs")
        return f"{found[0]}/"

    def metadata(self, file: str) -> str | None:
        """Return the text of a file of the metadata folder; None if it is not there.

        Raises:
            ArtifactError: The file is not UTF-8, or there is not exactly one folder.
        """
        entry = self.files.get(self.dist_info + file)
        try:
            return entry.data.decode() if entry else None
        except UnicodeDecodeError as error:
            raise ArtifactError(f"{self.dist_info}{file} is not UTF-8: {error}") from error

    def check_metadata(
        self, rule: str, file: str, check: Callable[["Artifact", str, str], Iterator[Fault]]
    ) -> Iterator[Fault]:
        """Yield what `check` finds, given the path and the text of a file of the metadata folder."""
        content, path = self.metadata(file), self.dist_info + file
        yield from [Fault(rule, path, "missing")] if content is None else check(self, path, content)

    def conda_info(self, file: str) -> dict[str, Any]:
        """Return a JSON object of a conda package.

        Raises:
            ArtifactError: It is missing, or no object.
        """
        try:
            content = json.loads(self.info[file].data)
        except (KeyError, ValueError, RecursionError) as error:
            raise ArtifactError(f"{file} is missing or malformed: {error}") from error
        if not isinstance(content, dict):
            raise ArtifactError(f"{file} is no JSON object")
        return content


def open_artifact(path: Path) -> Artifact:
    """Read a wheel (`.whl`) or a conda package (`.conda`) into memory.

    Raises:
        ArtifactError: The file cannot be read, or is neither.
    """
    if path.suffix not in {".whl", ".conda"}:
        raise ArtifactError(f"{path}: neither a wheel (.whl) nor a conda package (.conda)")
    try:
        packed = _read_zip(path)
        return Artifact(path, packed) if path.suffix == ".whl" else _read_conda(path, packed)
    except (OSError, EOFError, ValueError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
        raise ArtifactError(f"{path} cannot be read: {error}") from error


def _read_conda(path: Path, packed: Mapping[str, Entry]) -> Artifact:
    tars = [_read_tar(entry.data) for name, entry in packed.items() if name.endswith(".tar.zst")]
    files = _collect((name, entry) for tar in tars for name, entry in tar.items())
    site = {name for name in files if name.startswith(CONDA_SITE_PACKAGES)}
    installed = {name.removeprefix(CONDA_SITE_PACKAGES): files[name] for name in site}
    return Artifact(path, installed, {name: files[name] for name in files.keys() - site})


def _read_zip(path: Path) -> dict[str, Entry]:
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        _refuse_excess(len(members), MAX_FILES, "files")
        _refuse_excess(sum(member.file_size for member in members), MAX_BYTES, "bytes")
        for member in members:
            if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise ValueError(f"{member.filename} is packed by a method that installers need not know")
            if member.flag_bits & ENCRYPTED:
                raise ValueError(f"{member.filename} is encrypted")
        return _collect(
            (member.filename, Entry(archive.read(member), member.external_attr >> 16))
            for member in members
            if not member.is_dir()
        )


def _read_tar(compressed: bytes) -> dict[str, Entry]:
    import zstandard

    try:
        unpacked = zstandard.ZstdDecompressor().stream_reader(compressed).read(MAX_BYTES + 1)
        _refuse_excess(len(unpacked), MAX_BYTES, "bytes")
        with tarfile.open(fileobj=io.BytesIO(unpacked)) as archive:
            members = archive.getmembers()
            _refuse_excess(len(members), MAX_FILES, "files")
            return _collect(
                (member.name, _tar_entry(archive, member)) for member in members if not member.isdir()
            )
    except (zstandard.ZstdError, tarfile.TarError) as error:
        raise ValueError(f"damaged: {error}") from error


def _tar_entry(archive: tarfile.TarFile, member: tarfile.TarInfo) -> Entry:
    content = archive.extractfile(member) if member.isfile() else None
    kind = stat.S_IFREG if content else stat.S_IFLNK
    return Entry(content.read() if content else b"", kind | member.mode)


def _refuse_excess(number: int, maximum: int, what: str) -> None:
    if number > maximum:
        raise ValueError(f"{number:,} {what} are too many: {maximum:,} are allowed")


def _collect(entries: Iterable[tuple[str, Entry]]) -> dict[str, Entry]:
    """Return the files by name. ValueError tells of one that lands elsewhere than it says, or on another."""
    files: dict[str, Entry] = {}
    for name, entry in entries:
        if not all(NAME.fullmatch(part) and part not in {".", ".."} for part in name.split("/")):
            raise ValueError(f"the path {name!r} leads out of the package, or differs from system to system")
        if name in files:
            raise ValueError(f"{name} is in it twice")
        files[name] = entry
    return files
