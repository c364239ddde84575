"""Several cursors on one database, and writes past them: LMDB lost records, showed old ones, and crashed."""

from __future__ import annotations

import random
from bisect import bisect_left, insort
from collections.abc import Iterator

import pytest

from zlmdb import lmdb

from .conftest import OpenEnv

KINDS = {"plain": {}, "dupsort": {"dupsort": True}, "dupfixed": {"dupfixed": True}}
ACTIONS = ["put", "put", "put at", "delete", "delete pair", "delete at", "move", "move"]
MANY = [b"%04d" % number for number in range(3000)]


@pytest.fixture
def db(env: lmdb.Environment) -> lmdb._Database:
    """Return an empty database with sorted duplicates."""
    return env.open_db(b"db", dupsort=True)


@pytest.fixture
def txn(env: lmdb.Environment, db: lmdb._Database) -> Iterator[lmdb.Transaction]:
    """Return a write transaction on that database."""
    with env.begin(write=True, db=db) as txn:
        yield txn


def values(txn: lmdb.Transaction, key: bytes) -> list[bytes]:
    """Return all values of a key, read with a cursor of its own."""
    cursor = txn.cursor()
    return list(cursor.iternext_dup()) if cursor.set_key(key) else []


@pytest.mark.parametrize("others", [[b"2"], [b"2", b"3"], MANY[1:]], ids=["two", "three", "thousands"])
def test_delete_takes_one_of_several_values(txn: lmdb.Transaction, others: list[bytes]) -> None:
    txn.put(b"k", b"0000")
    cursor = txn.cursor()
    assert cursor.set_key(b"k")
    for value in others:
        txn.put(b"k", value)
    assert cursor.count() == 1 + len(others)
    assert cursor.delete()
    assert values(txn, b"k") == others
    assert txn.stat()["entries"] == len(others)


def test_delete_after_another_cursor_has_taken_most_values(txn: lmdb.Transaction) -> None:
    txn.cursor().putmulti([(b"k", value) for value in MANY])
    first, second = txn.cursor(), txn.cursor()
    assert first.set_key(b"k")
    assert second.set_key_dup(b"k", MANY[1])
    while second.value() < MANY[-1]:
        second.delete()
    assert first.delete()
    assert values(txn, b"k") == [MANY[-1]]
    assert first.item() == (b"k", MANY[-1])


def test_first_and_last_value_of_a_tree_that_has_grown(txn: lmdb.Transaction) -> None:
    txn.cursor().putmulti([(b"k", value) for value in MANY[1000:2000]])
    cursor = txn.cursor()
    assert cursor.set_key(b"k")
    txn.cursor().putmulti([(b"k", value) for value in MANY])
    assert cursor.first_dup()
    assert cursor.value() == MANY[0]
    assert cursor.last_dup()
    assert cursor.value() == MANY[-1]


def test_cursor_sees_what_is_added_behind_the_last_record(txn: lmdb.Transaction) -> None:
    txn.put(b"k", b"1")
    cursor = txn.cursor()
    assert cursor.last()
    txn.put(b"k", b"2")
    assert cursor.next()
    assert cursor.item() == (b"k", b"2")
    for value in MANY:
        txn.put(b"l" + value, b"v" * 100)
    assert cursor.next()
    assert cursor.key() == b"l0000"


def test_cursor_does_not_repeat_its_record_when_one_before_it_is_deleted(txn: lmdb.Transaction) -> None:
    for key in (b"a", b"b"):
        for value in (b"1", b"2", b"3"):
            txn.put(key, value)
    cursor = txn.cursor()
    assert cursor.set_key_dup(b"b", b"1")
    txn.delete(b"a")
    assert cursor.next()
    assert cursor.item() == (b"b", b"2")


