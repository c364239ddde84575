"""A disk that is full makes an error, with writemap=True too, and loses nothing that was committed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import zlmdb

MOUNT = """
import pathlib, subprocess, sys
from zlmdb import lmdb
path, engine = pathlib.Path(sys.argv[1]), int(sys.argv[2])

def mount(size, path=path):
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", path], check=True)

def fill(leave, path=path):
    \"\"\"All of the disk but some pages.\"\"\"
    with open(path / "filler", "wb", buffering=0) as filler:
        for size in (1 << 18, 4096):
            try:
                while filler.write(bytes(size)) == size:
                    pass
            except OSError:
                pass
        filler.truncate(max(0, filler.tell() - 4096 * leave))

def full(function, *args, **kwargs):
    try:
        return function(*args, **kwargs)
    except lmdb.DiskError as error:
        assert "free some space" in str(error), error
"""

PROGRAM = """
writemap = sys.argv[3] == "True"
mount("4m")
env = lmdb.open(path, map_size=1 << 26, lib_version=engine, writemap=writemap)
with env.begin(write=True) as txn:
    txn.put(b"kept", bytes(1 << 20))
try:
    with env.begin(write=True) as txn:
        for number in range(200):
            txn.put(b"%d" % number, bytes(100_000))
except lmdb.DiskError as error:
    print("full")
with env.begin(write=True) as txn:
    txn.put(b"new", bytes(100_000))
print(len(env.get(b"kept")), len(env.get(b"new")), env.stat()["entries"])
"""

CREATION = """
max_readers, writemap = int(sys.argv[3]), sys.argv[4] == "True"
options = {"max_readers": max_readers, "writemap": writemap, "lib_version": engine, "map_size": 1 << 20}
mount("2m")
for leave in range(50):
    env = path / "env"
    fill(leave)
    opened = full(lmdb.open, env, **options)
    if opened:
        with opened:
            for _ in range(3):
                full(opened.stat)
                full(lambda: opened.begin(write=True).put(b"key", b"value"))
        (path / "filler").unlink()
        break
    (path / "filler").unlink()
    with lmdb.open(env, **options) as now, now.begin(write=True) as txn:
        txn.put(b"key", b"value")
    assert lmdb.open(env, **options).get(b"key") == b"value"
    for name in ("data.mdb", "lock.mdb"):
        (env / name).unlink()
print("left", leave > 2)
"""

DATABASE = """
import zlmdb
mount("2m")
for leave in range(1, 5):
    fill(leave)
    try:
        zlmdb.Database(str(path / "env")).close()
    except lmdb.DiskError:
        pass
    (path / "filler").unlink()
    zlmdb.Database(str(path / "env")).close()
    for each in (path / "env").iterdir():
        each.unlink()
print("made")
"""

READERS = """
import os
options = {"max_readers": 1000, "lib_version": engine}
mount("2m")
made_by = sys.argv[3]
env = path / "env"
keeper = lmdb.open(env, **options)
lock = env / "lock.mdb"
size = lock.stat().st_size
if made_by == "one that has it open":
    hole = ["--punch-hole", "--offset", "8192", "--length", str(size - 8192)]
    subprocess.run(["fallocate", *hole, lock], check=True)
else:
    keeper.close()
    lock.unlink()
    with open(lock, "wb") as file:
        file.truncate(size if made_by == "LMDB" else 4096)
