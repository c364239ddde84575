"""Named databases: handles, flags, names, and what becomes of handles when a transaction aborts."""

from __future__ import annotations

import gc
import threading

import pytest

from zlmdb import lmdb

FLAGS = ["reverse_key", "dupsort", "integerkey", "integerdup", "dupfixed"]


def test_main_database(env):
    db = env.open_db()
    assert isinstance(db, lmdb._Database)
    assert env.open_db(None) is db
    assert db.flags() == dict.fromkeys(FLAGS, False)
    with env.begin(write=True) as txn:
        assert env.open_db() is env.open_db(txn=txn) is db
        txn.put(b"a", b"b", db=db)
    assert env.get(b"a", db=db) == b"b"


@pytest.mark.parametrize("flag", FLAGS)
def test_main_database_takes_no_flags(env, flag):
    with pytest.raises(ValueError, match="main database"):
        env.open_db(None, **{flag: True})


@pytest.mark.parametrize("name", ["text", 1, 1.5, ["x"]])
def test_name_must_be_bytes(env, name):
    with pytest.raises(TypeError, match="bytes"):
        env.open_db(name)


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ([], []),
        (["reverse_key"], ["reverse_key"]),
        (["dupsort"], ["dupsort"]),
        (["integerkey"], ["integerkey"]),
        (["dupfixed"], ["dupsort", "dupfixed"]),
        (["integerdup"], ["dupsort", "dupfixed", "integerdup"]),
        (["dupsort", "integerkey"], ["dupsort", "integerkey"]),
        (FLAGS, FLAGS),
    ],
)
def test_flags(open_env, given, wanted):
    wanted = {name: name in wanted for name in FLAGS}
    with open_env() as env:
        db = env.open_db(b"db", **dict.fromkeys(given, True))
        assert db.flags() == db.flags(None) == wanted
    assert list(db.flags()) == FLAGS
    assert open_env().open_db(b"db", reverse_key=True, create=False).flags() == wanted


def test_flags_takes_one_argument(env):
    with pytest.raises(TypeError):
        env.open_db().flags(None, None)


def test_one_handle_for_a_name(env):
    db = env.open_db(b"db")
    assert env.open_db(b"db") is db
    assert env.open_db(bytearray(b"db")) is db
    assert env.open_db(b"db", dupsort=True) is db
    with env.begin() as txn:
        assert env.open_db(b"db", txn) is db
    with env.begin(write=True):
        assert env.open_db(b"db") is db


def test_each_creation_is_a_transaction(env):
    for number in (1, 2, 3):
        env.open_db(b"%d" % number)
        assert env.info()["last_txnid"] == number
    env.open_db(b"1")
    assert env.info()["last_txnid"] == 3


def test_creation_leaves_no_spare_transaction(open_env):
    env = open_env(max_spare_txns=1)
    env.open_db(b"db")
    assert env.readers() == "(no active readers)\n"


def test_missing(env, open_env):
    with pytest.raises(lmdb.NotFoundError):
        env.open_db(b"db", create=False)
    with env.begin() as txn, pytest.raises(lmdb.ReadonlyError):
        env.open_db(b"db", txn)
    with env.begin() as txn, pytest.raises(lmdb.NotFoundError):
        env.open_db(b"db", txn, create=False)
    env.close()
    with pytest.raises(lmdb.ReadonlyError):
        open_env(readonly=True).open_db(b"db")


def test_existing_in_a_read_only_environment(open_env):
    with open_env() as env:
        db = env.open_db(b"db", dupsort=True)
        with env.begin(write=True) as txn:
            txn.put(b"a", b"b", db=db)
    env = open_env(readonly=True)
    db = env.open_db(b"db")
    assert db.flags()["dupsort"]
    assert env.get(b"a", db=db) == b"b"


@pytest.mark.parametrize("max_dbs", [0, 1, 3])
def test_too_many(open_env, max_dbs):
    env = open_env(max_dbs=max_dbs)
    for number in range(max_dbs):
        env.open_db(b"%d" % number)
    with pytest.raises(lmdb.DbsFullError, match="max_dbs"):
        env.open_db(b"more")
    with pytest.raises(lmdb.DbsFullError), env.begin(write=True) as txn:
        env.open_db(b"more", txn)


def test_name_of_an_ordinary_key(env, engine):
    with env.begin(write=True) as txn:
        txn.put(b"key" + b"\0" * engine, b"value")
    with pytest.raises(lmdb.IncompatibleError):
        env.open_db(b"key")
    assert env.dbs() == []


