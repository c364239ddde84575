"""A conda channel in a folder: what it lists, and packages made of files or of wheels."""

import platform
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from email.parser import HeaderParser
from pathlib import Path
from tempfile import TemporaryDirectory

from packaging.requirements import Requirement
from rattler_build import assemble_package

SUBDIRS = {"x86_64": "linux-64", "aarch64": "linux-aarch64"}
SUBDIR = SUBDIRS[platform.machine()]
"""Where packages for this machine lie in a channel."""
TIMESTAMP = datetime(2020, 1, 1, tzinfo=UTC)


def add_wheel(wheel: Path, python: str, channel: Path) -> None:
    """Package what a wheel installs, for one Python: `python` is its whole version, such as `3.12.1`."""
    minor = python.rpartition(".")[0]
    with TemporaryDirectory() as folder, zipfile.ZipFile(wheel) as archive:
        stage = Path(folder)
        site = stage / "lib" / f"python{minor}" / "site-packages"
        for member in archive.infolist():
            path = _installed_path(member.filename, site, stage)
            if path and not member.is_dir():
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(archive.read(member))
                path.chmod(0o755 if member.external_attr >> 16 & 0o111 else 0o644)
        (metadata,) = site.glob("*.dist-info/METADATA")
        header = HeaderParser().parsestr(metadata.read_text(encoding="utf-8"))
        requirements = map(Requirement, header.get_all("Requires-Dist", []))
        depends = [f"python {minor}.*", *_depends(requirements, minor, python)]
        build = f"py{minor.replace('.', '')}_0"
        assemble(_conda_name(header["Name"]), header["Version"], build, depends, stage, channel)


def _installed_path(member: str, site: Path, stage: Path) -> Path | None:
    """Return where a member of a wheel is installed; None if nothing here needs it."""
    data = re.match(r"[^/]+\.data/(\w+)/(.+)", member)
    if not data:
        return site / member
    folders = {"scripts": stage / "bin", "data": stage, "purelib": site, "platlib": site}
    return folders[data[1]] / data[2] if data[1] in folders else None


def _depends(requirements: Iterable[Requirement], minor: str, python: str) -> Iterator[str]:
    """Yield the names of what is required. Versions fit: pip has chosen the wheels for each other."""
    environment = {"python_version": minor, "python_full_version": python, "extra": ""}
    for requirement in requirements:
        if not requirement.marker or requirement.marker.evaluate(environment):
            yield _conda_name(requirement.name)


def _conda_name(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def assemble(name: str, version: str, build: str, depends: list[str], stage: Path, channel: Path) -> None:
    """Make a package for this machine of the files in the folder `stage`."""
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
