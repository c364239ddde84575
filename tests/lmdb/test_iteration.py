"""Iterators over cursors: where they start, what they give, and what changes under them do."""

from __future__ import annotations

from itertools import islice

import pytest

EMPTY = (b"", b"")
MANY = 1000
KEYS = [b"%04d" % i for i in range(MANY)]


@pytest.fixture
def cursor(env):
    """Return a cursor on a thousand records, in a write transaction."""
    with env.begin(write=True) as txn:
        for key in KEYS:
            txn.put(key, b"v" + key)
        yield txn.cursor()


def of(key):
    return key, b"v" + key


# -- what they give --


def test_everything(cursor):
    assert list(cursor) == [of(key) for key in KEYS]
    assert list(cursor.iternext()) == [of(key) for key in KEYS]
    assert list(cursor.iterprev()) == [of(key) for key in KEYS[::-1]]


@pytest.mark.parametrize("name", ["iternext", "iternext_nodup"])
@pytest.mark.parametrize(("keys", "values", "expected"), [
    (True, True, [of(key) for key in KEYS]), (True, False, KEYS), (False, True, [b"v" + key for key in KEYS]),
])  # fmt: skip
def test_keys_and_values(cursor, name, keys, values, expected):
    assert list(getattr(cursor, name)(keys=keys, values=values)) == expected
    assert list(getattr(cursor, name)(keys, values)) == expected
    back = name.replace("next", "prev")
    assert list(getattr(cursor, back)(keys, values)) == expected[::-1]


def test_defaults(dup_cursor, pairs):
    assert list(dup_cursor.iternext()) == pairs
    assert list(dup_cursor.iterprev()) == pairs[::-1]
    assert list(dup_cursor.iternext_nodup()) == [b"a", b"b", b"c"]
    assert list(dup_cursor.iterprev_nodup()) == [b"c", b"b", b"a"]
    dup_cursor.set_key(b"a")
    assert list(dup_cursor.iternext_dup()) == [b"1", b"2", b"3"]
    dup_cursor.set_key_dup(b"a", b"3")
    assert list(dup_cursor.iterprev_dup()) == [b"3", b"2", b"1"]


def test_nodup_values(dup_cursor):
    assert list(dup_cursor.iternext_nodup(values=True)) == [(b"a", b"1"), (b"b", b"1"), (b"c", b"1")]
    assert list(dup_cursor.iterprev_nodup(values=True)) == [(b"c", b"5"), (b"b", b"1"), (b"a", b"3")]


def test_dup_keys(dup_cursor, pairs):
    dup_cursor.set_key(b"a")
    assert list(dup_cursor.iternext_dup(keys=True)) == pairs[:3]
    dup_cursor.set_key(b"a")
    assert list(dup_cursor.iternext_dup(keys=True, values=False)) == [b"a"] * 3


# -- where they start and end --


def test_start_at_the_position(cursor):
    cursor.set_key(b"0500")
    assert list(cursor.iternext(values=False)) == KEYS[500:]
    cursor.set_key(b"0500")
    assert list(cursor.iterprev(values=False)) == KEYS[500::-1]


def test_start_within_duplicates(dup_cursor, pairs):
    dup_cursor.set_key_dup(b"a", b"2")
    assert list(dup_cursor.iternext()) == pairs[1:]
    dup_cursor.set_key_dup(b"a", b"2")
    assert list(dup_cursor.iternext_dup()) == [b"2", b"3"]
    dup_cursor.set_key_dup(b"a", b"2")
    assert list(dup_cursor.iternext_nodup()) == [b"a", b"b", b"c"]


def test_dup_iterators_have_no_start_rule(dup_cursor):
    assert list(dup_cursor.iternext_dup()) == []
    assert list(dup_cursor.iterprev_dup()) == []


