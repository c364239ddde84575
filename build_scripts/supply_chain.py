"""Describe what a package contains: a CycloneDX bill of materials (PEP 770), a NOTICE, and the licence texts.

All of it comes from the pins, so it cannot differ from what was built.
"""

import argparse
import json
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from artifacts.archive import NOTICE, SBOM
from requirements import LICENSE_EXPRESSION
from vendoring.errors import VendorError
from vendoring.files import sha256, write_file
from vendoring.pins import Origin, Pin, Vendor

Json = dict[str, Any]
DESCRIPTIONS = {
    "flatbuffers": "compiler flatc, Python runtime, reflection schema",
    "lmdb-0.9": "storage engine, data format 1",
    "lmdb-1.0": "storage engine, data format 3",
}
FIRST_LINES = """\
zLMDB {release}
Licence of the whole: {license}

zLMDB's own code is under the MIT licence (see LICENSE). This package also contains, in binary or source form:
"""


def bill_of_materials(vendor: Vendor, release: str, zig: str) -> Json:
    """Return the CycloneDX 1.6 document for the `release` of zLMDB.

    `zig` is the version of the release toolchain, whose C++ runtime is then part of flatc; empty for another.
    """
    components = [_component(vendor, pin) for pin in vendor.pins()]
    if zig:
        components.append(_runtime_of_zig(zig))
    purl = f"pkg:pypi/zlmdb@{release}"
    document: Json = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "lifecycles": [{"phase": "build"}],
            "component": {
                "type": "library",
                "bom-ref": purl,
                "name": "zlmdb",
                "version": release,
                "purl": purl,
                "licenses": [{"expression": LICENSE_EXPRESSION}],
            },
        },
        "components": components,
        "dependencies": [{"ref": purl, "dependsOn": [each["bom-ref"] for each in components]}],
    }
    # The serial number names this very content: the same package has the same one, wherever it was built.
    content = json.dumps(document, sort_keys=True)
    document["serialNumber"] = uuid.uuid5(uuid.NAMESPACE_URL, content).urn
    return document


def _component(vendor: Vendor, pin: Pin) -> Json:
    patches = list(_patches(vendor, pin))
    component: Json = {
        "type": "library",
        "bom-ref": pin.name,
        "name": pin.name.partition("-")[0],
        "version": pin.version,
        "description": DESCRIPTIONS.get(pin.name, ""),
        "purl": f"pkg:generic/{pin.name.partition('-')[0]}@{pin.version}",
        "licenses": [{"license": {"id": pin.license}}],
        "externalReferences": [
            {"type": "website", "url": pin.homepage},
            *(_distribution(origin) for origin in pin.origins),
        ],
        "components": [
            {"type": "file", "bom-ref": f"{pin.name}/{file}", "name": file, "hashes": _sha256_of(digest)}
            for file, digest in sorted(pin.files.items())
            if file not in pin.series
        ],
    }
    if patches:
        component["modified"] = True
        component["pedigree"] = {
            "patches": [patch for patch, _ in patches],
            "notes": "Applied in this order. The properties of the component give the sha256 of each patch,"
            " and of each file after the last of them.",
        }
        component["properties"] = [
            *({"name": f"zlmdb:patch:{patch['diff']['url']}", "value": digest} for patch, digest in patches),
            *({"name": f"zlmdb:patched:{file}", "value": digest} for file, digest in pin.patched.items()),
        ]
    return component


def _distribution(origin: Origin) -> Json:
    url = f"pkg:pypi/{origin.sdist}@{origin.version}" if origin.sdist else origin.archive
    reference: Json = {"type": "source-distribution", "url": url}
    if origin.sha256:
        reference["hashes"] = _sha256_of(origin.sha256)
    return reference


def _sha256_of(digest: str) -> list[Json]:
    return [{"alg": "SHA-256", "content": digest}]


def _patches(vendor: Vendor, pin: Pin) -> Iterator[tuple[Json, str]]:
    """Yield each patch in the order of application, and its sha256."""
    for file in pin.series:
        yield _patch(f"{pin.name}/{file}"), pin.files[file]
    for name in pin.own:
        yield _patch(f"vendor/patches/{name}"), sha256(vendor.patch_path(name).read_bytes())


def _patch(url: str) -> Json:
    patch: Json = {"type": "unofficial", "diff": {"url": url}}
    name = url.rpartition("/")[2]
    if name.startswith("cve-"):
        number = "-".join(name.split("-")[:3]).upper()
        patch["resolves"] = [{"type": "security", "id": number}]
    return patch


def _runtime_of_zig(zig: str) -> Json:
    return {
        "type": "library",
        "bom-ref": "llvm-runtimes",
        "name": "LLVM libc++, libc++abi, libunwind and compiler-rt",
        "version": f"as of zig {zig}",
        "description": "C and C++ runtime, linked statically",
        "licenses": [{"expression": "Apache-2.0 WITH LLVM-exception"}],
        "externalReferences": [
            {"type": "website", "url": "https://llvm.org"},
            {"type": "build-system", "url": f"pkg:pypi/ziglang@{zig}"},
        ],
    }


def notice(pins: Sequence[Pin], release: str) -> str:
    """Return the text that names the third-party components, their authors' pages, licences and changes."""
    paragraphs = [FIRST_LINES.format(release=release, license=LICENSE_EXPRESSION)]
    for pin in pins:
        texts = " and ".join(f"{pin.name}/{file}" for file in pin.license_files)
        number = len(pin.series) + len(pin.own)
        changes = f"Modified by {number} patches, which {Path(SBOM).name} lists." if number else "Unmodified."
        paragraphs.append(
            f"{pin.name.partition('-')[0]} {pin.version} ({DESCRIPTIONS.get(pin.name, '')})\n"
            f"  {pin.homepage}\n"
            f"  Licence: {pin.license}; the text is in {texts}\n"
            f"  {changes}\n"
        )
    return "\n".join(paragraphs)


def files(vendor: Vendor, release: str, zig: str) -> Mapping[str, bytes]:
    """Return what belongs into the metadata folder of a package, by its path there.

    Raises:
        VendorError: A pin is malformed.
    """
    pins = vendor.pins()
    document = json.dumps(bill_of_materials(vendor, release, zig), indent=1, ensure_ascii=False) + "\n"
    texts = {
        f"licenses/{pin.name}/{file}": (vendor.source(pin.name) / file).read_bytes()
        for pin in pins
        for file in pin.license_files
    }
    return {**texts, NOTICE: notice(pins, release).encode(), SBOM: document.encode()}


def main() -> int:
    """Run as a program by `CMakeLists.txt`. Return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--version", required=True, help="the version of zLMDB")
    parser.add_argument("--toolchain", choices=("system", "zig"), default="system")
    parser.add_argument("--output", type=Path, required=True, help="the folder to write below")
    options = parser.parse_args()
    zig = version("ziglang") if options.toolchain == "zig" else ""
    try:
        for file, content in files(Vendor(), options.version, zig).items():
            write_file(options.output / file, content)
    except (VendorError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
