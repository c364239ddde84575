"""Cursors: every move, what an unpositioned cursor does, and writes at the cursor."""

from __future__ import annotations

import pytest

import zlmdb.lmdb as lmdb

CLOSED = r"^Attempt to operate on closed/deleted/dropped object\.$"
EMPTY = (b"", b"")
PLAIN = [(b"a", b"1"), (b"b", b"2"), (b"c", b"3"), (b"d", b"4")]
PAIRS = [(b"a", b"1"), (b"a", b"2"), (b"a", b"3"), (b"b", b"1"), (b"c", b"1"), (b"c", b"5")]


@pytest.fixture
def cursor(env):
    """Return a cursor on four records, in a write transaction."""
    with env.begin(write=True) as txn:
        for key, value in PLAIN:
            txn.put(key, value)
        yield txn.cursor()


@pytest.fixture
def dup_cursor(env):
    """Return a cursor on six pairs of a dupsort database, in a write transaction."""
    db = env.open_db(b"dups", dupsort=True)
    with env.begin(db, write=True) as txn:
        for key, value in PAIRS:
            txn.put(key, value)
        yield txn.cursor()


# -- positions --


def test_new_cursor_is_unpositioned(cursor):
    assert cursor.key() == b""
    assert cursor.value() == b""
    assert cursor.item() == EMPTY


def test_first_last_next_prev(cursor):
    assert cursor.first() is True
    assert cursor.item() == (b"a", b"1")
    assert cursor.next() is True
    assert cursor.key() == b"b"
    assert cursor.value() == b"2"
    assert cursor.last() is True
    assert cursor.item() == (b"d", b"4")
    assert cursor.prev() is True
    assert cursor.item() == (b"c", b"3")


def test_next_and_prev_of_an_unpositioned_cursor(cursor):
    assert cursor.next() is True
    assert cursor.key() == b"a"
    other = cursor._pytxn.cursor()
    assert other.prev() is True
    assert other.key() == b"d"


@pytest.mark.parametrize(("end", "beyond"), [("last", "next"), ("first", "prev")])
def test_a_move_beyond_the_end_leaves_it_unpositioned(cursor, end, beyond):
    assert getattr(cursor, end)()
    assert getattr(cursor, beyond)() is False
    assert cursor.item() == EMPTY
    assert cursor.delete() is False


@pytest.mark.parametrize("move", [
    "first", "last", "next", "prev", "next_nodup", "prev_nodup",
])  # fmt: skip
def test_empty_database(env, move):
    with env.begin() as txn:
        cursor = txn.cursor()
        assert getattr(cursor, move)() is False
        assert cursor.item() == EMPTY
        assert list(cursor) == []
        assert cursor.set_key(b"k") is False
        assert cursor.set_range(b"k") is False
        assert cursor.set_range(b"") is False


def test_set_key(cursor):
    assert cursor.set_key(b"c") is True
    assert cursor.item() == (b"c", b"3")
    assert cursor.set_key(b"bb") is False
    assert cursor.item() == EMPTY


@pytest.mark.parametrize("seek", ["set_key", "get", "pop"])
def test_empty_key(cursor, seek):
    with pytest.raises(lmdb.BadValsizeError):
        getattr(cursor, seek)(b"")


@pytest.mark.parametrize(
    ("key", "found"), [(b"", b"a"), (b"a", b"a"), (b"aa", b"b"), (b"d", b"d"), (b"0", b"a")]
)
def test_set_range(cursor, key, found):
    assert cursor.set_range(key) is True
    assert cursor.key() == found


def test_failed_set_range_is_behind_the_last_record(cursor):
    assert cursor.first()
    assert cursor.set_range(b"e") is False
    assert cursor.item() == EMPTY
    assert cursor.next() is False
    assert cursor.set_range(b"e") is False
    assert cursor.prev() is True
    assert cursor.key() == b"d"


def test_a_failed_seek_leaves_it_as_new(cursor):
    assert cursor.set_key(b"b")
    assert cursor.set_key(b"bb") is False
    assert cursor.next() is True
    assert cursor.key() == b"a"
    assert cursor.set_key(b"bb") is False
    assert cursor.prev() is True
    assert cursor.key() == b"d"


def test_get(cursor):
    assert cursor.get(b"b") == b"2"
    assert cursor.key() == b"b"
    assert cursor.get(b"x") is None
    assert cursor.item() == EMPTY
    assert cursor.get(key=b"x", default=7) == 7


# -- duplicates --


def test_next_walks_every_pair(dup_cursor):
    seen = []
    while dup_cursor.next():
        seen.append(dup_cursor.item())
    assert seen == PAIRS


def test_prev_walks_every_pair(dup_cursor):
    seen = []
    while dup_cursor.prev():
        seen.append(dup_cursor.item())
    assert seen == PAIRS[::-1]


