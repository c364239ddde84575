"""Build the engines after each of our own patches, not just the last: so each can be judged on its own."""

import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from .errors import VendorError
from .files import write_file
from .pins import ROOT, Pin, Vendor
from .sources import apply_patches

ENGINES = {"lmdb-0.9": 0, "lmdb-1.0": 1}
"""The number by which `engine.c` knows a component."""

GLUE = ROOT / "zlmdb" / "lmdb" / "_native"
SHOWN = 12  # lines of the compiler's messages: the rest mostly follows from the first
FLAGS = ("-fPIC", "-Werror=implicit-function-declaration")


def build_prefixes(
    vendor: Vendor, pin: Pin, compiler: Sequence[str], report: Callable[[str], None], *, quick: bool = False
) -> None:
    """Compile one engine as the build does, after none, one, two, ... and all of our own patches.

    `compiler` is a C compiler and options for it; if `quick`, it makes no code. `report` receives a line for
    each success. Raises VendorError with the compiler's messages at the first failure.
    """
    for number, last in enumerate(("no patch of our own", *pin.own)):
        with tempfile.TemporaryDirectory() as folder:
            for file, content in apply_patches(vendor, pin, own=number).items():
                write_file(Path(folder, file), content)
            _compile(compiler, pin, Path(folder), f"{pin.name} after {last}", quick)
        report(f"{pin.name} builds after {last}")


def _compile(compiler: Sequence[str], pin: Pin, sources: Path, what: str, quick: bool) -> None:
    kind = ("-fsyntax-only",) if quick else ("-O2", "-c", "-o", str(sources / "engine.o"))
    includes = (f"-DZL_ENGINE={ENGINES[pin.name]}", f"-I{sources}", f"-I{GLUE}")
    command = [*compiler, *FLAGS, *kind, *includes, str(GLUE / "engine.c")]
    try:
        result = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    except OSError as error:
        raise VendorError(
            f"the C compiler {compiler[0]} cannot be run: {error}; name another in CC"
        ) from error
    if result.returncode:
        first = "\n".join(result.stderr.splitlines()[:SHOWN])
        raise VendorError(f"{what} does not build:\n{first}")
