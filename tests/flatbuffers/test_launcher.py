"""The `flatc` command and the functions behind it."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from zlmdb import _flatc

# What pip and uv install as the `flatc` command, and what tells whether Python survives it.
SCRIPT = """\
import sys
from zlmdb._flatc import main
try:
    sys.exit(main())
finally:
    print("Python is still here")
"""
HERE = "Python is still here\n"
VERSION = "flatc version 25.12.19\n"


def test_the_binary_is_there():
    path = _flatc.get_flatc_path()
    assert isinstance(path, Path)
    assert path.parent == Path(_flatc.__file__).parent / "bin"
    assert os.access(path, os.X_OK)


def test_run_flatc_returns_the_exit_status(capfd):
    assert _flatc.run_flatc(["--version"]) == 0
    assert capfd.readouterr().out == VERSION
    assert _flatc.run_flatc(["--no-such-option"]) == 1
    assert "--no-such-option" in capfd.readouterr().err


def test_run_flatc_in_a_directory(tmp_path):
    (tmp_path / "point.fbs").write_text("struct Point { x: int; }")
    assert _flatc.run_flatc(["--python", "point.fbs"], cwd=tmp_path) == 0
    assert (tmp_path / "Point.py").is_file()


@pytest.mark.parametrize(("args", "status"), [(["--version"], 0), (["--no-such-option"], 1)])
def test_main_called_by_a_program_raises_system_exit(monkeypatch, capfd, args, status):
    monkeypatch.setattr(sys, "argv", ["flatc", *args])
    with pytest.raises(SystemExit) as raised:
        _flatc.main()
    assert raised.value.code == status
    assert (capfd.readouterr().out == VERSION) == (status == 0)


def test_missing_binary(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(_flatc, "__file__", str(tmp_path / "__init__.py"))
    for function in (_flatc.get_flatc_path, lambda: _flatc.run_flatc([])):
        with pytest.raises(FileNotFoundError, match=r"no file .*flatc.*pip install --force-reinstall"):
            function()
    with pytest.raises(SystemExit) as raised:
        _flatc.main()
    assert raised.value.code == 1
    assert "pip install --force-reinstall" in capsys.readouterr().err


@pytest.mark.skipif(os.name != "posix", reason="made executable by its mode")
def test_binary_that_cannot_be_executed(monkeypatch, tmp_path, capsys):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "flatc").write_text("no program")
    monkeypatch.setattr(_flatc, "__file__", str(tmp_path / "__init__.py"))
    with pytest.raises(SystemExit) as raised:
        _flatc.main()
    assert raised.value.code == 1
    assert "Permission denied" in capsys.readouterr().err


@pytest.mark.parametrize(("args", "status"), [(["--version"], 0), (["--no-such-option"], 1)])
def test_module(run_python, args, status):
    done = run_python("-m", "zlmdb._flatc", *args)
    assert done.returncode == status
    assert (done.stdout == VERSION) == (status == 0)


@pytest.mark.skipif(os.name != "posix", reason="only POSIX has an exec that keeps the process")
@pytest.mark.parametrize(("args", "status"), [(["--version"], 0), (["--no-such-option"], 1)])
def test_command_becomes_flatc(run_python, tmp_path, args, status):
    (tmp_path / "flatc").write_text(SCRIPT)
    done = run_python("flatc", *args)
    assert done.returncode == status
    assert (done.stdout == VERSION) == (status == 0)
    assert HERE not in done.stdout


def test_program_of_another_name_survives(run_python, tmp_path):
    (tmp_path / "program.py").write_text(SCRIPT)
    assert run_python("program.py", "--version").stdout == VERSION + HERE


def test_program_that_runs_the_command_survives(run_python, tmp_path):
    (tmp_path / "flatc").write_text(SCRIPT)
    (tmp_path / "program.py").write_text("import runpy; runpy.run_path('flatc', run_name='__main__')")
    assert run_python("program.py", "--version").stdout == VERSION + HERE


@pytest.mark.skipif(sys.platform != "linux", reason="reads the signal mask from /proc")
def test_command_passes_on_no_ignored_signal(run_python, tmp_path):
    """Python ignores SIGPIPE and SIGXFSZ for itself; `flatc | head` must die of the former as usual."""
    program = tmp_path / "package" / "bin" / "flatc"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\nexec grep SigIgn /proc/self/status\n")
    program.chmod(0o755)
    package = program.parents[1] / "__init__.py"
    (tmp_path / "flatc").write_text(f"import zlmdb._flatc as m\nm.__file__ = {str(package)!r}\n{SCRIPT}")
    ignored = int(run_python("flatc").stdout.split()[1], 16)
    # Not all of them: whoever starts the tests may ignore signals, as nohup does.
    assert [each for each in (signal.SIGPIPE, signal.SIGXFSZ) if ignored >> (each - 1) & 1] == []
