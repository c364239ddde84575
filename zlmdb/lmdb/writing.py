"""Records are written: what a transaction does without a cursor."""

from __future__ import annotations

from zlmdb.lmdb import bulk, scan
from zlmdb.lmdb._native import lib
from zlmdb.lmdb.buffers import as_bytes, as_record
from zlmdb.lmdb.database import ABOVE, DUPSORT, _Database
from zlmdb.lmdb.errors import KEYEXIST, NOTFOUND, closed
from zlmdb.lmdb.lifetime import V
from zlmdb.lmdb.pool import CLOSED_HANDLE
from zlmdb.lmdb.reading import Reading

_del = lib.zl_del
_put = lib.zl_put


class Writing(Reading[V]):
    """The part of `Transaction` that stores and deletes records."""

    __slots__ = ()

    def _settle(self) -> None:
        """Before a write: put every iterating cursor where its reader is, since LMDB adjusts positions."""
        if self._ending is not None and self._ending.batches:
            scan.settle(self._ending.batches)

    def _kept(self, n: int) -> bytes:
        """The value of `n` bytes that C has just found in place of a write."""
        value: bytes = self._slot.buf[:n]
        if self._c is CLOSED_HANDLE:  # another thread has ended the transaction, and may use its handle
            raise closed()
        return value

    def put(
        self,
        key: bytes,
        value: bytes,
        dupdata: bool = True,
        overwrite: bool = True,
        append: bool = False,
        db: _Database | None = None,
    ) -> bool:
        """Store a record (`mdb_put()`).

        Args:
            key: the key, 1 to `Environment.max_key_size()` bytes.
            value: the value; None counts as b"".
            dupdata: in a dupsort database, also accept a pair that exists already (nothing changes).
            overwrite: replace an existing value. In a dupsort database: add to the values of an existing key.
            append: the key (in a dupsort database, the pair) sorts after all others: faster, and refused with
                False if it does not.
            db: the database; by default the transaction's.

        Returns:
            True if the record was stored, False if `dupdata`, `overwrite` or `append` forbade it.

        Raises:
            ReadonlyError: the transaction is read-only.
            BadValsizeError: the key is empty or too long, or the value's length does not fit a dupsort
                database.
            MapFullError: the map is full; the transaction must be aborted.
            Error: the transaction is finished.
        """
        if type(key) is not bytes or type(value) is not bytes:
            key, value = as_record(key, value)
        ending = self._ending  # as in _settle(), only faster
        if ending is not None and ending.batches:
            scan.settle(ending.batches)
        klen = len(key) if db is None else len(key) | self._pyenv._dbi_of(db) << ABOVE
        vlen = len(value)
        if append or not (overwrite and dupdata):
            dupsort = (self._pydb if db is None else db)._flags & DUPSORT
            vlen |= bulk.put_flags(dupdata, overwrite, append, dupsort) << ABOVE
        rc = _put(self._c, key, klen, value, vlen)
        if rc == 0:
            return True
        if rc == KEYEXIST:
            return False
        raise self._pyenv._record_error("mdb_put", rc, key, value)

    def delete(self, key: bytes, value: bytes = b"", db: _Database | None = None) -> bool:
        """Delete a key (`mdb_del()`); in a dupsort database, with a non-empty `value`, only that pair.

        Returns:
            True if something was deleted.

        Raises:
            ReadonlyError: the transaction is read-only.
            BadValsizeError: the key is empty or too long.
            Error: the transaction is finished.
        """
        if type(key) is not bytes:
            key = as_bytes(key, "key")
        if type(value) is not bytes:
            value = b"" if value is None else as_bytes(value, "value")
        self._settle()
        klen = len(key) if db is None else len(key) | self._pyenv._dbi_of(db) << ABOVE
        rc = _del(self._c, key, klen, value, len(value))
        if rc == 0:
            return True
        if rc == NOTFOUND:
            return False
        raise self._pyenv._record_error("mdb_del", rc, key)
