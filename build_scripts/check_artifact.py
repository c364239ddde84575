"""Check that wheels and conda packages are fit to be published: `check_artifact.py WHEEL|CONDA...`.

Prints a line for each package, and every fault with its rule, file and reason. Exit status 1 if there is one.
docs/native-build.md describes the rules.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from requirements import needed

with needed("artifacts"):
    from artifacts import binaries, contents, platforms, versions
    from artifacts.archive import Artifact, ArtifactError, Fault, open_artifact
    from vendoring.files import sha256
    from vendoring.pins import Pin, Vendor


def faults(artifact: Artifact, pins: list[Pin]) -> Iterator[Fault]:
    """Yield everything that is wrong with one package."""
    try:
        yield from platforms.check(artifact)
        yield from contents.check(artifact, pins)
        yield from versions.check(artifact, pins)
        yield from binaries.check(artifact)
    except ArtifactError as error:
        yield Fault("package", artifact.name, str(error))


def check_all(paths: Sequence[Path]) -> bool:
    """Check packages, print the result, and return whether all are without fault."""
    pins = Vendor().pins()
    sound, artifacts = True, []
    for path in paths:
        try:
            artifacts.append(open_artifact(path))
            found = list(faults(artifacts[-1], pins))
        except ArtifactError as error:
            found = [Fault("package", path.name, str(error))]
        sound &= not found
        content = path.read_bytes() if path.is_file() else b""
        verdict = "FAULTY" if found else "sound "
        print(f"{verdict} {path.name}  {len(content):,} bytes, sha256 {sha256(content)}")
        for fault in found:
            print(f"  {fault}")
    differing = list(versions.check_same_reflection(artifacts))
    for fault in differing:
        print(f"  {fault}")
    if artifacts and not any(map(versions.runs_here, artifacts)):
        print("not checked: reflection.bfbs against its compiler, because no flatc among these runs here")
    return sound and not differing


def main() -> int:
    """Run as a program. Return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("packages", nargs="+", type=Path, metavar="WHEEL|CONDA")
    return 0 if check_all(parser.parse_args().packages) else 1


if __name__ == "__main__":
    sys.exit(main())
