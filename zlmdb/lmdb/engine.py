"""Which of the two LMDB engines serves an environment."""

from __future__ import annotations

import os
import struct
import sys

from zlmdb.lmdb._native import ffi, lib
from zlmdb.lmdb.errors import Error, InvalidError
from zlmdb.lmdb.opening import MAX_COUNT, MAX_SIZE, count

MAGIC = 0xBEEFC0DE
MAGIC_BYTES = MAGIC.to_bytes(4, sys.byteorder)
SNIFF_BYTES = 64
MAJOR_OF_FORMAT = {1: 0, 3: 1}
"""LMDB's major version by the data version (`MDB_DATA_VERSION`) that a file carries."""
NAMES = "0.9", "1.0"
"""What the engines are called, by major version."""
META = 8
HEADERS = {
    1: struct.pack("@N4H2I", 0, 0, META, 0, 0, MAGIC, 1),
    3: struct.pack("@2N4H2I", 0, 0, 0, META, 0, 0, MAGIC, 3),
}
"""How a file of each data version begins."""


def engine_version(major: int) -> tuple[int, int, int]:
    """(major, minor, patch) of the bundled engine of this major version.

    Raises:
        TypeError: `major` is not an integer.
        OverflowError: it is negative, or absurdly large.
        Error: there is no such engine.
    """
    out = ffi.new("int[3]")
    if not lib.zl_version(min(count("lib_version", major, MAX_SIZE), MAX_COUNT), out):
        raise Error(f"lib_version={major}: this build has the LMDB engines 0 (0.9) and 1 (1.0)")
    return out[0], out[1], out[2]


def _default_major() -> int:
    value = os.environ.get("LMDB_DEFAULT_LIB_VERSION", "")
    if value in ("", "0"):
        return 0
    if value == "1":
        return 1
    print(f"zlmdb: LMDB_DEFAULT_LIB_VERSION={value!r} is ignored: it must be 0 or 1", file=sys.stderr)
    return 0


DEFAULT_MAJOR = _default_major()


def _version_in(page: bytes) -> int:
    """The data version in the first bytes of a meta page, or of what there is of them; 0 if there is none."""
    at = page.find(MAGIC_BYTES)
    while at > 0 and at % 4:
        at = page.find(MAGIC_BYTES, at + 1)
    version = page[at + 4 : at + 8]
    if at >= 0 and len(version) == 4:
        return int.from_bytes(version, sys.byteorder)
    begun = [version for version, header in HEADERS.items() if any(page) and header.startswith(page)]
    return begun[0] if len(begun) == 1 else 0


def sniff(path: bytes, subdir: bool) -> int:
    """The data version that a data file carries; 0 if it is missing, short or not LMDB's.

    The second meta page tells it where the first was never written.
    """
    try:
        fd = os.open(os.path.join(path, b"data.mdb") if subdir else path, os.O_RDONLY)
    except OSError:
        return 0
    try:
        second = os.sysconf("SC_PAGE_SIZE")
        return _version_in(os.read(fd, SNIFF_BYTES)) or _version_in(os.pread(fd, SNIFF_BYTES, second))
    except OSError:  # a directory, or a device
        return 0
    finally:
        os.close(fd)


def choose(path: bytes, subdir: bool, lib_version: int | None) -> int:
    """The major version of the engine for an environment: as asked, else as its file says, else the default.

    Raises:
        InvalidError: the file has another format than that of the engine asked for.
        Error: no engine of this build reads the file's format.
        OverflowError: `lib_version` is negative.
    """
    found = sniff(path, subdir)
    if lib_version is not None:
        asked = engine_version(lib_version)[0]
        if MAJOR_OF_FORMAT.get(found, asked) != asked:
            raise InvalidError(
                f"{os.fsdecode(path)}: the file has the format of LMDB {NAMES[MAJOR_OF_FORMAT[found]]}, and "
                f"lib_version={asked} asks for that of LMDB {NAMES[asked]}: leave lib_version out"
            )
        return asked
    if found == 0:
        return DEFAULT_MAJOR
    if found in MAJOR_OF_FORMAT:
        return MAJOR_OF_FORMAT[found]
    what = "written by a development version of LMDB" if found == 2 else "unknown"
    raise Error(
        f"{os.fsdecode(path)}: data format v{found} is {what}; this build reads format v1 (LMDB 0.9) and "
        "v3 (LMDB 1.0). Dump it with the tools of the LMDB that wrote it, and load the dump here"
    )


def version(subpatch: bool = False, lib_version: int | None = None) -> tuple[int, ...]:
    """The version of an LMDB engine (`mdb_version()`).

    Args:
        subpatch: append a fourth element, 1: the engine carries the hardening patches.
        lib_version: major version of the engine; by default that of new environments.

    Returns:
        (major, minor, patch) or (major, minor, patch, 1).

    Raises:
        Error: this build has no such engine.
        OverflowError: `lib_version` is negative.
    """
    numbers = engine_version(DEFAULT_MAJOR if lib_version is None else lib_version)
    return (*numbers, 1) if subpatch else numbers


def enable_drop_gil() -> None:
    """Does nothing: CFFI always releases the interpreter lock around calls. Kept for compatibility."""
