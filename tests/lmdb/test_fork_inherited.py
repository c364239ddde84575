"""What a forked child can do with what it has inherited: its parent may have ended, and others write."""

from __future__ import annotations

import os

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork()")

PREPARE = """
import os, warnings
from zlmdb.lmdb.errors import ForkedError

warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 and later warn of forks beside threads
engine = int(sys.argv[1])
OPTIONS = dict(map_size=1 << 26, max_dbs=2, lib_version=engine, sync=False)
KEYS = [b"%04d" % i for i in range(2000)]

def write(env, value):
    with env.begin(write=True) as txn:
        for key in KEYS:
            txn.put(key, value)

def open_env(**options):
    return lmdb.open("env", **{**OPTIONS, **options})

def fork(function):
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            function()
            code = 0
        except BaseException:
            import traceback
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(code)
    return pid

def wait(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

def refused(function):
    try:
        result = function()
    except ForkedError as error:
        assert "open it again in the child" in str(error)
    else:
        raise AssertionError(result)

class Turns:
    '''Two processes that take turns.'''
    def __init__(self):
        self.here, self.there = os.pipe(), os.pipe()
    def swap(self):
        self.here, self.there = self.there, self.here
    def give(self):
        os.write(self.there[1], b"x")
    def take(self):
        assert os.read(self.here[0], 1) == b"x"

with open_env() as env:
    write(env, b"old")
del env

def orphan(begin):
    '''Runs the generator begin() in a child of a process that ends when the generator first yields; each
    later yield hands over to this process, as each next() here hands over to the child.'''
    turns = Turns()
    def parent():
        steps = begin()
        next(steps)
        def child():
            turns.swap()
            turns.take()
            for _ in steps:
                turns.give()
                turns.take()
            turns.give()
        fork(child)
    assert wait(fork(parent)) == 0
    while True:
        yield
        turns.give()
        turns.take()
"""

HANDLES = {
    "txn.get": "txn.get(b'0042')",
    "txn.get with views": "views.get(b'0042')",
    "txn.cursor": "txn.cursor()",
    "txn.stat": "txn.stat()",
    "txn.id": "txn.id()",
    "txn.items": "list(txn.items())",
    "txn.keys": "list(txn.keys(prefix=b'00'))",
    "cursor.key": "cursor.key()",
    "cursor.value": "cursor.value()",
    "cursor.next": "cursor.next()",
    "cursor.set_key": "cursor.set_key(b'0042')",
    "cursor.getmulti": "cursor.getmulti([b'0042'])",
    "cursor.iternext": "list(cursor.iternext())",
    "an iterator that has read ahead": "list(iterator)",
    "an iterator that has not begun": "list(fresh)",
    "an iterator over views": "list(over_views)",
    "open_db in a transaction": "env.open_db(b'named', txn=txn)",
    "dbs of a transaction": "env.dbs(txn)",
    "copy of a transaction": "env.copy('.', compact=True, txn=txn)",
    "put": "writer.put(b'0042', b'child')",
    "delete": "writer.delete(b'0042')",
    "a nested transaction": "env.begin(parent=writer, write=True)",
    "another writer": "env.begin(write=True)",
    "set_mapsize": "env.set_mapsize(1 << 27)",
    "commit": "txn.commit()",
    "commit of a writer": "writer.commit()",
}

BEGIN = """
def begin():
    env = open_env()
    txn, views, writer = env.begin(), env.begin(buffers=True), env.begin(write=True)
    cursor, ahead = txn.cursor(), txn.cursor()
    cursor.first()
    iterator, fresh, over_views = iter(ahead), iter(txn.cursor()), iter(views.cursor())
    for _ in range(20):
        next(iterator), next(over_views)
    yield
    for read in READS:
        try:
            refused(lambda: eval(read, {"env": env, "txn": txn, "views": views, "writer": writer,
                "cursor": cursor, "iterator": iterator, "fresh": fresh, "over_views": over_views}))
        except BaseException as error:
            print(read, repr(error)[:200])
    txn.abort(), views.abort(), writer.abort(), cursor.close(), env.close()
    print("good", flush=True)
"""

