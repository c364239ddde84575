"""How a class that blocks becomes one for asyncio."""

from __future__ import annotations

import asyncio
import functools
import os
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import suppress
from types import TracebackType
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar, cast

from zlmdb.lmdb.errors import Error, ForkedError

P = ParamSpec("P")
R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., Any])
W = TypeVar("W", bound="Scoped")


# How a method of a sync class becomes a method of its wrapper


def wraps(method: Callable[..., Any]) -> Callable[[F], F]:
    """Return a decorator like `functools.wraps`, but one that leaves a method a method to type checkers."""
    return cast("Callable[[F], F]", functools.wraps(method))


def plain(method: Callable[Concatenate[Any, P], R]) -> Callable[Concatenate[Wrapper, P], R]:
    """Return a method that calls `method` at once: it neither waits nor reads the disk."""

    @wraps(method)
    def call(self: Wrapper, /, *args: P.args, **kwargs: P.kwargs) -> R:
        result: R = self._method(method)(*args, **kwargs)
        return result

    return call


def coroutine(
    method: Callable[Concatenate[Any, P], R],
) -> Callable[Concatenate[Wrapper, P], Coroutine[Any, Any, R]]:
    """Return a coroutine method that calls `method` in a thread."""

    @wraps(method)
    async def call(self: Wrapper, /, *args: P.args, **kwargs: P.kwargs) -> R:
        result: R = await self._call(self._method(method), *args, **kwargs)
        return result

    return call


def listing(
    method: Callable[Concatenate[Any, P], Iterator[R]],
) -> Callable[Concatenate[Wrapper, P], Coroutine[Any, Any, list[R]]]:
    """Return a coroutine method that lists in a thread what `method` iterates over."""

    @wraps(method)
    async def call(self: Wrapper, /, *args: P.args, **kwargs: P.kwargs) -> list[R]:
        iterate = self._method(method)
        return await self._call(lambda: list(iterate(*args, **kwargs)))

    return call


# Threads


class WriterThread(ThreadPoolExecutor):
    """The thread of one write transaction."""

    def __init__(self) -> None:
        super().__init__(max_workers=1, thread_name_prefix="zlmdb-writer")
        self._process = os.getpid()

    def submit(self, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """As `Executor.submit()`.

        Raises:
            RuntimeError: the transaction has ended; or, in a forked child, the thread is the parent's.
        """
        if os.getpid() != self._process:
            raise RuntimeError("the thread belongs to the parent process")
        return super().submit(function, *args, **kwargs)


class FinishedError(Error, RuntimeError):
    """A write transaction has ended: an `Error` as without asyncio, and what its executor raises then."""


async def run(executor: Executor | None, function: Callable[[], R]) -> R:
    """Run `function` in `executor`, to its end even if the task that waits for it is cancelled."""
    try:
        future = asyncio.get_running_loop().run_in_executor(executor, function)
    except RuntimeError:
        if isinstance(executor, WriterThread):
            return _after_the_end(function)
        raise
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        while not future.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([future])
        future.exception()  # Seen: otherwise asyncio logs it.
        raise


def _after_the_end(function: Callable[[], R]) -> R:
    """Call a function of a transaction that has ended, which it will not fail to notice."""
    try:
        return function()
    except ForkedError:
        raise
    except Error as error:
        raise FinishedError(error.what, error.code) from None


class Scoped:
    """What ``async with`` needs."""

    __slots__ = ()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        raise NotImplementedError


class Pending(Generic[W]):
    """What ``begin`` and ``cursor`` return: await it, or enter it with ``async with``."""

    __slots__ = ("_made", "_make")

    def __init__(self, make: Callable[[], Awaitable[W]]) -> None:
        self._make = make

    def __await__(self) -> Generator[Any, None, W]:
        return self._make().__await__()

    async def __aenter__(self) -> W:
        self._made = await self._make()
        return await self._made.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._made.__aexit__(kind, value, trace)


class Wrapper(Scoped):
    """An object of a sync class, with the executor and the lock for calling its methods."""

    __slots__ = ("_executor", "_lock", "_sync")

    def __init__(self, sync: Any, executor: Executor | None, lock: asyncio.Lock | None) -> None:
        self._sync = sync
        self._executor = executor
        self._lock = lock

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of the wrapped object, unless it is a method, which would block."""
        if name in Wrapper.__slots__:  # not set yet, if an exception is to blame
            raise AttributeError(name)
        value = getattr(self._sync, name)
        if callable(value):
            raise AttributeError(f"{type(self).__name__} has no method {name!r}")  # noqa: TRY004
        return value

    def _method(self, method: Callable[..., Any]) -> Callable[..., Any]:
        """Return the bound method that `method` is, or that a subclass made of it."""
        bound: Callable[..., Any] = getattr(self._sync, method.__name__)
        return bound

    async def _call(self, function: Callable[..., R], /, *args: Any, **kwargs: Any) -> R:
        call = functools.partial(function, *args, **kwargs)
        if self._lock is None:
            return await asyncio.get_running_loop().run_in_executor(self._executor, call)
        async with self._lock:
            return await run(self._executor, call)
