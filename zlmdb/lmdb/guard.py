"""The guard against opening an environment twice in one process, which LMDB's locks do not survive."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable

from zlmdb.lmdb.errors import Error

Key = tuple[int, int] | bytes
"""A file's (device, inode), or its path where the file system has no inodes."""

_lock = threading.Lock()
_open: dict[Key, int] = {}


def _after_fork_in_child() -> None:
    """What the parent has open, a child may open for itself; its inherited environments are not used again."""
    global _lock
    _lock = threading.Lock()
    _open.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


def _key(path: bytes) -> Key | None:
    try:
        stat = os.stat(path)
    except OSError:
        return None
    return (stat.st_dev, stat.st_ino) if stat.st_ino else os.path.realpath(path)


class Registration:
    """The files of one environment, from before it is opened until after it is closed.

    Args:
        path: the environment's path.
        files: its data file and lock file.

    Raises:
        Error: one of the files belongs to an environment that is open in this process.
    """

    def __init__(self, path: bytes, files: Iterable[bytes]) -> None:
        self._files = tuple(files)
        self._keys: set[Key] = set()
        self._add(path)

    def _add(self, path: bytes) -> None:
        keys = {key for key in map(_key, self._files) if key is not None} - self._keys
        with _lock:
            if not keys.isdisjoint(_open):
                raise Error(
                    f"{os.fsdecode(path)}: this environment is already open in this process; "
                    "use the open Environment, or close it first"
                )
            for key in keys:
                _open[key] = id(self)
            self._keys |= keys

    def opened(self, path: bytes) -> None:
        """The files exist now: register those that did not exist before."""
        self._add(path)

    def release(self) -> None:
        """The environment is closed. Calling it again is harmless."""
        with _lock:
            for key in self._keys:
                if _open.get(key) == id(self):
                    del _open[key]
            self._keys.clear()
