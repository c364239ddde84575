"""The command line tool: ``python -m zlmdb.lmdb``."""

from __future__ import annotations

import code
import csv
import os
import pprint
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from optparse import Values
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from zlmdb import lmdb
from zlmdb.lmdb import _watch, engine
from zlmdb.lmdb._cdbmake import CdbmakeError, read_records, write_records
from zlmdb.lmdb._hexdump import isprint, xxd
from zlmdb.lmdb._options import make_parser
from zlmdb.lmdb._watch import find_diskstat as _find_diskstat
from zlmdb.lmdb.errors import Error, NotFoundError
from zlmdb.lmdb.verify import VerifyError, verify

MAIN = ":main:"
"""What the main database is called on the command line."""

ENV: Any = None
"""The environment that the command works on."""

DB: Any = None
"""The database given with ``--db``. None: the main database."""

_MEBIBYTE = 1 << 20

__all__ = ["DB", "ENV", "delta", "die", "isprint", "main", "make_parser", "xxd"]

_opened: lmdb.Environment | None = None  # by `main`, which closes it at its next call


def _to_bytes(text: object) -> bytes:
    """Return `text` as given on the command line, as a key or value."""
    return str(text).encode("utf-8", "surrogateescape")


def delta(hst: list[int]) -> list[int]:
    """Return the differences between neighbours of `hst`."""
    return [after - before for before, after in pairwise(hst)]


def die(fmt: str, *args: object) -> NoReturn:
    """Print a message to the standard error and exit with status 1."""
    print("lmdb.tool:", fmt % args if args else fmt, file=sys.stderr)
    sys.exit(1)


# Arguments


def _pair(spec: str) -> tuple[bytes, str]:
    """Split an option of ``edit`` into key and value."""
    key, equals, value = spec.partition("=")
    if not equals:
        die('Missing "=" in %r: expected KEY=VALUE', spec)
    return _to_bytes(key), value


def _pairs(specs: list[str] | None) -> list[tuple[bytes, bytes]]:
    return [(key, _to_bytes(value)) for key, value in map(_pair, specs or ())]


def _files(specs: list[str] | None) -> list[tuple[bytes, bytes]]:
    return [(key, Path(path).read_bytes()) for key, path in map(_pair, specs or ())]


# Databases


def _open_db(name: str, create: bool = False, txn: lmdb.Transaction | None = None) -> lmdb._Database:
    """Open a database of `ENV` by its name on the command line."""
    try:
        db: lmdb._Database = ENV.open_db(None if name == MAIN else _to_bytes(name), txn, create=create)
    except NotFoundError:
        die("No such database: %r", name)
    return db


def _paths_from_args(args: list[str]) -> dict[str, str]:
    """Return the names of databases, and the files for them, from arguments like ``name=path``."""
    paths: dict[str, str] = {}
    for arg in args or [f"{MAIN}=main.cdbmake"]:
        name, equals, path = arg.partition("=")
        if not (name and equals and path):
            die("Bad database specification %r: expected NAME=PATH", arg)
        if name in paths:
            die("Database given twice: %r", arg)
        paths[name] = path
    return paths


def db_map_from_args(args: list[str]) -> dict[str, tuple[lmdb._Database, str]]:
    """Return the databases, created if missing, and the files that arguments like ``name=path`` stand for.

    No arguments stand for the main database and ``main.cdbmake``.
    """
    return {name: (_open_db(name, create=True), path) for name, path in _paths_from_args(args).items()}


def _all_paths() -> dict[str, str]:
    """Return the names of all databases of `ENV`, and the files to dump them to."""
    files = {"main.cdbmake": MAIN}
    for name in map(os.fsdecode, ENV.dbs()):
        file = name.replace("/", "_") + ".cdbmake"
        if file in files:
            die("Databases %r and %r would both go to %r: dump them by name", files[file], name, file)
        files[file] = name
    return {name: file for file, name in files.items()}


def _records(cursor: lmdb.Cursor, name: str) -> Iterator[tuple[bytes, bytes]]:
    """Yield the records of a database, without those by which LMDB finds the named databases."""
    skip = set()
    if name == MAIN:
        end = b"\0" if ENV.lib_version()[0] else b""
        skip = {db + end for db in ENV.dbs()}
    return (record for record in cursor.iternext() if record[0] not in skip)


def dump_cursor_to_fp(cursor: lmdb.Cursor, fp: BinaryIO) -> None:
    """Write all records of the database of `cursor` to `fp` in the format of cdbmake."""
    cursor.first()
    write_records(cursor.iternext(), fp)


def restore_cursor_from_fp(txn: lmdb.Transaction, fp: BinaryIO, db: lmdb._Database) -> int:
    """Store the records that `fp` holds in the format of cdbmake in `db`.

    Returns:
        The number of lines read: one for each record, and the final newline.
    """
    lines = 1
    try:
        for key, value in read_records(fp):
            txn.put(key, value, db=db)
            lines += 1
    except CdbmakeError as error:
        die("%s", error)
    return lines


