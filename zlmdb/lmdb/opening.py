"""Opening an environment: its arguments checked, LMDB's flags for them, and what to do where it fails."""

from __future__ import annotations

import errno
import operator
import os
import sys
from contextlib import suppress
from typing import Any, Literal, NamedTuple

from zlmdb.lmdb._native import ffi, lib
from zlmdb.lmdb.errors import InvalidError, VersionMismatchError, error
from zlmdb.lmdb.pool import owner

Path = str | bytes | os.PathLike[str] | os.PathLike[bytes]

NOTLS = 0x200000
"""Reader slots belong to transactions, not to threads."""

FLAGS = {
    "subdir": (0x4000, False),
    "readonly": (0x20000, True),
    "metasync": (0x40000, False),
    "sync": (0x10000, False),
    "map_async": (0x100000, True),
    "readahead": (0x800000, False),
    "writemap": (0x80000, True),
    "meminit": (0x1000000, False),
    "lock": (0x400000, False),
}
"""LMDB's flag for each switch of `Environment`, and whether it stands for the switch being on or off."""

_ENV = ffi.typeof("zl_env *")
_new = owner(lib.zl_env_alloc, lib.zl_env_drop)

DEFAULT_MAP_SIZE = 10 * 1024 * 1024
AUTO = "auto"
MAX_COUNT = 2**31 - 1
MAX_SIZE = 2**63 - 1
ADDRESS_RESERVE = 1 << 40
"""Address space reserved for a map that grows by itself, in bytes; less where the system gives less."""

_NO_MAPS_OR_LOCKS = (
    "the file system may lack shared memory maps or file locks, as NFS and other network file systems do: "
    "keep the environment on a local disk"
)
_NOT_PERMITTED = "readonly=True may be permitted, with lock=False where the lock file cannot be written"
_HINTS = {
    errno.ENOENT: (
        "check the path: readonly=True makes no environment, create=False no directory, and a missing parent "
        "directory is never made"
    ),
    errno.ENOTDIR: "the path leads to a file: subdir=False opens that",
    errno.EISDIR: (
        "subdir=False needs the path of a file, and subdir=True a directory in which data.mdb and lock.mdb "
        "are files"
    ),
    errno.EBADF: (
        "the data file is empty: opening it without readonly=True makes an environment of it, also where its "
        "creation was cut short"
    ),
    errno.EACCES: _NOT_PERMITTED,
    errno.EPERM: _NOT_PERMITTED,
    errno.EROFS: _NOT_PERMITTED,
    errno.ENOSPC: "the disk is full: free some space",
    errno.EDQUOT: "the disk quota is used up",
    errno.ENOMEM: (
        "there is no address space for a map of that size, or no memory for so many databases: "
        "open it with a smaller map_size or max_dbs"
    ),
    errno.EAGAIN: (
        "another process has locked it, or has it open without its data file, which was removed or is just "
        "made: let that process end, and try again"
    ),
    errno.EINVAL: _NO_MAPS_OR_LOCKS,
    errno.ENODEV: _NO_MAPS_OR_LOCKS,
    errno.ENOLCK: _NO_MAPS_OR_LOCKS,
    errno.ENOSYS: _NO_MAPS_OR_LOCKS,
    errno.EOPNOTSUPP: _NO_MAPS_OR_LOCKS,
    errno.ESTALE: _NO_MAPS_OR_LOCKS,
}
_HINTS_BY_CLASS = {
    InvalidError: "it is no LMDB file, or damaged: `python -m zlmdb.lmdb verify` tells more",
    VersionMismatchError: "the other LMDB engine wrote it: leave lib_version out",
}


def to_flags(**switches: bool) -> int:
    """LMDB's flags for the switches of `Environment`; every one of `FLAGS` must be given."""
    flags = NOTLS
    for name, (flag, stands_for_on) in FLAGS.items():
        if bool(switches[name]) is stands_for_on:
            flags |= flag
    return flags


def from_flags(flags: int) -> dict[str, bool]:
    """The switches of `Environment` that LMDB's flags stand for."""
    return {name: bool(flags & flag) is stands_for_on for name, (flag, stands_for_on) in FLAGS.items()}


def keeps_views() -> bool:
    """Whether the environment variable ZLMDB_KEEP_VIEWS asks to keep views readable."""
    value = os.environ.get("ZLMDB_KEEP_VIEWS", "")
    if value not in ("", "0", "1"):
        print(f"zlmdb: ZLMDB_KEEP_VIEWS={value!r} is ignored: it must be 0 or 1", file=sys.stderr)
    return value == "1"


