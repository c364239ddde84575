"""Packages that should hold the same binaries are told from packages that do."""

import sys

import compare_native
from artifacts.archive import open_artifact

MODULE = "zlmdb/lmdb/_native/_lmdb_cffi.abi3.so"


def run(monkeypatch, *arguments) -> int:
    monkeypatch.setattr(sys, "argv", ["compare_native.py", *map(str, arguments)])
    return compare_native.main()


def test_a_wheel_and_a_conda_package_of_the_same_binaries(package, monkeypatch, capsys):
    assert run(monkeypatch, package.wheel(), package.conda()) == 0
    table = capsys.readouterr().out
    assert table.count("2 copies, equal") == 2
    assert "_lmdb_cffi.abi3.so" in table


def test_one_byte_of_difference_is_found(package, monkeypatch, capsys):
    wheel = package.wheel()
    package.set(MODULE, package.files[MODULE][0] + b"\0")
    assert run(monkeypatch, wheel, package.conda()) == 1
    assert "_lmdb_cffi.abi3.so: 2 copies, DIFFERENT" in capsys.readouterr().out


def test_modules_for_different_pythons_are_not_compared(package):
    artifacts = [open_artifact(package.wheel())]
    package.files = {
        file.replace("abi3.so", "pypy311-pp73-any-linux-gnu.so"): entry
        for file, entry in package.files.items()
        if not file.endswith(("WHEEL", "RECORD"))
    }
    package.tag = package.tag.replace("cp311-abi3", "pp311-pypy311_pp73")
    lines, equal = compare_native.compare([*artifacts, open_artifact(package.wheel())])
    assert equal == [True]
    assert sorted(line.partition(": ")[2] for line in lines if not line.startswith(" ")) == [
        "2 copies, equal",
        "one copy, nothing to compare with",
        "one copy, nothing to compare with",
    ]


def test_nothing_to_compare_is_no_proof(package, monkeypatch, capsys):
    assert run(monkeypatch, package.wheel()) == 1
    assert "no native file is in more than one" in capsys.readouterr().err


def test_a_folder_stands_for_its_packages(package, monkeypatch, tmp_path):
    package.wheel()
    package.conda()
    (package.folder / "SHA256SUMS").write_text("")
    assert run(monkeypatch, package.folder) == 0


def test_an_unreadable_package_is_named(monkeypatch, tmp_path, capsys):
    assert run(monkeypatch, tmp_path / "none.whl") == 1
    assert "none.whl" in capsys.readouterr().err