pid = os.fork()
if not pid:
    fill(0)
    opened = full(lmdb.open, env, **options)
    print("no room" if opened is None else "room", flush=True)
    fill(-(-size // 4096))
    with lmdb.open(env, **options) as opened:
        fill(0)
        print(len([opened.begin() for _ in range(900)]), flush=True)
    os._exit(0)
print(os.waitpid(pid, 0)[1])
"""

HOLES = """
how = sys.argv[3]
mount("8m")
env = path / "env"
options = {"lib_version": engine, "map_size": 1 << 22}
with lmdb.open(env, **options) as opened:
    for _ in range(4):  # so that LMDB has a list of free pages
        with opened.begin(write=True) as txn:
            for number in range(100):
                txn.put(b"%d" % number, b"value")
    with opened.begin(write=True) as txn:
        txn.put(b"0", b"value")
        txn.put(b"large", bytes(1 << 20))
        txn.put(b"kept", b"value" * 1000)
        if how == "never written":
            txn.delete(b"large")
    with opened.begin(write=True) as txn:
        txn.delete(b"large")
    with opened.begin(write=True) as txn:
        txn.put(b"kept", b"value" * 1000)
data = env / "data.mdb"
if how == "copied":
    subprocess.run(["cp", "--sparse=always", data, path / "copy"], check=True)
    (path / "copy").rename(data)
assert data.stat().st_blocks * 512 < data.stat().st_size - (1 << 19), "the file has no holes"
lmdb.open(env, writemap=True, **options).close()  # which makes it as long as the map
fill(0)
with lmdb.open(env, writemap=True, **options) as opened:
    def write():
        with opened.begin(write=True) as txn:
            for number in range(0, 100, 7):
                txn.put(b"%d" % number, b"other" * 200)
        return True
    print("no room" if [full(write) for _ in range(20)].count(None) else "room")
    (path / "filler").unlink()
    assert write()
    print(opened.stat()["entries"], len(opened.get(b"kept")), opened.get(b"1"), len(opened.get(b"7")))
with lmdb.open(env, **options) as opened:
    print(len(list(opened.begin().items())))
"""

UNSHARE = ["unshare", "--user", "--map-root-user", "--mount"]


def may_mount() -> bool:
    """Whether this system lets its users mount file systems in a name space of their own."""
    if not shutil.which("unshare"):
        return False
    command = [*UNSHARE, "mount", "-t", "tmpfs", "none", "/mnt"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


pytestmark = pytest.mark.skipif(
    not may_mount(), reason="users of this system may not mount a small file system"
)


@pytest.fixture
def run(tmp_path: Path, engine: int) -> Callable[..., list[str]]:
    """Return a function that runs a program on a small disk of its own; it gives the lines printed."""

    def run(program: str, *args: object) -> list[str]:
        done = subprocess.run(
            [*UNSHARE, sys.executable, "-c", MOUNT + program, str(tmp_path), str(engine), *map(str, args)],
            env={**os.environ, "PYTHONPATH": str(Path(zlmdb.__file__).parents[1])},
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, (done.returncode, done.stdout, done.stderr)
        return done.stdout.splitlines()

    return run


@pytest.mark.parametrize("writemap", [False, True])
def test_full_disk(run: Callable[..., list[str]], writemap: bool) -> None:
    """With writemap the system killed the process that wrote to a page for which there was no block."""
    assert run(PROGRAM, writemap) == ["full", "1048576 100000 2"]


@pytest.mark.parametrize("writemap", [False, True])
@pytest.mark.parametrize("max_readers", [1, 126, 1000])
def test_creation_on_a_nearly_full_disk(
    run: Callable[..., list[str]], max_readers: int, writemap: bool
) -> None:
    """Whatever is left: the lock file killed the process, and half a data file was none ever after."""
    assert run(CREATION, max_readers, writemap) == ["left True"]


def test_a_database_on_a_nearly_full_disk(run: Callable[..., list[str]]) -> None:
    assert run(DATABASE) == ["made"]


@pytest.mark.parametrize("made_by", ["LMDB", "one with a smaller table", "one that has it open"])
def test_a_lock_file_without_blocks(run: Callable[..., list[str]], made_by: str) -> None:
    """A reader took a slot on a page of it for which there was no block."""
    assert run(READERS, made_by) == ["no room", "900", "0"]


@pytest.mark.parametrize("how", ["never written", "copied"])
def test_free_pages_without_blocks(run: Callable[..., list[str]], how: str) -> None:
    """With writemap, they are written in the map when they are used again."""
    assert run(HOLES, how) == ["no room", "101 5000 b'value' 1000", "101"]
