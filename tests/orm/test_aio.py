"""The object layer works from an event loop without blocking it, and commits small writes together."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import uuid

import pytest

import zlmdb
import zlmdb.aio
from zlmdb.orm.errors import ReadOnlyError, UsageError

NUMBERS = zlmdb.MapOidOid(1)


def run(work, **options):
    """Run a coroutine function with a database."""

    async def main():
        async with zlmdb.aio.open(**options) as db:
            return await work(db)

    return asyncio.run(asyncio.wait_for(main(), 60))


def put(txn, key, value):
    NUMBERS[txn, key] = value
    return value


def test_functions_run_in_transactions():
    async def work(db):
        assert await db.write(put, 1, value=5) == 5
        assert await db.write(lambda txn: NUMBERS.put_many(txn, [(2, 6), (3, 7)])) == 2
        assert await db.read(lambda txn: NUMBERS[txn, 1]) == 5
        return await db.read(lambda txn: list(NUMBERS.select(txn)))

    assert run(work) == [(1, 5), (2, 6), (3, 7)]


@pytest.mark.parametrize("writemap", [False, True])
def test_writes_that_wait_are_committed_together_and_fail_alone(writemap):
    async def work(db):
        begun, go = threading.Event(), threading.Event()

        def block(txn):
            begun.set()
            go.wait()
            return txn.id()

        def write(txn, number):
            NUMBERS[txn, number] = number
            if number % 10 == 0:
                raise ValueError(number)
            if number == 5:
                raise StopIteration
            return txn.id()

        first = asyncio.create_task(db.write(block))
        await asyncio.to_thread(begun.wait)
        tasks = [asyncio.create_task(db.write(write, number)) for number in range(100)]
        await asyncio.sleep(0)
        tasks[7].cancel()
        await asyncio.sleep(0)
        go.set()
        await first
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        stored = await db.read(lambda txn: list(NUMBERS.select(txn, return_values=False)))
        return outcomes, stored

    outcomes, stored = run(work, writemap=writemap)
    ids = {outcome for outcome in outcomes if isinstance(outcome, int)}
    assert len(ids) == (88 if writemap else 1)
    assert [isinstance(outcome, ValueError) for outcome in outcomes] == [n % 10 == 0 for n in range(100)]
    assert isinstance(outcomes[5], RuntimeError)
    assert isinstance(outcomes[7], asyncio.CancelledError)
    assert stored == [n for n in range(100) if n % 10 and n not in (5, 7)]


def test_a_failing_commit_reaches_every_caller(monkeypatch):
    async def work(db):
        def fail(self, *_):
            self._opened().abort()
            self._raw.txn = None
            raise zlmdb.lmdb.DiskError("mdb_txn_commit", 28)

        monkeypatch.setattr(zlmdb.Transaction, "__exit__", fail)
        return await asyncio.gather(*(db.write(put, n, n) for n in range(3)), return_exceptions=True)

    assert [type(outcome) for outcome in run(work)] == [zlmdb.lmdb.DiskError] * 3


def test_transactions_have_a_thread_each_and_commit_or_abort():
    async def work(db):
        async with db.begin(write=True) as txn:
            threads = {await txn.run(lambda _txn: threading.get_ident()) for _ in range(3)}
            assert len(threads) == 1
            assert threading.get_ident() not in threads
            await txn.put(NUMBERS, 1, 10)
            await txn.put(NUMBERS, 2, 20)
            assert await txn.put_many(NUMBERS, [(3, 30)]) == 1
            await txn.delete(NUMBERS, 2)
            assert await txn.contains(NUMBERS, 1)
            assert await txn.count(NUMBERS) == 2
        with contextlib.suppress(ZeroDivisionError):
            async with db.begin(write=True) as txn:
                await txn.put(NUMBERS, 1, 11)
                1 / 0  # noqa: B018
        async with db.begin() as txn, db.begin() as other:
            assert await txn.get(NUMBERS, 1) == 10
            assert await other.get_many(NUMBERS, [3, 2, 1]) == [30, None, 10]
            return await txn.select(NUMBERS, reverse=True)

    assert run(work) == [(3, 30), (1, 10)]


def test_concurrent_writers_wait_for_each_other():
    async def add(db, way):
        if way:
            async with db.begin(write=True) as txn:
                await txn.put(NUMBERS, 1, (await txn.get(NUMBERS, 1) or 0) + 1)
        else:
            await db.write(lambda txn: put(txn, 1, (NUMBERS[txn, 1] or 0) + 1))

    async def work(db):
        await asyncio.gather(*(add(db, n % 2) for n in range(40)))
        return await db.read(lambda txn: NUMBERS[txn, 1])

    assert run(work, sync=False) == 40


def test_a_task_cannot_wait_for_itself():
    async def work(db):
        async with db.begin(write=True):
            with pytest.raises(UsageError, match="has a write transaction open"):
                await db.write(put, 1, 1)
            with pytest.raises(UsageError, match="has a write transaction open"):
                async with db.begin(write=True):
                    pass
        await db.write(put, 1, 1)

    run(work)


def test_a_task_that_is_cancelled_while_it_waits_for_the_writer_leaves_no_lock():
    async def work(db):
        async def wait_for_writer():
            async with db.begin(write=True):
                pass

        async with db.begin(write=True):
            waiting = asyncio.create_task(wait_for_writer())
            await asyncio.sleep(0.01)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
        return await db.write(put, 1, 1)

    assert run(work) == 1


def test_a_transaction_is_open_in_its_block_only():
    async def work(db):
        txn = db.begin()
        for _ in range(2):
            with pytest.raises(UsageError, match="not open"):
                await txn.get(NUMBERS, 1)
            async with txn:
                assert await txn.get(NUMBERS, 1) is None
                with pytest.raises(UsageError, match="open already"):
                    await txn.__aenter__()

    run(work)


def test_a_closed_database_says_so_and_opens_again(tmp_path):
    @zlmdb.table(uuid.uuid4())
    class Table(zlmdb.MapOidPickle): ...

    async def main():
        with zlmdb.Database(tmp_path / "db") as plain:
            db = zlmdb.aio.wrap(plain)
            await db.close()
            for use in (lambda: db.write(put, 1, 1), lambda: db.read(lambda txn: None)):
                with pytest.raises(UsageError, match="closed"):
                    await use()
            with pytest.raises(UsageError, match="closed"):
                db.begin()
            for _ in range(2):
                async with db:
                    await db.write(put, 1, 1)
            async with db:
                assert (await db.attach_table(Table))._slot == 2  # slot 1 has records
                await db.backup(str(tmp_path / "backup"))
        async with zlmdb.aio.open(str(tmp_path / "backup"), readonly=True) as db:
            with pytest.raises(ReadOnlyError):
                db.begin(write=True)
            with pytest.raises(ReadOnlyError):
                await db.write(put, 1, 1)
            return await db.read(lambda txn: NUMBERS[txn, 1])

    assert asyncio.run(main()) == 1
