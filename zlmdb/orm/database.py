"""Databases of the object layer: an LMDB environment with tables in its slots."""

from __future__ import annotations

import os
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from zlmdb import _database as defaults
from zlmdb import lmdb
from zlmdb.orm import opening
from zlmdb.orm.errors import ReadOnlyError, UsageError
from zlmdb.orm.maps import PersistentMap
from zlmdb.orm.parts import shown
from zlmdb.orm.raw import OpenDatabase, TransactionStats
from zlmdb.orm.settings import Settings
from zlmdb.orm.transaction import Transaction

if TYPE_CHECKING:
    from typing import Self

Map = TypeVar("Map", bound=PersistentMap[Any, Any])

DEFAULT_MAX_SIZE = 10 * 1024 * 1024


class Database:
    """A database: an LMDB environment in a directory, with maps in its slots.

    As a context manager it is open in the ``with`` block and closed afterwards; it may be opened again. At
    most one `Database` of a process has a given directory.

    Args:
        dbpath: The directory. By default a temporary one, which is removed along with the object.
        maxsize: The size of the memory map in bytes. It grows beyond that when needed, unless ``grow``
            forbids it.
        readonly: Open for reading only.
        lock: Use LMDB's lock file. Without it, nothing else may use the database at the same time.
        sync: Flush each commit to disk. Without, a crash of the system may lose the last transactions or
            damage the file.
        create: Create the directory and the database if they are missing.
        open_now: Open the database at once, not only in a ``with`` block.
        writemap: Write into the memory map: faster, but transactions cannot be nested.
        context: Anything; kept for the application.
        log: Gets a message, by its method ``debug``, whenever the database is opened or closed.
        lib_version: The LMDB format, "1.0" or "0.9": of a new database, "1.0" by default; an existing one
            must have it.
        grow: Let the memory map grow when it is full. Otherwise, `DatabaseFullError` is raised.

    Raises:
        FormatError: ``lib_version`` is not known, or the database has the other format.
        OpenError: The directory is open in this process already, or locked by something that does not go
            away.
        zlmdb.lmdb.Error: LMDB cannot open the database.
        OSError: The directory cannot be created.
    """

    def __init__(
        self,
        dbpath: str | None = None,
        maxsize: int = DEFAULT_MAX_SIZE,
        readonly: bool = False,
        lock: bool = True,
        sync: bool = True,
        create: bool = True,
        open_now: bool = True,
        writemap: bool = False,
        context: Any = None,
        log: Any = None,
        lib_version: str | None = None,
        *,
        grow: bool = True,
    ) -> None:
        opening.check_lib_version(lib_version)
        if type(maxsize) is not int:
            raise UsageError(f"maxsize must be a number of bytes, not {shown(maxsize)}")
        self._is_temp = not dbpath
        self._directory: object = None
        """With which a temporary directory goes."""
        if dbpath:
            self._dbpath = os.fsdecode(dbpath)
        else:
            self._dbpath, self._directory = opening.temporary_directory()
        self._maxsize = maxsize
        self._readonly = readonly
        self._lock = lock
        self._sync = sync
        self._create = create
        self._open_now = open_now
        self._writemap = writemap
        self._context = context
        self._log = log
        self._lib_version = lib_version
        self._grow = grow
        self._env: lmdb.Environment | None = None
        self._open_database: OpenDatabase | None = None
        if open_now:
            self._open()

    def __repr__(self) -> str:
        state = "closed" if self._env is None else "open, read-only" if self._readonly else "open"
        version = f", LMDB format {self._lib_version}" if self._lib_version else ""
        return f"<Database {self._dbpath!r}: {state}{version}>"

    # -- opening and closing --

    def __enter__(self) -> Self:
        if self._env is None:
            self._open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @staticmethod
    def open(dbpath: str | None = None, *args: Any, **kwargs: Any) -> Database:
        """Return the open database of this process with the path, or else open it.

        Args:
            dbpath: The directory.
            args: Further arguments of `Database`, which count if it is not open yet.
            kwargs: Likewise.
        """
        return opening.find_open(dbpath) or Database(dbpath, *args, **kwargs)

    def _open(self) -> None:
        lib_version = opening.choose_lib_version(self._dbpath, self._lib_version)
        if not self._is_temp:
            opening.register(self._dbpath, self)
        try:
            env = opening.open_environment(
                self._dbpath,
                map_size=self._maxsize,
                grow=self._grow and not self._readonly,
                readonly=self._readonly,
                lock=self._lock,
                sync=self._sync,
                create=self._create,
                writemap=self._writemap,
                lib_version=defaults._LIB_VERSION_TO_MAJOR[lib_version],
            )
        except BaseException:
            opening.unregister(self._dbpath, self)
            raise
        self._env = env
        self._lib_version = lib_version
        self._open_database = OpenDatabase(
            env, self._dbpath, self._maxsize, env.max_key_size(), self._writemap, indexes_in_step={}
        )
        self._debug(f"opened database {self._dbpath}, LMDB format {lib_version}")

    def close(self) -> None:
        """Close the database; open transactions abort. Harmless on a closed one."""
        env, self._env, self._open_database = self._env, None, None
        if env is not None:
            env.close()
            opening.unregister(self._dbpath, self)
            self._debug(f"closed database {self._dbpath}")

    def _opened(self) -> OpenDatabase:
        if self._open_database is None:
            raise UsageError(f'database "{self._dbpath}" is closed: open it with a with statement')
        return self._open_database

    @property
    def log(self) -> Any:
        """What was given as ``log``; by default the logger "zlmdb" of the standard library."""
        if self._log is None:
            import logging

            return logging.getLogger("zlmdb")
        return self._log

    def _debug(self, text: str) -> None:
        if self._log is not None:
            self._log.debug(text)

    @staticmethod
    def scratch(dbpath: str) -> None:
        """Delete a database: a directory with all in it, or a file. Nothing happens if there is none.

        Raises:
            OSError: It cannot be deleted.
        """
        import shutil

        if os.path.isdir(dbpath):  # not with Path, for which "" is the current directory
            shutil.rmtree(dbpath)
        elif os.path.exists(dbpath):
            os.unlink(dbpath)

    # -- settings and state --

    @property
    def context(self) -> Any:
        """What was given as ``context``."""
        return self._context

    @property
    def lib_version(self) -> str | None:
        """The LMDB format, "1.0" or "0.9"; None before the database is opened for the first time."""
        return self._lib_version

    @property
    def dbpath(self) -> str:
        """The directory."""
        return self._dbpath

    @property
    def maxsize(self) -> int:
        """The size of the memory map in bytes, as it was asked for."""
        return self._maxsize

    @property
    def is_sync(self) -> bool:
        """Whether each commit is flushed to disk."""
        return self._sync

    @property
    def is_readonly(self) -> bool:
        """Whether the database is open for reading only."""
        return self._readonly

    @property
    def is_writemap(self) -> bool:
        """Whether LMDB writes into the memory map."""
        return self._writemap

    @property
    def is_open(self) -> bool:
        """Whether the database is open."""
        return self._env is not None

    def config(self) -> dict[str, Any]:
        """Return the settings: is_temp, and the arguments of `Database` by name, context as a str."""
        return {
            "is_temp": self._is_temp,
            "dbpath": self._dbpath,
            "maxsize": self._maxsize,
            "readonly": self._readonly,
            "lock": self._lock,
            "sync": self._sync,
            "create": self._create,
            "open_now": self._open_now,
            "writemap": self._writemap,
            "context": None if self._context is None else str(self._context),
        }

    def stats(self, include_slots: bool = False) -> dict[str, Any]:
        """Return figures about the database.

        Args:
            include_slots: Also list the slots, under ``slots``: oid, slot, name, description, records of
                each. It takes reading all keys.

        Returns:
            num_slots (tables), current_size (of the file), max_size (of the memory map), page_size, used (in
            pages that are in use), all four in bytes; pages; free (the share of max_size that is not used);
            read_only, sync_enabled; lib_version (format) and lmdb_version ("x.y.z"); and all of LMDB's
            statistics (`zlmdb.lmdb.Environment.stat` and ``info``).

        Raises:
            UsageError: The database is closed.
            SlotError: The metadata of a slot cannot be read.
        """
        from zlmdb.orm.statistics import statistics

        settings = {
            "read_only": self._readonly,
            "sync_enabled": self._sync,
            "lib_version": self._lib_version,
        }
        return statistics(self._opened(), self.begin(), settings, include_slots)

    def sync(self, force: bool = False) -> None:
        """Flush to disk; with ``force`` also if the database was opened with ``sync=False``.

        Raises:
            UsageError: The database is closed.
            zlmdb.lmdb.Error: The database is read-only.
        """
        self._opened().env.sync(force)

    # -- transactions and tables --

    def begin(
        self, write: bool = False, buffers: bool = False, stats: TransactionStats | None = None
    ) -> Transaction:
        """Return a transaction, which begins with its ``with`` block; see `Transaction`.

        Raises:
            UsageError: The database is closed.
            ReadOnlyError: The database is open for reading only, and ``write`` is set.
        """
        self._opened()
        if write and self._readonly:
            raise ReadOnlyError(f'database is read-only: "{self._dbpath}"')
        return Transaction(self, write=write, buffers=buffers, stats=stats)

    def attach_table(self, klass: type[Map], *, rename: bool = False) -> Map:
        """Return the map of a table in this database; a new one gets the slot after the last in use.

        Args:
            klass: A map class decorated with `table`.
            rename: The class has another name than when the table was made: note the new one.

        Raises:
            TableError: This is not a map class, it is not decorated, or its settings do not fit its kind of
                map.
            SlotError: The database says that the table is of another class; or no slot is free.
            ReadOnlyError: The table is new, and the database is open for reading only.
            UsageError: The database is closed, or the settings of the class are not complete.
        """
        from zlmdb.orm import tables

        return tables.attach(self, klass, rename)

    def _attach_slot(
        self,
        oid: UUID,
        klass: type[Map],
        marshal: Callable[..., Any] | None = None,
        parse: Callable[..., Any] | None = None,
        build: Callable[..., Any] | None = None,
        cast: Callable[..., Any] | None = None,
        compress: int | None = None,
        create: bool = True,
        name: str | None = None,
        description: str | None = None,
    ) -> Map:
        from zlmdb.orm import tables

        settings = Settings(marshal, parse, build, cast, compress)
        return tables.attach_slot(self, oid, klass, settings, create, name, description)

    def drop_table(self, table: type[PersistentMap[Any, Any]] | UUID | PersistentMap[Any, Any]) -> int:
        """Delete a table with all its records, in a transaction of its own.

        Args:
            table: Its class or its ID; or its map in this database, whose indexes are deleted with it.

        Returns:
            How many records were deleted; 0 if there is no such table.

        Raises:
            TableError: This is neither of them.
            ReadOnlyError: The database is open for reading only.
            UsageError: The database is closed.
        """
        from zlmdb.orm import tables

        return tables.drop(self, table)

    # -- whole databases --

    def backup(self, path: str, compact: bool = False, verify: bool = True) -> None:
        """Copy the database, while it is in use, to a new directory (``mdb_env_copy2()``).

        The copy is one consistent snapshot. It is written beside the target, verified, flushed to disk and
        then renamed: the target is complete if it is there.

        Args:
            path: The new directory; its parent exists, on the same file system.
            compact: Leave out free pages, and number the others anew: smaller, but slower to write.
            verify: Check the whole copy with `zlmdb.lmdb.verify`, which reads it once more.

        Raises:
            BackupError: The target exists, or the copy is not sound.
            UsageError: The database is closed.
            zlmdb.lmdb.Error: LMDB cannot write the copy.
            OSError: The directory cannot be made.
        """
        from zlmdb.orm.maintenance import backup

        backup(self._opened().env, path, compact, verify)

    copy = backup

    @staticmethod
    def migrate(
        path: str, lib_version: str = "1.0", progress: Callable[[int, int], object] | None = None
    ) -> int:
        """Give a database, which nothing has open, the other format of LMDB.

        All records are written to a new file, compared and flushed to disk before it takes the place of the
        old one. If that fails, or the process dies, the database is as it was.

        Args:
            path: The directory of the database.
            lib_version: The format that it is to have, "1.0" or "0.9".
            progress: Called with the number of records that are copied and that of all.

        Returns:
            How many records were copied; 0 if the database has the format already.

        Raises:
            FormatError: The format is not known, or there is no database.
            OpenError: Another process has the database open.
            BackupError: It cannot be copied, is open in this process, or holds named databases of LMDB.
        """
        from zlmdb.orm.maintenance import migrate

        return migrate(os.fsdecode(path), lib_version, progress)
