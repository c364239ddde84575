"""A release is finished and checked, or not there at all."""

import subprocess
import sys
from pathlib import Path

import pytest

import release
from release import Interpreter, ReleaseError
from source_date import source_date_epoch
from vendoring.files import sha256

PYTHON = Interpreter(sys.executable, (3, 11), "cpython-311")
TARGET = "x86_64-linux-gnu"


@pytest.fixture
def steps(monkeypatch) -> list[str]:
    """Replace the builds by steps that leave a file each, and note them."""
    done: list[str] = []

    def sdist(folder: Path, environment) -> Path:
        folder.mkdir()
        (folder / "zlmdb-1.tar.gz").write_text("sources")
        done.append("sdist")
        return folder / "zlmdb-1.tar.gz"

    def wheel(sdist, interpreter, target, folder, environment) -> Path:
        assert sdist.read_text() == "sources"
        done.append(f"{interpreter.abi} {target} {environment['SOURCE_DATE_EPOCH']}")
        return folder / f"zlmdb-1-{target}.whl"

    def repair(wheel, interpreter, folder, environment) -> None:
        (folder / wheel.name).write_text(wheel.name)

    monkeypatch.setattr(release, "build_sdist", sdist)
    monkeypatch.setattr(release, "build_wheel", wheel)
    monkeypatch.setattr(release, "repair", repair)
    monkeypatch.setattr(release, "check_all", lambda paths: True)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    return done


def test_every_interpreter_and_target_gets_a_wheel(steps, tmp_path):
    pypy = Interpreter("pypy3", (3, 11), "pypy311-pp73")
    release.release(tmp_path / "dist", [PYTHON, pypy], ["a", "b"])
    names = ["cpython-311 a", "cpython-311 b", "pypy311-pp73 a", "pypy311-pp73 b"]
    assert steps[:3] == ["sdist", *(f"{name} 1700000000" for name in names[:2])], (
        "these compile flatc, one by one"
    )
    assert sorted(steps[3:]) == [f"{name} 1700000000" for name in names[2:]]


def test_the_sums_are_those_of_the_files(steps, tmp_path):
    release.release(tmp_path / "dist", [PYTHON], [TARGET])
    lines = (tmp_path / "dist" / "SHA256SUMS").read_text().splitlines()
    sums = dict(reversed(line.split("  ")) for line in lines)
    files = {path.name for path in (tmp_path / "dist").iterdir()} - {"SHA256SUMS"}
    assert sums == {name: sha256((tmp_path / "dist" / name).read_bytes()) for name in files}
    assert list(tmp_path.iterdir()) == [tmp_path / "dist"], "nothing unfinished is left"


@pytest.mark.parametrize("failing", [PYTHON.abi, "pypy311-pp73"])
def test_a_wheel_that_cannot_be_built_stops_the_release(steps, tmp_path, monkeypatch, failing):
    wheel = release.build_wheel

    def build(sdist, interpreter, *rest) -> Path:
        if interpreter.abi == failing:
            raise ReleaseError("no compiler")
        return wheel(sdist, interpreter, *rest)

    monkeypatch.setattr(release, "build_wheel", build)
    with pytest.raises(ReleaseError, match="no compiler"):
        release.release(
            tmp_path / "dist", [PYTHON, Interpreter("pypy3", (3, 11), "pypy311-pp73")], ["a", "b"]
        )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("step", ["build_sdist", "build_wheel", "repair"])
def test_a_release_that_is_interrupted_leaves_nothing(steps, tmp_path, monkeypatch, step):
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(release, step, interrupted)
    with pytest.raises(KeyboardInterrupt):
        release.release(tmp_path / "dist", [PYTHON], [TARGET])
    assert list(tmp_path.iterdir()) == []


def test_faulty_packages_are_not_released(steps, tmp_path, monkeypatch):
    monkeypatch.setattr(release, "check_all", lambda paths: False)
    with pytest.raises(ReleaseError, match="faults"):
        release.release(tmp_path / "dist", [PYTHON], [TARGET])
    assert list(tmp_path.iterdir()) == []


