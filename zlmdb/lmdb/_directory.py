"""Directories that are removed along with an object."""

from __future__ import annotations

import os
from typing import Any

from zlmdb.lmdb._native import ffi, lib
from zlmdb.lmdb.errors import error
from zlmdb.lmdb.pool import owner

_DIRECTORY = ffi.typeof("zl_directory *")
_new = owner(lib.zl_directory_alloc, lib.zl_directory_remove)


def owned_directory(path: str) -> Any:
    """An object with which a directory goes, and all that is in it; not in a forked child.

    Raises:
        MemoryError: there is no memory for it.
    """
    directory = _new(_DIRECTORY)
    rc = lib.zl_directory_own(directory, os.fsencode(path))
    if rc:
        raise error(path, rc)
    return directory
