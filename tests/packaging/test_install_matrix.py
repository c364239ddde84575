"""The table of installations says where something failed, and the exit status says that something did."""

import sys

import pytest

import install_matrix
from install_matrix import MatrixError, Place

SAID = """\
....F.
=== short test summary info ===
FAILED tests/lmdb/test_open.py::test_it - AssertionError: no
ERROR tests/orm/test_maps.py - ImportError
1 failed, 5 passed, 1 error in 0.12s"""


def test_a_place_may_be_in_the_root_of_another_system():
    assert Place.parse("/usr/bin/python3") == Place("", "/usr/bin/python3")
    place = Place.parse("/srv/sid::/usr/bin/pypy3")
    assert place == Place("/srv/sid", "/usr/bin/pypy3")
    assert place.command("/tmp", "true")[:2] == [str(install_matrix.ENTER_ROOT), "/srv/sid"]
    assert str(place.outside("/tmp")) == "/srv/sid/tmp"


def test_what_failed_is_named_with_its_reason():
    assert install_matrix._verdict(SAID).splitlines() == SAID.splitlines()[2:]
    assert install_matrix._verdict("") == "no output"


def test_pypy_is_not_given_what_it_brings(monkeypatch):
    monkeypatch.setattr(install_matrix, "_run", lambda command: "PyPy 3.11.11 x86_64")
    _, requirements = install_matrix.identify(Place("", "pypy3"))
    assert "cffi" not in requirements
    assert "cbor2<6" in requirements


@pytest.mark.parametrize(
    ("said", "status"),
    [("3 passed, 1 skipped in 1s", 0), (SAID, 1), ("no output", 1), ("2 passed, 1 error in 1s", 1)],
)
def test_the_exit_status_tells(monkeypatch, capsys, tmp_path, said, status):
    monkeypatch.setattr(install_matrix, "try_place", lambda *_: ("CPython 3.11", "zlmdb.whl", said))
    monkeypatch.setattr(sys, "argv", ["install_matrix.py", "dist", "wheelhouse", "python3"])
    assert install_matrix.main() == status
    assert capsys.readouterr().out == f"- | CPython 3.11 | zlmdb.whl | {said}\n"


def test_a_place_that_cannot_be_tested_does_not_stop_the_others(monkeypatch, capsys):
    def try_place(place: Place, *_: object) -> tuple[str, str, str]:
        if place.python == "broken":
            raise MatrixError("there is no Python")
        return "CPython 3.11", "zlmdb.whl", "3 passed"

    monkeypatch.setattr(install_matrix, "try_place", try_place)
    monkeypatch.setattr(sys, "argv", ["install_matrix.py", "dist", "wheelhouse", "broken", "python3"])
    assert install_matrix.main() == 1
    assert capsys.readouterr().out.splitlines() == [
        "- |  |  | failed: there is no Python",
        "- | CPython 3.11 | zlmdb.whl | 3 passed",
    ]
