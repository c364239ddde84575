"""Build the Linux release on any x86-64 Linux machine, without a container.

First the sdist; then, from it, with zig, a wheel for each interpreter and target; then all are checked.
CPython's abi3 wheels need the Python that runs this. PyPy 7, PyPy 8 and CPython without a GIL need wheels of
their own, so an interpreter of each is looked for on the PATH, or named with `--python`.

The files depend on the sources alone: two runs, wherever they are, make the same. What is not finished and
checked never gets into the output folder.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import product
from pathlib import Path

from check_artifact import check_all
from requirements import OLDEST_PYTHON
from source_date import source_date_epoch
from vendoring.files import sha256
from vendoring.pins import ROOT

TARGETS = ("x86_64-linux-gnu", "aarch64-linux-gnu")
"""Wheels for musl come from cibuildwheel: auditwheel cannot judge them on a system with glibc."""

TOOLS = ("build", "auditwheel", "abi3audit")
OWN_WHEELS = {
    "pypy311-pp73": ("PyPy 7.3", ("pypy3.11", "pypy3")),
    "pypy311-pp80": ("PyPy 8.0", ("pypy3.11", "pypy3")),
    "cpython-314t": ("CPython 3.14 without a GIL", ("python3.14t",)),
}
"""Binary interfaces that need a wheel of their own: what has them, and what its program is called."""
IDENTIFY = """\
import sys, sysconfig
names = sysconfig.get_config_var("SOABI").split("-")
print("%d.%d" % sys.version_info[:2], "-".join(names[:2]))
"""
SUMS = "SHA256SUMS"


class ReleaseError(Exception):
    """The release cannot be made. The message says why, and what to do."""


@dataclass(frozen=True)
class Interpreter:
    """A Python that wheels are built with."""

    program: str
    python: tuple[int, int]
    """The version of the language."""
    abi: str
    """Its binary interface: `cpython-311`, `cpython-314t`, `pypy311-pp73`."""

    @property
    def abi3(self) -> bool:
        """Whether one wheel serves this and all later versions."""
        return self.abi.startswith("cpython") and not self.abi.endswith("t")


def identify(program: str) -> Interpreter:
    """Ask an interpreter what it is.

    Raises:
        ReleaseError: It does not run.
    """
    try:
        said = subprocess.run([program, "-c", IDENTIFY], check=True, capture_output=True, text=True).stdout
        python, abi = said.split()
        major, minor = map(int, python.split("."))
    except (OSError, subprocess.CalledProcessError, ValueError) as error:
        raise ReleaseError(f"{program} is no working Python: {error}") from error
    return Interpreter(program, (major, minor), abi)


def interpreters(named: Sequence[str]) -> Iterator[Interpreter]:
    """Yield this Python, those that are named, and for each interface still missing one from the PATH.

    Raises:
        ReleaseError: One of those that are named cannot be used.
    """
    chosen = [identify(sys.executable), *map(identify, named)]
    makers: dict[str, str] = {}
    for interpreter in chosen:
        if interpreter.python < OLDEST_PYTHON:
            version, oldest = (".".join(map(str, each)) for each in (interpreter.python, OLDEST_PYTHON))
            raise ReleaseError(
                f"{interpreter.program} is Python {version}; wheels are built with {oldest} or newer"
            )
        other = makers.setdefault("abi3" if interpreter.abi3 else interpreter.abi, interpreter.program)
        if other is not interpreter.program:
            raise ReleaseError(f"{other} and {interpreter.program} make the same wheels; name one of them")
    yield from chosen
    for abi, (kind, names) in OWN_WHEELS.items():
        if abi in [interpreter.abi for interpreter in chosen]:
            continue
        on_path = [identify(program) for name in names if (program := shutil.which(name))]
        found = [interpreter for interpreter in on_path if interpreter.abi == abi]
        yield from found[:1]
        if not found:
            print(f"no wheel for {kind}: it is not on the PATH as {' or '.join(names)}; --python names one")


def release(output: Path, found: Sequence[Interpreter], targets: Sequence[str]) -> None:
    """Make the release in `output`, which must not exist.

    Raises:
        ReleaseError: It exists, a command failed, or the packages are not sound.
    """
    if output.exists():
        raise ReleaseError(f"{output} exists already; remove it, or name another folder with --output")
    output.parent.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "SOURCE_DATE_EPOCH": source_date_epoch(ROOT)}
    # Beside the output, so that one renaming finishes it.
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=".unfinished-release-") as folder:
        finished = Path(folder) / "finished"
        sdist = build_sdist(finished, environment)

        def make(kind: tuple[Interpreter, str]) -> None:
            interpreter, target = kind
            wheel = build_wheel(sdist, interpreter, target, Path(folder), environment)
            repair(wheel, interpreter, finished, environment)

        # Those of the first interpreter compile flatc, on all processors. The others find it in its cache.
        first, *others = found
        for target in targets:
            make((first, target))
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(make, product(others, targets)))  # or raise, and cancel those that have not begun
        if not check_all(sorted(finished.glob("*.whl"))):
            raise ReleaseError("the packages have the faults above")
        packages = sorted(finished.iterdir())
        sums = "".join(f"{sha256(path.read_bytes())}  {path.name}\n" for path in packages)
        (finished / SUMS).write_text(sums)
        finished.rename(output)


def build_sdist(folder: Path, environment: Mapping[str, str]) -> Path:
    """Build the sdist from this source tree."""
    run([sys.executable, "-m", "build", "--sdist", "--outdir", folder, ROOT], environment)
    (sdist,) = folder.glob("*.tar.gz")
    return sdist


def build_wheel(
    sdist: Path, interpreter: Interpreter, target: str, folder: Path, environment: Mapping[str, str]
) -> Path:
    """Build one wheel, with a platform tag that promises nothing yet."""
    wheels = folder / f"{interpreter.abi}-{target}"
    print(f"{interpreter.abi} for {target}", flush=True)
    pip_wheel = ["-m", "pip", "wheel", "--no-deps", "--wheel-dir", str(wheels), str(sdist)]
    run([interpreter.program, *pip_wheel], {**environment, "ZLMDB_TOOLCHAIN": "zig", "ZLMDB_TARGET": target})
    (wheel,) = wheels.glob("*.whl")
    return wheel


def repair(wheel: Path, interpreter: Interpreter, folder: Path, environment: Mapping[str, str]) -> None:
    """Give the wheel the oldest platform tag that it is entitled to, and audit it."""
    run([sys.executable, "-m", "auditwheel", "repair", "--wheel-dir", folder, wheel], environment)
    if interpreter.abi3:
        run([sys.executable, "-m", "abi3audit", "--strict", wheel], environment)


def run(command: Sequence[str | Path], environment: Mapping[str, str]) -> None:
    """Run a command. What it prints is shown only if it fails, with ReleaseError."""
    done = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode:
        raise ReleaseError(f"{done.stdout}\nThis failed: {' '.join(map(str, command))}")


def check_tools() -> None:
    """Look for the programs that a release runs.

    Raises:
        ReleaseError: One is missing.
    """
    os.environ["PATH"] = os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", os.defpath)])
    missing = [tool for tool in TOOLS if not find_spec(tool)]
    if not shutil.which("patchelf"):  # auditwheel wants it, though it has nothing to do with it here.
        missing.append("patchelf")
    if missing:
        raise ReleaseError(f"missing: {', '.join(missing)}; python -m pip install '.[release]' brings them")


def main() -> int:
    """Run as a program. Return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, default=ROOT / "dist", help="folder to make; dist by default")
    parser.add_argument("--python", action="append", default=[], help="another Python to build wheels with")
    parser.add_argument("--target", action="append", choices=TARGETS, help="only this; all by default")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # So that it, too, cleans up.
    try:
        check_tools()
        release(options.output.resolve(), list(interpreters(options.python)), options.target or TARGETS)
    except ReleaseError as error:
        print(f"error: {error}\nNothing was put into {options.output}.", file=sys.stderr)
        return 1
    print((options.output / SUMS).read_text(), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
