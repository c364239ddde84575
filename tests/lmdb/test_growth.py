"""A map that grows by itself, and one that does not."""

from __future__ import annotations

import resource
import sys

import pytest

import zlmdb.lmdb as lmdb

START = 1 << 20
VALUE = b"v" * 1000


@pytest.fixture(params=[False, True], ids=["map", "writemap"])
def growing(open_env, request):
    """Return an environment of one mebibyte that grows."""
    return open_env(map_size=START, grow=True, writemap=request.param)


def fill(txn, count, start=0, **options):
    for i in range(start, start + count):
        assert txn.put(b"%08d" % i, VALUE, **options)


def check(env, count):
    with env.begin() as txn:
        assert txn.stat()["entries"] == count
        assert list(txn.items()) == [(b"%08d" % i, VALUE) for i in range(count)]


def test_without_growth_the_map_fills_up(open_env):
    env = open_env(map_size=START)
    txn = env.begin(write=True)
    with pytest.raises(lmdb.MapFullError) as caught:
        fill(txn, 2000)
    assert "Please use a larger Environment(map_size=) parameter" in str(caught.value)
    txn.abort()
    assert env.stat()["entries"] == 0
    assert env.info()["map_size"] == START


def test_in_a_transaction(growing):
    with growing.begin(write=True) as txn:
        fill(txn, 5000)
    check(growing, 5000)
    assert growing.info()["map_size"] > 5000 * 1000


def test_over_many_transactions(growing):
    for start in range(0, 4000, 100):
        with growing.begin(write=True) as txn:
            fill(txn, 100, start)
    check(growing, 4000)


def test_in_a_batch(growing):
    """No item is lost, and none counted twice, at the place where the map was full."""
    items = [(b"%08d" % i, VALUE) for i in range(5000)]
    with growing.begin(write=True) as txn:
        assert txn.cursor().putmulti(items) == (5000, 5000)
    check(growing, 5000)


