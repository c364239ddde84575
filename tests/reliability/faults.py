"""Calls to the system that fail, one after the other: a typed error, nothing lost, and work goes on."""

from __future__ import annotations

import atexit
import ctypes
import errno
import itertools
import os
import shutil
import sys
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from .attempt import Attempt
from .campaign import Case, Failure, Mode
from .child import Child
from .script import Script
from .shims import ROOT, compiled, environment
from .stores import NATIVE, Setup

STEPS = 8
LOADED = "ZLMDB_FAILING"
"""Names the library in the environment of a process that has it loaded."""
SHORT_WRITE = -30772
"""What LMDB 1.0 calls it (MDB_SHORT_WRITE)."""
DENSE = 150
"""Calls of one sweep of which each fails; of those that come then, every second, every third, and so on."""


class Fault(NamedTuple):
    """A kind of calls that fail, as failing.c numbers it, and with what."""

    name: str
    kind: int
    code: int
    """What `errno` says."""
    right: str = "Error"
    """The class of errors that tells it right."""
    codes: tuple[int, ...] = ()
    """The codes that such an error may have, if not `code`."""
    wrong: str = ""
    """A class of errors that misleads."""


FAULTS = [
    Fault("write: disk error", 1, errno.EIO),
    Fault("write: disk full", 1, errno.ENOSPC, "DiskError"),
    Fault("short write", 2, 0, codes=(errno.EIO, errno.ENOSPC, SHORT_WRITE)),
    Fault("sync: disk error", 3, errno.EIO),
    Fault("sync: disk full", 3, errno.ENOSPC, "DiskError"),
    Fault("map", 4, errno.ENOMEM, "MemoryError"),
    Fault("length: disk full", 5, errno.ENOSPC, "DiskError"),
    Fault("lock", 6, errno.ENOLCK),
    Fault("allocation", 7, errno.ENOMEM, "MemoryError"),
    Fault("thread", 8, errno.EAGAIN, codes=(errno.EAGAIN, errno.ENOMEM, 0), wrong="LockError"),
    Fault("open: too many files", 9, errno.EMFILE),
]
OPTIONS: list[dict[str, Any]] = [
    {"maxsize": 1 << 24, "grow": False},
    {"maxsize": 1 << 24, "grow": False, "writemap": True},
    {"maxsize": 1 << 16, "grow": True},
    {"maxsize": 1 << 16, "grow": True, "writemap": True},
]
SWEEPS = list(itertools.product(OPTIONS, [False, True], ["zlmdb", "zlmdb.lmdb"], FAULTS))
"""Each: how the store is opened, whether calls fail from one on, what is tested, and what fails."""


def prepare() -> None:
    """Start this program once more, with the library before the system's calls."""
    if LOADED in os.environ:
        atexit.register(shutil.rmtree, Path(os.environ[LOADED]).parent, ignore_errors=True)
        return
    library = compiled("failing")
    variables = environment(library, **{LOADED: library})
    os.chdir(ROOT)
    os.execve(sys.executable, [sys.executable, "-m", "tests.reliability", *sys.argv[1:]], variables)


@cache
def failing() -> ctypes.CDLL:
    """The library that this process has loaded."""
    return ctypes.CDLL(os.environ[LOADED])


class FailingCall:
    """One call that fails, or it and all later ones; a `Trouble`.

    Args:
        binding: The module whose calls fail.
        fault: Which kind of call.
        number: Which of them.
        lasting: Whether later ones fail, too.
    """

    def __init__(self, binding: str, fault: Fault, number: int, lasting: bool) -> None:
        self._library = b"_lmdb_cffi" if binding == "zlmdb.lmdb" else b"/lmdb/"
        self._fault = fault
        self._number = number
        self._lasting = lasting

    def begin(self) -> None:
        fault = self._fault
        if not failing().fail_arm(self._library, fault.kind, self._number, fault.code, self._lasting):
            raise RuntimeError("the library whose calls are to fail is not loaded")

    def end(self) -> int:
        failed: int = failing().fail_disarm()
        return failed

    def told(self, error: BaseException, lmdb: Any) -> bool:
        fault = self._fault
        if isinstance(error, MemoryError):  # Python's own says it as well
            return fault.code == errno.ENOMEM
        if fault.wrong and isinstance(error, getattr(lmdb, fault.wrong)):
            return False
        codes = fault.codes or (fault.code,)
        return isinstance(error, getattr(lmdb, fault.right)) and getattr(error, "code", None) in codes


def trial(case: Case) -> Counter[str]:
    """Let each call of a kind fail in turn, until there are no more."""
    setup, fault, lasting = sweep(case)
    figures: Counter[str] = Counter(sweeps=1)
    rng, number, failures = case.rng, 1, []
    while case.options.only in (None, fault.name):
        folder = case.folder / str(number)
        folder.mkdir()
        trouble = FailingCall(setup.binding, fault, number, lasting)
        outcome = Child(Attempt(setup, folder, Script(case.name, 0), STEPS, trouble).run).result()
        result = outcome.value or {"refused": 1, "problems": [outcome.described()], "panic": False}
        if result["problems"]:
            failures.append(f"call {number}: {'; '.join(result['problems'])}")
        else:
            shutil.rmtree(folder)
        if not result["refused"]:
            break
        figures["faults"] += 1
        figures["panics"] += result["panic"]
        stride = case.options.stride + figures["faults"] // DENSE
        number += rng.randint(1, 2 * stride - 1)
    if failures:
        title = f"{fault.name}{', from then on' if lasting else ''}, {setup}: {len(failures)} calls"
        raise Failure("\n      ".join([title, *failures[:5]]), figures)
    return figures


def sweep(case: Case) -> tuple[Setup, Fault, bool]:
    """How the store is opened, which calls fail, and whether all do from then on."""
    options, lasting, module, fault = SWEEPS[case.number]
    module = case.options.module or module
    if module != "zlmdb":
        options = {NATIVE.get(name, name): value for name, value in options.items()}
    if module == "lmdb":
        options = {"map_size": 1 << 24, "writemap": options.get("writemap", False)}
    return Setup(module, case.engine, options), fault, lasting


MODE = Mode(trial, "faults", prepare, len(SWEEPS))
