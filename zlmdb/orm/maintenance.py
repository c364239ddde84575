"""Whole databases: backups, and migration between the two formats of LMDB."""

from __future__ import annotations

import glob
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import islice, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from zlmdb import _database as defaults
from zlmdb import lmdb
from zlmdb.lmdb.errors import Error as LmdbError
from zlmdb.orm import opening
from zlmdb.orm.errors import BackupError, FormatError, OpenError

if TYPE_CHECKING:
    Progress = Callable[[int, int], object]

BATCH = 10_000
"""Records that a migration writes in one transaction."""
NAMED_DATABASE_SIZE = 48
"""Bytes of the record with which both engines of LMDB note a named database (``MDB_db``)."""


def backup(env: lmdb.Environment, path: str, compact: bool, verify: bool) -> None:
    """Copy an open environment; see `Database.backup`."""
    target = Path(path)
    if target.exists():
        raise BackupError(f"{target} exists already: a backup is written to a new directory")
    with _new_directory(target) as directory:
        env.copy(str(directory), compact=compact)
        if verify:
            _verify(directory)
        _flush(directory / "data.mdb")
        _flush(directory)
        directory.rename(target)
        _flush(target.parent)


@contextmanager
def _new_directory(target: Path, replace: bool = False) -> Iterator[Path]:
    """Make a directory beside the target, to be renamed; it is removed if it has not been.

    With `replace` the caller alone works on the target, and what a process that died has left is removed.
    """
    leftovers = (
        target.parent.glob(f".{glob.escape(target.name)}.{'[0-9a-f]' * 32}.partial") if replace else ()
    )
    for leftover in leftovers:
        shutil.rmtree(leftover)
    directory = target.with_name(f".{target.name}.{uuid4().hex}.partial")
    directory.mkdir()
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _verify(directory: Path) -> None:
    from zlmdb.lmdb.verify import VerifyError, verify

    try:
        problems = verify(str(directory))
    except VerifyError as error:
        problems = [str(error)]
    if problems:
        raise BackupError(f"the copy is damaged, and so the database may be: {'; '.join(problems[:5])}")


def _flush(path: Path) -> None:
    """Make a file, or the entries of a directory, durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def migrate(path: str, lib_version: str, progress: Progress | None) -> int:
    """Give a database another format; see `Database.migrate`."""
    opening.check_lib_version(lib_version or "")
    existing = opening.existing_lib_version(path)
    if existing is None:
        raise FormatError(f'there is no database in "{path}" to migrate')
    if existing == lib_version:
        return 0
    try:
        with lmdb.Environment(
            path, readonly=True, lock=False, max_dbs=1, lib_version=_major(existing)
        ) as env:
            return _migrate(env, Path(path), lib_version, progress)
    except LmdbError as error:
        raise BackupError(f'the database "{path}" cannot be migrated, it is unchanged: {error}') from error


def _migrate(env: lmdb.Environment, path: Path, lib_version: str, progress: Progress | None) -> int:
    data = path / "data.mdb"
    with _exclusively(path), _new_directory(path, replace=True) as directory:
        records = _copy_records(env, directory, lib_version, progress)
        copied = directory / "data.mdb"
        shutil.copymode(data, copied)
        _flush(copied)
        copied.replace(data)
        _flush(path)
    return records


def _major(lib_version: str) -> int:
    return defaults._LIB_VERSION_TO_MAJOR[lib_version]


@contextmanager
def _exclusively(path: Path) -> Iterator[None]:
    """Keep other processes from opening a database meanwhile.

    LMDB holds a lock on the first byte of the lock file as long as it has a database open. Here it has not,
    so that closing the file does not take a lock of its own away.
    """
    import fcntl

    with (path / "lock.mdb").open("ab") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1)
        except OSError as error:
            raise OpenError(
                f'the database "{path}" is open in another process: close it to migrate it'
            ) from error
        yield


def _copy_records(env: lmdb.Environment, directory: Path, lib_version: str, progress: Progress | None) -> int:
    """Copy all records into a new environment, and compare; return their number."""
    total = env.stat()["entries"]
    with lmdb.Environment(
        str(directory),
        map_size=env.info()["map_size"],
        grow=True,
        sync=False,
        lib_version=_major(lib_version),
    ) as target:
        with env.begin() as source:
            records = source.items()
            done = 0
            while batch := list(islice(records, BATCH)):
                _check_plain(env, source, batch)
                with target.begin(write=True) as txn, txn.cursor() as cursor:
                    cursor.putmulti(batch, append=True)
                done += len(batch)
                if progress is not None:
                    progress(done, total)
            with target.begin() as txn:
                if any(one != other for one, other in zip_longest(source.items(), txn.items())):
                    raise BackupError("the copied records are not those of the database, which is unchanged")
        target.sync(True)
    return done


def _check_plain(env: lmdb.Environment, txn: lmdb.Transaction, batch: list[tuple[bytes, bytes]]) -> None:
    """Refuse named databases, which the object layer does not use: copied as a record one would be lost."""
    for key, value in batch:
        if len(value) == NAMED_DATABASE_SIZE:
            with suppress(LmdbError):
                env.open_db(key.removesuffix(b"\0"), txn, create=False)
                name = key.removesuffix(b"\0")
                raise BackupError(
                    f"the database holds an LMDB database named {name!r}, which cannot be migrated"
                )
