"""The build does without the stand-ins, and no script reaches into the private parts of another."""

import ast
from pathlib import Path

import pytest

from vendoring.pins import ROOT

BUILD = ROOT / "build_scripts"
STAND_INS = BUILD / "stand_ins"
SCRIPTS = sorted(BUILD.rglob("*.py"))
CONFIGURATION = [
    *(ROOT / ".github" / "workflows").glob("*.yml"),
    *(ROOT / "recipe").iterdir(),
    *(ROOT / name for name in (".ci/run", "pixi.toml", "pyproject.toml", "build_scripts/CMakeLists.txt")),
]


def imported(code: str) -> set[str]:
    """Modules that a script imports, and names that it imports from them, with their dots."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module or ''}.{alias.name}" for alias in node.names}
    return names


def foreign_private(code: str) -> list[str]:
    """Private attributes of what is neither `self` nor `cls`, and private names of other modules."""
    uses = [
        ast.unparse(node)
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.endswith("__")
    ]
    uses = [use for use in uses if not use.startswith(("self._", "cls._"))]
    return uses + [name for name in imported(code) if name.rpartition(".")[2].startswith("_")]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: str(path.relative_to(BUILD)))
def test_no_script_reaches_into_another(script):
    assert foreign_private(script.read_text()) == []


@pytest.mark.parametrize(
    "script", [path for path in SCRIPTS if path.parent != STAND_INS], ids=lambda path: path.name
)
def test_the_build_does_without_the_stand_ins(script):
    names = {path.stem for path in STAND_INS.glob("*.py") if path.stem != "__init__"} | {"stand_ins"}
    assert [name for name in imported(script.read_text()) if names & set(name.split("."))] == []


@pytest.mark.parametrize("path", CONFIGURATION, ids=lambda path: path.name)
def test_nothing_that_releases_runs_a_stand_in(path: Path):
    assert "stand_ins" not in path.read_text()


@pytest.mark.parametrize(
    "code", ["import release\nrelease._run()", "from release import _run", "other.part._x = 1"]
)
def test_an_intrusion_is_found(code):
    assert len(foreign_private(code)) == 1


def test_every_script_of_the_stand_ins_is_described():
    text = (STAND_INS / "README.md").read_text()
    for path in STAND_INS.iterdir():
        if path.is_file() and path.name not in {"README.md", "__init__.py"}:
            assert f"`{path.name}`" in text, path.name
