"""The exceptions of `zlmdb.lmdb`: one class per LMDB return code, all derived from `Error`."""

from __future__ import annotations

import errno
from typing import Any, Self

from zlmdb.lmdb._native import ffi, lib

CLOSED_TEXT = "Attempt to operate on closed/deleted/dropped object."
READ_ONLY = "the environment was opened with readonly=True"
NOTHING_COMMITTED = "nothing was committed"
IN_DOUBT = (
    "the commit may be on the disk all the same: close the environment, open it again, and look whether its "
    "writes are there before repeating them"
)
DAMAGED = "the file is damaged: `python -m zlmdb.lmdb verify` tells where"


class Error(Exception):
    """Base class of every error that LMDB or this binding reports.

    Args:
        what: what failed, normally the name of the LMDB function, or the path of an environment.
        code: LMDB's or the operating system's return code; 0 if there is none.

    Attributes:
        what: as given.
        code: as given.
        reason: LMDB's text for the code (`mdb_strerror()`).
    """

    MDB_HINT = ""
    """What to do about it; appended to the message where it is not empty and there is a code."""

    def __init__(self, what: str | bytes, code: int = 0) -> None:
        self.what = what
        self.code = code
        self.reason = strerror(code)
        super().__init__(self._text(self.MDB_HINT))

    def _text(self, hint: str) -> str:
        text = self.what.decode(errors="backslashreplace") if isinstance(self.what, bytes) else self.what
        if self.code:
            text = f"{text}: {self.reason}"
            if hint:
                text += f" ({hint})"
        return text

    def advise(self, hint: str) -> Self:
        """Say what to do in this case, in place of what the class says; an empty `hint` changes nothing."""
        if hint:
            self.args = (self._text(hint),)
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.what, self.code), {**vars(self), "args": self.args}

    def __setstate__(self, state: dict[str, Any] | None, /) -> None:
        for name, value in (state or {}).items():  # PyPy would put `args` into the instance's dictionary
            setattr(self, name, value)


def strerror(code: int) -> str:
    """The text for a return code of either engine (`mdb_strerror()`)."""
    return str(ffi.string(lib.zl_strerror(code)).decode())


class KeyExistsError(Error):
    """The key (or the key and value pair) is already in the database."""

    MDB_NAME = "MDB_KEYEXIST"


class NotFoundError(Error):
    """No such key, or no such database."""

    MDB_NAME = "MDB_NOTFOUND"


class PageNotFoundError(Error):
    """A page that the file refers to does not exist: the file is damaged."""

    MDB_NAME = "MDB_PAGE_NOTFOUND"
    MDB_HINT = DAMAGED


class CorruptedError(Error):
    """The file is damaged."""

    MDB_NAME = "MDB_CORRUPTED"
    MDB_HINT = DAMAGED


class PanicError(Error):
    """The environment had a fatal error and must be closed."""

    MDB_NAME = "MDB_PANIC"
    MDB_HINT = "close the environment and open it again"


class VersionMismatchError(Error):
    """The file belongs to another version of LMDB."""

    MDB_NAME = "MDB_VERSION_MISMATCH"


class InvalidError(Error):
    """The file is not an LMDB file, or its header is damaged."""

    MDB_NAME = "MDB_INVALID"


class MapFullError(Error):
    """The memory map is full."""

    MDB_NAME = "MDB_MAP_FULL"
    MDB_HINT = "Please use a larger Environment(map_size=) parameter"


class DbsFullError(Error):
    """More named databases than the environment was opened for."""

    MDB_NAME = "MDB_DBS_FULL"
    MDB_HINT = "open the environment with a larger Environment(max_dbs=)"


class ReadersFullError(Error):
    """Every slot of the reader table is taken."""

    MDB_NAME = "MDB_READERS_FULL"
    MDB_HINT = "open the environment with a larger Environment(max_readers=), or end read transactions sooner"


class TlsFullError(Error):
    """The process has no thread-local storage key left."""

    MDB_NAME = "MDB_TLS_FULL"


class TxnFullError(Error):
    """The transaction has modified too many pages."""

    MDB_NAME = "MDB_TXN_FULL"
    MDB_HINT = "split the work into several transactions"


class CursorFullError(Error):
    """The tree is deeper than a cursor can follow."""

    MDB_NAME = "MDB_CURSOR_FULL"


class PageFullError(Error):
    """Internal: a page has no room for a node."""

    MDB_NAME = "MDB_PAGE_FULL"


class MapResizedError(Error):
    """Another process has grown the file beyond this environment's map."""

    MDB_NAME = "MDB_MAP_RESIZED"
    MDB_HINT = 'Environment.set_mapsize(0) adopts the new size, and map_size="auto" follows it by itself'


class IncompatibleError(Error):
    """The operation does not fit the database's kind, or its flags have changed."""

    MDB_NAME = "MDB_INCOMPATIBLE"
    MDB_HINT = "the key is the name of a database, or the database is not dupsort"


class BadRslotError(Error):
    """A reader slot was reused wrongly."""

    MDB_NAME = "MDB_BAD_RSLOT"


class BadTxnError(Error):
    """The transaction must be aborted: an earlier operation in it failed, or it has a child."""

    MDB_NAME = "MDB_BAD_TXN"
    MDB_HINT = "end its child transaction first; if it has none, it has failed: abort it"


class BadValsizeError(Error):
    """A key is empty or too long, or a value has a length that its database does not allow."""

    MDB_NAME = "MDB_BAD_VALSIZE"