def native_path(path: Path) -> bytes:
    """A path as LMDB takes it.

    Raises:
        TypeError: it is not a path.
        ValueError: it contains NUL, where C would end it.
    """
    raw = os.fsencode(path)
    if b"\0" in raw:
        raise ValueError(f"a path cannot contain NUL: {path!r}")
    return raw


def count(name: str, value: int, most: int = MAX_COUNT) -> int:
    """A size or number that an argument gives.

    Raises:
        TypeError: it is not an integer.
        OverflowError: it is negative, or more than LMDB takes.
    """
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, not {value!r} ({type(value).__name__})") from None
    if number < 0:
        raise OverflowError(f"{name} must be >= 0, not {number}")
    if number > most:
        raise OverflowError(f"{name} must be <= {most}, not {number}")
    return number


class Limits(NamedTuple):  # a dataclass would import for as long as all the rest
    """The sizes and numbers of `Environment`, checked."""

    map_size: int
    max_readers: int
    max_dbs: int
    max_spare_txns: int
    grow: bool

    @classmethod
    def of(
        cls, map_size: int | Literal["auto"], max_readers: int, max_dbs: int, max_spare_txns: int, grow: bool
    ) -> Limits:
        """Check the arguments.

        Raises:
            TypeError: one is not an integer; `map_size` may also be "auto".
            OverflowError: one is negative or too large.
        """
        auto = isinstance(map_size, str)
        if auto and map_size != AUTO:
            raise TypeError(f'map_size must be an integer number of bytes or "auto", not {map_size!r}')
        return cls(
            DEFAULT_MAP_SIZE if isinstance(map_size, str) else count("map_size", map_size, MAX_SIZE),
            count("max_readers", max_readers),
            count("max_dbs", max_dbs),
            count("max_spare_txns", max_spare_txns),
            bool(grow) or auto,
        )


def make_directory(path: Path, mode: int) -> None:
    """Make the directory of a new environment; one that exists is as good.

    Raises:
        OSError: it cannot be made. It shows the path as the user gave it.
    """
    with suppress(FileExistsError):  # a file there is for LMDB to refuse
        os.mkdir(path, mode)


def files(path: bytes, subdir: bool) -> tuple[bytes, bytes]:
    """The data file and the lock file of an environment."""
    if subdir:
        return os.path.join(path, b"data.mdb"), os.path.join(path, b"lock.mdb")
    return path, path + b"-lock"


def new_handle() -> Any:
    """A native environment, with nothing in it yet; its memory, and what is opened, belong to the object."""
    return _new(_ENV)


def create(c: Any, major: int, limits: Limits) -> None:
    """Make an environment of a native handle, not open yet (`mdb_env_create()`).

    Args:
        c: the handle.
        major: LMDB's major version.
        limits: its sizes and numbers.

    Raises:
        InvalidParameterError: LMDB does not take one of them, as a reader table without a slot.
    """
    rc = lib.zl_env_new(c, major, ADDRESS_RESERVE if limits.grow else 0, limits.max_spare_txns)
    if rc:
        raise error("mdb_env_create", rc)
    rc = lib.zl_env_configure(c, limits.map_size, limits.max_readers, limits.max_dbs)
    if rc:
        raise error("mdb_env_set_maxreaders", rc).advise("max_readers must be at least 1")


def give_up(c: Any) -> None:
    """Close a native environment that could not be opened, or not wholly."""
    lib.zl_env_shut(c)
    lib.zl_env_close(c)


def open_files(c: Any, path: bytes, flags: int, mode: int) -> None:
    """Open the files of an environment and map them (`mdb_env_open()`).

    Raises:
        Error: with the path, LMDB's or the system's code, and what to do about it where that is known.
    """
    rc = lib.zl_env_open(c, path, flags, mode)
    if rc:
        problem = error(path, rc)
        raise problem.advise(_HINTS.get(rc) or _HINTS_BY_CLASS.get(type(problem), "")) from None


def open_main(c: Any) -> int:
    """Open the main database; its flags."""
    flags = ffi.new("unsigned *")
    rc = lib.zl_env_open_main(c, flags)
    if rc:
        raise error("mdb_txn_begin", rc)
    return int(flags[0])
