"""``zlmdb info``."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

import zlmdb
from zlmdb.cli import main

ENGINES = {"0.9": "0.9.", "1.0": "1.0."}


def info(*args):
    return CliRunner().invoke(main, ["info", *map(str, args)])


@pytest.fixture(params=ENGINES)
def lib_version(request):
    return request.param


@pytest.fixture
def dbpath(tmp_path, lib_version):
    """Return the path of a database with a table of three records."""

    @zlmdb.table("2c7a1f0e-3d5b-4c68-9f10-5a4e8b7d6c21")
    class Names(zlmdb.MapOidString):
        """Names by number."""

    path = str(tmp_path / "db")
    with zlmdb.Database(path, lib_version=lib_version) as db:
        names = db.attach_table(Names)
        with db.begin(write=True) as txn:
            names.put_many(txn, [(1, "one"), (2, "two"), (3, "three")])
    return path


@pytest.mark.parametrize("explicit", [False, True])
def test_every_figure_is_shown_sorted(dbpath, lib_version, explicit):
    done = info(dbpath, *(["--lib-version", lib_version] if explicit else []))
    assert (done.exit_code, done.stderr) == (0, "")
    figures = dict(line.split(": ", 1) for line in done.stdout.splitlines())
    assert list(figures) == sorted(figures)
    assert figures["lib_version"] == lib_version
    assert figures["lmdb_version"].startswith(ENGINES[lib_version])
    assert (figures["num_slots"], figures["entries"], figures["read_only"]) == ("1", "4", "True")
    with zlmdb.Database(dbpath, readonly=True) as db:
        assert figures.keys() == db.stats().keys()


def test_the_database_is_left_as_it_is_and_closed(dbpath, tmp_path):
    data = tmp_path / "db" / "data.mdb"
    before = data.read_bytes(), data.stat().st_mtime_ns
    assert info(dbpath).exit_code == 0
    assert (data.read_bytes(), data.stat().st_mtime_ns) == before
    with zlmdb.Database(dbpath) as db:
        assert db.is_open


def test_a_database_in_use_by_another_process(dbpath, run_python):
    with zlmdb.Database(dbpath) as db, db.begin(write=True):
        done = run_python("-c", "from zlmdb.cli import main; main()", "info", dbpath)
    assert done.returncode == 0, done.stderr
    assert "num_slots: 1\n" in done.stdout


@pytest.mark.parametrize("there", [False, True])
def test_nothing_is_created_where_there_is_no_database(tmp_path, there):
    path = tmp_path / "nowhere"
    if there:
        path.mkdir()
    done = info(path)
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == f'Error: there is no database at "{path}": it has no file data.mdb\n'
    assert path.exists() == there
    assert list(tmp_path.rglob("*")) == ([path] if there else [])


def test_the_other_format_is_refused(dbpath, lib_version):
    (other,) = ENGINES.keys() - {lib_version}
    done = info(dbpath, "--lib-version", other)
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: ")
    assert lib_version in done.stderr
    assert other in done.stderr


@pytest.mark.parametrize("value", ["2.0", "1", "1.0.2", ""])
def test_bad_format(dbpath, value):
    done = info(dbpath, "--lib-version", value)
    assert done.exit_code == 2
    assert "Invalid value for '--lib-version'" in done.stderr


def test_a_file_is_not_a_database(dbpath):
    done = info(f"{dbpath}/data.mdb")
    assert done.exit_code == 2
    assert "Invalid value for 'DBPATH'" in done.stderr


def test_no_path():
    assert info().exit_code == 2


def junk(path):
    (path / "data.mdb").write_bytes(b"junk" * 4096)


def directory(path):
    (path / "data.mdb").mkdir()


def bad_metadata(path):
    with zlmdb.Database(str(path)) as db, db.begin(write=True) as txn:
        txn.put(b"\0\0\0\1", b"not CBOR of a slot")


@pytest.mark.parametrize("damage", [junk, directory, bad_metadata])
def test_damage_is_a_message(tmp_path, damage):
    damage(tmp_path)
    done = info(tmp_path)
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: ")
    assert isinstance(done.exception, SystemExit)
