"""Backups are complete or not there; a migrated database is the same in the other format."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import zlmdb
from zlmdb.lmdb.verify import VerifyError, verify
from zlmdb.orm import maintenance
from zlmdb.orm.errors import BackupError, FormatError, OpenError, UsageError

NUMBERS = zlmdb.MapOidOid(1)


def fill(path, count=5000, **options):
    with zlmdb.Database(path, sync=False, **options) as db, db.begin(write=True) as txn:
        NUMBERS.put_many(txn, ((n, n) for n in range(count)))
        if count:
            zlmdb.MapStringPickle(2)[txn, "large"] = b"x" * 100_000


def records(path):
    with zlmdb.Database(path) as db, db.begin() as txn:
        return db.lib_version, list(txn._opened().items())


@pytest.mark.parametrize("compact", [False, True])
@pytest.mark.parametrize("method", ["backup", "copy"])
def test_a_backup_is_the_database(tmp_path, lib_version, compact, method):
    source, target = str(tmp_path / "db"), str(tmp_path / "backup")
    fill(source, lib_version=lib_version)
    with zlmdb.Database(source, readonly=True) as db:
        getattr(db, method)(target, compact=compact)
    assert records(target) == records(source)
    assert verify(target) == []
    assert sorted(os.listdir(tmp_path)) == ["backup", "db"]


def test_a_backup_is_a_snapshot_while_others_write(tmp_path):
    """In each transaction, two counters go up together: no copy may show them apart."""
    path = str(tmp_path / "db")
    stop = threading.Event()
    with zlmdb.Database(path, sync=False) as db:
        fill_txn(db, 0)

        def write():
            n = 0
            while not stop.is_set():
                n += 1
                fill_txn(db, n)

        writer = threading.Thread(target=write)
        writer.start()
        try:
            for number in range(5):
                db.backup(str(tmp_path / f"backup{number}"), compact=number % 2 == 1)
        finally:
            stop.set()
            writer.join()
    for number in range(5):
        with zlmdb.Database(str(tmp_path / f"backup{number}")) as copy, copy.begin() as txn:
            assert NUMBERS[txn, 1] == NUMBERS[txn, 2]


def fill_txn(db, n):
    with db.begin(write=True) as txn:
        NUMBERS[txn, 1] = n
        NUMBERS[txn, 2] = n


def test_a_backup_replaces_nothing_and_leaves_nothing_behind(tmp_path, monkeypatch):
    path, target = str(tmp_path / "db"), tmp_path / "backup"
    fill(path)
    with zlmdb.Database(path) as db:
        target.mkdir()
        with pytest.raises(BackupError, match="exists already"):
            db.backup(str(target))
        target.rmdir()
        with pytest.raises(OSError, match="No such file"):
            db.backup(str(tmp_path / "missing" / "backup"))
        monkeypatch.setattr("zlmdb.lmdb.verify.verify", lambda _path: ["page 5: bad", "page 6: bad"])
        with pytest.raises(BackupError, match="page 5: bad; page 6: bad"):
            db.backup(str(target))

        def fail(_path):
            raise VerifyError("the meta pages disagree")

        monkeypatch.setattr("zlmdb.lmdb.verify.verify", fail)
        with pytest.raises(BackupError, match="the meta pages disagree"):
            db.backup(str(target))
        assert os.listdir(tmp_path) == ["db"]
        db.backup(str(target), verify=False)
    with pytest.raises(UsageError, match="closed"):
        db.backup(str(target))


@pytest.mark.parametrize("count", [0, 1, 25_000])
def test_a_migrated_database_is_the_same_in_the_other_format(tmp_path, lib_version, count):
    path = str(tmp_path / "db")
    other = {"0.9": "1.0", "1.0": "0.9"}[lib_version]
    fill(path, count, lib_version=lib_version)
    _, before = records(path)
    calls = []
    assert zlmdb.Database.migrate(path, other, lambda done, total: calls.append((done, total))) == len(before)
    assert records(path) == (other, before)
    assert calls[-1:] == ([(len(before), len(before))] if before else [])
    assert sorted(calls) == calls
    assert verify(path) == []
    assert os.listdir(tmp_path) == ["db"]
    assert zlmdb.Database.migrate(path, lib_version=other) == 0
    with zlmdb.Database(path) as db, db.begin(write=True) as txn:
        NUMBERS[txn, 99_999] = 1


def test_what_cannot_be_migrated_is_refused_and_unchanged(tmp_path):
    path = tmp_path / "db"
    for bad in ("2.0", 1.0, None):
        with pytest.raises(FormatError):
            zlmdb.Database.migrate(str(path), bad)
    with pytest.raises(FormatError, match="no database"):
        zlmdb.Database.migrate(str(path))
    for junk in (b"", b"x" * 9000):
        (tmp_path / "junk").mkdir(exist_ok=True)
        (tmp_path / "junk" / "data.mdb").write_bytes(junk)
        for lib_version in ("0.9", "1.0"):
            with pytest.raises(FormatError, match="no database"):
                zlmdb.Database.migrate(str(tmp_path / "junk"), lib_version)
    shutil.rmtree(tmp_path / "junk")
    fill(str(path), lib_version="0.9")
    data = (path / "data.mdb").read_bytes()
    with zlmdb.Database(str(path)), pytest.raises(BackupError, match="already open"):
        zlmdb.Database.migrate(str(path))
    with zlmdb.lmdb.Environment(str(path), max_dbs=1) as env:
        env.open_db(b"named")
    with pytest.raises(BackupError, match="named b'named'"):
        zlmdb.Database.migrate(str(path))
    assert os.listdir(tmp_path) == ["db"]
    assert (path / "data.mdb").read_bytes()[8192 * 2 :] != b""
    assert records(str(path))[0] == "0.9"
    assert len(data) > 0


def test_a_migration_that_fails_changes_nothing(tmp_path):
    path = tmp_path / "db"
    fill(str(path), 25_000, lib_version="0.9")
    data = (path / "data.mdb").read_bytes()

    def fail(done, _total):
        if done > 10_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        zlmdb.Database.migrate(str(path), "1.0", fail)
    assert (path / "data.mdb").read_bytes() == data
    assert os.listdir(tmp_path) == ["db"]
    assert zlmdb.Database.migrate(str(path)) == 25_001


MIGRATE = """
import sys, zlmdb

