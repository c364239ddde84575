"""Paired measurements: the peers take turns in one process, and so meet the same state of the machine."""

from __future__ import annotations

import gc
import json
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

Case = Callable[[], int]
"""Does some work and returns the number of records (or operations) it did."""


@dataclass(frozen=True)
class Row:
    """One measured operation: nanoseconds of CPU time per record for each peer, and the ratio of speeds."""

    operation: str
    ours_ns: float
    peer_ns: float

    @property
    def ratio(self) -> float:
        """Our speed as a multiple of the peer's: above 1 we are faster."""
        return self.peer_ns / self.ours_ns


def _cpu_ns(case: Case) -> float:
    start = time.process_time_ns()
    count = case()
    return (time.process_time_ns() - start) / count


def measure(operation: str, ours: Case, peer: Case, rounds: int = 7) -> Row:
    """Run both in turn, `rounds` times after one for warming up; the medians."""
    samples: tuple[list[float], list[float]] = ([], [])
    gc.collect()
    gc.disable()
    try:
        for turn in range(rounds + 1):
            pair = (0, 1) if turn % 2 else (1, 0)
            for which in pair:
                sample = _cpu_ns((ours, peer)[which])
                if turn:
                    samples[which].append(sample)
    finally:
        gc.enable()
    return Row(operation, statistics.median(samples[0]), statistics.median(samples[1]))


def report(title: str, rows: list[Row], targets: Mapping[str, float], output: Path | None) -> bool:
    """Print the table, write it as JSON, and say whether every target is met."""
    print(f"{title}\n{platform.python_implementation()} {platform.python_version()}, {platform.machine()}\n")
    print(f"{'operation':28} {'ours ns':>10} {'peer ns':>10} {'ratio':>7} {'target':>7}")
    met = True
    for row in rows:
        target = targets.get(row.operation)
        short = target is not None and row.ratio < target
        met = met and not short
        print(
            f"{row.operation:28} {row.ours_ns:10.0f} {row.peer_ns:10.0f} {row.ratio:7.2f} "
            f"{'' if target is None else f'{target:7.2f}'}{'  below' if short else ''}"
        )
    if output is not None:
        data = {
            "title": title,
            "python": platform.python_version(),
            "implementation": platform.python_implementation(),
        }
        rows_data = [
            {**asdict(row), "ratio": row.ratio, "target": targets.get(row.operation)} for row in rows
        ]
        output.write_text(json.dumps({**data, "rows": rows_data}, indent=1))
    return met
