"""A conda channel of what a machine has: installed interpreters, the wheels that pip finds, and stubs."""

import re
import shutil
import subprocess
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from email.parser import HeaderParser
from pathlib import Path
from tempfile import TemporaryDirectory

from packaging.requirements import Requirement
from rattler_build import PlatformConfig, RenderConfig, Stage0Recipe, ToolConfiguration, VariantConfig

from conda.channel import SUBDIRS, assemble, index

NOT_PACKAGED = shutil.ignore_patterns(
    "site-packages", "__pycache__", "test", "tests", "idlelib", "lib2to3", "tkinter", "turtledemo", "*.a"
)
STUBS = Path(__file__).with_name("conda_stubs.yaml")


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
    """Ask an interpreter for its version.

    Raises:
        ChannelError: It is not on the PATH.
    """
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
        shutil.copytree(python.prefix / "lib" / name, stage / "lib" / name, ignore=NOT_PACKAGED)
        shutil.copytree(python.prefix / "include" / name, stage / "include" / name)
        (stage / "lib" / name / "site-packages").mkdir()
        (stage / "lib" / name / "site-packages" / "README.txt").write_text("Packages are installed here.\n")
        (stage / "bin").mkdir()
        shutil.copy2(python.prefix / "bin" / name, stage / "bin" / name)
        for alias in ("python", "python3"):
            (stage / "bin" / alias).symlink_to(name)
        for library in python.prefix.glob(f"lib/lib{name}.so*"):
            shutil.copy2(library, stage / "lib", follow_symlinks=False)
        for binary in (stage / "bin" / "python3", *stage.glob("lib/libpython3.*.so.*")):
            _run("strip", "--strip-unneeded", binary)
            _run("patchelf", "--set-rpath", "$ORIGIN/../lib", binary)
        assemble("python", python.version, f"0_cp{python.minor.replace('.', '')}", [], stage, channel)


def add_requirements(python: Python, requirements: Sequence[str], wheels: Path, channel: Path) -> None:
    """Package the wheels that pip finds for one Python, and downloads into the folder `wheels`."""
    download = ["-m", "pip", "download", "-q", "--only-binary", ":all:", "-d", str(wheels), *requirements]
    subprocess.run([python.program, *download], check=True)
    for wheel in sorted(wheels.glob("*.whl")):
        add_wheel(wheel, python, channel)


def add_wheel(wheel: Path, python: Python, channel: Path) -> None:
    """Package what a wheel installs, for one Python."""
    with TemporaryDirectory() as folder, zipfile.ZipFile(wheel) as archive:
        stage = Path(folder)
        site = stage / "lib" / f"python{python.minor}" / "site-packages"
        for member in archive.infolist():
            path = _installed_path(member.filename, site, stage)
            if path and not member.is_dir():
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(archive.read(member))
                path.chmod(0o755 if member.external_attr >> 16 & 0o111 else 0o644)
        (metadata,) = site.glob("*.dist-info/METADATA")
        header = HeaderParser().parsestr(metadata.read_text(encoding="utf-8"))
        requirements = map(Requirement, header.get_all("Requires-Dist", []))
        depends = [f"python {python.minor}.*", *_depends(requirements, python)]
        build = f"py{python.minor.replace('.', '')}_0"
        assemble(_conda_name(header["Name"]), header["Version"], build, depends, stage, channel)


def _installed_path(member: str, site: Path, stage: Path) -> Path | None:
    """Return where a member of a wheel is installed; None if nothing here needs it."""
    data = re.match(r"[^/]+\.data/(\w+)/(.+)", member)
    if not data:
        return site / member
    folders = {"scripts": stage / "bin", "data": stage, "purelib": site, "platlib": site}
    return folders[data[1]] / data[2] if data[1] in folders else None


def _depends(requirements: Iterable[Requirement], python: Python) -> Iterator[str]:
    """Yield the names of what is required. Versions fit: pip has chosen the wheels for each other."""
    environment = {"python_version": python.minor, "python_full_version": python.version, "extra": ""}
    for requirement in requirements:
        if not requirement.marker or requirement.marker.evaluate(environment):
            yield _conda_name(requirement.name)


def _conda_name(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def add_stubs(pythons: Sequence[Python], glibc: str, channel: Path) -> None:
    """Add packages that only carry relations: which Python has which ABI, what the C library is.

    For every machine, because a package is also built for others than this one.
    """
    index(channel)
    variants = VariantConfig({"python_version": [python.version for python in pythons], "glibc": [glibc]})
    stubs = Stage0Recipe.from_file(str(STUBS))
    for subdir in SUBDIRS.values():
        render = RenderConfig(PlatformConfig(target_platform=subdir))
        for variant in stubs.render(variants, render):
            variant.run_build(
                ToolConfiguration(), output_dir=channel, channels=[channel.as_uri()], no_build_id=True
            )
    index(channel)


def _run(program: str, *arguments: str | Path) -> None:
    if not shutil.which(program):
        package = {"strip": "binutils", "patchelf": "patchelf"}[program]
        raise ChannelError(f"{program} is missing; the system's package {package} has it")
    subprocess.run([program, *arguments], check=True)
