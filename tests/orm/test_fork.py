"""A forked child opens the databases of its parent anew, and uses no transaction that the parent began."""

from __future__ import annotations

import gc
import multiprocessing
import os
import subprocess
import sys
import traceback
from functools import partial
from uuid import UUID

import pytest

import zlmdb
from zlmdb.lmdb.errors import ForkedError

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork()"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning"),
]


@zlmdb.table(UUID("f7e6a5d4-0000-4000-8000-000000000001"))
class Words(zlmdb.MapStringString):
    """Words by their names."""


@pytest.fixture(params=["0.9", "1.0"])
def path(request, tmp_path):
    """Return the path of a database that is not open, with a table of 500 words."""
    path = str(tmp_path / "db")
    with zlmdb.Database(path, lib_version=request.param) as db:
        words = db.attach_table(Words)
        with db.begin(write=True) as txn:
            for number in range(500):
                words[txn, f"{number:03}"] = "old"
    return path


def in_child(function):
    """Run a function in a forked child, which must not fail."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            function()
            gc.collect()
            code = 0
        except BaseException:  # noqa: BLE001 (the child must end here)
            traceback.print_exc()
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_a_child_opens_the_path_that_its_parent_has_open(path):
    db = zlmdb.Database(path, context="parent")
    with db.begin() as txn:
        words = db.attach_table(Words)

        def use():
            own = zlmdb.Database(path, context="child")
            own_words = own.attach_table(Words)
            with own.begin(write=True) as there:
                own_words[there, "000"] = "child"
            with pytest.raises(zlmdb.orm.errors.OpenError, match="twice"):
                zlmdb.Database(path)
            assert zlmdb.Database.open(path) is own
            own.close()
            with zlmdb.Database(path) as again, again.begin() as there:
                assert again.attach_table(Words)[there, "000"] == "child"

        in_child(use)
        assert words[txn, "000"] == "old"
    with db.begin() as txn:
        assert words[txn, "000"] == "child"
    assert zlmdb.Database.open(path) is db
    db.close()


def test_open_in_a_child_does_not_hand_out_what_its_parent_has_open(path):
    db = zlmdb.Database.open(path)

    def use():
        own = zlmdb.Database.open(path)
        assert own is not db
        with own.begin() as txn:
            assert own.attach_table(Words)[txn, "000"] == "old"
        with pytest.raises(ForkedError, match="open it again in the child"), db.begin() as txn:
            txn.get(b"k")

    in_child(use)
    db.close()


READS = {
    "a record": lambda words, txn: words[txn, "042"],
    "get": lambda words, txn: words.get((txn, "042")),
    "contains": lambda words, txn: (txn, "042") in words,
    "select": lambda words, txn: list(words.select(txn)),
    "keys": lambda words, txn: list(words.select(txn, return_values=False)),
    "count": lambda words, txn: words.count(txn),
    "a prefix": lambda words, txn: words.count(txn, prefix="0"),
    "put": lambda words, txn: words.__setitem__((txn, "042"), "child"),
    "delete": lambda words, txn: words.__delitem__((txn, "042")),
    "a raw record": lambda words, txn: txn.get(b"k"),
    "id": lambda words, txn: txn.id(),
}


@pytest.mark.parametrize("read", READS.values(), ids=READS)
@pytest.mark.parametrize("write", [False, True], ids=["reader", "writer"])
def test_a_child_cannot_use_a_transaction_that_its_parent_began(path, read, write):
    with zlmdb.Database(path) as db:
        words = db.attach_table(Words)
        with db.begin(write=write) as txn:

            def use():
                with pytest.raises(ForkedError, match="open it again in the child"):
                    read(words, txn)

            in_child(use)
            assert words[txn, "042"] == "old"


def test_a_child_cannot_go_on_with_a_selection_of_its_parent(path):
    with zlmdb.Database(path) as db:
        words = db.attach_table(Words)
        with db.begin() as txn:
            selection = iter(words.select(txn))
            next(selection)

            def use():
                with pytest.raises(ForkedError, match="open it again in the child"):
                    list(selection)

            in_child(use)
            assert sum(1 for _ in selection) == 499


def test_a_child_begins_transactions_in_what_it_inherited(path):
    with zlmdb.Database(path) as db:
        words = db.attach_table(Words)
        with db.begin() as txn:

            def use():
                with db.begin(write=True) as there:
                    words[there, "000"] = "child"
                with db.begin() as there:
                    assert dict(words.select(there))["000"] == words[there, "000"] == "child"

            in_child(use)
            assert words[txn, "000"] == "old"
        with db.begin() as txn:
            assert words[txn, "000"] == "child"


@pytest.mark.parametrize("write", [False, True], ids=["reader", "writer"])
def test_a_child_leaves_the_block_that_it_was_forked_in(path, write):
    program = """
import os, sys, zlmdb
path, write = sys.argv[1], sys.argv[2] == "True"
with zlmdb.Database(path) as db:
    with db.begin(write=write) as txn:
        if write:
            txn.put(b"key", b"parent")
        pid = os.fork()
if pid == 0:
    sys.exit(0)
assert os.waitpid(pid, 0)[1] == 0
with zlmdb.Database(path) as db, db.begin() as txn:
    assert txn.get(b"key") == (b"parent" if write else None)
print("good")
"""
    child = subprocess.run(
        [sys.executable, "-W", "error", "-c", program, path, str(write)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (child.returncode, child.stdout, child.stderr) == (0, "good\n", "")


def _word(path, name):
    with zlmdb.Database.open(path) as db, db.begin() as txn:
        return db.attach_table(Words)[txn, name]


def test_workers_of_a_forked_pool_open_the_path(path):
    names = [f"{number:03}" for number in range(100)]
    with (
        zlmdb.Database.open(path) as db,
        db.begin() as txn,
        multiprocessing.get_context("fork").Pool(2) as pool,
    ):
        assert pool.map(partial(_word, path), names) == ["old"] * len(names)
        pool.close()
        pool.join()
        assert db.attach_table(Words)[txn, "000"] == "old"
