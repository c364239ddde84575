"""The pins of zLMDB itself, and the files that they pin."""

import shutil
import subprocess
from shutil import which

import pytest

from vendoring.errors import VendorError
from vendoring.files import sha256
from vendoring.pins import ROOT, Vendor
from vendoring.prefixes import ENGINES, build_prefixes
from vendoring.sources import patched_tree, verify

VENDOR = Vendor()
NAMES = ["flatbuffers", "lmdb-0.9", "lmdb-1.0"]


def test_all_components_are_pinned():
    assert VENDOR.names() == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_the_files_in_place_are_the_pinned_ones(name):
    verify(VENDOR, VENDOR.load(name))


@pytest.mark.parametrize("name", NAMES)
def test_a_pin_says_what_a_bill_of_materials_needs(name):
    pin = VENDOR.load(name)
    assert pin.license in {"OLDAP-2.8", "Apache-2.0"}
    assert pin.homepage.startswith("https://")
    assert "LICENSE" in pin.license_files
    assert any(origin.sdist and origin.sha256 for origin in pin.origins)
    assert pin.origins[-1].archive, "the upstream archive is the last resort"
    assert pin.version in pin.origins[-1].archive


@pytest.mark.parametrize(("name", "version"), [("lmdb-0.9", (0, 9, 36)), ("lmdb-1.0", (1, 0, 2))])
def test_the_engines_are_of_the_pinned_versions(name, version):
    pin = VENDOR.load(name)
    assert pin.version == ".".join(map(str, version))
    header = patched_tree(VENDOR, pin)["lmdb.h"].decode()
    for part, number in zip(("MAJOR", "MINOR", "PATCH"), version, strict=True):
        assert f"#define MDB_VERSION_{part}\t{number}\n" in header


@pytest.mark.parametrize("name", ["lmdb-0.9", "lmdb-1.0"])
def test_the_hardening_series_is_in_effect(name):
    pin = VENDOR.load(name)
    assert pin.series[0] == "patches/env-copy-txn.patch"
    assert set(pin.series) == {file for file in pin.files if file.endswith(".patch")}, "no patch is left out"
    engine = patched_tree(VENDOR, pin)["mdb.c"].decode("latin-1")
    assert "mdb_env_copyfd3(" in engine
    assert engine != (VENDOR.source(name) / "mdb.c").read_text(encoding="latin-1")


OWN_PATCHES = sorted((ROOT / "vendor" / "patches").iterdir())


@pytest.mark.parametrize("path", OWN_PATCHES, ids=lambda path: path.name)
def test_a_patch_of_our_own_says_why_it_exists_how_it_was_verified_and_whether_upstream_has_it(path):
    opening, _, _ = path.read_text(encoding="latin-1").partition("\n--- ")
    for word in ("Why", "Verified", "Forwarded"):
        assert f"\n{word}: " in opening


@pytest.mark.parametrize("path", OWN_PATCHES, ids=lambda path: path.name)
def test_a_patch_of_our_own_is_in_the_table_with_the_engines_that_it_changes(path):
    marks = " | ".join("●" if path.name in VENDOR.load(name).own else "" for name in ENGINES)
    table = (ROOT / "docs" / "vendoring.md").read_text(encoding="utf-8")
    assert f"| `{path.stem}` | {marks} | ".replace("|  |", "| |") in table


@pytest.mark.parametrize("name", ENGINES)
def test_an_engine_builds_after_each_patch_of_our_own(name):
    pin = VENDOR.load(name)
    reported: list[str] = []
    build_prefixes(VENDOR, pin, ["cc"], reported.append, quick=True)
    assert len(reported) == len(pin.own) + 1


def test_a_patch_after_which_an_engine_does_not_build_is_named(tmp_path):
    vendor = Vendor(tmp_path)
    shutil.copytree(VENDOR.folder, vendor.folder)
    name = "0002-grow-the-map.patch"
    text = vendor.patch_path(name).read_text()
    vendor.patch_path(name).write_text(text.replace("zl_map_grow(env, pgno + num)", "no_such_function(env)"))
    with pytest.raises(
        VendorError, match=rf"lmdb-0\.9 after {name} does not build:\n(.|\n)*no_such_function"
    ):
        build_prefixes(vendor, vendor.load("lmdb-0.9"), ["cc"], lambda line: None, quick=True)


@pytest.mark.skipif(
    not (ROOT / ".git").exists() or not which("git"), reason="only git knows what is committed"
)
def test_no_third_party_or_binary_file_is_committed():
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    committed = [path for name in listing.decode().split("\0") if name and (path := ROOT / name).is_file()]
    assert ROOT / "pyproject.toml" in committed
    pinned = {digest for pin in VENDOR.pins() for digest in [*pin.files.values(), *pin.patched.values()]}
    for path in committed:
        content = path.read_bytes()
        assert b"\0" not in content, f"{path} is binary"
        assert sha256(content) not in pinned, f"{path} is a third-party file"
