"""Which engine serves an environment: as asked for, else as its file says, else the default."""

from __future__ import annotations

import errno
import os
import shutil
import struct

import pytest

from zlmdb import lmdb
from zlmdb.lmdb import engine as choice

VERSIONS = {0: (0, 9, 36), 1: (1, 0, 2)}
FORMATS = {0: 1, 1: 3}


def test_versions():
    assert lmdb.version() == VERSIONS[0]
    for major, numbers in VERSIONS.items():
        assert lmdb.version(lib_version=major) == numbers
        assert lmdb.version(subpatch=True, lib_version=major) == (*numbers, 1)
        assert lmdb.version(True, major) == (*numbers, 1)


def test_unknown_major():
    with pytest.raises(lmdb.Error, match="lib_version=2") as caught:
        lmdb.version(lib_version=2)
    assert caught.value.code == 0
    with pytest.raises(lmdb.Error):
        lmdb.version(lib_version=2**40)
    with pytest.raises(OverflowError):
        lmdb.version(lib_version=-1)
    with pytest.raises(TypeError, match="lib_version must be an integer"):
        lmdb.version(lib_version="1")


@pytest.mark.parametrize(
    ("value", "major", "words"),
    [
        ("0", 0, ""),
        ("1", 1, ""),
        ("", 0, ""),
        ("7", 0, "LMDB_DEFAULT_LIB_VERSION='7'"),
        ("one", 0, "ignored"),
    ],
)
def test_environment_variable(run_python, monkeypatch, tmp_path, value, major, words):
    monkeypatch.setenv("LMDB_DEFAULT_LIB_VERSION", value)
    program = (
        f"from zlmdb import lmdb; print(lmdb.version(), lmdb.open({str(tmp_path / 'env')!r}).lib_version())"
    )
    result = run_python("-c", program)
    assert result.stdout == f"{VERSIONS[major]} {VERSIONS[major]}\n"
    assert result.stderr.count("\n") == bool(words)
    assert words in result.stderr


@pytest.mark.parametrize("default", ["0", "1"])
def test_variable_is_for_new_environments_only(run_child, monkeypatch, open_env, engine, tmp_path, default):
    open_env().close()
    monkeypatch.setenv("LMDB_DEFAULT_LIB_VERSION", default)
    program = (
        "print([lmdb.open(path).lib_version()[0] for path in (sys.argv[1], sys.argv[2])],"
        " lmdb.open(sys.argv[3], lib_version=int(sys.argv[4])).lib_version()[0])"
    )
    result = run_child(program, tmp_path / "env", tmp_path / "new", tmp_path / "asked", engine)
    assert (result.stdout, result.stderr) == (f"[{engine}, {default}] {engine}\n", "")


@pytest.mark.parametrize("subdir", [True, False])
def test_bytes_path_picks_its_engine(open_env, engine, tmp_path, subdir):
    open_env(subdir=subdir).close()
    with lmdb.open(os.fsencode(tmp_path / "env"), subdir=subdir) as env:
        assert env.lib_version() == VERSIONS[engine]


def test_explicit_version_meets_an_unknown_format(open_env, engine, tmp_path):
    """The engine itself refuses it."""
    open_env().close()
    path = tmp_path / "env" / "data.mdb"
    data = path.read_bytes().replace(
        struct.pack("=II", choice.MAGIC, FORMATS[engine]), struct.pack("=II", choice.MAGIC, 2)
    )
    path.write_bytes(data)
    with pytest.raises((lmdb.InvalidError, lmdb.VersionMismatchError)):
        open_env()
    assert path.read_bytes() == data


def test_new_environment(open_env, engine, tmp_path):
    env = open_env()
    assert env.lib_version() == VERSIONS[engine]
    assert choice.sniff(os.fsencode(tmp_path / "env"), True) == FORMATS[engine]


def test_existing_file_picks_its_engine(open_env, engine, tmp_path):
    open_env("a").close()
    open_env("b", subdir=False).close()
    assert open_env("a", lib_version=None).lib_version() == VERSIONS[engine]
    assert open_env("b", lib_version=None, subdir=False).lib_version() == VERSIONS[engine]


def test_explicit_version_wins_and_leaves_the_file_alone(open_env, engine, tmp_path):
    open_env().close()
    before = (tmp_path / "env" / "data.mdb").read_bytes()
    with pytest.raises((lmdb.InvalidError, lmdb.VersionMismatchError)):
        open_env(lib_version=1 - engine)
    assert (tmp_path / "env" / "data.mdb").read_bytes() == before
    open_env(lib_version=engine)


