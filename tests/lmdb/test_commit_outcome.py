"""The error of a failed commit says what has become of the writes: none is there, or all may be."""

from __future__ import annotations

import os
import resource
import signal
from pathlib import Path

import pytest

import zlmdb
from zlmdb import lmdb

pytestmark = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")

NOTHING = "nothing was committed"
MAYBE = "may be on the disk all the same"


def replace_file(data: Path, *, meta: bool, by: str = "/dev/full") -> None:
    """Put another file in the place of the one that LMDB writes pages, or meta pages, to.

    Meta pages have a file descriptor of their own, which also flushes.
    """
    import fcntl

    for name in os.listdir("/proc/self/fd"):
        fd = int(name)
        try:
            same = os.readlink(f"/proc/self/fd/{name}") == str(data)
        except FileNotFoundError:  # that of the listing
            continue
        if same and bool(fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_DSYNC) == meta:
            other = os.open(by, os.O_RDWR)
            os.dup2(other, fd)
            os.close(other)
            return
    raise AssertionError(f"{data} is not open")


def test_no_room_for_the_pages(open_env, tmp_path):
    env = open_env(sync=True)
    with env.begin(write=True) as txn:
        txn.put(b"k", b"old")
    replace_file(tmp_path / "env" / "data.mdb", meta=False)
    txn = env.begin(write=True)
    txn.put(b"k", b"new")
    with pytest.raises(lmdb.DiskError, match=rf"free some space; {NOTHING}\)"):
        txn.commit()
    with pytest.raises(lmdb.DiskError, match=NOTHING), env.begin(write=True) as txn:
        txn.put(b"k", b"new")
    assert env.get(b"k") == b"old"


def test_no_room_for_the_meta_page(open_env, tmp_path):
    env = open_env(sync=True)
    with env.begin(write=True) as txn:
        txn.put(b"k", b"old")
    replace_file(tmp_path / "env" / "data.mdb", meta=True)
    reopen = f"{MAYBE}: close the environment, open it again"
    with pytest.raises(lmdb.DiskError, match=reopen), env.begin(write=True) as txn:
        txn.put(b"k", b"new")
    with pytest.raises(lmdb.PanicError, match="close the environment and open it again"):
        env.begin(write=True)
    env.close()
    assert open_env().get(b"k") in (b"old", b"new")


def test_commit_and_the_end_of_a_block_say_the_same(open_env, tmp_path):
    env = open_env(sync=True)
    replace_file(tmp_path / "env" / "data.mdb", meta=True)
    txn = env.begin(write=True)
    txn.put(b"k", b"new")
    with pytest.raises(lmdb.DiskError, match=MAYBE):
        txn.commit()


def test_a_limit_on_the_size_of_files(open_env):
    """The file may not become longer: pages fail, the meta pages are never reached."""
    env = open_env(sync=True, map_size=1 << 26)
    with env.begin(write=True) as txn:
        txn.put(b"k", b"old")
    former, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
    try:
        with pytest.raises(lmdb.Error, match=NOTHING), env.begin(write=True) as txn:
            txn.put(b"k", bytes(1 << 24))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (former, hard))
        signal.signal(signal.SIGXFSZ, handler)
    with env.begin(write=True) as txn:
        assert txn.get(b"k") == b"old"
        txn.put(b"k", b"new")
    assert env.get(b"k") == b"new"


def test_a_transaction_that_had_failed(open_env):
    env = open_env(map_size=1 << 16)
    txn = env.begin(write=True)
    with pytest.raises(lmdb.MapFullError):
        txn.put(b"k", bytes(1 << 17))
    with pytest.raises(lmdb.BadTxnError, match=rf"abort it; {NOTHING}\)"):
        txn.commit()
    assert env.get(b"k") is None


def test_a_closed_transaction_has_no_outcome(open_env):
    txn = open_env().begin(write=True)
    txn.commit()
    with pytest.raises(lmdb.Error) as raised:
        txn.commit()
    assert "commit" not in str(raised.value)


@pytest.mark.parametrize(("meta", "outcome"), [(False, NOTHING), (True, MAYBE)])
def test_in_the_object_layer(engine, tmp_path, meta, outcome):
    path = tmp_path / "db"
    words = zlmdb.MapStringString(1)
    with zlmdb.Database(str(path), lib_version=["0.9", "1.0"][engine]) as db:
        with db.begin(write=True) as txn:
            words[txn, "k"] = "old"
        replace_file(path / "data.mdb", meta=meta)
        with pytest.raises(lmdb.DiskError, match=outcome), db.begin(write=True) as txn:
            words[txn, "k"] = "new"
    with zlmdb.Database(str(path)) as db, db.begin() as txn:
        assert words[txn, "k"] in (["old"] if outcome == NOTHING else ["old", "new"])
