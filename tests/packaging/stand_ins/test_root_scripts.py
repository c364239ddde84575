"""The scripts that work with roots of other systems say what they need, before they do anything."""

import os
import subprocess
from pathlib import Path

import pytest

from vendoring.pins import ROOT

SCRIPTS = {
    "make_root.sh": (["sid", "{new}", "python3"], "debootstrap"),
    "cibuildwheel_local.sh": (["{root}", "cp311-cp311=/usr/bin/python3"], "podman"),
    "enter_root.sh": (["{arm64}", "true"], "qemu-user-static"),
}
"""Arguments of a use that makes sense, and the package without which it cannot be."""
NEEDED = ("sh", "cat", "dirname", "ls", "uname")


@pytest.fixture
def bare(tmp_path) -> Path:
    """A folder with the few programs that every system has, and a name for each of the arguments."""
    (tmp_path / "bin").mkdir()
    for name in NEEDED:
        program = next(path for folder in ("/usr/bin", "/bin") if (path := Path(folder, name)).exists())
        (tmp_path / "bin" / name).symlink_to(program)
    (tmp_path / "root").mkdir()
    (tmp_path / "arm64" / "lib").mkdir(parents=True)
    (tmp_path / "arm64" / "lib" / "ld-linux-aarch64.so.1").write_text("")
    (tmp_path / "musl" / "lib").mkdir(parents=True)
    (tmp_path / "musl" / "lib" / "ld-musl-aarch64.so.1").write_text("")
    return tmp_path


def run(script: str, bare: Path, words: list[str]) -> subprocess.CompletedProcess[str]:
    folders = {name: bare / name for name in ("new", "root", "arm64", "musl")}
    arguments = [word.format(**folders) for word in words]
    environment = {"PATH": str(bare / "bin"), "HOME": os.environ.get("HOME", "/")}
    command = ["/bin/sh", str(ROOT / "build_scripts" / "stand_ins" / script), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_missing_tool_is_named_along_with_the_package_that_has_it(script, bare):
    if script == "enter_root.sh" and os.uname().machine == "aarch64":
        pytest.skip("this machine needs no emulator for ARM64")
    words, package = SCRIPTS[script]
    done = run(script, bare, words)
    assert done.returncode == 1
    assert f"{script}: " in done.stderr
    assert f"the system's package {package} has it" in done.stderr


def test_a_root_for_another_machine_is_known_by_either_c_library(bare):
    if os.uname().machine == "aarch64":
        pytest.skip("this machine needs no emulator for ARM64")
    done = run("enter_root.sh", bare, ["{musl}", "true"])
    assert "qemu-aarch64-static is missing" in done.stderr


@pytest.mark.parametrize("script", ["make_root.sh", "cibuildwheel_local.sh"])
def test_too_few_arguments(script, bare):
    done = run(script, bare, [])
    assert done.returncode == 2
    assert done.stderr.startswith(f"usage: {script} ")


def test_a_root_that_is_there_is_not_overwritten(bare):
    done = run("make_root.sh", bare, ["sid", "{root}", "python3"])
    assert done.returncode == 2
    assert list((bare / "root").iterdir()) == []