# Commands


def cmd_copy(opts: Values, args: list[str]) -> None:
    """Back up to a new directory, or a new file."""
    if len(args) != 1:
        die("Please specify one output directory (see --help)")
    (target,) = args
    if os.path.lexists(target):
        die("Output directory %r already exists.", target)
    if not opts.use_single_file:
        os.makedirs(target)
    print(f"Running copy to {target!r}....")
    ENV.copy(target, compact=opts.compact)


def cmd_copyfd(opts: Values, args: list[str]) -> None:
    """Back up to a file descriptor."""
    if args:
        die('"copyfd" takes no arguments (see --help)')
    try:
        os.fstat(opts.out_fd)
    except (OSError, OverflowError) as error:
        die("Bad --out-fd %d: %s", opts.out_fd, error)
    if os.isatty(opts.out_fd):
        die("Refusing to write an environment to a terminal: redirect the output to a file")
    sys.stdout.flush()
    ENV.copyfd(opts.out_fd, compact=opts.compact)


def cmd_drop(_opts: Values, args: list[str]) -> None:
    """Delete named databases."""
    if not args:
        die("Please specify at least one database (see --help)")
    if MAIN in args:
        die("The main database cannot be dropped")
    databases = [(name, _open_db(name)) for name in dict.fromkeys(args)]
    with ENV.begin(write=True) as txn:
        for name, db in databases:
            print(f"Dropping DB {name!r}...")
            txn.drop(db)


def cmd_dump(opts: Values, args: list[str]) -> None:
    """Write databases to files."""
    if opts.all and args:
        die("--all cannot be combined with a list of databases")
    paths = _all_paths() if opts.all else _paths_from_args(args)
    if len({*paths.values()}) < len(paths):
        die("Two databases cannot be dumped to the same file")
    databases = {name: _open_db(name) for name in paths}
    with ENV.begin() as txn:
        for name, db in databases.items():
            print(f"Dumping to {paths[name]!r}...")
            with open(paths[name], "wb") as fp, txn.cursor(db) as cursor:
                write_records(_records(cursor, name), fp)


def cmd_restore(_opts: Values, args: list[str]) -> None:
    """Read databases from files, all of them or none."""
    paths = _paths_from_args(args)
    with ENV.begin(write=True) as txn:
        for name, path in paths.items():
            print(f"Restoring from {path!r}...")
            with open(path, "rb") as fp:
                count = restore_cursor_from_fp(txn, fp, _open_db(name, create=True, txn=txn)) - 1
                if fp.read(1):
                    die("%r goes on after the final newline", path)
            print(f"Loaded {count} records from {path!r}")


def cmd_edit(opts: Values, args: list[str]) -> None:
    """Change records, all of them or none."""
    if args:
        die('"edit" takes options only, no arguments (see --help)')
    add, set_ = map(_pairs, (opts.add, opts.set))
    add_file, set_file = map(_files, (opts.add_file, opts.set_file))
    with ENV.begin(write=True, db=DB) as txn:
        _put_all(txn, add, overwrite=False)
        _put_all(txn, set_)
        for key in opts.delete or ():
            txn.delete(_to_bytes(key))
        _put_all(txn, add_file, overwrite=False)
        _put_all(txn, set_file)


def _put_all(txn: lmdb.Transaction, records: Iterable[tuple[bytes, bytes]], overwrite: bool = True) -> None:
    for key, value in records:
        txn.put(key, value, overwrite=overwrite)


def cmd_get(opts: Values, args: list[str]) -> None:
    """Print values."""
    if not args:
        die("Please specify at least one key (see --help)")
    with ENV.begin(db=DB) as txn:
        for arg in args:
            value = txn.get(_to_bytes(arg))
            if value is None:
                print(f"{arg!r}: missing")
                continue
            if len(args) > 1:
                print(f"{arg!r}:")
            print(xxd(value) if opts.xxd else value)


def cmd_readers(opts: Values, _args: list[str]) -> None:
    """Show the table of readers."""
    if opts.clean:
        print(f"Cleaned {ENV.reader_check()} stale entries.")
    print(ENV.readers())


def cmd_rewrite(opts: Values, args: list[str]) -> None:
    """Copy databases record by record."""
    if not opts.target_env:
        die("Must specify target environment path with -E")
    # The main database first, as it is to be empty, without records of other databases.
    names = sorted(dict.fromkeys(args or [MAIN]), key=MAIN.__ne__)
    sources = [(name, _open_db(name)) for name in names]
    subdir = not opts.use_single_file
    exists = engine.sniff(os.fsencode(opts.target_env), subdir)
    with lmdb.open(
        opts.target_env, map_size=2 * ENV.info()["map_size"], max_dbs=opts.max_dbs,
        subdir=subdir, sync=False, lib_version=None if exists else ENV.lib_version()[0],
    ) as target:  # fmt: skip
        for name, source in sources:
            print(f"Writing {name!r}...")
            _rewrite(target, name, source)
        print("Syncing..")
        target.sync(True)


