"""Build the conda package with the packages of conda-forge: `conda_package.py [--output FOLDER]`.

conda-forge has another zig than the release, so the compiler becomes a conda package of PyPI's wheel. Builds
for this machine, or with `--subdir` for another, and runs the recipe's tests if that is this one.

Needs `python -m pip install packaging py-rattler-build py-rattler zstandard`.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

try:
    from conda.channel import SUBDIR, SUBDIRS, Python, add_wheel
    from conda.environments import index
    from conda.package import build
except ModuleNotFoundError as error:
    sys.exit(
        f"conda_package.py: the package {error.name} is missing;"
        " python -m pip install packaging py-rattler-build py-rattler zstandard"
    )

from source_date import source_date_epoch
from vendoring.pins import ROOT

BUILD_PYTHON = "3.11.0"
"""Of the minor version that recipe/variants.yaml builds with."""


def make_channel(folder: Path) -> Path:
    """Make a channel of what conda-forge lacks: the compiler that the recipe asks for. Returns its folder."""
    recipe = (ROOT / "recipe" / "recipe.yaml").read_text(encoding="utf-8")
    (version,) = re.findall(r"ziglang ==([\d.]+)", recipe)
    download = ["-m", "pip", "download", "-q", "--no-deps", "--only-binary", ":all:", "-d", str(folder)]
    subprocess.run([sys.executable, *download, f"ziglang=={version}"], check=True)
    (wheel,) = folder.glob("*.whl")
    channel = folder / "channel"
    (channel / SUBDIR).mkdir(parents=True)
    add_wheel(wheel, Python(Path(sys.executable), BUILD_PYTHON), channel)
    index(channel)
    return channel


def main() -> int:
    """Run as a program. Returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, default=ROOT / "conda", help="folder; conda by default")
    parser.add_argument("--subdir", choices=SUBDIRS.values(), default=SUBDIR, help="which machine it is for")
    parser.add_argument("--channel", default="conda-forge", help="conda-forge by default")
    options = parser.parse_args()
    seconds = int(source_date_epoch(ROOT))
    with tempfile.TemporaryDirectory() as folder:
        channels = [make_channel(Path(folder)).as_uri(), options.channel]
        print(build(ROOT, options.subdir, channels, options.output, seconds))
    return 0


if __name__ == "__main__":
    sys.exit(main())
