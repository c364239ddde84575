"""Several threads on one environment: what ends under a reader gives an error, never a crash or wrong bytes.

Races are run many times between barriers, in bounded loops; what is asserted is that nothing but success or
`lmdb.Error` comes out, and that every value that was read is whole.
"""

from __future__ import annotations

import contextlib
import threading

import pytest

import zlmdb.lmdb as lmdb

CLOSED = r"^Attempt to operate on closed/deleted/dropped object\.$"
LARGE = bytes(range(256)) * 2000


def race(in_thread, rounds, *functions):
    """Run the functions side by side, each once a round; what came out, other than `lmdb.Error`."""
    barrier = threading.Barrier(len(functions))
    results = []

    def run(function):
        for number in range(rounds):
            barrier.wait(30)
            try:
                results.append(function(number))
            except lmdb.Error:
                pass
            except BaseException:
                barrier.abort()
                raise

    outcomes = [in_thread(run, function) for function in functions]
    broken = []
    for outcome in outcomes:
        try:
            outcome.result(60)
        except threading.BrokenBarrierError as error:  # by the thread that says why
            broken.append(error)
    assert not broken
    return results


def test_close_against_get(open_env, in_thread):
    """One thread reads as fast as it can while the environment is closed and opened again, 200 times."""
    with open_env().begin(write=True) as txn:
        txn.put(b"k", LARGE)
    current = [open_env("second")]
    done = threading.Event()
    reads = [0]

    def read():
        while not done.is_set():
            try:
                with current[0].begin() as txn:
                    assert txn.get(b"k") in (None, LARGE)
                assert current[0].get(b"k") in (None, LARGE)
                reads[0] += 1
            except lmdb.Error:
                pass

    threads = [in_thread(read) for _ in range(2)]
    for _ in range(200):
        current[0].close()
        current[0] = open_env("second")
        with current[0].begin(write=True) as txn:
            txn.put(b"k", LARGE)
    done.set()
    for thread in threads:
        thread.result()
    assert current[0].get(b"k") == LARGE


@pytest.mark.parametrize("buffers", [False, True])
def test_abort_against_reads(open_env, in_thread, buffers):
    env = open_env(map_size=64 << 20)
    with env.begin(write=True) as txn:
        for i in range(50):
            txn.put(b"%02d" % i, LARGE)
    txns = [env.begin(buffers=buffers) for _ in range(100)]
    cursors = [txn.cursor() for txn in txns]

    def copy(data):
        try:
            return bytes(data)
        except ValueError:  # released in the meantime
            return LARGE

    def first(n):
        if cursors[n].first():
            assert copy(cursors[n].value()) in (LARGE, b"")

    results = race(
        in_thread, 100,
        lambda n: copy(txns[n].get(b"07")), lambda n: txns[n].abort(), first, lambda n: len(list(cursors[n])),
    )  # fmt: skip
    assert all(result in (None, LARGE) or isinstance(result, int) for result in results)
    assert env.readers() == "(no active readers)\n"


def test_cursor_close_against_reads(env, in_thread):
    with env.begin(write=True) as txn:
        txn.put(b"k", LARGE)
    txn = env.begin()
    cursors = [txn.cursor() for _ in range(200)]
    for cursor in cursors:
        cursor.first()
    results = race(in_thread, 200, lambda n: cursors[n].value(), lambda n: cursors[n].close())
    assert set(results) <= {None, LARGE, b""}


def test_parent_abort_against_child_commit(env, in_thread):
    """Whoever is second gets an error; LMDB's writer lock is never lost."""
    children = []
    ready = threading.Barrier(2)

    def own(number):
        parent = env.begin(write=True)
        child = env.begin(write=True, parent=parent)
        child.put(b"%d" % number, b"v")
        children.append((parent, child))
        ready.wait(30)
        with contextlib.suppress(lmdb.Error):
            child.commit()
        ready.wait(30)
        parent.abort()

    def other(number):
        ready.wait(30)
        with contextlib.suppress(lmdb.Error):
            children[number][0].abort()
        ready.wait(30)

    threads = [
        in_thread(lambda: [own(n) for n in range(100)]),
        in_thread(lambda: [other(n) for n in range(100)]),
    ]
    for thread in threads:
        thread.result()
    assert env.stat()["entries"] == 0


