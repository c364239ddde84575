"""A version is stated in one place. Where a tool cannot read it there, the copy is compared with it."""

import re
import subprocess
import sys
import tomllib
from itertools import chain

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from ruamel.yaml import YAML

import requirements
import zlmdb
from artifacts.platforms import CONDA_GLIBC
from requirements import EXTRAS, OLDEST_PYTHON, PROJECT, TOOLS, ZIG
from vendoring.pins import ROOT

BUILD = ROOT / "build_scripts"
PIXI = tomllib.loads((ROOT / "pixi.toml").read_text())
VARIANTS = YAML(typ="safe").load(ROOT / "recipe" / "variants.yaml")
RECIPE = YAML(typ="safe").load(ROOT / "recipe" / "recipe.yaml")
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
RENAMED = {"python-build": "build"}
"""Names of conda-forge, where they differ from PyPI's."""


def pixi_pins() -> dict[str, str]:
    """The version of each package in pixi.toml."""
    tables = [PIXI, PIXI["feature"]["packages"], PIXI["feature"]["docs"]]
    pins = chain.from_iterable(
        table.get(kind, {}).items() for table in tables for kind in ("dependencies", "pypi-dependencies")
    )
    return {RENAMED.get(name, name): pin for name, pin in pins if isinstance(pin, str)}


def texts(*patterns: str) -> dict[str, str]:
    """The texts of the project's files that match, by name."""
    return {
        str(path.relative_to(ROOT)): path.read_text() for pattern in patterns for path in ROOT.glob(pattern)
    }


def exact(requirement: Requirement) -> str:
    """The version of a requirement that allows no other: `0.17.1`, `2.4.*`."""
    (specifier,) = requirement.specifier
    assert specifier.operator == "==", requirement
    return specifier.version


PINNED = [
    Requirement(each)
    for name, group in TOOLS.items()
    if name != "artifacts"  # These judge what is built; any newer one will do.
    for each in group
]


@pytest.mark.parametrize("requirement", PINNED, ids=lambda requirement: requirement.name)
def test_pixi_has_the_same_versions(requirement):
    pinned = pixi_pins()[requirement.name]
    assert pinned.removeprefix("==").removesuffix(".*") == exact(requirement).removesuffix(".*")


@pytest.mark.parametrize("name", sorted(EXTRAS))
def test_pixi_has_versions_that_an_extra_accepts(name):
    pins = pixi_pins()
    for requirement in map(Requirement, EXTRAS[name]):
        pin = pins.get(requirement.name, "*")
        lowest = re.search(r"\d+(\.\d+)*", pin)
        # `9.2.*` is taken for its newest: what is asked for is never more than a release of this series.
        assert not lowest or SpecifierSet(str(requirement.specifier)).contains(f"{lowest[0]}.999"), (
            requirement
        )


def test_the_recipe_has_the_versions_of_the_build():
    listed = [Requirement(each) for each in RECIPE["requirements"]["build"] if "$" not in each]
    recipe = {requirement.name: str(requirement.specifier) for requirement in listed}
    # The later of two wins: the release toolchain comes last.
    wanted = {
        each.name: str(each.specifier) for each in map(Requirement, [*requirements.of_the_build(), *ZIG])
    }
    assert wanted == {name: recipe[name] for name in wanted}


def test_the_same_requirement_has_the_same_bounds_everywhere():
    stated: dict[str, set[str]] = {}
    lists = [PROJECT["build-system"]["requires"], PROJECT["project"]["dependencies"], *EXTRAS.values()]
    overrides = [each for each in requirements.of_the_build() if each not in ZIG]
    for requirement in map(Requirement, chain(overrides, *lists)):
        if requirement.specifier and '== "PyPy"' not in str(requirement.marker):
            stated.setdefault(requirement.name, set()).add(str(requirement.specifier))
    assert {name: bounds for name, bounds in stated.items() if len(bounds) > 1} == {}


