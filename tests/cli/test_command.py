"""The ``zlmdb`` command as a whole: help, lazy commands, and how errors are reported."""

from __future__ import annotations

import sys
from importlib import import_module

import click
import pytest
from click.testing import CliRunner

import zlmdb
from zlmdb.cli import COMMANDS, main
from zlmdb.cli.lazy import LazyGroup


def run(*args):
    return CliRunner().invoke(main, [str(arg) for arg in args])


def test_version():
    done = run("--version")
    assert (done.exit_code, done.stdout) == (0, f"zlmdb, version {zlmdb.__version__}\n")


@pytest.mark.parametrize("module", ["zlmdb", "zlmdb.cli"])
def test_the_command_as_a_module(run_python, module):
    done = run_python("-m", module, "info", "missing")
    assert (done.returncode, done.stdout) == (1, "")
    assert 'no database at "missing"' in done.stderr


def test_help_lists_every_command():
    done = run("--help")
    assert done.exit_code == 0
    for name, text in COMMANDS.items():
        assert f"  {name}  {text}\n" in done.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_the_short_help_is_that_of_the_command(name):
    command = getattr(import_module(f"zlmdb.cli.{name}"), name)
    assert isinstance(command, click.Command)
    assert command.name == name
    assert command.help.partition("\n")[0] == COMMANDS[name]
    assert run(name, "--help").exit_code == 0


def test_help_imports_no_command(run_python):
    program = (
        "import sys; from zlmdb.cli import main; main(['--help'], standalone_mode=False);"
        "print([name for name in sys.modules if name in ('zlmdb.cli.info', 'zlmdb.lmdb', 'zlmdb.orm')])"
    )
    done = run_python("-c", program)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"


def test_unknown_command():
    done = run("frobnicate")
    assert done.exit_code == 2
    assert "No such command 'frobnicate'" in done.stderr


@pytest.fixture
def group(monkeypatch):
    """Return a function that makes a group of one command, which raises an error."""

    def make(error):
        @click.command()
        def fail():
            raise error

        module = type(sys)("some_commands.fail")
        module.fail = fail
        monkeypatch.setitem(sys.modules, "some_commands", type(sys)("some_commands"))
        monkeypatch.setitem(sys.modules, module.__name__, module)
        return LazyGroup(package="some_commands", commands_help={"fail": "Fail."})

    return make


@pytest.mark.parametrize(
    "error",
    [zlmdb.Error("no such table"), zlmdb.lmdb.Error("mdb_put", 28), PermissionError(13, "Permission denied")],
)
def test_what_a_user_can_mend_is_a_message(group, error):
    done = CliRunner().invoke(group(error), ["fail"])
    assert (done.exit_code, done.stdout, done.stderr) == (1, "", f"Error: {error}\n")


def test_a_defect_keeps_its_traceback(group):
    error = ZeroDivisionError()
    assert CliRunner().invoke(group(error), ["fail"]).exception is error


def test_a_reader_that_has_gone_is_no_error(group):
    done = CliRunner().invoke(group(BrokenPipeError(32, "Broken pipe")), ["fail"])
    assert (done.exit_code, done.output) == (1, "")
