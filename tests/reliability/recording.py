"""Recordings of all that a program does to files, made by recorder.c; and the program that is recorded.

As a program, `python -m tests.reliability.recording JSON`, it writes a script to a store, marking each step.
"""

from __future__ import annotations

import ctypes
import json
import os
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple

from .script import Script
from .shims import ROOT, environment
from .stores import Setup, opened

HEAD = struct.Struct("=5Q")


class Kind(IntEnum):
    """What recorder.c notes, as it numbers it."""

    CREATE = 1
    FOLDER = 2
    WRITE = 3
    LENGTH = 4
    SYNC = 5
    SYNC_FOLDER = 6
    RENAME = 7
    REMOVE = 8
    MARK = 9


class Event(NamedTuple):
    """One note."""

    kind: Kind
    path: Path
    """Relative to the folder that is recorded."""
    offset: int
    size: int
    """Of what is concerned."""
    data: bytes
    """What was written, or the new path of what was renamed, likewise relative."""


class Mark(IntEnum):
    """What the program says of itself."""

    BEGUN = 0
    ACKNOWLEDGED = 1
    SYNCED = 2
    COPIED = 3

    def number(self, step: int) -> int:
        """Both as a number."""
        return 4 * step + self


def read(log: Path, folder: Path) -> Iterator[Event]:
    """What was noted."""
    data, at = log.read_bytes(), 0
    while at < len(data):
        kind, path_size, data_size, offset, size = HEAD.unpack_from(data, at)
        at += HEAD.size
        path = os.fsdecode(data[at : at + path_size])
        at += path_size
        rest = data[at : at + data_size]
        at += data_size
        if kind == Kind.RENAME:
            rest = os.fsencode(Path(os.fsdecode(rest)).relative_to(folder))
        relative = Path(path).relative_to(folder) if path else Path()
        yield Event(Kind(kind), relative, offset, size, rest)


def record(library: Path, folder: Path, seed: str, setup: Setup, steps: int) -> list[Event]:
    """Run the program below, in an empty folder."""
    live, log = folder / "live", folder / "log"
    live.mkdir()
    given = json.dumps([str(library), str(live), seed, setup, steps])
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.reliability.recording", given],
        env=environment(library, RECORD_FOLDER=live, RECORD_LOG=log), cwd=ROOT,
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"the program that is recorded failed, {done.returncode}: {done.stderr}")
    return list(read(log, live.resolve()))


def main(library: str, live: str, seed: str, setup: Setup, steps: int) -> None:
    """Write a script, with a look at the store's file in between, and two copies."""
    mark: Callable[[int], None] = ctypes.CDLL(library).record_mark
    script, folder = Script(seed, 0), Path(live)
    with opened(setup, folder / "store") as store:
        for number in range(1, steps + 1):
            mark(Mark.BEGUN.number(number))
            store.write(0, number, script.step(number))
            mark(Mark.ACKNOWLEDGED.number(number))
            if number % 12 == 0:
                store.sync()
                mark(Mark.SYNCED.number(number))
            if number % 25 == 0:
                store.back_up(folder / f"copy{number // 5}")
                mark(Mark.COPIED.number(number))


if __name__ == "__main__":
    library, live, seed, setup, steps = json.loads(sys.argv[1])
    main(library, live, seed, Setup(*setup), steps)
