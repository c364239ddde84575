"""A copy holds what was committed, or what one transaction sees, also while the environment is written."""

from __future__ import annotations

import os
import threading

import pytest

from zlmdb import lmdb
from zlmdb.lmdb.verify import verify

KINDS = {
    b"plain": {},
    b"dups": {"dupsort": True},
    b"fixed": {"dupsort": True, "dupfixed": True},
    b"integers": {"integerkey": True},
    b"integer dups": {"dupsort": True, "integerdup": True},
    b"reverse": {"reverse_key": True},
}


@pytest.fixture
def full(open_env, native):
    """Return an environment with a tree of more than one level in databases of every kind."""
    env = open_env(map_size=1 << 26)
    databases = {name: env.open_db(name, **kind) for name, kind in KINDS.items()}
    with env.begin(write=True) as txn:
        for i in range(1500):
            txn.put(b"%05d" % i, b"v" * (i % 300), db=databases[b"plain"])
            txn.put(b"%d" % (i % 7), b"%05d" % i, db=databases[b"dups"])
            txn.put(b"%d" % (i % 7), b"%08d" % i, db=databases[b"fixed"])
            txn.put(native(i), b"x" * 20, db=databases[b"integers"])
            txn.put(b"%d" % (i % 7), native(i), db=databases[b"integer dups"])
            txn.put(b"%05d" % i, b"y", db=databases[b"reverse"])
        txn.put(b"large", bytes(range(256)) * 100, db=databases[b"plain"])
        txn.put(b"ordinary", b"record")
    with env.begin(write=True) as txn:
        for i in range(0, 1500, 3):
            txn.delete(b"%05d" % i, db=databases[b"plain"])
    return env


def content(env):
    with env.begin() as txn:
        found = {name: list(txn.items(db=env.open_db(name, txn, create=False))) for name in env.dbs(txn)}
        found[None] = [item for item in txn.items() if item[0].rstrip(b"\0") not in KINDS]
    return found


@pytest.mark.parametrize("compact", [False, True])
def test_copy(full, open_env, tmp_path, engine, compact):
    (tmp_path / "copy").mkdir()
    assert full.copy(str(tmp_path / "copy"), compact=compact) is None
    copy = open_env("copy", lib_version=None)
    assert copy.lib_version()[0] == engine
    assert content(copy) == content(full)
    sizes = [(tmp_path / name / "data.mdb").stat().st_size for name in ("env", "copy")]
    assert (sizes[1] < sizes[0]) == compact
    copy.close()
    assert verify(str(tmp_path / "copy")) == []
    with open_env("copy").begin(write=True) as txn:
        assert txn.put(b"more", b"records")


@pytest.mark.parametrize("compact", [False, True])
def test_copyfd(full, open_env, tmp_path, compact):
    with open(tmp_path / "copy", "wb") as file:
        assert full.copyfd(file.fileno(), compact) is None
    assert content(open_env("copy", subdir=False)) == content(full)


@pytest.mark.parametrize("count", [1, 2, 3, 100, 250, 300, 600, 3000])
def test_compacting_dupfixed(open_env, tmp_path, count):
    """Values of a key that have grown into a tree of their own."""
    env = open_env()
    db = env.open_db(b"fixed", dupsort=True, dupfixed=True)
    with env.begin(write=True) as txn:
        for i in range(count):
            txn.put(b"key", b"%08d" % i, db=db)
    (tmp_path / "copy").mkdir()
    env.copy(str(tmp_path / "copy"), compact=True)
    copy = open_env("copy")
    with copy.begin(db=copy.open_db(b"fixed")) as txn:
        assert list(txn.items()) == [(b"key", b"%08d" % i) for i in range(count)]


def test_bytes_path_and_single_file(open_env, tmp_path):
    env = open_env("file", subdir=False)
    with env.begin(write=True) as txn:
        txn.put(b"a", b"b")
    env.copy(os.fsencode(tmp_path / "copy"))
    assert open_env("copy", subdir=False).get(b"a") == b"b"


@pytest.mark.parametrize("compact", [False, True])
def test_destination(env, tmp_path, compact):
    with pytest.raises(lmdb.Error, match="needs an empty directory") as caught:
        env.copy(str(tmp_path / "missing"), compact)
    assert caught.value.code == 2
    (tmp_path / "full").mkdir()
    env.copy(str(tmp_path / "full"), compact)
    with pytest.raises(lmdb.Error, match="needs an empty directory") as caught:
        env.copy(str(tmp_path / "full"), compact)
    assert caught.value.code == 17


@pytest.mark.parametrize("compact", [False, True])
def test_bad_descriptor(env, compact):
    with pytest.raises(lmdb.Error) as caught:
        env.copyfd(987, compact)
    assert caught.value.code == 9
    with pytest.raises(OverflowError):
        env.copyfd(-1)
    with pytest.raises(TypeError):
        env.copyfd("1")


