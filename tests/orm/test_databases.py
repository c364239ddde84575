"""Databases are created, found again, told apart by their format, and opened once in a process."""

from __future__ import annotations

import gc
import json
import logging
import os
import subprocess
import sys
import tempfile
import uuid
from pathlib import Path

import pytest

import zlmdb
import zlmdb._database
from zlmdb.orm.errors import FormatError, OpenError, ReadOnlyError, UsageError


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "db")


def fill(db):
    with db.begin(write=True) as txn:
        zlmdb.MapOidOid(1)[txn, 1] = 1


def test_a_database_is_a_directory_of_lmdb(path, lib_version):
    with zlmdb.Database(path, lib_version=lib_version) as db:
        fill(db)
        assert (db.dbpath, db.lib_version, db.is_open) == (path, lib_version, True)
        assert sorted(os.listdir(path)) == ["data.mdb", "lock.mdb"]
        assert db._env.lib_version()[0] == int(lib_version == "1.0")
    assert not db.is_open
    with zlmdb.Database(path) as again, again.begin() as txn:
        assert again.lib_version == lib_version
        assert zlmdb.MapOidOid(1)[txn, 1] == 1


def test_new_databases_have_the_format_of_the_module_variable(path, monkeypatch):
    with zlmdb.Database(path + "a") as db:
        assert db.lib_version == zlmdb._database.DEFAULT_LIB_VERSION == "1.0"
    monkeypatch.setattr(zlmdb._database, "DEFAULT_LIB_VERSION", "0.9")
    with zlmdb.Database(path + "b") as db, zlmdb.Database() as temporary:
        assert db.lib_version == temporary.lib_version == "0.9"
    with zlmdb.Database(path + "c", lib_version="1.0") as db:
        assert db.lib_version == "1.0"
    assert zlmdb._database._LIB_VERSION_TO_MAJOR == {"0.9": 0, "1.0": 1}


@pytest.mark.parametrize("bad", ["", "2.0", "1", 1.0, 1, 0, True, ["1.0"]])
def test_unknown_formats_are_refused_before_anything_is_created(path, bad):
    with pytest.raises(ValueError, match="lib_version") as caught:
        zlmdb.Database(path, lib_version=bad)
    assert isinstance(caught.value, FormatError)
    assert not Path(path).exists()


def test_another_format_than_the_database_has_is_refused(path, lib_version):
    other = {"0.9": "1.0", "1.0": "0.9"}[lib_version]
    with zlmdb.Database(path, lib_version=lib_version) as db:
        fill(db)
    data = (Path(path) / "data.mdb").read_bytes()
    with pytest.raises(ValueError, match=f'{path}" has LMDB format {lib_version}.*"{other}"'):
        zlmdb.Database(path, lib_version=other)
    assert (Path(path) / "data.mdb").read_bytes() == data
    with zlmdb.Database(path, lib_version=lib_version) as db:
        with pytest.raises(FormatError, match=other):  # also if it is open
            zlmdb.Database(path, lib_version=other)
        assert zlmdb.Database.open(path) is db


def test_a_temporary_database_goes_with_its_object():
    first, second = zlmdb.Database(), zlmdb.Database("")
    assert first.config()["is_temp"] is True
    assert first.dbpath != second.dbpath
    path = Path(first.dbpath)
    fill(first)
    first.close()
    with first, first.begin() as txn:
        assert zlmdb.MapOidOid(1)[txn, 1] == 1
    assert path.is_dir()
    del first, txn
    gc.collect()
    assert not path.exists()


def test_a_database_is_opened_by_with_if_it_is_not_open(path):
    db = zlmdb.Database(path, open_now=False)
    assert (db.is_open, db.lib_version, Path(path).exists()) == (False, None, False)
    for use in (db.begin, db.stats, db.sync, lambda: db.drop_table(uuid.uuid4())):
        with pytest.raises(AssertionError, match="is closed") as caught:
            use()
        assert isinstance(caught.value, UsageError)
    with db as entered:
        assert entered is db
        with db as again:
            assert again is db
            fill(db)
        assert not db.is_open
    with db, db.begin() as txn:
        assert zlmdb.MapOidOid(1)[txn, 1] == 1
    db.close()
    db.close()


