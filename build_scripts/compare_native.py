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

SUFFIXES = (".whl", ".conda")
NativeFile = tuple[str, str]
"""The platform and the name of a native file."""


def native_files(artifact: Artifact) -> Mapping[NativeFile, str]:
    """Return the sha256 of each native file, by what it is for.

    flatc is the same for all Pythons; the module's name says for which it is.

    Raises:
        ArtifactError: The package does not say what it is for.
    """
    platform = platform_of(artifact)
    system = f"{platform.machine} {'glibc' if platform.glibc else 'musl'}"
    return {
        (system, "flatc" if file == FLATC else file.rpartition("/")[2]): sha256(content)
        for file, content in artifact.native.items()
    }


def compare(artifacts: Sequence[Artifact]) -> tuple[list[str], list[bool]]:
    """Compare the native files of packages.

    Returns:
        A table, line by line, and for each file that is in several packages whether all copies are equal.

    Raises:
        ArtifactError: A package does not say what it is for.
    """
    found: dict[NativeFile, list[tuple[str, str]]] = defaultdict(list)
    for artifact in artifacts:
        for native_file, digest in native_files(artifact).items():
            found[native_file].append((digest, artifact.name))
    lines, equal = [], []
    for (system, file), copies in sorted(found.items()):
        verdict = "one copy, nothing to compare with"
        if len(copies) > 1:
            equal.append(len({digest for digest, _ in copies}) == 1)
            verdict = f"{len(copies)} copies, {'equal' if equal[-1] else 'DIFFERENT'}"
        lines += [f"{system}  {file}: {verdict}", *(f"  {digest}  {name}" for digest, name in copies)]
    return lines, equal


def packages(arguments: Iterable[Path]) -> list[Path]:
    """Return the files that are named, and the packages in the folders that are named."""
    return [
        path
        for argument in arguments
        for path in (sorted(argument.rglob("*")) if argument.is_dir() else [argument])
        if path.suffix in SUFFIXES or path == argument
    ]


def main() -> int:
    """Run as a program. Return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("packages", nargs="+", type=Path, metavar="PACKAGE|FOLDER")
    try:
        artifacts = [open_artifact(path) for path in packages(parser.parse_args().packages)]
        lines, equal = compare(artifacts)
    except ArtifactError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print("\n".join(lines))
    if not equal:
        print("error: no native file is in more than one of these packages", file=sys.stderr)
    return 0 if equal and all(equal) else 1


if __name__ == "__main__":
    sys.exit(main())
