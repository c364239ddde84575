"""Type checkers pass our programs, and refuse those that are wrong."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import zlmdb

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
OBJECTS = next(block for block in BLOCKS if "by_name[txn" in block)
STORE = 'users[txn, 1] = User("alice", karma=7)'

WRONG = {
    "a key of another type": ('print(users[txn, by_name[txn, "alice"]])', "print(users[txn, users])"),
    "an index key of another type": ('by_name[txn, "alice"]', "by_name[txn, 5]"),
    "a key that is stored": ("users[txn, 1] =", "users[txn, by_name[txn, 'alice']] ="),
    "no transaction": ('by_name[txn, "alice"]', 'by_name[db, "alice"]'),
    "a bound of another type": ("from_key=2", 'from_key="2"'),
    "a key that is inserted": (STORE, 'users.insert(txn, "1", User("a", karma=7))'),
}

NAMES = {mistake: f"{mistake.replace(' ', '_')}.py" for mistake in WRONG}


def mypy(directory: Path) -> str:
    """Return what mypy says about the programs in a directory."""
    if importlib.util.find_spec("mypy") is None:
        pytest.skip("mypy is not installed: python -m pip install mypy")
    return output(sys.executable, "-m", "mypy", "--strict", *programs(directory), cwd=directory)


def pyright(directory: Path) -> str:
    """Return what pyright says."""
    command = shutil.which("pyright", path=str(Path(sys.executable).parent)) or shutil.which("pyright")
    if command is None:
        pytest.skip("pyright is not installed: python -m pip install 'pyright[nodejs]'")
    config = {"extraPaths": [str(Path(zlmdb.__file__).parents[1])], "typeCheckingMode": "standard"}
    (directory / "pyrightconfig.json").write_text(json.dumps(config), encoding="utf-8")
    return output(command, "--pythonpath", sys.executable, *programs(directory), cwd=directory)


def programs(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.glob("*.py"))


def output(*command: str, cwd: Path) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, encoding="utf-8", check=False)
    assert done.returncode in (0, 1), done.stderr
    return done.stdout


@pytest.fixture(scope="module", params=[mypy, pyright])
def errors(request, tmp_path_factory):
    """Return the lines with errors of each checker."""
    directory = tmp_path_factory.mktemp("programs")
    (directory / "right.py").write_text(OBJECTS, encoding="utf-8")
    for mistake, (right, wrong) in WRONG.items():
        assert right in OBJECTS
        text = OBJECTS.replace(right, wrong, 1)
        (directory / NAMES[mistake]).write_text(text, encoding="utf-8")
    return [line for line in request.param(directory).splitlines() if "error" in line]


def test_the_objects_of_the_readme_are_not_refused(errors):
    assert 'users[txn, by_name[txn, "alice"]]' in OBJECTS
    assert [line for line in errors if "right.py" in line] == []


@pytest.mark.parametrize("mistake", WRONG)
def test_mistakes_are_not_passed(errors, mistake):
    assert [line for line in errors if NAMES[mistake] in line] != []
