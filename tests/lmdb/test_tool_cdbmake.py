"""Dump and restore: the format of cdbmake, and what comes back."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zlmdb import lmdb
from zlmdb.lmdb import tool


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
def env(request: pytest.FixtureRequest) -> lmdb.Environment:
    """Return an open environment, of either engine."""
    with lmdb.open("env", max_dbs=9, lib_version=request.param) as env:
        yield env


def fill(env: lmdb.Environment) -> None:
    with env.begin(write=True) as txn:
        txn.put(b"k", b"main\n")
        txn.put(b"one", b"\x00->", db=env.open_db(b"plain", txn=txn))
        for value in (b"1", b"22"):
            txn.put(b"d", value, db=env.open_db(b"a/b", txn=txn, dupsort=True))


FILES = {
    "main.cdbmake": b"+1,5:k->main\n\n\n",
    "plain.cdbmake": b"+3,3:one->\x00->\n\n",
    "a_b.cdbmake": b"+1,1:d->1\n+1,2:d->22\n\n",
}


def test_dump_all(env):
    fill(env)
    env.close()
    tool.main(["dump", "-e", "env", "--all"])
    assert {path.name: path.read_bytes() for path in Path().glob("*.cdbmake")} == FILES


def test_dump_main_by_default(env):
    # Without the records that stand for the named databases: they mean nothing in another file.
    fill(env)
    env.close()
    tool.main(["dump", "-e", "env"])
    assert [path.name for path in Path().glob("*.cdbmake")] == ["main.cdbmake"]
    assert Path("main.cdbmake").read_bytes() == FILES["main.cdbmake"]


def test_dump_by_name(env):
    fill(env)
    env.close()
    tool.main(["dump", "-e", "env", "a/b=x", ":main:=y=z"])
    assert Path("x").read_bytes() == FILES["a_b.cdbmake"]
    assert Path("y=z").read_bytes() == FILES["main.cdbmake"]


def test_round_trip(env, capsys):
    fill(env)
    env.close()
    tool.main(["dump", "-e", "env", "--all"])
    with lmdb.open("other", max_dbs=9) as other:
        other.open_db(b"a/b", dupsort=True)
    tool.main(["restore", "-e", "other", "plain=plain.cdbmake", ":main:=main.cdbmake", "a/b=a_b.cdbmake"])
    assert "Loaded 2 records from 'a_b.cdbmake'" in capsys.readouterr().out
    Path("again").mkdir()
    for path in FILES:
        Path(path).unlink()
    tool.main(["dump", "-e", "other", "--all"])
    assert {path.name: path.read_bytes() for path in Path().glob("*.cdbmake")} == FILES


RECORDS = st.dictionaries(st.binary(min_size=1, max_size=40), st.binary(max_size=60), max_size=30)


@settings(max_examples=100, deadline=None)
@given(RECORDS)
def test_any_records_come_back(records):
    with tempfile.TemporaryDirectory() as path, lmdb.open(path, max_dbs=2) as env:
        first, second = env.open_db(b"1"), env.open_db(b"2")
        with env.begin(write=True) as txn, txn.cursor(first) as cursor:
            cursor.putmulti(records.items())
            file = io.BytesIO()
            tool.dump_cursor_to_fp(cursor, file)
            file.seek(0)
            assert tool.restore_cursor_from_fp(txn, file, second) == len(records) + 1
            assert file.read() == b""
            assert list(txn.items(db=second)) == sorted(records.items())


MALFORMED = {
    b"": "record 1: neither a plus",
    b"x": "record 1: neither a plus",
    b"+1,1:a->b": "record 1: b'' where b'\\n' should be",
    b"+1,1:a->b\n": "record 2: neither a plus",
    b"+1,1:a->b\n+1,1:a=>b\n\n": "record 2: b'=>' where b'->' should be",
    b"+1,1:a->bc\n\n": "record 1: b'c' where",
    b"+1,9:a->b\n\n": "record 1: the input ends inside it",
    b"+9,1:a->b\n\n": "record 1: the input ends inside it",
    b"+,1:a->b\n\n": "record 1: a length is missing",
    b"+-1,1:a->b\n\n": "record 1: bad length b'-'",
    b"+ 1,1:a->b\n\n": "record 1: bad length b' '",
    b"+1;1:a->b\n\n": "record 1: bad length b'1;'",
    b"+1": "record 1: bad length b'1'",
    b"+1,99999999999999999999:a->b\n\n": "record 1: bad length b'9999999999'",
}


@pytest.mark.parametrize("data", MALFORMED, ids=repr)
def test_malformed(env, capsys, data):
    with pytest.raises(SystemExit) as exit_, env.begin(write=True) as txn:
        tool.restore_cursor_from_fp(txn, io.BytesIO(data), env.open_db(txn=txn))
    assert exit_.value.code == 1
    assert capsys.readouterr().err.startswith(f"lmdb.tool: {MALFORMED[data]}")


def test_malformed_input_changes_nothing(env, capsys):
    env.close()
    Path("good").write_bytes(b"+1,1:a->b\n\n")
    Path("bad").write_bytes(b"+1,1:c->d\n+1,1:e->f\n")
    Path("long").write_bytes(b"+1,1:a->b\n\nand on")
    for arguments in (["x=good", "y=bad"], ["x=long"], ["x=good", "y=missing"]):
        with pytest.raises(SystemExit):
            tool.main(["restore", "-e", "env", *arguments])
        assert tool.ENV.dbs() == []
    assert "after the final newline" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a=x", "a=y"], "Database given twice: 'a=y'"),
        (["a"], "Bad database specification 'a'"),
        (["a="], "Bad database specification 'a='"),
        (["=x"], "Bad database specification '=x'"),
        (["--all", "a=x"], "--all cannot be combined"),
        ([":main:=x", "a=x"], "cannot be dumped to the same file"),
        (["missing=x"], "No such database: 'missing'"),
        ([":main:=no/such/directory"], "No such file or directory"),
    ],
)
def test_bad_arguments(env, capsys, arguments, message):
    env.close()
    with pytest.raises(SystemExit) as exit_:
        tool.main(["dump", "-e", "env", *arguments])
    assert exit_.value.code == 1
    assert message in capsys.readouterr().err
    assert not Path("x").exists()


def test_names_that_collide_as_files(env, capsys):
    for name in (b"a/b", b"a_b"):
        env.open_db(name)
    env.close()
    with pytest.raises(SystemExit):
        tool.main(["dump", "-e", "env", "--all"])
    assert "'a/b' and 'a_b' would both go to 'a_b.cdbmake'" in capsys.readouterr().err


def test_db_map_from_args(env):
    tool.ENV = env
    databases = tool.db_map_from_args(["new=path", ":main:=other"])
    assert {name: path for name, (_db, path) in databases.items()} == {"new": "path", ":main:": "other"}
    assert databases["new"][0] is env.open_db(b"new", create=False)
    assert databases[":main:"][0] is env.open_db()
    assert [path for _db, path in tool.db_map_from_args([]).values()] == ["main.cdbmake"]
