"""Rules for the files in a package: what must be there, what must not, what describes them."""

import configparser
import csv
import hashlib
import io
import re
import stat
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping
from email.parser import HeaderParser
from fnmatch import fnmatch

from requirements import LICENSE_EXPRESSION
from vendoring.files import sha256
from vendoring.pins import Pin

from .archive import CONDA_SITE_PACKAGES, FLATC, NOTICE, SBOM, Artifact, ArtifactError, Entry, Fault

REQUIRED = (
    FLATC,
    "zlmdb/__init__.py",
    "zlmdb/py.typed",
    "zlmdb/_flatc/__init__.py",
    "zlmdb/_pyinstaller/__init__.py",
    "zlmdb/_pyinstaller/hook-zlmdb.py",
    "zlmdb/flatbuffers/__init__.py",
    "zlmdb/flatbuffers/_git_version.py",
    "zlmdb/flatbuffers/reflection.bfbs",
    "zlmdb/flatbuffers/reflection.fbs",
    "zlmdb/flatbuffers/reflection/Schema.py",
    "zlmdb/lmdb/__init__.py",
)
FLATBUFFERS = "zlmdb/flatbuffers/"
RUNTIME = "python/flatbuffers/"
# What belongs to a source tree, not into an installation.
FOREIGN = {
    "*.c": "a source file", "*.h": "a source file", "*.cc": "a source file", "*.cpp": "a source file",
    "*.o": "an object file", "*.a": "a static library", "*.patch": "a patch", "*.pyc": "a compiled file",
    "*/tests/*": "a test", "tests/*": "a test", "test_*.py": "a test", "*/test_*.py": "a test",
    "*/conftest.py": "a test", "vendor/*": "a vendored source", "build_scripts/*": "part of the build",
    "*/__pycache__/*": "a compiled file", "*/.*": "a hidden file",
    "*/direct_url.json": "a trace of the build",
}  # fmt: skip
LOCAL_ADDRESS = re.compile(rb"file:/[\w./+%-]{2,}")
EXECUTABLE = 0o111
READABLE = 0o444
UNWANTED = stat.S_ISUID | stat.S_ISGID | stat.S_ISVTX | stat.S_IWGRP | stat.S_IWOTH


def check(artifact: Artifact, pins: list[Pin]) -> Iterator[Fault]:
    """Yield what is wrong with the files of `artifact`, which contains the components of `pins`."""
    runtime = [file for pin in pins for file in runtime_files(pin)]
    required = [*REQUIRED, *runtime, *_legal(artifact, pins)]
    for file in required:
        if file not in artifact.files:
            yield Fault("contents", file, "missing")
    for file, entry in artifact.files.items():
        yield from _check_file(artifact, file, entry)
    yield from artifact.check_metadata("contents", "METADATA", _check_metadata)
    if artifact.is_wheel:
        yield from artifact.check_metadata("record", "RECORD", _check_record)
    else:
        yield from _check_paths(artifact)
        yield from _check_entry_points(artifact)
        yield from _check_addresses(artifact)


def runtime_files(pin: Pin) -> dict[str, str]:
    """Return the files of the FlatBuffers runtime: their names in the pin by those in the package."""
    runtime = [file for file in pin.files if file.startswith(RUNTIME)]
    return {FLATBUFFERS + file.removeprefix(RUNTIME): file for file in runtime}


def _legal(artifact: Artifact, pins: list[Pin]) -> Iterator[str]:
    yield from (artifact.dist_info + file for file in (SBOM, NOTICE, "licenses/LICENSE"))
    for pin in pins:
        for file in pin.license_files:
            yield f"{artifact.dist_info}licenses/{pin.name}/{file}"


def _check_file(artifact: Artifact, file: str, entry: Entry) -> Iterator[Fault]:
    if not file.startswith(("zlmdb/", artifact.dist_info)):
        yield Fault("contents", file, "lies outside the package zlmdb")
    for pattern, what in FOREIGN.items():
        if fnmatch(file, pattern):
            yield Fault("contents", file, f"{what} does not belong into a package")
            break
    if stat.S_IFMT(entry.mode) not in {0, stat.S_IFREG}:
        yield Fault("mode", file, "is a link or a device, where only files belong")
        return
    mode = stat.S_IMODE(entry.mode)
    if bool(mode & EXECUTABLE) != (file == FLATC) and not file.endswith(".so"):
        yield Fault("mode", file, f"mode {mode:o}: {FLATC} and nothing else must be executable")
    if mode & READABLE != READABLE:
        yield Fault("mode", file, f"mode {mode:o}: not readable by everyone")
    if mode & UNWANTED:
        yield Fault("mode", file, f"mode {mode:o}: writable by others than its owner, or run as its owner")


