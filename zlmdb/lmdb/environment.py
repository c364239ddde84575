"""Environments: an LMDB file (or directory), opened."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Iterable
from errno import EINVAL
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, overload

from zlmdb.lmdb import bulk, engine, guard, scan
from zlmdb.lmdb._native import ffi, lib
from zlmdb.lmdb.buffers import as_bytes
from zlmdb.lmdb.database import CREATE, DUPFIXED, DUPSORT, INTEGERDUP, INTEGERKEY, REVERSEKEY, _Database
from zlmdb.lmdb.errors import (
    BAD_VALSIZE,
    LARGE,
    NOTFOUND,
    MAP_FULL,
    BadValsizeError,
    DbsFullError,
    Error,
    InvalidParameterError,
    NotFoundError,
    error,
)
from zlmdb.lmdb.transaction import STAT_FIELDS, Transaction

if TYPE_CHECKING:
    from typing_extensions import Self

NOSUBDIR, NOSYNC, RDONLY, NOMETASYNC = 0x4000, 0x10000, 0x20000, 0x40000
WRITEMAP, MAPASYNC, NOTLS, NOLOCK = 0x80000, 0x100000, 0x200000, 0x400000
NORDAHEAD, NOMEMINIT = 0x800000, 0x1000000
CP_COMPACT = 0x01

INFO_FIELDS = ("map_addr", "map_size", "last_pgno", "last_txnid", "max_readers", "num_readers")

DEFAULT_MAP_SIZE = 10 * 1024 * 1024
ADDRESS_RESERVE = 1 << 40
"""Address space reserved for a map that grows by itself, in bytes; less where the system does not give as much."""

AUTO = "auto"


def _make_directory(path: bytes, mode: int) -> None:
    try:
        os.mkdir(path, mode)
    except FileExistsError:  # a file there is for LMDB to refuse
        pass


def _files(path: bytes, subdir: bool) -> tuple[bytes, bytes]:
    """The data file and the lock file."""
    if subdir:
        return os.path.join(path, b"data.mdb"), os.path.join(path, b"lock.mdb")
    return path, path + b"-lock"


class Environment:
    """An LMDB environment (`mdb_env_open()`); as a context manager it closes at the end.

    Args:
        path: the directory of the environment, or its data file if not `subdir`.
        map_size: the size of the memory map, and so the most that the file may grow to, in bytes; "auto" means the
            default with `grow`.
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
        lib_version: LMDB's major version, 0 or 1, for a new file; by default LMDB_DEFAULT_LIB_VERSION or 0. An
            existing file is opened by the engine of its format.
        grow: let the map grow by itself, in place and in the middle of transactions: no write fails for lack of
            room in it until disk or address space run out. Growth by another process is followed, too.

    Raises:
        Error: the path is open in this process already, its directory is missing, or its format is unknown; with
            the operating system's code where it has one. Subclasses tell LMDB's own reasons.
        OSError: the directory could not be created.
        OverflowError: a size or count is negative.
    """

    def __init__(
        self,
        path: str | bytes,
        map_size: int | Literal["auto"] = DEFAULT_MAP_SIZE,
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
    ) -> None:
        if not isinstance(path, (str, bytes)):
            raise TypeError(f"path must be str or bytes, not {type(path).__name__}; use os.fspath() on a Path")
        raw = os.fsencode(path)
        size = DEFAULT_MAP_SIZE if map_size == AUTO else map_size
        for name, count in (("map_size", size), ("max_dbs", max_dbs), ("max_readers", max_readers)):
            if count < 0:
                raise OverflowError(f"{name} must be >= 0, not {count}")
        flags = NOTLS
        for on, flag in (
            (not subdir, NOSUBDIR), (readonly, RDONLY), (not metasync, NOMETASYNC), (not sync, NOSYNC),
            (map_async, MAPASYNC), (not readahead, NORDAHEAD), (writemap, WRITEMAP), (not meminit, NOMEMINIT),
            (not lock, NOLOCK),
        ):  # fmt: skip
            flags |= flag if on else 0

        self.readonly = bool(readonly)
        self._path = raw
        self._identity = object()
        self._slots: list[tuple[Any, Any]] = []
        self._batches: set[scan.Batch] = set()
        self._viewing: weakref.WeakSet[Transaction[Any]] = weakref.WeakSet()
        self._keep_mapped = False
        self._databases: dict[bytes, _Database] = {}
        self._databases_lock = threading.RLock()

        if create and subdir and not readonly:
            _make_directory(raw, mode)
        self._registration = guard.Registration(raw, _files(raw, subdir))
        try:
            self._open(engine.choose(raw, subdir, lib_version), grow or map_size == AUTO, size, max_readers, max_dbs,
                       max_spare_txns, flags, mode & ~0o111)  # fmt: skip
        except BaseException:
            self._registration.release()
            raise

    def _open(
        self, major: int, grow: bool, map_size: int, readers: int, dbs: int, spares: int, flags: int, mode: int
    ) -> None:
        out = ffi.new("zl_env **")
        rc = lib.zl_env_new(major, ADDRESS_RESERVE if grow else 0, spares, out)
        if rc:
            raise error("mdb_env_create", rc)
        c = out[0]
        try:
            rc = lib.zl_env_configure(c, map_size, readers, dbs)
            if rc:
                raise error("mdb_env_set_maxreaders", rc)
            rc = lib.zl_env_open(c, self._path, flags, mode)
            if rc:
                raise error(self._path, rc)
            self._registration.opened(self._path)
            main_flags = ffi.new("unsigned *")
            rc = lib.zl_env_open_main(c, main_flags)
            if rc:
                raise error("mdb_txn_begin", rc)
        except BaseException:
            lib.zl_env_shut(c)
            lib.zl_env_close(c, False)
            lib.zl_env_drop(c)
            raise
        self._major = major
        self._grow = grow
        self._main = _Database(1, main_flags[0], self._identity)
        self._c = c

    # -- closing --

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        c = getattr(self, "_c", None)
        if c is None:
            return
        self.close()
        self._free_slots()
        lib.zl_env_drop(c)

    def close(self) -> None:
        """Close the environment (`mdb_env_close()`): open transactions abort. Harmless on a closed one.

        Waits while another thread has a write transaction. In a forked child nothing of LMDB is touched.
        """
        scan.cut(self._batches, set(self._batches))
        if lib.zl_env_shut(self._c):
            return
        scan.cut(self._batches, set(self._batches))
        self._release_views()
        lib.zl_env_close(self._c, self._keep_mapped)
        self._databases.clear()
        self._free_slots()
        self._registration.release()

    def _release_views(self) -> None:
        for txn in list(self._viewing):
            txn._release_views()

    def _free_slots(self) -> None:
        while self._slots:
            lib.zl_txn_unref(self._slots.pop()[0])

    def _new_slot(self) -> tuple[Any, Any]:
        """A handle for a transaction and the buffer that its results come in."""
        c = lib.zl_txn_new(self._c)
        if not c:
            raise MemoryError
        return c, ffi.buffer(lib.zl_txn_arena(c), lib.ZL_ARENA)

    # -- about the environment --

    def path(self) -> str:
        """The path that the environment was opened with."""
        return os.fsdecode(self._path)

    def lib_version(self) -> tuple[int, int, int]:
        """(major, minor, patch) of the LMDB engine that serves the environment."""
        return engine.engine_version(self._major)

    def _numbers(self, what: str, call: Any, fields: tuple[str, ...]) -> dict[str, int]:
        out = ffi.new("uint64_t[6]")
        rc = call(self._c, out)
        if rc:
            raise error(what, rc)
        return dict(zip(fields, out, strict=True))

    def stat(self) -> dict[str, int]:
        """Statistics of the main database (`mdb_env_stat()`); see `Transaction.stat()`."""
        return self._numbers("mdb_env_stat", lib.zl_env_stat, STAT_FIELDS)

    def info(self) -> dict[str, int]:
        """State of the environment (`mdb_env_info()`).

        Returns:
            map_addr (address of the map; 0 with LMDB 0.9), map_size (bytes), last_pgno, last_txnid, max_readers,
            num_readers (slots in use).
        """
        return self._numbers("mdb_env_info", lib.zl_env_info, INFO_FIELDS)

    def flags(self) -> dict[str, bool]:
        """The settings that the environment was opened with (`mdb_env_get_flags()`)."""
        flags = self._one("mdb_env_get_flags", lib.zl_env_flags, "unsigned *")
        return {
            "subdir": not flags & NOSUBDIR,
            "readonly": bool(flags & RDONLY),
            "metasync": not flags & NOMETASYNC,
            "sync": not flags & NOSYNC,
            "map_async": bool(flags & MAPASYNC),
            "readahead": not flags & NORDAHEAD,
            "writemap": bool(flags & WRITEMAP),
            "meminit": not flags & NOMEMINIT,
            "lock": not flags & NOLOCK,
        }

    def _one(self, what: str, call: Any, kind: str) -> int:
        out = ffi.new(kind)
        rc = call(self._c, out)
        if rc:
            raise error(what, rc)
        return int(out[0])

    def max_key_size(self) -> int:
        """The longest key, in bytes (`mdb_env_get_maxkeysize()`)."""
        return self._one("mdb_env_get_maxkeysize", lib.zl_env_max_key_size, "int *")

    def max_readers(self) -> int:
        """The number of slots of the reader table (`mdb_env_get_maxreaders()`)."""
        return self._one("mdb_env_get_maxreaders", lib.zl_env_max_readers, "unsigned *")

    def reader_check(self) -> int:
        """Clear reader slots of dead processes (`mdb_reader_check()`); how many."""
        return self._one("mdb_reader_check", lib.zl_env_reader_check, "int *")

    def readers(self) -> str:
        """The reader table as text (`mdb_reader_list()`)."""
        out = ffi.new("char **")
        rc = lib.zl_env_readers(self._c, out)
        if rc:
            raise error("mdb_reader_list", rc)
        try:
            return str(ffi.string(out[0]).decode()) if out[0] else ""
        finally:
            lib.zl_free(out[0])

    # -- upkeep --

    def sync(self, force: bool = False) -> None:
        """Flush to disk (`mdb_env_sync()`); `force` also where the environment was opened not to.

        Raises:
            ReadonlyError: the environment is read-only.
        """
        rc = lib.zl_env_sync(self._c, bool(force))
        if rc:
            raise error("mdb_env_sync", rc)

    def copy(self, path: str | bytes, compact: bool = False, txn: Transaction[Any] | None = None) -> None:
        """Copy the environment into an empty directory (`mdb_env_copy2()`), while it is in use.

        Args:
            path: the directory; a file name if the environment has `subdir=False`.
            compact: leave out free pages.
            txn: copy this transaction's snapshot; with `compact` only.

        Raises:
            TypeError: `txn` without `compact`.
            Error: the copy could not be written.
        """
        self._copy(os.fsencode(path), -1, compact, txn)

    def copyfd(self, fd: int, compact: bool = False, txn: Transaction[Any] | None = None) -> None:
        """Copy the environment's data file to a file descriptor (`mdb_env_copyfd2()`); otherwise as `copy()`."""
        if fd < 0:
            raise OverflowError(f"fd must be >= 0, not {fd}")
        self._copy(ffi.NULL, fd, compact, txn)

    def _copy(self, path: Any, fd: int, compact: bool, txn: Transaction[Any] | None) -> None:
        if txn is not None and not compact:
            raise TypeError("txn needs compact=True")
        rc = lib.zl_env_copy(self._c, path, fd, CP_COMPACT if compact else 0, ffi.NULL if txn is None else txn._c)
        if rc:
            raise error("mdb_env_copy3" if fd < 0 else "mdb_env_copyfd3", rc)

    def set_mapsize(self, map_size: int) -> None:
        """Resize the memory map (`mdb_env_set_mapsize()`).

        Read transactions, cursors and iterators of this process end; handles of databases stay valid.

        Args:
            map_size: bytes; 0 adopts the size that another process has set.

        Raises:
            OverflowError: `map_size` is negative.
            Error: a write transaction is active, or the environment is closed.
        """
        if map_size < 0:
            raise OverflowError(f"map_size must be >= 0, not {map_size}")
        rc = lib.zl_env_resize_begin(self._c)
        if rc:
            raise error("mdb_env_set_mapsize", rc)
        scan.cut(self._batches, set(self._batches))
        self._release_views()
        rc = lib.zl_env_resize_end(self._c, map_size, self._keep_mapped)
        self._keep_mapped = False
        if rc:
            raise error("mdb_env_set_mapsize", rc)

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
            txn: open it in this transaction; if that aborts, the handle is void. By default in one of its own.
            reverse_key: keys are compared from their end.
            dupsort: a key may have several values, which are sorted.
            create: create it if missing.
            integerkey: keys are native unsigned integers of 4 or 8 bytes.
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
        if dupfixed or integerdup:
            dupsort = True
        flags = 0
        for on, flag in (
            (reverse_key, REVERSEKEY), (dupsort, DUPSORT), (integerkey, INTEGERKEY),
            (integerdup, INTEGERDUP), (dupfixed or integerdup, DUPFIXED),
        ):  # fmt: skip
            flags |= flag if on else 0
        if key is None:
            if flags:
                raise ValueError("The main database takes no flags: its name is None")
            self._check_open()
            return self._main
        name = as_bytes(key, "key")
        with self._databases_lock:
            self._check_open()
            known = self._databases.get(name)
            if known is not None:
                return known
            if create:
                flags |= CREATE
            if txn is not None:
                return self._open_in(txn, name, flags)
        with self.begin(write=not self.readonly) as own, self._databases_lock:
            return self._databases.get(name) or self._open_in(own, name, flags)

    def _open_in(self, txn: Transaction[Any], name: bytes, flags: int) -> _Database:
        if b"\0" in name:
            raise BadValsizeError("A database name cannot contain NUL", BAD_VALSIZE)
        txn._settle()
        dbi, got = ffi.new("unsigned *"), ffi.new("unsigned *")
        rc = lib.zl_dbi_open(txn._c, name, flags, dbi, got)
        if rc:
            raise error("mdb_dbi_open", rc)
        db = _Database(dbi[0], got[0], self._identity)
        self._databases[name] = db
        txn._provisional = [*(txn._provisional or ()), name]
        return db

    def _dbi_of(self, db: _Database) -> int:
        """The handle number of a database of this environment."""
        if not isinstance(db, _Database):
            raise TypeError(f"db must be what Environment.open_db() returned, not {type(db).__name__}")
        if db._owner is not self._identity:
            raise InvalidParameterError("The database belongs to another environment", EINVAL)
        return db._dbi

    def _record_error(self, what: str, code: int, key: bytes) -> Error:
        """The exception for a failed write of a record, with the limit that it met."""
        problem = error(what, code)
        detail = ""
        if code == BAD_VALSIZE:
            detail = f"the key has {len(key)} bytes, it must have 1 to {self.max_key_size()}"
        elif code == MAP_FULL and self._grow:
            size = self.info()["map_size"]
            detail = f"the map has grown to {size} bytes, and no more address space is reserved for it"
        if detail:
            problem.args = (f"{problem.args[0].partition(' (')[0]} ({detail})",)
        return problem

    def _check_open(self) -> None:
        self._one("mdb_env_get_flags", lib.zl_env_flags, "unsigned *")

    def _forget_databases(self, names: Iterable[bytes]) -> None:
        with self._databases_lock:
            for name in names:
                self._databases.pop(name, None)

    def _forget_handle(self, db: _Database) -> None:
        with self._databases_lock:
            for name in [name for name, known in self._databases.items() if known is db]:
                del self._databases[name]

    def dbs(self, txn: Transaction[Any] | None = None) -> list[bytes]:
        """The names of the named databases, as far as `max_dbs` allows to open them.

        Args:
            txn: list what this transaction sees.
        """
        if txn is not None:
            return [name for name in map(self._database_name, txn.keys(db=self._main)) if self._opens(name, txn)]
        own = self.begin()
        try:
            return self.dbs(own)
        finally:
            own.abort()

    def _database_name(self, key: bytes) -> bytes:
        return bytes(key).removesuffix(b"\0") if self._major else bytes(key)

    def _opens(self, name: bytes, txn: Transaction[Any]) -> bool:
        if not name or b"\0" in name:
            return False
        try:
            self.open_db(name, txn, create=False)
        except (NotFoundError, DbsFullError):
            return False
        except Error as problem:
            if problem.code == 0:
                raise
            return False
        return True

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
        buffers: bool = False,
    ) -> Transaction[Any]: ...
    def begin(
        self,
        db: _Database | None = None,
        parent: Transaction[Any] | None = None,
        write: bool = False,
        buffers: bool = False,
    ) -> Transaction[Any]:
        """Begin a transaction; see `Transaction`."""
        return Transaction(self, db, parent, write, buffers)

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
        if key.__class__ is not bytes:
            key = as_bytes(key, "key")
        dbi = 1 if db is None else self._dbi_of(db)
        c, buffer = slot = self._slots.pop() if self._slots else self._new_slot()
        n = lib.zl_get_once(c, dbi, key, len(key))
        value = buffer[:n] if n >= 0 else default
        self._slots.append(slot)
        if n >= 0 or n == NOTFOUND:
            return value
        if n != LARGE:
            raise error("mdb_get", n)
        with self.begin() as txn:
            return txn.get(key, default, db)

    def getmulti(self, keys: Iterable[bytes], db: _Database | None = None) -> list[tuple[bytes, bytes]]:
        """(key, value) of each of the keys that exists, all from one snapshot."""
        wanted = [key if key.__class__ is bytes else as_bytes(key, "key") for key in keys]
        with self.begin() as txn:
            return bulk.lookup(txn, 1 if db is None else self._dbi_of(db), wanted)