def test_moves_among_duplicates(dup_cursor):
    assert dup_cursor.set_key(b"a")
    assert dup_cursor.item() == (b"a", b"1")
    assert dup_cursor.last_dup() is True
    assert dup_cursor.item() == (b"a", b"3")
    assert dup_cursor.next_dup() is False
    assert dup_cursor.set_key_dup(b"a", b"3")
    assert dup_cursor.prev_dup() is True
    assert dup_cursor.item() == (b"a", b"2")
    assert dup_cursor.first_dup() is True
    assert dup_cursor.item() == (b"a", b"1")
    assert dup_cursor.prev_dup() is False


def test_moves_between_keys(dup_cursor):
    assert dup_cursor.first()
    assert dup_cursor.next_nodup() is True
    assert dup_cursor.item() == (b"b", b"1")
    assert dup_cursor.next_nodup() is True
    assert dup_cursor.item() == (b"c", b"1")
    assert dup_cursor.next_nodup() is False
    assert dup_cursor.item() == EMPTY
    assert dup_cursor.last()
    assert dup_cursor.item() == (b"c", b"5")
    assert dup_cursor.prev_nodup() is True
    assert dup_cursor.item() == (b"b", b"1")
    assert dup_cursor.prev_nodup() is True
    assert dup_cursor.item() == (b"a", b"3")
    assert dup_cursor.prev_nodup() is False


def test_set_key_dup(dup_cursor):
    assert dup_cursor.set_key_dup(b"a", b"2") is True
    assert dup_cursor.item() == (b"a", b"2")
    assert dup_cursor.set_key_dup(b"a", b"9") is False
    assert dup_cursor.item() == EMPTY
    assert dup_cursor.set_key_dup(b"x", b"1") is False


def test_set_range_dup(dup_cursor):
    assert dup_cursor.set_range_dup(b"c", b"2") is True
    assert dup_cursor.item() == (b"c", b"5")
    assert dup_cursor.set_range_dup(b"a", b"0") is True
    assert dup_cursor.item() == (b"a", b"1")
    assert dup_cursor.set_range_dup(b"c", b"6") is False
    assert dup_cursor.item() == EMPTY
    assert dup_cursor.set_range_dup(b"bb", b"1") is False
    assert dup_cursor.item() == EMPTY


def test_set_range_dup_on_a_key_with_one_value(dup_cursor):
    """There is no tree of duplicates to look in, only the one value."""
    assert dup_cursor.set_range_dup(b"b", b"0") is True
    assert dup_cursor.item() == (b"b", b"1")
    assert dup_cursor.set_range_dup(b"b", b"2") is False


@pytest.mark.parametrize("move", ["first_dup", "last_dup"])
def test_dup_moves_in_a_plain_database(cursor, move):
    with pytest.raises(lmdb.InvalidParameterError):
        getattr(cursor, move)()
    cursor.first()
    with pytest.raises((lmdb.InvalidParameterError, lmdb.IncompatibleError)):
        getattr(cursor, move)()


@pytest.mark.parametrize("move", ["first_dup", "last_dup"])
def test_dup_moves_of_an_unpositioned_cursor(dup_cursor, move):
    with pytest.raises(lmdb.InvalidParameterError):
        getattr(dup_cursor, move)()


def test_prev_dup_in_a_plain_database(cursor):
    assert cursor.first()
    assert cursor.prev_dup() is False


def test_count(dup_cursor):
    for key, count in ((b"a", 3), (b"b", 1), (b"c", 2)):
        assert dup_cursor.set_key(key)
        assert dup_cursor.count() == count


def test_count_errors(cursor):
    cursor.first()
    with pytest.raises(lmdb.IncompatibleError):
        cursor.count()


def test_count_of_an_unpositioned_cursor(dup_cursor):
    with pytest.raises(lmdb.InvalidParameterError):
        dup_cursor.count()


def test_dup_seeks_in_a_plain_database(cursor):
    for seek in (cursor.set_key_dup, cursor.set_range_dup):
        with pytest.raises(lmdb.Error):
            seek(b"a", b"1")


# -- writes --


def test_delete_moves_to_the_next_record(cursor):
    assert cursor.set_key(b"b")
    assert cursor.delete() is True
    assert cursor.item() == (b"c", b"3")
    assert cursor.delete() is True
    assert cursor.delete() is True
    assert cursor.item() == EMPTY
    assert cursor.delete() is False
    assert list(cursor._pytxn.keys()) == [b"a"]


def test_delete_of_an_unpositioned_cursor(cursor):
    assert cursor.delete() is False
    assert cursor._pytxn.stat()["entries"] == 4


