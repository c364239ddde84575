"""Processes that are killed at random moments: nothing acknowledged is lost, and nothing invented."""

from __future__ import annotations

import random
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from .audit import audit, bounds, differences
from .campaign import Case, Failure, Mode
from .child import Child
from .marks import Marks
from .script import Script
from .stores import NATIVE, Setup, opened

ROUNDS = 5
"""Times that the processes of a trial are started, killed, and what they have left is looked at."""
MOST_MILLISECONDS = 25 if sys.implementation.name == "cpython" else 120
"""How long a process is left alone before the next is killed; PyPy takes its time to begin."""
PATIENCE = 30
"""Seconds after which those that are alive hang, if none of them has got anything done."""


class Place(NamedTuple):
    """What the processes of a trial share."""

    setup: Setup
    folder: Path
    scripts: list[Script]
    marks: Marks

    @property
    def store(self) -> Path:
        """Where the store is."""
        return self.folder / "store"


# -- what a process does until it is killed --


def write(place: Place, writer: int) -> None:
    """Write step after step."""
    with opened(place.setup, place.store) as store:
        number = store.read().steps.get(writer, 0)
        while True:
            number += 1
            place.marks.begin(writer, number)
            store.write(writer, number, place.scripts[writer].step(number))
            place.marks.acknowledge(writer, number)


def write_and_close(place: Place, writer: int) -> None:
    """Open the store for each step, so that it is often opened for the first time."""
    while True:
        with opened(place.setup, place.store) as store:
            number = store.read().steps.get(writer, 0) + 1
            place.marks.begin(writer, number)
            store.write(writer, number, place.scripts[writer].step(number))
            place.marks.acknowledge(writer, number)


def read(place: Place) -> None:
    """Look at snapshot after snapshot: each is what writers have led to, and no older than the one before."""
    with opened(place.setup, place.store) as store:
        while True:
            least = [place.marks.acknowledged(writer) for writer in range(len(place.scripts))]
            state = store.read()
            allowed = [(low, place.marks.begun(writer)) for writer, low in enumerate(least)]
            problems = differences(state, place.scripts, allowed)
            if problems:
                raise Failure("; ".join(problems))


def copy(place: Place) -> None:
    """Copy the store again and again; copies are steps of one more writer."""
    copier = len(place.scripts)
    with opened(place.setup, place.store) as store:
        number = place.marks.begun(copier)
        while True:
            number += 1
            place.marks.begin(copier, number)
            store.back_up(place.folder / f"copy{number}")
            place.marks.acknowledge(copier, number)


# -- scenarios: what processes there are --

Roles = list[Callable[[Place], None]]


class Scenario(NamedTuple):
    """Processes that use one store together, and how it is opened."""

    roles: Roles
    options: Mapping[str, Any] = MappingProxyType({})
    scale: int = 1
    """How much larger values are than usual."""


def _writers(count: int, role: Callable[[Place, int], None]) -> Roles:
    return [partial(role, writer=writer) for writer in range(count)]


SCENARIOS = {
    "one writer": Scenario(_writers(1, write)),
    "several writers": Scenario([*_writers(3, write), read]),
    "first openers": Scenario(_writers(3, write_and_close)),
    "waiting for the lock": Scenario(_writers(6, write)),
    "a growing map": Scenario([*_writers(2, write), read], {"grow": True, "maxsize": 1 << 16}, 20),
    "copies": Scenario([*_writers(1, write), copy]),
}
SYNC_MODES = [{}, {}, {"sync": False}, {"writemap": True}, {"writemap": True, "sync": False}]
NATIVE_SYNC_MODES = [{"metasync": False}, {"writemap": True, "map_async": True}]


def choose(case: Case, rng: random.Random) -> tuple[str, Scenario, Setup]:
    """A scenario, and how its processes open the store."""
    native = case.module != "zlmdb"
    names = [name for name in SCENARIOS if case.module != "lmdb" or name != "a growing map"]
    name = case.pick(names)
    given = {"maxsize": 1 << 26, "grow": False, **SCENARIOS[name].options}
    given |= rng.choice(SYNC_MODES + (NATIVE_SYNC_MODES if native else []))
    options = {NATIVE.get(key, key) if native else key: value for key, value in given.items()}
    if case.module == "lmdb":
        del options["grow"]
    return name, SCENARIOS[name], Setup(case.module, case.engine, options)