@pytest.mark.parametrize(
    "options",
    [{}, {"readonly": True}, {"readonly": True, "lock": False}, {"map_size": "auto"}, {"writemap": True}],
)
@pytest.mark.parametrize("subdir", [True, False])
@pytest.mark.parametrize("how", ["made", "copied", "streamed", "compacted"])
def test_a_file_of_the_other_format_is_not_called_damaged(open_env, engine, tmp_path, options, subdir, how):
    path = tmp_path / "data" if subdir else tmp_path / "data" / "file"
    path.parent.mkdir(exist_ok=True)
    env = open_env(path if how == "made" else "source", subdir=subdir)
    with env.begin(write=True) as txn:
        txn.put(b"k", b"v")
    if how != "made":
        path.mkdir(parents=True) if subdir else path.parent.mkdir(exist_ok=True)
        with (path / "data.mdb" if subdir else path).open("wb") as file:
            env.copyfd(file.fileno(), compact=how == "compacted")
    env.close()
    before = sorted((each.name, each.read_bytes()) for each in tmp_path.rglob("*") if each.is_file())
    has, asked = (("0.9", "1.0"), ("1.0", "0.9"))[engine]
    with pytest.raises(lmdb.InvalidError) as caught:
        open_env(path, subdir=subdir, lib_version=1 - engine, **options)
    assert str(caught.value) == (
        f"{path}: the file has the format of LMDB {has}, and lib_version={1 - engine} asks for that of "
        f"LMDB {asked}: leave lib_version out"
    )
    assert sorted((each.name, each.read_bytes()) for each in tmp_path.rglob("*") if each.is_file()) == before
    assert open_env(path, subdir=subdir, lib_version=None, **options).get(b"k") == b"v"


def test_lib_version_out_of_range(open_env):
    with pytest.raises(OverflowError):
        open_env(lib_version=-1)
    with pytest.raises(lmdb.Error, match="engines 0"):
        open_env(lib_version=2)


@pytest.mark.parametrize(("version", "words"), [(2, "format v2"), (9, "format v9"), (0xFFFF, "unknown")])
def test_unknown_format(open_env, engine, tmp_path, version, words):
    open_env().close()
    path = tmp_path / "env" / "data.mdb"
    data = bytearray(path.read_bytes())
    at = data.index(choice.MAGIC.to_bytes(4, "little"))
    data[at + 4 : at + 8] = version.to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(lmdb.Error, match=words) as caught:
        open_env(lib_version=None)
    assert caught.value.code == 0
    assert path.read_bytes() == data


@pytest.mark.parametrize(
    "data", [b"", b"short", b"\0" * 4096, choice.MAGIC.to_bytes(4, "little"), b"\xff" * 64, None]
)
def test_nothing_to_sniff(tmp_path, data):
    path = tmp_path / "file"
    if data is not None:
        path.write_bytes(data)
    assert choice.sniff(os.fsencode(path), False) == 0


def test_sniffs_aligned_words_of_the_first_64_bytes(tmp_path):
    path = tmp_path / "file"
    word, version = choice.MAGIC.to_bytes(4, "little"), (3).to_bytes(4, "little")
    path.write_bytes(bytes(56) + word + version)
    assert choice.sniff(os.fsencode(path), False) == 3
    path.write_bytes(bytes(60) + word + version)
    assert choice.sniff(os.fsencode(path), False) == 0
    path.write_bytes(bytes(17) + word + version + bytes(40))
    assert choice.sniff(os.fsencode(path), False) == 0


def test_both_engines_at_once(tmp_path):
    with (
        lmdb.open(str(tmp_path / "0"), lib_version=0) as old,
        lmdb.open(str(tmp_path / "1"), lib_version=1) as new,
    ):
        for env in (old, new):
            with env.begin(write=True) as txn:
                txn.put(b"key", str(env.lib_version()).encode())
        assert old.get(b"key") == b"(0, 9, 36)"
        assert new.get(b"key") == b"(1, 0, 2)"


def test_leftover_lock_file_of_either_engine(open_env, engine, tmp_path):
    for other in (0, 1):
        path = tmp_path / f"left{other}"
        with lmdb.open(str(path), lib_version=other):
            shutil.copy(path / "lock.mdb", tmp_path / "lock")
        (path / "data.mdb").unlink()
        shutil.copy(tmp_path / "lock", path / "lock.mdb")
        env = open_env(path)
        assert env.lib_version() == VERSIONS[engine]
        with env.begin(write=True) as txn:
            assert txn.put(b"a", b"b")


def test_copy_with_a_transaction_is_there(env, tmp_path):
    """What the fourth number of the version promises."""
    assert lmdb.version(subpatch=True, lib_version=env.lib_version()[0])[3] == 1
    with env.begin() as txn, open(tmp_path / "copy", "wb") as file:
        env.copyfd(file.fileno(), compact=True, txn=txn)
    assert (tmp_path / "copy").stat().st_size > 0


def test_code_of_a_write_in_a_reader(env, engine):
    with env.begin() as txn, pytest.raises(lmdb.ReadonlyError) as caught:
        txn.put(b"a", b"b")
    assert caught.value.code == (errno.EACCES, -30770)[engine]


def test_limits_of_the_engines(env, engine):
    assert env.max_key_size() == (511, 1978)[engine]
    assert bool(env.info()["map_addr"]) == bool(engine)
