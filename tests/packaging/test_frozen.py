"""A program that PyInstaller has frozen has all of zLMDB with it, and needs nothing said for that."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

import pytest

import zlmdb
from zlmdb import _pyinstaller

HERE = Path(__file__).parent
WITHOUT = ["numpy", "pytest", "hypothesis", "setuptools", "IPython"]
"""What is installed beside zLMDB and takes long to freeze."""


def test_pyinstaller_is_told_of_the_hook():
    (entry,) = distribution("zlmdb").entry_points.select(group="pyinstaller40")
    assert entry.name == "hook-dirs"
    assert entry.load() is _pyinstaller.get_hook_dirs
    (folder,) = _pyinstaller.get_hook_dirs()
    assert Path(folder, "hook-zlmdb.py").is_file()


@pytest.fixture(scope="module", params=["--onedir", "--onefile"])
def program(request, tmp_path_factory):
    """Freeze the program, and return the path of what came out."""
    if importlib.util.find_spec("PyInstaller") is None:
        pytest.skip("PyInstaller is not installed; it does not support PyPy")
    folder = tmp_path_factory.mktemp("frozen")
    options = [request.param, "--log-level=WARN", "--noconfirm", f"--paths={Path(zlmdb.__file__).parents[1]}"]
    options += [f"--exclude-module={name}" for name in WITHOUT]
    command = [sys.executable, "-m", "PyInstaller", *options, HERE / "frozen_program.py"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if "PythonLibraryNotFoundError" in done.stderr:
        pytest.skip("this Python has no shared library, without which PyInstaller freezes nothing")
    assert done.returncode == 0, done.stderr
    built = folder / "dist" / "frozen_program"
    return built if request.param == "--onefile" else built / "frozen_program"


@pytest.mark.timeout(600)
def test_a_frozen_program_lacks_nothing(program, tmp_path):
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [program], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    said = [line for line in done.stdout.splitlines() if line.endswith(": done")]
    assert said == [
        f"{use}: done" for use in ("use_lmdb", "use_objects", "use_flatbuffers", "use_the_command")
    ]
    assert "lib_version: 1.0" in done.stdout
