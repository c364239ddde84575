"""The proof behind `zlmdb.flatbuffers.check`: compiler, runtime and reflection data are of one version."""

from __future__ import annotations

import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from .._flatc import get_flatc_path
from .._installation import without_file
from . import FlatBuffersMismatchError
from ._version import __version__

_REFLECTION_OPTIONS = ("-b", "--schema", "--bfbs-comments", "--bfbs-builtins")
_IDENTIFIER = slice(4, 8)  # of a FlatBuffers file: behind the offset of the root table
_REINSTALL = "Reinstall all of them together: python -m pip install --force-reinstall zlmdb"


class Versions(NamedTuple):
    """The FlatBuffers version of each bundled part, such as ``"25.12.19"``."""

    runtime: str
    """Of the Python modules, as they state it."""
    flatc: str
    """Of the compiler, as ``flatc --version`` prints it."""
    reflection: str
    """Of the compiler that wrote ``reflection.bfbs``: the file itself holds no version, its bytes tell."""


def check_versions(package: Path = Path(__file__).parent) -> Versions:
    """Do the work of `zlmdb.flatbuffers.check` on the reflection data in the directory ``package``."""
    flatc = _flatc_version()
    if flatc != __version__:
        raise FlatBuffersMismatchError(f"flatc is {flatc}, the runtime is {__version__}. {_REINSTALL}")
    data = _present(package / "reflection.bfbs").read_bytes()
    if data[_IDENTIFIER] != b"BFBS":
        raise FlatBuffersMismatchError(
            f"{package / 'reflection.bfbs'} is no binary schema: its identifier is {data[_IDENTIFIER]!r}, "
            f"not b'BFBS'. {_REINSTALL}"
        )
    if data != _compile_reflection(package / "reflection.fbs"):
        raise FlatBuffersMismatchError(
            f"{package / 'reflection.bfbs'} is not what flatc {flatc} makes of the reflection.fbs beside it. "
            f"{_REINSTALL}"
        )
    return Versions(runtime=__version__, flatc=flatc, reflection=flatc)


def _flatc_version() -> str:
    """Return what ``flatc --version`` states, without the words in front."""
    return _run("--version").removeprefix("flatc version ").strip()


def _compile_reflection(schema: Path) -> bytes:
    """Return the binary schema that the bundled ``flatc`` makes of ``schema``."""
    with TemporaryDirectory() as directory:
        # The path goes into the output, relative to the schema's own directory, only if it is absolute.
        _run(*_REFLECTION_OPTIONS, "-o", directory, str(_present(schema).resolve()))
        return (Path(directory) / "reflection.bfbs").read_bytes()


def _present(path: Path) -> Path:
    """Return the path of a file of FlatBuffers' reflection data; raise if there is none."""
    if path.is_file():
        return path
    raise FileNotFoundError(
        f"FlatBuffers' reflection data is incomplete: no file {path}. {without_file(_REINSTALL)}"
    )


def _run(*arguments: str) -> str:
    """Return the standard output of the bundled ``flatc``; raise if it fails."""
    done = subprocess.run([get_flatc_path(), *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise FlatBuffersMismatchError(
            f"flatc {' '.join(arguments)} ended with exit status {done.returncode}: "
            f"{done.stdout.strip()} {done.stderr.strip()}"
        )
    return done.stdout
