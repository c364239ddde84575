"""What can be asked of an open environment."""

from __future__ import annotations

import os
from errno import EINVAL
from typing import Any

from zlmdb.lmdb import engine, opening
from zlmdb.lmdb._native import ffi, lib
from zlmdb.lmdb.errors import BAD_VALSIZE, MAP_FULL, Error, InvalidParameterError, error
from zlmdb.lmdb.handle import Handle
from zlmdb.lmdb.transaction import STAT_FIELDS, Transaction

INFO_FIELDS = ("map_addr", "map_size", "last_pgno", "last_txnid", "max_readers", "num_readers")


class Status(Handle):
    """The part of `Environment` that tells about it. Each method raises `Error` once it is closed."""

    _c: Any
    _grow: bool
    _major: int
    _path: bytes

    def path(self) -> str:
        """The path that the environment was opened with."""
        self._check_open()
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
            map_addr (address of the map; 0 with LMDB 0.9), map_size (bytes), last_pgno, last_txnid,
            max_readers, num_readers (slots in use).
        """
        return self._numbers("mdb_env_info", lib.zl_env_info, INFO_FIELDS)

    def flags(self) -> dict[str, bool]:
        """The settings that the environment was opened with (`mdb_env_get_flags()`)."""
        return opening.from_flags(self._one("mdb_env_get_flags", lib.zl_env_flags, "unsigned *"))

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

    def _own(self, txn: Transaction[Any]) -> Transaction[Any]:
        if not isinstance(txn, Transaction):
            raise TypeError(f"txn must be a Transaction, not {type(txn).__name__}")
        if txn._pyenv is not self:
            raise InvalidParameterError("the transaction belongs to another environment", EINVAL)
        return txn

    def _check_open(self) -> None:
        self._one("mdb_env_get_flags", lib.zl_env_flags, "unsigned *")

    def _record_error(self, what: str, code: int, key: bytes, value: bytes = b"") -> Error:
        """The exception for a failed operation on a record, with the limit that it met."""
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
