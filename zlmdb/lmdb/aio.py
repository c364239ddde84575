"""LMDB for asyncio: the same classes with coroutines for methods, which run in threads.

    import zlmdb.lmdb as lmdb
    from zlmdb.lmdb import aio

    async with aio.wrap(lmdb.open(path)) as env:
        async with env.begin(write=True) as txn:
            await txn.put(b"key", b"value")

A wrapper has every method of the class it wraps. Those that only look something up stay plain methods;
those that may read the disk or wait are coroutines with the same parameters, results and exceptions.
Iterators become coroutines that return a list.

Each write transaction has a thread to itself, from beginning to end, because LMDB ties the write lock to a
thread; writers queue in their threads without holding up the event loop. Everything else runs in the
executor of the environment. The operations of one transaction and its cursors follow one another, also when
several tasks call them. A cancelled operation is still finished before the next one of its transaction
begins; a cancelled ``begin`` leaves no transaction behind.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor, Future
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from zlmdb.lmdb._wrapping import Pending, Wrapper, WriterThread, coroutine, listing, plain, run, wraps
from zlmdb.lmdb.cursor import Cursor
from zlmdb.lmdb.environment import Environment
from zlmdb.lmdb.transaction import Transaction

if TYPE_CHECKING:
    from zlmdb.lmdb.database import _Database

__all__ = ["AsyncCursor", "AsyncEnvironment", "AsyncTransaction", "wrap"]

R = TypeVar("R")


def _abandon(beginning: Future[Transaction[Any]]) -> None:
    """Abort a transaction that began after nobody waited for it any more."""
    if not beginning.cancelled() and beginning.exception() is None:
        beginning.result().abort()


class AsyncCursor(Wrapper):
    """A `Cursor` for asyncio, as ``txn.cursor()`` returns it. ``async with`` closes it.

    Args:
        cursor: The cursor.
        executor: Where its methods run. None: the event loop's default executor.
        lock: The lock of its transaction. None: a new one.
    """

    __slots__ = ()

    def __init__(
        self, cursor: Cursor[Any], executor: Executor | None = None, lock: asyncio.Lock | None = None
    ) -> None:
        super().__init__(cursor, executor, lock or asyncio.Lock())

    @property
    def _cursor(self) -> Cursor[Any]:
        cursor: Cursor[Any] = self._sync
        return cursor

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    key = plain(Cursor.key)
    value = plain(Cursor.value)
    item = plain(Cursor.item)

    close = coroutine(Cursor.close)
    first = coroutine(Cursor.first)
    first_dup = coroutine(Cursor.first_dup)
    last = coroutine(Cursor.last)
    last_dup = coroutine(Cursor.last_dup)
    prev = coroutine(Cursor.prev)
    prev_dup = coroutine(Cursor.prev_dup)
    prev_nodup = coroutine(Cursor.prev_nodup)
    next = coroutine(Cursor.next)
    next_dup = coroutine(Cursor.next_dup)
    next_nodup = coroutine(Cursor.next_nodup)
    set_key = coroutine(Cursor.set_key)
    set_key_dup = coroutine(Cursor.set_key_dup)
    set_range = coroutine(Cursor.set_range)
    set_range_dup = coroutine(Cursor.set_range_dup)
    get = coroutine(Cursor.get)
    getmulti = coroutine(Cursor.getmulti)
    count = coroutine(Cursor.count)
    put = coroutine(Cursor.put)
    putmulti = coroutine(Cursor.putmulti)
    replace = coroutine(Cursor.replace)
    pop = coroutine(Cursor.pop)
    delete = coroutine(Cursor.delete)

    iternext = listing(Cursor.iternext)
    iternext_dup = listing(Cursor.iternext_dup)
    iternext_nodup = listing(Cursor.iternext_nodup)
    iterprev = listing(Cursor.iterprev)
    iterprev_dup = listing(Cursor.iterprev_dup)
    iterprev_nodup = listing(Cursor.iterprev_nodup)


def _ending(
    method: Callable[[Transaction[Any]], None],
) -> Callable[[AsyncTransaction], Coroutine[Any, Any, None]]:
    """Return a coroutine method that ends a transaction by calling `method` in its thread."""

    @wraps(method)
    async def call(self: AsyncTransaction, /) -> None:
        await self._end(self._method(method))

    return call


class AsyncTransaction(Wrapper):
    """A `Transaction` for asyncio, as ``env.begin()`` returns it.

    ``async with`` commits it, or aborts it after an exception, unless that has been done before.

    Args:
        txn: The transaction.
        executor: Where its methods run. None: the event loop's default executor.
        owns_executor: Whether to shut `executor` down when the transaction ends.
        lock: The lock of the transaction it is nested in. None: a new one.
    """

    __slots__ = ("_done", "_owns_executor")
    _lock: asyncio.Lock

    def __init__(
        self,
        txn: Transaction[Any],
        executor: Executor | None = None,
        owns_executor: bool = False,
        lock: asyncio.Lock | None = None,
    ) -> None:
        super().__init__(txn, executor, lock or asyncio.Lock())
        self._owns_executor = owns_executor
        self._done = False

    @property
    def _txn(self) -> Transaction[Any]:
        txn: Transaction[Any] = self._sync
        return txn

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._done:
            await self._end(self._txn.__exit__, kind, value, trace)

    async def _end(self, function: Callable[..., None], *args: Any) -> None:
        async with self._lock:
            try:
                await run(self._executor, functools.partial(function, *args))
            finally:
                self._done = True
                if self._owns_executor and self._executor is not None:
                    self._executor.shutdown(wait=False)

    @wraps(Transaction.cursor)
    def cursor(self, db: _Database | None = None) -> Pending[AsyncCursor]:
        """Open a cursor: await the result, or enter it with ``async with``."""

        async def make() -> AsyncCursor:
            cursor = await self._call(self._txn.cursor, db)
            return AsyncCursor(cursor, self._executor, self._lock)

        return Pending(make)

    id = plain(Transaction.id)

    stat = coroutine(Transaction.stat)
    drop = coroutine(Transaction.drop)
    get = coroutine(Transaction.get)
    put = coroutine(Transaction.put)
    replace = coroutine(Transaction.replace)
    pop = coroutine(Transaction.pop)
    delete = coroutine(Transaction.delete)

    items = listing(Transaction.items)
    keys = listing(Transaction.keys)
    values = listing(Transaction.values)

    commit = _ending(Transaction.commit)
    abort = _ending(Transaction.abort)


class AsyncEnvironment(Wrapper):
    """An `Environment` for asyncio. ``async with`` closes it.

    An `AsyncTransaction` can be given wherever a method takes a transaction.

    Args:
        env: The environment.
        executor: Where methods and read transactions run. None: the event loop's default executor.
    """

    __slots__ = ()

    def __init__(self, env: Environment, executor: Executor | None = None) -> None:
        super().__init__(env, executor, None)

    @property
    def _env(self) -> Environment:
        env: Environment = self._sync
        return env

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _call(self, function: Callable[..., R], /, *args: Any, **kwargs: Any) -> R:
        """Call `function`, in turn with the operations of a transaction that is among its arguments."""
        wrapper = next((arg for arg in (*args, *kwargs.values()) if isinstance(arg, AsyncTransaction)), None)
        if wrapper is None:
            return await super()._call(function, *args, **kwargs)
        args = tuple(arg._txn if arg is wrapper else arg for arg in args)
        kwargs = {name: arg._txn if arg is wrapper else arg for name, arg in kwargs.items()}
        return await wrapper._call(function, *args, **kwargs)

    @wraps(Environment.begin)
    def begin(
        self,
        db: _Database | None = None,
        parent: AsyncTransaction | Transaction[Any] | None = None,
        write: bool = False,
        buffers: bool = False,
    ) -> Pending[AsyncTransaction]:
        """Begin a transaction: await the result, or enter it with ``async with``."""
        return Pending(functools.partial(self._begin, db, parent, write, buffers))

    async def _begin(
        self,
        db: _Database | None,
        parent: AsyncTransaction | Transaction[Any] | None,
        write: bool,
        buffers: bool,
    ) -> AsyncTransaction:
        begin = functools.partial(self._env.begin, db, write=write, buffers=buffers)
        if isinstance(parent, AsyncTransaction):
            txn = await self._call(begin, parent=parent)
            return AsyncTransaction(txn, parent._executor, lock=parent._lock)
        if not write:
            return AsyncTransaction(await self._call(begin, parent=parent), self._executor)
        thread = WriterThread()
        beginning = thread.submit(begin, parent=parent)
        try:
            txn = await asyncio.wrap_future(beginning)
        except BaseException:
            thread.submit(_abandon, beginning)
            thread.shutdown(wait=False)
            raise
        return AsyncTransaction(txn, thread, owns_executor=True)

    path = plain(Environment.path)
    lib_version = plain(Environment.lib_version)
    max_key_size = plain(Environment.max_key_size)
    max_readers = plain(Environment.max_readers)
    flags = plain(Environment.flags)

    stat = coroutine(Environment.stat)
    info = coroutine(Environment.info)
    close = coroutine(Environment.close)
    copy = coroutine(Environment.copy)
    copyfd = coroutine(Environment.copyfd)
    sync = coroutine(Environment.sync)
    readers = coroutine(Environment.readers)
    reader_check = coroutine(Environment.reader_check)
    set_mapsize = coroutine(Environment.set_mapsize)
    open_db = coroutine(Environment.open_db)
    dbs = coroutine(Environment.dbs)
    get = coroutine(Environment.get)
    getmulti = coroutine(Environment.getmulti)


def wrap(env: Environment, executor: Executor | None = None) -> AsyncEnvironment:
    """Return `env` for use with asyncio.

    Args:
        env: An open environment. Using it directly as well is allowed.
        executor: Where methods and read transactions run. None: the event loop's default executor.
    """
    return AsyncEnvironment(env, executor)
