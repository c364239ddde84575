"""The ``zlmdb`` command.

Each command, or group of commands, is a module here that is imported when it is run. A command only talks to
the user; what it does, it asks of the package.
"""

import click

from zlmdb import __version__
from zlmdb.cli.lazy import LazyGroup

COMMANDS = {
    "info": "Show figures about a database.",
}
"""The commands and their short help; each is the object of that name in the module of that name."""


@click.group("zlmdb", cls=LazyGroup, package=__name__, commands_help=COMMANDS)
@click.version_option(__version__)
def main() -> None:
    """Look after zLMDB databases."""
