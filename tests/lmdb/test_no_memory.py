"""Where memory is short, operations fail with an error, and the environment goes on."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

PROGRAM = """
import resource
path, engine = sys.argv[1], int(sys.argv[2])
env = lmdb.open(path, map_size=1 << 28, lib_version=engine, sync=False)
with env.begin(write=True) as txn:
    txn.put(b"kept", b"value")
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
hard = resource.getrlimit(resource.RLIMIT_AS)[1]
resource.setrlimit(resource.RLIMIT_AS, (used + (32 << 20), hard))
txn = env.begin(write=True)
try:
    for number in range(100_000):
        txn.put(b"%08d" % number, b"v" * 1000)
except lmdb.MemoryError:
    print("no memory")
txn.abort()
resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
with env.begin(write=True) as txn:
    txn.put(b"new", b"value")
print(env.get(b"kept"), env.get(b"new"), env.stat()["entries"])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits of memory work as here on Linux only")
@pytest.mark.skipif(
    sys.implementation.name == "pypy", reason="PyPy ends the process when it gets none itself"
)
def test_a_transaction_that_runs_out_of_memory(
    tmp_path: Path, engine: int, run_child: Callable[..., CompletedProcess[str]]
) -> None:
    """LMDB keeps what a transaction has written in memory; LMDB 1.0 crashed when it got none."""
    result = run_child(PROGRAM, tmp_path / "env", engine)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines() == ["no memory", "b'value' b'value' 2"]