def _check_metadata(artifact: Artifact, file: str, content: str) -> Iterator[Fault]:
    header = HeaderParser().parsestr(content)
    if header["License-Expression"] != LICENSE_EXPRESSION:
        found = header["License-Expression"]
        yield Fault("licence", file, f"the licence expression is {found}, not {LICENSE_EXPRESSION}")
    if header["Name"] != "zlmdb":
        yield Fault("version", file, f"is of {header['Name']}, not of zlmdb")
    stated = f"{header['Name']}-{header['Version']}"
    places = {artifact.name: "-", artifact.dist_info: ".dist-info/"}
    differ = [name for name, end in places.items() if not name.startswith(stated + end)]
    if differ:
        yield Fault("version", file, f"states {stated}, which differs from the name {' and '.join(differ)}")


def _check_record(artifact: Artifact, record: str, content: str) -> Iterator[Fault]:
    """Compare RECORD with the files, as the wheel format asks of installers."""
    try:
        rows = [row for row in csv.reader(io.StringIO(content), strict=True) if row]
    except csv.Error as error:
        raise ArtifactError(f"{record}: {error}") from error
    for row in rows:
        if len(row) != len(("path", "hash", "size")):
            yield Fault("record", record, f"a row of {len(row)} fields: {','.join(row):.80}")
            return
    yield from _compare(record, rows, artifact.files, _record_hash, own=record)


def _check_paths(artifact: Artifact) -> Iterator[Fault]:
    """Compare a conda package's own list with the files."""
    paths = artifact.conda_info("info/paths.json").get("paths")
    try:
        rows = [[str(each[key]) for key in ("_path", "sha256", "size_in_bytes")] for each in paths or ()]
    except (KeyError, TypeError) as error:
        raise ArtifactError(f"info/paths.json is malformed: {error!r}") from error
    others = {name: entry for name, entry in artifact.info.items() if not name.startswith("info/")}
    files = {CONDA_SITE_PACKAGES + name: entry for name, entry in artifact.files.items()}
    yield from _compare("info/paths.json", rows, {**files, **others}, sha256)


def _compare(
    record: str,
    rows: Iterable[list[str]],
    files: Mapping[str, Entry],
    digest: Callable[[bytes], str],
    own: str = "",
) -> Iterator[Fault]:
    """Compare the rows (path, hash, size) of a list of files with the files. `own` is the list's own row."""
    listed = set()
    for file, stated, size in rows:
        if file in listed:
            yield Fault("record", file, f"listed twice in {record}")
        listed.add(file)
        if file not in files:
            yield Fault("record", file, f"listed in {record}, but missing")
        elif file != own and (stated, size) != (digest(files[file].data), str(len(files[file].data))):
            yield Fault("record", file, f"differs from the hash or the size in {record}")
    for file in sorted(files.keys() - listed):
        yield Fault("record", file, f"not listed in {record}")


def _record_hash(content: bytes) -> str:
    return f"sha256={urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b'=').decode()}"


def _check_entry_points(artifact: Artifact) -> Iterator[Fault]:
    """Compare a conda package's list of commands, from which they are made, with the one of the metadata."""
    parser = configparser.ConfigParser()
    try:
        parser.read_string(artifact.metadata("entry_points.txt") or "")
        wanted = [f"{name} = {target}" for name, target in parser["console_scripts"].items()]
    except (configparser.Error, KeyError) as error:
        raise ArtifactError(f"{artifact.dist_info}entry_points.txt names no commands: {error}") from error
    noarch = artifact.conda_info("info/link.json").get("noarch")
    listed = noarch.get("entry_points") if isinstance(noarch, dict) else None
    if not isinstance(listed, list) or _without_spaces(listed) != _without_spaces(wanted):
        yield Fault("commands", "info/link.json", f"lists {listed}, but the metadata {wanted}")


def _check_addresses(artifact: Artifact) -> Iterator[Fault]:
    """Look for folders of the building machine: channels, for example, are written into a conda package."""
    for file, entry in artifact.info.items():
        if found := LOCAL_ADDRESS.search(entry.data):
            address = found.group().decode(errors="replace")
            yield Fault("build-path", file, f"holds {address} at offset {found.start():#x}")


def _without_spaces(commands: Iterable[object]) -> list[str]:
    return sorted(str(command).replace(" ", "") for command in commands)
