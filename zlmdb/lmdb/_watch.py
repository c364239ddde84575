"""What ``watch`` shows: figures of an environment over time."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from zlmdb.lmdb.database import _Database
from zlmdb.lmdb.environment import Environment

COLUMNS = (
    "txn/s", "entries", "entries/s", "depth", "branch", "leaf", "overflow", "pages", "pages/s", "readers",
    "disk rd KiB/s", "disk wr KiB/s",
)  # fmt: skip
_SECTOR = 512  # bytes, whatever the disk: Linux, Documentation/block/stat.rst


def print_row(row: Iterable[str]) -> None:
    """Print figures below their `COLUMNS`."""
    print(*(f"{text:>{len(name)}}" for text, name in zip(row, COLUMNS, strict=True)), sep="  ")


def find_diskstat(path: str) -> str | None:
    """Return the path of the kernel's I/O counters of the disk that holds `path`, if there are any."""
    device = os.stat(path).st_dev
    stat = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}/stat")
    return str(stat.resolve()) if stat.exists() else None


class _Sample(NamedTuple):
    """The figures at one moment."""

    time: float
    txnid: int
    entries: int
    depth: int
    branch: int
    leaf: int
    overflow: int
    pages: int
    readers: int
    sectors_read: int
    sectors_written: int


class Watcher:
    """Takes samples and turns the last ones into a row of figures.

    Args:
        env: The environment.
        db: The database whose entries and pages are counted. None: the main database.
        diskstat: The path of the disk's I/O counters. None: leave those columns empty.
        window: Over how many intervals rates are averaged.
    """

    def __init__(self, env: Environment, db: _Database | None, diskstat: str | None, window: int) -> None:
        self._env = env
        self._db = db
        self._diskstat = diskstat
        self._samples = deque([self._sample()], maxlen=max(window, 1) + 1)

    def _sample(self) -> _Sample:
        info = self._env.info()
        with self._env.begin() as txn:
            stat = txn.stat(self._db)
        disk = Path(self._diskstat).read_text().split() if self._diskstat else ["0"] * 7
        return _Sample(
            time.monotonic(), info["last_txnid"], stat["entries"], stat["depth"], stat["branch_pages"],
            stat["leaf_pages"], stat["overflow_pages"], info["last_pgno"] + 1, info["num_readers"],
            int(disk[2]), int(disk[6]),
        )  # fmt: skip

    def row(self) -> list[str]:
        """Take a sample and return the figures, as `COLUMNS` names them."""
        first, now = self._samples[0], self._sample()
        self._samples.append(now)
        seconds = max(now.time - first.time, 1e-9)

        def rate(field: str, unit: float = 1) -> str:
            return f"{(getattr(now, field) - getattr(first, field)) * unit / seconds:.1f}"

        disk = ["", ""]
        if self._diskstat:
            disk = [rate("sectors_read", _SECTOR / 1024), rate("sectors_written", _SECTOR / 1024)]
        return [
            rate("txnid"), str(now.entries), rate("entries"), str(now.depth), str(now.branch), str(now.leaf),
            str(now.overflow), str(now.pages), rate("pages"), str(now.readers), *disk,
        ]  # fmt: skip
