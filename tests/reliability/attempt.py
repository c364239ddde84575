"""A workload in which the system refuses something: a typed error, nothing lost, and work goes on."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from .audit import audit, bounds, differences
from .marks import Marks
from .script import Script
from .stores import Setup, Store


class Trouble(Protocol):
    """What the system refuses."""

    def begin(self) -> None:
        """From now on."""

    def end(self) -> int:
        """No more; how often it was refused, if that is known."""

    def told(self, error: BaseException, lmdb: Any) -> bool:
        """Whether an error is of the right class for this, among those of a binding, with the right code."""


class Attempt:
    """Steps, copies, and a second opening, with trouble; then a step without it, and an audit.

    Args:
        setup: How to open the store.
        folder: Where the store and the copies go.
        script: What is written.
        steps: How many steps are written before copies are made.
        trouble: What goes wrong.
        meanwhile: Called with the open store while the trouble lasts, after an error.
        before: How the store was opened for as many steps before the trouble, if it was.
    """

    def __init__(
        self, setup: Setup, folder: Path, script: Script, steps: int, trouble: Trouble,
        meanwhile: Callable[[Store], None] = lambda store: None, before: Setup | None = None,
    ) -> None:  # fmt: skip
        self._setup = setup
        self._folder = folder
        self._script = script
        self._steps = steps
        self._trouble = trouble
        self._meanwhile = meanwhile
        self._before = before
        self._marks = Marks(1)
        self._store: Store | None = None

    def run(self) -> dict[str, Any]:
        """Try; what was refused, which error told of it, and what is wrong."""
        problems: list[str] = []
        self._prepare()
        self._trouble.begin()
        error = self._caught(self._work)
        if error is not None and self._store is not None:
            self._caught(lambda: self._meanwhile(self._store))  # type: ignore[arg-type]
        refused = self._trouble.end()
        if error is not None:
            problems += self._misnamed(error)
        panic = self._go_on(problems)
        problems += audit(self._setup, self._path, [self._script], bounds(self._marks), sound=False)
        return {"refused": refused, "error": type(error).__name__, "panic": panic, "problems": problems}

    @property
    def _path(self) -> Path:
        return self._folder / "store"

    def _prepare(self) -> None:
        if self._before is not None:
            self._store = self._before.open(self._path)
            self._write_steps()
            self._close()

    def _write_steps(self) -> None:
        first = self._marks.acknowledged(0) + 1
        for number in range(first, first + self._steps):
            self._write(number)

    def _close(self) -> None:
        store, self._store = self._store, None
        assert store is not None
        store.close()

    def _caught(self, work: Callable[[], None]) -> BaseException | None:
        try:
            work()
        except (*self._setup.errors(), MemoryError) as error:
            return error
        return None

    def _work(self) -> None:
        self._store = self._setup.open(self._path)
        self._write_steps()
        self._store.back_up(self._folder / "copy5")  # compact, which takes a thread
        self._store.back_up(self._folder / "copy6")
        self._store.sync()
        self._close()
        self._store = self._setup.open(self._path)
        self._write(self._marks.acknowledged(0) + 1)
        self._store.read()

    def _write(self, number: int) -> None:
        assert self._store is not None
        self._marks.begin(0, number)
        self._store.write(0, number, self._script.step(number))
        self._marks.acknowledge(0, number)

    def _misnamed(self, error: BaseException) -> list[str]:
        """Whether the error fails to say what has happened; one of the object layer has it as its cause."""
        lmdb = importlib.import_module(self._setup.binding)
        told: BaseException | None = error
        while told is not None:
            if self._trouble.told(told, lmdb):
                return []
            told = told.__cause__
        return [f"{type(error).__name__} is not the right error: {error}"]

    def _go_on(self, problems: list[str]) -> bool:
        """Use the store that is open; LMDB may ask to close it (a panic), after an error in a commit."""
        if self._store is None:
            return False
        panic = importlib.import_module(self._setup.binding).PanicError
        try:
            state = self._store.read()
            problems += differences(state, [self._script], bounds(self._marks))
            self._write(state.steps.get(0, 0) + 1)
        except panic:
            return True
        finally:
            self._store.close()
        return False
