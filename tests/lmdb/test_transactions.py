"""Transactions begin, end and are used as context managers."""

from __future__ import annotations

import threading

import pytest

import zlmdb.lmdb as lmdb

CLOSED = r"^Attempt to operate on closed/deleted/dropped object\.$"


def test_commit_makes_writes_visible(env):
    txn = env.begin(write=True)
    txn.put(b"k", b"v")
    with env.begin() as reader:
        assert reader.get(b"k") is None
    txn.commit()
    with env.begin() as reader:
        assert reader.get(b"k") == b"v"


def test_abort_undoes_writes(env):
    txn = env.begin(write=True)
    txn.put(b"k", b"v")
    txn.abort()
    with env.begin() as reader:
        assert reader.get(b"k") is None


def test_reader_keeps_its_snapshot(env):
    with env.begin() as reader:
        with env.begin(write=True) as txn:
            txn.put(b"k", b"v")
        assert reader.get(b"k") is None
        assert reader.stat()["entries"] == 0


def test_with_commits(env):
    with env.begin(write=True) as txn:
        txn.put(b"k", b"v")
    assert env.get(b"k") == b"v"


def test_with_enters_the_transaction_itself(env):
    txn = env.begin()
    with txn as entered:
        assert entered is txn


def test_with_aborts_on_an_exception_and_lets_it_through(env):
    def failing():
        with env.begin(write=True) as txn:
            txn.put(b"k", b"v")
            raise KeyError("own")

    with pytest.raises(KeyError, match="own"):
        failing()
    assert env.get(b"k") is None
    env.begin(write=True).abort()


@pytest.mark.parametrize("write", [False, True])
@pytest.mark.parametrize("end", ["commit", "abort"])
def test_with_accepts_a_transaction_ended_inside(env, end, write):
    with env.begin(write=write) as txn:
        getattr(txn, end)()


def test_with_lets_an_exception_through_after_an_explicit_end(env):
    def failing():
        with env.begin(write=True) as txn:
            txn.put(b"k", b"v")
            txn.commit()
            raise KeyError("own")

    with pytest.raises(KeyError, match="own"):
        failing()
    assert env.get(b"k") == b"v"


def test_with_accepts_an_environment_closed_inside(env):
    with env.begin(write=True) as txn:
        txn.put(b"k", b"v")
        env.close()
    with pytest.raises(lmdb.Error, match=CLOSED):
        txn.get(b"k")


@pytest.mark.parametrize("write", [False, True])
@pytest.mark.parametrize("end", ["commit", "abort"])
def test_a_finished_transaction_is_unusable(env, end, write):
    named = env.open_db(b"named")
    txn = env.begin(write=write)
    getattr(txn, end)()
    uses = [
        lambda: txn.get(b"k"), lambda: txn.put(b"k", b"v"), lambda: txn.delete(b"k"), lambda: txn.pop(b"k"),
        lambda: txn.replace(b"k", b"v"), txn.cursor, txn.commit, txn.id, txn.stat, lambda: txn.drop(named),
        lambda: list(txn.items()), lambda: list(txn.keys()), lambda: list(txn.values()),
        lambda: env.open_db(b"other", txn=txn), lambda: env.dbs(txn),
    ]  # fmt: skip
    for use in uses:
        with pytest.raises(lmdb.Error, match=CLOSED) as caught:
            use()
        assert type(caught.value) is lmdb.Error
        assert caught.value.code == 0


def test_a_finished_transaction_cannot_be_entered(env):
    txn = env.begin()
    txn.abort()
    with pytest.raises(lmdb.Error, match=CLOSED):
        txn.__enter__()


def test_abort_is_idempotent(env):
    txn = env.begin(write=True)
    txn.abort()
    txn.abort()
    other = env.begin()
    env.close()
    other.abort()
    other.abort()


