"""Copies of an environment, taken while it is in use."""

from __future__ import annotations

import errno
from typing import Any

from zlmdb.lmdb._native import ffi, lib
from zlmdb.lmdb.errors import INCOMPATIBLE, error
from zlmdb.lmdb.opening import Path, count, native_path
from zlmdb.lmdb.status import Status
from zlmdb.lmdb.transaction import Transaction

CP_COMPACT = 0x01

_TARGET = "a copy needs an empty directory that exists; with subdir=False, a path where nothing is"
_HINTS = {
    **dict.fromkeys((errno.ENOENT, errno.EEXIST, errno.ENOTDIR, errno.EISDIR), _TARGET),
    errno.EACCES: "the destination cannot be written to",
    INCOMPATIBLE: "the transaction has written: commit it, and copy then",
}


class Copying(Status):
    """The part of `Environment` that copies it."""

    def copy(self, path: Path, compact: bool = False, txn: Transaction[Any] | None = None) -> None:
        """Copy the environment into an empty directory (`mdb_env_copy2()`), while it is in use.

        Args:
            path: the directory; a file name if the environment has `subdir=False`.
            compact: leave out free pages.
            txn: copy this transaction's snapshot; with `compact` only.

        Raises:
            TypeError: `txn` without `compact`.
            IncompatibleError: `txn` has written, or a transaction that it is nested in.
            Error: the copy could not be written.
        """
        self._copy(native_path(path), -1, compact, txn)

    def copyfd(self, fd: int, compact: bool = False, txn: Transaction[Any] | None = None) -> None:
        """Copy the data file to a file descriptor (`mdb_env_copyfd2()`); otherwise as `copy()`."""
        self._copy(ffi.NULL, count("fd", fd), compact, txn)

    def _copy(self, path: Any, fd: int, compact: bool, txn: Transaction[Any] | None) -> None:
        if txn is not None and not compact:
            raise TypeError("txn needs compact=True")
        c = ffi.NULL if txn is None else self._own(txn)._attach() and txn._c
        rc = lib.zl_env_copy(self._c, path, fd, CP_COMPACT if compact else 0, c)
        if rc:
            problem = error("mdb_env_copy3" if fd < 0 else "mdb_env_copyfd3", rc)
            raise problem.advise(_HINTS.get(rc, ""))
