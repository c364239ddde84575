"""A call of the system that fails is reported as what it is; the environment goes on, or says it cannot."""

from __future__ import annotations

from collections.abc import Callable
from subprocess import CompletedProcess

import pytest

SWEEP = """
import errno, shutil
from zlmdb.lmdb.verify import verify

engine, writemap, kind, code = int(sys.argv[1]), sys.argv[2] == "True", int(sys.argv[3]), int(sys.argv[4])
MEMORY = 2
options = {
    "max_dbs": 4, "lib_version": engine, "writemap": writemap, "map_size": 1 << 22, "sync": kind != MEMORY,
}
faults.faults_last.restype = ctypes.c_char_p

def workload(path, note):
    env = lmdb.open(path, max_spare_txns=2, **options)
    note(env)
    with env.begin(write=True) as txn:
        txn.put(b"first", b"1")
    note("committed")
    dups = env.open_db(b"dups", dupsort=True)
    with env.begin(write=True) as txn:
        for n in range(60):
            txn.put(b"%d" % n, bytes(300))
            txn.put(b"%d" % (n % 7), b"%d" % n * 3, db=dups)
        txn.put(b"large", bytes(100_000))
    for larger in range(2):
        with env.begin(write=True) as txn:
            for n in range(0, 60, 3):
                txn.delete(b"%d" % n)
            txn.put(b"large", bytes(200_000 + larger))
            if not writemap:
                with env.begin(write=True, parent=txn) as child:
                    child.put(b"1", bytes(350))
            with txn.cursor(dups) as cursor:
                if cursor.set_key(b"3"):
                    cursor.delete(dupdata=True)
    with env.begin() as txn:
        list(txn.cursor(dups))
        txn.get(b"large")
    env.readers()
    env.reader_check()
    for copy, compact in (("plain", False), ("compact", True)):
        os.mkdir(path + copy)
        env.copy(path + copy, compact=compact)
    env.set_mapsize(1 << 23)
    with env.begin(write=True) as txn:
        txn.drop(dups)
    env.close()

def is_cause(error, call):
    if isinstance(error, MemoryError):  # Python's own
        return kind == MEMORY
    if call == "pthread_create":
        return error.code == 0 and "needs a thread" in str(error)
    return error.code == code

def is_usable(env):
    try:
        with env.begin(write=True) as txn:
            txn.put(b"after", b"1")
        return env.get(b"after") == b"1"
    except lmdb.PanicError as error:
        return "open it again" in str(error) and kind != MEMORY

number, point = 0, 0
while True:
    point += 1
    path, done, problem = f"env{point}", [], None
    faults.faults_arm(kind, point, code, 0)
    try:
        workload(path, done.append)
    except (lmdb.Error, MemoryError) as error:
        problem = error
    faults.faults_disarm()
    call = faults.faults_last().decode()
    if not call:
        break
    if problem is not None and not is_cause(problem, call):
        print(point, call, repr(problem))
    if problem is not None and done:
        if not is_usable(done[0]):
            print(point, call, repr(problem), "and the environment is of no use")
        done[0].close()
    with lmdb.open(path, **options) as env:
        if not is_usable(env) or len(done) > 1 and env.get(b"first") != b"1":
            print(point, call, repr(problem), "and the file is of no use")
    if not writemap and verify(path):
        print(point, call, repr(problem), verify(path))
    for copy in ("", "plain", "compact"):
        shutil.rmtree(path + copy, ignore_errors=True)
print("swept", point > 40)
"""

DEAD_WRITER = """
import errno

def begin():
    env.begin(write=True).abort()

env = lmdb.open("env", lib_version=int(sys.argv[1]))
begin()
for point in range(1, 6):
    pid = os.fork()
    if not pid:
        txn = lmdb.open("env", lib_version=int(sys.argv[1])).begin(write=True)
        os._exit(0)
    os.waitpid(pid, 0)
    faults.faults_arm(2, point, errno.ENOMEM, 0)
    try:
        begin()
    except (lmdb.MemoryError, MemoryError):
        pass
    faults.faults_disarm()
    begin()
print("goes on")
"""


@pytest.mark.parametrize("writemap", [False, True])
@pytest.mark.parametrize("failure", ["memory", "EIO", "ENOSPC"])
def test_each_call_in_turn(
    engine: int, writemap: bool, failure: str, run_faulty: Callable[..., CompletedProcess[str]]
) -> None:
    """Allocations and threads; or reads, writes, maps, locks. LMDB calls some a damaged file, one a lock."""
    kind, code = {"memory": (2, 12), "EIO": (1, 5), "ENOSPC": (1, 28)}[failure]
    done = run_faulty(SWEEP, engine, writemap, kind, code)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == ["swept True"]


def test_no_memory_after_a_writer_has_died(
    engine: int, run_faulty: Callable[..., CompletedProcess[str]]
) -> None:
    """LMDB looks for readers who died with it; without memory for that, nobody could write any more."""
    done = run_faulty(DEAD_WRITER, engine)
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "goes on\n")