@pytest.mark.parametrize("compact", [False, True])
def test_disk_full(full, compact):
    with open("/dev/full", "wb") as file, pytest.raises(lmdb.DiskError):
        full.copyfd(file.fileno(), compact)


@pytest.mark.parametrize("compact", [False, True])
def test_empty_environment(env, open_env, tmp_path, compact):
    (tmp_path / "copy").mkdir()
    env.copy(str(tmp_path / "copy"), compact)
    assert open_env("copy").stat()["entries"] == 0


def test_snapshot(env, open_env, tmp_path):
    with env.begin(write=True) as txn:
        txn.put(b"key", b"old")
    reader = env.begin()
    with env.begin(write=True) as txn:
        txn.put(b"key", b"new")
    for name, txn in (("old", reader), ("new", None)):
        (tmp_path / name).mkdir()
        env.copy(str(tmp_path / name), compact=True, txn=txn)
        with open(tmp_path / f"{name}.file", "wb") as file:
            env.copyfd(file.fileno(), True, txn)
        assert open_env(name).get(b"key") == name.encode()
        assert open_env(f"{name}.file", subdir=False).get(b"key") == name.encode()
    assert reader.get(b"key") == b"old"


def test_transaction_needs_compact(env, tmp_path):
    with env.begin() as txn, open(tmp_path / "copy", "wb") as file:
        with pytest.raises(TypeError, match="compact=True"):
            env.copyfd(file.fileno(), txn=txn)
        with pytest.raises(TypeError, match="compact=True"):
            env.copy(str(tmp_path), txn=txn)


def test_transaction_must_be_open_and_of_this_environment(env, open_env, tmp_path):
    other = open_env("other")
    with open(tmp_path / "copy", "wb") as file, other.begin() as foreign:
        finished = env.begin()
        finished.abort()
        with pytest.raises(lmdb.Error):
            env.copyfd(file.fileno(), True, finished)
        with pytest.raises(lmdb.InvalidParameterError, match="another environment"):
            env.copyfd(file.fileno(), True, foreign)
    assert (tmp_path / "copy").stat().st_size == 0


@pytest.mark.parametrize("writemap", [False, True])
def test_no_damaged_copy_of_a_transaction_that_has_written(open_env, tmp_path, engine, writemap):
    """LMDB copies the marks of pages that are not committed yet, and leaves out writes to named databases."""
    env = open_env(writemap=writemap)
    db = env.open_db(b"named")
    with env.begin(write=True) as txn, open(tmp_path / "copy", "wb") as file:
        env.copyfd(file.fileno(), True, txn)
    assert open_env("copy", subdir=False).get(b"named" + b"\0" * engine) is not None
    with env.begin(write=True) as txn:
        txn.put(b"key", b"value", db=db)
        with open(tmp_path / "other", "wb") as file, pytest.raises(lmdb.IncompatibleError, match="commit it"):
            env.copyfd(file.fileno(), True, txn)
        if not writemap:
            with (
                env.begin(parent=txn, write=True) as child,
                open(tmp_path / "other", "wb") as file,
                pytest.raises(lmdb.IncompatibleError, match="commit it"),
            ):
                env.copyfd(file.fileno(), True, child)
    assert (tmp_path / "other").stat().st_size == 0
    with env.begin() as txn, open(tmp_path / "other", "wb") as file:
        env.copyfd(file.fileno(), True, txn)


@pytest.mark.parametrize("compact", [False, True])
def test_while_it_is_written(open_env, tmp_path, compact):
    """Each copy is of one moment: both keys of a transaction, or neither."""
    env = open_env(map_size=1 << 27)
    stop = threading.Event()

    def write():
        number = 0
        while not stop.is_set():
            number += 1
            with env.begin(write=True) as txn:
                for key in (b"a", b"z"):
                    txn.put(key, b"%d" % number)
                txn.put(b"%08d" % (number % 500), bytes(500))

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for i in range(10):
            (tmp_path / f"copy{i}").mkdir()
            env.copy(str(tmp_path / f"copy{i}"), compact)
            with open_env(f"copy{i}").begin() as txn:
                assert txn.get(b"a") == txn.get(b"z")
    finally:
        stop.set()
        writer.join()


def test_name_with_nul(env, tmp_path):
    with pytest.raises(ValueError, match="NUL"):
        env.copy(f"{tmp_path}\0x")


def test_plain_copy_in_the_writing_thread_is_refused(env, tmp_path):
    """LMDB takes the writer's lock for it, and would wait for itself."""
    with env.begin(write=True) as txn:
        txn.put(b"key", b"value")
        with (
            pytest.raises(lmdb.Error, match="already has a write transaction"),
            open(tmp_path / "copy", "wb") as file,
        ):
            env.copyfd(file.fileno())
    (tmp_path / "whole").mkdir()
    env.copy(str(tmp_path / "whole"))
