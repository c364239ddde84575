"""Processes that are killed while they wait to write keep nobody else from writing."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import zlmdb

WRITER = """
import sys
from zlmdb import lmdb

env = lmdb.open("env", lib_version=int(sys.argv[1]))
print("open", flush=True)
for _ in range(2):
    with env.begin(write=True) as txn:
        print("begun", flush=True)
        input()
        txn.put(b"key", b"value")
print("done", flush=True)
"""


class Writer:
    """A process that begins a transaction and another, each of which ends when it is told to go on."""

    def __init__(self, path: Path, engine: int) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(engine)], cwd=path, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(Path(zlmdb.__file__).parents[1])},
        )  # fmt: skip
        self.reads("open")

    def reads(self, line: str) -> None:
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == line + "\n"

    def go_on(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def waits(self) -> None:
        """Until it sleeps in the system's call for locks."""
        where = Path(f"/proc/{self.process.pid}/wchan")
        while "futex" not in where.read_text():
            assert self.process.poll() is None


@pytest.fixture
def writer(tmp_path: Path, engine: int) -> Iterator[Callable[[], Writer]]:
    """Return a function that starts a writer, on the one processor that all of them share."""
    started: list[Writer] = []

    def start() -> Writer:
        started.append(Writer(tmp_path, engine))
        return started[-1]

    processors = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(processors)})
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except OSError:  # not permitted; or with musl, not implemented
        os.sched_setaffinity(0, processors)
        pytest.skip("needs the right to decide who runs, and a C library that passes it on")
    yield start
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    os.sched_setaffinity(0, processors)
    for each in started:
        each.process.kill()
        each.process.communicate()


@pytest.mark.skipif(not Path("/proc/self/wchan").exists(), reason="needs Linux")
@pytest.mark.skipif(not hasattr(os, "SCHED_IDLE"), reason="PyPy cannot tell the system who runs when")
def test_killing_one_that_is_about_to_get_the_lock_does_not_hang_the_next(
    writer: Callable[[], Writer],
) -> None:
    """The lock was free, the second process was woken and a third overtook it: so the rest are forgotten."""
    first = writer()
    first.reads("begun")
    second, third = writer(), None
    second.waits()
    third = writer()
    third.waits()
    # From now on it is woken, and does not run.
    os.sched_setscheduler(second.process.pid, os.SCHED_IDLE, os.sched_param(0))
    first.go_on()
    first.reads("begun")
    second.process.kill()
    second.process.wait()
    first.go_on()
    first.reads("done")
    assert third.process.communicate("\n\n", timeout=30)[0] == "begun\nbegun\ndone\n"
