"""The object layer for asyncio: work on a database without blocking the event loop.

LMDB is synchronous, and a write transaction belongs to one thread. So transactions run in threads of their
own, and the event loop goes on meanwhile::

    async with aio.open("app.db") as db:
        users = await db.attach_table(Users)

        await db.write(lambda txn: users.put_many(txn, items))
        user = await db.read(lambda txn: users[txn, 5])

        async with db.begin(write=True) as txn:
            await txn.put(users, 5, user)

`AsyncDatabase.write` is the fast way to write: calls that wait at the same time are committed together, and
so flushed to disk once.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Concatenate, NamedTuple, ParamSpec, TypeVar

from zlmdb.orm.database import Database
from zlmdb.orm.errors import UsageError

if TYPE_CHECKING:
    from typing import Self

    from zlmdb.orm.maps import PersistentMap
    from zlmdb.orm.raw import TransactionStats
    from zlmdb.orm.transaction import Transaction

K = TypeVar("K")
V = TypeVar("V")
R = TypeVar("R")
P = ParamSpec("P")
Map = TypeVar("Map", bound="PersistentMap[Any, Any]")
Work = Callable[Concatenate["Transaction", P], R]

MOST_IN_GROUP = 1000
"""At most so many writes are committed together."""


def open(*args: Any, **kwargs: Any) -> AsyncDatabase:  # noqa: A001 (as the module is used: aio.open)
    """Return a database for an ``async with`` block, which opens and closes it; arguments as for `Database`.

    Raises:
        Exception: As for `Database`; when the block is entered.
    """
    return AsyncDatabase(Database(*args, **{**kwargs, "open_now": False}))


def wrap(db: Database) -> AsyncDatabase:
    """Return a database that exists already for use with asyncio."""
    return AsyncDatabase(db)


class _Job(NamedTuple):
    work: Callable[[Transaction], Any]
    future: asyncio.Future[Any]

    def deliver(self, result: Any, error: BaseException | None) -> None:
        """Give the caller the outcome; from any thread."""
        with suppress(RuntimeError):  # the event loop is closed: nobody waits
            self.future.get_loop().call_soon_threadsafe(self._set, result, error)

    def _set(self, result: Any, error: BaseException | None) -> None:
        if self.future.done():  # the caller has been cancelled
            return
        if isinstance(error, StopIteration):  # which a future does not take
            error = RuntimeError(f"the function raised {error!r}")
        if error is None:
            self.future.set_result(result)
        else:
            self.future.set_exception(error)


class AsyncDatabase:
    """A database whose transactions run in threads of their own; `open` and `wrap` make one.

    As a context manager it opens the database, if it is not open, and closes it.

    Attributes:
        db: The database.
    """

    def __init__(self, db: Database) -> None:
        self.db = db
        self._jobs: deque[_Job] = deque()
        self._committer: ThreadPoolExecutor | None = None
        self._writing: set[asyncio.Task[Any] | None] = set()

    def __repr__(self) -> str:
        return f"<AsyncDatabase of {self.db!r}>"

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self.db.__enter__)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the database, after the writes that have been asked for."""
        committer, self._committer = self._committer, None
        if committer is not None:
            await asyncio.to_thread(committer.shutdown)
        await asyncio.to_thread(self.db.close)

    async def read(self, work: Work[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call a function in a read transaction, in a thread, and return its result.

        Args:
            work: Called with the transaction and the further arguments.
            args: Further arguments.
            kwargs: Further arguments.

        Raises:
            UsageError: The database is closed.
            Exception: Whatever the function raises.
        """

        def run() -> R:
            with self.db.begin() as txn:
                return work(txn, *args, **kwargs)

        return await asyncio.to_thread(run)

    async def write(self, work: Work[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call a function in a write transaction, in a thread, and return its result when it is committed.

        Calls that wait at the same time share one transaction, each nested in it: if one raises, it alone is
        undone. In a database that is open with ``writemap`` each has a transaction of its own.

        Args:
            work: Called with the transaction and the further arguments. It should be short: others wait.
            args: Further arguments.
            kwargs: Further arguments.

        Raises:
            UsageError: The database is closed; or this task has a write transaction open, which this would
                wait for forever.
            Exception: Whatever the function raises, or what kept the transaction from being committed.
        """
        self._check_not_writing()
        self.db.begin()  # which is refused if it is closed
        job = _Job(lambda txn: work(txn, *args, **kwargs), asyncio.get_running_loop().create_future())
        self._jobs.append(job)
        if self._committer is None:
            self._committer = ThreadPoolExecutor(1, "zlmdb-committer")
        self._committer.submit(self._commit_jobs)
        result: R = await job.future
        return result

    def _check_not_writing(self) -> None:
        if asyncio.current_task() in self._writing:
            raise UsageError("this task has a write transaction open: write in that one, or end it first")

    def begin(
        self, write: bool = False, buffers: bool = False, stats: TransactionStats | None = None
    ) -> AsyncTransaction:
        """Return a transaction for an ``async with`` block; arguments as for `Database.begin`.

        Raises:
            UsageError: The database is closed.
            ReadOnlyError: The database is open for reading only, and ``write`` is set.
        """
        return AsyncTransaction(self, self.db.begin(write=write, buffers=buffers, stats=stats), write)

    async def attach_table(self, klass: type[Map], *, rename: bool = False) -> Map:
        """Return the map of a table; see `Database.attach_table`."""
        return await asyncio.to_thread(self.db.attach_table, klass, rename=rename)

    async def backup(self, path: str, compact: bool = False, verify: bool = True) -> None:
        """Copy the database to a new directory; see `Database.backup`."""
        await asyncio.to_thread(self.db.backup, path, compact, verify)

    # -- in the committer's thread --

    def _commit_jobs(self) -> None:
        """Do all jobs that wait: those that came while the last group was committed, or none.

        This is called once for each job, and so finds none if an earlier call has done it.
        """
        most = 1 if self.db.is_writemap else MOST_IN_GROUP  # LMDB nests no transactions in writemap mode
        waiting = [self._jobs.popleft() for _ in range(min(len(self._jobs), most))]
        jobs = [job for job in waiting if not job.future.cancelled()]
        if jobs:
            self._commit(jobs)

    def _commit(self, jobs: list[_Job]) -> None:
        outcomes: list[tuple[Any, BaseException | None]]
        try:
            with self.db.begin(write=True) as txn:
                outcomes = (
                    [(jobs[0].work(txn), None)] if len(jobs) == 1 else [_nested(txn, job) for job in jobs]
                )
        except BaseException as error:  # noqa: BLE001 (the callers get it)
            outcomes = [(None, error)] * len(jobs)
        for job, outcome in zip(jobs, outcomes, strict=True):
            job.deliver(*outcome)


def _nested(txn: Transaction, job: _Job) -> tuple[Any, BaseException | None]:
    """Do a job in a transaction of its own within another; return its result, or its exception."""
    try:
        with txn.begin() as child:
            return job.work(child), None
    except BaseException as error:  # noqa: BLE001 (the caller gets it)
        return None, error


class AsyncTransaction:
    """A transaction in a thread of its own, from `AsyncDatabase.begin`: open in its ``async with`` block.

    It commits at the end of the block, and aborts if an exception leaves it. Its methods do what the maps do.
    """

    def __init__(self, owner: AsyncDatabase, txn: Transaction, write: bool) -> None:
        self._owner = owner
        self._txn = txn
        self._write = write
        self._thread: ThreadPoolExecutor | None = None

    def __repr__(self) -> str:
        return f"<AsyncTransaction of {self._txn!r}>"

    async def __aenter__(self) -> Self:
        if self._thread is not None:
            raise UsageError("This transaction is open already: begin another one")
        if self._write:
            self._owner._check_not_writing()
        self._thread = ThreadPoolExecutor(1, "zlmdb-transaction")
        try:
            await self._call(self._txn.__enter__)
        except BaseException:
            self._thread.submit(self._abort)  # if it was entered all the same, after a cancellation
            self._end()
            raise
        if self._write:
            self._owner._writing.add(asyncio.current_task())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._owner._writing.discard(asyncio.current_task())
        try:
            await self._call(self._txn.__exit__, kind, error, traceback)
        finally:
            self._end()

    def _abort(self) -> None:
        with suppress(UsageError):  # it is not open
            self._txn.__exit__(BaseException, None, None)

    def _end(self) -> None:
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.shutdown(wait=False)

    async def _call(self, function: Callable[..., R], *args: Any, **kwargs: Any) -> R:
        if self._thread is None:
            raise UsageError("The transaction is not open: use it within its async with block")
        return await asyncio.get_running_loop().run_in_executor(
            self._thread, partial(function, *args, **kwargs)
        )

    async def run(self, work: Work[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call a function with the transaction, in its thread, and return its result.

        Args:
            work: Called with the `Transaction` and the further arguments.
            args: Further arguments.
            kwargs: Further arguments.
        """
        return await self._call(work, self._txn, *args, **kwargs)

    async def get(self, pmap: PersistentMap[K, V], key: K, default: Any = None) -> Any:
        """Return ``pmap[txn, key]``, or the default if there is no record."""
        return await self._call(pmap.get, (self._txn, key), default)

    async def put(self, pmap: PersistentMap[K, V], key: K, value: V | None) -> None:
        """Set ``pmap[txn, key] = value``."""
        await self._call(pmap.__setitem__, (self._txn, key), value)

    async def insert(self, pmap: PersistentMap[K, V], key: K, value: V | None) -> None:
        """Store a new record; see `PersistentMap.insert`."""
        await self._call(pmap.insert, self._txn, key, value)

    async def setdefault(self, pmap: PersistentMap[K, V], key: K, default: V | None = None) -> V | None:
        """Return ``pmap[txn, key]``, or store the default; see `PersistentMap.setdefault`."""
        return await self._call(pmap.setdefault, (self._txn, key), default)

    async def pop(self, pmap: PersistentMap[K, V], key: K, *default: Any) -> Any:
        """Delete a record and return its value; see `PersistentMap.pop`."""
        return await self._call(pmap.pop, (self._txn, key), *default)

    async def delete(self, pmap: PersistentMap[K, V], key: K) -> None:
        """Delete ``pmap[txn, key]``."""
        await self._call(pmap.__delitem__, (self._txn, key))

    async def contains(self, pmap: PersistentMap[K, V], key: K) -> bool:
        """Return ``(txn, key) in pmap``."""
        return await self._call(pmap.__contains__, (self._txn, key))

    async def get_many(self, pmap: PersistentMap[K, V], keys: Iterable[K]) -> list[V | None]:
        """Return the values of many keys; see `PersistentMap.get_many`."""
        return await self._call(pmap.get_many, self._txn, keys)

    async def put_many(self, pmap: PersistentMap[K, V], items: Iterable[tuple[K, V | None]]) -> int:
        """Store many records; see `PersistentMap.put_many`."""
        return await self._call(pmap.put_many, self._txn, items)

    async def insert_many(self, pmap: PersistentMap[K, V], items: Iterable[tuple[K, V | None]]) -> int:
        """Store many new records; see `PersistentMap.insert_many`."""
        return await self._call(pmap.insert_many, self._txn, items)

    async def select(self, pmap: PersistentMap[K, V], *args: Any, **kwargs: Any) -> list[Any]:
        """Return the records of a range in a list; arguments as for `PersistentMap.select`."""
        return await self._call(lambda: list(pmap.select(self._txn, *args, **kwargs)))

    async def count(self, pmap: PersistentMap[K, V], prefix: Any = None) -> int:
        """Return the number of records; see `PersistentMap.count`."""
        return await self._call(pmap.count, self._txn, prefix)
