"""The workflows are valid, and an action that is changed behind our back, or a stolen token, harms little."""

import re
import subprocess
import sys

import pytest
from ruamel.yaml import YAML

from vendoring.pins import ROOT

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
WRITE_PERMISSIONS = {("release.yml", "publish"): {"id-token": "write"}}


def load(path) -> dict:
    return YAML(typ="safe").load(path)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_is_valid(path):
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows", path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned_by_commit(path):
    used = re.findall(r"uses: (\S+)(.*)", path.read_text())
    assert used
    for action, comment in used:
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", action)
        assert re.fullmatch(r" # v\d+\.\d+\.\d+", comment), f"{action}: which version is this?"


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_job_may_do_no_more_than_it_must(path):
    workflow = load(path)
    assert workflow["permissions"] == {}
    for name, job in workflow["jobs"].items():
        expected = WRITE_PERMISSIONS.get((path.name, name), {"contents": "read"})
        assert job["permissions"] == expected, name


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_checkout_leaves_no_credentials_behind(path):
    for job in load(path)["jobs"].values():
        for step in job["steps"]:
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False


def test_nothing_is_published_that_was_not_proven():
    jobs = load(ROOT / ".github" / "workflows" / "release.yml")["jobs"]
    assert jobs["publish"]["needs"] == "identical"
    assert set(jobs["identical"]["needs"]) == {"packages", "wheels", "conda"}
    assert jobs["publish"]["if"] == "github.event_name == 'push'"


def test_scripts_that_workflows_run_exist():
    for path in WORKFLOWS:
        for script in re.findall(r"\b(?:build_scripts|recipe)/[\w.]+\.\w+", path.read_text()):
            assert (ROOT / script).is_file(), script
        for script in re.findall(r"run: (\.ci/\w+)", path.read_text()):
            assert (ROOT / script).stat().st_mode & 0o111, script
