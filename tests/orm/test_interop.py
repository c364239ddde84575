"""Databases are shared with the existing zlmdb, record by record and byte by byte.

Runs if ZLMDB_OTHER_PYTHON names an interpreter that has the other zlmdb, 26.10.1 for instance:

    python -m venv other && other/bin/python -m pip install zlmdb==26.10.1
    ZLMDB_OTHER_PYTHON=other/bin/python python -m pytest tests/orm/test_interop.py
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import zlmdb
from zlmdb.lmdb.verify import verify

HERE = Path(__file__).parent
OTHER = os.environ.get("ZLMDB_OTHER_PYTHON")

pytestmark = pytest.mark.skipif(
    not OTHER, reason="ZLMDB_OTHER_PYTHON names no interpreter with another zlmdb"
)


def work(python, action, path, lib_version, generation):
    """Let a zlmdb write or read a database; return what it stored or found."""
    environment = dict(os.environ)
    environment.pop("PYTHONPATH", None)
    if python == sys.executable:
        environment["PYTHONPATH"] = str(Path(zlmdb.__file__).parents[1])
    command = [
        python,
        HERE / "interop_worker.py",
        action,
        path,
        lib_version,
        str(generation),
        HERE / "golden.json",
    ]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def without_metadata(records):
    """Leave out slot 0, where names of classes may differ by their module."""
    return {key: data for key, data in records.items() if not key.startswith("0000")}


def test_both_write_the_same_bytes(tmp_path, lib_version):
    ours = work(sys.executable, "write", tmp_path / "ours", lib_version, 1)
    theirs = work(OTHER, "write", tmp_path / "theirs", lib_version, 1)
    assert without_metadata(ours["records"]) == without_metadata(theirs["records"])
    assert ours["records"].keys() == theirs["records"].keys()
    del ours["records"], theirs["records"]
    assert ours == theirs


def test_each_reads_and_extends_what_the_other_has_written(tmp_path, lib_version):
    for first, second in ((OTHER, sys.executable), (sys.executable, OTHER)):
        path = tmp_path / Path(first).parent.parent.name
        one = work(first, "write", path, lib_version, 1)
        assert verify(path) == []
        assert work(second, "read", path, lib_version, 1) == one
        two = work(second, "write", path, lib_version, 2)
        assert verify(path) == []
        assert two["records"].items() >= one["records"].items()
        for python in (first, second):
            assert work(python, "read", path, lib_version, 2) == two
            one["records"] = two["records"]
            assert work(python, "read", path, lib_version, 1) == one


def test_indexes_of_the_other_are_in_order(tmp_path, lib_version):
    from . import interop_worker

    work(OTHER, "write", tmp_path, lib_version, 1)
    with zlmdb.Database(tmp_path) as db:
        users, by_name = db.attach_table(interop_worker.Users), db.attach_table(interop_worker.UsersByName)
        users.attach_index("name", by_name, lambda user: user["name"], nullable=True)
        with db.begin(write=True) as txn:
            assert all(report.ok for report in users.check_indexes(txn))
            assert users.rebuild_indexes(txn) == (2, 2)
