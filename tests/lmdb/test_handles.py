"""Environments, databases, transactions and cursors as arguments, and as things that cannot be copied."""

from __future__ import annotations

import copy
import gc
import pickle

import pytest

from zlmdb import lmdb


@pytest.fixture
def handles(env):
    """Return one of each."""
    db = env.open_db(b"db")
    with env.begin(write=True) as txn:
        txn.put(b"key", b"value", db=db)
        yield {"env": env, "db": db, "txn": txn, "cursor": txn.cursor(db)}


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, pickle.dumps])
@pytest.mark.parametrize("kind", ["env", "db", "txn", "cursor"])
def test_cannot_be_copied(handles, duplicate, kind):
    """A copy would close and free what the original still uses."""
    with pytest.raises(TypeError, match="cannot be copied or pickled"):
        duplicate(handles[kind])
    gc.collect()
    assert handles["txn"].get(b"key", db=handles["db"]) == b"value"
    assert list(handles["cursor"]) == [(b"key", b"value")]


@pytest.mark.parametrize("wrong", [None, 5, "env", object()])
def test_not_an_environment(wrong):
    with pytest.raises(TypeError, match="env must be an open Environment, not"):
        lmdb.Transaction(wrong)


@pytest.mark.parametrize("wrong", [5, "txn", b"txn"])
def test_not_a_parent(env, wrong, unraisable):
    for begin in (env.begin, lambda **options: lmdb.Transaction(env, **options)):
        for write in (False, True):
            with pytest.raises(TypeError, match="parent must be a Transaction, not"):
                begin(parent=wrong, write=write)
    with pytest.raises(TypeError, match="parent must be a Transaction"):
        env.begin(parent=env)
    gc.collect()
    assert unraisable == []
    env.begin(write=True).abort()


@pytest.mark.parametrize("wrong", [None, 5, "txn", b"txn"])
def test_not_a_transaction_of_a_cursor(env, wrong, unraisable):
    with pytest.raises(TypeError, match="txn must be a Transaction, not"):
        lmdb.Cursor(env.open_db(), wrong)
    with env.begin() as txn, pytest.raises(TypeError, match="txn must be a Transaction, not"):
        lmdb.Cursor(env.open_db(), txn.cursor())
    gc.collect()
    assert unraisable == []


@pytest.mark.parametrize("wrong", [5, "txn", object()])
@pytest.mark.parametrize("name", [None, b"known", b"unknown"])
def test_not_a_transaction_of_open_db(env, wrong, name):
    env.open_db(b"known")
    with pytest.raises(TypeError, match="txn must be a Transaction"):
        env.open_db(name, txn=wrong)


@pytest.mark.parametrize("wrong", [5, "db", b"db", ["db"]])
def test_not_a_database(env, wrong, unraisable):
    with env.begin(write=True) as txn:
        for use in (
            lambda: txn.get(b"key", db=wrong), lambda: txn.put(b"key", b"", db=wrong),
            lambda: txn.put(b"key", b"", append=True, db=wrong), lambda: txn.delete(b"key", db=wrong),
            lambda: txn.pop(b"key", wrong), lambda: txn.replace(b"key", b"", wrong), lambda: txn.stat(wrong),
            lambda: txn.cursor(wrong), lambda: txn.drop(wrong), lambda: lmdb.Cursor(wrong, txn),
            lambda: txn.items(db=wrong), lambda: env.get(b"key", db=wrong), lambda: env.begin(wrong),
            lambda: env.getmulti([b"key"], db=wrong), lambda: lmdb.Transaction(env, wrong),
        ):  # fmt: skip
            with pytest.raises(TypeError, match=r"db must be what Environment\.open_db\(\) returned, not"):
                use()
    gc.collect()
    assert unraisable == []


def test_no_database(env):
    with env.begin(write=True) as txn:
        for use in (lambda: txn.drop(None), lambda: lmdb.Cursor(None, txn)):
            with pytest.raises(TypeError, match="not NoneType"):
                use()


def test_any_truth_value_for_write_and_buffers(env):
    for yes in (1, [0]):
        with env.begin(write=yes) as txn:
            assert txn.put(b"key", b"value")
        with env.begin(buffers=yes) as txn:
            assert type(txn.get(b"key")) is memoryview
    for no in (0, [], None):
        with env.begin(write=no, buffers=no) as txn, pytest.raises(lmdb.ReadonlyError):
            txn.put(b"key", b"value")
