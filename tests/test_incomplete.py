"""An import or a call that fails for a part that is not there says why, and what helps where zLMDB runs."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

import pytest

import zlmdb
from zlmdb import _flatc, _installation
from zlmdb.flatbuffers import _check

PACKAGE = Path(zlmdb.__file__).parent
NATIVE = "zlmdb.lmdb._native._lmdb_cffi"


def importing(run_python, *, name, frozen=False, reason=None):
    """Import the binding where module `name` is missing, or fails for a reason; return what is said."""
    done = run_python(
        "-c",
        "import sys\n"
        f"name, reason = {name!r}, {reason!r}\n"
        "if reason is None:\n"
        "    sys.modules[name] = None\n"
        "class Failing:\n"
        "    @staticmethod\n"
        "    def find_spec(wanted, *args):\n"
        "        if wanted == name:\n"
        "            raise ImportError(reason, name=name)\n"
        "sys.meta_path.insert(0, Failing)\n"
        f"if {frozen}:\n"
        "    sys.frozen = True\n"
        "try:\n"
        "    import zlmdb.lmdb\n"
        "except ImportError as error:\n"
        "    assert error.name == error.__cause__.name == name\n"
        "    assert str(error.__cause__) in str(error)\n"
        "    print(error)\n",
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_without_cffi(run_python):
    said = importing(run_python, name="_cffi_backend")
    assert said.startswith("zlmdb needs cffi: ")
    assert "pip install --force-reinstall cffi" in said
    assert "frozen" not in said
    assert "-e ." not in said


def test_without_the_native_module(run_python):
    said = importing(run_python, name=NATIVE)
    assert said.startswith("zlmdb's native module is not built here: ")
    assert "pip install -e ." in said
    assert "frozen" not in said


@pytest.mark.parametrize("name", ["_cffi_backend", NATIVE])
def test_frozen_without_a_module(run_python, name):
    said = importing(run_python, name=name, frozen=True)
    assert "This program was frozen without it." in said
    assert f"--hidden-import {name}" in said
    assert f"--include-module={name}" in said
    assert "pip install" not in said


@pytest.mark.parametrize("frozen", [False, True])
def test_a_native_module_that_does_not_load_is_not_called_missing(run_python, frozen):
    said = importing(run_python, name=NATIVE, frozen=frozen, reason="version `GLIBC_2.99' not found")
    assert said.startswith("zlmdb's native module cannot be loaded: version `GLIBC_2.99' not found.")
    assert "not built" not in said
    assert "frozen" not in said


def test_in_a_zip_archive(run_python, tmp_path):
    program = tmp_path / "program.zip"
    with zipfile.ZipFile(program, "w") as archive:
        for path in PACKAGE.rglob("*.py"):
            archive.write(path, path.relative_to(PACKAGE.parent))
    places = [each for each in sys.path if each and Path(each) != PACKAGE.parent]
    done = run_python(
        "-S",  # without the import hook of an editable installation
        "-c",
        f"import sys; sys.path[:] = [{str(program)!r}, *{places}]\n"
        "import zlmdb, zlmdb._flatc\n"
        "for use in (lambda: zlmdb.lmdb), zlmdb._flatc.get_flatc_path:\n"
        "    try:\n"
        "        use()\n"
        "    except (ImportError, FileNotFoundError) as error:\n"
        "        print(error)\n",
    )
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    assert len(said) == 2
    for line in said:
        assert f"zlmdb is imported from the archive {program}" in line
        assert "unpack the archive" in line
        assert "reinstall" not in line


def test_frozen_without_a_file(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    monkeypatch.setattr(_flatc, "__file__", str(tmp_path / "__init__.py"))
    with pytest.raises(
        FileNotFoundError, match=r"no file .*flatc\. This program was frozen without it.*docs/frozen"
    ):
        _flatc.get_flatc_path()
    monkeypatch.undo()
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    with pytest.raises(
        FileNotFoundError, match=r"no file .*bfbs\. This program was frozen without it.*docs/frozen"
    ):
        _check.check_versions(tmp_path)


def test_the_guide_that_messages_name_exists():
    page = _installation.GUIDE.partition("/blob/HEAD/")[2]
    assert (PACKAGE.parent / page).is_file() or not (PACKAGE.parent / "pyproject.toml").exists()
