"""The asyncio wrappers: the same behaviour, threads where LMDB needs them, and nothing left behind."""

from __future__ import annotations

import asyncio
import gc
import inspect
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from zlmdb import lmdb
from zlmdb.lmdb import aio
from zlmdb.lmdb.aio import AsyncCursor, AsyncEnvironment, AsyncTransaction

PAIRS = [
    (AsyncEnvironment, lmdb.Environment),
    (AsyncTransaction, lmdb.Transaction),
    (AsyncCursor, lmdb.Cursor),
]
PLAIN = {"path", "lib_version", "max_key_size", "max_readers", "flags", "id", "key", "value", "item"}
RECORDS = [(b"%02d" % i, b"value %d" % i) for i in range(10)]

Scenario = Callable[[AsyncEnvironment], Coroutine[None, None, None]]


@pytest.fixture(params=[0, 1], ids=["lmdb 0.9", "lmdb 1.0"])
def env(tmp_path: Path, request: pytest.FixtureRequest) -> lmdb.Environment:
    """Return an environment with ten records, of either engine."""
    with lmdb.open(str(tmp_path), max_dbs=4, lib_version=request.param) as env:
        with env.begin(write=True) as txn:
            for key, value in RECORDS:
                txn.put(key, value)
        yield env


@pytest.fixture
def run(env: lmdb.Environment) -> Callable[[Scenario], None]:
    """Return a function that runs a coroutine function with the wrapped environment."""
    return lambda scenario: asyncio.run(scenario(aio.wrap(env)))


@pytest.mark.parametrize(("wrapper", "sync"), PAIRS)
def test_every_method_is_wrapped(wrapper, sync):
    for name, method in inspect.getmembers(sync, callable):
        if name.startswith("_"):
            continue
        wrapped = vars(wrapper)[name]
        assert wrapped.__wrapped__ is method
        assert wrapped.__doc__ == method.__doc__
        assert wrapped.__name__ == name
        assert inspect.iscoroutinefunction(wrapped) == (name not in PLAIN | {"begin", "cursor"})


def test_plain_methods(env, run):
    async def scenario(aenv):
        assert aenv.path() == env.path()
        assert aenv.lib_version() == env.lib_version()
        assert aenv.max_key_size() == env.max_key_size()
        assert aenv.max_readers() == 126
        assert aenv.flags() == env.flags()
        async with aenv.begin() as txn:
            assert txn.id() == 1

    run(scenario)


def test_environment_coroutines(env, run, tmp_path):
    async def scenario(aenv):
        assert (await aenv.stat())["entries"] == 10
        assert (await aenv.info())["last_txnid"] == 1
        assert await aenv.get(b"03") == b"value 3"
        assert await aenv.getmulti([b"03", b"no", b"04"]) == [RECORDS[3], RECORDS[4]]
        db = await aenv.open_db(b"named", dupsort=True)
        assert db.flags()["dupsort"]
        assert await aenv.dbs() == [b"named"]
        assert await aenv.reader_check() == 0
        assert await aenv.readers() == env.readers()
        await aenv.sync(True)
        await aenv.set_mapsize(1 << 22)
        assert env.info()["map_size"] == 1 << 22
        (tmp_path / "copy").mkdir()
        await aenv.copy(str(tmp_path / "copy"), compact=True)
        with (tmp_path / "copyfd").open("wb") as file:
            await aenv.copyfd(file.fileno())

    run(scenario)
    for copy, subdir in (("copy", True), ("copyfd", False)):
        with lmdb.open(str(tmp_path / copy), subdir=subdir) as other:
            assert other.stat()["entries"] >= 10