def test_abort_after_commit_undoes_nothing(env):
    txn = env.begin(write=True)
    txn.put(b"k", b"v")
    txn.commit()
    txn.abort()
    assert env.get(b"k") == b"v"


@pytest.mark.parametrize("write", [False, True])
def test_begin_in_a_closed_environment(env, write):
    env.close()
    with pytest.raises(lmdb.Error, match=CLOSED):
        env.begin(write=write)


def test_constructor_is_begin(env):
    with lmdb.Transaction(env, write=True) as txn:
        assert isinstance(txn, lmdb.Transaction)
        assert txn.put(b"k", b"v")
    assert lmdb.Transaction(env).get(b"k") == b"v"


def test_arguments_by_position(env):
    db = env.open_db(b"named")
    with env.begin(db, None, True, False) as txn:
        txn.put(b"k", b"v")
    with env.begin(db) as txn:
        assert txn.get(b"k") == b"v"
        assert txn.get(b"k", db=env.open_db()) is None


def test_default_database_is_that_of_begin(env):
    db = env.open_db(b"dups", dupsort=True)
    with env.begin(db, write=True) as txn:
        txn.put(b"k", b"1")
        txn.put(b"k", b"2")
        assert txn.stat()["entries"] == 2
        assert txn.stat(env.open_db())["entries"] == 1
        assert list(txn.cursor()) == [(b"k", b"1"), (b"k", b"2")]
        assert txn.pop(b"k") == b"1"
        assert txn.delete(b"k")


def test_id(env):
    with env.begin() as txn:
        assert txn.id() == 0
    with env.begin(write=True) as txn:
        assert txn.id() == 1
        txn.put(b"k", b"v")
    with env.begin() as txn:
        assert txn.id() == 1
    with env.begin(write=True) as txn:
        assert txn.id() == 2


def test_stat(env):
    db = env.open_db(b"named")
    with env.begin(write=True) as txn:
        for i in range(1000):
            txn.put(b"%04d" % i, b"x" * 100, db=db)
        stat = txn.stat(db)
        assert set(stat) == {"psize", "depth", "branch_pages", "leaf_pages", "overflow_pages", "entries"}
        assert stat["entries"] == 1000
        assert stat["depth"] == 2
        assert stat["branch_pages"] == 1
        assert txn.stat()["entries"] == 1


def test_drop_deletes_the_database_and_its_handle(env):
    db = env.open_db(b"named")
    with env.begin(write=True) as txn:
        txn.put(b"k", b"v", db=db)
        cursor = txn.cursor(db)
        txn.drop(db)
        assert env.dbs(txn) == []
        with pytest.raises(lmdb.InvalidParameterError):
            txn.get(b"k", db=db)
        with pytest.raises(lmdb.InvalidParameterError):
            txn.drop(db)
        with pytest.raises(lmdb.Error):
            cursor.first()
    with pytest.raises(lmdb.NotFoundError):
        env.open_db(b"named", create=False)
    again = env.open_db(b"named")
    assert again is not db
    assert env.get(b"k", db=again) is None


def test_drop_without_delete_empties_and_keeps_cursors(env):
    db = env.open_db(b"named")
    with env.begin(write=True) as txn:
        txn.put(b"k", b"v", db=db)
        cursor = txn.cursor(db)
        assert cursor.set_key(b"k")
        txn.drop(db, delete=False)
        assert cursor.item() == (b"", b"")
        assert not cursor.first()
        assert txn.put(b"l", b"w", db=db)
        assert cursor.first()
        assert cursor.item() == (b"l", b"w")
    assert env.open_db(b"named", create=False) is db


def test_drop_undone_by_abort_leaves_the_records(env):
    db = env.open_db(b"named")
    with env.begin(write=True) as txn:
        txn.put(b"k", b"v", db=db)
    txn = env.begin(write=True)
    txn.drop(db)
    txn.abort()
    db = env.open_db(b"named", create=False)
    assert env.get(b"k", db=db) == b"v"


