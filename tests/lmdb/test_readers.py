"""Reader slots: those of processes that died are found, and spare transactions keep theirs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import zlmdb
import zlmdb.lmdb as lmdb

NONE = "(no active readers)\n"

HOLD = """
import sys
from zlmdb import lmdb
env = lmdb.open(sys.argv[1], max_readers=4)
held = [env.begin() for _ in range(int(sys.argv[2]))]
print("holding", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def start_holder():
    """Return a function that starts a process which holds reader slots until it is killed."""
    started = []

    def start(env, slots):
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, env.path(), str(slots)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(Path(zlmdb.__file__).parents[1])}, text=True,
        )  # fmt: skip
        started.append(process)
        assert process.stdout.readline() == "holding\n"
        return process

    yield start
    for process in started:
        kill(process)


def kill(process):
    process.send_signal(signal.SIGKILL)
    process.communicate()


def test_a_dead_childs_slot_is_found_once(open_env, start_holder):
    env = open_env(max_readers=4)
    process = start_holder(env, 1)
    assert env.reader_check() == 0
    assert str(process.pid) in env.readers()
    kill(process)
    assert env.reader_check() == 1
    assert env.reader_check() == 0
    assert env.readers() == NONE


@pytest.mark.parametrize("read", [
    lambda env: env.begin().abort(), lambda env: env.get(b"k"), lambda env: env.getmulti([b"k"]),
    lambda env: env.dbs(),
])  # fmt: skip
def test_dead_slots_are_cleared_before_readers_full(open_env, start_holder, read):
    env = open_env(max_readers=4)
    kill(start_holder(env, 4))
    read(env)
    assert env.reader_check() == 0


def rewrite(env, times):
    """Write the same record over and over, in a transaction each: its pages serve one after the other."""
    for _ in range(times):
        with env.begin(write=True) as txn:
            txn.put(b"k", bytes(20_000))


def test_pages_kept_for_a_dead_reader_come_back_when_the_map_is_full(open_env, start_holder):
    env = open_env(map_size=400_000)
    rewrite(env, 1)
    kill(start_holder(env, 1))
    with pytest.raises(lmdb.MapFullError):
        rewrite(env, 100)
    rewrite(env, 100)


def test_a_growing_map_does_not_grow_for_a_dead_reader(open_env, start_holder):
    env = open_env(map_size=400_000, grow=True)
    rewrite(env, 1)
    kill(start_holder(env, 1))
    rewrite(env, 200)
    assert env.info()["map_size"] < 2_000_000


@pytest.mark.parametrize("read", [
    lambda env: env.begin(), lambda env: env.begin(buffers=True), lambda env: env.get(b"k"),
])  # fmt: skip
def test_dropped_transactions_do_not_fill_the_table(open_env, read):
    env = open_env(max_readers=4)
    for _ in range(20):
        env.begin().get(b"k")
        read(env)


def test_readers_that_make_room_for_another_leave_it_its_database(open_env):
    env = open_env(max_readers=4, max_dbs=1)
    db = env.open_db(b"named")
    with env.begin(write=True, db=db) as txn:
        txn.put(b"k", b"of the named one")
    for _ in range(20):
        assert env.begin(db=db).get(b"k") == b"of the named one"


def test_readers_full_while_the_holder_lives(open_env, start_holder):
    env = open_env(max_readers=4)
    process = start_holder(env, 4)
    with pytest.raises(lmdb.ReadersFullError, match="max_readers"):
        env.begin()
    with pytest.raises(lmdb.ReadersFullError):
        env.get(b"k")
    kill(process)
    env.begin().abort()


def test_readers_full_within_the_process(open_env):
    env = open_env(max_readers=3)
    held = [env.begin() for _ in range(3)]
    with pytest.raises(lmdb.ReadersFullError):
        env.begin()
    held.pop().abort()
    env.begin().abort()


def test_writers_need_no_slot(open_env):
    env = open_env(max_readers=1)
    held = env.begin()
    with env.begin(write=True) as txn:
        txn.put(b"k", b"v")
    assert held.get(b"k") is None


def test_one_shot_reads_leave_the_last_slot_to_transactions(open_env):
    env = open_env(max_readers=1)
    env.get(b"k")
    with env.begin() as txn:
        assert txn.get(b"k") is None


@pytest.mark.parametrize("end", ["commit", "abort"])
def test_without_spares_a_slot_is_free_at_once(env, end):
    txn = env.begin()
    assert env.readers() != NONE
    getattr(txn, end)()
    assert env.readers() == NONE


def slots(env):
    text = env.readers()
    return 0 if text == NONE else text.count("\n") - 1


def test_spares_keep_their_slots(open_env):
    env = open_env(max_spare_txns=2)
    held = [env.begin() for _ in range(4)]
    assert slots(env) == 4
    for txn in held:
        txn.abort()
    assert slots(env) == 2
    held = [env.begin() for _ in range(3)]
    assert slots(env) == 3


@pytest.mark.parametrize("end", ["commit", "abort"])
def test_a_spare_sees_the_current_snapshot(open_env, end):
    env = open_env(max_spare_txns=1)
    for i in range(10):
        with env.begin(write=True) as txn:
            txn.put(b"k", b"%d" % i)
        reader = env.begin()
        assert reader.get(b"k") == b"%d" % i
        assert reader.id() == i + 1
        getattr(reader, end)()


def test_a_spare_holds_no_snapshot(open_env):
    """Pages that only the spare's old snapshot needed are used again."""
    env = open_env(max_spare_txns=1)
    with env.begin(write=True) as txn:
        txn.put(b"k", b"v" * 100_000)
    env.begin().abort()
    for _ in range(20):
        with env.begin(write=True) as txn:
            txn.put(b"k", b"w" * 100_000)
    assert env.info()["last_pgno"] < 150


def test_spares_end_with_set_mapsize_and_close(open_env):
    env = open_env(max_spare_txns=3)
    for txn in [env.begin() for _ in range(3)]:
        txn.abort()
    env.set_mapsize(1 << 25)
    assert slots(env) == 0
    env.begin().abort()
    env.close()


def test_a_finished_spare_is_still_finished(open_env):
    env = open_env(max_spare_txns=1)
    txn = env.begin()
    txn.abort()
    other = env.begin()
    with pytest.raises(lmdb.Error, match="closed"):
        txn.get(b"k")
    txn.abort()
    assert other.get(b"k") is None


def test_info_counts(open_env):
    env = open_env(max_readers=7)
    assert env.max_readers() == env.info()["max_readers"] == 7
    with env.begin():
        assert env.info()["num_readers"] >= 1