def test_an_earlier_release_is_not_overwritten(steps, tmp_path):
    (tmp_path / "dist").mkdir()
    with pytest.raises(ReleaseError, match="--output"):
        release.release(tmp_path / "dist", [PYTHON], [TARGET])
    assert steps == []


def test_a_missing_tool_is_named_along_with_the_package_that_has_it(monkeypatch):
    monkeypatch.setattr(release, "find_spec", lambda name: None if name == "auditwheel" else object())
    with pytest.raises(ReleaseError, match=r"auditwheel.*\[release\]"):
        release.check_tools()


def test_a_command_that_fails_is_shown_with_its_output():
    with pytest.raises(ReleaseError, match="reason of the failure"):
        release.run([sys.executable, "-c", "import sys; sys.exit('reason of the failure')"], {})


def fake(path: Path, says: str) -> str:
    """An interpreter that says what it is."""
    path.write_text(f"#!/bin/sh\n[ '{says}' ] && echo {says}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(
    ("says", "abi3"),
    [("3.11 pypy311-pp73", False), ("3.14 cpython-314t", False), ("3.12 cpython-312", True)],
)
def test_interpreters_are_told_apart(tmp_path, says, abi3):
    interpreter = release.identify(fake(tmp_path / "python", says))
    assert (interpreter.abi, interpreter.abi3) == (says.split()[1], abi3)


@pytest.mark.parametrize(
    ("says", "reason"), [("3.10 cpython-310", "is Python 3.10; .* 3.11 or newer"), ("", "no working Python")]
)
def test_an_interpreter_that_cannot_be_used_is_refused(tmp_path, says, reason):
    with pytest.raises(ReleaseError, match=reason):
        list(release.interpreters([fake(tmp_path / "python", says)]))


def test_two_that_make_the_same_wheels_are_refused(tmp_path):
    program = fake(tmp_path / "python3.12", "3.12 cpython-312")
    with pytest.raises(ReleaseError, match=r"python3\.12 make the same wheels"):
        list(release.interpreters([program]))


def test_every_binary_interface_is_looked_for_on_the_path(monkeypatch, tmp_path, capsys):
    fake(tmp_path / "pypy3", "3.11 pypy311-pp80")
    fake(tmp_path / "pypy3.11", "3.11 pypy311-pp73")
    monkeypatch.setenv("PATH", str(tmp_path))
    _, *others = release.interpreters([fake(tmp_path / "mine", "3.14 cpython-314t")])
    assert [interpreter.abi for interpreter in others] == ["cpython-314t", "pypy311-pp73", "pypy311-pp80"]
    assert capsys.readouterr().out == ""


def test_a_wheel_that_cannot_be_made_is_announced(monkeypatch, tmp_path, capsys):
    fake(tmp_path / "pypy3", "3.9 pypy39-pp73")  # too old, but nobody asked for it
    monkeypatch.setenv("PATH", str(tmp_path))
    assert len(list(release.interpreters([]))) == 1
    announced = capsys.readouterr().out
    for kind in ("PyPy 7.3", "PyPy 8.0", "CPython 3.14 without a GIL"):
        assert f"no wheel for {kind}" in announced


def test_the_time_in_the_packages_is_that_of_the_commit(monkeypatch, tmp_path):
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    (tmp_path / "PKG-INFO").write_text("")
    assert source_date_epoch(tmp_path) == str(int((tmp_path / "PKG-INFO").stat().st_mtime))
    identity = ["-c", "user.name=x", "-c", "user.email=x"]
    monkeypatch.setenv("GIT_COMMITTER_DATE", "1600000000 +0000")
    for command in (["init", "-q"], [*identity, "commit", "-q", "--allow-empty", "-m", "x"]):
        subprocess.run(["git", "-C", tmp_path, *command], check=True)
    assert source_date_epoch(tmp_path) == "1600000000"
