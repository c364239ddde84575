"""Runs of the harness, as the command line starts them, for the quick tests."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import zlmdb

Run = Callable[..., str]

CANNOT = 2
"""The exit status of the harness where the system cannot run a mode."""


@pytest.fixture
def run_mode(engine: str, tmp_path: Path) -> Run:
    """Return a function that runs one mode with one engine, and gives what was printed.

    In a process of its own: the harness forks, and this process may have threads.
    """

    def run(mode: str, *args: str) -> str:
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-m", "tests.reliability", mode, "--engine", engine,
             "--keep", str(tmp_path / "kept"), *args],
            cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=280, check=False,
            env={**os.environ, "PYTHONPATH": str(Path(zlmdb.__file__).parents[1])},
        )  # fmt: skip
        if done.returncode == CANNOT:
            pytest.skip(done.stdout.strip().splitlines()[-1])
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-3000:]
        return done.stdout

    return run


@pytest.fixture(params=["0.9", "1.0"])
def engine(request: pytest.FixtureRequest) -> str:
    """Return the name of each engine."""
    return request.param
