"""Native handles of transactions: who owns them, and how they serve one transaction after the other.

What must happen when a transaction is dropped happens in C, in the destructor of what it owns: a finalizer
written in Python would swallow the exceptions of signal handlers, and stop half way.
"""

from __future__ import annotations

import gc
import sys
from collections import deque
from functools import partial
from typing import Any

from zlmdb.lmdb._native import ffi, lib
from zlmdb.lmdb.errors import READERS_FULL

_TXN = ffi.typeof("zl_txn *")

_ARENA: int = lib.ZL_ARENA
_arena = lib.zl_txn_arena
_buffer = ffi.buffer

CLOSED_HANDLE: Any = lib.zl_txn_closed()
"""What a transaction has for a handle once it has ended: every call with it reports a closed one."""

COLLECTIONS = 0 if sys.implementation.name == "cpython" else 3
"""How many bring back dropped handles: PyPy runs finalizers after one; the next finds what they let go of."""


def owner(take: Any, give_up: Any) -> Any:
    """A function that makes an object that owns something of C's, for a type of pointer to a struct.

    The collector of cycles does not track such an object, so that it counts what this owns as used from
    outside: it is given up only when the object is freed, which is behind the finalizers of all objects of
    the cycle. What `ffi.gc()` makes is tracked, and would be given up in between.

    Args:
        take: A function of C that returns a pointer; it gets the size of the struct.
        give_up: A function of C, which gets the pointer back.
    """
    return ffi.new_allocator(take, give_up, should_clear_after_alloc=False)


class PooledHandle:
    """A native handle, which serves one transaction after the other, and the buffer for its results.

    Args:
        c: The handle. When it is freed, its transaction is aborted, unless it has ended.
        buf: The buffer.
    """

    __slots__ = ("buf", "c")

    def __init__(self, c: Any, buf: Any) -> None:
        self.c = c
        self.buf = buf


class Pool:
    """The handles of an environment that no transaction has, and where more come from.

    Args:
        c: The environment's native handle, which stays open as long as the handles of its transactions.
    """

    __slots__ = ("_make", "waiting")

    def __init__(self, c: Any) -> None:
        self._make = owner(partial(lib.zl_txn_new, c), lib.zl_txn_drop)
        self.waiting: deque[PooledHandle] = deque()  # a list would free its memory when it becomes empty

    def new(self) -> PooledHandle:
        """A handle that nobody has. C gives those again that were dropped."""
        c = self._make(_TXN)
        return PooledHandle(c, _buffer(_arena(c), _ARENA))


CLOSED = PooledHandle(CLOSED_HANDLE, b"")
"""What a transaction has in place of the handle that it has left to others."""


def begin_again(c: Any, code: int, dbi: int = lib.ZL_MAIN_DBI) -> int:
    """A reader could not begin with the handle: the code of a second attempt, or of the first.

    Where all reader slots are taken, and transactions that were dropped and not ended wait for the garbage
    collector, that has its turn first.
    """
    if code != READERS_FULL or not COLLECTIONS:
        return code
    for _ in range(COLLECTIONS):
        gc.collect()
    return int(lib.zl_txn_begin(c, ffi.NULL, 0, dbi))
