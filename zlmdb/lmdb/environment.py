"""Environments: an LMDB file (or directory), opened."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from types import TracebackType
from typing import Any, Literal, Self, overload
from weakref import ref

from zlmdb.lmdb import bulk, engine, open_files, opening
from zlmdb.lmdb._native import ffi, lib
from zlmdb.lmdb.buffers import as_bytes
from zlmdb.lmdb.cleanup import Attached
from zlmdb.lmdb.database import ABOVE_LENGTH, CREATE, MAIN, _Database, key_flags
from zlmdb.lmdb.databases import Databases
from zlmdb.lmdb.errors import (
    BAD_VALSIZE,
    INCOMPATIBLE,
    LARGE,
    MAP_FULL,
    NOTFOUND,
    READ_ONLY,
    READERS_FULL,
    Error,
    InvalidParameterError,
    error,
)
from zlmdb.lmdb.handle import Handle
from zlmdb.lmdb.opening import Path
from zlmdb.lmdb.pool import Pool, begin_again
from zlmdb.lmdb.transaction import STAT_FIELDS, Transaction
from zlmdb.lmdb.views import MapViews

INFO_FIELDS = ("map_addr", "map_size", "last_pgno", "last_txnid", "max_readers", "num_readers")
CP_COMPACT = 0x01

_COPY_TARGET = "a copy needs an empty directory that exists; with subdir=False, a path where nothing is"
_COPY_HINTS = {
    **dict.fromkeys((errno.ENOENT, errno.EEXIST, errno.ENOTDIR, errno.EISDIR), _COPY_TARGET),
    errno.EACCES: "the destination cannot be written to",
    INCOMPATIBLE: "the transaction has written: commit it, and copy then",
}

_begin_read = lib.zl_txn_begin_read
_get_once = lib.zl_get_once
_new = object.__new__
_begin = Transaction.__init__


class Environment(Handle):
    """An LMDB environment (`mdb_env_open()`); as a context manager it closes at the end.

    Args:
        path: The directory of the environment, or its data file if not `subdir`.
        map_size: The size of the memory map, and so the most that the file may grow to, in bytes; "auto"
            means the default with `grow`.
        subdir: `path` is a directory, which holds `data.mdb` and `lock.mdb`.
        readonly: Open for reading only.
        metasync: Flush the meta page at each commit. Without, the last transactions may be lost in a crash of
            the system, the file stays sound.
        sync: Flush at each commit. Without, a crash of the system may damage the file.
        map_async: With `writemap`, flush without waiting.
        mode: Permissions of new directories and, less the execute bits, of new files.
        create: Create a missing directory.
        readahead: Let the system read ahead. Off is better for random access to files larger than memory.
        writemap: Write into the memory map: faster, but stray writes of other code may damage the file.
        meminit: Zero memory before it is written to the file.
        max_readers: Slots of the reader table, if this process creates it.
        max_dbs: How many named databases can be open.
        max_spare_txns: How many finished read transactions are kept for reuse, each with its reader slot.
        lock: Use LMDB's lock file. Without, the caller must coordinate all access.
        lib_version: LMDB's major version, 0 or 1, for a new file; by default the environment variable
            LMDB_DEFAULT_LIB_VERSION, or 0. An existing file is opened by the engine of its format.
        grow: Let the map grow by itself from `map_size`, in place and in the middle of transactions: no write
            fails for lack of room in it until disk or address space run out. Growth by another process is
            followed, too.
        keep_views: Views (`buffers=True`) stay readable after their transaction, until the environment
            closes. As pages are reused, such a view may show other data at any time after its transaction.
            This is for programs that read them so, and cannot be changed. By default it is off, unless the
            environment variable ZLMDB_KEEP_VIEWS is 1.

    Raises:
        Error: The path is open in this process already, is missing or unsuitable, or its format is unknown;
            with the operating system's code where it has one. Subclasses tell LMDB's own reasons.
        OSError: The directory could not be created.
        OverflowError: A size or count is negative or too large.
        TypeError: A size or count is not an integer, or `path` not a path.
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
        self._open_files = open_files.OpenFiles(
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
            self._open_files.release()
            raise

    def _open(self, c: Any, flags: int, mode: int) -> None:
        opening.open_files(c, self._path, flags, mode)
        self._open_files.opened()
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
        self._invalidate_batches()
        if lib.zl_env_shut(self._c):
            return
        self._invalidate_batches()
        self._views.release()
        lib.zl_env_close(self._c)
        self._databases.clear()
        self._open_files.release()

    def _forked(self) -> None:
        """In a forked child: what the parent has begun ends here, unless it needs no lock file."""
        if self._c is None:  # another thread of the parent is about to open it
            return
        self._databases.forked()
        if lib.zl_env_is_foreign(self._c):
            self._invalidate_batches()

    def _give_up(self) -> None:
        """In a forked child, which opens the files for itself: they must not be open twice."""
        if self._c is not None:
            self.close()
            lib.zl_env_refuse(self._c)

    def _invalidate_batches(self) -> None:
        """No iterator delivers a record from now on."""
        self._attached.invalidate()

    def sync(self, force: bool = False) -> None:
        """Flush to disk (`mdb_env_sync()`); `force` also where the environment was opened not to.

        Raises:
            ReadonlyError: The environment is read-only.
        """
        rc = lib.zl_env_sync(self._c, bool(force))
        if rc:
            raise error("mdb_env_sync", rc).advise(READ_ONLY if self.readonly else "")

    def set_mapsize(self, map_size: int) -> None:
        """Resize the memory map (`mdb_env_set_mapsize()`).

        Read transactions, cursors and iterators of this process end; handles of databases stay valid.

        Args:
            map_size: Bytes; 0 adopts the size that another process has set.

        Raises:
            OverflowError: `map_size` is negative or too large.
            MemoryError: There is no address space for a map of that size; the former map stays.
            Error: A write transaction is active, or the environment is closed; or with `writemap` the file
                cannot be as long, and the former map stays.
        """
        self._check_open()
        size = opening.count("map_size", map_size, opening.MAX_SIZE)
        try:
            rc = lib.zl_env_resize_begin(self._c)
            if rc:
                raise error("mdb_env_set_mapsize", rc)
            self._invalidate_batches()
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
            key: Its name; None for the main database.
            txn: Open it in this transaction, which voids the handle if it aborts. By default in one of its
                own.
            reverse_key: Keys are compared from their end.
            dupsort: A key may have several values, which are sorted.
            create: Create it if missing.
            integerkey: Keys are native unsigned integers of 4 or 8 bytes, all of one size. LMDB takes other
                sizes too, and sorts them in an order of its own.
            integerdup: With `dupsort`, values are such integers.
            dupfixed: With `dupsort`, all values have one length.
            The flags count when the database is created; an existing one keeps its own.

        Returns:
            A handle, the same each time.

        Raises:
            TypeError: `key` is a str.
            ValueError: Flags for the main database.
            NotFoundError: Missing, and not `create`.
            ReadonlyError: Missing, and the environment or transaction is read-only.
            DbsFullError: More databases than `max_dbs`.
            IncompatibleError: The name is an ordinary key of the main database.
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
        """Return the names of the named databases, as far as `max_dbs` allows to open them. A database whose
        name is empty, which LMDB 1.0 allows, is not among them.

        Args:
            txn: List what this transaction sees.

        Raises:
            Error: The environment is closed, or the transaction is finished.
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
        txn._cleanup = None
        txn._pydb = self._main
        rc = _begin_read(c)
        if rc and (rc := begin_again(c, rc)):
            raise txn._refused(rc)
        return txn

    def get(self, key: bytes, default: Any = None, db: _Database | None = None) -> Any:
        """Return the value of a key in a snapshot of its own: begin, get and end in one call.

        Args:
            key: The key.
            default: What to return if there is none.
            db: The database; by default the main one.

        Raises:
            BadValsizeError: The key is empty.
            Error: The environment is closed.
        """
        if type(key) is not bytes:
            key = as_bytes(key, "key")
        klen = len(key) if db is None else len(key) | self._dbi_of(db) << ABOVE_LENGTH
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
        """Return (key, value) of each of the keys that exists, all from one snapshot."""
        wanted = [key if type(key) is bytes else as_bytes(key, "key") for key in keys]
        with self.begin() as txn:
            return bulk.lookup(txn, MAIN if db is None else self._dbi_of(db), wanted)

    # -- what it tells; each method raises `Error` once it is closed --

    def path(self) -> str:
        """Return the path that the environment was opened with."""
        self._check_open()
        return os.fsdecode(self._path)

    def lib_version(self) -> tuple[int, int, int]:
        """Return (major, minor, patch) of the LMDB engine that serves the environment."""
        return engine.engine_version(self._major)

    def stat(self) -> dict[str, int]:
        """Return the statistics of the main database (`mdb_env_stat()`); see `Transaction.stat()`."""
        return self._numbers("mdb_env_stat", lib.zl_env_stat, STAT_FIELDS)

    def info(self) -> dict[str, int]:
        """Return the state of the environment (`mdb_env_info()`).

        Returns:
            map_addr (address of the map; 0 with LMDB 0.9), map_size (bytes), last_pgno, last_txnid,
            max_readers, num_readers (slots in use).
        """
        return self._numbers("mdb_env_info", lib.zl_env_info, INFO_FIELDS)

    def flags(self) -> dict[str, bool]:
        """Return the settings that the environment was opened with (`mdb_env_get_flags()`)."""
        return opening.from_flags(self._one("mdb_env_get_flags", lib.zl_env_flags, "unsigned *"))

    def max_key_size(self) -> int:
        """Return the length of the longest key, in bytes (`mdb_env_get_maxkeysize()`)."""
        return self._one("mdb_env_get_maxkeysize", lib.zl_env_max_key_size, "int *")

    def max_readers(self) -> int:
        """Return the number of slots of the reader table (`mdb_env_get_maxreaders()`)."""
        return self._one("mdb_env_get_maxreaders", lib.zl_env_max_readers, "unsigned *")

    def reader_check(self) -> int:
        """Clear reader slots of dead processes (`mdb_reader_check()`), and return how many."""
        return self._one("mdb_reader_check", lib.zl_env_reader_check, "int *")

    def readers(self) -> str:
        """Return the reader table as text (`mdb_reader_list()`)."""
        out = ffi.new("char **")
        rc = lib.zl_env_readers(self._c, out)
        if rc:
            raise error("mdb_reader_list", rc)
        try:
            return str(ffi.string(out[0]).decode()) if out[0] else ""
        finally:
            lib.zl_free(out[0])

    # -- copies --

    def copy(self, path: Path, compact: bool = False, txn: Transaction[Any] | None = None) -> None:
        """Copy the environment into an empty directory (`mdb_env_copy2()`), while it is in use.

        Args:
            path: The directory; a file name if the environment has `subdir=False`.
            compact: Leave out free pages.
            txn: Copy this transaction's snapshot; with `compact` only.

        Raises:
            TypeError: `txn` without `compact`.
            IncompatibleError: `txn` has written, or a transaction that it is nested in.
            Error: The copy could not be written.
        """
        self._copy(opening.native_path(path), -1, compact, txn)

    def copyfd(self, fd: int, compact: bool = False, txn: Transaction[Any] | None = None) -> None:
        """Copy the data file to a file descriptor (`mdb_env_copyfd2()`); otherwise as `copy()`."""
        self._copy(ffi.NULL, opening.count("fd", fd), compact, txn)

    def _copy(self, path: Any, fd: int, compact: bool, txn: Transaction[Any] | None) -> None:
        if txn is not None and not compact:
            raise TypeError("txn needs compact=True")
        c = ffi.NULL if txn is None else self._own(txn)._attach() and txn._c
        rc = lib.zl_env_copy(self._c, path, fd, CP_COMPACT if compact else 0, c)
        if rc:
            problem = error("mdb_env_copy3" if fd < 0 else "mdb_env_copyfd3", rc)
            raise problem.advise(_COPY_HINTS.get(rc, ""))

    # -- checks and errors --

    def _numbers(self, what: str, call: Any, fields: tuple[str, ...]) -> dict[str, int]:
        out = ffi.new("uint64_t[6]")
        rc = call(self._c, out)
        if rc:
            raise error(what, rc)
        return dict(zip(fields, out, strict=True))

    def _one(self, what: str, call: Any, kind: str) -> int:
        out = ffi.new(kind)
        rc = call(self._c, out)
        if rc:
            raise error(what, rc)
        return int(out[0])

    def _own(self, txn: Transaction[Any]) -> Transaction[Any]:
        if not isinstance(txn, Transaction):
            raise TypeError(f"txn must be a Transaction, not {type(txn).__name__}")
        if txn._pyenv is not self:
            raise InvalidParameterError("the transaction belongs to another environment", errno.EINVAL)
        return txn

    def _check_open(self) -> None:
        self._one("mdb_env_get_flags", lib.zl_env_flags, "unsigned *")

    def _record_error(self, what: str, code: int, key: bytes, value: bytes = b"") -> Error:
        """Return the exception for a failed operation on a record, with the limit that it met."""
        problem = error(what, code)
        if code == BAD_VALSIZE:
            return problem.advise(self._limit_of(key, value))
        if code == MAP_FULL and self._grow:
            size = self.info()["map_size"]
            return problem.advise(
                f"the map has grown to {size} bytes, and no more address space is reserved for it"
            )
        return problem

    def _limit_of(self, key: bytes, value: bytes) -> str:
        limit = self.max_key_size()
        if 0 < len(key) <= limit:
            return f"the value has {len(value)} bytes; dupsort takes 1 to {limit}, and dupfixed one length"
        return f"the key has {len(key)} bytes, it must have 1 to {limit}"
