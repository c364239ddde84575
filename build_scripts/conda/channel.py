"""A conda channel in a folder: packages made of files, and the list of them."""

import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from rattler_build import assemble_package

from artifacts.archive import CONDA_MACHINES

SUBDIRS = {machine: subdir for subdir, machine in CONDA_MACHINES.items()}
SUBDIR = SUBDIRS[platform.machine()]
"""Where packages for this machine lie in a channel."""
TIMESTAMP = datetime(2020, 1, 1, tzinfo=UTC)


def assemble(name: str, version: str, build: str, depends: list[str], stage: Path, channel: Path) -> None:
    """Make a package for this machine of the files in the folder `stage`."""
    (channel / SUBDIR).mkdir(parents=True, exist_ok=True)
    assemble_package(
        name=name,
        version=version.replace("-", "_"),
        target_platform=SUBDIR,
        build_string=build,
        output_dir=channel / SUBDIR,
        files_dir=stage,
        depends=depends,
        compression_level=1,
        timestamp=TIMESTAMP,
        detect_prefix=False,
    )


def index(channel: Path) -> None:
    """Write a channel's list of packages."""
    run_rattler(f"await rattler.index.index_fs({str(channel)!r})")


def run_rattler(action: str) -> None:
    """Run rattler in a process of its own, which ends without cleaning up, because that can crash."""
    program = (
        "import asyncio, os, sys, rattler, rattler.index\n"
        f"async def main():\n    {action}\n"
        "asyncio.run(main())\nsys.stdout.flush()\nos._exit(0)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
