"""Environments of either engine, for the tests of the binding."""

from __future__ import annotations

import gc
import os
import shutil
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

import zlmdb
from zlmdb import lmdb

ENGINES = {"lmdb 0.9": 0, "lmdb 1.0": 1}

OpenEnv = Callable[..., lmdb.Environment]


@pytest.fixture(params=ENGINES.values(), ids=ENGINES)
def engine(request: pytest.FixtureRequest) -> int:
    """Return LMDB's major version: every test that asks for it runs on both engines."""
    return request.param


@pytest.fixture
def open_env(tmp_path: Path, engine: int) -> Iterator[OpenEnv]:
    """Return a function that opens an environment below `tmp_path`; all are closed afterwards."""
    opened = []

    def open_env(name: str | Path = "env", **options: Any) -> lmdb.Environment:
        options = {"max_dbs": 8, "lib_version": engine, "sync": False, **options}
        env = lmdb.open(str(tmp_path / name), **options)
        opened.append(env)
        return env

    yield open_env
    for env in opened:
        env.close()


@pytest.fixture(autouse=True)
def thorough_collection(monkeypatch: pytest.MonkeyPatch) -> None:
    """On PyPy one collection finds what is dead, later ones run its finalizers."""
    if sys.implementation.name == "pypy":
        collect = gc.collect
        monkeypatch.setattr(gc, "collect", lambda *args: [collect() for _ in range(5)][-1])


@pytest.fixture
def env(open_env: OpenEnv) -> lmdb.Environment:
    """Return an empty environment with room for eight databases."""
    return open_env()


@pytest.fixture
def cursor(env: lmdb.Environment) -> Iterator[lmdb.Cursor]:
    """Return a cursor on the records a: 1 to d: 4, in a write transaction."""
    with env.begin(write=True) as txn:
        for key, value in zip(b"abcd", b"1234", strict=True):
            txn.put(b"%c" % key, b"%c" % value)
        yield txn.cursor()


@pytest.fixture
def pairs() -> list[tuple[bytes, bytes]]:
    """Return the records at `dup_cursor`."""
    return [(b"a", b"1"), (b"a", b"2"), (b"a", b"3"), (b"b", b"1"), (b"c", b"1"), (b"c", b"5")]


@pytest.fixture
def dup_cursor(env: lmdb.Environment, pairs: list[tuple[bytes, bytes]]) -> Iterator[lmdb.Cursor]:
    """Return a cursor on `pairs` in a dupsort database, in a write transaction."""
    db = env.open_db(b"dups", dupsort=True)
    with env.begin(db, write=True) as txn:
        for key, value in pairs:
            txn.put(key, value)
        yield txn.cursor()


@pytest.fixture
def raises_closed() -> Callable[[], AbstractContextManager[Any]]:
    """Return `pytest.raises` for the error of whatever is closed or finished."""
    text = r"^Attempt to operate on closed/deleted/dropped object\.$"
    return lambda: pytest.raises(lmdb.Error, match=text)


@pytest.fixture
def run_child(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function that runs a program in a process of its own and gives what it printed.

    The program finds `lmdb`, and its arguments in `sys.argv`.
    """

    def run(program: str, *args: object, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PYTHONPATH": str(Path(zlmdb.__file__).parents[1])}
        code = "import os, sys\nfrom zlmdb import lmdb\n" + program
        return subprocess.run(
            [sys.executable, "-c", code, *map(str, args)],
            cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=timeout, check=False,
        )  # fmt: skip

    return run


@pytest.fixture(scope="session")
def faults(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the library of `faults.c`, compiled."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if not sys.platform.startswith("linux") or compiler is None:
        pytest.skip("needs Linux and a C compiler, for system calls and allocations that fail")
    library = tmp_path_factory.mktemp("faults") / "faults.so"
    source = Path(__file__).with_name("faults.c")
    subprocess.run([compiler, "-O1", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    return library


@pytest.fixture
def run_faulty(
    run_child: Callable[..., subprocess.CompletedProcess[str]], faults: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return `run_child` for programs that choose, with `faults`, which call of the binding fails."""
    monkeypatch.setenv("LD_PRELOAD", str(faults))

    def run(program: str, *args: object, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        return run_child("import ctypes\nfaults = ctypes.CDLL(None)\n" + program, *args, timeout=timeout)

    return run


@pytest.fixture
def in_thread() -> Iterator[Callable[..., Outcome]]:
    """Return a function that starts another in a thread; `result()` is what that returned or raised."""
    started: list[Outcome] = []

    def start(function: Callable[..., Any], *args: Any) -> Outcome:
        started.append(Outcome(function, args))
        return started[-1]

    yield start
    for outcome in started:
        outcome.thread.join(30)
        assert not outcome.thread.is_alive(), "a thread of the test hangs"


class Outcome:
    """What a function does in a thread of its own."""

    def __init__(self, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self.thread = threading.Thread(target=self._run, args=(function, args), daemon=True)
        self.value: Any = None
        self.error: BaseException | None = None
        self.thread.start()

    def _run(self, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
        try:
            self.value = function(*args)
        except BaseException as error:  # noqa: BLE001 (handed to the test)
            self.error = error

    def result(self, timeout: float = 30) -> Any:
        self.thread.join(timeout)
        assert not self.thread.is_alive(), "the thread hangs"
        if self.error is not None:
            raise self.error
        return self.value


@pytest.fixture
def unraisable(monkeypatch: pytest.MonkeyPatch) -> list[BaseException | None]:
    """Return the list of errors raised where nobody can catch them, as in finalizers."""
    errors: list[BaseException | None] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda problem: errors.append(problem.exc_value))
    return errors


@pytest.fixture
def native() -> Callable[[int], bytes]:
    """Return a function that gives the key of an integerkey database for a number."""
    return struct.Struct("@N").pack