@pytest.mark.parametrize("overwrite", [True, False])
def test_in_a_batch_of_duplicates(growing, overwrite):
    db = growing.open_db(b"dups", dupsort=True)
    items = [(b"%08d" % (i // 10), b"%0300d" % i) for i in range(10_000)]
    with growing.begin(db, write=True) as txn:
        consumed, added = txn.cursor().putmulti(items, dupdata=False, overwrite=overwrite)
        assert consumed == 10_000
        assert added == (10_000 if overwrite else 1000)
        assert txn.stat()["entries"] == added
        assert list(txn.items()) == (items if overwrite else items[::10])


def test_one_value_larger_than_the_map(growing):
    with growing.begin(write=True) as txn:
        txn.put(b"k", b"x" * (8 * START))
        assert txn.get(b"k") == b"x" * (8 * START)
    assert growing.get(b"k") == b"x" * (8 * START)


def test_in_a_nested_transaction(open_env):
    env = open_env(map_size=START, grow=True)
    with env.begin(write=True) as parent:
        fill(parent, 100)
        with env.begin(write=True, parent=parent) as child:
            fill(child, 4000, 100)
        fill(parent, 1000, 4100)
    check(env, 5100)


def test_an_aborted_child_that_grew_the_map(open_env):
    env = open_env(map_size=START, grow=True)
    with env.begin(write=True) as parent:
        fill(parent, 100)
        child = env.begin(write=True, parent=parent)
        fill(child, 4000, 100)
        child.abort()
        fill(parent, 10, 100)
    check(env, 110)


def test_an_aborted_transaction_that_grew_the_map(growing):
    txn = growing.begin(write=True)
    fill(txn, 5000)
    txn.abort()
    with growing.begin(write=True) as txn:
        fill(txn, 10)
    check(growing, 10)


def test_readers_and_iterators_live_through_growth(growing):
    with growing.begin(write=True) as txn:
        fill(txn, 100)
    reader = growing.begin()
    iterator = reader.cursor().iternext()
    assert next(iterator) == (b"%08d" % 0, VALUE)
    with growing.begin(write=True) as txn:
        fill(txn, 5000, 100)
    assert list(iterator) == [(b"%08d" % i, VALUE) for i in range(1, 100)]
    reader.abort()
    check(growing, 5100)


def test_a_cursor_of_the_writer_lives_through_growth(growing):
    with growing.begin(write=True) as txn:
        fill(txn, 100)
        cursor = txn.cursor()
        assert cursor.set_key(b"%08d" % 50)
        fill(txn, 5000, 100)
        assert cursor.item() == (b"%08d" % 50, VALUE)
        assert cursor.next()
        assert cursor.key() == b"%08d" % 51


def test_with_set_mapsize_in_between(growing):
    with growing.begin(write=True) as txn:
        fill(txn, 3000)
    growing.set_mapsize(32 * START)
    with growing.begin(write=True) as txn:
        fill(txn, 3000, 3000)
    check(growing, 6000)
    assert growing.info()["map_size"] >= 32 * START


def test_growth_beyond_what_set_mapsize_gave(growing):
    growing.set_mapsize(2 * START)
    with growing.begin(write=True) as txn:
        fill(txn, 5000)
    check(growing, 5000)


def test_auto_is_the_default_size_and_growth(open_env):
    env = open_env(map_size="auto")
    assert env.info()["map_size"] == 10 * 1024 * 1024
    with env.begin(write=True) as txn:
        fill(txn, 15_000)
    check(env, 15_000)


@pytest.mark.parametrize("size", ["large", "", b"auto", 1.5, None])
def test_other_words_are_refused(open_env, size):
    with pytest.raises(TypeError, match="map_size must be an integer"):
        open_env(map_size=size)


def test_reopening_a_file_larger_than_the_map(open_env):
    env = open_env(map_size=START, grow=True)
    with env.begin(write=True) as txn:
        fill(txn, 5000)
    env.close()
    again = open_env(map_size=START, grow=True)
    check(again, 5000)
    with again.begin(write=True) as txn:
        fill(txn, 5000, 5000)
    check(again, 10_000)


WRITER = """
env = lmdb.open(sys.argv[1], map_size=1 << 20, lib_version=int(sys.argv[2]), max_dbs=8, sync=False, grow=True)
with env.begin(write=True) as txn:
    for i in range(int(sys.argv[3]), int(sys.argv[4])):
        assert txn.put(b"%08d" % i, b"v" * 1000)
"""


def write_elsewhere(run_child, env, engine, start, stop):
    child = run_child(WRITER, env.path(), engine, start, stop)
    assert (child.returncode, child.stderr) == (0, "")


def test_another_process_grew_it(growing, run_child, engine):
    """Reads and writes follow; what an older snapshot sees stays."""
    with growing.begin(write=True) as txn:
        fill(txn, 10)
    reader = growing.begin()
    write_elsewhere(run_child, growing, engine, 10, 5000)
    assert reader.stat()["entries"] == 10
    check(growing, 5000)
    with growing.begin(write=True) as txn:
        fill(txn, 5000, 5000)
    check(growing, 10_000)
    write_elsewhere(run_child, growing, engine, 10_000, 20_000)
    with growing.begin(write=True) as txn:
        assert txn.stat()["entries"] == 20_000
        fill(txn, 1, 20_000)
    assert growing.get(b"%08d" % 19_999) == VALUE
    assert list(reader.keys()) == [b"%08d" % i for i in range(10)]


def test_another_process_grew_it_between_one_shot_reads(growing, run_child, engine):
    with growing.begin(write=True) as txn:
        fill(txn, 10)
    assert growing.get(b"%08d" % 1) == VALUE
    write_elsewhere(run_child, growing, engine, 10, 5000)
    assert growing.get(b"%08d" % 4999) == VALUE
    assert growing.getmulti([b"%08d" % 4000]) == [(b"%08d" % 4000, VALUE)]
    assert growing.stat()["entries"] == 5000


def test_another_process_grew_it_before_open_db(growing, run_child, engine):
    write_elsewhere(run_child, growing, engine, 0, 5000)
    assert growing.open_db(b"named").flags()["dupsort"] is False


def test_another_process_grew_a_map_that_does_not_follow(open_env, run_child, engine):
    env = open_env(map_size=START)
    write_elsewhere(run_child, env, engine, 0, 5000)
    for write in (False, True):
        with pytest.raises(lmdb.MapResizedError, match=r"set_mapsize\(0\)"):
            env.begin(write=write)
    env.set_mapsize(0)
    check(env, 5000)


LIMITED = """
import resource
env = lmdb.open("env", map_size=1 << 20, lib_version=int(sys.argv[1]), sync=False, grow=True)
env.close()
limit = int(open("/proc/self/statm").read().split()[0]) * 4096 + (64 << 20)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
env = lmdb.open("env", map_size=1 << 20, sync=False, grow=True)
try:
    for start in range(0, 200_000, 500):  # small transactions: what runs out is the map, not the heap
        with env.begin(write=True) as txn:
            for i in range(start, start + 500):
                txn.put(b"%08d" % i, b"v" * 1000)
except lmdb.MapFullError as error:
    print("full:", error)
with env.begin(write=True) as txn:
    txn.delete(b"%08d" % 0)
with env.begin(write=True) as txn:
    txn.put(b"k", b"v")
print(env.get(b"k"))
"""


@pytest.mark.skipif(
    not sys.platform.startswith("linux") or not hasattr(resource, "RLIMIT_AS"), reason="needs RLIMIT_AS"
)
def test_a_map_that_cannot_grow_says_why(run_child, engine):
    """Address space runs out: a typed error that says so, and the environment stays usable."""
    child = run_child(LIMITED, engine)
    assert (child.returncode, child.stderr) == (0, "")
    full, value = child.stdout.splitlines()
    assert full.startswith("full: ")
    assert "address space" in full
    assert value == "b'v'"


FILE_LIMITED = """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4 << 20, 4 << 20))
env = lmdb.open("env", map_size=1 << 20, lib_version=int(sys.argv[1]), sync=False, grow=True)
with env.begin(write=True) as txn:
    txn.put(b"k", b"v")
try:
    with env.begin(write=True) as txn:
        for i in range(20_000):
            txn.put(b"%08d" % i, b"v" * 1000)
except lmdb.Error as error:
    print("error:", error)
with env.begin(write=True) as txn:
    txn.put(b"l", b"w")
print(env.get(b"k"), env.get(b"l"), env.stat()["entries"])
"""


def test_a_file_that_cannot_grow(run_child, engine):
    """The commit fails with what the system says; what was committed before stays."""
    child = run_child(FILE_LIMITED, engine)
    assert (child.returncode, child.stderr) == (0, "")
    error, values = child.stdout.splitlines()
    assert error.startswith("error: mdb_txn_commit: ")
    assert values == "b'v' b'w' 2"


def test_threads_read_while_the_map_grows(growing, in_thread):
    with growing.begin(write=True) as txn:
        fill(txn, 100)

    def read():
        for i in range(3000):
            assert growing.get(b"%08d" % (i % 100)) == VALUE

    threads = [in_thread(read) for _ in range(3)]
    for start in range(100, 5000, 700):
        with growing.begin(write=True) as txn:
            fill(txn, 700, start)
    for thread in threads:
        thread.result()
