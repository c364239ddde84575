"""The demo works as its help says, on the real data, and says what is wrong when it does not."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

import zlmdb
from zlmdb import lmdb

PROGRAM = Path(__file__).parents[1] / "examples" / "airports.py"


def airports(*args, **variables):
    """Run the demo in a wide terminal with the zlmdb under test."""
    package = str(Path(zlmdb.__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": package, "COLUMNS": "160", "PYTHONUTF8": "1", **variables}
    return subprocess.run(
        [sys.executable, PROGRAM, *args], env=environment, capture_output=True, encoding="utf-8", check=False
    )


def figures(output):
    """Return the last table, of the figures, as a dict."""
    rows = (line.strip("\u2502").split("\u2502") for line in output.splitlines() if line.startswith("\u2502"))
    return {row[0].strip(): row[1].strip() for row in rows if len(row) == 2}


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    """Return the directory of a loaded database."""
    directory = tmp_path_factory.mktemp("airports") / "not" / "there"
    done = airports("--db", directory)
    assert done.returncode == 0, done.stderr
    for title in ("Airport FRA", "The 15 airports of SI", "The ten airports nearest to 48.1372, 11.5756"):
        assert title in done.stdout
    assert "Frankfurt am Main International Airport" in done.stdout
    assert int(figures(done.stdout)["records"].replace(",", "")) > 28_000
    assert figures(done.stdout)["load, in one transaction"].endswith(" records/s")
    return directory


def test_second_run_reuses_the_database(database):
    before = (database / "data.mdb").stat().st_mtime_ns
    done = airports("--db", database)
    assert done.returncode == 0, done.stderr
    assert "load, in one transaction" not in figures(done.stdout)
    assert int(figures(done.stdout)["records"].replace(",", "")) > 28_000
    assert (database / "data.mdb").stat().st_mtime_ns == before


def test_fresh_starts_over(database):
    before = (database / "data.mdb").stat()
    first = figures(airports("--db", database).stdout)
    done = airports("--db", database, "--fresh", "--code", "FRA")
    assert done.returncode == 0, done.stderr
    assert "load, in one transaction" in figures(done.stdout)
    assert figures(done.stdout)["records"] == first["records"]
    assert (database / "data.mdb").stat().st_size < 1.1 * before.st_size


def test_fresh_spares_the_other_tables_of_a_database(tmp_path):
    with zlmdb.Database(str(tmp_path)) as db:

        @zlmdb.table("0f3d1c52-8f0f-4f7e-a7b5-6a0f6b1f8e11")
        class Others(zlmdb.MapOidString): ...

        others = db.attach_table(Others)
        with db.begin(write=True) as txn:
            others[txn, 1] = "untouched"
    for args in (), ("--fresh",):
        done = airports("--db", tmp_path, "--code", "FRA", *args)
        assert done.returncode == 0, done.stderr
    with zlmdb.Database(str(tmp_path)) as db, db.begin() as txn:
        assert others[txn, 1] == "untouched"


def test_indexes_agree_with_the_records(database):
    spec = importlib.util.spec_from_file_location("airports", PROGRAM)
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    schema = example.Airports(database)
    with schema.database as db, db.begin() as txn:
        reports = schema.by_icao.check_indexes(txn)
        assert {report.name: report.entries > 7000 for report in reports} == {
            "by_country": True,
            "by_iata": True,
        }
        assert all(report.ok for report in reports)


@pytest.mark.parametrize("code", ["KSFO", "SFO", "sfo"])
def test_one_airport(database, code):
    done = airports("--db", database, "--code", code)
    shown = figures(done.stdout)
    assert (shown["Icao"], shown["Iata"], shown["Country"]) == ("KSFO", "SFO", "US")
    assert shown["Elevation"] == "13 ft"
    assert shown["Position"] == "37.6188, -122.3754"


def test_all_of_a_country(database):
    done = airports("--db", database, "--country", "si")
    codes = [line[2:6] for line in done.stdout.splitlines() if line.startswith("\u2502 LJ")]
    assert len(codes) == 15
    assert codes == sorted(codes)


def test_nearest(database):
    done = airports("--db", database, "--near", "-33.87,151.21")
    rows = [line.split("\u2502") for line in done.stdout.splitlines() if line.startswith("\u2502 Y")]
    distances = [float(row[-2]) for row in rows]
    assert len(rows) == 10
    assert rows[0][1:3] == [" YSSY ", " SYD  "]
    assert distances == sorted(distances)
    assert distances[0] == 9.0


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--code", "ksfx"], "there is no airport 'ksfx'. Did you mean KSF"),
        (["--code", "!"], "there is no airport '!'. Codes look like "),
        (["--country", "XX"], "there is no country 'XX'. Did you mean "),
        (["--country", "S"], "there is no country 'S'. Did you mean "),
        (["--code", "A" * 600], "is not a code, such as FRA or DE"),
        (["--code", b"\xff"], "is not a code, such as FRA or DE"),
        (["--near", "12"], "'12' is not LAT,LON in degrees"),
        (["--near", "91,0"], "'91,0' is not on Earth"),
        (["--near", "nan,0"], "'nan,0' is not on Earth"),
    ],
)
def test_bad_question(database, args, message):
    done = airports("--db", database, *args)
    assert done.returncode in (1, 2)
    assert message in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def unwritable(tmp_path):
    """Return a directory that not even the superuser can create."""
    (tmp_path / "file").touch()
    return tmp_path / "file" / "database"


def foreign(tmp_path):
    with lmdb.open(str(tmp_path)) as env, env.begin(write=True) as txn:
        txn.put(b"key", b"value")
    return tmp_path


def junk(tmp_path):
    (tmp_path / "data.mdb").write_bytes(b"junk" * 4096)
    return tmp_path


@pytest.mark.parametrize(
    ("prepare", "cause"),
    [(unwritable, "Not a directory"), (foreign, "another database"), (junk, "not an LMDB file")],
)
def test_bad_directory(tmp_path, prepare, cause):
    directory = prepare(tmp_path)
    done = airports("--db", directory)
    assert done.returncode == 1
    message = " ".join(done.stderr.split())
    assert message.startswith(f"Error: cannot keep the database in {directory}: ")
    assert cause in message
    assert message.endswith("--db DIR")


@pytest.mark.parametrize("package", ["airportsdata", "rich"])
def test_missing_package(tmp_path, package):
    (tmp_path / "sitecustomize.py").write_text(f"import sys\nsys.modules[{package!r}] = None\n")
    path = os.pathsep.join([str(tmp_path), str(Path(zlmdb.__file__).parents[1])])
    done = airports("--db", tmp_path, PYTHONPATH=path)
    assert done.returncode == 1
    assert package in done.stderr
    assert "pip install 'zlmdb[examples]'" in done.stderr
    assert "Traceback" not in done.stderr