def test_pins_stand_nowhere_else():
    """What is pinned exactly is pinned in pyproject.toml, and in the two files that are compared with it."""
    names = "|".join(re.escape(requirement.name) for requirement in PINNED)
    pin = re.compile(rf"\b(?:{names})\s*={{1,2}}\s*[\"']?={{0,2}}\d[\w.*]*")
    for file, text in texts(
        "build_scripts/**/*.*", ".github/workflows/*.yml", ".ci/*", "tests/packaging/**/*.py", "**/*.md"
    ).items():
        assert pin.findall(text) == [], file


def test_workflows_install_tools_by_the_name_of_their_group():
    used = []
    for path in WORKFLOWS:
        used += re.findall(r"requirements\.py (.+)", path.read_text())
        for arguments in re.findall(r"pip install (.*)", path.read_text()):
            assert re.fullmatch(r"-e '\.\[\w+\]'", arguments), f"{path.name}: {arguments}"
    assert used
    assert set(used) <= TOOLS.keys()


def test_an_action_has_one_version():
    versions: dict[str, set[str]] = {}
    for path in WORKFLOWS:
        for action, commit in re.findall(r"uses: (\S+)@(.+)", path.read_text()):
            versions.setdefault(action, set()).add(commit)
    assert {action: commits for action, commits in versions.items() if len(commits) > 1} == {}


def test_the_version_of_the_project():
    newest = re.search(r"^## \[([\d.]+)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest[1] == zlmdb.__version__
    assert RECIPE["context"]["version"] == zlmdb.__version__
    for file, text in texts("pyproject.toml", "pixi.toml", "build_scripts/**/*.*").items():
        assert zlmdb.__version__ not in text, f"{file} states the version once more"


def test_the_oldest_python():
    oldest = ".".join(map(str, OLDEST_PYTHON))
    short = oldest.replace(".", "")
    assert PROJECT["tool"]["scikit-build"]["wheel"]["py-api"] == f"cp{short}"
    assert PROJECT["tool"]["ruff"]["target-version"] == f"py{short}"
    assert PROJECT["tool"]["mypy"]["python_version"] == oldest
    assert PROJECT["tool"]["cibuildwheel"]["build"][0] == f"cp{short}-*"
    assert VARIANTS["python_min"] == VARIANTS["python"] == [oldest]
    assert PIXI["dependencies"]["python"] == PROJECT["project"]["requires-python"]


def test_the_oldest_c_library():
    zig = re.search(r"ZLMDB_GLIBC ([\d.]+)", (BUILD / "toolchains" / "zig.cmake").read_text())
    assert VARIANTS["c_stdlib_version"] == [zig[1]]
    assert ".".join(map(str, CONDA_GLIBC)) == zig[1]


def test_the_oldest_cmake():
    stated = {
        re.search(r"cmake_minimum_required\(VERSION ([\d.]+)\)", text)[1]
        for text in texts("build_scripts/**/CMakeLists.txt").values()
    }
    assert stated == {re.search(r"cmake >=([\d.]+)", (ROOT / "recipe" / "recipe.yaml").read_text())[1]}


def test_a_missing_tool_is_named_along_with_what_installs_it(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["build_scripts/check_artifact.py"])
    with pytest.raises(SystemExit) as ended, requirements.needed("artifacts"):
        import there_is_no_such_package  # noqa: F401
    message = str(ended.value)
    assert message.startswith("check_artifact.py: the package there_is_no_such_package is missing")
    assert "requirements.py artifacts" in message


def test_the_tools_of_a_group_are_installed(monkeypatch):
    commands = []

    def run(command, *, check):
        commands.append(command)
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(sys, "argv", ["requirements.py", "wheels", "zig"])
    assert requirements.main() == 0
    assert commands == [[sys.executable, "-m", "pip", "install", "-q", *TOOLS["wheels"], *ZIG]]
