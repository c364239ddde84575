"""Rules for versions: pins, runtime, compiler, reflection data, LMDB and the list of components agree."""

import json
import os
import platform
import re
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from flatbuffers_files import REFLECTION_OPTIONS
from vendoring.files import sha256, write_file
from vendoring.pins import Pin

from .archive import FLATC, NOTICE, SBOM, Artifact, Fault
from .contents import FLATBUFFERS, runtime_files
from .elf import read_elf

BFBS = FLATBUFFERS + "reflection.bfbs"
FBS = FLATBUFFERS + "reflection.fbs"
IDENTIFIER = slice(4, 8)
VERSION = re.compile(rb"(?<![\d.])\d+\.\d+\.\d+(?![\d.])")


def check(artifact: Artifact, pins: Sequence[Pin]) -> Iterator[Fault]:
    """Yield where versions inside `artifact` differ from the pins, or from each other."""
    for pin in pins:
        yield from _check_stated(artifact, pin)
        yield from _check_binary(artifact, pin)
    flatbuffers = next(pin for pin in pins if pin.name == "flatbuffers")
    yield from _check_runtime(artifact, flatbuffers)
    yield from _check_reflection(artifact, flatbuffers)


def check_same_reflection(artifacts: Sequence[Artifact]) -> Iterator[Fault]:
    """Yield the packages whose reflection data is not that of the others.

    It does not depend on the machine, so one whose flatc runs here (see `runs_here`) proves all.
    """
    found = {artifact: sha256(artifact.files[BFBS].data) for artifact in artifacts if BFBS in artifact.files}
    reference = next((digest for artifact, digest in found.items() if runs_here(artifact)), None)
    for artifact, digest in found.items():
        if reference and digest != reference:
            yield Fault("reflection", f"{artifact.name}: {BFBS}", "differs from that of the other packages")


def runs_here(artifact: Artifact) -> bool:
    """Tell whether the flatc of this package is for this machine."""
    try:
        elf = read_elf(artifact.native[FLATC])
    except (KeyError, ValueError):
        return False
    musl = any("musl" in library for library in elf.needed)
    return elf.machine == platform.machine() and os.name == "posix" and not musl


def _check_stated(artifact: Artifact, pin: Pin) -> Iterator[Fault]:
    sbom = artifact.metadata(SBOM)
    if sbom is not None:
        try:
            components = {each["bom-ref"]: each for each in json.loads(sbom)["components"]}
            stated = components[pin.name]["version"]
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            yield Fault("sbom", SBOM, f"does not describe {pin.name}: {error!r}")
        else:
            if stated != pin.version:
                yield Fault("sbom", SBOM, f"states {pin.name} {stated}; the pin is {pin.version}")
    notice = artifact.metadata(NOTICE)
    if notice is not None and f" {pin.version} " not in notice:
        yield Fault("notice", NOTICE, f"does not name {pin.name} {pin.version}")


def _check_binary(artifact: Artifact, pin: Pin) -> Iterator[Fault]:
    """Look for the version as the component itself writes it into the binary."""
    file = FLATC if pin.name == "flatbuffers" else artifact.module
    content = artifact.native.get(file or "")
    if file and content and pin.version.encode() not in VERSION.findall(content):
        yield Fault("version", file, f"nothing in it says {pin.version}, the pinned version of {pin.name}")


def _check_runtime(artifact: Artifact, pin: Pin) -> Iterator[Fault]:
    """Compare the runtime and the schema of schemas with the pinned files, byte for byte."""
    for file, source in {**runtime_files(pin), FBS: "reflection/reflection.fbs"}.items():
        entry = artifact.files.get(file)
        if entry and sha256(entry.data) != pin.files[source]:
            yield Fault("version", file, f"is not the file of FlatBuffers {pin.version} that is pinned")
    stated = artifact.files.get(FLATBUFFERS + "_git_version.py")
    if stated and f'"v{pin.version}"' not in stated.data.decode():
        yield Fault("version", FLATBUFFERS + "_git_version.py", f"does not state v{pin.version}")


def _check_reflection(artifact: Artifact, pin: Pin) -> Iterator[Fault]:
    entries = [artifact.files.get(file) for file in (FLATC, BFBS, FBS)]
    if None in entries:
        return  # `contents` has reported it.
    flatc, bfbs, fbs = (entry.data for entry in entries if entry)
    if bfbs[IDENTIFIER] != b"BFBS":
        yield Fault("reflection", BFBS, f"is no binary schema: its identifier is {bfbs[IDENTIFIER]!r}")
    elif runs_here(artifact):
        yield from _check_by_running(flatc, bfbs, fbs, pin)


def _check_by_running(flatc: bytes, bfbs: bytes, fbs: bytes, pin: Pin) -> Iterator[Fault]:
    with tempfile.TemporaryDirectory() as folder:
        program, schema = Path(folder) / "flatc", Path(folder).resolve() / "reflection.fbs"
        write_file(program, flatc, 0o755)
        write_file(schema, fbs)
        try:
            stated = _output(program, "--version").removeprefix("flatc version ").strip()
            _output(program, *REFLECTION_OPTIONS, "-o", folder, str(schema))
            made = schema.with_suffix(".bfbs").read_bytes()
        except (OSError, subprocess.SubprocessError) as error:
            yield Fault("version", FLATC, f"does not run: {error}")
            return
    if stated != pin.version:
        yield Fault("version", FLATC, f"says that it is {stated}; the pin is {pin.version}")
    if made != bfbs:
        yield Fault("reflection", BFBS, "is not what the flatc beside it makes of reflection.fbs")


def _output(*command: str | Path) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
