"""The asyncio wrappers have every method of what they wrap, and the same behaviour."""

from __future__ import annotations

import inspect

import pytest

from zlmdb import lmdb
from zlmdb.lmdb.aio import AsyncCursor, AsyncEnvironment, AsyncTransaction

PAIRS = [
    (AsyncEnvironment, lmdb.Environment),
    (AsyncTransaction, lmdb.Transaction),
    (AsyncCursor, lmdb.Cursor),
]
PLAIN = {"path", "lib_version", "max_key_size", "max_readers", "flags", "id", "key", "value", "item"}


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


def test_environment_coroutines(env, run, tmp_path, records):
    async def scenario(aenv):
        assert (await aenv.stat())["entries"] == 10
        assert (await aenv.info())["last_txnid"] == 1
        assert await aenv.get(b"03") == b"value 3"
        assert await aenv.getmulti([b"03", b"no", b"04"]) == [records[3], records[4]]
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


def test_transaction_coroutines(run, records):
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
            assert await txn.items(prefix=b"0", limit=3) == records[:3]
            assert await txn.keys(start=b"08") == [b"08", b"09"]
            assert await txn.values(stop=b"02", reverse=True) == [b"value 1", b"value 0"]

    run(scenario)


def test_cursor_coroutines(run, records):
    async def scenario(aenv):
        async with aenv.begin(write=True) as txn, txn.cursor() as cursor:
            assert (cursor.key(), cursor.value()) == (b"", b"")
            assert await cursor.first()
            assert cursor.item() == records[0]
            assert await cursor.next()
            assert cursor.key() == b"01"
            assert await cursor.last()
            assert not await cursor.next()
            assert await cursor.set_range(b"055")
            assert cursor.key() == b"06"
            assert await cursor.set_key(b"03")
            assert cursor.value() == b"value 3"
            assert await cursor.getmulti([b"01", b"02"]) == records[1:3]
            assert await cursor.get(b"04") == b"value 4"
            assert await cursor.iternext() == records[4:]
            assert await cursor.iterprev(values=False) == [key for key, _ in records[::-1]]
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
