"""Provide the FlatBuffers compiler: build it, or take it from the cache.

flatc costs minutes, and depends on nothing but the FlatBuffers pin, the target, the toolchain and its flags.
The cache keeps a binary for each, in `$ZLMDB_CACHE_DIR`, else `$XDG_CACHE_HOME/zlmdb`, else `~/.cache/zlmdb`.
`ZLMDB_CACHE=off` does without.
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from vendoring.errors import VendorError
from vendoring.files import sha256, write_file
from vendoring.pins import Pin, Vendor

HERE = Path(__file__).resolve().parent
RECIPE = ("flatc/CMakeLists.txt", "flags.cmake", "toolchains/zig.cmake")
COMPILERS = ("c++", "g++", "clang++")
FLAG_VARIABLES = ("CXXFLAGS", "CPPFLAGS", "LDFLAGS")
ZIG_HINT = "set ZLMDB_TOOLCHAIN=zig to build with the compiler that the package ziglang brings along"


class BuildError(Exception):
    """flatc cannot be built. The message says why, and what to do."""


@dataclass(frozen=True)
class Toolchain:
    """A C++ compiler for one target."""

    name: str
    """`system` or `zig`."""
    target: str
    """The target triple; `host` for the system's compiler."""
    identity: tuple[str, ...]
    """What the binary depends on besides the sources and the recipe."""
    defines: Mapping[str, str]
    """CMake variables that select it."""


def system_toolchain() -> Toolchain:
    """Return the system's C++ compiler: `$CXX`, or the first of the usual ones.

    Raises:
        BuildError: There is none.
    """
    wanted = os.environ.get("CXX", "").split()
    command = wanted or [name for name in COMPILERS if shutil.which(name)][:1]
    if not command or not shutil.which(command[0]):
        missing = (
            f"{wanted[0]}, which the environment variable CXX names," if wanted else ", ".join(COMPILERS)
        )
        raise BuildError(
            f"no C++ compiler found: {missing} is not on the PATH.\nInstall a compiler, or {ZIG_HINT}."
        )
    identity = (
        _output([*command, "--version"]).partition(" ")[2],  # Without its name: c++ may well be g++.
        _output([*command, "-dumpmachine"]),
        " ".join(platform.libc_ver()),
        *(os.environ.get(variable, "") for variable in FLAG_VARIABLES),
    )
    return Toolchain("system", "host", identity, {"CMAKE_CXX_COMPILER": ";".join(command)})


def zig_toolchain(target: str) -> Toolchain:
    """Return the compiler of the package ziglang, for `target`, or for this machine if that is empty.

    Raises:
        BuildError: The package is not installed.
    """
    target = target or host_target()
    try:
        identity = (version("ziglang"), target)
    except PackageNotFoundError:
        hint = "python build_scripts/requirements.py zig"
        raise BuildError(f"the zig toolchain needs the package ziglang: {hint} installs it") from None
    defines = {
        "CMAKE_TOOLCHAIN_FILE": str(HERE / "toolchains" / "zig.cmake"),
        "ZLMDB_TARGET": target,
        "Python_EXECUTABLE": sys.executable,
        "FLATC_ZIG": "ON",
    }
    return Toolchain("zig", target, identity, defines)


def host_target() -> str:
    """Return this machine and its C library, as zig names them."""
    library = "gnu" if platform.libc_ver()[0] == "glibc" else "musl"
    return f"{platform.machine()}-linux-{library}"


def provide(output: Path, toolchain: Toolchain, cmake: Sequence[str], vendor: Vendor) -> None:
    """Put the flatc that `toolchain` makes at `output`. `cmake` is the command that configures.

    Raises:
        BuildError: It cannot be built.
    """
    pin = vendor.load("flatbuffers")
    entry = cache_entry(pin, toolchain)
    binary = read_entry(entry) if entry else None
    if binary is None:
        fate = f"It is kept in {entry.parent}" if entry else "It is not kept, as ZLMDB_CACHE says"
        print(
            f"compiling flatc {pin.version}, which takes minutes ({toolchain.name} toolchain). {fate}.",
            flush=True,
        )
        binary = _build(toolchain, cmake, vendor, pin)
        if entry:
            store_entry(entry, binary)
    write_file(output, binary, 0o755)


