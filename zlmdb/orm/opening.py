"""How databases are opened: which are open in this process, which engine serves them, what locks mean."""

from __future__ import annotations

import atexit
import os
import threading
import time
from typing import TYPE_CHECKING, Any
from weakref import ref

from zlmdb import _database as defaults
from zlmdb import lmdb
from zlmdb.lmdb import engine
from zlmdb.lmdb._directory import owned_directory
from zlmdb.lmdb.errors import LockError
from zlmdb.orm.errors import FormatError, OpenError

if TYPE_CHECKING:
    from pathlib import Path

    from zlmdb.orm.database import Database

RETRY_DELAYS = (0.0, 0.01)
"""Seconds to wait before each further attempt when the lock file is locked."""

_open_databases: dict[str, ref[Database]] = {}
"""Some of them may have been dropped: a callback that noticed it would swallow what signal handlers raise."""
_open_databases_lock = threading.Lock()
_temporary: dict[str, int] = {}
"""The directories of temporary databases, and the process that each belongs to."""


def _after_fork_in_child() -> None:
    """What the parent has open, a child opens for itself."""
    global _open_databases_lock  # noqa: PLW0603 (a thread that the child does not have may hold the old one)
    _open_databases_lock = threading.Lock()
    _open_databases.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


def find_open(dbpath: str | None) -> Database | None:
    """Return the open database of this process with the path."""
    with _open_databases_lock:
        return _found(dbpath) if dbpath else None


def _found(dbpath: str) -> Database | None:
    """Return the open database with the path; the lock is held."""
    reference = _open_databases.get(dbpath)
    return None if reference is None else reference()


def register(dbpath: str, db: Database) -> None:
    """Note that a database is open.

    Raises:
        OpenError: It is open already.
    """
    with _open_databases_lock:
        first = _found(dbpath) or db
        _open_databases[dbpath] = ref(first)
    if first is not db:
        raise OpenError(
            f'tried to open database "{dbpath}" twice within same process (PID {os.getpid()}): context '
            f"{db.context!r}, opened before in context {first.context!r}; use Database.open to share it"
        )


def unregister(dbpath: str, db: Database) -> None:
    """Note that a database is not open any more."""
    with _open_databases_lock:
        if _found(dbpath) is db:
            del _open_databases[dbpath]


def check_lib_version(lib_version: object) -> None:
    """Raise `FormatError` unless this is None or the version of an engine."""
    if lib_version is not None and lib_version not in list(defaults._LIB_VERSION_TO_MAJOR):
        raise FormatError(f'invalid lib_version {lib_version!r}: must be "1.0" or "0.9", or omitted')


def existing_lib_version(dbpath: str) -> str | None:
    """Return the version of the engine for a database that exists; None if there is none."""
    data_version = engine.sniff(os.fsencode(dbpath), subdir=True)
    major = engine.MAJOR_OF_FORMAT.get(data_version)
    versions = [name for name, known in defaults._LIB_VERSION_TO_MAJOR.items() if known == major]
    return versions[0] if versions else None


def choose_lib_version(dbpath: str, requested: str | None) -> str:
    """Return the version of the engine for a database: that of its format; for a new one, as requested.

    Raises:
        FormatError: The database has another format than the one requested.
    """
    existing = existing_lib_version(dbpath)
    if existing is None:
        return requested or defaults.DEFAULT_LIB_VERSION
    if requested not in (None, existing):
        raise FormatError(
            f'database "{dbpath}" has LMDB format {existing}, but lib_version="{requested}" was requested: '
            "omit lib_version to open it in its own format, or convert it with Database.migrate"
        )
    return existing


def open_environment(dbpath: str, **settings: Any) -> lmdb.Environment:
    """Open an LMDB environment, trying again while its lock file is locked.

    Raises:
        OpenError: It stays locked.
        zlmdb.lmdb.Error: LMDB cannot open it.
        OSError: The directory cannot be created.
    """
    for delay in RETRY_DELAYS:
        try:
            return lmdb.Environment(dbpath, **settings)
        except LockError:
            time.sleep(delay)
    try:
        return lmdb.Environment(dbpath, **settings)
    except LockError as error:
        raise OpenError(_why_locked(dbpath)) from error


def _why_locked(dbpath: str) -> str:
    from pathlib import Path

    if _pid_is_locked(Path(dbpath) / "lock.mdb"):
        return (
            f'cannot open database "{dbpath}": another process has the PID {os.getpid()} as well. '
            "It runs in another PID namespace, such as another container; let both share one (--pid=host)"
        )
    return f'cannot open database "{dbpath}": giving up, its lock file stays locked'


def _pid_is_locked(path: Path) -> bool:
    """Return whether another process holds the lock by which LMDB marks a process: the byte at its PID."""
    import fcntl

    try:
        with path.open("r+b") as file:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, os.getpid())
    except (BlockingIOError, PermissionError):
        return True
    except OSError:
        return False
    return False


def temporary_directory() -> tuple[str, object]:
    """Return the path of a new directory, and the object along with which it is removed."""
    import tempfile

    path = tempfile.mkdtemp(prefix="zlmdb-")
    for former in [former for former in list(_temporary) if not os.path.lexists(former)]:
        _temporary.pop(former, None)
    _temporary[path] = os.getpid()
    return path, owned_directory(path)


@atexit.register
def _remove_temporary() -> None:
    """Remove the directories of databases that live until the program ends: they may not be freed then."""
    import shutil

    for path, pid in list(_temporary.items()):
        if pid == os.getpid():  # not in a forked child
            shutil.rmtree(path, ignore_errors=True)
