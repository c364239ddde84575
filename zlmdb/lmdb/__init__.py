"""LMDB for Python, through CFFI: the interface of py-lmdb 3.0 on LMDB 0.9 and 1.0.

`import zlmdb.lmdb as lmdb` in place of `import lmdb`. The guide is `docs/lmdb.md`.
"""

from __future__ import annotations

from zlmdb.lmdb.cursor import Cursor
from zlmdb.lmdb.database import _Database
from zlmdb.lmdb.engine import enable_drop_gil, version
from zlmdb.lmdb.environment import Environment
from zlmdb.lmdb.errors import (
    BadChecksumError,
    BadDbiError,
    BadRslotError,
    BadTxnError,
    BadValsizeError,
    CorruptedError,
    CryptoFailError,
    CursorFullError,
    DbsFullError,
    DiskError,
    EnvEncryptionError,
    Error,
    IncompatibleError,
    InvalidError,
    InvalidParameterError,
    KeyExistsError,
    LockError,
    MapFullError,
    MapResizedError,
    NotFoundError,
    PageFullError,
    PageNotFoundError,
    PanicError,
    ProblemError,
    ReadersFullError,
    ReadonlyError,
    TlsFullError,
    TxnFullError,
    VersionMismatchError,
)
from zlmdb.lmdb.errors import MemoryError as MemoryError  # noqa: A004
from zlmdb.lmdb.transaction import Transaction

__version__ = "3.0.0"
"""The level of py-lmdb's interface that this module implements."""

__forked_from__ = "py-lmdb 3.0.0"

open = Environment  # noqa: A001

__all__ = [
    "BadChecksumError",
    "BadDbiError",
    "BadRslotError",
    "BadTxnError",
    "BadValsizeError",
    "CorruptedError",
    "CryptoFailError",
    "Cursor",
    "CursorFullError",
    "DbsFullError",
    "DiskError",
    "EnvEncryptionError",
    "Environment",
    "Error",
    "IncompatibleError",
    "InvalidError",
    "InvalidParameterError",
    "KeyExistsError",
    "LockError",
    "MapFullError",
    "MapResizedError",
    "MemoryError",
    "NotFoundError",
    "PageFullError",
    "PageNotFoundError",
    "PanicError",
    "ProblemError",
    "ReadersFullError",
    "ReadonlyError",
    "TlsFullError",
    "Transaction",
    "TxnFullError",
    "VersionMismatchError",
    "_Database",
    "enable_drop_gil",
    "version",
]
