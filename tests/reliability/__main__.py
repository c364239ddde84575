"""Try to break zLMDB, for as long as you like, and tell by the exit status whether it held.

    python -m tests.reliability kills --count 10000 --engine 0.9 --seed 5

Run it in the root of the repository. Each trial is a function of the seed and its number; one that fails
keeps its files and says how to repeat it. See docs/reliability.md.
"""

from __future__ import annotations

import argparse
import importlib
import os
import random
import sys

from .campaign import ENGINES, Campaign, Mode, Skipped

MODES = {
    "kills": "kill processes at random moments",
    "power": "cut the power: open what a disk may hold then",
    "faults": "let each call to the system fail in turn",
    "disks": "fill disks, and meet limits",
    "contention": "have processes and threads work together, fork, copy and resize",
    "files": "open data files that are damaged at random",
    "records": "read records that are damaged at random",
}


def main() -> int:
    """Run what the command line asks for."""
    options = parse()
    status = 0
    for engine in ENGINES if options.engine == "both" else [options.engine]:
        try:
            mode: Mode = importlib.import_module(f"tests.reliability.{options.mode}").MODE
            mode.prepare()
            status |= not Campaign(options.mode, mode, engine, options).run()
        except Skipped as reason:
            print(f"{options.mode} cannot be tried here: {reason}")
            status |= 2
    return status


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.reliability",
        description=(__doc__ or "").splitlines()[0],
        epilog="; ".join(f"{name}: {about}" for name, about in MODES.items()),
    )
    parser.add_argument("mode", choices=MODES)
    parser.add_argument("--count", type=int, default=100, help="how many kills, images, faults or files")
    parser.add_argument("--trials", type=int, help="how many trials, instead of counting what is in them")
    parser.add_argument("--engine", choices=[*ENGINES, "both"], default="both")
    parser.add_argument("--seed", type=int, help="which trials; chosen at random and printed by default")
    parser.add_argument("--first", type=int, default=0, help="number of the first trial")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="trials at a time")
    parser.add_argument("--failures", type=int, default=20, help="give up after so many")
    parser.add_argument("--keep", default="build/reliability", help="where files of failed trials go")
    parser.add_argument("--only", help="one scenario, sync mode, fault, limit or map, by name")
    parser.add_argument("--images", type=int, default=100, help="of power: images of one recording")
    parser.add_argument("--stride", type=int, default=1, help="of faults: how far apart calls that fail are")
    parser.add_argument(
        "--module", choices=["zlmdb", "zlmdb.lmdb", "lmdb"],
        help="what to test: the object layer or the binding (by default both), or py-lmdb, if installed",
    )  # fmt: skip
    options = parser.parse_args()
    if options.seed is None:
        options.seed = random.SystemRandom().randrange(10**6)
    return options


if __name__ == "__main__":
    sys.exit(main())
