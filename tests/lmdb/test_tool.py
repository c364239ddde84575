"""The command line tool, command by command."""

from __future__ import annotations

import io
import os
import pprint
import random
import re
from pathlib import Path

import pytest

from zlmdb import lmdb
from zlmdb.lmdb import tool

BINARY = b"\x00two\xff" * 9


@pytest.fixture(autouse=True)
def own_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Run the test in an empty directory, and close what `tool.main` leaves open."""
    monkeypatch.chdir(tmp_path)
    yield
    close()


def close() -> None:
    if tool.ENV is not None:
        tool.ENV.close()
        tool.ENV = tool.DB = None


@pytest.fixture(params=[0, 1], ids=["lmdb 0.9", "lmdb 1.0"])
def env(request: pytest.FixtureRequest) -> str:
    """Return the path of an environment with a main database, a plain and a dupsort one."""
    with lmdb.open("env", max_dbs=4, lib_version=request.param) as env:
        plain, dups = env.open_db(b"plain"), env.open_db(b"with/dups", dupsort=True)
        with env.begin(write=True) as txn:
            txn.put(b"k1", b"v1")
            txn.put(b"k2", BINARY)
            txn.put(b"p", b"plain value", db=plain)
            for value in (b"1", b"2", b"3"):
                txn.put(b"d", value, db=dups)
    return "env"


def run(*args: str) -> None:
    tool.main([str(arg) for arg in args])


def fails(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    """Run a command that must fail, and return the message."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as exit_:
        run(*args)
    assert exit_.value.code == 1
    message = capsys.readouterr().err
    assert message.startswith("lmdb.tool: ")
    return message.removeprefix("lmdb.tool: ")


def content(path: str, name: bytes | None = None, **options: object) -> list[tuple[bytes, bytes]]:
    """Return the records of a database, once the tool is done with its environment."""
    close()
    with lmdb.open(path, max_dbs=4, **options) as env:
        db = env.open_db(name, create=False) if name else None
        with env.begin(db=db) as txn:
            return list(txn.items())


# The command line itself


def test_no_command(capsys):
    assert "specify a command" in fails(capsys)


def test_unknown_command(capsys, env):
    assert fails(capsys, "nonsense", "-e", env) == "No such command: 'nonsense'\n"


@pytest.mark.parametrize("command", sorted(set(tool.COMMANDS) - {"verify"}))
def test_no_environment(capsys, command):
    assert fails(capsys, command) == "Please specify environment (--env)\n"


def test_missing_environment(capsys, tmp_path):
    assert "No such file or directory" in fails(capsys, "stat", "-e", "missing")
    assert not (tmp_path / "missing").exists()


def test_not_an_environment(capsys, tmp_path):
    (tmp_path / "junk").write_bytes(bytes(range(256)) * 40)
    assert "not an LMDB file" in fails(capsys, "stat", "-s", "-e", "junk")


def test_missing_database(capsys, env):
    assert fails(capsys, "get", "-e", env, "-d", "missing", "k") == "No such database: 'missing'\n"


def test_help_explains_every_command(capsys):
    with pytest.raises(SystemExit) as exit_:
        run("--help")
    assert exit_.value.code == 0
    text = capsys.readouterr().out
    assert re.findall(r"^    (\w+): ", text, re.MULTILINE) == sorted(tool.COMMANDS)


def test_option_defaults():
    opts, _args = tool.make_parser().parse_args([])
    assert (opts.map_size, opts.max_dbs, opts.out_fd, opts.interval, opts.window) == (10, 128, 1, 1, 10)
    assert not any(
        [opts.env, opts.db, opts.read, opts.use_single_file, opts.all, opts.compact, opts.csv, opts.clean]
    )


def test_read_took_an_argument_once(capsys, env):
    run("-r", "READ", "get", "-e", env, "k1")
    assert capsys.readouterr().out == "b'v1'\n"


def test_read_only(capsys, env):
    run("edit", "-e", env, "--set", "x=1")
    assert tool.ENV.flags()["readonly"] is False
    assert "mdb_txn_begin" in fails(capsys, "edit", "-r", "-e", env, "--set", "x=2")
    assert tool.ENV.flags()["readonly"] is True


@pytest.mark.parametrize("size", ["-1", "-99999999999999999999"])
def test_a_negative_map_size(env, capsys, size):
    assert "map_size" in fails(capsys, "-e", env, "-S", size, "stat")


