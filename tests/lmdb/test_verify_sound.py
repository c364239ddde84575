"""A sound file has no problems, whatever LMDB has been through to write it."""

from __future__ import annotations

import os
import random
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from zlmdb import lmdb
from zlmdb.lmdb.verify import _Verifier, verify


@pytest.fixture(params=[0, 1], ids=["v1", "v3"])
def open_env(tmp_path: Path, request: pytest.FixtureRequest) -> Callable[..., lmdb.Environment]:
    """Return a function that opens the environment of the test, with either engine."""

    def open_env(**options: object) -> lmdb.Environment:
        return lmdb.open(
            str(tmp_path), map_size=1 << 27, max_dbs=64, sync=False, lib_version=request.param, **options
        )

    return open_env


def fill(env: lmdb.Environment, count: int, size: int, **db_options: object) -> lmdb._Database:
    db = env.open_db(b"store", **db_options)
    with env.begin(write=True, db=db) as txn:
        for i in range(count):
            txn.put(b"%08d" % i, b"%d" % i * size)
    return db


def test_untouched(open_env, tmp_path):
    open_env().close()
    assert verify(tmp_path) == []


@pytest.mark.parametrize("count", [1, 30, 3000, 60_000])
def test_plain_records(open_env, tmp_path, count):
    with open_env() as env:
        fill(env, count, 4)
    assert verify(tmp_path) == []


def test_values_on_overflow_pages(open_env, tmp_path):
    with open_env() as env:
        fill(env, 60, 3000)
    assert verify(tmp_path) == []


def test_value_that_shrank_in_place(open_env, tmp_path):
    # LMDB keeps the longer extent if the value was written in the same transaction.
    with open_env() as env, env.begin(write=True) as txn:
        txn.put(b"key", bytes(50_000))
        txn.put(b"key", bytes(10))
    assert verify(tmp_path) == []


def test_deletions(open_env, tmp_path):
    with open_env() as env:
        db = fill(env, 5000, 8)
        for start in range(0, 5000, 500):
            with env.begin(write=True, db=db) as txn:
                for i in range(start, start + 500):
                    if i % 7:
                        txn.delete(b"%08d" % i)
            assert verify(tmp_path) == []


def test_everything_deleted(open_env, tmp_path):
    with open_env() as env:
        db = fill(env, 5000, 8)
        with env.begin(write=True) as txn:
            txn.drop(db, delete=False)
        assert verify(tmp_path) == []
        with env.begin(write=True) as txn:
            txn.drop(db)
    assert verify(tmp_path) == []


DUPS = {
    "any size": (dict(dupsort=True), lambda i: b"%d" % i * (i % 9 + 1)),
    "fixed": (dict(dupsort=True, dupfixed=True), lambda i: b"%06d" % i),
    "fixed, one byte": (dict(dupsort=True, dupfixed=True), lambda i: bytes([i % 256])),
    "integers": (dict(dupsort=True, integerdup=True), lambda i: struct.pack("=Q", i)),
    "short integers": (dict(dupsort=True, integerdup=True), lambda i: struct.pack("=I", i)),
}


