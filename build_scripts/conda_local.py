"""Build the conda package where no conda channel can be reached, test it, and install it.

Takes the sdist that `release.py` has made. Makes a channel of installed interpreters and of wheels that pip
downloads; builds `recipe/` with the engine of rattler-build, which runs the recipe's tests; makes the package
reproducible; installs it with the solver of rattler into a fresh environment of each Python; and runs the
demo there.

Run it in an environment of its own: `python -m pip install packaging py-rattler-build py-rattler zstandard`.
"""

import argparse
import os
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path

try:
    from rattler_build import Stage0Recipe, ToolConfiguration, VariantConfig

    from conda.channel import SUBDIR, ChannelError, Python, add_python, add_stubs, add_wheel, find_python
    from conda.normalise import normalise
except ModuleNotFoundError as error:
    sys.exit(
        f"conda_local.py: the package {error.name} is missing;"
        " python -m pip install packaging py-rattler-build py-rattler zstandard"
    )

ROOT = Path(__file__).resolve().parents[1]
BUILD = (
    "pip",
    "scikit-build-core>=1.1",
    "cmake",
    "ninja",
    "cffi==2.1.1",
    "ziglang==0.17.1",
    "unidiff",
    "unearth",
)
RUN = ("cffi", "cbor2", "click", "pip")
DEMO = ("airportsdata", "rich")


def make_channel(pythons: Sequence[Python], folder: Path) -> Path:
    """Fill a channel with the Pythons, and with what the recipe and the demo require. Returns its folder."""
    channel = folder / "channel"
    (channel / SUBDIR).mkdir(parents=True)
    for number, python in enumerate(pythons):
        print(f"packaging Python {python.version} and wheels for it", flush=True)
        add_python(python, channel)
        wheels = folder / "wheels" / python.minor
        wanted = [*RUN, *DEMO, *(BUILD if number == 0 else ())]
        download = ["-m", "pip", "download", "-q", "--only-binary", ":all:", "-d", str(wheels), *wanted]
        subprocess.run([python.program, *download], check=True)
        for wheel in sorted(wheels.glob("*.whl")):
            add_wheel(wheel, python, channel)
    index(channel)
    add_stubs(list(pythons), channel)
    index(channel)
    return channel


def unpack(sdist: Path, folder: Path) -> Path:
    """Unpack an sdist and return the folder of its tree. Raises ChannelError."""
    try:
        with tarfile.open(sdist) as archive:
            archive.extractall(folder, filter="data")
    except (OSError, tarfile.TarError) as error:
        raise ChannelError(f"{sdist} cannot be unpacked: {error}; release.py makes an sdist") from error
    (tree,) = folder.iterdir()
    return tree


def build(tree: Path, channel: Path, python: Python, output: Path, seconds: int) -> Path:
    """Build the package, run the tests of the recipe, and return its path."""
    recipe = tree / "recipe"
    configured = VariantConfig.from_file(str(recipe / "variants.yaml"))
    variants = VariantConfig({**configured.to_dict(), "python": [python.minor]})
    (variant,) = Stage0Recipe.from_file(str(recipe / "recipe.yaml")).render(variants)
    result = variant.run_build(
        ToolConfiguration(test_strategy="native"),
        output_dir=output,
        channels=[channel.as_uri()],
        no_build_id=True,
    )
    package = Path(result.packages[0])
    normalise(package, seconds)
    return package


def index(channel: Path) -> None:
    """Write the channel's list of packages."""
    _rattler(f"await rattler.index.index_fs({str(channel)!r})")


def install(channels: Sequence[Path], specs: Sequence[str], prefix: Path) -> None:
    """Solve and install an environment."""
    uris = [channel.as_uri() for channel in channels]
    _rattler(
        f"records = await rattler.solve({uris!r}, {list(specs)!r},"
        " virtual_packages=rattler.VirtualPackage.detect(), gateway=rattler.Gateway(show_progress=False))\n"
        f"    await rattler.install(records, {str(prefix)!r}, show_progress=False)"
    )


def _rattler(action: str) -> None:
    """Run rattler in a process of its own, which ends without cleaning up, because that can crash."""
    program = (
        "import asyncio, os, sys, rattler, rattler.index\n"
        f"async def main():\n    {action}\n"
        "asyncio.run(main())\nsys.stdout.flush()\nos._exit(0)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def try_out(package: Path, channel: Path, python: Python, folder: Path) -> None:
    """Install the package for one Python into a fresh environment, and run the demo there."""
    prefix = folder / f"environment-{python.minor}"
    install([package.parents[1], channel], ["zlmdb", f"python {python.minor}.*", *DEMO], prefix)
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
    """Run as a program. Returns the exit status."""
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
    seconds = int(os.environ.get("SOURCE_DATE_EPOCH", "1577836800"))
    try:
        sdist = options.sdist or next(ROOT.glob("dist/zlmdb-*.tar.gz"), ROOT / "dist" / "zlmdb.tar.gz")
        tree = unpack(sdist, folder / "tree")
        pythons = [find_python(program) for program in options.python or ("python3.11", "python3.13")]
        channel = make_channel(pythons, folder)
        package = build(tree, channel, pythons[0], folder / "output", seconds)
        index(package.parents[1])
        for python in pythons:
            try_out(package, channel, python, folder)
    except (ChannelError, subprocess.CalledProcessError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(package)
    return 0


if __name__ == "__main__":
    sys.exit(main())