class BadDbiError(Error):
    """The database handle was closed or changed behind the transaction."""

    MDB_NAME = "MDB_BAD_DBI"


class ProblemError(Error):
    """LMDB 1.0: the transaction failed for an unexpected reason."""

    MDB_CODE = -30779


class BadChecksumError(Error):
    """LMDB 1.0: a page's checksum is wrong."""

    MDB_CODE = -30778


class CryptoFailError(Error):
    """LMDB 1.0: a page could not be encrypted or decrypted."""

    MDB_CODE = -30777


class EnvEncryptionError(Error):
    """LMDB 1.0: the environment is encrypted, or is not."""

    MDB_CODE = -30776


class ReadonlyError(Error):
    """A write in a read-only transaction or environment, or on a file that may not be written."""

    MDB_NAME = "EACCES"
    MDB_HINT = "begin the transaction with write=True"


class InvalidParameterError(Error):
    """An argument is not valid for LMDB."""

    MDB_NAME = "EINVAL"


class LockError(Error):
    """The environment is locked by another process."""

    MDB_NAME = "EAGAIN"


class MemoryError(Error):  # noqa: A001
    """Out of memory or address space (not the builtin exception)."""

    MDB_NAME = "ENOMEM"
    MDB_HINT = "free some memory or address space (ulimit -v), or write less in one transaction"


class DiskError(Error):
    """The disk is full."""

    MDB_NAME = "ENOSPC"
    MDB_HINT = "free some space"


class ForkedError(Error):
    """A forked child has used a transaction that its parent process began, or another thing of the parent's
    that it cannot use.
    """


_IN_ORDER: tuple[type[Error], ...] = (
    KeyExistsError, NotFoundError, PageNotFoundError, CorruptedError, PanicError, VersionMismatchError,
    InvalidError, MapFullError, DbsFullError, ReadersFullError, TlsFullError, TxnFullError, CursorFullError,
    PageFullError, MapResizedError, IncompatibleError, BadRslotError, BadTxnError, BadValsizeError,
    BadDbiError, ProblemError, BadChecksumError, CryptoFailError, EnvEncryptionError,
)  # fmt: skip
"""The classes of LMDB's codes, from MDB_KEYEXIST (-30799) upwards."""

READONLY_CODE = -30770  # LMDB 1.0's MDB_IS_READONLY

BY_CODE: dict[int, type[Error]] = {
    **{-30799 + index: klass for index, klass in enumerate(_IN_ORDER)},
    READONLY_CODE: ReadonlyError,
    errno.EACCES: ReadonlyError,
    errno.EINVAL: InvalidParameterError,
    errno.EAGAIN: LockError,
    errno.ENOMEM: MemoryError,
    errno.ENOSPC: DiskError,
}

_OWN_TEXTS = {
    lib.ZL_OTHER_THREAD: (
        "A write transaction belongs to the thread that began it: only that thread can commit it, and after "
        "an abort from elsewhere it alone can release LMDB's writer lock"
    ),
    lib.ZL_WRITER_ACTIVE: (
        "The map cannot be resized while a write transaction is active: commit or abort it first"
    ),
    lib.ZL_NO_THREAD: (
        "The copy could not be made: compact=True needs a thread, and the system starts no other (ulimit -u "
        "or -v, or the limit of a container). Try again when fewer run, or copy without compact=True"
    ),
}

_FORKED_TEXT = (
    "This belongs to the parent process, which opened or began it before a fork(): to use the environment, "
    "open it again in the child"
)

NOTFOUND = -30798
KEYEXIST = -30799
MAP_FULL = -30792
READERS_FULL = -30790
BAD_TXN = -30782
INCOMPATIBLE = -30784
BAD_VALSIZE = -30781
DBIS_BUSY = -30773
LARGE: int = lib.ZL_LARGE
CLOSED: int = lib.ZL_CLOSED
OTHER_THREAD: int = lib.ZL_OTHER_THREAD
FORKED: int = lib.ZL_FORKED
NOT_ITS_TURN: int = lib.ZL_NOT_ITS_TURN
_SAME_THREAD: int = lib.ZL_SAME_THREAD
_ERRNO_BASE: int = lib.ZL_ERRNO_BASE


def error(what: str | bytes, code: int) -> Error:
    """The exception for a return code of the glue or of LMDB."""
    if code <= _ERRNO_BASE:  # an errno from a function that returns lengths
        code = _ERRNO_BASE - code
    if code == CLOSED:
        return Error(CLOSED_TEXT)
    if code in _OWN_TEXTS:
        return Error(_OWN_TEXTS[code])
    if code == FORKED:
        return ForkedError(_FORKED_TEXT)
    if code == _SAME_THREAD:
        return Error(
            "This thread already has a write transaction, a second one would wait for it forever: "
            "commit or abort the first, or nest with parent=",
            errno.EBUSY,
        )
    return BY_CODE.get(code, Error)(what, code)


def commit_error(code: int, in_doubt: bool) -> Error:
    """The exception for a commit that has failed, which says what has become of the writes.

    Args:
        code: the return code of the commit.
        in_doubt: LMDB has failed when it made the commit visible, and not before.
    """
    problem = error("mdb_txn_commit", code)
    outcome = IN_DOUBT if in_doubt else NOTHING_COMMITTED
    return problem.advise(f"{problem.MDB_HINT}; {outcome}" if problem.MDB_HINT else outcome)


def closed() -> Error:
    """The exception for use of something closed, finished or dropped."""
    return Error(CLOSED_TEXT)
