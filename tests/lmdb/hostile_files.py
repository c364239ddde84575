"""Data files to be damaged, and processes that use them for everything (hostile_workload.py)."""

from __future__ import annotations

import json
import os
import random
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import zlmdb
from zlmdb import lmdb

WORKLOAD = Path(__file__).with_name("hostile_workload.py")
PAGE = 4096
BRANCH, LEAF, OVERFLOW, META, DIRTY, LEAF2 = 1, 2, 4, 8, 16, 32
BIGDATA, SUBDATA, DUPDATA = 1, 2, 4
FREE, MAIN = 0, 1
RECORD = {"pad": ("I", 0), "flags": ("H", 4), "depth": ("H", 6), "entries": ("Q", 32), "root": ("Q", 40)}

Job = tuple[Path, bool, bool, int]
"""The folder of an environment, whether to open it with writemap, with grow, and a seed."""

Outcome = dict[str, Any]
"""What hostile_workload.py reports."""


class Image:
    """A data file in memory, to be damaged."""

    def __init__(self, data: bytes, engine: int) -> None:
        self.data = bytearray(data)
        self.engine = engine
        self.header = 24 if engine else 16
        self.base = self.header if engine else 0

    def get(self, at: int, kind: str) -> int:
        return struct.unpack_from("=" + kind, self.data, at)[0]

    def set(self, at: int, kind: str, value: int) -> None:
        struct.pack_into("=" + kind, self.data, at, value % (1 << 8 * struct.calcsize("=" + kind)))

    # -- pages --

    def flags(self, page: int) -> int:
        return self.get(page * PAGE + self.header - 6, "H")

    def pages(self, flags: int) -> list[int]:
        return [page for page in range(2, len(self.data) // PAGE) if self.flags(page) == flags]

    def set_header(self, page: int, field: str, value: int) -> None:
        kind, at = {
            "pad": ("H", -8),
            "flags": ("H", -6),
            "lower": ("H", -4),
            "upper": ("H", -2),
            "pages": ("I", -4),
        }[field]
        self.set(page * PAGE + self.header + at, kind, value)

    # -- nodes --

    def nodes(self, page: int) -> list[int]:
        """Where the nodes of a branch or leaf page are in the file."""
        count = (self.get(page * PAGE + self.header - 4, "H") - (self.header - self.base)) // 2
        pointers = page * PAGE + self.header
        count = min(count, (len(self.data) - pointers) // 2)  # of a damaged page
        return [page * PAGE + self.base + self.get(pointers + 2 * index, "H") for index in range(count)]

    def leaf_nodes(self, flags: int) -> Iterator[int]:
        """Where the nodes with these flags are on all leaf pages, as the first may not be in use any more."""
        for page in self.pages(LEAF):
            for node in self.nodes(page):
                if self.get(node + 4, "H") == flags:
                    yield node

    def content(self, node: int) -> int:
        """Where the data of a leaf node is."""
        size = self.get(node + 6, "H")
        return node + 8 + (size + size % 2 if self.engine else size)

    def set_record(self, at: int, field: str, value: int) -> None:
        kind, offset = RECORD[field]
        self.set(at + offset, kind, value)

    def metas(self, which: int) -> Iterator[int]:
        """Where the meta pages describe the main or the free database."""
        for page in (0, 1):
            yield page * PAGE + self.header + 24 + 48 * which

    def set_meta(self, field: str, value: int) -> None:
        """Change the last page, or the number of the last transaction, in both meta pages."""
        for page in (0, 1):
            self.set(page * PAGE + self.header + {"last page": 120, "transaction": 128}[field], "Q", value)


# -- sound files --


@cache
def sound(kind: str, engine: int) -> bytes:
    """Return a sound file."""
    rng = random.Random(kind)
    with tempfile.TemporaryDirectory() as path:
        with lmdb.open(path, lib_version=engine, max_dbs=9, map_size=1 << 22, sync=False) as env:
            globals()[f"fill_{kind}"](env, rng)
        return (Path(path) / "data.mdb").read_bytes()


def fill_plain(env: lmdb.Environment, rng: random.Random) -> None:
    with env.begin(write=True) as txn:
        for i in range(300):
            txn.put(b"%05d" % (7 * i), b"v" * rng.randrange(120))


def fill_one_leaf(env: lmdb.Environment, rng: random.Random) -> None:
    with env.begin(write=True) as txn:
        for i in range(20):
            txn.put(b"%05d" % (7 * i), b"v" * 90)


def fill_large(env: lmdb.Environment, rng: random.Random) -> None:
    with env.begin(write=True) as txn:
        for i in range(40):
            txn.put(b"%05d" % (7 * i), b"v" * rng.choice([10, 3000, 5000, 9000]))


def fill_dups(env: lmdb.Environment, rng: random.Random) -> None:
    db = env.open_db(b"dups", dupsort=True)
    with env.begin(write=True, db=db) as txn:
        for i in range(60):
            for j in range(rng.choice([1, 2, 5, 10])):
                txn.put(b"%05d" % (7 * i), b"%d-%d" % (j, rng.randrange(10**6)))
        for j in range(600):
            txn.put(b"big", b"%06d" % (13 * j))
            txn.put(b"other", b"%06d" % (13 * j) + b"x" * 40)


def fill_fixed(env: lmdb.Environment, rng: random.Random) -> None:
    fixed = env.open_db(b"fixed", dupsort=True, dupfixed=True)
    integers = env.open_db(b"integers", integerkey=True)
    integer_dups = env.open_db(b"integer dups", dupsort=True, integerdup=True)
    with env.begin(write=True) as txn:
        for i in range(40):
            for _ in range(rng.choice([1, 2, 5, 10])):
                txn.put(b"%05d" % (7 * i), b"%08d" % rng.randrange(10**6), db=fixed)
        for j in range(1500):
            txn.put(b"big", b"%08d" % (13 * j), db=fixed)
        for j in range(300):
            txn.put(struct.pack("@N", 3 * j), b"x" * 30, db=integers)
            txn.put(b"%05d" % (7 * (j % 5)), struct.pack("@N", 3 * j), db=integer_dups)


def fill_freed(env: lmdb.Environment, rng: random.Random) -> None:
    databases = [env.open_db(b"one"), env.open_db(b"two", reverse_key=True)]
    for number in range(6):
        with env.begin(write=True) as txn:
            for _ in range(200):
                txn.put(b"%05d" % rng.randrange(1000), b"v" * rng.randrange(300), db=rng.choice(databases))
            txn.put(b"%d" % number, b"o" * 9000, db=databases[0])
        with env.begin(write=True) as txn:
            for _ in range(150):
                txn.delete(b"%05d" % rng.randrange(1000), db=rng.choice(databases))
            txn.delete(b"%d" % number, db=databases[0])


def fill_deep(env: lmdb.Environment, rng: random.Random) -> None:
    with env.begin(write=True) as txn:
        for i in range(150):
            txn.put(b"%05d" % i + b"k" * 400, b"v" * 100)


KINDS = [name.removeprefix("fill_") for name in list(globals()) if name.startswith("fill_")]


# -- use --


def use(jobs: list[Job]) -> list[Outcome]:
    """Have environments used for everything, by two processes at a time; what became of each."""
    with ThreadPoolExecutor(2) as pool:
        halves = list(pool.map(use_in_turn, [jobs[::2], jobs[1::2]]))
    results: list[Outcome] = [{}] * len(jobs)
    results[::2], results[1::2] = halves
    return results


def use_in_turn(jobs: list[Job]) -> list[Outcome]:
    given = json.dumps([[str(path), *rest] for path, *rest in jobs])
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(WORKLOAD)],
        input=given, capture_output=True, text=True, timeout=280, check=False,
        env={**os.environ, "PYTHONPATH": str(Path(zlmdb.__file__).parents[1])},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    results = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(results) == len(jobs)
    return results


def write(path: Path, data: bytes) -> Path:
    path.mkdir()
    (path / "data.mdb").write_bytes(data)
    return path
