"""The asyncio wrappers use threads where LMDB needs them, queue, and leave nothing behind."""

from __future__ import annotations

import asyncio
import gc
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from zlmdb import lmdb
from zlmdb.lmdb import aio


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


def test_tasks_share_a_transaction(run, records):
    async def scenario(aenv):
        async with aenv.begin(write=True) as txn, txn.cursor() as cursor:
            await asyncio.gather(
                *(txn.put(b"t%03d" % i, b"x") for i in range(200)),
                *(cursor.set_range(b"t") for _ in range(50)),
            )
            assert len(await txn.keys(prefix=b"t")) == 200
        async with aenv.begin() as txn:
            assert await asyncio.gather(*(txn.get(key) for key, _ in records)) == [
                value for _, value in records
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
            with pytest.raises(lmdb.Error, match="closed/deleted/dropped") as caught:
                await use()
            assert isinstance(caught.value, RuntimeError) is write  # which the executor of a writer raises
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
