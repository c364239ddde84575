"""The named databases that an environment has opened."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from errno import EINVAL
from typing import TYPE_CHECKING, Any

from zlmdb.lmdb._native import ffi, lib
from zlmdb.lmdb.database import MAIN, _Database
from zlmdb.lmdb.errors import (
    BAD_VALSIZE,
    NOT_ITS_TURN,
    BadValsizeError,
    DbsFullError,
    Error,
    IncompatibleError,
    InvalidParameterError,
    NotFoundError,
    ReadonlyError,
    error,
)

if TYPE_CHECKING:
    from zlmdb.lmdb.transaction import Transaction

_ADVICE: dict[type[Error], str] = {
    NotFoundError: "there is no database of this name, and create=False makes none",
    IncompatibleError: "the name is the key of an ordinary record of the main database: choose another",
    ReadonlyError: "there is no database of this name, and it takes a write transaction to create it",
}
_OPEN: int = lib.ZL_OPEN
_COMMITTED: int = lib.ZL_COMMITTED
_GONE = "the database was dropped, or the transaction that opened it has aborted: open it again"
_FOREIGN = "the database belongs to another environment"


class _Opener:
    """The transaction that a provisional database depends on.

    Args:
        owner: What marks the databases of the environment.
        txn: The transaction.
    """

    __slots__ = ("_c", "_parent", "_turn", "owner")

    def __init__(self, owner: object, txn: Transaction[Any]) -> None:
        self.owner = owner
        parent = txn._parent
        self._parent = None if parent is None else _Opener(owner, parent)
        c = txn._slot.c
        # Without owning it, else the transaction could not be dropped; its memory lasts as long as the
        # environment, and only that asks.
        self._c = ffi.cast("zl_txn *", c)
        self._turn = lib.zl_txn_turn(c)

    def keeps(self) -> bool:
        """Whether its databases are valid: it is open, or has committed and nobody has noted so yet."""
        fate = lib.zl_txn_fate(self._c, self._turn)
        return fate == _OPEN or (fate == _COMMITTED and (self._parent is None or self._parent.keeps()))


class Databases:
    """The handles of an environment's databases, one for each name, safe to use from several threads.

    A handle that a transaction has opened is provisional: LMDB keeps it if the transaction commits, and the
    transaction has it forgotten here if it aborts. If the transaction was dropped, whoever asks for the
    handle finds out.
    """

    __slots__ = ("_known", "_owner", "lock", "main")

    def __init__(self, main_flags: int) -> None:
        self._known: dict[bytes, _Database] = {}
        self._owner = object()
        self.lock = threading.RLock()
        self.main = _Database(MAIN, main_flags, self._owner)
        """The main database, which every transaction can use."""

    def get(self, name: bytes) -> _Database | None:
        """The handle of this name, if it is open."""
        db = self._known.get(name)
        if db is None or self._is_open(db):
            return db
        self.forget([name])
        return None

    def _is_open(self, db: _Database) -> bool:
        """Whether a handle of this environment is valid."""
        opener = db._owner
        return opener is self._owner or (isinstance(opener, _Opener) and opener.keeps())

    def open(self, txn: Transaction[Any], name: bytes, flags: int) -> _Database:
        """Open a database in a transaction (`mdb_dbi_open()`); its handle, which is provisional.

        Raises:
            Error: As `Environment.open_db()`.
        """
        if b"\0" in name:
            raise BadValsizeError("a database name cannot contain NUL", BAD_VALSIZE)
        self._check_turn(txn)
        cleanup = txn._attach()
        txn._synchronise()
        dbi, got = ffi.new("unsigned *"), ffi.new("unsigned *")
        rc = lib.zl_dbi_open(txn._c, name, flags, dbi, got)
        if rc:
            problem = txn._pyenv._record_error("mdb_dbi_open", rc, name)
            raise problem.advise(_ADVICE.get(type(problem), ""))
        db = _Database(dbi[0], got[0], _Opener(self._owner, txn))
        self._known[name] = db
        cleanup.provisional.append(name)
        return db

    def _check_turn(self, txn: Transaction[Any]) -> None:
        """Only transactions that are nested in each other may open databases at the same time.

        Raises:
            Error: Another transaction has opened one.
        """
        rc = lib.zl_dbi_turn(txn._c)
        if rc == NOT_ITS_TURN:
            raise Error("Another transaction has opened a database: end it before this one opens a new one")
        if rc:
            raise error("mdb_dbi_open", rc)

    def keep(self, names: Iterable[bytes]) -> None:
        """The transaction that opened these has committed."""
        self._set_owner(names, self._owner)

    def hand_up(self, names: Iterable[bytes], parent: Transaction[Any]) -> None:
        """The nested transaction that opened these has committed: they depend on its parent now."""
        self._set_owner(names, _Opener(self._owner, parent))

    def _set_owner(self, names: Iterable[bytes], owner: object) -> None:
        with self.lock:
            for name in names:
                db = self._known.get(name)
                if db is not None:
                    db._owner = owner

    def names(self, txn: Transaction[Any], terminated: bool) -> list[bytes]:
        """The names of the databases that a transaction sees and can open, or could if it were its turn.

        Args:
            txn: The transaction.
            terminated: The main database holds names with a NUL at their end, as LMDB 1.0 writes them.
        """
        end = b"\0" if terminated else b""
        keys = (bytes(key) for key in txn.keys(db=self.main))
        names = (key.removesuffix(end) for key in keys if key.endswith(end))
        return [name for name in names if name and b"\0" not in name and self._opens(txn, name, end)]

    def _opens(self, txn: Transaction[Any], name: bytes, end: bytes) -> bool:
        with self.lock:
            if self.get(name):
                return True
            try:
                self._check_turn(txn)
            except Error:  # it would open, later
                return self._is_one(txn, name + end)
            try:
                return bool(self.open(txn, name, 0))
            except (BadValsizeError, DbsFullError, IncompatibleError, NotFoundError):
                return False

    def _is_one(self, txn: Transaction[Any], key: bytes) -> bool:
        out = ffi.new("int *")
        rc = lib.zl_names_db(txn._c, key, len(key), out)
        if rc:
            raise error("mdb_cursor_get", rc)
        return bool(out[0])

    def number(self, db: _Database) -> int:
        """LMDB's number of a handle (`MDB_dbi`).

        Raises:
            TypeError: `db` is no handle.
            InvalidParameterError: It is of another environment, or not valid any more.
        """
        if not isinstance(db, _Database):
            raise TypeError(f"db must be what Environment.open_db() returned, not {type(db).__name__}")
        owner = db._owner
        if owner is not self._owner:
            mark = owner.owner if isinstance(owner, _Opener) else owner
            if mark is not None and mark is not self._owner:
                raise InvalidParameterError(_FOREIGN, EINVAL)
            if mark is None or not self._is_open(db):
                raise InvalidParameterError(_GONE, EINVAL)
        return db._dbi

    def forget(self, names: Iterable[bytes]) -> None:
        """The transaction that opened these has aborted: LMDB may give their numbers to others."""
        with self.lock:
            for name in names:
                db = self._known.pop(name, None)
                if db is not None:
                    db._invalidate()

    def forget_handle(self, db: _Database) -> None:
        """The database was dropped."""
        with self.lock:
            self.forget([name for name, known in self._known.items() if known is db])

    def forked(self) -> None:
        """In a forked child, which does not have the thread that may hold the lock."""
        self.lock = threading.RLock()

    def clear(self) -> None:
        """The environment is closed."""
        self._known.clear()