def test_a_path_is_open_once_in_a_process(path):
    with zlmdb.Database(path, context="first") as db:
        with pytest.raises(RuntimeError, match="twice within same process") as caught:
            zlmdb.Database(path, context="second")
        assert isinstance(caught.value, OpenError)
        assert zlmdb.Database.open(path) == db
        assert zlmdb.Database.open(dbpath=path, maxsize=5) is db
        with pytest.raises(zlmdb.lmdb.Error, match="already open"):
            zlmdb.Database(path + "/")
    other = zlmdb.Database.open(path)
    assert other is not db
    other.close()
    assert zlmdb.Database.open() is not zlmdb.Database.open()


def test_a_database_that_was_dropped_open_can_be_opened_again(path):
    db = zlmdb.Database(path)
    fill(db)
    del db
    for _ in range(3):  # PyPy finds the environment after the database
        gc.collect()
    with zlmdb.Database(path):
        pass


def test_a_failed_open_can_be_tried_again(tmp_path, path):
    for _ in range(2):
        with pytest.raises(zlmdb.lmdb.Error):
            zlmdb.Database(path, create=False)
        with pytest.raises(OSError, match="No such file"):
            zlmdb.Database(str(tmp_path / "missing" / "db"))
        with pytest.raises(zlmdb.lmdb.Error):
            zlmdb.Database(path, readonly=True)
    assert not Path(path).exists()
    with zlmdb.Database(path):
        pass
    (tmp_path / "junk").mkdir()
    (tmp_path / "junk" / "data.mdb").write_bytes(b"junk" * 4096)
    with pytest.raises(zlmdb.lmdb.Error):
        zlmdb.Database(str(tmp_path / "junk"))
    for bad in ({"maxsize": "big"}, {"maxsize": None}):
        with pytest.raises(UsageError, match="maxsize"):
            zlmdb.Database(path, **bad)
    with pytest.raises(TypeError):
        zlmdb.Database(5)


def test_paths_may_be_path_objects(tmp_path):
    with zlmdb.Database(tmp_path / "db") as db:
        assert db.dbpath == str(tmp_path / "db")


def test_a_read_only_database_does_not_write(path):
    with zlmdb.Database(path) as db:
        fill(db)
    with zlmdb.Database(path, readonly=True) as db:
        assert db.is_readonly
        with pytest.raises(ReadOnlyError, match="database is read-only"):
            db.begin(write=True)
        with db.begin() as txn:
            assert zlmdb.MapOidOid(1)[txn, 1] == 1


def test_settings_are_told():
    with zlmdb.Database(maxsize=1 << 21, sync=False, writemap=True, context=17, lock=False) as db:
        assert (db.maxsize, db.is_sync, db.is_readonly, db.is_writemap, db.context) == (
            1 << 21,
            False,
            False,
            True,
            17,
        )
        assert db.config() == {
            "is_temp": True, "dbpath": db.dbpath, "maxsize": 1 << 21, "readonly": False, "lock": False,
            "sync": False, "create": True, "open_now": True, "writemap": True, "context": "17",
        }  # fmt: skip
        assert os.listdir(db.dbpath) == ["data.mdb"]
    with zlmdb.Database() as db:
        assert db.config()["context"] is None


def test_stats_are_those_of_lmdb_and_of_the_slots(path, lib_version):
    @zlmdb.table(str(uuid.uuid4()))
    class Numbers(zlmdb.MapOidOid):
        """About numbers."""

    @zlmdb.table(str(uuid.uuid4()))
    class Empty(zlmdb.MapOidOid): ...

    with zlmdb.Database(path, lib_version=lib_version) as db:
        assert db.stats(include_slots=True)["slots"] == []
        numbers = db.attach_table(Numbers)
        db.attach_table(Empty)
        with db.begin(write=True) as txn:
            numbers.put_many(txn, ((n, n) for n in range(1000)))
        stats = db.stats()
        assert stats["num_slots"] == 2
        assert stats["current_size"] == (Path(path) / "data.mdb").stat().st_size
        assert stats["max_size"] >= db.maxsize == 10485760
        assert stats["pages"] == stats["leaf_pages"] + stats["overflow_pages"] + stats["branch_pages"]
        assert stats["used"] == stats["pages"] * stats["page_size"]
        assert stats["free"] == 1 - stats["used"] / stats["max_size"]
        assert stats["read_only"] is False
        assert stats["sync_enabled"] is True
        assert stats["lib_version"] == lib_version
        assert stats["lmdb_version"].startswith(lib_version + ".")
        assert stats["entries"] == 1002
        assert {**db._env.stat(), **db._env.info()}.items() <= stats.items() | {"num_readers": 1}.items()
        assert "slots" not in stats
        assert db.stats(include_slots=True)["slots"] == [
            {"oid": str(Numbers._zlmdb_oid), "slot": 1, "name": f"{__name__}.Numbers",
             "description": "About numbers.", "records": 1000},
            {"oid": str(Empty._zlmdb_oid), "slot": 2, "name": f"{__name__}.Empty",
             "description": None, "records": 0},
        ]  # fmt: skip
        db.sync()
        db.sync(force=True)


