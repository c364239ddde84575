"""Offline audit of an LMDB data file, without LMDB.

LMDB trusts its files. Before a file of unknown origin, or one that has been through a crash or a
bad disk, is handed to it, `verify` can read the file as plain bytes and check every rule that LMDB
relies on: that each page is reachable exactly once or free, that keys are in order, that counters
and sizes are true. It knows both data formats, v1 (LMDB 0.9) and v3 (LMDB 1.0), as 64-bit machines
of this machine's byte order write them. Time and memory are bounded by the size of the file, however
hostile its content. No process may write to the file meanwhile, or the audit sees half a commit.

    >>> from zlmdb.lmdb.verify import verify
    >>> verify("/var/lib/app/store")  # doctest: +SKIP
    []
"""

from __future__ import annotations

import os
import stat

from zlmdb.lmdb.verify._audit import _Verifier
from zlmdb.lmdb.verify._meta import VerifyError

__all__ = ["VerifyError", "resolve_data_path", "verify"]

Path = str | bytes | os.PathLike[str] | os.PathLike[bytes]


def resolve_data_path(path: Path, subdir: bool | None = None) -> str | bytes:
    """Return the path of the data file of an environment.

    Args:
        path: What was given to ``open``.
        subdir: Whether `path` is a directory that holds ``data.mdb`` (True) or the data file itself
            (False). None: look.
    """
    given = os.fspath(path)
    if subdir is None:
        subdir = os.path.isdir(given)
    if not subdir:
        return given
    if isinstance(given, bytes):
        return os.path.join(given, b"data.mdb")
    return os.path.join(given, "data.mdb")


def verify(path: Path, subdir: bool | None = None) -> list[str]:
    """Audit the data file of an environment.

    Args:
        path: The environment's directory or file.
        subdir: As for `resolve_data_path`.

    Returns:
        The problems found, one line each, or an empty list if the file is sound. After 200 of them
        the audit stops with one more line that says so.

    Raises:
        VerifyError: The audit cannot start: this is not an LMDB file of a 64-bit machine of this byte
            order, or its meta pages are unusable.
        OSError: The file cannot be read.
    """
    file_path = resolve_data_path(path, subdir)
    if stat.S_ISFIFO(os.stat(file_path).st_mode):  # opening it would wait for somebody at its other end
        raise VerifyError(f"{os.fsdecode(file_path)}: this is a pipe, not a file")
    with open(file_path, "rb", buffering=0) as file:
        return _Verifier(file, os.fstat(file.fileno()).st_size).verify()
