"""What a CFFI call alone costs: `python benchmarks/floor.py` (needs the PyPI package `lmdb`).

Beside the binding and py-lmdb's C extension, each line has the calls of C that the operation comes down to,
with nothing around them: no arguments looked at, no guard against other threads, no object returned. "at
best" is what that would be as a multiple of the peer's speed: no binding on CFFI can be faster. CPython, CPU
time.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from typing import Any

import lmdb as peer

import zlmdb.lmdb as ours
from zlmdb.lmdb._native import lib

RECORDS, SOME, VALUE = 200_000, 20_000, b"v" * 100
OPERATIONS = ("Environment.get", "with begin()", "get, random", "put, random")
Work = Callable[[], None]


class Bare:
    """A transaction that is no more than its `with` statement and two calls of C."""

    __slots__ = ("_c",)

    def __enter__(self) -> Bare:
        return self

    def __exit__(self, *_exc: object) -> None:
        lib.zl_txn_commit(self._c)


def new_environment(binding: Any, directory: str, keys: list[bytes]) -> Any:
    """Return an environment with the records."""
    env = binding.open(f"{directory}/{binding.__name__}", map_size=1 << 31, sync=False)
    with env.begin(write=True) as txn:
        txn.cursor().putmulti([(key, VALUE) for key in keys], append=True)
    return env


def reads(env: Any, keys: list[bytes]) -> tuple[Work, Work]:
    """Return a get in a transaction of its own, and an empty transaction."""

    def get() -> None:
        for key in keys:
            with env.begin() as txn:
                txn.get(key)

    def fused() -> None:
        for key in keys:
            env.get(key)

    def begin() -> None:
        for _ in range(len(keys)):
            with env.begin():
                pass

    return (fused if hasattr(env, "getmulti") else get), begin


def bare_reads(handle: Any, keys: list[bytes]) -> tuple[Work, Work]:
    """Return the calls of C of both."""
    once, begin_read, new, length = lib.zl_get_once, lib.zl_txn_begin_read, object.__new__, len(keys[0])

    def get() -> None:
        for key in keys:
            once(handle, key, length)

    def bare_begin() -> Bare:
        txn = new(Bare)
        txn._c = handle
        begin_read(handle)
        return txn

    def begin() -> None:
        for _ in range(len(keys)):
            with bare_begin():
                pass

    return get, begin


def singles(txn: Any, keys: list[bytes]) -> tuple[Work, Work]:
    """Return gets and puts in one transaction."""

    def get() -> None:
        for key in keys:
            txn.get(key)

    def put() -> None:
        for key in keys:
            txn.put(key, VALUE)

    return get, put


def bare_singles(handle: Any, keys: list[bytes]) -> tuple[Work, Work]:
    """Return the calls of C of both."""
    find, store, length, size = lib.zl_get, lib.zl_put, len(keys[0]), len(VALUE)

    def get() -> None:
        for key in keys:
            find(handle, key, length)

    def put() -> None:
        for key in keys:
            store(handle, key, length, VALUE, size)

    return get, put


def median_ns(works: list[Work], rounds: int) -> list[float]:
    """Return the nanoseconds for each record of works that take turns."""
    samples: list[list[float]] = [[] for _ in works]
    for _ in range(rounds):
        for work, sample in zip(works, samples, strict=True):
            begin = time.process_time_ns()
            work()
            sample.append((time.process_time_ns() - begin) / SOME)
    return [statistics.median(sample) for sample in samples]


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    keys = [b"key%013d" % number for number in range(RECORDS)]
    some = random.Random(1).sample(keys, SOME)
    cases: list[tuple[Work, ...]] = []
    with tempfile.TemporaryDirectory() as directory:
        own, other = (new_environment(binding, directory, keys) for binding in (ours, peer))
        own.get(keys[0])
        cases += zip(reads(own, some), bare_reads(own._waiting[-1].c, some), reads(other, some), strict=True)
        with own.begin(write=True) as mine, other.begin(write=True) as theirs:
            cases += zip(singles(mine, some), bare_singles(mine._c, some), singles(theirs, some), strict=True)
            figures = [median_ns(list(case), rounds) for case in cases]
    print(f"{'operation':16} {'ours ns':>8} {'bare ns':>8} {'peer ns':>8} {'ratio':>6} {'at best':>8}")
    for name, (mine_ns, bare, theirs_ns) in zip(OPERATIONS, figures, strict=True):
        print(
            f"{name:16} {mine_ns:8.0f} {bare:8.0f} {theirs_ns:8.0f} "
            f"{theirs_ns / mine_ns:6.2f} {theirs_ns / bare:8.2f}"
        )


if __name__ == "__main__":
    main()
