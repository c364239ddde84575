"""The tool as a program of its own."""

from __future__ import annotations

import subprocess

import pytest

from zlmdb import lmdb


@pytest.fixture
def env(tmp_path):
    """Return the path of an environment with a record."""
    with lmdb.open(str(tmp_path / "env")) as env, env.begin(write=True) as txn:
        txn.put(b"key", b"value")
    return tmp_path / "env"


def test_runs_as_a_module(run_python, env):
    result = run_python("-m", "zlmdb.lmdb", "get", "-e", env, "key")
    assert (result.returncode, result.stdout, result.stderr) == (0, "b'value'\n", "")


def test_exit_status(run_python):
    result = run_python("-m", "zlmdb.lmdb", "stat", "-e", "missing")
    assert result.returncode == 1
    assert result.stderr.startswith("lmdb.tool: missing: No such file or directory")


def test_usage_names_the_command_line(run_python):
    result = run_python("-m", "zlmdb.lmdb", "--help")
    assert result.stdout.startswith("Usage: python -m zlmdb.lmdb [options] <command>")


def test_copyfd_to_standard_output(run_python, env, tmp_path):
    with (tmp_path / "copy").open("wb") as file:
        result = run_python(
            "-m", "zlmdb.lmdb", "copyfd", "-e", env, capture_output=False, stdout=file, stderr=subprocess.PIPE
        )
    assert (result.returncode, result.stderr) == (0, "")
    with lmdb.open(str(tmp_path / "copy"), subdir=False) as copy:
        assert copy.get(b"key") == b"value"


def test_a_reader_that_goes_away(run_python, env):
    """As in ``... | head``: no traceback."""
    code = (
        "import subprocess, sys; "
        "p = subprocess.Popen([sys.executable, '-m', 'zlmdb.lmdb', 'stat', '-e', sys.argv[1]], "
        "stdout=subprocess.PIPE, stderr=subprocess.PIPE); "
        "p.stdout.close(); print(p.wait(), p.stderr.read())"
    )
    assert run_python("-c", code, env).stdout == "1 b''\n"
