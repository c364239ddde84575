"""The table of installations says where something failed, and the exit status says that something did."""

import sys

import pytest
from packaging.requirements import Requirement

from stand_ins import install_matrix
from stand_ins.install_matrix import Interpreter, MatrixError
from vendoring.pins import ROOT

SAID = """\
....F.
=== short test summary info ===
FAILED tests/lmdb/test_open.py::test_it - AssertionError: no
ERROR tests/orm/test_maps.py - ImportError
1 failed, 5 passed, 1 error in 0.12s"""


def test_a_python_may_be_in_the_root_of_another_system():
    assert Interpreter.parse("/usr/bin/python3") == Interpreter("", "/usr/bin/python3")
    python = Interpreter.parse("/srv/sid::/usr/bin/pypy3")
    assert python == Interpreter("/srv/sid", "/usr/bin/pypy3")
    assert python.command("/tmp", "true")[:2] == [str(install_matrix.ENTER_ROOT), "/srv/sid"]
    assert str(python.outside("/tmp")) == "/srv/sid/tmp"


def test_what_failed_is_named_with_its_reason():
    assert install_matrix.verdict(SAID).splitlines() == SAID.splitlines()[2:]
    assert install_matrix.verdict("") == "no output"


def test_pypy_is_not_given_what_it_brings():
    pypy = {"platform_python_implementation": "PyPy"}
    wanted = [
        requirement
        for requirement in map(Requirement, install_matrix.REQUIREMENTS)
        if not requirement.marker or requirement.marker.evaluate(pypy)
    ]
    assert "cffi" not in [requirement.name for requirement in wanted]
    assert "<6" in next(str(requirement.specifier) for requirement in wanted if requirement.name == "cbor2")


def test_the_tests_are_those_that_every_wheel_has_to_pass():
    assert install_matrix.TESTS[:2] == ["-m", "pytest"]
    for source in install_matrix.CIBUILDWHEEL["test-sources"]:
        assert (ROOT / source).exists(), source


@pytest.mark.parametrize(
    ("said", "status"),
    [("3 passed, 1 skipped in 1s", 0), (SAID, 1), ("no output", 1), ("2 passed, 1 error in 1s", 1)],
)
def test_the_exit_status_tells(monkeypatch, capsys, tmp_path, said, status):
    monkeypatch.setattr(install_matrix, "install_and_test", lambda *_: ("CPython 3.11", "zlmdb.whl", said))
    monkeypatch.setattr(sys, "argv", ["install_matrix.py", "dist", "wheelhouse", "python3"])
    assert install_matrix.main() == status
    assert capsys.readouterr().out == f"- | CPython 3.11 | zlmdb.whl | {said}\n"


def test_a_python_that_cannot_be_tested_does_not_stop_the_others(monkeypatch, capsys):
    def install_and_test(interpreter: Interpreter, *_: object) -> tuple[str, str, str]:
        if interpreter.program == "broken":
            raise MatrixError("there is no Python")
        return "CPython 3.11", "zlmdb.whl", "3 passed"

    monkeypatch.setattr(install_matrix, "install_and_test", install_and_test)
    monkeypatch.setattr(sys, "argv", ["install_matrix.py", "dist", "wheelhouse", "broken", "python3"])
    assert install_matrix.main() == 1
    assert capsys.readouterr().out.splitlines() == [
        "- |  |  | failed: there is no Python",
        "- | CPython 3.11 | zlmdb.whl | 3 passed",
    ]
