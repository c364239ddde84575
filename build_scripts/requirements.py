"""What pyproject.toml states. `requirements.py NAME...` installs the tools of that name.

It is their one source. What cannot read it repeats it (pixi.toml, recipe/), and
tests/packaging/test_one_source.py compares.
"""

import argparse
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vendoring.pins import ROOT

PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LICENSE_EXPRESSION: str = PROJECT["project"]["license"]
"""SPDX expression of a whole package: zLMDB, LMDB, FlatBuffers."""
OLDEST_PYTHON = tuple(map(int, PROJECT["project"]["requires-python"].removeprefix(">=").split(".")))
EXTRAS: dict[str, list[str]] = PROJECT["project"]["optional-dependencies"]
OVERRIDES: list[dict[str, Any]] = PROJECT["tool"]["scikit-build"]["overrides"]
(ZIG,) = [override["build"]["requires"] for override in OVERRIDES if "ziglang" in str(override)]
"""The release toolchain."""
TOOLS: dict[str, list[str]] = {"zig": ZIG, "artifacts": EXTRAS["artifacts"], **PROJECT["dependency-groups"]}
"""Requirements of tools that are installed without zLMDB, by the name of their group."""


def of_the_build() -> list[str]:
    """Return what a build from a clone requires, with the release toolchain."""
    added = [override.get("build", {}).get("requires", []) for override in OVERRIDES]
    return sum(added, [*PROJECT["build-system"]["requires"]])


@contextmanager
def needed(name: str) -> Iterator[None]:
    """End the program with a hint if a package of these tools cannot be imported."""
    try:
        yield
    except ModuleNotFoundError as error:
        hint = f"python build_scripts/requirements.py {name} installs it"
        sys.exit(f"{Path(sys.argv[0]).name}: the package {error.name} is missing; {hint}")


def main() -> int:
    """Run as a program. Return the exit status of pip."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="+", choices=TOOLS, metavar="NAME", help=", ".join(TOOLS))
    wanted = [requirement for name in parser.parse_args().names for requirement in TOOLS[name]]
    return subprocess.run([sys.executable, "-m", "pip", "install", "-q", *wanted], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
