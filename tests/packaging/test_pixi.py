"""pixi.toml is valid, and its tasks call what is there. (pixi itself is not available to these tests.)"""

import re
import subprocess
import sys
import tomllib
from importlib.resources import files

import pytest

from vendoring.pins import ROOT

MANIFEST = tomllib.loads((ROOT / "pixi.toml").read_text())
# The schema lets tables pass whose names it does not know.
TABLES = {"workspace", "dependencies", "pypi-dependencies", "activation", "tasks", "feature", "environments"}
FEATURE_TABLES = {"dependencies", "pypi-dependencies", "tasks"}
TASKS = {
    name: task
    for table in [MANIFEST, *MANIFEST["feature"].values()]
    for name, task in table.get("tasks", {}).items()
}


def test_the_manifest_is_valid():
    schema = files("validate_pyproject_schema_store") / "resources" / "pixi.schema.json"
    command = [sys.executable, "-m", "check_jsonschema", "--schemafile", str(schema), ROOT / "pixi.toml"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_no_table_is_misspelt():
    assert MANIFEST.keys() == TABLES
    for feature in MANIFEST["feature"].values():
        assert feature.keys() <= FEATURE_TABLES


def test_environments_are_made_of_features_that_exist():
    used = {feature for features in MANIFEST["environments"].values() for feature in features}
    assert used == MANIFEST["feature"].keys()


def test_the_tasks():
    assert TASKS.keys() >= {"test", "demo", "bench", "wheel", "conda", "release", "check", "docs"}
    for task in TASKS.values():
        assert set(task.get("depends-on", [])) <= TASKS.keys()


@pytest.mark.parametrize("name", TASKS)
def test_a_task_calls_what_is_there(name):
    for path in re.findall(r"(?:build_scripts|recipe|examples|benchmarks|tests)/[\w./]+", TASKS[name]["cmd"]):
        assert (ROOT / path).exists(), path
