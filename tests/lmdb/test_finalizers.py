"""What goes together is freed in an order: finalizers of Python's first, and what they may use after them.

An object in a garbage cycle with an environment, or with anything of it, may use all of that in its
finalizer.
"""

from __future__ import annotations

import sys

import pytest

CYCLES = """
import asyncio, gc, itertools
from zlmdb.lmdb import aio
engine = int(sys.argv[1])
failures = []
sys.unraisablehook = lambda problem: failures.append(repr(problem.exc_value))

class User:
    def __del__(self):
        self.use(self)

def collect():
    for _ in range(6):
        gc.collect()

def check(name, older, make, use):
    path = f"{name}-{older}"
    def cycle():
        user = User() if older else None
        env = lmdb.open(path, max_dbs=3, lib_version=engine)
        with env.begin(write=True) as txn:
            txn.put(b"k", b"v")
        things = make(env)
        user = user or User()
        user.env, user.things, user.use, user.me = env, things, use, user
    cycle()
    collect()
    with lmdb.open(path, lib_version=engine, create=False) as env:
        got = env.get(b"name")
        if got != name.encode():
            failures.append(f"{path}: stored {got}")
        if env.readers().count("\\n") != 1:
            failures.append(f"{path}: {env.readers()}")

def store(user, name):
    with user.env.begin(write=True) as txn:
        txn.put(b"name", name)
    assert user.env.get(b"name") == name

def use_env(user):
    store(user, b"env")
    user.env.info(), user.env.stat(), user.env.sync(True), user.env.flags(), user.env.readers()
    user.env.copy(os.fspath(copies()), compact=True)

def copies(numbers=itertools.count()):
    path = f"copy{next(numbers)}"
    os.mkdir(path)
    return path

def use_db(user):
    with user.env.begin(user.things, write=True) as txn:
        txn.put(b"a", b"b")
    assert user.env.get(b"a", db=user.things) == b"b"
    store(user, b"db")

def use_reader(user):
    assert user.things.get(b"k") == b"v"
    assert [*user.things.items()] == [(b"k", b"v")]
    store(user, b"reader")

def use_writer(user):
    user.things.put(b"name", b"writer")
    user.things.commit()

def use_cursor(user):
    assert user.things.first() and user.things.item() == (b"k", b"v")
    assert user.things.put(b"name", b"cursor")
    user.things._pytxn.commit()

def use_iterator(user):
    assert next(user.things) == (b"k", b"v")
    assert next(user.things, None) is None
    store(user, b"iterator")

def use_view(user):
    txn, view, piece = user.things
    assert bytes(view) == b"v" and bytes(piece) == b"v"
    assert bytes(txn.get(b"k")) == b"v"
    store(user, b"view")

def use_closed_view(user):
    txn, view, piece = user.things
    store(user, b"closed")
    txn.abort()
    user.env.close()
    for one in (view, piece):
        try:
            one.tobytes()
        except ValueError:
            pass

def use_wrapper(user):
    async def main():
        async with user.things.begin(write=True) as txn:
            await txn.put(b"name", b"aio")
        assert await user.things.get(b"name") == b"aio"
    asyncio.run(main())

def viewed(env):
    txn = env.begin(buffers=True)
    view = txn.get(b"k")
    return txn, view, view[:]

cases = {
    "env": (lambda env: None, use_env),
    "db": (lambda env: env.open_db(b"named"), use_db),
    "reader": (lambda env: env.begin(), use_reader),
    "writer": (lambda env: env.begin(write=True), use_writer),
    "cursor": (lambda env: env.begin(write=True).cursor(), use_cursor),
    "iterator": (lambda env: env.begin().items(), use_iterator),
    "view": (viewed, use_view),
    "closed": (viewed, use_closed_view),
    "aio": (aio.wrap, use_wrapper),
}
for name, (make, use) in cases.items():
    for older in (True, False):
        check(name, older, make, use)
print(failures)
"""


def test_everything_can_be_used_by_a_finalizer_in_its_cycle(run_child, engine, monkeypatch):
    monkeypatch.setenv("MALLOC_PERTURB_", "165")  # glibc overwrites what is freed: its use crashes
    child = run_child(CYCLES, engine, timeout=300)
    assert (child.returncode, child.stderr) == (0, "")
    assert child.stdout == "[]\n"