def test_map_size(env):
    run("stat", "-e", env, "-S", "64")
    assert tool.ENV.info()["map_size"] == 64 << 20
    with lmdb.open("large", map_size=1 << 26) as large, large.begin(write=True) as txn:
        txn.put(b"k", b"v")
    run("stat", "-e", "large")
    assert tool.ENV.info()["map_size"] == 1 << 26


def test_later_calls_close_the_environment_of_earlier_ones(capsys, env):
    run("stat", "-e", env)
    first = tool.ENV
    run("get", "-e", env, "k1")
    assert tool.ENV is not first
    with pytest.raises(lmdb.Error):
        first.stat()


def test_single_file(capsys):
    with lmdb.open("file", subdir=False) as env, env.begin(write=True) as txn:
        txn.put(b"k", b"v")
    run("get", "-s", "-e", "file", "k")
    run("copy", "-s", "-e", "file", "copy")
    run("verify", "-s", "copy")
    assert content("copy", subdir=False) == [(b"k", b"v")]


# Commands


def test_stat(capsys, env):
    run("stat", "-e", env)
    expected = pprint.pformat(tool.ENV.stat()) + "\n" + pprint.pformat(tool.ENV.info()) + "\n"
    assert capsys.readouterr().out == expected
    run("stat", "-e", env, "-d", "with/dups")
    assert "'entries': 3" in capsys.readouterr().out


def test_get(capsys, env):
    run("get", "-e", env, "k1")
    assert capsys.readouterr().out == "b'v1'\n"
    run("get", "-e", env, "k1", "no", "k2")
    assert capsys.readouterr().out == f"'k1':\nb'v1'\n'no': missing\n'k2':\n{BINARY!r}\n"
    run("get", "-e", env, "-d", "plain", "-x", "p")
    assert capsys.readouterr().out == "0000000: 706c 6169 6e20 7661 6c75 65              plain value\n\n"
    assert "at least one key" in fails(capsys, "get", "-e", env)


def test_edit(capsys, env):
    run(
        "edit", "-e", env, "--add", "a=1", "--add", "k1=ignored", "--set", "s=2=3", "--set", "k2=new",
        "--set", "x=", "--delete", "k1", "--delete", "missing",
    )  # fmt: skip
    records = dict(item for item in content(env) if item[0][:4] not in (b"plai", b"with"))
    assert records == {b"a": b"1", b"k2": b"new", b"s": b"2=3", b"x": b""}


def test_edit_from_files(tmp_path, env):
    (tmp_path / "value").write_bytes(b"\x00\xff")
    run(
        "edit",
        "-e",
        env,
        "-d",
        "plain",
        "--add-file",
        "p=value",
        "--add-file",
        "q=value",
        "--set-file",
        "r=value",
    )
    assert content(env, b"plain") == [(b"p", b"plain value"), (b"q", b"\x00\xff"), (b"r", b"\x00\xff")]


def test_edit_order(tmp_path, env):
    (tmp_path / "value").write_bytes(b"file")
    # add, set, delete, add-file, set-file, whatever the order of the options
    run("edit", "-e", env, "-d", "new", "--set-file", "a=value", "--add-file", "b=value", "--delete", "b",
        "--set", "b=set", "--set", "a=set", "--add", "a=add", "--add", "c=add")  # fmt: skip
    assert content(env, b"new") == [(b"a", b"file"), (b"b", b"file"), (b"c", b"add")]


def test_edit_is_all_or_nothing(capsys, env):
    before = content(env)
    assert 'Missing "="' in fails(capsys, "edit", "-e", env, "--set", "a=1", "--set", "b")
    assert "No such file" in fails(capsys, "edit", "-e", env, "--set", "a=1", "--set-file", "b=missing")
    assert "mdb_put" in fails(capsys, "edit", "-e", env, "--set", "a=1", "--set", "=empty key")
    assert "no arguments" in fails(capsys, "edit", "-e", env, "a=1")
    assert content(env) == before


def test_drop(capsys, env):
    run("drop", "-e", env, "plain", "with/dups")
    assert tool.ENV.dbs() == []
    assert "at least one" in fails(capsys, "drop", "-e", env)
    assert "main database" in fails(capsys, "drop", "-e", env, "new", ":main:")
    assert "No such database" in fails(capsys, "drop", "-e", env, "plain")