def test_transaction_coroutines(run):
    async def scenario(aenv):
        db = await aenv.open_db(b"named")
        async with aenv.begin(db, write=True) as txn:
            assert await txn.put(b"k", b"v") is True
            assert await txn.put(b"k", b"w", overwrite=False) is False
            assert await txn.get(b"k") == b"v"
            assert await txn.replace(b"k", b"new") == b"v"
            assert await txn.pop(b"k") == b"new"
            assert await txn.get(b"k", default=b"none") == b"none"
            await txn.put(b"x", b"1")
            assert await txn.delete(b"x") is True
            assert (await txn.stat(db))["entries"] == 0
            await txn.drop(db)
        assert await aenv.dbs() == []
        async with aenv.begin() as txn:
            assert await txn.items(prefix=b"0", limit=3) == RECORDS[:3]
            assert await txn.keys(start=b"08") == [b"08", b"09"]
            assert await txn.values(stop=b"02", reverse=True) == [b"value 1", b"value 0"]

    run(scenario)


def test_cursor_coroutines(run):
    async def scenario(aenv):
        async with aenv.begin(write=True) as txn, txn.cursor() as cursor:
            assert (cursor.key(), cursor.value()) == (b"", b"")
            assert await cursor.first()
            assert cursor.item() == RECORDS[0]
            assert await cursor.next()
            assert cursor.key() == b"01"
            assert await cursor.last()
            assert not await cursor.next()
            assert await cursor.set_range(b"055")
            assert cursor.key() == b"06"
            assert await cursor.set_key(b"03")
            assert cursor.value() == b"value 3"
            assert await cursor.getmulti([b"01", b"02"]) == RECORDS[1:3]
            assert await cursor.get(b"04") == b"value 4"
            assert await cursor.iternext() == RECORDS[4:]
            assert await cursor.iterprev(values=False) == [key for key, _ in RECORDS[::-1]]
            assert await cursor.putmulti([(b"a", b"1"), (b"b", b"2")]) == (2, 2)
            assert await cursor.pop(b"a") == b"1"
            assert await cursor.replace(b"b", b"3") == b"2"
            assert await cursor.put(b"c", b"4")
            assert await cursor.delete()
        with pytest.raises(lmdb.Error, match="closed/deleted/dropped"):
            cursor.key()

    run(scenario)


def test_duplicates(run):
    async def scenario(aenv):
        db = await aenv.open_db(b"dups", dupsort=True)
        async with aenv.begin(db, write=True) as txn, txn.cursor() as cursor:
            for value in (b"1", b"2", b"3"):
                await cursor.put(b"k", value)
            assert await cursor.count() == 3
            assert await cursor.first_dup()
            assert await cursor.iternext_dup() == [b"1", b"2", b"3"]
            assert await cursor.set_key_dup(b"k", b"2")
            assert await cursor.iterprev_dup(keys=True) == [(b"k", b"2"), (b"k", b"1")]
            assert await cursor.set_range_dup(b"k", b"25")
            assert cursor.value() == b"3"
            assert await cursor.prev_dup()
            assert await cursor.last_dup()
            assert not await cursor.next_dup()
            await cursor.first()
            assert not await cursor.next_nodup()
            assert await cursor.iternext_nodup() == [b"k"]

    run(scenario)


def test_begin_and_cursor_can_be_awaited(run):
    async def scenario(aenv):
        txn = await aenv.begin(write=True)
        assert isinstance(txn, AsyncTransaction)
        cursor = await txn.cursor()
        assert isinstance(cursor, AsyncCursor)
        assert await cursor.put(b"new", b"value")
        await cursor.close()
        await txn.commit()
        assert await aenv.get(b"new") == b"value"

    run(scenario)


def test_context_manager_commits_or_aborts(run):
    async def scenario(aenv):
        async with aenv.begin(write=True) as txn:
            await txn.put(b"kept", b"1")
        with pytest.raises(KeyError):  # noqa: PT012
            async with aenv.begin(write=True) as txn:
                await txn.put(b"lost", b"1")
                raise KeyError
        for end in ("commit", "abort"):
            async with aenv.begin(write=True) as txn:
                await txn.put(end.encode(), b"1")
                await getattr(txn, end)()
                assert txn._done
        assert [key for key in (b"kept", b"lost", b"commit", b"abort") if await aenv.get(key)] == [
            b"kept",
            b"commit",
        ]

    run(scenario)


