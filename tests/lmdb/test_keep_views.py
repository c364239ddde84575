"""`keep_views=True`, or ZLMDB_KEEP_VIEWS=1: views stay readable until the environment closes.

What they show may change. Some of this runs in a process of its own: a failure would be a crash.
"""

from __future__ import annotations

import gc
import sys
import weakref

import pytest

from zlmdb import lmdb


def fill(env, value=b"value"):
    with env.begin(write=True) as txn:
        for number in range(300):
            txn.put(b"%03d" % number, value + b"%03d" % number)


@pytest.fixture(params=[{}, {"grow": True}, {"writemap": True}], ids=["plain", "growing", "writemap"])
def env(request, open_env):
    env = open_env(keep_views=True, map_size=1 << 20, **request.param)
    fill(env)
    return env


def returned_from_a_block(env):
    with env.begin(buffers=True) as txn:
        return txn.get(b"007")


def test_a_view_that_is_returned_from_a_block(env):
    view = returned_from_a_block(env)
    assert view == b"value007"
    assert {view: 1}[b"value007"] == 1
    assert bytes(view[5:]) == b"007"


@pytest.mark.parametrize(
    ("end", "write"),
    [
        *((end, write) for end in ("commit", "abort", "drop") for write in (False, True)),
        ("set_mapsize", False),
    ],
)
@pytest.mark.parametrize("buffers", [True, "values"])
def test_views_outlive_their_transaction(env, end, buffers, write):
    txn = env.begin(buffers=buffers, write=write)
    cursor = txn.cursor()
    cursor.set_key(b"003")
    views = [txn.get(b"003"), cursor.value(), cursor.item()[1], *txn.values(b"003", b"004")]
    views += [value for _, value in cursor.getmulti([b"003"])]
    del cursor
    if end == "drop":
        del txn
        gc.collect()
    elif end == "set_mapsize":
        env.set_mapsize(1 << 21)
    else:
        getattr(txn, end)()
    assert all(view == b"value003" for view in views)
    assert len(views) == 5


def test_views_stay_through_commits_and_resizing_and_end_with_the_environment(env):
    views = [returned_from_a_block(env)]
    for step in range(6):
        fill(env, b"%05d" % step)
        env.set_mapsize((1 << 20) + (step << 16))
        views.append(returned_from_a_block(env))
        assert views[-1] == b"%05d007" % step
        assert [len(bytes(view)) for view in views] == [8] * len(views)
    env.close()
    for view in views:
        with pytest.raises(ValueError, match="released"):
            bytes(view)


def test_a_growing_map(open_env):
    env = open_env(keep_views=True, map_size="auto")
    fill(env)
    view = returned_from_a_block(env)
    with env.begin(write=True) as txn:
        txn.put(b"large", bytes(30_000_000))
    assert view == b"value007"


def test_what_is_derived_outlives_the_environment(env):
    rest = returned_from_a_block(env)[5:]
    env.set_mapsize(1 << 21)
    again = returned_from_a_block(env)[5:]
    env.close()
    assert (len(bytes(rest)), bytes(again)) == (3, bytes(3))


def test_views_die_as_ever(env):
    with env.begin(buffers=True) as txn:
        view = txn.get(b"007")
        dead = weakref.ref(view)
        del view
        gc.collect()
        assert dead() is None
    for _ in range(100):
        with env.begin(buffers=True) as txn:
            assert len(list(txn.values())) == 300
    assert returned_from_a_block(env) == b"value007"


def test_an_environment_with_kept_views_is_collected(open_env, tmp_path):
    env = lmdb.open(str(tmp_path / "other"), keep_views=True, sync=False)
    fill(env)
    view, dead = returned_from_a_block(env), weakref.ref(env)
    del env
    gc.collect()
    assert dead() is None
    assert view == b"value007"  # what is native of the environment lasts as long as its views
    del view
    gc.collect()
    lmdb.open(str(tmp_path / "other")).close()


