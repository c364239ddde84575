"""What a writer writes, step by step, and what is stored after any number of steps."""

from __future__ import annotations

import random
from typing import Any

KEYS = 40
"""Records that one writer has at most."""
CITIES = [None, "", "Oslo", "Oslofjord", "Paris", "Rome", "München"]
SIZES = [0, 3, 20, 90, 90, 200, 200, 700, 3000, 9000]

Record = dict[str, Any]
Step = dict[int, "Record | None"]
"""Keys, each with the record to be stored or None if it is to be deleted."""


DRAFT = 20_000
"""Bytes of a draft."""


def draft(record: Record) -> Record | None:
    """What some records are at first, in the same transaction: its pages are freed without being written."""
    if record["step"] % 5:
        return None
    return {**record, "city": "draft", "mail": f"draft of {record['mail']}", "text": "d" * DRAFT}


class Script:
    """The steps of one writer: a function of the seed and the writer alone, which anybody can retell."""

    def __init__(self, seed: str, writer: int, scale: int = 1) -> None:
        self._seed = f"{seed}.{writer}"
        self._first = 1000 * (writer + 1)
        self._scale = scale

    def step(self, number: int) -> Step:
        """What is written in one transaction; the first is number 1."""
        rng = random.Random(f"{self._seed}.{number}")
        if rng.random() < 0.05:
            return dict.fromkeys(range(self._first, self._first + KEYS))
        count = rng.choice([1, 1, 2, 3, 8])
        keys = rng.sample(range(self._first, self._first + KEYS), count)
        return {key: None if rng.random() < 0.2 else self._record(rng, key, number) for key in keys}

    def _record(self, rng: random.Random, key: int, number: int) -> Record:
        return {
            "key": key,
            "step": number,
            "mail": f"{key}@{number}",
            "city": rng.choice(CITIES),
            "text": "x" * (rng.choice(SIZES) * self._scale),
        }

    def records(self, steps: int) -> dict[int, Record]:
        """What is stored after so many steps."""
        stored: dict[int, Record] = {}
        for number in range(1, steps + 1):
            for key, record in self.step(number).items():
                if record is None:
                    stored.pop(key, None)
                else:
                    stored[key] = record
        return stored