def test_copy(capsys, env, tmp_path):
    run("copy", "-e", env, "new/copy")
    run("copy", "-e", env, "--compact", "compact")
    for copy in ("new/copy", "compact"):
        assert content(copy, b"plain") == [(b"p", b"plain value")]
    assert "already exists" in fails(capsys, "copy", "-e", env, "compact")
    assert "one output directory" in fails(capsys, "copy", "-e", env)
    assert "one output directory" in fails(capsys, "copy", "-e", env, "a", "b")


def test_copyfd(capsys, env, tmp_path):
    with (tmp_path / "copy").open("wb") as file:
        run("copyfd", "-e", env, "--out-fd", str(file.fileno()))
    assert content("copy", b"plain", subdir=False) == [(b"p", b"plain value")]
    assert "Bad --out-fd 999" in fails(capsys, "copyfd", "-e", env, "--out-fd", "999")
    assert "no arguments" in fails(capsys, "copyfd", "-e", env, "x")


def test_copyfd_refuses_a_terminal(capsys, env):
    controller, terminal = os.openpty()
    try:
        assert "to a terminal" in fails(capsys, "copyfd", "-e", env, "--out-fd", str(terminal))
    finally:
        os.close(controller)
        os.close(terminal)


def test_readers(capsys, env):
    run("readers", "-e", env)
    assert capsys.readouterr().out == "(no active readers)\n\n"
    run("readers", "-e", env, "--clean")
    assert capsys.readouterr().out == "Cleaned 0 stale entries.\n(no active readers)\n\n"


def test_warm(capsys, env):
    run("warm", "-e", env)
    assert re.fullmatch(r"Warmed 0\.\d\dmb in \d+ms\n", capsys.readouterr().out)
    with lmdb.open("file", subdir=False) as single, single.begin(write=True) as txn:
        txn.put(b"k", bytes(5 << 20))
    run("warm", "-s", "-e", "file")
    assert capsys.readouterr().out.startswith("Warmed 5.")


def test_verify(capsys, env, tmp_path):
    run("verify", env)
    run("verify", "-e", env)
    run("verify", "-s", "env/data.mdb")
    assert capsys.readouterr().out == "verify: OK\n" * 3
    assert tool.ENV is None, "LMDB has not been involved"
    data = tmp_path / "env" / "data.mdb"
    image = bytearray(data.read_bytes())
    image[-4096:] = bytes(4096)
    data.write_bytes(image)
    with pytest.raises(SystemExit) as exit_:
        run("verify", env)
    assert exit_.value.code == 1
    output = capsys.readouterr()
    assert "page" in output.out
    assert "problems" in output.err
    assert "one path" in fails(capsys, "verify")
    assert "one path" in fails(capsys, "verify", "a", "b")
    assert "No such file" in fails(capsys, "verify", "missing")


def test_shell(capsys, env, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("print(ENV.stat()['entries'], DB.flags()['dupsort'])\n"))
    run("shell", "-e", env, "-d", "with/dups")
    assert "4 True" in capsys.readouterr().out


# rewrite


def test_rewrite(capsys, env):
    run("rewrite", "-e", env, "-E", "target", "plain", "with/dups", ":main:")
    assert content("target", b"plain") == [(b"p", b"plain value")]
    assert content("target", b"with/dups") == [(b"d", b"1"), (b"d", b"2"), (b"d", b"3")]
    assert [key for key, _ in content("target") if key.startswith(b"k")] == [b"k1", b"k2"]
    run("verify", "target")


def test_rewrite_keeps_format_and_flags():
    with lmdb.open("source", max_dbs=9, lib_version=1) as source:
        db = source.open_db(b"numbers", integerkey=True)
        with source.begin(write=True, db=db) as txn:
            for number in (1, 256, 77):
                txn.put(number.to_bytes(8, "little"), b"")
    run("rewrite", "-e", "source", "-E", "target", "numbers")
    with lmdb.open("target", max_dbs=9, map_size=0) as target:
        assert target.lib_version()[0] == 1
        assert target.open_db(b"numbers").flags()["integerkey"]
        assert target.info()["map_size"] == 2 * tool.ENV.info()["map_size"]