CHANGE = """
with open_env() as env:
    for i in range(20):
        write(env, b"new%d" % i)
"""


def run(run_child, engine, program):
    child = run_child(PREPARE + program, engine)
    assert (child.returncode, child.stdout, child.stderr) == (0, "good\n", "")


def test_a_child_cannot_read_what_its_parent_began_once_others_have_written(run_child, engine):
    program = f"READS = {list(HANDLES.values())!r}\n" + BEGIN + "step = orphan(begin)\nnext(step)\n" + CHANGE
    run(run_child, engine, program + "\nnext(step)\n")


@pytest.mark.parametrize("options", ["", "grow=True", "writemap=True", "readonly=True"])
def test_a_reader_of_a_child_keeps_its_snapshot_after_the_end_of_its_parent(run_child, engine, options):
    """The reader slot and the lock on the lock file must be the child's: those of the parent go with it."""
    program = f"""
def begin():
    env = open_env({options})
    env.begin().abort()
    yield
    with env.begin() as txn:
        assert txn.get(KEYS[0]) == b"old"
        yield
        assert set(txn.values()) == {{b"old"}}
    with env.begin() as txn:
        assert set(txn.values()) == {{b"new19"}}
    assert env.get(KEYS[3]) == b"new19"
    assert env.stat()["entries"] == len(KEYS)
    env.close()

step = orphan(begin)
next(step)
next(step)
with open_env() as env:
    assert env.reader_check() == 0
    assert env.readers().count("\\n") == 2
    for i in range(20):
        write(env, b"new%d" % i)
        env.reader_check()
    next(step)
    assert env.reader_check() == 0
    assert env.readers() == "(no active readers)\\n"
print("good")
"""
    run(run_child, engine, program)


def test_a_child_writes_through_what_it_inherited_when_nobody_was_writing(run_child, engine):
    program = """
env = open_env()
with env.begin() as txn:
    def write_there():
        write(env, b"child")
        assert env.get(KEYS[0]) == b"child"
    assert wait(fork(write_there)) == 0
    assert txn.get(KEYS[0]) == b"old"
assert env.get(KEYS[0]) == b"child"
write(env, b"parent")
assert env.get(KEYS[0]) == b"parent"
print("good")
"""
    run(run_child, engine, program)


def test_the_parent_is_unaffected_by_all_that_a_child_does(run_child, engine):
    program = """
env = open_env()
reader, writer = env.begin(), env.begin(write=True)
cursor = reader.cursor()
iterator = iter(cursor)
next(iterator)
writer.put(b"0000", b"parent")
before = env.readers()
def use():
    assert env.get(KEYS[0]) == b"old"
    with env.begin(buffers=True) as txn:
        assert len(list(txn.items())) == len(KEYS)
    refused(lambda: next(iterator))
    env.close()
    with open_env() as own:
        assert own.get(KEYS[0]) == b"old"
for _ in range(5):
    assert wait(fork(use)) == 0
assert env.readers() == before
assert len(list(iterator)) == len(KEYS) - 1
writer.commit()
assert env.get(KEYS[0]) == b"parent" and reader.get(KEYS[0]) == b"old"
print("good")
"""
    run(run_child, engine, program)


@pytest.mark.parametrize("used", [False, True])
def test_a_child_opens_the_path_of_its_parent(run_child, engine, used):
    """Also if it has used what it inherited: that is closed then, as two openings undo each other's locks."""
    program = f"""
env = open_env()
db = env.open_db(b"named")
txn = env.begin()
def use():
    if {used}:
        assert env.get(KEYS[0]) == b"old"
        held = env.begin()
    own = open_env()
    refused(lambda: env.get(KEYS[0]))
    refused(lambda: txn.get(KEYS[0]))
    refused(env.begin)
    refused(lambda: env.begin(write=True))
    write(own, b"own")
    own.open_db(b"named")
    assert own.readers() == env_readers
    try:
        open_env()
    except lmdb.Error as error:
        assert "already open in this process" in str(error)
    else:
        raise AssertionError
    own.close()
    with open_env() as again:
        assert again.get(KEYS[0]) == b"own"
env_readers = env.readers()
assert wait(fork(use)) == 0
assert env.get(KEYS[0]) == b"own" and txn.get(KEYS[0]) == b"old"
print("good")
"""
    run(run_child, engine, program)