def test_scratch_removes_what_is_there(tmp_path, path):
    zlmdb.Database(path).close()
    zlmdb.Database.scratch(path)
    assert not Path(path).exists()
    zlmdb.Database.scratch(path)
    (tmp_path / "file").write_text("x")
    zlmdb.Database.scratch(str(tmp_path / "file"))
    assert os.listdir(tmp_path) == []


def test_scratch_of_no_path_leaves_the_current_directory_alone(tmp_path, monkeypatch):
    (tmp_path / "precious").touch()
    monkeypatch.chdir(tmp_path)
    zlmdb.Database.scratch("")
    assert os.listdir(tmp_path) == ["precious"]


def test_a_log_gets_messages(path, caplog):
    caplog.set_level(logging.DEBUG)
    with zlmdb.Database(path, log=logging.getLogger("test")) as db:
        assert db.log is logging.getLogger("test")
        assert zlmdb.Database().log is logging.getLogger("zlmdb")
    assert [record.message.partition(" ")[0] for record in caplog.records] == ["opened", "closed"]


HOLD_LOCK = """
import fcntl, sys
file = open(sys.argv[1], "r+b")
fcntl.lockf(file, fcntl.LOCK_EX, 1, int(sys.argv[2]))
print("locked", flush=True)
sys.stdin.read()
"""


def test_the_same_pid_in_another_namespace_is_explained(path, lib_version):
    """LMDB marks each process by a lock on the byte at its PID, so two with one PID exclude each other."""
    with zlmdb.Database(path, lib_version=lib_version) as db:
        fill(db)
    command = [sys.executable, "-c", HOLD_LOCK, str(Path(path) / "lock.mdb"), str(os.getpid())]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "locked\n"
        with pytest.raises(RuntimeError, match="PID namespace"):
            zlmdb.Database(path)
        holder.stdin.close()
        holder.wait()
    with zlmdb.Database(path):
        pass


def test_a_lock_that_stays_is_given_up_on(path, monkeypatch):
    from zlmdb.orm import opening

    attempts = []

    def locked(*_args, **_options):
        attempts.append(1)
        raise zlmdb.lmdb.LockError("path", 11)

    monkeypatch.setattr(opening.lmdb, "Environment", locked)
    with pytest.raises(OpenError, match="giving up"):
        zlmdb.Database(path)
    assert len(attempts) == 3


OTHER_PROCESS = """
import json, sys, zlmdb
with zlmdb.Database(sys.argv[1]) as db:
    with db.begin(write=True) as txn:
        zlmdb.MapOidPickle(1).put_many(txn, ((n, b"x" * 10_000) for n in range(100, 3100)))
    print(json.dumps(db.stats()["entries"]))
"""


def test_a_database_that_another_process_has_grown_is_used_on(path, lib_version, run_python):
    pmap = zlmdb.MapOidPickle(1)
    with zlmdb.Database(path, lib_version=lib_version) as db:
        with db.begin(write=True) as txn:
            pmap[txn, 1] = 1
        done = run_python("-c", OTHER_PROCESS, path)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout) == 3001
        with db.begin() as txn:
            assert pmap.count(txn) == 3001
        with db.begin(write=True) as txn:
            pmap[txn, 2] = 2
            assert pmap[txn, 3099] == b"x" * 10_000


def test_temporary_databases_stay_when_a_forked_child_ends():
    db = zlmdb.Database()
    pid = os.fork()
    if pid == 0:
        del db
        gc.collect()
        os._exit(0)
    os.waitpid(pid, 0)
    fill(db)
    assert Path(db.dbpath).is_dir()
    assert tempfile.gettempdir() in db.dbpath
