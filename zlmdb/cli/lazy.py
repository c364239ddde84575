"""A group of commands that are imported when they are run, and the errors that all of them report alike."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click


class LazyGroup(click.Group):
    """A group whose commands are objects in modules of a package, both named like the command.

    What zLMDB, LMDB or the operating system refuse ends a command with a message and exit status 1, as
    `click.ClickException` does. Anything else is a defect and keeps its traceback.

    Args:
        package: The package of the modules.
        commands_help: The names of the commands and the short help of each, which is the first sentence of
            its docstring.
        attrs: As for `click.Group`.
    """

    def __init__(self, *, package: str, commands_help: Mapping[str, str], **attrs: Any) -> None:
        super().__init__(**attrs)
        self._package = package
        self._commands_help = commands_help

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Return the names of the commands, sorted."""
        return sorted(self._commands_help)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import and return a command; None if there is none of that name."""
        if cmd_name not in self._commands_help:
            return None
        command: click.Command = getattr(import_module(f"{self._package}.{cmd_name}"), cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands for ``--help``, which needs none of them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, self._commands_help[name]) for name in self.list_commands(ctx)])

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command, and turn the errors that users can do something about into messages."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise  # click ends quietly when the reader of our output has gone
        except Exception as error:
            if not _is_expected(error):
                raise
            raise click.ClickException(str(error)) from error


def _is_expected(error: Exception) -> bool:
    from zlmdb import Error, lmdb

    return isinstance(error, (Error, lmdb.Error, OSError))