def test_delete_forgets_the_duplicates_of_another_key(txn: lmdb.Transaction) -> None:
    for item in ((b"a", b"1"), (b"b", b"2"), (b"b", b"3"), (b"c", b"4"), (b"c", b"5")):
        txn.put(*item)
    cursor = txn.cursor()
    assert cursor.set_key_dup(b"b", b"3")
    assert cursor.prev_nodup()
    assert cursor.item() == (b"a", b"1")
    assert cursor.delete()
    assert cursor.item() == (b"b", b"2")


def test_append_of_a_record_that_fills_its_page(env: lmdb.Environment, txn: lmdb.Transaction) -> None:
    key = b"k" * env.max_key_size()
    assert txn.put(key, key, append=True)
    assert txn.put(key, b"l" + key[1:], append=True)
    assert values(txn, key) == [key, b"l" + key[1:]]


class Model:
    """A database as a sorted list of pairs, and cursors as the pair each stands on, if that is certain."""

    def __init__(self, unique: bool) -> None:
        self.unique = unique
        self.pairs: list[tuple[bytes, bytes]] = []
        self.at: dict[lmdb.Cursor, tuple[bytes, bytes]] = {}

    def put(self, key: bytes, value: bytes) -> None:
        if self.unique:
            self.delete(key)
        if (key, value) not in self.pairs:
            insort(self.pairs, (key, value))

    def delete(self, key: bytes, value: bytes | None = None) -> bool:
        gone = [pair for pair in self.pairs if pair[0] == key and value in (None, pair[1])]
        self.pairs = [pair for pair in self.pairs if pair not in gone]
        self.at = {cursor: pair for cursor, pair in self.at.items() if pair not in gone}
        return bool(gone)

    def beside(self, pair: tuple[bytes, bytes], step: int) -> tuple[bytes, bytes] | None:
        index = bisect_left(self.pairs, pair) + step
        return self.pairs[index] if 0 <= index < len(self.pairs) else None


def move(model: Model, cursor: lmdb.Cursor, rnd: random.Random) -> None:
    """Move a cursor; check where it comes to if the model knows where it was, and that it shows a record."""
    if cursor not in model.at or rnd.random() < 0.2:
        step, expected = rnd.choice([("first", 0), ("last", -1)])
        wanted = model.pairs[expected] if model.pairs else None
    else:
        step, by = rnd.choice([("next", 1), ("prev", -1)])
        wanted = model.beside(model.at[cursor], by)
    assert getattr(cursor, step)() is (wanted is not None)
    model.at.pop(cursor, None)
    if wanted:
        assert cursor.item() == wanted
        model.at[cursor] = wanted


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(6))
def test_random_histories(open_env: OpenEnv, kind: str, seed: int) -> None:
    """Two thousand writes and moves with four cursors, beside a model that says where each cursor is."""
    rnd = random.Random(seed)
    env = open_env()
    db = env.open_db(b"db", **KINDS[kind])
    keys = [b"k%d" % number + b"x" * rnd.randrange(400) for number in range(rnd.choice([2, 6, 40]))]
    model = Model(unique=kind == "plain")
    with env.begin(write=True, db=db) as txn:
        cursors = [txn.cursor() for _ in range(4)]
        for _ in range(2000):
            key, value, cursor = rnd.choice(keys), b"%03d" % rnd.randrange(300), rnd.choice(cursors)
            action = rnd.choice(ACTIONS)
            if action == "put":
                txn.put(key, value)
                model.put(key, value)
            elif action == "put at":
                cursor.put(key, value)
                model.put(key, value)
                model.at[cursor] = (key, value)
            elif action == "delete":
                assert txn.delete(key) is model.delete(key)
            elif action == "delete pair" and not model.unique:
                assert txn.delete(key, value) is model.delete(key, value)
            elif action == "delete at" and cursor in model.at:
                pair = model.at[cursor]
                assert cursor.delete()
                model.delete(*pair)
            else:
                move(model, cursor, rnd)
        assert list(txn.cursor()) == model.pairs
        assert txn.stat()["entries"] == len(model.pairs)
