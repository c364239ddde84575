"""The binding against py-lmdb's C extension: `python benchmarks/binding.py` (needs the PyPI package `lmdb`).

Ratios are our speed as a multiple of the peer's, from CPU time. Both run in this process, in turn, on equal
databases: 100-byte values, 200,000 records, sync off.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from itertools import islice
from pathlib import Path
from typing import Any

import lmdb as peer
from paired import Row, measure, report

import zlmdb.lmdb as ours

VALUE = b"v" * 100
TARGETS = {
    "scan": 1.7, "scan keys": 1.5, "range of 100": 1.4, "putmulti": 1.1, "getmulti": 1.2,
    "Environment.get": 1.3,
    "get, random": 0.75, "put, random": 0.85, "with begin()": 0.45, "begin, put, commit": 0.85,
    "open and close": 1.0,
}  # fmt: skip


class Subject:
    """One of the two libraries, with its database."""

    def __init__(self, lib: Any, directory: str, records: int, engine: int) -> None:
        self.lib = lib
        self.path = f"{directory}/{lib.__name__}"
        self.env = lib.open(self.path, map_size=1 << 31, sync=False, max_dbs=4, lib_version=engine)
        self.keys = [b"key%013d" % number for number in range(records)]
        self.shuffled = random.Random(1).sample(self.keys, records)
        with self.env.begin(write=True) as txn:
            txn.cursor().putmulti([(key, VALUE) for key in self.keys], append=True)
        self.scratch = self.env.open_db(b"scratch")

    def scan(self) -> int:
        with self.env.begin() as txn:
            for _key, _value in txn.cursor():
                pass
        return len(self.keys)

    def scan_keys(self) -> int:
        with self.env.begin() as txn:
            for _key in txn.cursor().iternext(values=False):
                pass
        return len(self.keys)

    def ranges(self) -> int:
        with self.env.begin() as txn:
            cursor = txn.cursor()
            for start in self.shuffled[:500]:
                cursor.set_range(start)
                for _key, _value in islice(cursor.iternext(), 100):
                    pass
        return 500 * 100

    def get_random(self) -> int:
        with self.env.begin() as txn:
            get = txn.get
            for key in self.shuffled:
                get(key)
        return len(self.shuffled)

    def get_hot(self) -> int:
        with self.env.begin() as txn:
            get = txn.get
            for key in self.keys[:100] * 500:
                get(key)
        return 50_000

    def getmulti(self) -> int:
        with self.env.begin() as txn:
            return len(txn.cursor().getmulti(self.shuffled))

    def _write(self, fill: Any) -> int:
        with self.env.begin(write=True, db=self.scratch) as txn:
            txn.drop(self.scratch, delete=False)
            fill(txn)
        return len(self.keys)

    def put_random(self) -> int:
        def fill(txn: Any) -> None:
            for key in self.shuffled:
                txn.put(key, VALUE)

        return self._write(fill)

    def putmulti(self) -> int:
        items = [(key, VALUE) for key in self.shuffled]
        return self._write(lambda txn: txn.cursor().putmulti(items))

    def putmulti_append(self) -> int:
        items = [(key, VALUE) for key in self.keys]
        return self._write(lambda txn: txn.cursor().putmulti(items, append=True))

    def delete(self) -> int:
        with self.env.begin(write=True) as txn:
            for key in self.shuffled:
                txn.delete(key)
            txn.abort()
        return len(self.shuffled)

    def begin(self) -> int:
        for _ in range(20_000):
            with self.env.begin():
                pass
        return 20_000

    def get_once(self) -> int:
        env, keys = self.env, self.shuffled[:20_000]
        if self.lib is ours:
            for key in keys:
                env.get(key)
        else:
            for key in keys:
                with env.begin() as txn:
                    txn.get(key)
        return len(keys)

    def commits(self) -> int:
        env, db = self.env, self.scratch
        for key in self.keys[:4000]:
            with env.begin(write=True, db=db) as txn:
                txn.put(key, VALUE)
        return 4000

    def reopen(self) -> int:
        for _ in range(300):
            self.lib.open(self.path + "-small", map_size=1 << 20).close()
        return 300


OPERATIONS = {
    "scan": Subject.scan, "scan keys": Subject.scan_keys, "range of 100": Subject.ranges,
    "get, random": Subject.get_random, "get, hot keys": Subject.get_hot, "getmulti": Subject.getmulti,
    "Environment.get": Subject.get_once, "with begin()": Subject.begin, "put, random": Subject.put_random,
    "putmulti": Subject.putmulti, "putmulti, append": Subject.putmulti_append, "delete": Subject.delete,
    "begin, put, commit": Subject.commits, "open and close": Subject.reopen,
}  # fmt: skip


def main() -> None:
    """Measure, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--engine", type=int, default=0, choices=(0, 1))
    parser.add_argument("--only", help="measure operations whose name contains this")
    parser.add_argument("--json", type=Path, help="write the figures here")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        mine, other = (Subject(lib, directory, args.records, args.engine) for lib in (ours, peer))
        rows: list[Row] = []
        for name, operation in OPERATIONS.items():
            if not args.only or args.only in name:
                rows.append(measure(name, lambda: operation(mine), lambda: operation(other), args.rounds))  # noqa: B023
        title = f"zlmdb.lmdb against py-lmdb {peer.__version__} (C extension), LMDB {mine.env.lib_version()}"
        report(title, rows, TARGETS, args.json)


if __name__ == "__main__":
    main()
