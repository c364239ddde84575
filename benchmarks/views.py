"""What views cost, and save: `python benchmarks/views.py`.

Transactions with `buffers="values"` (ours) against such that copy values to bytes objects (peer), in turn,
for values of several sizes. Ratios above 1 mean that views are faster. Nobody reads the values themselves.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from pathlib import Path
from typing import Any

from paired import Case, Row, measure, report

from zlmdb import lmdb

SIZES = {100: 100_000, 1_000: 50_000, 4_000: 20_000, 100_000: 1_000, 1_000_000: 100}
"""Bytes of a value, and how many records there are of it."""


def cases(env: lmdb.Environment, keys: list[bytes], buffers: Any) -> dict[str, Case]:
    """Return what is measured, in transactions of one kind."""
    shuffled = random.Random(1).sample(keys, len(keys))

    def get() -> int:
        with env.begin(buffers=buffers) as txn:
            for key in shuffled:
                txn.get(key)
        return len(keys)

    def scan() -> int:
        with env.begin(buffers=buffers) as txn:
            for _record in txn.items():
                pass
        return len(keys)

    def getmulti() -> int:
        with env.begin(buffers=buffers) as txn:
            return len(txn.cursor().getmulti(shuffled))

    def begin_and_get() -> int:
        for key in shuffled[:10_000]:
            with env.begin(buffers=buffers) as txn:
                txn.get(key)
        return len(shuffled[:10_000])

    return {"get": get, "items": scan, "getmulti": getmulti, "begin, get, end": begin_and_get}


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path, help="also write the figures to a file")
    args = parser.parse_args()
    rows: list[Row] = []
    for size, records in SIZES.items():
        with tempfile.TemporaryDirectory() as folder, lmdb.open(folder, map_size=1 << 30, sync=False) as env:
            keys = [b"key%013d" % number for number in range(records)]
            with env.begin(write=True) as txn:
                txn.cursor().putmulti([(key, bytes(size)) for key in keys], append=True)
            views, copies = cases(env, keys, "values"), cases(env, keys, False)
            rows += [
                measure(f"{name}, {size:,} bytes", views[name], copies[name], args.rounds) for name in views
            ]
    report("Views (ours) and copies (peer)", rows, {}, args.json)


if __name__ == "__main__":
    main()
