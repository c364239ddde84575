"""A disk that is full makes an error, with writemap=True too, and loses nothing that was committed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import zlmdb

PROGRAM = """
import subprocess, sys
from zlmdb import lmdb
path, engine, writemap = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "True"
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", path], check=True)
env = lmdb.open(path, map_size=1 << 26, lib_version=engine, writemap=writemap)
with env.begin(write=True) as txn:
    txn.put(b"kept", bytes(1 << 20))
try:
    with env.begin(write=True) as txn:
        for number in range(200):
            txn.put(b"%d" % number, bytes(100_000))
except lmdb.DiskError as error:
    print("full")
with env.begin(write=True) as txn:
    txn.put(b"new", bytes(100_000))
print(len(env.get(b"kept")), len(env.get(b"new")), env.stat()["entries"])
"""

UNSHARE = ["unshare", "--user", "--map-root-user", "--mount"]


def may_mount() -> bool:
    """Whether this system lets its users mount file systems in a name space of their own."""
    if not shutil.which("unshare"):
        return False
    command = [*UNSHARE, "mount", "-t", "tmpfs", "none", "/mnt"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not may_mount(), reason="users of this system may not mount a small file system")
@pytest.mark.parametrize("writemap", [False, True])
def test_full_disk(tmp_path: Path, engine: int, writemap: bool) -> None:
    """With writemap the system killed the process that wrote to a page for which there was no block."""
    done = subprocess.run(
        [*UNSHARE, sys.executable, "-c", PROGRAM, str(tmp_path), str(engine), str(writemap)],
        env={**os.environ, "PYTHONPATH": str(Path(zlmdb.__file__).parents[1])},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["full", "1048576 100000 2"]
