"""Damage data files at random, for as long as you like, and use each for everything: none may crash or hang.

    python -m tests.lmdb.fuzz_files --minutes 10 [--engine 1] [--seed 5] [--keep FOLDER]

Run it in the root of the repository. A file depends on its number and the seed alone. Those that do harm are
kept, and reported with what `hostile_workload.py` needs to use them once more. Exits with 1 if there are any.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from zlmdb.lmdb.verify import VerifyError, verify

from .damage import damage
from .hostile_files import KINDS, Job, Outcome, sound, use_in_turn, write

BATCH = 25


def make(folder: Path, engine: int, seed: int, number: int) -> Job:
    """A damaged file, and how to use it."""
    rng = random.Random(f"{engine}.{seed}.{number}")
    data = damage(sound(rng.choice(KINDS), engine), rng, engine)
    path = write(folder / f"{engine}-{seed}-{number}", data)
    return path, rng.random() < 0.4, rng.random() < 0.3, number


def audited(path: Path) -> list[str]:
    """The audit must end, whatever the file says."""
    try:
        return verify(str(path))
    except VerifyError as problem:
        return [str(problem)]


def run(jobs: list[Job]) -> list[Outcome]:
    """What became of each environment; the batch may have taken so long that nothing is known of any."""
    try:
        return use_in_turn(jobs)
    except subprocess.TimeoutExpired:
        return [{"signal": 0, "trouble": "the batch took too long", "errors": {}} for _ in jobs]


def fuzz(options: argparse.Namespace, folder: Path) -> list[Job]:
    """Damage and use files until the time is over; those that did harm."""
    end, number, harmful = time.monotonic() + 60 * options.minutes, options.first, []
    errors: Counter[str] = Counter()
    while time.monotonic() < end:
        jobs = [make(folder, options.engine, options.seed, number + i) for i in range(BATCH)]
        number += BATCH
        copies = {job: (job[0] / "data.mdb").read_bytes() for job in jobs}
        for job in jobs:
            errors["found by verify"] += bool(audited(job[0]))
        for job, outcome in zip(jobs, run(jobs), strict=True):
            errors.update(set(outcome["errors"].values()))
            shutil.rmtree(job[0])
            if outcome["signal"] or outcome["trouble"]:
                kept = write(Path(options.keep) / job[0].name, copies[job])
                harmful.append((kept, *job[1:]))
                again = json.dumps([[str(kept), *job[1:]]])
                print(f"signal {outcome['signal']}: {outcome['trouble']}\n  {again}", flush=True)
    print(
        f"LMDB {options.engine}: {number - options.first} files, {len(harmful)} did harm; files with", end=" "
    )
    print(", ".join(f"{name} {count}" for name, count in errors.most_common()))
    return harmful


def main() -> int:
    """Fuzz, and tell by the exit status whether all went well."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=1)
    parser.add_argument("--engine", type=int, default=0, help="LMDB's major version")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first file")
    parser.add_argument("--keep", default="build/fuzz", help="where harmful files are kept")
    options = parser.parse_args()
    Path(options.keep).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        return 1 if fuzz(options, Path(folder)) else 0


if __name__ == "__main__":
    sys.exit(main())
