"""`Environment.get()` and `getmulti()`: a snapshot, a read and its end in one call."""

from __future__ import annotations

import pytest

import zlmdb.lmdb as lmdb

CLOSED = r"^Attempt to operate on closed/deleted/dropped object\.$"
RECORDS = [(b"%03d" % i, b"value %d" % i) for i in range(300)]


@pytest.fixture
def filled(env):
    """Return an environment with three hundred records."""
    with env.begin(write=True) as txn:
        txn.cursor().putmulti(RECORDS)
    return env


def test_get(filled):
    assert filled.get(b"001") == b"value 1"
    assert filled.get(b"nope") is None
    assert filled.get(b"nope", 7) == 7
    assert filled.get(b"nope", default=b"d") == b"d"


def test_get_from_a_database(filled):
    db = filled.open_db(b"named")
    with filled.begin(db, write=True) as txn:
        txn.put(b"001", b"other")
    assert filled.get(b"001", db=db) == b"other"
    assert filled.get(b"001", None, db) == b"other"


def test_get_sees_each_commit(env):
    for i in range(50):
        with env.begin(write=True) as txn:
            txn.put(b"k", b"%d" % i)
            assert env.get(b"k") == (b"%d" % (i - 1) if i else None)
        assert env.get(b"k") == b"%d" % i


@pytest.mark.parametrize("size", [0, 1, 65_536, 131_072, 131_073, 3_000_000])
def test_get_of_any_size(env, size):
    with env.begin(write=True) as txn:
        txn.put(b"k", b"v" * size)
    assert env.get(b"k") == b"v" * size
    assert env.getmulti([b"k"]) == [(b"k", b"v" * size)]


def test_get_takes_any_buffer(filled):
    assert filled.get(bytearray(b"001")) == b"value 1"
    assert filled.get(memoryview(b"001")) == b"value 1"


def test_get_keeps_at_most_one_slot_and_no_snapshot(filled):
    for _ in range(300):  # more than there are reader slots
        filled.get(b"001")
        filled.get(b"nope")
        filled.getmulti([b"001"])
    assert filled.readers().count("\n") <= 2
    for _ in range(20):
        with filled.begin(write=True) as txn:
            txn.put(b"k", b"v" * 100_000)
    assert filled.info()["last_pgno"] < 150, "pages that the snapshot of an old read needed are used again"


def test_get_errors(filled):
    with pytest.raises(lmdb.BadValsizeError):
        filled.get(b"")
    for key in (1, "001", None):
        with pytest.raises(TypeError, match="key"):
            filled.get(key)
    with pytest.raises(TypeError, match="db"):
        filled.get(b"001", db=b"named")
    assert filled.get(b"001") == b"value 1"


def test_closed_environment(filled):
    filled.close()
    with pytest.raises(lmdb.Error, match=CLOSED):
        filled.get(b"001")
    with pytest.raises(lmdb.Error, match=CLOSED):
        filled.getmulti([b"001"])


def test_get_from_a_dropped_database(env):
    db = env.open_db(b"named")
    with env.begin(write=True) as txn:
        txn.drop(db)
    with pytest.raises(lmdb.InvalidParameterError):
        env.get(b"k", db=db)
    with pytest.raises(lmdb.InvalidParameterError):
        env.getmulti([b"k"], db=db)


def test_getmulti(filled):
    keys = [b"299", b"nope", b"000", b"299"]
    wanted = dict(RECORDS)
    assert filled.getmulti(keys) == [(key, wanted[key]) for key in keys if key in wanted]
    assert filled.getmulti(key for key, _ in RECORDS) == RECORDS
    assert filled.getmulti([]) == []
    assert filled.getmulti([bytearray(b"001")]) == [RECORDS[1]]


def test_getmulti_from_a_database(filled):
    db = filled.open_db(b"named")
    with filled.begin(db, write=True) as txn:
        txn.put(b"001", b"other")
    assert filled.getmulti([b"001", b"002"], db=db) == [(b"001", b"other")]
    assert filled.getmulti([b"001"], db) == [(b"001", b"other")]


def test_getmulti_errors(filled):
    with pytest.raises(lmdb.BadValsizeError):
        filled.getmulti([b"001", b""])
    for keys in ([1], ["001"], [None], 5):
        with pytest.raises(TypeError):
            filled.getmulti(keys)
    assert filled.readers() == "(no active readers)\n"


def test_dupsort_gives_the_first_value(env):
    db = env.open_db(b"dups", dupsort=True)
    with env.begin(db, write=True) as txn:
        txn.cursor().putmulti([(b"k", b"2"), (b"k", b"1")])
    assert env.get(b"k", db=db) == b"1"
    assert env.getmulti([b"k"], db=db) == [(b"k", b"1")]


def test_get_inside_a_write_transaction_sees_the_last_commit(filled):
    with filled.begin(write=True) as txn:
        txn.put(b"001", b"new")
        assert filled.get(b"001") == b"value 1"
        assert txn.get(b"001") == b"new"


def test_from_many_threads(filled, in_thread):
    def read():
        for key, value in RECORDS * 5:
            assert filled.get(key) == value
        assert filled.getmulti(key for key, _ in RECORDS) == RECORDS

    for thread in [in_thread(read) for _ in range(4)]:
        thread.result()


def test_values_that_are_kept_do_not_change(filled):
    first = filled.get(b"001")
    second = filled.get(b"002")
    assert (first, second) == (b"value 1", b"value 2")


def test_with_spare_transactions(open_env):
    env = open_env(max_spare_txns=2)
    for i in range(10):
        with env.begin(write=True) as txn:
            txn.put(b"k", b"%d" % i)
        assert env.get(b"k") == b"%d" % i