def test_delete_one_duplicate(dup_cursor):
    assert dup_cursor.set_key_dup(b"a", b"2")
    assert dup_cursor.delete() is True
    assert dup_cursor.item() == (b"a", b"3")
    assert list(dup_cursor._pytxn.items()) == [pair for pair in PAIRS if pair != (b"a", b"2")]


def test_delete_all_duplicates(dup_cursor):
    assert dup_cursor.set_key_dup(b"a", b"2")
    assert dup_cursor.delete(dupdata=True) is True
    assert dup_cursor.item() == (b"b", b"1")
    assert list(dup_cursor._pytxn.items()) == PAIRS[3:]


def test_delete_every_pair_in_a_loop(dup_cursor):
    assert dup_cursor.first()
    deleted = []
    while (item := dup_cursor.item()) != EMPTY:
        deleted.append(item)
        assert dup_cursor.delete()
    assert deleted == PAIRS
    assert dup_cursor._pytxn.stat()["entries"] == 0


def test_put_moves_to_the_record(cursor):
    assert cursor.put(b"bb", b"x") is True
    assert cursor.item() == (b"bb", b"x")
    assert cursor.next()
    assert cursor.key() == b"c"


def test_put_flags(cursor):
    assert cursor.put(b"a", b"x", overwrite=False) is False
    assert cursor.put(b"e", b"5", append=True) is True
    assert cursor.put(b"a", b"x", append=True) is False
    assert cursor.put(b"a", b"x") is True
    assert cursor.get(b"a") == b"x"


def test_put_takes_names(cursor):
    assert cursor.put(key=b"k", value=b"v", dupdata=True, overwrite=True, append=False) is True


def test_put_duplicates(dup_cursor):
    assert dup_cursor.put(b"a", b"2") is True
    assert dup_cursor.put(b"a", b"2", dupdata=False) is False
    assert dup_cursor.put(b"a", b"0", overwrite=False) is False
    assert dup_cursor.put(b"c", b"6", append=True) is True
    assert dup_cursor.item() == (b"c", b"6")
    assert dup_cursor.put(b"c", b"1", append=True) is False


def test_put_errors_name_the_limit(cursor, env):
    limit = env.max_key_size()
    with pytest.raises(lmdb.BadValsizeError, match=f"key has {limit + 7} bytes, it must have 1 to {limit}"):
        cursor.put(b"k" * (limit + 7), b"v")
    with pytest.raises(lmdb.BadValsizeError):
        cursor.put(None, b"v")


def test_replace(cursor):
    assert cursor.replace(b"b", b"new") == b"2"
    assert cursor.item() == (b"b", b"new")
    assert cursor.replace(b"x", b"new") is None
    assert cursor.item() == (b"x", b"new")


def test_replace_duplicates(dup_cursor):
    assert dup_cursor.replace(b"a", b"9") == b"1"
    assert list(dup_cursor._pytxn.items()) == [(b"a", b"9"), *PAIRS[3:]]


def test_pop(cursor):
    assert cursor.pop(b"b") == b"2"
    assert cursor.pop(b"b") is None
    assert list(cursor._pytxn.keys()) == [b"a", b"c", b"d"]


def test_pop_duplicates(dup_cursor):
    assert dup_cursor.pop(b"a") == b"1"
    assert list(dup_cursor._pytxn.items()) == PAIRS[1:]


def test_next_nodup_after_the_only_key_was_deleted_and_inserted_again(env):
    db = env.open_db(b"dups", dupsort=True)
    with env.begin(db, write=True) as txn:
        txn.put(b"k", b"1")
        cursor = txn.cursor()
        assert cursor.set_key(b"k")
        txn.delete(b"k")
        txn.put(b"k", b"2")
        cursor.set_key(b"k")
        assert cursor.next_nodup() is False


@pytest.mark.parametrize("dupsort", [False, True])
def test_next_nodup_of_a_cursor_that_stood_on_the_deleted_key(env, dupsort):
    db = env.open_db(b"db", dupsort=dupsort)
    with env.begin(db, write=True) as txn:
        txn.put(b"k", b"1")
        cursor = txn.cursor()
        assert cursor.set_key(b"k")
        txn.delete(b"k")
        txn.put(b"k", b"2")
        assert cursor.next_nodup() is False


# -- other writers in the same transaction --


def test_values_are_read_anew_after_a_write_of_the_transaction(cursor):
    assert cursor.set_key(b"b")
    assert cursor.value() == b"2"
    cursor._pytxn.put(b"b", b"changed")
    assert cursor.item() == (b"b", b"changed")
    other = cursor._pytxn.cursor()
    other.put(b"b", b"again and longer" * 10)
    assert cursor.value() == b"again and longer" * 10


def test_a_record_deleted_under_the_cursor(cursor):
    assert cursor.set_key(b"b")
    cursor._pytxn.delete(b"b")
    assert cursor.key() == b"c"


