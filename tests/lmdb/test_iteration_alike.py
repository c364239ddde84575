"""Records of one size, which iteration takes apart in another way once it has met enough of them."""

from __future__ import annotations

from itertools import islice

import pytest

from zlmdb.lmdb import batches, scan

ROUNDS = batches.FREQUENT + 3


def fill(env, records):
    with env.begin(write=True) as txn:
        for key, value in records:
            txn.put(key, value)
    return sorted(records)


def read_in_all_ways(cursor):
    return {
        "items": list(cursor.iternext()),
        "keys": list(cursor.iternext(values=False)),
        "values": list(cursor.iternext(keys=False)),
        "reversed": list(cursor.iterprev()),
    }


@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 100, 3000])
def test_every_round_gives_the_same(env, size):
    records = fill(env, [(b"%05d" % number, bytes([number % 256]) * size) for number in range(700)])
    with env.begin() as txn:
        for _ in range(ROUNDS):
            assert read_in_all_ways(txn.cursor()) == {
                "items": records,
                "keys": [key for key, _ in records],
                "values": [value for _, value in records],
                "reversed": records[::-1],
            }


def test_one_that_differs_is_not_cut(env):
    records = fill(env, [(b"%03d" % number, b"v" * 10) for number in range(scan.FIRST_BATCH)])
    with env.begin(write=True) as txn:
        for _ in range(ROUNDS):
            assert list(txn.cursor()) == records
        for at in (0, 7, -1):
            for value in (b"", b"v" * 9, b"v" * 11):
                txn.put(records[at][0], value)
                changed = dict(records) | {records[at][0]: value}
                assert list(txn.cursor()) == sorted(changed.items())
            txn.put(*records[at])
        longer = (records[-1][0] + b"longer", b"v" * 10)
        txn.put(*longer)
        assert list(txn.cursor()) == [*records, longer]


def test_lengths_that_add_up_to_the_same(env):
    """Keys of 3 bytes with values of 4 and keys of 4 with values of 3 are two shapes."""
    for klen, vlen in ((3, 4), (4, 3), (4, 4), (3, 3)) * ROUNDS:
        records = [(b"%0*d" % (klen, number), b"%0*d" % (vlen, number)) for number in range(10)]
        with env.begin(write=True) as txn:
            txn.drop(env.open_db(txn=txn), delete=False)
            for key, value in records:
                txn.put(key, value)
            assert list(txn.cursor()) == records


def test_the_cursor_stays_where_its_reader_is(env):
    records = fill(env, [(b"%05d" % number, b"v" * 20) for number in range(400)])
    with env.begin(write=True) as txn:
        cursor = txn.cursor()
        for round_ in range(ROUNDS):
            iterator = cursor.iternext()
            assert list(islice(iterator, 130)) == records[:130]
            assert cursor.key() == records[129][0]
            assert next(iterator) == records[130]
            txn.put(records[131][0], b"%020d" % round_)
            assert next(iterator) == (records[131][0], b"%020d" % round_)
            assert list(iterator) == records[132:]
            txn.put(*records[131])


def test_many_shapes_do_not_pile_up(env):
    for number in range(2 * batches.MOST_SHAPES):
        with env.begin(write=True) as txn:
            txn.put(b"k", b"v" * number)
            for _ in range(ROUNDS if number < 2 * batches.MOST_UNPACKERS else 1):
                assert list(txn.cursor()) == [(b"k", b"v" * number)]
    assert len(batches._unpackers) <= batches.MOST_UNPACKERS
    assert len(batches._sightings) <= batches.MOST_SHAPES + 1


def test_the_longest_keys(env):
    """Their length has to fit what C returns."""
    key = b"k" * env.max_key_size()
    records = fill(env, [(key[:-2] + b"%02d" % number, b"v" * 50) for number in range(40)])
    with env.begin() as txn:
        for _ in range(ROUNDS):
            assert list(txn.cursor()) == records