def progress(done, total):
    print("migrating", flush=True)
    sys.stdin.read()

zlmdb.Database.migrate(sys.argv[1], "1.0", progress)
"""


def test_what_a_killed_migration_has_left_goes_with_the_next_one(tmp_path):
    path = str(tmp_path / "db")
    fill(path, lib_version="0.9")
    before = records(path)
    other = tmp_path / f".db.backup.{'0' * 32}.partial"
    other.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(Path(zlmdb.__file__).parents[1])}
    with subprocess.Popen(
        [sys.executable, "-c", MIGRATE, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    ) as process:
        assert process.stdout.readline() == b"migrating\n"
        process.kill()
    assert len(os.listdir(tmp_path)) == 3
    assert records(path) == before
    assert zlmdb.Database.migrate(path) == 5001
    assert sorted(os.listdir(tmp_path)) == [other.name, "db"]
    assert records(path) == ("1.0", before[1])


HOLD_OPEN = "import sys, zlmdb; db = zlmdb.Database(sys.argv[1]); print('open', flush=True); sys.stdin.read()"


def test_a_database_that_another_process_has_open_is_not_migrated(tmp_path):
    path = str(tmp_path / "db")
    fill(path, lib_version="0.9")
    environment = {**os.environ, "PYTHONPATH": str(Path(zlmdb.__file__).parents[1])}
    command = [sys.executable, "-c", HOLD_OPEN, path]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as holder:
        assert holder.stdout.readline() == "open\n"
        with pytest.raises(OpenError, match="another process"):
            zlmdb.Database.migrate(path)
        holder.stdin.close()
        holder.wait()
    assert zlmdb.Database.migrate(path) == 5001


def test_records_of_the_size_of_a_named_database_are_only_records(tmp_path):
    path = str(tmp_path / "db")
    with zlmdb.Database(path, lib_version="0.9") as db, db.begin(write=True) as txn:
        txn.put(b"\0\1key", b"x" * maintenance.NAMED_DATABASE_SIZE)
    assert zlmdb.Database.migrate(path) == 1


def test_permissions_stay(tmp_path):
    path = tmp_path / "db"
    fill(str(path), 10, lib_version="0.9")
    (path / "data.mdb").chmod(0o600)
    zlmdb.Database.migrate(str(path))
    assert (path / "data.mdb").stat().st_mode & 0o777 == 0o600
    shutil.rmtree(path)


@pytest.fixture
def flushed(monkeypatch):
    """Return the files and directories that were flushed, in order, each with what was beside it by then."""
    seen = []
    fsync = os.fsync

    def record(descriptor):
        path = Path(f"/proc/self/fd/{descriptor}").resolve()
        seen.append((os.fstat(descriptor).st_ino, sorted(each.name for each in path.parent.iterdir())))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", record)
    return seen


def test_a_backup_is_there_after_a_power_loss(db, tmp_path, flushed):
    """The file, the new directory that names it, and the one that names that: each before the next."""
    target = tmp_path / "copy"
    db.backup(str(target))
    inodes = [path.stat().st_ino for path in (target / "data.mdb", target, tmp_path)]
    assert [inode for inode, _ in flushed if inode in inodes] == inodes
    assert [names for inode, names in flushed if inode == inodes[1]] != [["copy"]], (
        "renamed before it was flushed"
    )


def test_a_migrated_database_is_there_after_a_power_loss(tmp_path, lib_version, flushed):
    path = tmp_path / "db"
    with zlmdb.Database(str(path), lib_version=lib_version) as db, db.begin(write=True) as txn:
        zlmdb.MapOidOid(1)[txn, 1] = 1
    zlmdb.Database.migrate(str(path), "1.0" if lib_version == "0.9" else "0.9")
    inodes = [path.stat().st_ino for path in (path / "data.mdb", path)]
    assert [inode for inode, _ in flushed if inode in inodes] == inodes