def test_the_last_record_deleted_under_the_cursor(cursor):
    assert cursor.last()
    cursor._pytxn.delete(b"d")
    assert cursor.item() == EMPTY
    assert cursor.next() is False


def test_page_splits_keep_positions(env):
    with env.begin(write=True) as txn:
        for i in range(0, 2000, 2):
            txn.put(b"%05d" % i, b"x" * 20)
        cursors = [txn.cursor() for _ in range(20)]
        for n, cursor in enumerate(cursors):
            assert cursor.set_key(b"%05d" % (n * 100))
        for i in range(1, 2000, 2):
            txn.put(b"%05d" % i, b"y" * 20)
        for n, cursor in enumerate(cursors):
            assert cursor.key() == b"%05d" % (n * 100)
            assert cursor.next()
            assert cursor.key() == b"%05d" % (n * 100 + 1)


# -- life --


def test_close_is_idempotent_and_final(cursor):
    assert cursor.first()
    cursor.close()
    cursor.close()
    for use in (
        cursor.first, cursor.next, cursor.key, cursor.value, cursor.item, cursor.count, cursor.delete,
        lambda: cursor.set_key(b"a"), lambda: cursor.put(b"a", b""), lambda: cursor.get(b"a"),
        lambda: cursor.pop(b"a"), lambda: cursor.replace(b"a", b""), lambda: list(cursor),
        lambda: cursor.putmulti([(b"a", b"")]), lambda: cursor.getmulti([b"a"], dupdata=True),
    ):  # fmt: skip
        with pytest.raises(lmdb.Error, match=CLOSED):
            use()


def test_getmulti_on_a_closed_cursor(cursor):
    cursor.close()
    with pytest.raises(lmdb.Error, match=CLOSED):
        cursor.getmulti([b"a"])


def test_context_manager_closes(cursor):
    with cursor as entered:
        assert entered is cursor
        assert cursor.first()
    with pytest.raises(lmdb.Error, match=CLOSED):
        cursor.first()


@pytest.mark.parametrize("end", ["commit", "abort"])
def test_a_cursor_ends_with_its_transaction(env, end):
    txn = env.begin(write=True)
    txn.put(b"k", b"v")
    cursor = txn.cursor()
    assert cursor.first()
    getattr(txn, end)()
    for use in (cursor.first, cursor.key, cursor.item, lambda: cursor.put(b"k", b"v")):
        with pytest.raises(lmdb.Error, match=CLOSED):
            use()
    cursor.close()


def test_a_cursor_ends_with_its_environment(env):
    cursor = env.begin().cursor()
    env.close()
    with pytest.raises(lmdb.Error, match=CLOSED):
        cursor.first()
    cursor.close()


def test_constructor(env):
    with env.begin(write=True) as txn:
        txn.put(b"k", b"v")
        assert lmdb.Cursor(env.open_db(), txn).get(b"k") == b"v"


def test_constructor_with_a_dropped_database(env):
    db = env.open_db(b"named")
    with env.begin(write=True) as txn:
        txn.drop(db)
        with pytest.raises(lmdb.InvalidParameterError):
            lmdb.Cursor(db, txn)


@pytest.mark.parametrize("key", [1, "a", None, [b"a"]])
def test_types(cursor, key):
    for use in (cursor.set_key, cursor.get, cursor.pop):
        with pytest.raises(TypeError):
            use(key)


@pytest.mark.parametrize("key", [1, "a", None, [b"a"]])
def test_types_of_set_range(cursor, key):
    with pytest.raises(TypeError, match="key"):
        cursor.set_range(key)


def test_buffers_as_arguments(dup_cursor):
    assert dup_cursor.set_key(bytearray(b"a"))
    assert dup_cursor.set_range(memoryview(b"aa"))
    assert dup_cursor.key() == b"b"
    assert dup_cursor.set_range(bytearray())
    assert dup_cursor.key() == b"a"
    assert dup_cursor.set_key_dup(bytearray(b"a"), memoryview(b"2"))
    assert dup_cursor.put(bytearray(b"z"), bytearray(b"1"))


def test_large_values(env):
    with env.begin(write=True) as txn:
        txn.put(b"k", b"x" * 1_000_000)
        cursor = txn.cursor()
        assert cursor.set_key(b"k")
        assert cursor.value() == b"x" * 1_000_000
        assert cursor.item() == (b"k", b"x" * 1_000_000)
        assert cursor.key() == b"k"


def test_longest_key_with_values_of_all_sizes(env):
    key = b"k" * env.max_key_size()
    with env.begin(write=True) as txn:
        cursor = txn.cursor()
        for size in (0, 1, 2000, 8192, 65_535, 65_536, 70_000):
            assert cursor.put(key, b"v" * size)
            assert cursor.item() == (key, b"v" * size)