@pytest.mark.parametrize("kind", DUPS)
@pytest.mark.parametrize("count", [1, 3, 20, 300, 9000])
def test_duplicates(open_env, tmp_path, kind, count):
    """From a single value, over sub-pages, to sub-trees of several levels."""
    options, value = DUPS[kind]
    with open_env() as env:
        db = env.open_db(b"dups", **options)
        order = random.Random(count).sample(range(count), count)
        with env.begin(write=True, db=db) as txn:
            for i in order:
                txn.put(b"one key", value(i))
                txn.put(b"key %d" % (i % 10), value(i))
        assert verify(tmp_path) == []
        with env.begin(write=True, db=db) as txn:
            for i in order[: count // 2]:
                txn.delete(b"one key", value(i))
        assert verify(tmp_path) == []
        with env.begin(write=True, db=db) as txn:
            txn.delete(b"one key")
    # LMDB does not take the pages of that sub-tree off the database's counters.
    assert verify(tmp_path) == []


@pytest.mark.parametrize("options", [dict(integerkey=True), dict(reverse_key=True)], ids=str)
@pytest.mark.parametrize("dupsort", [False, True])
def test_other_key_orders(open_env, tmp_path, options, dupsort):
    shuffle = random.Random(7)
    with open_env() as env:
        db = env.open_db(b"order", dupsort=dupsort, **options)
        with env.begin(write=True, db=db) as txn:
            for _ in range(4000):
                txn.put(struct.pack("=Q", shuffle.getrandbits(shuffle.choice([8, 64]))), shuffle.randbytes(9))
    assert verify(tmp_path) == []


def test_many_databases(open_env, tmp_path):
    with open_env() as env, env.begin(write=True) as txn:
        for i in range(60):
            txn.put(b"key", b"value", db=env.open_db(b"db %d" % i, txn=txn, dupsort=bool(i % 2)))
        txn.put(b"a record beside the databases", b"value")
    assert verify(tmp_path) == []


def test_writemap(open_env, tmp_path):
    with open_env(writemap=True) as env:
        db = fill(env, 5000, 8)
        with env.begin(write=True, db=db) as txn:
            for i in range(0, 5000, 3):
                txn.delete(b"%08d" % i)
        assert verify(tmp_path) == []
    assert verify(tmp_path) == []


@pytest.mark.parametrize("writemap", [False, True])
def test_page_freed_by_the_transaction_that_allocated_it(open_env, tmp_path, writemap):
    # Stock LMDB 1.0.2 fails an assertion when such a transaction commits with writemap.
    with open_env(writemap=writemap) as env:
        with env.begin(write=True) as txn:
            txn.put(b"key", b"value")
            txn.delete(b"key")
        assert verify(tmp_path) == []
        fill(env, 100, 8)
    assert verify(tmp_path) == []


def test_nested_transactions(open_env, tmp_path):
    with open_env() as env:
        db = fill(env, 500, 8)
        with env.begin(write=True, db=db) as parent:
            for round_ in range(6):
                child = env.begin(write=True, parent=parent, db=db)
                for i in range(round_ * 50, 500, 2):
                    child.replace(b"%08d" % i, bytes(200 + 40 * i))
                    child.delete(b"%08d" % (i + 1))
                child.commit() if round_ % 2 else child.abort()
    assert verify(tmp_path) == []


@pytest.mark.parametrize("compact", [False, True])
def test_copies(open_env, tmp_path, compact):
    copy = tmp_path / "copy"
    copy.mkdir()
    with open_env() as env:
        db = fill(env, 5000, 8, dupsort=True)
        with env.begin(write=True, db=db) as txn:
            for i in range(0, 3000, 2):
                txn.delete(b"%08d" % i)
        env.copy(str(copy), compact=compact)
    assert verify(copy) == []


def test_pages_kept_for_a_reader(open_env, tmp_path):
    with open_env() as env:
        db = fill(env, 3000, 8)
        reader = env.begin()
        for _ in range(20):
            with env.begin(write=True, db=db) as txn:
                for i in range(0, 3000, 5):
                    txn.put(b"%08d" % i, os.urandom(40))
        assert verify(tmp_path) == []
        reader.abort()


def test_long_free_list(open_env, tmp_path):
    # Thousands of free pages need freeDB records on overflow pages.
    with open_env() as env:
        db = fill(env, 3000, 2000)
        with env.begin(write=True) as txn:
            txn.drop(db)
        assert verify(tmp_path) == []
        fill(env, 300, 2000)
    assert verify(tmp_path) == []


def test_trailing_garbage(open_env, tmp_path):
    with open_env() as env:
        fill(env, 100, 8)
    with (tmp_path / "data.mdb").open("ab") as file:
        file.write(os.urandom(50_001))
    assert verify(tmp_path) == []


def test_garbage_in_free_pages(open_env, tmp_path):
    with open_env() as env:
        db = fill(env, 3000, 8)
        with env.begin(write=True, db=db) as txn:
            for i in range(2000):
                txn.delete(b"%08d" % i)
    path = tmp_path / "data.mdb"
    with path.open("r+b") as file:
        verifier = _Verifier(file, path.stat().st_size)
        assert verifier.verify() == []
        free = [pgno for pgno, flag in enumerate(verifier.free) if flag]
        assert len(free) > 10
        for pgno in free:
            file.seek(pgno * verifier.psize)
            file.write(os.urandom(verifier.psize))
    assert verify(tmp_path) == []


def test_commit_undone_by_a_crash(open_env, tmp_path):
    """The pages of the last transaction have reached the disk, its meta page has not."""
    path = tmp_path / "data.mdb"
    with open_env() as env:
        db = fill(env, 3000, 8)
        before, page_size = path.read_bytes(), env.stat()["psize"]
        with env.begin(write=True, db=db) as txn:
            for i in range(3000):
                txn.replace(b"%08d" % i, bytes(60))
    after = path.read_bytes()
    metas = 2 * page_size
    path.write_bytes(before[:metas] + after[metas:])
    assert verify(tmp_path) == []
