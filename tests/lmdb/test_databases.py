"""Named databases: handles, flags and names."""

from __future__ import annotations

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
    with pytest.raises(lmdb.NotFoundError, match="no database of this name"):
        env.open_db(b"db", create=False)
    with env.begin() as txn, pytest.raises(lmdb.ReadonlyError, match="takes a write transaction"):
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
    with pytest.raises(lmdb.IncompatibleError, match="ordinary record"):
        env.open_db(b"key")
    assert env.dbs() == []


def test_ordinary_write_over_a_database(env, engine):
    env.open_db(b"db")
    with env.begin(write=True) as txn:
        with pytest.raises(lmdb.IncompatibleError, match="the key is the name of a database"):
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
    with pytest.raises(lmdb.BadValsizeError, match=f"must have 1 to {env.max_key_size()}"):
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


def test_dbs_while_another_transaction_has_opened_one(open_env):
    """Nothing is opened then; records that are no databases are told from them all the same."""
    with open_env() as env:
        for name in (b"a", b"b", b"c"):
            env.open_db(name)
        with env.begin(write=True) as txn:
            txn.put(b"plain", b"1")
            txn.put(b"terminated\0", b"1")
    env = open_env()
    with env.begin() as reader:
        env.open_db(b"b", reader)
        assert env.dbs() == [b"a", b"b", b"c"]
        with env.begin() as other:
            assert env.dbs(other) == [b"a", b"b", b"c"]
        assert env.dbs(reader) == [b"a", b"b", b"c"]
    assert env.dbs() == [b"a", b"b", b"c"]


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


@pytest.mark.parametrize("stored", [4, 8])
@pytest.mark.parametrize("asked", [1, 2, 3, 4, 8])
def test_an_integer_key_of_another_size_is_not_read_beyond_its_end(env, stored, asked):
    db = env.open_db(b"numbers", integerkey=True)
    memory = memoryview(bytes([5] * 16))
    with env.begin(write=True, db=db) as txn:
        txn.put(bytes(memory[:stored]), b"five")
        found = txn.get(memory[:asked])
    assert found == (b"five" if asked == stored else None)