@pytest.mark.parametrize(
    "name", ["iternext", "iterprev", "iternext_nodup", "iterprev_nodup", "iternext_dup", "iterprev_dup"]
)
def test_empty_database(env, name):
    with env.begin() as txn:
        iterator = getattr(txn.cursor(), name)()
        assert iter(iterator) is iterator
        with pytest.raises(StopIteration):
            next(iterator)
        with pytest.raises(StopIteration):
            next(iterator)


def test_the_cursor_ends_unpositioned(cursor):
    for name in ("iternext", "iterprev"):
        assert len(list(getattr(cursor, name)())) == MANY
        assert cursor.item() == EMPTY


def test_the_start_is_found_when_the_iterator_is_made(cursor):
    iterator = cursor.iternext(values=False)
    assert cursor.key() == b"0000"
    assert next(iterator) == b"0000"


# -- the cursor in mid-iteration --


@pytest.mark.parametrize("step", [1, 3, 16, 17, 100])
def test_the_cursor_stands_on_the_record_given_last(cursor, step):
    iterator = cursor.iternext()
    for start in range(0, MANY - step, step):
        given = list(islice(iterator, step))
        assert given == [of(key) for key in KEYS[start : start + step]]
        assert cursor.key() == given[-1][0]
        assert cursor.item() == given[-1]


def test_backwards_too(cursor):
    iterator = cursor.iterprev(values=False)
    for key in KEYS[::-1]:
        assert next(iterator) == key
        assert cursor.key() == key


def test_among_duplicates_too(dup_cursor, pairs):
    for pair in dup_cursor.iternext():
        assert dup_cursor.item() == pair
    for pair in dup_cursor.iterprev():
        assert dup_cursor.item() == pair
        assert dup_cursor.count() == sum(key == pair[0] for key, _ in pairs)


def test_moving_the_cursor_moves_the_iterator(cursor):
    iterator = cursor.iternext(values=False)
    assert list(islice(iterator, 3)) == KEYS[:3]
    assert cursor.set_key(b"0700")
    assert next(iterator) == b"0701"
    assert cursor.next()
    assert next(iterator) == b"0703"


def test_two_iterators_on_one_cursor(cursor):
    """Both are the same position."""
    up = cursor.iternext(values=False)
    assert list(islice(up, 5)) == KEYS[:5]
    down = cursor.iterprev(values=False)
    assert next(down) == KEYS[4]
    assert next(down) == KEYS[3]
    assert next(up) == KEYS[4]
    assert next(down) == KEYS[3]


def test_iterators_on_two_cursors_do_not_meet(cursor):
    other = cursor._pytxn.cursor()
    assert list(zip(cursor.iternext(values=False), other.iterprev(values=False), strict=True)) == [
        *zip(KEYS, KEYS[::-1], strict=True)
    ]


def test_an_iterator_left_early(cursor):
    for key, _ in cursor:
        if key == b"0123":
            break
    assert cursor.key() == b"0123"
    assert list(cursor.iternext(values=False)) == KEYS[123:]


def test_a_generator_over_an_iterator_closed_early(cursor):
    def firsts():
        yield from cursor.iternext(values=False)

    generator = firsts()
    assert next(generator) == b"0000"
    generator.close()
    assert cursor.key() == b"0000"


# -- writes in mid-iteration --


def test_deleting_the_current_key_through_the_transaction(cursor):
    txn = cursor._pytxn
    seen = []
    for key in cursor.iternext(values=False):
        seen.append(key)
        assert txn.delete(key)
    assert seen == KEYS
    assert txn.stat()["entries"] == 0


def test_deleting_the_current_key_backwards(cursor):
    txn = cursor._pytxn
    seen = []
    for key in cursor.iterprev(values=False):
        seen.append(key)
        assert txn.delete(key)
    assert seen == KEYS[::-1]


