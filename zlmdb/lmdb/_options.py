"""The command line of ``python -m zlmdb.lmdb``: its help and its options."""

from __future__ import annotations

from optparse import OptionGroup, OptionParser
from typing import Any

USAGE = """%prog [options] <command>

Basic tools for LMDB environments.

    copy: Back up an environment into a new directory.
        %prog copy -e source.lmdb [--compact] target.lmdb

    copyfd: Back up an environment to a file descriptor, by default the standard output.
        %prog copyfd -e source.lmdb > backup.mdb

    drop: Delete named databases.
        %prog drop -e env.lmdb db1 [db2 ...]

    dump: Write databases to files in the format of cdbmake.
        %prog dump -e env.lmdb [db1=file1.cdbmake :main:=file2.cdbmake ...]

        Without databases, the main database goes to "main.cdbmake". With --all, the main and every named
        database go to "<name>.cdbmake", with "_" for every "/".

    edit: Add, replace and delete records, in this order: --add, --set, --delete, --add-file, --set-file.
        %prog edit -e env.lmdb --set key=value --set-file key=/path --add key=value \\
            --add-file key=/path --delete key

    get: Print values.
        %prog get -e env.lmdb key1 [key2 ...]

    readers: Show the table of readers; with -c, first clear the entries of dead processes.
        %prog readers -e env.lmdb [-c]

    restore: Read databases from files that "dump" wrote.
        %prog restore -e env.lmdb [db1=file1.cdbmake :main:=file2.cdbmake ...]

    rewrite: Copy databases record by record, in order, into a new environment, which makes it compact.
        %prog rewrite -e source.lmdb -E target.lmdb [db1 :main: ...]

    shell: Start Python with the environment as ENV and the database as DB.

    stat: Print figures about the environment and the database.

    verify: Check a data file without handing it to LMDB. Prints the problems; the exit status tells too.
        %prog verify env.lmdb
        %prog verify -s single-file.mdb

    warm: Read the environment into the system's page cache.

    watch: Show figures about the environment as they change.
        %prog watch -e env.lmdb [--csv] [--interval seconds] [--window intervals]"""

_PAIR: dict[str, Any] = {"action": "append", "metavar": "KEY=VALUE"}
_FILE: dict[str, Any] = {"action": "append", "metavar": "KEY=PATH"}
_COMMAND_OPTIONS: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "copy": [("--compact", {"action": "store_true", "default": False, "help": "Leave out free pages"})],
    "edit": [
        ("--set", _PAIR | {"help": "Store a value"}),
        ("--set-file", _FILE | {"help": "Store the content of a file"}),
        ("--add", _PAIR | {"help": "Store a value unless the key exists"}),
        ("--add-file", _FILE | {"help": "Store the content of a file unless the key exists"}),
        ("--delete", {"action": "append", "metavar": "KEY", "help": "Delete a key"}),
    ],
    "readers": [("-c --clean", {"action": "store_true", "help": "Clear the entries of dead processes"})],
    "watch": [
        ("--csv", {"action": "store_true", "help": "Print CSV"}),
        ("--interval", {"type": "int", "default": 1, "help": "Seconds between rows (default: %default)"}),
        ("--window", {"type": "int", "default": 10, "help": "Intervals to average over (default: %default)"}),
    ],
}


def make_parser() -> OptionParser:
    """Return the parser of the command line."""
    parser = OptionParser(prog="python -m zlmdb.lmdb", usage=USAGE)
    add = parser.add_option
    add("-e", "--env", help="Environment to open")
    add("-d", "--db", help="Database to open (default: main)")
    add("-r", "--read", action="store_true", help="Open the environment read-only")
    add(
        "-S",
        "--map_size",
        type="int",
        default=10,
        metavar="MB",
        help="Map size in megabytes, unless the environment has a larger one (default: %default)",
    )
    add("-s", "--use-single-file", action="store_true", help="The environment is a file, not a directory")
    add("-a", "--all", action="store_true", help='"dump" all databases')
    add("-E", "--target_env", help='Environment that "rewrite" makes')
    add("-x", "--xxd", action="store_true", help="Print values like xxd")
    add("-M", "--max-dbs", type="int", default=128, help="Maximum of open databases (default: %default)")
    add("--out-fd", type="int", default=1, help='File descriptor for "copyfd" (default: %default)')
    for command, options in _COMMAND_OPTIONS.items():
        group = OptionGroup(parser, f'Options of "{command}"')
        for name, settings in options:
            group.add_option(*name.split(), **settings)
        parser.add_option_group(group)
    return parser