def _rewrite(target: lmdb.Environment, name: str, source: lmdb._Database) -> None:
    """Append the records of a database to the same database of `target`, which must be empty."""
    flags: dict[str, Any] = source.flags()
    db = target.open_db() if name == MAIN else target.open_db(_to_bytes(name), **flags)
    with ENV.begin() as reader, target.begin(write=True, db=db) as writer, reader.cursor(source) as cursor:
        if writer.stat(db)["entries"]:
            die("Database %r of the target is not empty", name)
        for key, value in _records(cursor, name):
            writer.put(key, value, append=True)


def cmd_shell(_opts: Values, _args: list[str]) -> None:
    """Start Python."""
    banner = "ENV is the environment, DB the database (None: the main one), lmdb the module."
    code.interact(banner=banner, local={"ENV": ENV, "DB": DB, "lmdb": lmdb}, exitmsg="")


def cmd_stat(_opts: Values, _args: list[str]) -> None:
    """Print figures."""
    with ENV.begin() as txn:
        pprint.pprint(txn.stat(DB) if DB else ENV.stat())
    pprint.pprint(ENV.info())


def cmd_verify(opts: Values, args: list[str]) -> None:
    """Check a data file without LMDB."""
    paths = args or ([opts.env] if opts.env else [])
    if len(paths) != 1:
        die("verify: specify one path, as an argument or with --env")
    try:
        problems = verify(paths[0], subdir=False if opts.use_single_file else None)
    except VerifyError as error:
        die("verify: %s", error)
    for problem in problems:
        print(problem)
    if problems:
        die("verify: %d problems", len(problems))
    print("verify: OK")


def cmd_warm(opts: Values, _args: list[str]) -> None:
    """Read the data file."""
    info, start = ENV.info(), time.monotonic()
    path = ENV.path() if opts.use_single_file else os.path.join(ENV.path(), "data.mdb")
    left = size = (info["last_pgno"] + 1) * ENV.stat()["psize"]
    with open(path, "rb", buffering=0) as file:
        while left > 0 and (data := file.read(min(left, _MEBIBYTE))):
            left -= len(data)
    seconds = time.monotonic() - start
    print(f"Warmed {(size - left) / _MEBIBYTE:.2f}mb in {1000 * seconds:.0f}ms")


def cmd_watch(opts: Values, _args: list[str]) -> None:
    """Show figures until interrupted."""
    if opts.interval < 0:
        die("--interval must not be negative")
    watcher = _watch.Watcher(ENV, DB, _find_diskstat(ENV.path()), opts.window)
    emit = csv.writer(sys.stdout, lineterminator="\n").writerow if opts.csv else _watch.print_row
    emit(_watch.COLUMNS)
    try:
        while True:
            time.sleep(opts.interval)
            emit(watcher.row())
            sys.stdout.flush()
    except KeyboardInterrupt:
        pass


COMMANDS: dict[str, Callable[[Values, list[str]], None]] = {
    name.removeprefix("cmd_"): function
    for name, function in list(globals().items())
    if name.startswith("cmd_")
}


def _open(opts: Values, command: str) -> None:
    """Open what the command works on: `ENV` and `DB`."""
    global ENV, DB, _opened  # noqa: PLW0603 - they are the interface of this module
    # A size of 0 means the one the environment has.
    ENV = _opened = lmdb.open(
        opts.env, map_size=0, subdir=not opts.use_single_file, max_dbs=opts.max_dbs, create=False,
        readonly=bool(opts.read),
    )  # fmt: skip
    if not (opts.read or 0 <= opts.map_size * _MEBIBYTE <= ENV.info()["map_size"]):
        ENV.set_mapsize(opts.map_size * _MEBIBYTE)  # which refuses a negative size
    DB = None if opts.db in (None, MAIN) else _open_db(opts.db, create=command == "edit")


def main(argv: list[str] | None = None) -> None:
    """Run the tool.

    Args:
        argv: The arguments without the name of the program. None: those of the process.

    Raises:
        SystemExit: With status 1 after any error, which has been reported on the standard error.
    """
    opts, args = make_parser().parse_args(argv)
    if opts.read and args[:1] == ["READ"]:  # The option took an argument once, which meant nothing.
        del args[0]
    if not args:
        die("Please specify a command (see --help)")
    command, *args = args
    if command not in COMMANDS:
        die("No such command: %r", command)
    try:
        if command != "verify":
            if not opts.env:
                die("Please specify environment (--env)")
            if _opened is not None:
                _opened.close()
            _open(opts, command)
        COMMANDS[command](opts, args)
    except BrokenPipeError:
        raise
    except (Error, OSError, OverflowError) as error:
        die("%s", error)
