"""Handles of named databases."""

from __future__ import annotations

from zlmdb.lmdb._native import lib
from zlmdb.lmdb.handle import Handle

REVERSEKEY = 0x02
DUPSORT = 0x04
INTEGERKEY = 0x08
DUPFIXED = 0x10
INTEGERDUP = 0x20
CREATE = 0x40000

MAIN: int = lib.ZL_MAIN_DBI
"""The number of the main database."""
GONE = 0xFFFFFF
"""The number of a handle that is not valid any more: LMDB refuses it as an invalid parameter."""
ABOVE_LENGTH: int = lib.ZL_LENGTH_BITS
"""How many bits the length of a key has in calls of C; above it is the database's number, 0 for that of the
transaction. In the same way, flags stand above the length of a value that is put.
"""


def key_flags(reverse_key: bool, dupsort: bool, integerkey: bool, integerdup: bool, dupfixed: bool) -> int:
    """LMDB's flags for the arguments of `Environment.open_db()`, of which some imply others."""
    dupfixed = dupfixed or integerdup
    switches = (
        (reverse_key, REVERSEKEY), (dupsort or dupfixed, DUPSORT), (integerkey, INTEGERKEY),
        (dupfixed, DUPFIXED), (integerdup, INTEGERDUP),
    )  # fmt: skip
    return sum(flag for on, flag in switches if on)


class _Database(Handle):
    """A database inside an environment: what `Environment.open_db()` returns.

    It holds neither the environment nor anything of LMDB's; it is valid until the environment is closed, the
    database is dropped, or the transaction that opened it aborts.
    """

    __slots__ = ("__weakref__", "_dbi", "_flags", "_owner")

    def __init__(self, dbi: int, flags: int, owner: object) -> None:
        self._dbi = dbi
        self._flags = flags
        self._owner: object | None = owner
        """What marks the databases of an environment; for as long as it is provisional, the transaction."""

    def _invalidate(self) -> None:
        """The database is gone, and LMDB may give its number to another."""
        self._dbi, self._owner = GONE, None

    def flags(self, *args: object) -> dict[str, bool]:
        """How keys and values of the database are ordered (`mdb_dbi_flags()`).

        Args:
            args: at most one, ignored: older versions of the interface passed the transaction.

        Returns:
            The flags that `Environment.open_db()` takes, by name.
        """
        if len(args) > 1:
            raise TypeError(f"flags() takes at most 1 argument ({len(args)} given)")
        flags = self._flags
        return {
            "reverse_key": bool(flags & REVERSEKEY),
            "dupsort": bool(flags & DUPSORT),
            "integerkey": bool(flags & INTEGERKEY),
            "integerdup": bool(flags & INTEGERDUP),
            "dupfixed": bool(flags & DUPFIXED),
        }