def cache_entry(pin: Pin, toolchain: Toolchain) -> Path | None:
    """Return the folder of the cache that is for this binary; None if the cache is switched off."""
    environment = os.environ.get
    if environment("ZLMDB_CACHE", "").lower() in {"off", "0", "no", "false"}:
        return None
    sources = {file: pin.files[file] for file in pin.files if file.endswith((".h", ".cc", ".cpp"))}
    recipe = [sha256((HERE / file).read_bytes()) for file in RECIPE]
    key = json.dumps([sources, recipe, toolchain.name, toolchain.identity], sort_keys=True)
    user_cache = Path(environment("XDG_CACHE_HOME") or Path.home() / ".cache")
    cache = Path(environment("ZLMDB_CACHE_DIR") or user_cache / "zlmdb")
    return cache / "flatc" / f"{pin.version}-{toolchain.target}-{sha256(key.encode())[:32]}"


def read_entry(entry: Path) -> bytes | None:
    """Return the cached binary; None if there is none. An entry that is not what was stored is removed."""
    try:
        binary, recorded = (entry / "flatc").read_bytes(), (entry / "flatc.sha256").read_text()
    except OSError:
        return None
    if sha256(binary) == recorded.strip():
        return binary
    print(f"{entry} is damaged; flatc is built again", file=sys.stderr)
    shutil.rmtree(entry, ignore_errors=True)
    return None


def store_entry(entry: Path, binary: bytes) -> None:
    """Add a binary to the cache in one step. What a concurrent build stored before stays."""
    try:
        entry.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(
            dir=entry.parent, prefix=".new-", ignore_cleanup_errors=True
        ) as folder:
            new = Path(folder) / "entry"
            write_file(new / "flatc", binary, 0o755)
            write_file(new / "flatc.sha256", f"{sha256(binary)}\n".encode())
            new.rename(entry)
    except OSError as error:
        if not entry.is_dir():
            print(f"flatc is not cached, and will be built again: {error}", file=sys.stderr)


def _build(toolchain: Toolchain, cmake: Sequence[str], vendor: Vendor, pin: Pin) -> bytes:
    units = [file for file in sorted(pin.files) if file.endswith((".cc", ".cpp"))]
    with tempfile.TemporaryDirectory() as folder:
        defines = {
            "CMAKE_BUILD_TYPE": "None",
            "FLATC_SOURCE_DIR": vendor.source(pin.name),
            "FLATC_SOURCES": ";".join(units),
            **toolchain.defines,
        }
        defined = [f"-D{name}={value}" for name, value in defines.items()]
        _run([*cmake, "-S", str(HERE / "flatc"), "-B", folder, *defined])
        _run([cmake[0], "--build", folder, "--parallel"])
        return (Path(folder) / "flatc").read_bytes()


def _run(command: Sequence[str]) -> None:
    if subprocess.run(command, check=False).returncode:
        raise BuildError(
            f"flatc cannot be built; the reason is above.\nIf it is the system's compiler, {ZIG_HINT}."
        )


def _output(command: Sequence[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def main() -> int:
    """Run as a program by `CMakeLists.txt`. Return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--toolchain", choices=("system", "zig"), default="system")
    parser.add_argument("--target", default="", help="target triple for zig; this machine by default")
    parser.add_argument("cmake", nargs="+", help="the command that configures, without folders")
    options = parser.parse_args()
    try:
        toolchain = zig_toolchain(options.target) if options.toolchain == "zig" else system_toolchain()
        provide(options.output, toolchain, options.cmake, Vendor())
    except (BuildError, VendorError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