def test_set_mapsize_against_reads(env, in_thread):
    with env.begin(write=True) as txn:
        txn.put(b"k", LARGE)

    def read(number):
        with env.begin() as txn:
            values = [txn.get(b"k"), *txn.cursor().iternext(keys=False)]
        assert set(values) == {LARGE}
        assert env.get(b"k") == LARGE

    race(
        in_thread,
        100,
        read,
        read,
        lambda n: env.set_mapsize((16 + n % 3) << 20),
        lambda n: env.stat() and env.info(),
    )
    assert env.get(b"k") == LARGE


def test_second_writer_of_the_same_thread(env):
    with env.begin(write=True):
        with pytest.raises(lmdb.Error, match="already has a write transaction") as caught:
            env.begin(write=True)
        assert caught.value.code == 16
    env.begin(write=True).abort()


def test_writers_take_turns(env, in_thread):
    """No update is lost, whoever waits."""

    def count():
        for _ in range(100):
            with env.begin(write=True) as txn:
                txn.put(b"n", b"%d" % (int(txn.get(b"n", b"0")) + 1))

    for thread in [in_thread(count) for _ in range(4)]:
        thread.result()
    assert env.get(b"n") == b"400"


def test_a_waiting_writer_is_told_of_the_close(env, in_thread):
    waiting = threading.Event()

    def write():
        waiting.set()
        with env.begin(write=True) as txn:
            return txn.put(b"k", b"v")

    txn = env.begin(write=True)
    thread = in_thread(write)
    assert waiting.wait(30)
    env.close()
    with pytest.raises(lmdb.Error):
        thread.result()
    txn.abort()


def test_close_waits_for_another_threads_writer(env, in_thread):
    closing = threading.Event()

    def close():
        closing.set()
        env.close()

    txn = env.begin(write=True)
    txn.put(b"k", b"v")
    thread = in_thread(close)
    assert closing.wait(30)
    txn.put(b"l", b"w")
    assert thread.thread.is_alive()
    txn.commit()
    thread.result()
    with pytest.raises(lmdb.Error, match=CLOSED):
        env.stat()


def test_commit_by_another_thread_is_refused(env, in_thread):
    txn = env.begin(write=True)
    txn.put(b"k", b"v")
    with pytest.raises(lmdb.Error, match="belongs to the thread that began it"):
        in_thread(txn.commit).result()
    assert txn.get(b"k") == b"v"
    txn.commit()
    assert env.get(b"k") == b"v"


def test_abort_by_another_thread_dooms_the_transaction(env, in_thread):
    """For Python it is finished; LMDB's lock goes when its own thread begins to write next."""
    txn = env.begin(write=True)
    txn.put(b"k", b"v")
    in_thread(txn.abort).result()
    with pytest.raises(lmdb.Error, match=CLOSED):
        txn.put(b"l", b"w")
    with pytest.raises(lmdb.Error, match=CLOSED):
        txn.commit()
    with env.begin(write=True) as again:
        assert again.get(b"k") is None
        again.put(b"m", b"x")
    assert env.get(b"m") == b"x"


def test_a_doomed_transaction_does_not_hang_other_writers(env, in_thread):
    txn = env.begin(write=True)
    in_thread(txn.abort).result()
    with pytest.raises(lmdb.Error, match="thread"):
        in_thread(lambda: env.begin(write=True)).result()
    env.begin(write=True).abort()
    in_thread(lambda: env.begin(write=True).abort()).result()


def test_a_thread_that_exits_ends_its_write_transaction(env, in_thread):
    """LMDB would take the environment for damaged by a thread that died."""
    txn = in_thread(lambda: env.begin(write=True)).result()
    with env.begin(write=True) as next_one:
        next_one.put(b"k", b"v")
    with pytest.raises(lmdb.Error, match=CLOSED):
        txn.put(b"l", b"w")
    assert list(env.begin().keys()) == [b"k"]