def test_raising_is_the_default(open_env):
    env = open_env()
    fill(env)
    with pytest.raises(ValueError, match="released"):
        bytes(returned_from_a_block(env))


SWITCH = """
import os
env = lmdb.open("env", lib_version=int(sys.argv[1]), **eval(sys.argv[2]))
with env.begin(write=True) as txn:
    txn.put(b"k", b"value")
def get():
    with env.begin(buffers=True) as txn:
        return txn.get(b"k")
try:
    print(bytes(get()))
except ValueError as error:
    print("ValueError")
"""


@pytest.mark.parametrize(
    ("variable", "options", "output"),
    [
        (None, {}, "ValueError"),
        ("0", {}, "ValueError"),
        ("", {}, "ValueError"),
        ("1", {}, "b'value'"),
        ("1", {"keep_views": False}, "ValueError"),
        ("0", {"keep_views": True}, "b'value'"),
    ],
)
def test_the_environment_variable(run_child, engine, monkeypatch, variable, options, output):
    monkeypatch.delenv("ZLMDB_KEEP_VIEWS", raising=False)
    if variable is not None:
        monkeypatch.setenv("ZLMDB_KEEP_VIEWS", variable)
    child = run_child(SWITCH, engine, options)
    assert (child.returncode, child.stdout, child.stderr) == (0, output + "\n", "")


def test_another_value_of_the_environment_variable_is_ignored_and_said(run_child, engine, monkeypatch):
    monkeypatch.setenv("ZLMDB_KEEP_VIEWS", "yes")
    child = run_child(SWITCH, engine, {})
    assert child.stdout == "ValueError\n"
    assert child.stderr == "zlmdb: ZLMDB_KEEP_VIEWS='yes' is ignored: it must be 0 or 1\n"


THREADS = """
import threading
env = lmdb.open("env", lib_version=int(sys.argv[1]), map_size=1 << 24, sync=False, keep_views=True)
keys = [b"%03d" % i for i in range(100)]
def write(value):
    with env.begin(write=True) as txn:
        for key in keys:
            txn.put(key, value)
write(b"0" * 200)
done, seen = threading.Event(), []
def read():
    while not done.is_set():
        try:
            with env.begin(buffers=True) as txn:
                mine = [*txn.values(), *(txn.get(key) for key in keys)]
        except lmdb.Error:  # the map is replaced
            continue
        sum(map(len, map(bytes, mine)))
        seen.append(mine[::50])
threads = [threading.Thread(target=read) for _ in range(3)]
for thread in threads:
    thread.start()
for i in range(60):
    write(b"%d" % (i % 10) * 200)
    if i % 10 == 0:
        env.set_mapsize((1 << 24) + (i << 16))
done.set()
for thread in threads:
    thread.join()
assert all(len(bytes(view)) == 200 for views in seen for view in views)
env.close()
def is_readable(view):
    try:
        bytes(view)
    except ValueError:
        return False
    return True
assert not any(is_readable(view) for views in seen for view in views)
print("good")
"""


def test_threads_with_kept_views(run_child, engine):
    child = run_child(THREADS, engine)
    assert (child.returncode, child.stdout, child.stderr) == (0, "good\n", "")


FORMER = """
env = lmdb.open("env", lib_version=int(sys.argv[1]), map_size=1 << 24, keep_views=True)
with env.begin(write=True) as txn:
    txn.put(b"k", b"value")
def maps():
    with open("/proc/self/maps") as lines:
        return sum("data.mdb" in line for line in lines)
def get():
    with env.begin(buffers=True) as txn:
        return txn.get(b"k")
views = []
for step in range(5):
    views.append(get())
    env.set_mapsize((1 << 24) + (step << 16))
kept = maps()
assert [bytes(view) for view in views] == [b"value"] * 5
env.close()
print(kept, maps())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks at /proc/self/maps")
def test_former_maps_go_when_the_environment_closes(run_child, engine):
    child = run_child(FORMER, engine)
    assert (child.returncode, child.stdout, child.stderr) == (0, "6 0\n", "")
