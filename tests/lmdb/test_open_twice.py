"""One process cannot have an environment open twice: LMDB's file locks do not survive that."""

from __future__ import annotations

import os
import threading

import pytest

from zlmdb import lmdb


@pytest.fixture
def refused(open_env):
    """Return a function that tries to open a path, and expects to be refused."""

    def check(name, **options):
        with pytest.raises(lmdb.Error, match="already open") as caught:
            open_env(name, **options)
        assert caught.value.code == 0

    return check


def test_same_path(open_env, refused):
    open_env()
    refused("env")
    refused("./env")
    refused("env", readonly=True, lock=False)


def test_released_by_close(open_env, refused):
    env = open_env()
    env.close()
    other = open_env()
    env.close()
    refused("env")
    other.close()
    open_env()


def test_released_by_collection(open_env, tmp_path, engine):
    import gc

    env = lmdb.open(str(tmp_path / "env"), lib_version=engine)
    del env
    gc.collect()
    open_env()


def test_symbolic_link(open_env, refused, tmp_path):
    open_env()
    (tmp_path / "link").symlink_to(tmp_path / "env")
    refused("link")


def test_symbolic_link_to_the_data_file(open_env, refused, tmp_path):
    open_env("file", subdir=False)
    (tmp_path / "link").symlink_to(tmp_path / "file")
    refused("link", subdir=False)


def test_hard_link(open_env, refused, tmp_path):
    open_env("file", subdir=False)
    os.link(tmp_path / "file", tmp_path / "other")
    refused("other", subdir=False)


def test_hard_link_to_the_lock_file(open_env, refused, tmp_path):
    open_env("file", subdir=False)
    os.link(tmp_path / "file-lock", tmp_path / "other-lock")
    refused("other", subdir=False)
    assert not (tmp_path / "other").exists()


def test_data_file_by_its_own_name(open_env, refused):
    open_env()
    refused("env/data.mdb", subdir=False)


def test_deleted_and_recreated(open_env, refused, tmp_path):
    old = open_env()
    with old.begin(write=True) as txn:
        txn.put(b"key", b"old")
    for name in ("data.mdb", "lock.mdb"):
        (tmp_path / "env" / name).unlink()
    new = open_env()
    assert new.get(b"key") is None
    assert old.get(b"key") == b"old"
    old.close()
    refused("env")
    with new.begin(write=True) as txn:
        txn.put(b"key", b"new")
    new.close()
    open_env()


def test_only_data_file_deleted(open_env, refused, tmp_path):
    """The lock file is still shared with the environment that is open."""
    open_env()
    (tmp_path / "env" / "data.mdb").unlink()
    refused("env")


def test_moved_away(open_env, refused, tmp_path):
    """Its path is free, its files are not."""
    open_env()
    (tmp_path / "env").rename(tmp_path / "moved")
    refused("moved")
    assert open_env().stat()["entries"] == 0


def test_relative_path(open_env, tmp_path, monkeypatch, engine):
    open_env()
    monkeypatch.chdir(tmp_path / "env")
    for path in (".", "../env", b"."):
        with pytest.raises(lmdb.Error, match="already open"):
            lmdb.open(path, lib_version=engine)


def test_hard_link_in_another_directory(open_env, refused, tmp_path):
    open_env()
    (tmp_path / "other").mkdir()
    os.link(tmp_path / "env" / "data.mdb", tmp_path / "other" / "data.mdb")
    refused("other")
    assert sorted(os.listdir(tmp_path / "other")) == ["data.mdb"]


def test_by_the_other_engine(open_env, refused, engine):
    open_env()
    refused("env", lib_version=1 - engine)


def test_the_refused_leaves_the_open_one_alone(open_env, refused, run_child, tmp_path):
    """Closing a second descriptor of the lock file would drop its locks: the readers would count as dead."""
    env = open_env()
    reader = env.begin()
    refused("env")
    program = "env = lmdb.open(sys.argv[1]); print(env.reader_check(), len(env.readers().splitlines()))"
    assert run_child(program, tmp_path / "env").stdout == "0 2\n"
    reader.abort()


def test_failure_to_open_releases(open_env):
    with pytest.raises(lmdb.Error):
        open_env(lib_version=1 - open_env("probe").lib_version()[0], max_readers=0)
    open_env()


def test_one_of_many_threads_wins(open_env, in_thread):
    """Also while the files do not exist yet."""
    for attempt in range(20):
        barrier = threading.Barrier(4)

        def try_to_open(name=f"env{attempt}", barrier=barrier):
            barrier.wait()
            try:
                return open_env(name)
            except lmdb.Error:
                return None

        threads = [in_thread(try_to_open) for _ in range(4)]
        won = [env for env in (thread.result() for thread in threads) if env is not None]
        assert len(won) <= 1
        for env in won:
            with env.begin(write=True) as txn:
                assert txn.put(b"key", b"value")


def test_other_environments_are_independent(open_env):
    envs = [open_env(f"env{i}") for i in range(5)]
    for i, env in enumerate(envs):
        with env.begin(write=True) as txn:
            txn.put(b"key", b"%d" % i)
    assert [env.get(b"key") for env in envs] == [b"%d" % i for i in range(5)]


def test_one_that_was_dropped_is_not_open(tmp_path, engine):
    """Not before the collector of cycles, or PyPy, has finalized it, which opening it again brings about."""
    path = str(tmp_path / "env")
    env = lmdb.open(path, lib_version=engine)
    cycle = [env]
    cycle.append(cycle)
    del env, cycle
    lmdb.open(path).close()
