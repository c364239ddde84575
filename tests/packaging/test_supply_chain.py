"""What a package says about its contents is what the pins say, and valid to others' tools."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

import supply_chain
from artifacts.archive import NOTICE, SBOM
from requirements import LICENSE_EXPRESSION
from vendoring.files import sha256
from vendoring.pins import ROOT, Vendor
from zlmdb import _flatc
from zlmdb.lmdb import _native

VENDOR = Vendor()
PINS = VENDOR.pins()


@pytest.fixture(scope="module")
def sbom() -> dict:
    return supply_chain.bill_of_materials(VENDOR, "1.2.3", zig="0.17.1")


@pytest.fixture(scope="module")
def components(sbom) -> dict:
    return {component["bom-ref"]: component for component in sbom["components"]}


def hashes(component: dict) -> dict:
    return {file["name"]: file["hashes"][0]["content"] for file in component["components"]}


def test_the_bill_of_materials_is_valid_cyclonedx(sbom):
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(sbom)) is None


def test_it_depends_on_nothing_but_the_pins(sbom):
    assert sbom == supply_chain.bill_of_materials(VENDOR, "1.2.3", zig="0.17.1")
    assert (
        sbom["serialNumber"] != supply_chain.bill_of_materials(VENDOR, "1.2.4", zig="0.17.1")["serialNumber"]
    )


@pytest.mark.parametrize("pin", PINS, ids=lambda pin: pin.name)
def test_every_pinned_file_is_listed_with_its_hash(components, pin):
    component = components[pin.name]
    properties = {each["name"]: each["value"] for each in component.get("properties", [])}
    patches = {name: properties[f"zlmdb:patch:{pin.name}/{name}"] for name in pin.series}
    assert {**hashes(component), **patches} == pin.files


@pytest.mark.parametrize("pin", PINS, ids=lambda pin: pin.name)
def test_every_patch_is_listed_in_order(components, pin):
    listed = components[pin.name].get("pedigree", {}).get("patches", [])
    names = [patch["diff"]["url"].rpartition("/")[2] for patch in listed]
    assert names == [name.rpartition("/")[2] for name in pin.series] + list(pin.own)


@pytest.mark.parametrize("pin", PINS, ids=lambda pin: pin.name)
def test_our_own_patches_are_listed_as_they_are(components, pin):
    properties = {each["name"]: each["value"] for each in components[pin.name].get("properties", [])}
    for name in pin.own:
        listed = properties[f"zlmdb:patch:vendor/patches/{name}"]
        assert listed == sha256(VENDOR.patch_path(name).read_bytes())


def test_patches_name_the_vulnerabilities_that_they_close(components):
    resolved = {
        issue["id"]
        for patch in components["lmdb-0.9"]["pedigree"]["patches"]
        for issue in patch.get("resolves", [])
    }
    assert resolved == {f"CVE-2019-1622{number}" for number in range(4, 9)}


def test_the_runtime_that_zig_links_in_is_listed_if_zig_links_it_in(components):
    assert "llvm-runtimes" in components
    other = supply_chain.bill_of_materials(VENDOR, "1.2.3", zig="")
    assert "llvm-runtimes" not in [component["bom-ref"] for component in other["components"]]


@pytest.mark.parametrize("pin", PINS, ids=lambda pin: pin.name)
def test_the_notice_names_version_and_licence(pin):
    notice = supply_chain.notice(PINS, "1.2.3")
    (paragraph,) = [each for each in notice.split("\n\n") if f" {pin.version} " in each]
    assert pin.license in paragraph
    for file in pin.license_files:
        assert f"{pin.name}/{file}" in paragraph


def test_the_licence_texts_are_the_pinned_ones():
    files = supply_chain.files(VENDOR, "1.2.3", zig="")
    for pin in PINS:
        for file in pin.license_files:
            assert sha256(files[f"licenses/{pin.name}/{file}"]) == pin.files[file]
    assert {NOTICE, SBOM} < files.keys()


def test_the_licence_of_the_whole_is_that_of_the_parts():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["license"] == LICENSE_EXPRESSION
    assert set(LICENSE_EXPRESSION.split(" AND ")) == {"MIT", *(pin.license for pin in PINS)}


def test_the_binaries_themselves_state_the_pinned_versions():
    versions = {pin.name: pin.version for pin in PINS}
    said = subprocess.check_output([_flatc.get_flatc_path(), "--version"], text=True)
    assert said.split()[-1] == versions["flatbuffers"]
    for engine, name in enumerate(("lmdb-0.9", "lmdb-1.0")):
        numbers = _native.ffi.new("int[3]")
        assert _native.lib.zl_version(engine, numbers)
        assert ".".join(map(str, numbers)) == versions[name]


def test_the_command_writes_what_the_wheel_gets(tmp_path, monkeypatch):
    output = tmp_path / "described"
    monkeypatch.setattr(sys, "argv", ["supply_chain.py", "--version", "1.2.3", "--output", str(output)])
    assert supply_chain.main() == 0
    written = {path.relative_to(output).as_posix() for path in output.rglob("*") if path.is_file()}
    assert written == supply_chain.files(VENDOR, "1.2.3", zig="").keys()
    assert "zLMDB 1.2.3" in Path(output / NOTICE).read_text()
