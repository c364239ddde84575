"""The files of `zlmdb.flatbuffers` that the build makes."""

import hashlib
from pathlib import Path

import pytest

from flatbuffers_files import bind_imports, make
from vendoring.pins import Vendor
from zlmdb import _flatc

VENDOR = Vendor()
VERSION = VENDOR.load("flatbuffers").version


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "flatbuffers"
    make(_flatc.get_flatc_path(), VENDOR.source("flatbuffers"), VERSION, folder)
    return folder


def test_the_runtime_is_the_stock_one(made):
    for module in (VENDOR.source("flatbuffers") / "python" / "flatbuffers").glob("*.py"):
        assert (made / module.name).read_bytes() == module.read_bytes()


def test_no_file_of_ours_is_overwritten(made):
    assert not (made / "__init__.py").exists()


def test_the_binary_schema_is_byte_identical_to_the_published_one(made):
    digest = hashlib.sha256((made / "reflection.bfbs").read_bytes()).hexdigest()
    assert digest == "99f444a005ffba1098a6ea2a64d55f637408b91c76129d4c08d986f368f7c752"


def test_the_version_of_the_tree_is_recorded(made):
    assert (made / "_git_version.py").read_text() == f'__git_version__ = "v{VERSION}"\n'


def test_making_them_again_leaves_no_stale_file(made):
    (made / "reflection" / "Gone.py").write_text("")
    make(_flatc.get_flatc_path(), VENDOR.source("flatbuffers"), VERSION, made)
    assert not (made / "reflection" / "Gone.py").exists()


def test_generated_modules_import_nothing_from_outside_the_package(made):
    modules = sorted(path.name for path in (made / "reflection").glob("*.py"))
    assert len(modules) == 13
    for module in modules:
        for line in (made / "reflection" / module).read_text().splitlines():
            words = line.split()
            if words[:1] in (["import"], ["from"]):
                assert words[0] == "from", f"{module}: {line}"
                assert words[1].startswith((".", "zlmdb")), f"{module}: {line}"


def test_imports_are_bound_to_the_package():
    code = "import flatbuffers\nfrom flatbuffers.compat import import_numpy\nnp = import_numpy()\n"
    code += "        from reflection.KeyValue import KeyValue\n"
    expected = "from zlmdb import flatbuffers\nfrom zlmdb.flatbuffers.compat import import_numpy\n"
    expected += "np = import_numpy()\n"
    expected += "        from .KeyValue import KeyValue\n"
    assert bind_imports(code) == expected
