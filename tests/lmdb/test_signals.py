"""Every exception that a signal's handler raises arrives, and what it has interrupted is put in order."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import zlmdb

pytestmark = [
    pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs the alarms of POSIX"),
    pytest.mark.skipif(
        sys.implementation.name == "pypy",
        reason="PyPy runs handlers within finalizers of its own and of the standard library",
    ),
]

ALARMS = 150
"""Of each loop."""

LOOPS = """
import gc, random, signal
engine, name, count = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])

class Alarm(Exception):
    pass

fired = 0

def handler(number, frame):
    global fired
    fired += 1
    raise Alarm

ignored = []
sys.unraisablehook = lambda problem: ignored.append(repr(problem.exc_value))
env = lmdb.open("env", lib_version=engine, sync=False, max_dbs=2)
with env.begin(write=True) as txn:
    for number in range(300):
        txn.put(b"%04d" % number, b"v" * 50)
    txn.put(b"large", b"x" * 100_000)

def scan():
    with env.begin() as txn:
        for _ in txn.cursor():
            pass

def scan_in_part():
    with env.begin() as txn:
        for _ in txn.cursor():
            break

def views():
    with env.begin(buffers=True) as txn:
        txn.get(b"0005"), list(txn.cursor())

def write():
    with env.begin(write=True) as txn:
        txn.put(b"k", b"v")

def write_at_cursor():
    with env.begin(write=True) as txn:
        cursor = txn.cursor()
        cursor.put(b"k", b"v"), cursor.first()

def nested():
    with env.begin(write=True) as txn, env.begin(write=True, parent=txn) as child:
        child.put(b"k", b"v")

def large():
    with env.begin() as txn:
        txn.get(b"large"), txn.cursor().get(b"large")

def dropped_reader():
    env.begin().get(b"0001")

def dropped_cursor():
    env.begin().cursor().first()

def dropped_writer():
    env.begin(write=True).put(b"k", b"v")

def dropped_views():
    view = env.begin(buffers=True).get(b"0001")

def once():
    env.get(b"0001"), env.getmulti([b"0001"])

def reopened():
    other = lmdb.open("other", lib_version=engine, max_dbs=2)
    other.get(b"k", db=other.open_db(b"x"))
    other.close()

def dropped_environment():
    lmdb.open("other", lib_version=engine, max_dbs=2).open_db(b"x")

loop = globals()[name]
signal.signal(signal.SIGALRM, handler)
arrived, random_ = 0, random.Random(5)

def until_the_alarm():
    before = fired
    while fired == before:
        loop()

while fired < count:
    try:
        signal.setitimer(signal.ITIMER_REAL, random_.uniform(2e-5, 4e-4))
        until_the_alarm()
    except Alarm:
        arrived += 1
signal.setitimer(signal.ITIMER_REAL, 0)
gc.collect()
env.begin(write=True).abort()
print(fired - arrived, ignored, env.readers().count("\\n") - 1)
"""


@pytest.mark.parametrize("name", [
    "scan", "scan_in_part", "views", "write", "write_at_cursor", "nested", "large", "dropped_reader",
    "dropped_cursor", "dropped_writer", "dropped_views", "once", "reopened", "dropped_environment",
])  # fmt: skip
def test_every_alarm_arrives_and_nothing_is_left(run_child, engine, name):
    """Neither a reader slot nor the writer's lock."""
    child = run_child(LOOPS, engine, name, ALARMS)
    assert (child.returncode, child.stderr) == (0, "")
    assert child.stdout == "0 [] 0\n"


INTERRUPTED = """
import os, signal, sys
from zlmdb import lmdb
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell has background commands ignore it
engine, rounds = int(sys.argv[1]), int(sys.argv[2])
ignored = []
sys.unraisablehook = lambda problem: ignored.append(repr(problem.exc_value))
env = lmdb.open("env", lib_version=engine, sync=False)

def work():
    while True:
        with env.begin(write=True) as txn:
            txn.put(b"k", b"v")
        with env.begin(buffers=True) as txn:
            for _ in txn.cursor():
                pass
        env.begin().get(b"k")

for _ in range(rounds):
    try:
        print("working", flush=True)
        work()
    except KeyboardInterrupt:
        pass
env.begin(write=True).abort()
print(ignored, env.readers().count("\\n") - 1)
"""


def test_every_real_interrupt_ends_its_loop(tmp_path, engine):
    """As by Ctrl-C: sent from another process, each once the loop before has ended."""
    rounds = 50
    environment = {**os.environ, "PYTHONPATH": str(Path(zlmdb.__file__).parents[1])}
    with subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, str(engine), str(rounds)],
        cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    ) as child:  # fmt: skip
        watchdog = threading.Timer(120, child.kill)  # a lost interrupt would leave it in its loop
        watchdog.start()
        try:
            for _ in range(rounds):
                assert child.stdout.readline() == "working\n"
                child.send_signal(signal.SIGINT)
            assert child.stdout.read() == "[] 0\n"
        finally:
            watchdog.cancel()
            child.kill()
    assert child.returncode == 0