def test_a_grandchild_has_readers_of_its_own(run_child, engine):
    program = """
env = open_env()
outer = env.begin()
def child():
    inner = env.begin()
    def grandchild():
        refused(lambda: outer.get(KEYS[0]))
        refused(lambda: inner.get(KEYS[0]))
        with env.begin() as txn:
            assert txn.get(KEYS[0]) == b"old"
            assert len(env.readers().splitlines()) == 4, env.readers()
        env.close()
        with open_env() as own:
            assert own.get(KEYS[0]) == b"old"
    assert wait(fork(grandchild)) == 0
    assert len(env.readers().splitlines()) == 3, env.readers()
    assert inner.get(KEYS[0]) == b"old"
    inner.abort()
assert wait(fork(child)) == 0
assert env.reader_check() == 0
assert outer.get(KEYS[0]) == b"old"
print("good")
"""
    run(run_child, engine, program)


def test_without_a_lock_file_a_child_reads_on(run_child, engine):
    """As loaders of data do that open with lock=False, and whose workers are forked."""
    program = """
env = open_env(lock=False, readonly=True)
txn = env.begin()
cursor = txn.cursor()
iterator = iter(txn.cursor())
next(iterator)
views = env.begin(buffers=True)
view = views.get(KEYS[5])
def use():
    assert txn.get(KEYS[0]) == env.get(KEYS[1]) == b"old"
    assert cursor.set_key(KEYS[2]) and cursor.value() == b"old" == bytes(view)
    assert len(list(iterator)) == len(KEYS) - 1
    txn.abort()
    env.close()
    with open_env(lock=False, readonly=True) as own:
        assert own.get(KEYS[0]) == b"old"
def open_anew():
    with open_env(lock=False, readonly=True) as own:
        assert own.get(KEYS[0]) == b"old"
    refused(lambda: env.get(KEYS[0]))
for function in use, open_anew, use:
    assert wait(fork(function)) == 0
assert txn.get(KEYS[0]) == b"old" and len(list(iterator)) == len(KEYS) - 1
print("good")
"""
    run(run_child, engine, program)


EXITS = {
    "a reader": "with env.begin() as txn:\n    {fork}",
    "a reader with a cursor": "with env.begin() as txn, txn.cursor() as c:\n    c.first()\n    {fork}",
    "a reader with views": "with env.begin(buffers=True) as txn:\n    view = txn.get(KEYS[0])\n    {fork}",
    "a writer": "with env.begin(write=True) as txn:\n    txn.put(b'k', b'v')\n    {fork}",
    "a nested writer": (
        "with env.begin(write=True) as outer, env.begin(parent=outer, write=True) as txn:\n"
        "    txn.put(b'k', b'v')\n    {fork}"
    ),
    "an iteration": "for key, value in env.begin().cursor():\n    {fork}\n    break",
    "an environment": "with env:\n    {fork}",
}


@pytest.mark.parametrize("block", EXITS.values(), ids=EXITS)
def test_a_child_leaves_the_block_that_it_was_forked_in(run_child, engine, block):
    """It goes on behind it, and ends as any program does, with all finalizers."""
    program = (
        """
env = open_env()
pid = None
"""
        + block.format(fork="pid = os.fork()")
        + """
if pid == 0:
    sys.exit(0)
assert wait(pid) == 0
env.close()
with open_env() as env:
    assert env.reader_check() == 0 and env.readers() == "(no active readers)\\n"
    assert env.get(KEYS[0]) == b"old"
    assert env.get(b"k") == (b"v" if "txn" in globals() and "put" in BLOCK else None)
print("good")
"""
    )
    run(run_child, engine, f"BLOCK = {block!r}\n" + program)


