"""Prove that packages of one platform hold the same native files: `compare_native.py PACKAGE|FOLDER...`.

Prints the sha256 of each native file of each wheel and conda package. Those for the same machine, C library
and Python have to agree in every byte; exit status 1 if two differ, or if there were no two to compare.
"""

import argparse
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from requirements import needed

with needed("artifacts"):
    from artifacts.archive import FLATC, Artifact, ArtifactError, open_artifact
    from artifacts.platforms import platform_of
    from vendoring.files import sha256

Place = tuple[str, str]
"""Platform, and file name of a native file."""
SUFFIXES = (".whl", ".conda")


def places(artifact: Artifact) -> Mapping[Place, str]:
    """The sha256 of each native file, by what it is for. Raises ArtifactError.

    flatc is the same for all Pythons; the module's name says for which it is.
    """
    platform = platform_of(artifact)
    system = f"{platform.machine} {'glibc' if platform.glibc else 'musl'}"
    return {
        (system, "flatc" if file == FLATC else file.rpartition("/")[2]): sha256(content)
        for file, content in artifact.native.items()
    }


def compare(artifacts: Sequence[Artifact]) -> tuple[list[str], bool]:
    """The table, line by line, and whether all that can be compared is equal. Raises ArtifactError."""
    found: dict[Place, list[tuple[str, str]]] = defaultdict(list)
    for artifact in artifacts:
        for place, digest in places(artifact).items():
            found[place].append((digest, artifact.name))
    lines, equal = [], True
    for (system, file), copies in sorted(found.items()):
        same = len({digest for digest, _ in copies}) == 1
        equal &= same
        lines.append(f"{system}  {file}: {_verdict(len(copies), same)}")
        lines += [f"  {digest}  {name}" for digest, name in copies]
    return lines, equal


def _verdict(copies: int, same: bool) -> str:
    if copies == 1:
        return "one copy, nothing to compare with"
    return f"{copies} copies, equal" if same else f"{copies} copies, DIFFERENT"


def packages(arguments: Iterable[Path]) -> list[Path]:
    """The files that are named, and the packages in the folders that are named."""
    return [
        path
        for argument in arguments
        for path in (sorted(argument.rglob("*")) if argument.is_dir() else [argument])
        if path.suffix in SUFFIXES or path == argument
    ]


def main() -> int:
    """Run as a program. Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("packages", nargs="+", type=Path, metavar="PACKAGE|FOLDER")
    try:
        artifacts = [open_artifact(path) for path in packages(parser.parse_args().packages)]
        lines, equal = compare(artifacts)
    except ArtifactError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print("\n".join(lines))
    compared = any("nothing to compare" not in line for line in lines if not line.startswith(" "))
    if not compared:
        print("error: no native file is in more than one of these packages", file=sys.stderr)
    return 0 if equal and compared else 1


if __name__ == "__main__":
    sys.exit(main())
