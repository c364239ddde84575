"""What a store holds, compared with what was acknowledged."""

from __future__ import annotations

from pathlib import Path

from .marks import Marks
from .script import Script
from .stores import Setup, State, Store, opened


def differences(state: State, scripts: list[Script], bounds: list[tuple[int, int]]) -> list[str]:
    """Where the state is not what the scripts have led to.

    Args:
        state: What is stored.
        scripts: Those of all writers.
        bounds: For each writer the least and the most steps that may be stored.
    """
    problems = list(state.problems)
    expected = {}
    for writer, (script, (least, most)) in enumerate(zip(scripts, bounds, strict=True)):
        steps = state.steps.get(writer, 0)
        if not least <= steps <= most:
            problems.append(f"writer {writer} has {steps} steps stored, not {least} to {most}")
        expected.update(script.records(steps))
    if state.total != sum(state.steps.values()):
        problems.append(f"the total is {state.total}, the steps are {state.steps}")
    if state.records != expected:
        keys = [key for key in state.records | expected if state.records.get(key) != expected.get(key)]
        problems.append(f"{len(keys)} records differ from the model: {sorted(keys)[:9]}")
    return problems


def bounds(marks: Marks) -> list[tuple[int, int]]:
    """The least and the most steps of each writer that may be stored."""
    return [(marks.acknowledged(writer), marks.begun(writer)) for writer in marks.writers]


def audit(
    setup: Setup, path: Path, scripts: list[Script], allowed: list[tuple[int, int]], sound: bool = True
) -> list[str]:
    """Look at a store that nobody else has open, write to it, and tell what is wrong.

    Args:
        setup: How to open it.
        path: Where it is.
        scripts: Those of all writers.
        allowed: For each writer the least and the most steps that may be stored.
        sound: Whether the file is to be sound before it is opened, or once it has been.
    """
    problems = _verified(setup, path) if sound else []
    with opened(setup, path) as store:
        state = store.read()
        problems += differences(state, scripts, allowed)
        if not problems:
            problems += _goes_on(store, state, scripts)
    return problems if sound else problems + _verified(setup, path)


def _verified(setup: Setup, path: Path) -> list[str]:
    return [f"verify: {problem}" for problem in setup.verify(path)[:5]]


def _goes_on(store: Store, state: State, scripts: list[Script]) -> list[str]:
    """A step more, of the first writer, can be written and read."""
    number = state.steps.get(0, 0) + 1
    store.write(0, number, scripts[0].step(number))
    steps = [(state.steps.get(writer, 0),) * 2 for writer in range(len(scripts))]
    steps[0] = (number, number)
    return differences(store.read(), scripts, steps)
