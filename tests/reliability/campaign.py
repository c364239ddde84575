"""Numbered trials, each a function of a seed and its number, spread over processes; and a verdict."""

from __future__ import annotations

import argparse
import json
import os
import random
import select
import shlex
import shutil
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from .child import RAM, Child
from .stores import preload

ENGINES = {"0.9": 0, "1.0": 1}
OURS = ["zlmdb", "zlmdb.lmdb"]
"""The object layer and the binding, which take turns."""
KEPT = 10
"""Failed trials of one process whose files are kept."""
EVERY = 5.0
"""Seconds between lines of progress."""


class Failure(Exception):  # noqa: N818 (a verdict, not an error of the harness)
    """What is tested did what it must not do.

    Args:
        text: What it was.
        figures: What was tried until then.
    """

    def __init__(self, text: str, figures: Mapping[str, int] = MappingProxyType({})) -> None:
        super().__init__(text)
        self.figures = figures


class Skipped(Exception):  # noqa: N818
    """This system cannot run the trials; the text says why."""


class Case(NamedTuple):
    """One trial: what it may use, and what decides about it."""

    name: str
    """Mode, engine, seed and number: all that the trial depends on, together with the options."""
    number: int
    engine: int
    folder: Path
    """An empty folder of its own, in memory if there is such a file system."""
    options: argparse.Namespace

    @property
    def rng(self) -> random.Random:
        """Chance that falls the same way whenever the trial is repeated."""
        return random.Random(self.name)

    @property
    def module(self) -> str:
        """What is tested: by default the object layer and the binding in turn."""
        given: str = self.options.module
        return given or OURS[self.number % 2]

    def pick(self, names: list[str]) -> str:
        """One of the names: what `--only` says, or in turn."""
        only: str | None = self.options.only
        if only is not None and only not in names:
            raise Skipped(f"{self.module} has no {only}")
        return only or names[self.number // 2 % len(names)]


Trial = Callable[[Case], "Counter[str]"]
"""Try once: give figures, or raise `Failure`."""


class Mode(NamedTuple):
    """A kind of trials."""

    trial: Trial
    unit: str
    """The figure that `--count` speaks of."""
    prepare: Callable[[], None] = lambda: None
    """What the program does before it begins."""
    trials: int | None = None
    """How many there are, if there is an end."""


class Campaign:
    """The trials of one mode and one engine.

    Args:
        name: The mode.
        mode: What it does.
        engine: The name of the engine.
        options: From the command line.
    """

    def __init__(self, name: str, mode: Mode, engine: str, options: argparse.Namespace) -> None:
        self._name = name
        self._mode = mode
        self._engine = engine
        self._options = options
        self._figures: Counter[str] = Counter()
        self._failures: list[dict[str, Any]] = []
        self._started = time.monotonic()
        self._kept = 0

    def run(self) -> bool:
        """Try until the count is reached; tell whether all went well."""
        options = self._options
        for module in [options.module] if options.module else OURS:
            preload(module)
        goal = f"{options.trials} trials" if options.trials else f"{options.count} {self._mode.unit}"
        print(f"{self._title()}: {goal}, seed {options.seed}", flush=True)
        workers = [Worker(self._work) for _ in range(options.jobs)]
        try:
            self._distribute(workers)
        finally:
            for worker in workers:
                worker.end()
        self._conclude()
        return not self._failures

    def _title(self) -> str:
        return f"{self._name}, LMDB {self._engine}"

    def _distribute(self, workers: list[Worker]) -> None:
        first, most = self._options.first, self._options.trials or 1 << 60
        numbers = iter(range(first, min(first + most, self._mode.trials or 1 << 60)))
        told, busy = time.monotonic(), 0
        for worker in workers:
            busy += self._ask(worker, numbers)
        while busy:
            ready = select.select([worker.answers for worker in workers], [], [], EVERY)[0]
            for worker in (worker for worker in workers if worker.answers in ready):
                self._count(worker.answer())
                busy -= 1
                busy += self._ask(worker, numbers)
            if time.monotonic() - told > EVERY:
                told = time.monotonic()
                print(f"  {self._summary()}", flush=True)

    def _ask(self, worker: Worker, numbers: Iterator[int]) -> bool:
        """Have the worker try the next number, unless it is enough."""
        enough = self._figures[self._mode.unit] >= self._options.count and not self._options.trials
        number = None if enough or len(self._failures) >= self._options.failures else next(numbers, None)
        if number is not None:
            worker.ask(number)
        return number is not None

    def _count(self, report: dict[str, Any]) -> None:
        self._figures.update(report["figures"])
        if report["trouble"]:
            self._figures["failures"] += 1
            self._failures.append(report)
            print(f"  FAILED: {report['name']}: {report['trouble']}", flush=True)
            print(f"    files: {report['kept']}; again: {self._again(report)}", flush=True)

    def _again(self, report: dict[str, Any]) -> str:
        """The command that repeats a trial."""
        options = self._options
        given = {
            "engine": self._engine, "seed": options.seed, "first": report["number"], "trials": 1,
            "module": options.module, "only": options.only,
            "images": options.images, "stride": options.stride,
        }  # fmt: skip
        words = [f"--{name} {shlex.quote(str(value))}" for name, value in given.items() if value is not None]
        return " ".join(["python -m tests.reliability", self._name, *words])

    def _conclude(self) -> None:
        verdict = f"{len(self._failures)} FAILED" if self._failures else "all well"
        print(f"{self._title()}: {verdict}; {self._summary()}", flush=True)

    def _summary(self) -> str:
        figures = [f"{count} {name}" for name, count in self._figures.items()]
        return f"{', '.join(figures)} in {time.monotonic() - self._started:.0f} s"

    def _work(self, number: int) -> dict[str, Any]:
        """Try once, in a worker."""
        name = f"{self._name}.{self._engine}.{self._options.seed}.{number}"
        folder = Path(tempfile.mkdtemp(prefix=f"{name}.", dir=RAM))
        report = {"name": name, "number": number, "figures": {}, "trouble": "", "kept": ""}
        try:
            case = Case(name, number, ENGINES[self._engine], folder, self._options)
            report["figures"] = dict(self._mode.trial(case))
        except Failure as failure:
            report |= {"figures": dict(failure.figures), "trouble": str(failure)}
        except Exception:  # noqa: BLE001 (reported)
            report["trouble"] = traceback.format_exc()
        if report["trouble"]:
            report["kept"] = self._keep(folder, name)
        shutil.rmtree(folder, ignore_errors=True)
        return report

    def _keep(self, folder: Path, name: str) -> str:
        """Copy the files of a trial that failed, of the first ones in full."""
        self._kept += 1
        if self._kept > KEPT:
            return "no file, as there are many already"
        kept = Path(self._options.keep).absolute() / name
        shutil.rmtree(kept, ignore_errors=True)
        with suppress(OSError):
            shutil.copytree(folder, kept, symlinks=True, ignore_dangling_symlinks=True)
        return str(kept)


class Worker:
    """A process that tries what it is asked to, one number after the other."""

    def __init__(self, work: Callable[[int], dict[str, Any]]) -> None:
        questions, self._questions = os.pipe()
        self.answers, answers = os.pipe()
        self._child = Child(_serve, work, questions, answers, [self._questions, self.answers])
        os.close(questions)
        os.close(answers)

    def ask(self, number: int) -> None:
        """Have it try a number."""
        os.write(self._questions, b"%d\n" % number)

    def answer(self) -> dict[str, Any]:
        """What became of the number asked for."""
        line = b""
        while not line.endswith(b"\n"):
            chunk = os.read(self.answers, 1 << 16)
            if not chunk:
                raise RuntimeError(f"a worker died: {self._child.result(10)}")
            line += chunk
        answer: dict[str, Any] = json.loads(line)
        return answer

    def end(self) -> None:
        """Let it go, or end it if it is in a trial still."""
        os.close(self._questions)
        os.close(self.answers)
        self._child.kill()


def _serve(work: Callable[[int], dict[str, Any]], questions: int, answers: int, others: list[int]) -> None:
    for descriptor in others:  # else the end of a question would never be seen
        os.close(descriptor)
    with os.fdopen(questions, encoding="ascii") as lines:
        for line in lines:
            os.write(answers, json.dumps(work(int(line))).encode() + b"\n")
