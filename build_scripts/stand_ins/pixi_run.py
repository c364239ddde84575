"""Run a task of pixi.toml, with what it depends on, where pixi is not to be had: `pixi_run.py TASK`.

It tests the tasks, not pixi: it neither solves nor installs, but uses the Python environment that is active.
With `--list` it prints the tasks.
"""

import argparse
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
Tasks = Mapping[str, Mapping[str, Any]]


def read_tasks(manifest: Mapping[str, Any]) -> Tasks:
    """Return all tasks of a manifest, by name: its own, and those of its features."""
    tables = [manifest, *manifest.get("feature", {}).values()]
    return {name: task for table in tables for name, task in table.get("tasks", {}).items()}


def in_order(tasks: Tasks, name: str) -> Iterator[str]:
    """Yield the names of a task and of all that it depends on, each once, and each after its dependencies.

    Raises:
        KeyError: There is no such task.
        ValueError: It depends on itself.
    """
    done: list[str] = []

    def visit(task: str, above: tuple[str, ...]) -> None:
        if task in above:
            raise ValueError(f"the task {task} depends on itself: {' -> '.join([*above, task])}")
        for dependency in tasks[task].get("depends-on", []):
            visit(dependency, (*above, task))
        if task not in done:
            done.append(task)

    visit(name, ())
    yield from done


def main() -> int:
    """Run as a program. Return the exit status of the first command that fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("task", nargs="?")
    parser.add_argument("--list", action="store_true", help="print the tasks")
    options = parser.parse_args()
    manifest = tomllib.loads((ROOT / "pixi.toml").read_text(encoding="utf-8"))
    tasks = read_tasks(manifest)
    if options.list or options.task not in tasks:
        print("\n".join(f"{name}: {task.get('description', '')}" for name, task in sorted(tasks.items())))
        return 0 if options.list else 1
    environment = {**os.environ, **manifest.get("activation", {}).get("env", {})}
    for name in in_order(tasks, options.task):
        command = tasks[name]["cmd"]
        print(f"{name}: {command}", flush=True)
        status = subprocess.run(command, shell=True, cwd=ROOT, env=environment, check=False).returncode
        if status:
            return status
    return 0


if __name__ == "__main__":
    sys.exit(main())
