"""Databases are emptied, or deleted with their handles and cursors."""

from __future__ import annotations

import pytest

from zlmdb import lmdb


def test_drop(env):
    db = env.open_db(b"db", dupsort=True)
    with env.begin(write=True) as txn:
        txn.put(b"a", b"b", db=db)
        cursor = txn.cursor(db)
        other = txn.cursor()
        cursor.first()
        txn.drop(db)
        with pytest.raises(lmdb.Error, match="closed/deleted/dropped"):
            cursor.key()
        with pytest.raises(lmdb.InvalidParameterError, match="the database was dropped"):
            txn.get(b"a", db=db)
        with pytest.raises(lmdb.InvalidParameterError):
            txn.drop(db)
        assert other.first() is False
    assert env.dbs() == []
    with pytest.raises(lmdb.NotFoundError):
        env.open_db(b"db", create=False)
    again = env.open_db(b"db")
    assert again is not db
    assert not again.flags()["dupsort"]
    with env.begin(db=again) as txn:
        assert txn.get(b"a") is None


def test_drop_and_recreate_in_one_transaction(env):
    db = env.open_db(b"db")
    with env.begin(write=True) as txn:
        txn.put(b"a", b"b", db=db)
        txn.drop(db)
        again = env.open_db(b"db", txn, dupsort=True)
        txn.put(b"a", b"c", db=again)
        txn.put(b"a", b"d", db=again)
    with env.begin(db=again) as txn:
        assert list(txn.items()) == [(b"a", b"c"), (b"a", b"d")]


def test_empty(env):
    db = env.open_db(b"db")
    with env.begin(write=True) as txn:
        for i in range(500):
            txn.put(b"%d" % i, bytes(100), db=db)
        cursor = txn.cursor(db)
        cursor.first()
        txn.drop(db, delete=False)
        assert (cursor.key(), cursor.item()) == (b"", (b"", b""))
        assert cursor.first() is False
        assert txn.stat(db)["entries"] == 0
        txn.put(b"a", b"b", db=db)
        assert cursor.first()
        assert cursor.item() == (b"a", b"b")
    assert env.open_db(b"db") is db


def test_empty_main(env):
    with env.begin(write=True) as txn:
        txn.put(b"a", b"b")
        txn.drop(env.open_db(), delete=False)
        assert txn.get(b"a") is None
        txn.put(b"c", b"d")
    assert env.getmulti([b"a", b"c"]) == [(b"c", b"d")]


def test_empty_main_while_a_database_is_open(env, engine):
    env.open_db(b"db")
    with env.begin(write=True) as txn:
        if not engine:
            txn.drop(env.open_db(), delete=False)
            assert list(txn.items()) == []
            return
        with pytest.raises(lmdb.Error, match="before any named database is opened") as caught:
            txn.drop(env.open_db(), delete=False)
        assert caught.value.code == -30773


def test_drop_in_a_reader(env):
    db = env.open_db(b"db")
    with env.begin() as txn, pytest.raises(lmdb.ReadonlyError):
        txn.drop(db)
    assert env.dbs() == [b"db"]


def test_drop_needs_a_database(env):
    with env.begin(write=True) as txn, pytest.raises(TypeError):
        txn.drop(b"db")


@pytest.mark.parametrize("delete", [True, False])
def test_a_refused_drop_leaves_cursors_alone(env, delete):
    db = env.open_db(b"db")
    with env.begin(db, write=True) as txn:
        txn.put(b"a", b"b")
    with env.begin(db) as txn, txn.cursor() as cursor:
        assert cursor.first()
        with pytest.raises(lmdb.ReadonlyError):
            txn.drop(db, delete)
        assert cursor.item() == (b"a", b"b")
        assert cursor.next() is False


def test_so_does_one_of_the_main_database(env, engine):
    env.open_db(b"db")
    with env.begin(write=True) as txn, txn.cursor() as cursor:
        txn.put(b"a", b"b")
        assert cursor.first()
        if engine:
            with pytest.raises(lmdb.Error, match="mdb_drop"):
                txn.drop(env.open_db(), delete=False)
        assert cursor.item() == (b"a", b"b")