# -- the trial --


def trial(case: Case) -> Counter[str]:
    """Start processes, kill them, look, and again."""
    rng = case.rng
    name, scenario, setup = choose(case, rng)
    writers = sum(isinstance(role, partial) for role in scenario.roles)
    scripts = [Script(case.name, writer, scenario.scale) for writer in range(writers)]
    place = Place(setup, case.folder, scripts, Marks(writers + 1))
    figures: Counter[str] = Counter()
    try:
        for _round in range(ROUNDS):
            figures["kills"] += kill_all(scenario.roles, place, rng)
            figures["copies"] += check_copies(place)
            check(place)
    except Failure as failure:
        raise Failure(f"{name}, {setup}: {failure}", figures) from failure
    figures["steps"] = sum(place.marks.acknowledged(writer) for writer in range(writers))
    return figures


def kill_all(roles: Roles, place: Place, rng: random.Random) -> int:
    """Start a process for each role and kill one after the other; how many were killed."""
    alive = [(role, Child(role, place)) for role in roles]
    rng.shuffle(alive)
    try:
        for left in range(len(roles) - 1, -1, -1):
            time.sleep(rng.random() ** 2 * MOST_MILLISECONDS / 1000)
            outcome = alive.pop()[1].kill()
            if outcome.signal != signal.SIGKILL:
                raise Failure(f"a process ended by itself, {outcome.described()}")
            if left and rng.random() < 0.2 and any(role is not read for role, _ in alive):
                await_progress(place.marks, [child for _, child in alive])
    finally:
        for _, child in alive:
            child.kill()
    return len(roles)


def await_progress(marks: Marks, alive: list[Child]) -> None:
    """Those that are left go on: no lock has died with the one that was killed."""
    before, end = _done(marks), time.monotonic() + PATIENCE
    while _done(marks) == before:
        for child in alive:
            if child.ended():
                raise Failure(f"a process ended by itself, {child.result().described()}")
        if time.monotonic() > end:
            places = [child.result(0.01).described() for child in alive]
            raise Failure(f"after a process was killed, the others hang: {places}")
        time.sleep(0.001)


def _done(marks: Marks) -> list[int]:
    return [marks.acknowledged(writer) for writer in marks.writers]


def check(place: Place) -> None:
    """Look at what they have left, in a process that may crash."""
    marks = place.marks
    allowed = bounds(marks)[: len(place.scripts)]
    outcome = Child(settle, place, allowed).result()
    problems = outcome.value or []
    if outcome.failed:
        problems = [*problems, outcome.described()]
    if problems:
        raise Failure("; ".join(problems))


def settle(place: Place, allowed: list[tuple[int, int]]) -> list[str]:
    """Audit the store; what it has now, it has to keep."""
    number = None
    with opened(place.setup, place.store) as store:
        steps = store.read().steps
        number = steps.get(0, 0) + 1
    for writer, most in steps.items():
        place.marks.acknowledge(writer, most)
    place.marks.begin(0, number)
    problems = audit(place.setup, place.store, place.scripts, allowed)
    place.marks.acknowledge(0, number)
    return problems


def check_copies(place: Place) -> int:
    """Each copy that was acknowledged, or that has its name already, is sound and a state of the store."""
    copier, copies = len(place.scripts), 0
    for path in sorted(place.folder.glob("copy*")):
        number = int(path.name.removeprefix("copy"))
        if number <= place.marks.acknowledged(copier) or place.setup.module == "zlmdb":
            outcome = Child(inspect, place, path).result()
            if outcome.value or outcome.failed:
                raise Failure(f"{path.name}: {outcome.value or outcome.described()}")
            copies += 1
        shutil.rmtree(path)
    return copies


def inspect(place: Place, path: Path) -> list[str]:
    """What is wrong with a copy."""
    problems = place.setup.verify(path)[:5]
    with opened(place.setup, path) as store:
        allowed = [(0, place.marks.begun(writer)) for writer in range(len(place.scripts))]
        return problems + differences(store.read(), place.scripts, allowed)


MODE = Mode(trial, "kills")