def test_a_thread_that_exits_ends_a_doomed_transaction(env, in_thread):
    begun, aborted = threading.Event(), threading.Event()

    def work():
        txns.append(env.begin(write=True))
        begun.set()
        assert aborted.wait(30)

    txns: list[lmdb.Transaction] = []
    in_thread(work)
    assert begun.wait(30)
    txns.pop().abort()
    aborted.set()
    with env.begin(write=True) as txn:
        txn.put(b"k", b"v")
    assert env.get(b"k") == b"v"


def test_readers_move_between_threads(env, in_thread):
    with env.begin(write=True) as txn:
        for i in range(100):
            txn.put(b"%02d" % i, b"v%d" % i)
    txn = env.begin()
    cursor = txn.cursor()
    iterator = cursor.iternext()
    assert next(iterator) == (b"00", b"v0")
    assert in_thread(lambda: txn.get(b"42")).result() == b"v42"
    assert in_thread(lambda: next(iterator)).result() == (b"01", b"v1")
    assert in_thread(cursor.item).result() == (b"01", b"v1")
    assert in_thread(lambda: list(iterator)).result() == [(b"%02d" % i, b"v%d" % i) for i in range(2, 100)]
    in_thread(txn.commit).result()
    assert env.readers() == "(no active readers)\n"


def test_one_read_transaction_in_many_threads(env, in_thread):
    """Every thread gets the value of its own key, whatever the others read at the time."""
    records = [(b"%03d" % i, b"%d" % i * (i % 50 + 1)) for i in range(300)]
    with env.begin(write=True) as txn:
        txn.cursor().putmulti(records)
    txn = env.begin()

    def read(offset):
        for key, value in (records[offset:] + records[:offset]) * 4:
            assert txn.get(key) == value
        assert list(txn.items()) == records
        cursor = txn.cursor()
        for key, value in records:
            assert cursor.get(key) == value
            assert cursor.item() == (key, value)

    for thread in [in_thread(read, offset) for offset in (0, 70, 140, 210)]:
        thread.result()


def test_one_cursor_in_many_threads(env, in_thread):
    """Which record is seen is not defined, that it is a whole one is."""
    records = {b"%03d" % i: b"%d" % i * 20 for i in range(100)}
    with env.begin(write=True) as txn:
        txn.cursor().putmulti(records.items())
    cursor = env.begin().cursor()

    def walk():
        for _ in range(300):
            if cursor.next():
                key, value = cursor.item()
                assert (key, value) == (b"", b"") or records[key] == value

    for thread in [in_thread(walk) for _ in range(3)]:
        thread.result()


def test_a_value_is_copied_whole_while_another_thread_aborts(env, in_thread):
    """The copy of 64 MiB takes long enough for the abort to come in the middle; it has to wait."""
    env.set_mapsize(256 << 20)
    value = b"\x5a" * (64 << 20)
    with env.begin(write=True) as txn:
        txn.put(b"k", value)
    results = []
    for _ in range(4):
        txn = env.begin()
        results += race(
            in_thread, 1, lambda _, txn=txn: txn.get(b"k") == value, lambda _, txn=txn: txn.abort()
        )
    assert set(results) <= {None, True}


def test_open_db_from_many_threads(env, in_thread):
    names = [b"db%d" % i for i in range(8)]

    def open_all():
        return [env.open_db(name) for name in names]

    first, *others = [thread.result() for thread in [in_thread(open_all) for _ in range(4)]]
    for other in others:
        assert all(one is two for one, two in zip(first, other, strict=True))


def test_open_and_close_from_many_threads(open_env, in_thread):
    """The guard against opening a file twice is one for the process."""

    def cycle(name):
        for _ in range(30):
            with open_env(name) as env, env.begin(write=True) as txn:
                txn.put(b"k", b"v")

    for thread in [in_thread(cycle, f"env{i}") for i in range(4)]:
        thread.result()
