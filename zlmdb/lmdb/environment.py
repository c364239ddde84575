"""Environments: an LMDB file (or directory), opened."""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import Any, Literal, Self, overload
from weakref import ref

from zlmdb.lmdb import bulk, engine, guard, opening
from zlmdb.lmdb._native import lib
from zlmdb.lmdb.buffers import as_bytes
from zlmdb.lmdb.copying import Copying
from zlmdb.lmdb.database import ABOVE, CREATE, MAIN, _Database, key_flags
from zlmdb.lmdb.databases import Databases
from zlmdb.lmdb.ending import Attached
from zlmdb.lmdb.errors import LARGE, NOTFOUND, READ_ONLY, READERS_FULL, error
from zlmdb.lmdb.opening import Path
from zlmdb.lmdb.pool import Pool, begin_again
from zlmdb.lmdb.transaction import Transaction
from zlmdb.lmdb.views import MapViews

_begin_read = lib.zl_txn_begin_read
_get_once = lib.zl_get_once
_new = object.__new__
_begin = Transaction.__init__


class Environment(Copying):
    """An LMDB environment (`mdb_env_open()`); as a context manager it closes at the end.

    Args:
        path: the directory of the environment, or its data file if not `subdir`.
        map_size: the size of the memory map, and so the most that the file may grow to, in bytes; "auto"
            means the default with `grow`.
        subdir: `path` is a directory, which holds `data.mdb` and `lock.mdb`.
        readonly: open for reading only.
        metasync: flush the meta page at each commit. Without, the last transactions may be lost in a crash of
            the system, the file stays sound.
        sync: flush at each commit. Without, a crash of the system may damage the file.
        map_async: with `writemap`, flush without waiting.
        mode: permissions of new directories and, less the execute bits, of new files.
        create: create a missing directory.
        readahead: let the system read ahead. Off is better for random access to files larger than memory.
        writemap: write into the memory map: faster, but stray writes of other code may damage the file.
        meminit: zero memory before it is written to the file.
        max_readers: slots of the reader table, if this process creates it.
        max_dbs: how many named databases can be open.
        max_spare_txns: how many finished read transactions are kept for reuse, each with its reader slot.
        lock: use LMDB's lock file. Without, the caller must coordinate all access.
        lib_version: LMDB's major version, 0 or 1, for a new file; by default the environment variable
            LMDB_DEFAULT_LIB_VERSION, or 0. An existing file is opened by the engine of its format.
        grow: let the map grow by itself from `map_size`, in place and in the middle of transactions: no write
            fails for lack of room in it until disk or address space run out. Growth by another process is
            followed, too.
        keep_views: views (`buffers=True`) stay readable after their transaction, until the environment
            closes. As pages are reused, such a view may show other data at any time after its transaction.
            This is for programs that read them so, and cannot be changed. By default it is off, unless the
            environment variable ZLMDB_KEEP_VIEWS is 1.

    Raises:
        Error: the path is open in this process already, is missing or unsuitable, or its format is unknown;
            with the operating system's code where it has one. Subclasses tell LMDB's own reasons.
        OSError: the directory could not be created.
        OverflowError: a size or count is negative or too large.
        TypeError: a size or count is not an integer, or `path` not a path.
    """

    _c: Any = None
    """The native handle, once it is open."""

    def __init__(
        self,
        path: Path,
        map_size: int | Literal["auto"] = opening.DEFAULT_MAP_SIZE,
        subdir: bool = True,
        readonly: bool = False,
        metasync: bool = True,
        sync: bool = True,
        map_async: bool = False,
        mode: int = 0o755,
        create: bool = True,
        readahead: bool = True,
        writemap: bool = False,
        meminit: bool = True,
        max_readers: int = 126,
        max_dbs: int = 0,
        max_spare_txns: int = 0,
        lock: bool = True,
        lib_version: int | None = None,
        grow: bool = False,
        keep_views: bool | None = None,
    ) -> None:
        raw = opening.native_path(path)
        mode = opening.count("mode", mode)
        limits = opening.Limits.of(map_size, max_readers, max_dbs, max_spare_txns, grow)
        flags = opening.to_flags(
            subdir=subdir, readonly=readonly, metasync=metasync, sync=sync, map_async=map_async,
            readahead=readahead, writemap=writemap, meminit=meminit, lock=lock,
        )  # fmt: skip
        self.readonly = bool(readonly)
        self._path = raw
        self._grow = limits.grow
        self._keep_views = opening.keeps_views() if keep_views is None else bool(keep_views)
        if create and subdir and not readonly:
            opening.make_directory(path, mode)
        c = opening.new_handle()
        self._registration = guard.Registration(
            raw,
            opening.files(raw, subdir),
            lib.zl_env_number(c),
            ref(self),
            Environment._forked,
            Environment._give_up,
        )
        try:
            self._major = engine.choose(raw, subdir, lib_version)
            opening.create(c, self._major, limits)
            self._open(c, flags, mode & ~0o111)
        except BaseException:
            opening.give_up(c)
            self._registration.release()
            raise

    def _open(self, c: Any, flags: int, mode: int) -> None:
        opening.open_files(c, self._path, flags, mode)
        self._registration.opened()
        databases = Databases(opening.open_main(c))
        self._databases, self._main = databases, databases.main
        self._attached = Attached()
        self._pool = Pool(c)
        self._waiting = self._pool.waiting
        self._views = MapViews(c, self._keep_views)
        # What transactions and cursors ask for:
        self._kept_views = self._views.keep if self._keep_views else None
        self._dbi_of = databases.number
        self._forget_handle = databases.forget_handle
        self._c = c

    # -- closing --

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the environment (`mdb_env_close()`): open transactions abort. Harmless on a closed one.

        Waits while another thread has a write transaction. In a forked child that has not used the
        environment nothing of LMDB is touched. An environment to which nothing refers any more closes by
        itself.
        """
        if self._c is None:
            return
        self._cut_batches()
        if lib.zl_env_shut(self._c):
            return
        self._cut_batches()
        self._views.release()
        lib.zl_env_close(self._c)
        self._databases.clear()
        self._registration.release()

    def _forked(self) -> None:
        """In a forked child: what the parent has begun ends here, unless it needs no lock file."""
        if self._c is None:  # another thread of the parent is about to open it
            return
        self._databases.forked()
        if lib.zl_env_is_foreign(self._c):
            self._cut_batches()

    def _give_up(self) -> None:
        """In a forked child, which opens the files for itself: they must not be open twice."""
        if self._c is not None:
            self.close()
            lib.zl_env_refuse(self._c)

    def _cut_batches(self) -> None:
        """No iterator delivers a record from now on."""
        self._attached.cut()

    def sync(self, force: bool = False) -> None:
        """Flush to disk (`mdb_env_sync()`); `force` also where the environment was opened not to.

        Raises:
            ReadonlyError: the environment is read-only.
        """
        rc = lib.zl_env_sync(self._c, bool(force))
        if rc:
            raise error("mdb_env_sync", rc).advise(READ_ONLY if self.readonly else "")

    def set_mapsize(self, map_size: int) -> None:
        """Resize the memory map (`mdb_env_set_mapsize()`).

        Read transactions, cursors and iterators of this process end; handles of databases stay valid.

        Args:
            map_size: bytes; 0 adopts the size that another process has set.

        Raises:
            OverflowError: `map_size` is negative or too large.
            MemoryError: there is no address space for a map of that size; the former map stays.
            Error: a write transaction is active, or the environment is closed; or with `writemap` the file
                cannot be as long, and the former map stays.
        """
        self._check_open()
        size = opening.count("map_size", map_size, opening.MAX_SIZE)
        try:
            rc = lib.zl_env_resize_begin(self._c)
            if rc:
                raise error("mdb_env_set_mapsize", rc)
            self._cut_batches()
            self._views.replace()
        finally:  # else every other thread would wait for the resizing to end
            rc = lib.zl_env_resize_end(self._c, size, self._keep_views)
        if rc:
            raise error("mdb_env_set_mapsize", rc).advise("the former map stays: choose a smaller map_size")

    # -- databases --

    def open_db(
        self,
        key: bytes | None = None,
        txn: Transaction[Any] | None = None,
        reverse_key: bool = False,
        dupsort: bool = False,
        create: bool = True,
        integerkey: bool = False,
        integerdup: bool = False,
        dupfixed: bool = False,
    ) -> _Database:
        """Open a named database (`mdb_dbi_open()`), or the main one.

        Args:
            key: its name; None for the main database.
            txn: open it in this transaction, which voids the handle if it aborts. By default in one of its
                own.
            reverse_key: keys are compared from their end.
            dupsort: a key may have several values, which are sorted.
            create: create it if missing.
            integerkey: keys are native unsigned integers of 4 or 8 bytes, all of one size. LMDB takes other
                sizes too, and sorts them in an order of its own.
            integerdup: with `dupsort`, values are such integers.
            dupfixed: with `dupsort`, all values have one length.
            The flags count when the database is created; an existing one keeps its own.

        Returns:
            A handle, the same each time.

        Raises:
            TypeError: `key` is a str.
            ValueError: flags for the main database.
            NotFoundError: missing, and not `create`.
            ReadonlyError: missing, and the environment or transaction is read-only.
            DbsFullError: more databases than `max_dbs`.
            IncompatibleError: the name is an ordinary key of the main database.
        """
        flags = key_flags(reverse_key, dupsort, integerkey, integerdup, dupfixed)
        self._check_open()
        if txn is not None:
            self._own(txn)
        if key is None:
            if flags:
                raise ValueError("the main database takes no flags: a database with flags needs a name")
            return self._main
        name = as_bytes(key, "key")
        flags |= CREATE if create else 0
        databases = self._databases
        with databases.lock:
            known = databases.get(name)
            if known is not None:
                return known
            if txn is not None:
                return databases.open(txn, name, flags)
            if self.readonly:
                with self.begin() as own:
                    return databases.open(own, name, flags)
        with self.begin(write=True) as own, databases.lock:  # which may wait, and so not under the lock
            return databases.get(name) or databases.open(own, name, flags)

    def dbs(self, txn: Transaction[Any] | None = None) -> list[bytes]:
        """The names of the named databases, as far as `max_dbs` allows to open them. A database whose name is
        empty, which LMDB 1.0 allows, is not among them.

        Args:
            txn: list what this transaction sees.

        Raises:
            Error: the environment is closed, or the transaction is finished.
        """
        if txn is not None:
            return self._databases.names(self._own(txn), terminated=self._major > 0)
        own = self.begin()
        try:
            return self.dbs(own)
        finally:
            own.abort()

    # -- transactions and one-shot reads --

    @overload
    def begin(
        self,
        db: _Database | None = None,
        parent: Transaction[Any] | None = None,
        write: bool = False,
        buffers: Literal[False] = False,
    ) -> Transaction[bytes]: ...
    @overload
    def begin(
        self,
        db: _Database | None = None,
        parent: Transaction[Any] | None = None,
        write: bool = False,
        *,
        buffers: Literal[True],
    ) -> Transaction[memoryview]: ...
    @overload
    def begin(
        self,
        db: _Database | None = None,
        parent: Transaction[Any] | None = None,
        write: bool = False,
        buffers: bool | Literal["values"] = False,
    ) -> Transaction[Any]: ...
    def begin(
        self,
        db: _Database | None = None,
        parent: Transaction[Any] | None = None,
        write: bool = False,
        buffers: bool | Literal["values"] = False,
    ) -> Transaction[Any]:
        """Begin a transaction; see `Transaction`."""
        txn: Transaction[Any] = _new(Transaction)
        if write or buffers or db is not None or parent is not None:
            _begin(txn, self, db, parent, write, buffers)
            return txn
        try:
            slot = self._waiting.pop()
        except IndexError:
            slot = self._pool.new()
        txn._slot = slot
        txn._c = c = slot.c
        txn._pyenv = self
        txn._write = False
        txn._views = None
        txn._ending = None
        txn._pydb = self._main
        rc = _begin_read(c)
        if rc and (rc := begin_again(c, rc)):
            raise txn._refused(rc)
        return txn

    def get(self, key: bytes, default: Any = None, db: _Database | None = None) -> Any:
        """The value of a key in a snapshot of its own: begin, get and end in one call.

        Args:
            key: the key.
            default: what to return if there is none.
            db: the database; by default the main one.

        Raises:
            BadValsizeError: the key is empty.
            Error: the environment is closed.
        """
        if type(key) is not bytes:
            key = as_bytes(key, "key")
        klen = len(key) if db is None else len(key) | self._dbi_of(db) << ABOVE
        try:
            slot = self._waiting.pop()
        except IndexError:
            slot = self._pool.new()
        n = _get_once(slot.c, key, klen)
        if n >= 0:
            value = slot.buf[:n]
            self._waiting.append(slot)
            return value
        self._waiting.append(slot)
        if n == NOTFOUND:
            return default
        if n not in (LARGE, READERS_FULL):
            raise self._record_error("mdb_get", n, key)
        with self.begin() as txn:
            return txn.get(key, default, db)

    def getmulti(self, keys: Iterable[bytes], db: _Database | None = None) -> list[tuple[bytes, bytes]]:
        """(key, value) of each of the keys that exists, all from one snapshot."""
        wanted = [key if type(key) is bytes else as_bytes(key, "key") for key in keys]
        with self.begin() as txn:
            return bulk.lookup(txn, MAIN if db is None else self._dbi_of(db), wanted)
