"""A program's own classes on top of ours: constructors with other arguments, attributes, mixins."""

from __future__ import annotations

import gc

import pytest

from zlmdb import lmdb


class Named:
    def name(self):
        return type(self).__name__


class OwnEnvironment(Named, lmdb.Environment):
    def __init__(self, path, label, **options):
        self.early = True
        super().__init__(path, **options)
        self.label = label

    def stat(self):
        return {**super().stat(), "label": self.label}


class OwnTransaction(Named, lmdb.Transaction):
    def __init__(self, env, label):
        super().__init__(env, write=True)
        self.label = label

    def get(self, key, default=b"own default"):
        return super().get(key, default)


class OwnCursor(Named, lmdb.Cursor):
    def __init__(self, db, txn, label):
        super().__init__(db, txn)
        self.label = label

    def first(self):
        return super().first() and self.label


@pytest.fixture
def own_env(tmp_path, engine):
    with OwnEnvironment(tmp_path / "env", "mine", lib_version=engine) as env:
        yield env


def test_environment(own_env):
    assert (own_env.early, own_env.name()) == (True, "OwnEnvironment")
    assert own_env.stat()["label"] == "mine"
    assert own_env.stat()["entries"] == 0


def test_environment_that_could_not_be_opened_can_be_closed(tmp_path, engine, unraisable):
    class Careful(lmdb.Environment):
        def __init__(self, path):
            try:
                super().__init__(path, max_readers=0, lib_version=engine)
            except lmdb.Error:
                self.close()
                raise

    with pytest.raises(lmdb.InvalidParameterError):
        Careful(tmp_path / "env")
    gc.collect()
    assert unraisable == []


def test_transaction(own_env):
    with OwnTransaction(own_env, "mine") as txn:
        assert (txn.label, txn.name()) == ("mine", "OwnTransaction")
        assert txn.put(b"key", b"value")
        assert (txn.get(b"key"), txn.get(b"other")) == (b"value", b"own default")
    with lmdb.Transaction(own_env) as plain:
        assert plain.get(b"key") == b"value"


def test_transaction_aborts_on_an_exception(own_env):
    def failing():
        with OwnTransaction(own_env, "mine") as txn:
            txn.put(b"key", b"value")
            raise KeyError

    with pytest.raises(KeyError):
        failing()
    assert own_env.get(b"key") is None


def test_transaction_as_a_parent(own_env):
    with OwnTransaction(own_env, "mine") as txn:
        with own_env.begin(parent=txn, write=True) as child:
            child.put(b"key", b"value")
        assert txn.get(b"key") == b"value"


def test_cursor(own_env):
    with own_env.begin(write=True) as txn:
        txn.put(b"key", b"value")
        cursor = OwnCursor(own_env.open_db(), txn, "mine")
        assert (cursor.first(), cursor.item(), cursor.name()) == ("mine", (b"key", b"value"), "OwnCursor")
        assert list(cursor) == [(b"key", b"value")]


@pytest.mark.parametrize("klass", [lmdb.Environment, lmdb.Transaction, lmdb.Cursor])
def test_never_constructed(klass, unraisable):
    """As where a constructor forgets `super().__init__()`."""
    thing = klass.__new__(klass)
    del thing
    gc.collect()
    assert unraisable == []
