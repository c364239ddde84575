"""Forked children, which may crash or hang without harm to who started them."""

from __future__ import annotations

import faulthandler
import json
import os
import select
import signal
import tempfile
import time
import traceback
from collections.abc import Callable
from typing import IO, Any, NamedTuple


class Outcome(NamedTuple):
    """What became of a child."""

    value: Any
    """What its function returned."""
    signal: int
    """What ended it, or 0."""
    trouble: str
    """The traceback of what it raised, or what it wrote to standard error before it died; else empty."""

    @property
    def failed(self) -> bool:
        """Whether it did not end as it should."""
        return bool(self.signal or self.trouble)

    def described(self) -> str:
        """The trouble in short: what it was, and where it came from."""
        lines = [line.strip() for line in self.trouble.splitlines() if set(line) - set(" ^~")]
        places = [line for line in lines if line.startswith("File")]
        if self.signal:
            return f"signal {self.signal}: {'; '.join([*lines[:1], *places[:3]])}"
        return "; ".join([*lines[-1:], *places[-1:]])


class Child:
    """A child that runs a function and hands back what that returns, which JSON must be able to express.

    A fork takes a hundredth of the time of a new interpreter. What starts children therefore never opens an
    environment itself: each child begins where a new process would.
    """

    def __init__(self, function: Callable[..., Any], *args: Any) -> None:
        self._stderr: IO[bytes] = tempfile.TemporaryFile(dir=RAM)  # noqa: SIM115 (open as long as the child)
        self._pipe, pipe = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            _run(pipe, self._stderr.fileno(), function, args)
        os.close(pipe)
        self._outcome: Outcome | None = None

    def ended(self) -> bool:
        """Whether it has ended, or is about to."""
        return self._outcome is not None or bool(select.select([self._pipe], [], [], 0)[0])

    def kill(self) -> Outcome:
        """End the child at once, if it runs, and tell what became of it."""
        if self._outcome is None:
            os.kill(self.pid, signal.SIGKILL)
        return self.result(0)

    def result(self, seconds: float = 60) -> Outcome:
        """Wait for the child to end. One that takes too long is told to show where it is."""
        if self._outcome is None:
            data, late = self._read(seconds)
            if late:
                os.kill(self.pid, signal.SIGABRT)
            self._outcome = self._judge(data, os.waitpid(self.pid, 0)[1], late)
        return self._outcome

    def _read(self, seconds: float) -> tuple[bytes, bool]:
        """All that the child hands back, and whether the time was over before it had."""
        chunks, end = [], time.monotonic() + (seconds or 60)
        with os.fdopen(self._pipe, "rb", 0) as pipe:
            while select.select([pipe], [], [], max(0.0, end - time.monotonic()))[0]:
                chunk = pipe.read(1 << 16)
                if not chunk:
                    return b"".join(chunks), False
                chunks.append(chunk)
        return b"".join(chunks), True

    def _judge(self, data: bytes, status: int, late: bool) -> Outcome:
        with self._stderr as stderr:
            stderr.seek(0)
            said = stderr.read().decode(errors="replace")
        if late:
            return Outcome(None, signal.SIGALRM, f"hangs\n{said}")
        if status:
            code = os.waitstatus_to_exitcode(status)
            return Outcome(None, max(0, -code), said or f"ended with {code}")
        value, trouble = json.loads(data)
        return Outcome(value, 0, trouble)


RAM = "/dev/shm" if os.path.isdir("/dev/shm") else None
"""A file system in memory."""


def _run(pipe: int, stderr: int, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
    """Be the child."""
    try:
        os.dup2(stderr, 2)
        faulthandler.enable(2)
        value, trouble = None, ""
        try:
            value = function(*args)
        except BaseException:  # noqa: BLE001 (handed to the parent)
            trouble = traceback.format_exc()
        with os.fdopen(pipe, "wb") as file:
            file.write(json.dumps([value, trouble]).encode())
    finally:
        os._exit(0)