def test_deleting_through_another_cursor(cursor):
    other = cursor._pytxn.cursor()
    seen = []
    for key in cursor.iternext(values=False):
        seen.append(key)
        if int(key) % 3 == 0:
            assert other.set_key(key)
            assert other.delete()
    assert seen == KEYS
    assert list(cursor._pytxn.keys()) == [key for key in KEYS if int(key) % 3]


def test_deleting_through_the_cursor_itself_steps_over_the_next(cursor):
    """The cursor stands on the next record after a deletion, which the iterator gives or steps over."""
    seen = []
    for key in cursor.iternext(values=False):
        seen.append(key)
        cursor.delete()
    left = list(cursor._pytxn.keys())
    assert not set(seen) & set(left)
    assert sorted(seen + left) == KEYS
    assert seen == sorted(set(seen))


def test_deleting_ahead(cursor):
    iterator = cursor.iternext(values=False)
    assert next(iterator) == b"0000"
    for key in KEYS[1:500]:
        cursor._pytxn.delete(key)
    assert list(iterator) == KEYS[500:]


def test_inserting_ahead_and_behind(cursor):
    iterator = cursor.iternext(values=False)
    assert list(islice(iterator, 10)) == KEYS[:10]
    cursor._pytxn.put(b"0005x", b"")
    cursor._pytxn.put(b"0009x", b"")
    cursor._pytxn.put(b"0500x", b"")
    assert list(iterator) == [b"0009x", *KEYS[10:501], b"0500x", *KEYS[501:]]


def test_replacing_ahead(cursor):
    iterator = cursor.iternext()
    assert next(iterator) == of(KEYS[0])
    for key in KEYS:
        cursor._pytxn.put(key, b"new")
    assert next(iterator) == (KEYS[1], b"new")
    assert list(iterator) == [(key, b"new") for key in KEYS[2:]]


def test_rewriting_each_record_while_iterating(cursor):
    for key, value in cursor:
        cursor._pytxn.put(key, value * 20)
    assert [value for _, value in cursor] == [of(key)[1] * 20 for key in KEYS]


def test_dropping_the_records_ends_the_iteration(cursor, env):
    iterator = cursor.iternext()
    next(iterator)
    for key in KEYS:
        cursor._pytxn.delete(key)
    assert list(iterator) == []


def test_dupsort_deleting_another_key_after_the_last_item(env, pairs):
    """It must end, not give the last pair again."""
    db = env.open_db(b"dups", dupsort=True)
    with env.begin(db, write=True) as txn:
        for key, value in pairs:
            txn.put(key, value)
        cursor = txn.cursor()
        seen = []
        for pair in cursor:
            seen.append(pair)
            if pair == pairs[-1]:
                assert txn.delete(b"a")
        assert seen == pairs


def test_dupsort_deleting_each_pair_through_the_transaction(dup_cursor, pairs):
    txn = dup_cursor._pytxn
    seen = []
    for key, value in dup_cursor:
        seen.append((key, value))
        assert txn.delete(key, value)
    assert seen == pairs
    assert txn.stat()["entries"] == 0


def test_dupsort_deleting_the_current_key_with_all_its_values(dup_cursor):
    seen = []
    for key, value in dup_cursor:
        seen.append((key, value))
        dup_cursor._pytxn.delete(key)
    assert seen == [(b"a", b"1"), (b"b", b"1"), (b"c", b"1")]


def test_dupsort_inserting_pairs(dup_cursor, pairs):
    iterator = dup_cursor.iternext()
    assert next(iterator) == (b"a", b"1")
    dup_cursor._pytxn.put(b"a", b"0")
    dup_cursor._pytxn.put(b"a", b"11")
    dup_cursor._pytxn.put(b"b", b"0")
    assert list(iterator) == [(b"a", b"11"), *pairs[1:3], (b"b", b"0"), *pairs[3:]]