@pytest.mark.parametrize("version", [0, 1])
def test_rewrite_into_an_environment_of_the_other_format(version):
    with lmdb.open("source", max_dbs=9, lib_version=version) as source:
        db = source.open_db(b"named")
        with source.begin(write=True, db=db) as txn:
            txn.put(b"k", b"v")
    lmdb.open("target", lib_version=1 - version).close()
    run("rewrite", "-e", "source", "-E", "target", "named")
    with lmdb.open("target") as target:
        assert target.lib_version()[0] == 1 - version
    assert content("target", b"named") == [(b"k", b"v")]


def test_rewrite_without_databases_copies_the_main_one(env):
    run("rewrite", "-e", env, "-E", "target")
    assert content("target") == [(b"k1", b"v1"), (b"k2", BINARY)]


def test_rewrite_refusals(capsys, env):
    assert "with -E" in fails(capsys, "rewrite", "-e", env)
    assert "No such database" in fails(capsys, "rewrite", "-e", env, "-E", "target", "missing")
    assert not Path("target").exists()
    run("rewrite", "-e", env, "-E", "target")
    assert "not empty" in fails(capsys, "rewrite", "-e", env, "-E", "target")


# watch


class Interrupt:
    """Stands in for `time.sleep`; commits a record at each call, and interrupts the last one."""

    def __init__(self, calls: int) -> None:
        self.calls = calls

    def __call__(self, _seconds: float) -> None:
        if not self.calls:
            raise KeyboardInterrupt
        self.calls -= 1
        with tool.ENV.begin(write=True) as txn:
            txn.put(random.randbytes(8), b"")


def test_watch_csv(capsys, env, monkeypatch):
    monkeypatch.setattr(tool.time, "sleep", Interrupt(3))
    monkeypatch.setattr(tool, "_find_diskstat", lambda _path: None)
    run("watch", "-e", env, "--csv", "--window", "2")
    rows = [line.split(",") for line in capsys.readouterr().out.splitlines()]
    assert len(rows) == 4
    columns = {name: list(values) for name, *values in zip(*rows, strict=True)}
    assert columns["entries"] == ["5", "6", "7"]
    assert columns["disk rd KiB/s"] == ["", "", ""]
    assert all(float(rate) > 0 for rate in columns["txn/s"])


def test_watch_table(capsys, env, monkeypatch, tmp_path):
    (tmp_path / "stat").write_text(" 1 2 300 4 5 6 700 8 9 10 11\n")
    monkeypatch.setattr(tool.time, "sleep", Interrupt(2))
    monkeypatch.setattr(tool, "_find_diskstat", lambda _path: str(tmp_path / "stat"))
    run("watch", "-e", env, "-d", "plain")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("txn/s  entries  entries/s")
    assert lines[1].split()[1] == lines[2].split()[1] == "1"
    assert lines[2].split()[-2:] == ["0.0", "0.0"]


def test_watch_interval(capsys, env):
    assert "--interval" in fails(capsys, "watch", "-e", env, "--interval", "-1")


def test_find_diskstat(tmp_path):
    path = tool._find_diskstat(str(tmp_path))
    assert path is None or len(Path(path).read_text().split()) >= 11


# Helpers


def test_to_bytes():
    assert tool._to_bytes("k\u00fc") == b"k\xc3\xbc"
    assert tool._to_bytes(17) == b"17"
    assert tool._to_bytes(os.fsdecode(b"\xff")) == b"\xff"


def test_isprint():
    assert [c for c in map(chr, range(300)) if tool.isprint(c)] == [chr(code) for code in range(32, 127)]


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "\n"),
        (b"a", "0000000: 61                                       a\n"),
        (b"\t\n\r \x7f\x80~A", "0000000: 090a 0d20 7f80 7e41                      ... ..~A\n"),
        (
            bytes(range(48, 65)),
            (
                "0000000: 3031 3233 3435 3637 3839 3a3b 3c3d 3e3f  0123456789:;<=>?\n"
                "0000010: 40                                       @\n"
            ),
        ),
    ],
)
def test_xxd(data, text):
    assert tool.xxd(data) == text


def test_delta():
    assert tool.delta([1, 3, 10, 4]) == [2, 7, -6]
    assert tool.delta([5]) == tool.delta([]) == []


@pytest.mark.parametrize(("args", "text"), [(("at 100%",), "at 100%"), (("%s: %d", "x", 7), "x: 7")])
def test_die(capsys, args, text):
    with pytest.raises(SystemExit) as exit_:
        tool.die(*args)
    assert exit_.value.code == 1
    assert capsys.readouterr().err == f"lmdb.tool: {text}\n"
