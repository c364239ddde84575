"""Libraries that stand between a program and the system (LD_PRELOAD), compiled when they are needed."""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from .campaign import Skipped

ROOT = Path(__file__).parents[2]


def compiled(name: str) -> Path:
    """Compile a source file of this folder; the library goes when this process ends.

    Raises:
        Skipped: there is no compiler, or no such way to load a library.
    """
    if sys.platform != "linux":
        raise Skipped("libraries are loaded into programs as Linux does it")
    compiler = os.environ.get("CC") or next(filter(shutil.which, ["cc", "gcc", "clang"]), None)
    if compiler is None:
        raise Skipped("there is no C compiler to make a library with that stands before the system's calls")
    folder = Path(tempfile.mkdtemp(prefix="zlmdb-shims."))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    library = folder / f"{name}.so"
    done = subprocess.run(
        [*compiler.split(), "-std=gnu11", "-O1", "-Wall", "-Werror", "-fPIC", "-shared", "-fno-builtin",
         "-o", library, Path(__file__).with_name(f"{name}.c"), "-ldl", "-pthread"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"{name}.c cannot be compiled:\n{done.stderr}")
    return library


def environment(library: Path, **variables: str | Path) -> dict[str, str]:
    """The environment of a program that is to have the library loaded."""
    given = {name: str(value) for name, value in variables.items()}
    return {**os.environ, "LD_PRELOAD": str(library), "PYTHONPATH": os.pathsep.join(sys.path), **given}
