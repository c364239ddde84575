"""What tests of more than one part use."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

import zlmdb

# No example fails for the time that it takes: a machine may be busy, or emulated.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

RunPython = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run_python(tmp_path: Path) -> RunPython:
    """Return a function that runs a fresh interpreter, with the zlmdb under test, in an empty directory.

    A fresh one, because importing a thing or not, and being replaced by another program, concern a whole
    process.
    """

    def run(*args: str | Path, **kwargs: object) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PYTHONPATH": str(Path(zlmdb.__file__).parents[1])}
        options = {"cwd": tmp_path, "env": environment, "capture_output": True, "text": True, **kwargs}
        return subprocess.run([sys.executable, *map(str, args)], check=False, **options)

    return run
