"""A read transaction sees one commit, whole, however long it is held up while it begins."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import zlmdb

READER = """
import sys
from zlmdb import lmdb

env = lmdb.open("env", lib_version=int(sys.argv[1]), map_size=1 << 30)
print("open", flush=True)
while True:
    with env.begin() as txn:
        number, value = txn.id(), txn.get(b"number")
        if value is None:
            break
        assert int(value) == number, f"snapshot {number} has the records of {value}"
"""


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="needs SIGSTOP")
@pytest.mark.parametrize("writemap", [False, True], ids=["", "writemap"])
def test_two_commits_do_not_overtake_a_reader_that_begins(open_env, tmp_path, engine, writemap):
    env = open_env(writemap=writemap, map_size=1 << 30)

    def commit():
        with env.begin(write=True) as txn:
            txn.put(b"number", b"%d" % txn.id())

    commit()
    reader = subprocess.Popen(
        [sys.executable, "-c", READER, str(engine)], cwd=tmp_path, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(zlmdb.__file__).parents[1])},
    )  # fmt: skip
    rng = random.Random(1)
    assert reader.stdout.readline() == "open\n"
    for _ in range(6000):
        reader.send_signal(signal.SIGSTOP)
        if not os.WIFSTOPPED(os.waitpid(reader.pid, os.WUNTRACED)[1]):
            break
        commit()
        commit()
        reader.send_signal(signal.SIGCONT)
        sum(range(rng.randrange(5000)))  # let it come to another place
    with env.begin(write=True) as txn:
        txn.delete(b"number")
    assert reader.communicate(timeout=60)[1] == ""