def test_dupsort_many_duplicates(env):
    """A tree of its own holds the values of the key."""
    db = env.open_db(b"dups", dupsort=True)
    values = [b"%05d" % i for i in range(3000)]
    with env.begin(db, write=True) as txn:
        for value in values:
            txn.put(b"k", value)
        txn.put(b"l", b"x")
        cursor = txn.cursor()
        cursor.set_key(b"k")
        seen = []
        for value in cursor.iternext_dup():
            seen.append(value)
            if int(value) % 2:
                assert txn.delete(b"k", value)
        assert seen == values
        assert list(txn.values()) == [*values[::2], b"x"]


# -- ends --


ENDS = {
    "commit": lambda env, txn, cursor: txn.commit(), "abort": lambda env, txn, cursor: txn.abort(),
    "close": lambda env, txn, cursor: env.close(),
    "close the cursor": lambda env, txn, cursor: cursor.close(),
}  # fmt: skip


@pytest.mark.parametrize("buffers", [False, True])
@pytest.mark.parametrize("seen", [0, 1, 16, 40])
@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_the_end_in_mid_iteration(env, end, seen, buffers, raises_closed):
    with env.begin(write=True) as txn:
        for key in KEYS[:50]:
            txn.put(key, b"v" * 50)
    txn = env.begin(buffers=buffers)
    cursor = txn.cursor()
    iterator = cursor.iternext()
    assert len(list(islice(iterator, seen))) == seen
    end(env, txn, cursor)
    with raises_closed():
        next(iterator)


def test_set_mapsize_in_mid_iteration(env, raises_closed):
    with env.begin(write=True) as txn:
        for key in KEYS:
            txn.put(key, b"")
    iterator = env.begin().cursor().iternext()
    next(iterator)
    env.set_mapsize(1 << 25)
    with raises_closed():
        next(iterator)


def test_the_iterator_keeps_its_transaction(env):
    import gc

    with env.begin(write=True) as txn:
        for key in KEYS:
            txn.put(key, b"")
    del txn
    iterator = env.begin().cursor().iternext(values=False)
    gc.collect()
    assert list(iterator) == KEYS


# -- sizes --


@pytest.mark.parametrize("name", ["iternext", "iterprev"])
@pytest.mark.parametrize("buffers", [False, True])
def test_values_beyond_the_chunk(env, name, buffers):
    """Small records, large ones, and one that fills several chunks, in turn."""
    sizes = [0, 10, 130_000, 131_072, 5, 131_060, 500_000, 1, 65_536, 65_535, 2_000_000, 3]
    records = [(b"%02d" % i, bytes([i + 1]) * size) for i, size in enumerate(sizes)]
    with env.begin(write=True) as txn:
        for key, value in records:
            txn.put(key, value)
    with env.begin(buffers=buffers) as txn:
        cursor = txn.cursor()
        expected = records if name == "iternext" else records[::-1]
        assert [(bytes(k), bytes(v)) for k, v in getattr(cursor, name)()] == expected
        assert [bytes(v) for v in getattr(cursor, name)(keys=False)] == [v for _, v in expected]
        assert [bytes(k) for k in getattr(cursor, name)(values=False)] == [k for k, _ in expected]
        for key, value in getattr(cursor, name)():
            assert cursor.item() == (key, value)


def test_longest_keys(env):
    limit = env.max_key_size()
    records = [(b"%03d" % i + b"k" * (limit - 3), b"v" * i) for i in range(200)]
    with env.begin(write=True) as txn:
        txn.cursor().putmulti(records)
        assert list(txn.cursor()) == records
        assert list(txn.cursor().iterprev()) == records[::-1]


def test_more_than_a_batch_of_small_records(env):
    keys = [b"%06d" % i for i in range(60_000)]
    with env.begin(write=True) as txn:
        txn.cursor().putmulti([(key, b"") for key in keys], append=True)
        assert list(txn.cursor().iternext(values=False)) == keys
        assert list(txn.cursor().iterprev()) == [(key, b"") for key in keys[::-1]]