def test_environment_context_manager_closes(env, run):
    async def scenario(aenv):
        async with aenv as same:
            assert same is aenv
        with pytest.raises(lmdb.Error, match="closed"):
            await aenv.stat()
        await aenv.close()

    run(scenario)
    with pytest.raises(lmdb.Error):
        env.stat()


def test_attributes(env, run):
    async def scenario(aenv):
        assert aenv.readonly is False
        assert aenv._env is env
        async with aenv.begin() as txn, txn.cursor() as cursor:
            assert txn._pyenv is env
            assert cursor._pytxn is txn._txn
            assert cursor._pydb is cursor._cursor._pydb
        for wrapper in (aenv, txn, cursor):
            with pytest.raises(AttributeError, match="no_such_thing"):
                _ = wrapper.no_such_thing

    run(scenario)


def test_unwrapped_methods_are_refused(env, run, monkeypatch):
    """A method that a later version adds to a sync class must not block the event loop by accident."""
    monkeypatch.setattr(lmdb.Environment, "later", lambda _self: None, raising=False)

    async def scenario(aenv):
        with pytest.raises(AttributeError, match="no method 'later'"):
            _ = aenv.later

    run(scenario)


# Threads


def record_threads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list to which the names of the threads that begin, write and commit get added."""
    threads: list[str] = []

    def spy(cls: type, name: str) -> None:
        original = getattr(cls, name)

        def method(self, *args, **kwargs):
            threads.append(threading.current_thread().name)
            return original(self, *args, **kwargs)

        monkeypatch.setattr(cls, name, method)

    spy(lmdb.Environment, "begin")
    spy(lmdb.Transaction, "__exit__")
    return threads


def test_one_thread_per_write_transaction(run, monkeypatch):
    threads = record_threads(monkeypatch)

    async def scenario(aenv):
        for _ in range(2):
            async with aenv.begin(write=True) as txn:
                assert txn._owns_executor
                name = await asyncio.wrap_future(
                    txn._executor.submit(lambda: threading.current_thread().name)
                )
                threads.append(name)
                async with txn.cursor() as cursor:
                    assert cursor._executor is txn._executor
            with pytest.raises(RuntimeError):
                txn._executor.submit(print)

    run(scenario)
    first, second = threads[:3], threads[3:]
    assert len(set(first)) == len(set(second)) == 1
    assert threading.current_thread().name not in threads


def test_read_transactions_use_the_executor_given(env):
    async def scenario(executor):
        aenv = aio.wrap(env, executor)
        assert aenv._executor is executor
        async with aenv.begin() as txn, txn.cursor() as cursor:
            assert txn._executor is cursor._executor is executor
            assert not txn._owns_executor
        async with aenv.begin(write=True) as txn:
            assert txn._executor is not executor
        executor.submit(int).result()

    with ThreadPoolExecutor(1) as executor:
        asyncio.run(scenario(executor))


def test_concurrent_writers_queue(run):
    async def scenario(aenv):
        inside = 0

        async def add() -> None:
            nonlocal inside
            async with aenv.begin(write=True) as txn:
                inside += 1
                assert inside == 1
                count = int(await txn.get(b"count", b"0"))
                await asyncio.sleep(0)
                await txn.put(b"count", b"%d" % (count + 1))
                inside -= 1

        await asyncio.gather(*(add() for _ in range(20)))
        assert await aenv.get(b"count") == b"20"

    run(scenario)


def test_tasks_share_a_transaction(run):
    async def scenario(aenv):
        async with aenv.begin(write=True) as txn, txn.cursor() as cursor:
            await asyncio.gather(
                *(txn.put(b"t%03d" % i, b"x") for i in range(200)),
                *(cursor.set_range(b"t") for _ in range(50)),
            )
            assert len(await txn.keys(prefix=b"t")) == 200
        async with aenv.begin() as txn:
            assert await asyncio.gather(*(txn.get(key) for key, _ in RECORDS)) == [
                value for _, value in RECORDS
            ]

    run(scenario)


def test_nested_transactions(run):
    async def scenario(aenv):
        async with aenv.begin(write=True) as parent:
            async with aenv.begin(write=True, parent=parent) as child:
                assert child._executor is parent._executor
                await child.put(b"kept", b"1")
            child = await aenv.begin(write=True, parent=parent)
            await child.put(b"lost", b"1")
            await child.abort()
            await parent.put(b"after", b"1")
        assert [key for key in (b"kept", b"lost", b"after") if await aenv.get(key)] == [b"kept", b"after"]

    run(scenario)


def test_environment_methods_take_transactions(run, tmp_path):
    async def scenario(aenv):
        async with aenv.begin(write=True) as txn:
            db = await aenv.open_db(b"named", txn=txn)
            await txn.put(b"key", b"value", db=db)
            assert await aenv.dbs(txn) == [b"named"]
        async with aenv.begin() as txn:
            async with aenv.begin(write=True) as writer:
                await writer.put(b"later", b"1")
            (tmp_path / "copy").mkdir()
            await aenv.copy(str(tmp_path / "copy"), compact=True, txn=txn)

    run(scenario)
    with lmdb.open(str(tmp_path / "copy")) as copy:
        assert copy.get(b"later") is None


# Ends


@pytest.mark.parametrize("write", [False, True])
def test_use_after_the_end(run, write):
    async def scenario(aenv):
        async with aenv.begin(write=write) as txn:
            cursor = await txn.cursor()
        for use in (lambda: txn.get(b"00"), txn.commit, txn.cursor, cursor.first):
            with pytest.raises(lmdb.Error, match="closed/deleted/dropped"):
                await use()
        await txn.abort()
        await cursor.close()

    run(scenario)


def test_cancelled_begin_leaves_no_transaction(run):
    async def scenario(aenv):
        async with aenv.begin(write=True) as holder:
            waiting = asyncio.ensure_future(aenv.begin(write=True)._make())
            while not any("zlmdb-writer" in thread.name for thread in threading.enumerate()):
                await asyncio.sleep(0)
            await asyncio.sleep(0)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            await holder.put(b"k", b"v")
        async with aenv.begin(write=True) as txn:  # would wait for ever
            assert await txn.get(b"k") == b"v"

    run(scenario)


def test_cancelled_operation_is_finished_first(run, monkeypatch):
    """Otherwise the next operation would enter the transaction while the cancelled one is still in it."""
    started, proceed = threading.Event(), threading.Event()
    put = lmdb.Transaction.put

    def slow_put(self, *args, **kwargs):
        started.set()
        assert proceed.wait(10)
        return put(self, *args, **kwargs)

    async def scenario(aenv):
        async with aenv.begin(write=True) as txn:
            task = asyncio.ensure_future(txn._call(slow_put, txn._txn, b"k", b"v"))
            while not started.is_set():
                await asyncio.sleep(0)
            task.cancel()
            get = asyncio.ensure_future(txn.get(b"k"))
            for _ in range(20):
                await asyncio.sleep(0)
            assert not task.done()
            assert not get.done()
            proceed.set()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await get == b"v"

    run(scenario)


def test_waiting_writers_do_not_block_the_loop(run):
    async def scenario(aenv):
        async with aenv.begin(write=True):
            other = asyncio.ensure_future(aenv.begin(write=True)._make())
            assert await aenv.get(b"03") == b"value 3"
            assert not other.done()
        await (await other).abort()

    run(scenario)


def test_transactions_that_are_dropped(run):
    """An unfinished write transaction that goes away gives the write lock back."""

    async def scenario(aenv):
        txn = await aenv.begin(write=True)
        await txn.put(b"k", b"v")
        del txn
        gc.collect()
        async with aenv.begin(write=True) as txn:
            assert await txn.get(b"k") is None

    run(scenario)
