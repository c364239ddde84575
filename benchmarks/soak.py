"""Let writers and readers work on one growing environment for a while, then look for every record.

    python benchmarks/soak.py [--seconds 60] [--writers 4] [--readers 4] [--engine 0] [--writemap]

Writers commit numbered records, some of them large, and delete old large ones; each notes what it has
committed. Readers walk over whole snapshots, in which each writer's numbers must have no gap. In the end
every committed record has to be there, and the file has to pass the audit of `zlmdb.lmdb.verify`.
Exits with 1 if anything is wrong.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from zlmdb import lmdb
from zlmdb.lmdb.verify import verify

SMALL_MAP = 1 << 20
LARGE = 60_000


def open_env(path: str, options: argparse.Namespace) -> lmdb.Environment:
    """Open the environment with a map that has to grow."""
    return lmdb.open(
        path,
        map_size=SMALL_MAP,
        grow=True,
        max_dbs=4,
        sync=False,
        lib_version=options.engine,
        writemap=options.writemap,
    )


def value_of(writer: int, number: int) -> bytes:
    """The value of a record, which tells whose it is."""
    return b"%d/%d:" % (writer, number) * (1 + number % 40)


def write(path: str, options: argparse.Namespace, who: int, end: float) -> dict[str, int]:
    """Commit numbered records until the time is over."""
    rng = random.Random(who)
    number = transactions = 0
    with open_env(path, options) as env:
        numbers, blobs = env.open_db(b"numbers"), env.open_db(b"blobs")
        while time.monotonic() < end:
            with env.begin(write=True) as txn:
                batch = range(number, number + rng.choice([1, 1, 5, 50]))
                txn.cursor(numbers).putmulti([(b"%02d%010d" % (who, n), value_of(who, n)) for n in batch])
                txn.put(b"%02d%d" % (who, transactions % 20), bytes(rng.randrange(LARGE)), db=blobs)
                txn.delete(b"%02d%d" % (who, (transactions + 7) % 20), db=blobs)
            number, transactions = batch.stop, transactions + 1
    return {"records": number, "transactions": transactions}


def read(path: str, options: argparse.Namespace, who: int, end: float) -> dict[str, int]:  # noqa: ARG001
    """Walk over snapshots until the time is over."""
    snapshots = records = 0
    with open_env(path, options) as env:
        numbers, blobs = env.open_db(b"numbers"), env.open_db(b"blobs")
        while time.monotonic() < end:
            with env.begin(buffers=snapshots % 3 == 0) as txn:
                for writer in range(options.writers):
                    prefix = b"%02d" % writer
                    seen = 0
                    for key, value in txn.items(prefix=prefix, db=numbers):
                        if bytes(key) != b"%02d%010d" % (writer, seen) or bytes(value) != value_of(
                            writer, seen
                        ):
                            raise AssertionError(f"record {seen} of writer {writer} is wrong: {bytes(key)!r}")
                        seen += 1
                    records += seen
                sum(len(blob) for blob in txn.values(db=blobs))
            snapshots += 1
    return {"snapshots": snapshots, "records read": records}


def report(pipe: Connection, work: Callable[..., dict[str, int]], *args: Any) -> None:
    """Do the work of a process, and send what came of it."""
    try:
        pipe.send(work(*args))
    except BaseException as error:  # noqa: BLE001 (reported)
        pipe.send(f"{work.__name__}: {type(error).__name__}: {error}")


def run(path: str, options: argparse.Namespace) -> list[Any]:
    """Run all processes; what each has sent."""
    context = multiprocessing.get_context("spawn")
    end = time.monotonic() + options.seconds
    running = []
    for work, count in ((write, options.writers), (read, options.readers)):
        for who in range(count):
            ours, theirs = context.Pipe(duplex=False)
            process = context.Process(target=report, args=(theirs, work, path, options, who, end))
            process.start()
            theirs.close()
            running.append((process, ours))
    results = []
    for process, ours in running:
        try:
            results.append(ours.recv())
        except EOFError:
            results.append(f"a process has crashed: exit status {process.exitcode}")
        process.join()
    return results


def missing(path: str, options: argparse.Namespace, results: list[Any]) -> list[str]:
    """What is not as it should be after the run."""
    with open_env(path, options) as env, env.begin(db=env.open_db(b"numbers")) as txn:
        found = [sum(1 for _ in txn.keys(prefix=b"%02d" % writer)) for writer in range(options.writers)]
        mapped = env.info()["map_size"]
    committed = [result["records"] for result in results[: options.writers]]
    print(f"{sum(found):,} records present of {sum(committed):,} committed; map of {mapped >> 20:,} MiB")
    problems = [] if found == committed else [f"records by writer: {found} present, {committed} committed"]
    return problems + verify(path)


def main() -> int:
    """Run, report, and tell by the exit status whether all was well."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--writers", type=int, default=4)
    parser.add_argument("--readers", type=int, default=4)
    parser.add_argument("--engine", type=int, default=0, help="LMDB's major version")
    parser.add_argument("--writemap", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "soak.lmdb")
        open_env(path, options).close()
        results = run(path, options)
        problems = [result for result in results if isinstance(result, str)]
        for index, result in enumerate(results):
            print("writer" if index < options.writers else "reader", result)
        problems += [] if problems else missing(path, options, results)
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
