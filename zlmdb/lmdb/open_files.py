"""The guard against opening an environment twice in one process, which LMDB's locks do not survive."""

from __future__ import annotations

import errno
import gc
import os
import stat
import sys
import threading
import weakref
from collections.abc import Callable
from typing import Any

from zlmdb.lmdb._native import lib
from zlmdb.lmdb.errors import Error

Key = tuple[int, int] | bytes
"""A file's (device, inode), or its path where the file system has no inodes."""

COLLECTIONS = 1 if sys.implementation.name == "cpython" else 3
"""How many find what was dropped and run its finalizers."""

Act = Callable[[Any], None]
"""What is to be done with an environment."""

_lock = threading.Lock()
_open: dict[Key, OpenFiles] = {}
_inherited: dict[Key, OpenFiles] = {}
"""In a forked child: what its parent has open, and the child has not opened for itself."""


def _after_fork_in_child() -> None:
    """What the parent has open, a child may open for itself."""
    global _lock  # noqa: PLW0603 (the old one may be held by a thread that the child does not have)
    _lock = threading.Lock()
    _inherited.update(_open)
    _open.clear()
    for registration in set(_inherited.values()):
        registration.act(registration.forked)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


def _key(path: bytes) -> Key | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    if stat.S_ISFIFO(found.st_mode):  # opening it would wait for somebody at its other end
        raise Error(f"{os.fsdecode(path)}: this is a pipe, and an environment needs a file", errno.ESPIPE)
    return (found.st_dev, found.st_ino) if found.st_ino else os.path.realpath(path)


def _is_taken(key: Key, by: OpenFiles) -> bool:
    """Whether another environment has the file. One that was dropped gave no notice: C knows of it."""
    other = _open.get(key, by)
    return other is not by and bool(lib.zl_env_exists(other.number))


class OpenFiles:
    """The files of one environment, from before it is opened until after it is closed.

    Until its files exist, the data file's path stands for them, so that two threads cannot both create them.

    Args:
        path: The environment's path.
        files: Its data file and lock file.
        number: C's number of the environment, which exists already, and from now on until it is closed.
        env: The environment, referred to weakly, without a callback that would swallow what the handlers of
            signals raise.
        forked: What is to be done with it in a forked child.
        give_up: What is to be done with it in a forked child, before that opens the files anew.

    Raises:
        Error: One of the files belongs to an environment that is open in this process, or is a pipe.
    """

    def __init__(
        self,
        path: bytes,
        files: tuple[bytes, bytes],
        number: int,
        env: weakref.ref[Any],
        forked: Act,
        give_up: Act,
    ) -> None:
        self.number = number
        self._env = env
        self._path = path
        self._files = files
        self.forked = forked
        self.give_up = give_up
        self._keys: set[Key] = set()
        existing = self._existing()
        self._settled = len(existing) == len(files)
        self._add(existing if self._settled else {os.path.realpath(files[0]), *existing})

    def act(self, what: Act) -> None:
        """Do it with the environment, if that is still there."""
        env = self._env()
        if env is not None:
            what(env)

    def _existing(self) -> set[Key]:
        return {key for key in map(_key, self._files) if key is not None}

    def _add(self, keys: set[Key]) -> None:
        for key in keys:
            inherited = _inherited.pop(key, None)
            if inherited is not None:
                inherited.act(inherited.give_up)
        for _ in range(COLLECTIONS):
            if self._try_to_add(keys):
                return
            gc.collect()  # it may be open only as one that was dropped is not collected yet
        if not self._try_to_add(keys):
            raise Error(
                f"{os.fsdecode(self._path)}: this environment is already open in this process; "
                "use the open Environment, or close it first"
            )

    def _try_to_add(self, keys: set[Key]) -> bool:
        with _lock:
            if any(_is_taken(key, self) for key in keys):
                return False
            for key in keys:
                _open[key] = self
            self._keys |= keys
        return True

    def _remove(self, keys: set[Key]) -> None:
        with _lock:
            for key in keys:
                if _open.get(key) is self:
                    del _open[key]
            self._keys -= keys

    def opened(self) -> None:
        """The files exist now: they take the place of the path, where others may be created later.

        Raises:
            Error: One of them belongs to an environment that was opened meanwhile.
        """
        if self._settled:  # they did before
            return
        files = self._existing()
        self._add(files)
        self._remove(self._keys - files)

    def release(self) -> None:
        """The environment is closed. Calling it again is harmless."""
        self._remove(set(self._keys))
