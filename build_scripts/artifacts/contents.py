"""Rules for the files in a package: what must be there, what must not, what describes them."""

import configparser
import csv
import hashlib
import io
import json
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from email.parser import HeaderParser
from fnmatch import fnmatch
from stat import S_IXGRP, S_IXOTH, S_IXUSR

from vendoring.pins import Pin

from .archive import FLATC, Artifact, Entry, Fault
from .legal import LICENSE_EXPRESSION, NOTICE, SBOM

REQUIRED = (
    FLATC,
    "zlmdb/__init__.py",
    "zlmdb/py.typed",
    "zlmdb/_flatc/__init__.py",
    "zlmdb/flatbuffers/__init__.py",
    "zlmdb/flatbuffers/_git_version.py",
    "zlmdb/flatbuffers/reflection.bfbs",
    "zlmdb/flatbuffers/reflection.fbs",
    "zlmdb/flatbuffers/reflection/Schema.py",
    "zlmdb/lmdb/__init__.py",
)
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
EXECUTABLE = S_IXUSR | S_IXGRP | S_IXOTH


def check(artifact: Artifact, pins: list[Pin]) -> Iterator[Fault]:
    """Yield what is wrong with the files of `artifact`, which contains the components of `pins`."""
    required = [*REQUIRED, *_runtime(pins), *_legal(artifact, pins)]
    for file in required:
        if file not in artifact.files:
            yield Fault("contents", file, "missing")
    for file, entry in artifact.files.items():
        yield from _check_file(artifact, file, entry)
    yield from _check_metadata(artifact)
    if artifact.is_wheel:
        yield from _check_record(artifact)
    else:
        yield from _check_entry_points(artifact)


def _runtime(pins: list[Pin]) -> Iterator[str]:
    for pin in pins:
        for file in pin.files:
            if file.startswith(RUNTIME):
                yield "zlmdb/flatbuffers/" + file.removeprefix(RUNTIME)


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
    executable = bool(entry.mode & EXECUTABLE)
    if executable != (file == FLATC) and not file.endswith(".so"):
        yield Fault("mode", file, f"mode {entry.mode:o}: {FLATC} and nothing else must be executable")
    if entry.mode & 0o444 != 0o444:
        yield Fault("mode", file, f"mode {entry.mode:o}: not readable by everyone")


def _check_metadata(artifact: Artifact) -> Iterator[Fault]:
    file = f"{artifact.dist_info}METADATA"
    content = artifact.metadata("METADATA")
    if content is None:
        yield Fault("contents", file, "missing")
        return
    header = HeaderParser().parsestr(content.decode())
    if header["License-Expression"] != LICENSE_EXPRESSION:
        found = header["License-Expression"]
        yield Fault("licence", file, f"the licence expression is {found}, not {LICENSE_EXPRESSION}")
    version = header["Version"]
    if f"-{version}-" not in artifact.name:
        yield Fault("version", file, f"states version {version}, which the name {artifact.name} does not")


def _check_record(artifact: Artifact) -> Iterator[Fault]:
    """Compare RECORD with the files, as the wheel format asks of installers."""
    record = f"{artifact.dist_info}RECORD"
    content = artifact.metadata("RECORD") or b""
    rows = {row[0]: row[1] for row in csv.reader(io.StringIO(content.decode())) if len(row) > 1}
    for file in sorted(rows.keys() ^ artifact.files.keys()):
        there = "listed, but missing" if file in rows else "not listed in RECORD"
        yield Fault("record", file, there)
    for file, expected in rows.items():
        if file in artifact.files and file != record:
            digest = hashlib.sha256(artifact.files[file].data).digest()
            if expected != f"sha256={urlsafe_b64encode(digest).rstrip(b'=').decode()}":
                yield Fault("record", file, "differs from the hash in RECORD")


def _check_entry_points(artifact: Artifact) -> Iterator[Fault]:
    """A conda package makes its commands from its own list, so that must be the one of the metadata."""
    parser = configparser.ConfigParser()
    parser.read_string((artifact.metadata("entry_points.txt") or b"").decode())
    wanted = [f"{name} = {target}" for name, target in parser["console_scripts"].items()]
    link = artifact.info.get("info/link.json")
    listed = json.loads(link.data).get("noarch", {}).get("entry_points", []) if link else []
    if sorted(each.replace(" ", "") for each in listed) != sorted(each.replace(" ", "") for each in wanted):
        yield Fault("commands", "info/link.json", f"lists {listed}, but the metadata {wanted}")
