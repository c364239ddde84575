"""Make the third-party and generated files of the package `zlmdb.flatbuffers` from the FlatBuffers sources.

The stock runtime as it is, the version of its tree, and what flatc makes of FlatBuffers' schema of schemas.
"""

import argparse
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from vendoring.pins import Vendor

REFLECTION_OPTIONS = ("-b", "--schema", "--bfbs-comments", "--bfbs-builtins")
"""What makes `reflection.bfbs` the file that FlatBuffers publishes."""


def make(flatc: Path, source: Path, version: str, output: Path) -> None:
    """Write all files below `output`, which is emptied before. `flatc` must run on this machine."""
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)
    for module in (source / "python" / "flatbuffers").glob("*.py"):
        shutil.copyfile(module, output / module.name)
    (output / "_git_version.py").write_text(f'__git_version__ = "v{version}"\n')
    shutil.copyfile(source / "reflection" / "reflection.fbs", output / "reflection.fbs")
    _reflection(flatc, output)


def _reflection(flatc: Path, output: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        # flatc takes the schema's folder for the project's root, and calls the schema `//reflection.fbs`.
        schema = Path(shutil.copy(output / "reflection.fbs", folder)).resolve()
        subprocess.run([flatc, *REFLECTION_OPTIONS, "-o", output, schema], check=True)
        subprocess.run([flatc, "--python", "-o", output, schema], check=True)
    for module in (output / "reflection").glob("*.py"):
        module.write_text(bind_imports(module.read_text()))


def bind_imports(code: str) -> str:
    """Bind generated code to the runtime that it was generated for, and to its own package.

    flatc writes imports of top-level packages `flatbuffers` and `reflection`; here both lie inside `zlmdb`.
    The runtime gets its full name, because programs may import the code as `flatbuffers.reflection`, too.
    """
    code = re.sub(r"\bfrom reflection\.(\w+) import", r"from .\1 import", code)
    code = re.sub(r"^import flatbuffers$", "from zlmdb import flatbuffers", code, flags=re.MULTILINE)
    return re.sub(
        r"^from flatbuffers\.(\w+) import", r"from zlmdb.flatbuffers.\1 import", code, flags=re.MULTILINE
    )


def main() -> None:
    """Run as a program by `CMakeLists.txt`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--flatc", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    vendor = Vendor()
    make(options.flatc, vendor.source("flatbuffers"), vendor.load("flatbuffers").version, options.output)


if __name__ == "__main__":
    main()