def test_workers_of_a_forked_pool(run_child, engine):
    program = """
import multiprocessing

env = open_env()

def inherited(key):
    with env.begin(buffers=True) as txn:
        return bytes(txn.get(key))

opened = None
def lazily(key):
    global opened
    if opened is None:
        opened = open_env(readonly=True)
    return opened.get(key)

with env.begin() as txn, multiprocessing.get_context("fork").Pool(3) as pool:
    assert pool.map(inherited, KEYS) == pool.map(lazily, KEYS) == [b"old"] * len(KEYS)
    pool.close()
    pool.join()
    assert txn.get(KEYS[0]) == b"old"
print("good")
"""
    run(run_child, engine, program)


def test_programs_that_are_executed_leave_the_parent_alone(run_child, engine):
    program = """
import subprocess
env = open_env()
with env.begin(write=True) as writer, env.begin() as reader:
    writer.put(b"k", b"v")
    before = env.readers()
    for options in {}, {"preexec_fn": lambda: None}, {"close_fds": False}:
        subprocess.run([sys.executable, "-c", "pass"], check=True, **options)
    if hasattr(os, "posix_spawn"):
        os.waitpid(os.posix_spawn(sys.executable, [sys.executable, "-c", "pass"], os.environ), 0)
    assert env.readers() == before
assert env.get(b"k") == b"v"
print("good")
"""
    run(run_child, engine, program)


def test_views_that_a_child_inherited_are_memory(run_child, engine):
    """They show what the parent's transaction shows while that lasts, and never crash afterwards."""
    program = (
        """
def begin():
    env = open_env()
    txn = env.begin(buffers=True)
    view = txn.get(KEYS[7])
    rest = view[1:]
    def check():
        assert bytes(view) == b"old" and bytes(rest) == b"ld"
    assert wait(fork(check)) == 0
    yield
    assert len(bytes(view)) == 3
    txn.abort()
    try:
        view[0]
    except ValueError:
        assert len(bytes(rest)) == 2
    else:
        raise AssertionError
    env.close()
    assert len(bytes(rest)) == 2
    print("good", flush=True)
step = orphan(begin)
next(step)
"""
        + CHANGE
        + "next(step)\n"
    )
    run(run_child, engine, program)


def test_a_child_opens_databases_that_a_thread_of_the_parent_was_opening(run_child, engine):
    """A lock that it held must not hold up the child, nor may half-open databases be taken for open."""
    program = """
import signal
env = open_env()
with env.begin(write=True) as txn:
    txn.put(KEYS[0], b"parent")
    env.open_db(b"provisional", txn=txn)
    def use():
        signal.alarm(20)
        try:
            env.open_db(b"provisional", create=False)
        except (lmdb.NotFoundError, lmdb.ReadonlyError, ForkedError):
            pass
        else:
            raise AssertionError
        env.close()
        own = open_env(readonly=True)
        assert own.dbs() == []
    assert wait(fork(use)) == 0
assert env.dbs() == [b"provisional"]
print("good")
"""
    run(run_child, engine, program)


def test_asyncio_in_a_child(run_child, engine):
    program = """
import asyncio, signal
from zlmdb.lmdb import aio
env = open_env()
wrapped = aio.wrap(env)
async def begin():
    return await wrapped.begin(), await wrapped.begin(write=True)
reader, writer = asyncio.run(begin())
async def check():
    assert await wrapped.get(KEYS[0]) == b"old"
    async with wrapped.begin() as txn:
        assert await txn.get(KEYS[0]) == b"old"
    for call in reader.get, writer.get:
        try:
            await call(KEYS[0])
        except lmdb.Error as error:
            assert "open it again in the child" in str(error), error
        else:
            raise AssertionError
def use():
    signal.alarm(20)
    asyncio.run(check())
assert wait(fork(use)) == 0
async def end():
    await writer.put(KEYS[0], b"parent")
    await writer.commit()
    assert await reader.get(KEYS[0]) == b"old"
asyncio.run(end())
assert env.get(KEYS[0]) == b"parent"
print("good")
"""
    run(run_child, engine, program)
