"""An environment closes while a thread still holds LMDB's lock, for a write transaction that another aborted.

This runs in a process of its own: a failure would be a crash or a hang.
"""

from __future__ import annotations

PRELUDE = """
import queue
import subprocess
import threading

calls, results = queue.Queue(), queue.Queue()

def work():
    while call := calls.get():
        results.put(call())

def there(call):
    calls.put(call)
    return results.get()

thread = threading.Thread(target=work, daemon=True)
thread.start()
engine = int(sys.argv[1])
env = lmdb.open("env", lib_version=engine)
"""

REOPENED = """
other = lmdb.open("other", lib_version=engine)
for _ in range(3):
    doomed = there(lambda: env.begin(write=True))
    doomed.abort()
    env.close()
    env = lmdb.open("env", lib_version=engine)
    txn = env.begin(write=True)
    txn.put(b"key", b"value")
    there(lambda: other.begin(write=True).commit())
    txn.commit()
    env.close()
    other.begin(write=True).commit()
    there(lambda: other.begin(write=True).commit())
    env = lmdb.open("env", lib_version=engine)
assert env.get(b"key") == b"value"
calls.put(None)
thread.join()
env.begin(write=True).commit()
print("good")
"""

OTHER_PROCESS = """
program = '''
import sys
from zlmdb import lmdb
env = lmdb.open("env", lib_version=int(sys.argv[1]))
print("open", flush=True)
input()
with env.begin(write=True) as txn:
    txn.put(b"key", b"value")
env.begin(write=True).commit()
'''
child = subprocess.Popen(
    [sys.executable, "-c", program, sys.argv[1]], stdin=subprocess.PIPE, stdout=subprocess.PIPE
)
assert child.stdout.readline() == b"open\\n"
there(lambda: env.begin(write=True)).abort()
env.close()
child.communicate(b"\\n", timeout=20)
assert child.returncode == 0
env = lmdb.open("env", lib_version=engine)
there(lambda: env.begin(write=True).commit())
assert env.get(b"key") == b"value"
calls.put(None)
thread.join()
print("good")
"""


def test_opening_it_again_does_not_mix_up_the_locks_of_threads(run_child, engine):
    child = run_child(PRELUDE + REOPENED, engine)
    assert (child.stdout, child.stderr) == ("good\n", "")


def test_another_process_gets_the_lock(run_child, engine):
    child = run_child(PRELUDE + OTHER_PROCESS, engine)
    assert (child.stdout, child.stderr) == ("good\n", "")
