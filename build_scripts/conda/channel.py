"""Make conda packages of an installed Python and of wheels."""

import platform
import re
import shutil
import subprocess
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.parser import HeaderParser
from pathlib import Path
from tempfile import TemporaryDirectory

from packaging.requirements import Requirement
from rattler_build import (
    PlatformConfig,
    RenderConfig,
    Stage0Recipe,
    ToolConfiguration,
    VariantConfig,
    assemble_package,
)

SUBDIRS = {"x86_64": "linux-64", "aarch64": "linux-aarch64"}
SUBDIR = SUBDIRS[platform.machine()]
"""Where packages for this machine lie in a channel."""
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
UNUSED = shutil.ignore_patterns(
    "site-packages", "__pycache__", "test", "tests", "idlelib", "lib2to3", "tkinter", "turtledemo", "*.a"
)
STUBS = Path(__file__).with_name("stubs.yaml")


class ChannelError(Exception):
    """A package cannot be made. The message says why."""


@dataclass(frozen=True)
class Python:
    """An installed CPython."""

    program: Path
    version: str
    """With all its parts: `3.12.1`."""

    @property
    def minor(self) -> str:
        """`3.12`."""
        return self.version.rpartition(".")[0]

    @property
    def prefix(self) -> Path:
        """Where it is installed."""
        return self.program.resolve().parents[1]


def find_python(program: str) -> Python:
    """Ask an interpreter for its version. Raises ChannelError if it does not run."""
    path = shutil.which(program)
    if not path:
        raise ChannelError(f"{program} is not on the PATH; --python names an interpreter")
    ask = "import platform, sys; print(sys.executable, platform.python_version())"
    said = subprocess.run([path, "-c", ask], check=True, capture_output=True, text=True).stdout
    executable, version = said.split()
    return Python(Path(executable), version)


def add_python(python: Python, channel: Path) -> None:
    """Package an interpreter with its standard library, without what is installed in it."""
    with TemporaryDirectory() as folder:
        stage = Path(folder)
        name = f"python{python.minor}"
        shutil.copytree(python.prefix / "lib" / name, stage / "lib" / name, ignore=UNUSED)
        shutil.copytree(python.prefix / "include" / name, stage / "include" / name)
        (stage / "lib" / name / "site-packages").mkdir()
        (stage / "lib" / name / "site-packages" / "README.txt").write_text("Packages are installed here.\n")
        (stage / "bin").mkdir()
        shutil.copy2(python.prefix / "bin" / name, stage / "bin" / name)
        for alias in ("python", "python3"):
            (stage / "bin" / alias).symlink_to(name)
        for library in python.prefix.glob(f"lib/lib{name}.so*"):
            shutil.copy2(library, stage / "lib", follow_symlinks=False)
        for binary in _native(stage):
            _run("strip", "--strip-unneeded", binary)
            _run("patchelf", "--set-rpath", "$ORIGIN/../lib", binary)
        _assemble("python", python.version, f"0_cp{python.minor.replace('.', '')}", [], stage, channel)


def _native(stage: Path) -> list[Path]:
    return [stage / "bin" / "python3", *stage.glob("lib/libpython3.*.so.*")]


def add_stubs(pythons: list[Python], channel: Path) -> None:
    """Add packages that only carry relations: which Python has which ABI, what the C library is.

    For every machine, because a package is also built for others than this one.
    """
    variants = VariantConfig({"python_version": [python.version for python in pythons]})
    stubs = Stage0Recipe.from_file(str(STUBS))
    for subdir in SUBDIRS.values():
        render = RenderConfig(PlatformConfig(target_platform=subdir))
        for variant in stubs.render(variants, render):
            variant.run_build(
                ToolConfiguration(), output_dir=channel, channels=[channel.as_uri()], no_build_id=True
            )


def add_wheel(wheel: Path, python: Python, channel: Path) -> None:
    """Package what a wheel installs, for one Python."""
    with TemporaryDirectory() as folder, zipfile.ZipFile(wheel) as archive:
        stage = Path(folder)
        site = stage / "lib" / f"python{python.minor}" / "site-packages"
        for member in archive.infolist():
            place = _place(member.filename, site, stage)
            if place and not member.is_dir():
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(archive.read(member))
                place.chmod(0o755 if member.external_attr >> 16 & 0o111 else 0o644)
        (metadata,) = site.glob("*.dist-info/METADATA")
        header = HeaderParser().parsestr(metadata.read_text(encoding="utf-8"))
        requirements = map(Requirement, header.get_all("Requires-Dist", []))
        depends = [f"python {python.minor}.*", *_depends(requirements, python)]
        build = f"py{python.minor.replace('.', '')}_0"
        _assemble(_conda_name(header["Name"]), header["Version"], build, depends, stage, channel)


def _place(member: str, site: Path, stage: Path) -> Path | None:
    """Where a member of a wheel is installed; None if nothing here needs it."""
    data = re.match(r"[^/]+\.data/(\w+)/(.+)", member)
    if not data:
        return site / member
    folders = {"scripts": stage / "bin", "data": stage, "purelib": site, "platlib": site}
    return folders[data[1]] / data[2] if data[1] in folders else None


def _depends(requirements: Iterable[Requirement], python: Python) -> Iterator[str]:
    """Names of what is required for this Python. Versions fit: pip has chosen the wheels for each other."""
    environment = {"python_version": python.minor, "python_full_version": python.version, "extra": ""}
    for requirement in requirements:
        if not requirement.marker or requirement.marker.evaluate(environment):
            yield _conda_name(requirement.name)


def _conda_name(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _assemble(name: str, version: str, build: str, depends: list[str], stage: Path, channel: Path) -> None:
    assemble_package(
        name=name,
        version=version.replace("-", "_"),
        target_platform=SUBDIR,
        build_string=build,
        output_dir=channel / SUBDIR,
        files_dir=stage,
        depends=depends,
        compression_level=1,
        timestamp=LONG_AGO,
        detect_prefix=False,
    )


def _run(program: str, *arguments: str | Path) -> None:
    if not shutil.which(program):
        package = {"strip": "binutils", "patchelf": "patchelf"}[program]
        raise ChannelError(f"{program} is missing; the system's package {package} has it")
    subprocess.run([program, *arguments], check=True)
