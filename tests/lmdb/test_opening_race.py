"""Who opens an environment first may die or fail at any point: who waits loses nothing, and does not hang.

The first one makes the lock file anew, and others wait for it. LMDB's own waiters go on with a lock file
that was never finished: they begin at transaction 0, or wait for a mutex that was held when the system
last stopped.
"""

from __future__ import annotations

from collections.abc import Callable
from subprocess import CompletedProcess

import pytest

PROGRAM = """
import errno, pathlib, signal, time

engine, state, end, waiters = int(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
COMMITS = 0 if state == "new" else 5

def commit(env, key):
    with env.begin(write=True) as txn:
        txn.put(key, b"value")

def opened(path):
    return lmdb.open(path, lib_version=engine, sync=False)

def fork(function, *args):
    pid = os.fork()
    if not pid:
        try:
            code = function(*args) or 0
        except lmdb.Error as error:
            print("error:", error, flush=True)
            code = 1
        os._exit(code)
    return pid

def make(path):
    lock = pathlib.Path(path, "lock.mdb")
    env = opened(path)
    for number in range(COMMITS):
        with env.begin(write=True) as txn:
            txn.put(b"%d" % number, b"value")
            if number == 2:
                held = lock.read_bytes()
    env.close()
    if state == "stopped":  # the whole system, while somebody wrote
        lock.write_bytes(held)

def first(path, point):
    faults.faults_arm(1, point, errno.EIO if end == "fails" else 0, 1)
    try:
        env = opened(path)
    except lmdb.Error:
        pass

def waiter(path, name, committed, go_on):
    env = opened(path)
    assert env.stat()["entries"] >= COMMITS, env.stat()
    commit(env, name)
    os.write(committed, b".")
    os.read(go_on, 1)

def check(path):
    env = opened(path)
    print(sorted(env.begin().keys()), flush=True)

def is_blocked(pid):
    return any(line.split()[1] == "->" and line.split()[5] == str(pid) for line in open("/proc/locks"))

def until(condition):
    for _ in range(10_000):
        if condition():
            return True
        time.sleep(0.001)
    return False

def is_over(pid):
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None

def race(point):
    path = f"env{point}"
    os.mkdir(path)
    if COMMITS:
        os.waitpid(fork(make, path), 0)
    one = fork(first, path, point)
    if not os.WIFSTOPPED(os.waitpid(one, os.WUNTRACED)[1]):
        return False
    committed, out = os.pipe()
    go_on, done = os.pipe()
    os.set_blocking(committed, False)
    others = [fork(waiter, path, b"waiter%d" % number, out, go_on) for number in range(waiters)]
    count = 0
    def all_committed():
        nonlocal count
        try:
            count += len(os.read(committed, 10))
        except BlockingIOError:
            pass
        return count == waiters or all(map(is_over, others))
    until(lambda: all(is_blocked(pid) or is_over(pid) for pid in others) or all_committed())
    os.kill(one, signal.SIGKILL if end == "dies" else signal.SIGCONT)
    os.waitpid(one, 0)
    hangs = not until(all_committed)
    os.write(done, b"." * waiters)
    for pid in others:
        if hangs and not is_over(pid):
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    print(point, "hangs" if hangs else count, flush=True)
    os.waitpid(fork(check, path), 0)
    for each in (committed, out, go_on, done):
        os.close(each)
    return not hangs

point = 1
while race(point):
    point += 1
print("points", point - 1)
"""


@pytest.mark.parametrize("waiters", [1, 2])
@pytest.mark.parametrize("end", ["dies", "fails"])
@pytest.mark.parametrize("state", ["new", "used", "stopped"])
def test_the_first_to_open_ends_before_a_system_call(
    engine: int, state: str, end: str, waiters: int, run_faulty: Callable[..., CompletedProcess[str]]
) -> None:
    """The states: no files yet; files of before; and a lock file left by a system that stopped."""
    done = run_faulty(PROGRAM, engine, state, end, waiters)
    assert (done.returncode, done.stderr) == (0, "")
    *races, points = done.stdout.splitlines()
    old = [] if state == "new" else [b"%d" % number for number in range(5)]
    keys = str(old + [b"waiter%d" % number for number in range(waiters)])
    count = len(races) // 2
    assert races == [line for point in range(1, count + 1) for line in (f"{point} {waiters}", keys)]
    assert points == f"points {count}"
    assert count > 8