def test_drop_main_database_empties_it(env):
    main = env.open_db()
    with env.begin(write=True) as txn:
        txn.put(b"k", b"v")
        txn.drop(main, delete=False)
        assert txn.get(b"k") is None


def test_drop_in_a_read_transaction(env):
    db = env.open_db(b"named")
    with env.begin() as txn, pytest.raises(lmdb.ReadonlyError):
        txn.drop(db)


def test_drop_main_while_a_named_database_is_open(env, engine):
    """LMDB 1.0 refuses it, 0.9 does not."""
    env.open_db(b"named")
    txn = env.begin(write=True)
    if engine == 0:
        txn.drop(env.open_db(), delete=False)
    else:
        with pytest.raises(lmdb.Error) as caught:
            txn.drop(env.open_db(), delete=False)
        assert caught.value.code == -30773
    txn.abort()


def test_database_of_another_environment(env, open_env):
    foreign = open_env("other").open_db(b"named")
    with env.begin(write=True) as txn:
        for use in (txn.get, txn.delete, txn.pop):
            with pytest.raises(lmdb.InvalidParameterError, match="another environment"):
                use(b"k", db=foreign)
        with pytest.raises(lmdb.InvalidParameterError):
            txn.cursor(foreign)
    with pytest.raises(lmdb.InvalidParameterError):
        env.begin(db=foreign)


def test_database_must_be_a_handle(env):
    with env.begin() as txn, pytest.raises(TypeError, match="open_db"):
        txn.get(b"k", db=b"named")


def test_a_database_opened_later_is_invisible_to_an_older_snapshot(env):
    """Refused, by either engine, with an error of the binding; never a crash."""
    with env.begin() as txn:
        db = env.open_db(b"named")
        with pytest.raises(lmdb.Error):
            txn.get(b"k", db=db)
        with pytest.raises(lmdb.InvalidParameterError):
            lmdb.Cursor(db, txn)


def test_one_write_transaction_per_thread(env):
    with env.begin(write=True) as txn:
        with pytest.raises(lmdb.Error, match="already has a write transaction"):
            env.begin(write=True)
        txn.put(b"k", b"v")
    assert env.get(b"k") == b"v"


@pytest.mark.parametrize("way", ["commit", "abort", "exception", "delete"])
def test_another_threads_writer_waits_for_the_first(env, in_thread, way):
    began = threading.Event()
    order = []

    def second():
        began.set()
        with env.begin(write=True) as txn:
            order.append("second")
            txn.put(b"second", txn.get(b"first", b"nothing"))

    txn = env.begin(write=True)
    txn.put(b"first", b"1")
    thread = in_thread(second)
    assert began.wait(30)
    order.append("first")
    if way == "exception":
        with pytest.raises(KeyError), txn:
            raise KeyError
    elif way == "delete":
        txn.abort()
        del txn
    else:
        getattr(txn, way)()
    thread.result()
    assert order == ["first", "second"]
    assert env.get(b"second") == (b"1" if way == "commit" else b"nothing")


def test_many_read_transactions_of_one_thread(env):
    readers = [env.begin() for _ in range(50)]
    assert env.readers().count("\n") == 51
    for txn in readers:
        txn.abort()
    assert env.readers() == "(no active readers)\n"


def test_a_failed_put_spoils_the_transaction_only_for_commit(open_env):
    env = open_env(map_size=64 * 1024)
    txn = env.begin(write=True)
    with pytest.raises(lmdb.MapFullError):
        txn.put(b"k", b"x" * 200_000)
    txn.abort()
    with env.begin(write=True) as txn:
        assert txn.put(b"k", b"v")


def test_write_transaction_in_a_readonly_environment(open_env):
    open_env().close()
    env = open_env(readonly=True)
    with pytest.raises(lmdb.ReadonlyError):
        env.begin(write=True)
    with env.begin() as txn:
        assert txn.get(b"k") is None
