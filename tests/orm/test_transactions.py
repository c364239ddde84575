"""Transactions commit or abort as a whole, nest, count, and say when they are not open."""

from __future__ import annotations

import time

import pytest

import zlmdb
from zlmdb.orm.errors import DatabaseFullError, ReadOnlyError, UsageError


def test_an_exception_undoes_a_transaction(db, undone):
    pmap = zlmdb.MapOidOid(1)
    with db.begin(write=True) as txn:
        pmap[txn, 1] = 1
    with undone(db) as txn:
        pmap[txn, 1] = 2
        pmap[txn, 2] = 2
    with db.begin() as txn:
        assert list(pmap.select(txn)) == [(1, 1)]


def test_a_transaction_is_open_in_its_block_only(db):
    pmap = zlmdb.MapOidOid(1)
    txn = db.begin(write=True)
    uses = [
        txn.id,
        lambda: txn.get(b"key"),
        lambda: txn.put(b"key", b"data"),
        lambda: txn.delete(b"key"),
        lambda: pmap[txn, 1],
        lambda: pmap.__setitem__((txn, 1), 1),
        lambda: pmap.__delitem__((txn, 1)),
        lambda: pmap.select(txn),
        lambda: pmap.count(txn),
        lambda: pmap.put_many(txn, [(1, 1)]),
        lambda: txn.__exit__(None, None, None),
    ]
    for _ in range(2):
        for use in uses:
            with pytest.raises(AssertionError, match="not open"):
                use()
        with txn:
            pmap[txn, 1] = 1
            assert txn._opened()
            with pytest.raises(AssertionError, match="open already"):
                txn.__enter__()


def test_raw_records(db):
    stats = zlmdb.TransactionStats()
    with db.begin(write=True, stats=stats) as txn:
        assert isinstance(txn.id(), int)
        assert txn.get(b"key") is None
        assert txn.put(b"key", b"one") is True
        assert txn.put(b"key", b"two", overwrite=False) is False
        assert txn.get(b"key") == b"one"
        assert txn.delete(b"key") is True
        assert txn.delete(b"key") is False
    assert (stats.puts, stats.dels) == (1, 1)
    assert (zlmdb.Transaction.PUT, zlmdb.Transaction.DEL) == (1, 2)


def test_stats_tell_when_they_began():
    before = time.time_ns()
    stats = zlmdb.TransactionStats()
    stats.puts = stats.dels = 5
    stats.reset()
    assert (stats.puts, stats.dels) == (0, 0)
    assert before <= stats.started <= time.time_ns()
    assert 0 <= stats.duration <= time.time_ns() - before
    with pytest.raises(UsageError, match="TransactionStats"):
        zlmdb.Transaction(None, stats={})


def test_a_read_transaction_does_not_write(db):
    pmap = zlmdb.MapOidOid(1)
    with db.begin() as txn:
        for write in (
            lambda: pmap.__setitem__((txn, 1), 1),
            lambda: pmap.__delitem__((txn, 1)),
            lambda: pmap.put_many(txn, [(1, 1)]),
            lambda: txn.put(b"key", b"data"),
            lambda: txn.delete(b"key"),
            lambda: txn.begin().__enter__(),
        ):
            with pytest.raises(zlmdb.lmdb.ReadonlyError, match="read-only") as caught:
                write()
            assert isinstance(caught.value, ReadOnlyError)


def test_closing_the_database_ends_transactions_with_an_error_that_says_so(db):
    pmap = zlmdb.MapOidOid(1)
    with db.begin(write=True) as txn:
        pmap.put_many(txn, [(n, n) for n in range(1000)])
    with pytest.raises(UsageError, match="was closed while"), db.begin(write=True) as txn:  # noqa: PT012
        pmap[txn, 1] = 5
        selected = iter(pmap.select(txn))
        next(selected)
        db.close()
        uses = [
            lambda: pmap[txn, 1],
            lambda: pmap.__setitem__((txn, 1), 1),
            lambda: pmap.__delitem__((txn, 1)),
            lambda: list(selected),
        ]
        for use in uses:
            with pytest.raises(UsageError, match="was closed while"):
                use()
    with db, db.begin() as txn:
        assert pmap[txn, 1] == 1


def test_a_nested_transaction_is_undone_alone(db, undone):
    pmap = zlmdb.MapOidOid(1)
    stats = zlmdb.TransactionStats()
    with db.begin(write=True, stats=stats) as txn:
        pmap[txn, 1] = 1
        with txn.begin() as child:
            pmap[child, 2] = 2
            with undone(child) as grandchild:
                pmap[grandchild, 3] = 3
                assert list(pmap.select(grandchild)) == [(1, 1), (2, 2), (3, 3)]
            assert list(pmap.select(child)) == [(1, 1), (2, 2)]
        with undone(txn) as child:
            pmap[child, 1] = 5
        assert list(pmap.select(txn)) == [(1, 1), (2, 2)]
        assert stats.puts == 4
    with db.begin() as txn:
        assert list(pmap.select(txn)) == [(1, 1), (2, 2)]
        with pytest.raises(zlmdb.lmdb.Error), txn.begin():
            pass


def test_with_writemap_transactions_are_not_nested(tmp_path, lib_version):
    pmap = zlmdb.MapOidOid(1)
    with zlmdb.Database(str(tmp_path / "db"), writemap=True, lib_version=lib_version) as db:
        with db.begin(write=True) as txn:
            with pytest.raises(UsageError, match="writemap"), txn.begin():
                pass
            pmap[txn, 1] = 1
        with db.begin() as txn:
            assert pmap[txn, 1] == 1


def test_a_nested_transaction_needs_an_open_parent(db):
    with pytest.raises(UsageError, match="not open"), db.begin(write=True).begin():
        pass


def test_a_database_grows_in_the_middle_of_a_transaction(db):
    pmap = zlmdb.MapOidPickle(1)
    data = b"x" * 10_000
    with db.begin(write=True) as txn:
        for n in range(3000):
            pmap[txn, n] = data
        with txn.begin() as child:
            pmap.put_many(child, ((n, data) for n in range(3000, 6000)))
    with db.begin() as txn:
        assert pmap.count(txn) == 6000
        assert pmap[txn, 5999] == data
    assert db.stats()["max_size"] > db.maxsize


def test_a_limit_that_is_reached_is_named(lib_version):
    pmap = zlmdb.MapOidPickle(1)
    data = b"x" * 10_000
    with zlmdb.Database(maxsize=1 << 20, grow=False, lib_version=lib_version) as db:
        with db.begin(write=True) as txn:
            pmap[txn, 1] = data
        for write in (
            lambda txn: [pmap.__setitem__((txn, n), data) for n in range(1000)],
            lambda txn: pmap.put_many(txn, ((n, data) for n in range(1000))),
            lambda txn: [txn.put(str(n).encode(), data) for n in range(1000)],
        ):
            with (
                pytest.raises(DatabaseFullError, match="maxsize=1048576") as caught,
                db.begin(write=True) as txn,
            ):
                write(txn)
            assert isinstance(caught.value, zlmdb.lmdb.MapFullError)
        with db.begin(write=True) as txn:
            assert list(pmap.select(txn)) == [(1, data)]
            pmap[txn, 2] = data