SUSPENDED = """
import gc
engine, kind = int(sys.argv[1]), sys.argv[2]
failures = []
sys.unraisablehook = lambda problem: failures.append(repr(problem.exc_value))

def finish(env):
    with env.begin(write=True) as txn:
        txn.put(b"name", kind.encode())
    assert env.get(b"name") == kind.encode()

def generator(env, box):
    try:
        with env.begin() as txn:
            for item in txn.items():
                yield item
    finally:
        finish(env)

class Pause:
    def __await__(self):
        yield

async def coroutine(env, box):
    try:
        with env.begin(buffers=True) as txn:
            view = txn.get(b"k")
            await Pause()
    finally:
        finish(env)

for older in (True, False):
    def cycle():
        box = []
        env = None if older else lmdb.open("env", lib_version=engine)
        env = env or lmdb.open("env", lib_version=engine)
        with env.begin(write=True) as txn:
            txn.put(b"k", b"v"), txn.put(b"l", b"w"), txn.delete(b"name")
        suspended = (generator if kind == "generator" else coroutine)(env, box)
        suspended.send(None)
        box.append(suspended)
    cycle()
    for _ in range(6):
        gc.collect()
    with lmdb.open("env", lib_version=engine) as env:
        if env.get(b"name") != kind.encode():
            failures.append(f"stored {env.get(b'name')}")
print(failures)
"""


@pytest.mark.parametrize("kind", ["generator", pytest.param("coroutine", marks=pytest.mark.skipif(
    sys.implementation.name == "pypy", reason="PyPy runs no `finally` of a coroutine that is dropped"
))])  # fmt: skip
def test_what_is_suspended_finishes_with_its_environment(run_child, engine, kind):
    child = run_child(SUSPENDED, engine, kind)
    assert (child.returncode, child.stdout, child.stderr) == (0, "[]\n", "")


AT_EXIT = """
engine, kind = int(sys.argv[1]), sys.argv[2]
class User:
    def __del__(self):
        with self.env.begin(write=True) as txn:
            txn.put(b"name", b"at exit")
        self.env.stat()
        if os.environ.get("CLOSE"):
            self.env.close()
user = User()
user.env = lmdb.open("env", lib_version=engine)
if kind == "cycle":
    user.me = user
    del user
elif kind == "shared":
    env, left = user.env, user.env.begin(buffers=True)
    view = left.get(b"k")
elif kind == "function":
    def keep(user=user):
        return user
    user.keep = keep
"""


@pytest.mark.parametrize("kind", ["global", "cycle", "shared", "function"])
@pytest.mark.parametrize("close", ["", "1"])
def test_a_finalizer_at_the_interpreters_exit(run_child, engine, kind, close, monkeypatch):
    """What it wrote is there, or it did not run, as on PyPy; there is never a crash."""
    monkeypatch.setenv("CLOSE", close)
    child = run_child(AT_EXIT, engine, kind)
    assert (child.returncode, child.stderr) == (0, "")
    read = "env = lmdb.open('env', lib_version=int(sys.argv[1])); print(env.get(b'name'))"
    expected = "b'at exit'\n" if sys.implementation.name == "cpython" else "None\n"
    assert run_child(read, engine).stdout in {expected, "b'at exit'\n"}


IN_ANOTHER_THREAD = """
import gc, threading
engine = int(sys.argv[1])
release, made = threading.Event(), threading.Event()
box = []
def work():
    env = lmdb.open("env", lib_version=engine)
    cycle = [env, env.begin(write=True)]
    cycle.append(cycle)
    del env, cycle
    made.set()
    release.wait(30)
gc.disable()
thread = threading.Thread(target=work)
thread.start()
made.wait(30)
for _ in range(6):
    gc.collect()
with lmdb.open("env", lib_version=engine) as env:
    env.get(b"k")
release.set()
thread.join()
with lmdb.open("env", lib_version=engine) as env, env.begin(write=True) as txn:
    txn.put(b"k", b"v")
print("good")
"""


def test_a_writer_collected_by_another_thread_than_its_own(run_child, engine):
    """Whichever goes first, it or its environment: nobody waits for it."""
    child = run_child(IN_ANOTHER_THREAD, engine)
    assert (child.returncode, child.stdout, child.stderr) == (0, "good\n", "")


def test_no_class_has_a_finalizer_in_python():
    """It would swallow what signal handlers raise in it."""
    from zlmdb import lmdb
    from zlmdb.lmdb import cleanup, pool, views

    classes = [
        lmdb.Environment,
        lmdb.Transaction,
        lmdb.Cursor,
        cleanup.TransactionCleanup,
        pool.PooledHandle,
        pool.Pool,
    ]
    if sys.implementation.name == "cpython":
        classes.append(views.Views)
    assert [klass for klass in classes if hasattr(klass, "__del__")] == []
