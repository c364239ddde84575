"""What processes have begun and what was acknowledged to them, in memory that they share."""

from __future__ import annotations

import mmap

MOST = 1 << 16
"""Steps of one writer."""


class Marks:
    """A byte for each step that a writer has begun, and one for each that was acknowledged.

    The memory outlives whoever is killed, and a byte is the one thing that is never written half.
    """

    def __init__(self, writers: int) -> None:
        self.writers = range(writers)
        self._memory = mmap.mmap(-1, 2 * writers * MOST)

    def begin(self, writer: int, number: int) -> None:
        """Note that a step may be stored from now on."""
        self._memory[2 * writer * MOST + number] = 1

    def acknowledge(self, writer: int, number: int) -> None:
        """Note that a step is stored, and has to stay."""
        self._memory[(2 * writer + 1) * MOST + number] = 1

    def begun(self, writer: int) -> int:
        """The last step that may be stored."""
        return self._last(2 * writer)

    def acknowledged(self, writer: int) -> int:
        """The last step that must be stored."""
        return self._last(2 * writer + 1)

    def _last(self, row: int) -> int:
        found = self._memory.rfind(b"\1", row * MOST, (row + 1) * MOST)
        return max(0, found - row * MOST)
