"""A handle is provisional until the transaction that opened it commits: LMDB forgets it on an abort."""

from __future__ import annotations

import gc

import pytest

from zlmdb import lmdb


def test_provisional_and_committed(env):
    with env.begin(write=True) as txn:
        db = env.open_db(b"db", txn)
        txn.put(b"a", b"b", db=db)
    assert env.open_db(b"db", create=False) is db
    assert env.get(b"a", db=db) == b"b"


def test_provisional_and_aborted(env):
    txn = env.begin(write=True)
    db = env.open_db(b"db", txn)
    assert env.open_db(b"db") is db
    txn.put(b"a", b"b", db=db)
    txn.abort()
    with pytest.raises(lmdb.NotFoundError):
        env.open_db(b"db", create=False)
    with env.begin() as txn, pytest.raises(lmdb.InvalidParameterError, match="has aborted: open it again"):
        txn.get(b"a", db=db)


def test_void_handle_does_not_reach_another_database(env):
    """LMDB gives the number of the void one to the next that is opened."""
    txn = env.begin(write=True)
    void = env.open_db(b"void", txn)
    txn.abort()
    db = env.open_db(b"other")
    with env.begin(write=True) as txn:
        txn.put(b"key", b"value", db=db)
        with pytest.raises(lmdb.InvalidParameterError):
            txn.get(b"key", db=void)
        with pytest.raises(lmdb.InvalidParameterError):
            txn.drop(void)
    assert env.get(b"key", db=db) == b"value"


def test_provisional_and_collected(env):
    txn = env.begin(write=True)
    env.open_db(b"db", txn)
    del txn
    gc.collect()
    with pytest.raises(lmdb.NotFoundError):
        env.open_db(b"db", create=False)


@pytest.mark.parametrize("inner", [True, False])
@pytest.mark.parametrize("outer", [True, False])
def test_provisional_in_a_child(env, inner, outer):
    parent = env.begin(write=True)
    child = env.begin(write=True, parent=parent)
    db = env.open_db(b"db", child)
    child.put(b"a", b"b", db=db)
    child.commit() if inner else child.abort()
    if inner:
        assert env.open_db(b"db", parent, create=False) is db
    parent.commit() if outer else parent.abort()
    if inner and outer:
        assert env.open_db(b"db", create=False) is db
        assert env.get(b"a", db=db) == b"b"
    else:
        with pytest.raises(lmdb.NotFoundError):
            env.open_db(b"db", create=False)


def test_opened_in_a_reader_that_aborts(open_env):
    with open_env() as env:
        env.open_db(b"db")
    env = open_env()
    with env.begin() as txn:
        kept = env.open_db(b"db", txn)
    assert env.open_db(b"db") is kept
    env.close()
    env = open_env()
    txn = env.begin()
    db = env.open_db(b"db", txn)
    txn.abort()
    assert env.open_db(b"db") is not db


def test_opened_in_two_transactions_at_once(open_env):
    """LMDB would give both the same number, and refuse to commit the writer."""
    with open_env() as env, env.begin(write=True) as txn:
        txn.put(b"x", b"y", db=env.open_db(b"b", txn))
    env = open_env()
    writer = env.begin(write=True)
    a = env.open_db(b"a", writer)
    writer.put(b"key", b"of a", db=a)
    with env.begin() as reader, pytest.raises(lmdb.Error, match="end it before"):
        env.open_db(b"b", reader)
    writer.commit()
    with env.begin() as reader:
        b = env.open_db(b"b", reader)
        assert reader.get(b"x", db=b) == b"y"
    assert env.get(b"x", db=b) == b"y"
    assert env.get(b"key", db=b) is None
    assert env.get(b"key", db=env.open_db(b"a")) == b"of a"
    env.close()
    with open_env() as env:
        assert env.get(b"x", db=env.open_db(b"b")) == b"y"
        assert env.get(b"key", db=env.open_db(b"a")) == b"of a"


def test_a_transaction_that_could_not_open_one_is_in_nobodys_way(env):
    with env.begin() as reader:
        with pytest.raises(lmdb.NotFoundError):
            env.open_db(b"missing", reader, create=False)
        with pytest.raises(lmdb.ReadonlyError):
            env.open_db(b"missing", reader)
        db = env.open_db(b"db")
        with env.begin(db, write=True) as txn:
            txn.put(b"a", b"b")
    assert env.get(b"a", db=db) == b"b"
