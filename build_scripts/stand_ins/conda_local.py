"""Build the conda package where no conda channel can be reached, test it, and install it.

Takes the sdist that `release.py` has made. Makes a channel of installed interpreters and of wheels that pip
downloads; builds `recipe/` for x86-64 and ARM64 with the engine of rattler-build, which runs the recipe's
tests where it can; builds all of it again, and compares; installs the package with the solver of rattler into
a fresh environment of each Python; and runs the demo there.

Run it in an environment of its own, with what `python build_scripts/requirements.py conda` installs.
"""

import argparse
import os
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))  # where the build is

from requirements import EXTRAS, PROJECT, needed, of_the_build

with needed("conda"):
    from conda.channel import SUBDIR, SUBDIRS, index, run_rattler
    from conda.package import build, variants
    from stand_ins.conda_channel import (
        ChannelError,
        Python,
        add_python,
        add_requirements,
        add_stubs,
        find_python,
    )

from source_date import source_date_epoch
from vendoring.pins import ROOT

BUILD = (*of_the_build(), "cmake", "ninja")
DEMO = tuple(EXTRAS["examples"])
RUN = (*PROJECT["project"]["dependencies"], "pip")


def make_channel(pythons: Sequence[Python], tree: Path, folder: Path) -> Path:
    """Fill a channel with the Pythons, and with what the recipe and the demo require. Return its folder."""
    channel = folder / "channel"
    for number, python in enumerate(pythons):
        print(f"packaging Python {python.version} and wheels for it", flush=True)
        add_python(python, channel)
        wanted = [*RUN, *DEMO, *(BUILD if number == 0 else ())]
        add_requirements(python, wanted, folder / "wheels" / python.minor, channel)
    add_stubs(pythons, variants(tree)["c_stdlib_version"][0], channel)
    return channel


def unpack(sdist: Path, folder: Path) -> Path:
    """Unpack an sdist and return the folder of its tree.

    Raises:
        ChannelError: The sdist cannot be read.
    """
    try:
        with tarfile.open(sdist) as archive:
            archive.extractall(folder, filter="data")
    except (OSError, tarfile.TarError) as error:
        raise ChannelError(f"{sdist} cannot be unpacked: {error}; release.py makes an sdist") from error
    (tree,) = folder.iterdir()
    return tree


def build_twice(tree: Path, channel: Path, python: Python, folder: Path) -> list[Path]:
    """Build the package for each machine, and again elsewhere.

    Raises:
        ChannelError: The two differ.
    """
    seconds = int(source_date_epoch(tree))
    packages = []
    for subdir in sorted(SUBDIRS.values(), key=lambda each: each != SUBDIR):
        print(f"building for {subdir}, twice", flush=True)
        first, second = (
            build(tree, subdir, [channel.as_uri()], folder / name, seconds, python=python.minor)
            for name in ("output", "again")
        )
        if first.read_bytes() != second.read_bytes():
            raise ChannelError(f"{first} and {second} differ")
        packages.append(first)
    return packages


def install(channels: Sequence[Path], specs: Sequence[str], prefix: Path) -> None:
    """Solve and install an environment."""
    uris = [channel.as_uri() for channel in channels]
    run_rattler(
        f"records = await rattler.solve({uris!r}, {list(specs)!r},"
        " virtual_packages=rattler.VirtualPackage.detect(), gateway=rattler.Gateway(show_progress=False))\n"
        f"    await rattler.install(records, {str(prefix)!r}, show_progress=False)"
    )


def try_out(output: Path, channel: Path, python: Python, folder: Path) -> None:
    """Install the package for one Python into a fresh environment, and run the demo there."""
    prefix = folder / f"environment-{python.minor}"
    install([output, channel], ["zlmdb", f"python {python.minor}.*", *DEMO], prefix)
    home = {
        **os.environ,
        "XDG_CACHE_HOME": str(prefix / "cache"),
        "PATH": f"{prefix / 'bin'}:{os.environ['PATH']}",
    }
    for command in (["flatc", "--version"], ["python", str(ROOT / "recipe" / "use_it.py")]):
        subprocess.run(command, env=home, cwd=prefix, check=True)
    demo = ["python", str(ROOT / "examples" / "airports.py"), "--code", "SFO"]
    subprocess.run(demo, env=home, cwd=prefix, check=True, stdout=subprocess.DEVNULL)
    print(f"installed and tried out with Python {python.version}")


def main() -> int:
    """Run as a program. Return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="where to work; not there yet")
    parser.add_argument("--sdist", type=Path, help="an sdist of zLMDB; that in dist/ by default")
    parser.add_argument(
        "--python", action="append", help="interpreters to package, the first of which builds; 3.11 and 3.13"
    )
    options = parser.parse_args()
    folder: Path = options.folder.resolve()
    if folder.exists():
        parser.error(f"{folder} exists already")
    try:
        sdist = options.sdist or next(ROOT.glob("dist/zlmdb-*.tar.gz"), ROOT / "dist" / "zlmdb.tar.gz")
        tree = unpack(sdist, folder / "tree")
        pythons = [find_python(program) for program in options.python or ("python3.11", "python3.13")]
        channel = make_channel(pythons, tree, folder)
        packages = build_twice(tree, channel, pythons[0], folder)
        index(folder / "output")
        for python in pythons:
            try_out(folder / "output", channel, python, folder)
    except (ChannelError, subprocess.CalledProcessError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(*packages, sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
