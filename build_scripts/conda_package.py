"""Build the conda package with the packages of conda-forge: `conda_package.py [--output FOLDER]`.

conda-forge has another zig than the release, so the compiler becomes a conda package of PyPI's wheel. Builds
for this machine, or with `--subdir` for another, and runs the recipe's tests if that is this one.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from requirements import ZIG, needed

with needed("conda"):
    from conda.channel import SUBDIR, SUBDIRS, assemble, index
    from conda.package import build, variants

from source_date import source_date_epoch
from vendoring.pins import ROOT


def make_channel(folder: Path) -> Path:
    """Make a channel of what conda-forge lacks, the compiler, and return its folder."""
    (zig,) = [requirement for requirement in ZIG if requirement.startswith("ziglang")]
    (python,) = variants(ROOT)["python"]
    channel, stage = folder / "channel", folder / "stage"
    site = stage / "lib" / f"python{python}" / "site-packages"
    install = ["-m", "pip", "install", "-q", "--no-deps", "--no-compile", "--target", site, zig]
    subprocess.run([sys.executable, *install], check=True)
    assemble("ziglang", zig.partition("==")[2], "0", [f"python {python}.*"], stage, channel)
    index(channel)
    return channel


def main() -> int:
    """Run as a program. Return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
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