def test_ordinary_write_over_a_database(env, engine):
    env.open_db(b"db")
    with env.begin(write=True) as txn:
        with pytest.raises(lmdb.IncompatibleError):
            txn.put(b"db" + b"\0" * engine, b"value")
        if engine:
            assert txn.put(b"db", b"value")
            assert txn.get(b"db") == b"value"
    assert env.dbs() == [b"db"]


def test_name_as_stored(env, engine):
    env.open_db(b"db")
    with env.begin() as txn:
        assert list(txn.keys()) == [b"db" + b"\0" * engine]


@pytest.mark.parametrize("name", [b"a\0b", b"\0"])
def test_impossible_names(env, name):
    with pytest.raises(lmdb.BadValsizeError):
        env.open_db(name)
    assert env.dbs() == []


def test_empty_name(env, engine):
    """LMDB 1.0 stores a NUL behind it, and so could open what LMDB 0.9 cannot; neither lists it."""
    if engine:
        assert env.open_db(b"") is env.open_db(b"")
    else:
        with pytest.raises(lmdb.BadValsizeError):
            env.open_db(b"")
    assert env.dbs() == []


def test_name_too_long(env):
    with pytest.raises(lmdb.BadValsizeError):
        env.open_db(b"x" * (env.max_key_size() + 1))
    assert env.dbs() == []


def test_dbs(env):
    names = [b"a", b"b", bytes([255, 254]), "ä".encode()]
    for name in names:
        env.open_db(name)
    with env.begin(write=True) as txn:
        txn.put(b"ordinary", b"record")
        txn.put(b"another" + b"\0", b"record")
        assert sorted(env.dbs(txn)) == sorted(names)
    assert sorted(env.dbs()) == sorted(names)
    assert env.readers() == "(no active readers)\n"


def test_dbs_of_a_snapshot(open_env):
    env = open_env()
    env.open_db(b"a")
    reader = env.begin()
    env.open_db(b"b")
    assert env.dbs(reader) == [b"a"]
    assert env.dbs() == [b"a", b"b"]


def test_dbs_is_limited_by_max_dbs(open_env):
    with open_env() as env:
        for name in (b"a", b"b", b"c"):
            env.open_db(name)
    assert open_env(max_dbs=2).dbs() == [b"a", b"b"]


def test_dbs_keeps_no_handle(open_env):
    with open_env() as env:
        for name in (b"a", b"b", b"c"):
            env.open_db(name)
    env = open_env(max_dbs=3)
    assert env.dbs() == env.dbs() == [b"a", b"b", b"c"]
    assert env.open_db(b"c").flags()["dupsort"] is False


def test_foreign_transaction(env, open_env):
    other = open_env("other")
    with other.begin(write=True) as txn:
        for call in (lambda: env.open_db(b"db", txn), lambda: env.dbs(txn)):
            with pytest.raises(lmdb.InvalidParameterError, match="another environment"):
                call()
    assert env.dbs() == other.dbs() == []


def test_foreign_handle(env, open_env):
    foreign = open_env("other").open_db(b"db")
    with env.begin(write=True) as txn:
        for call in (
            txn.stat,
            txn.cursor,
            txn.drop,
            lambda db: txn.get(b"k", db=db),
            lambda db: env.begin(db=db),
        ):
            with pytest.raises(lmdb.InvalidParameterError):
                call(foreign)
        with pytest.raises(lmdb.InvalidParameterError):
            txn.put(b"k", b"v", db=foreign)


@pytest.mark.parametrize("db", [b"db", 1, object()])
def test_not_a_handle(env, db):
    with env.begin(write=True) as txn:
        for call in (lambda: txn.get(b"k", db=db), lambda: txn.put(b"k", b"v", db=db), lambda: txn.stat(db)):
            with pytest.raises(TypeError, match="open_db"):
                call()


# -- provisional handles --


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
    with env.begin() as txn, pytest.raises(lmdb.InvalidParameterError):
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


def test_from_many_threads(env, in_thread):
    barrier = threading.Barrier(6)

    def open_some(number):
        barrier.wait()
        return [env.open_db(b"%d" % (i % 5)) for i in range(number, number + 10)]

    handles = [thread.result() for thread in [in_thread(open_some, number) for number in range(6)]]
    assert len({id(db) for some in handles for db in some}) == 5
    with env.begin(write=True) as txn:
        for number in range(5):
            txn.put(b"key", b"%d" % number, db=env.open_db(b"%d" % number))
    assert [env.get(b"key", db=env.open_db(b"%d" % number)) for number in range(5)] == [
        b"0",
        b"1",
        b"2",
        b"3",
        b"4",
    ]


# -- dropping --


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
        with pytest.raises(lmdb.InvalidParameterError):
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
        with pytest.raises(lmdb.Error) as caught:
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
