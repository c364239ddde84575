"""The stand-in for `pixi run` runs what pixi would: each task once, after what it depends on."""

import sys
import tomllib

import pytest

from stand_ins import pixi_run
from vendoring.pins import ROOT

MANIFEST = tomllib.loads((ROOT / "pixi.toml").read_text())


def test_dependencies_run_first_and_once():
    tasks = {"a": {"depends-on": ["b", "c"]}, "b": {"depends-on": ["c"]}, "c": {}}
    assert list(pixi_run.in_order(tasks, "a")) == ["c", "b", "a"]


def test_a_circle_is_refused():
    with pytest.raises(ValueError, match="a -> b -> a"):
        list(pixi_run.in_order({"a": {"depends-on": ["b"]}, "b": {"depends-on": ["a"]}}, "a"))


def test_a_task_that_fails_ends_the_run(tmp_path, monkeypatch, capfd):
    (tmp_path / "pixi.toml").write_text(
        "activation.env = { GREETING = 'hello' }\n"
        "[tasks]\nfirst = { cmd = 'echo $GREETING' }\n"
        "[feature.more.tasks]\nsecond = { cmd = 'exit 3', depends-on = ['first'] }\n"
    )
    monkeypatch.setattr(pixi_run, "ROOT", tmp_path)
    monkeypatch.setattr(sys, "argv", ["pixi_run.py", "second"])
    assert pixi_run.main() == 3
    assert "hello" in capfd.readouterr().out


def test_every_task_is_known():
    tables = [MANIFEST, *MANIFEST["feature"].values()]
    names = {name for table in tables for name in table.get("tasks", {})}
    assert pixi_run.read_tasks(MANIFEST).keys() == names
