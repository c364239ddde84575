"""Rewrite a pin: a new version, new origins, or new patches of our own."""

import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

import tomlkit

from .archives import Archives
from .errors import FetchError, VendorError
from .files import sha256, write_file
from .patches import derive_order
from .pins import Pin, Vendor, parse_pin
from .sources import apply_patches, read_present

Report = Callable[[str], None]


@dataclass(frozen=True)
class Change:
    """What `update` is to change. With nothing set, our own patches and their result are recorded anew."""

    version: str = ""
    """The component's new version."""
    sdists: Mapping[str, str] = field(default_factory=dict)
    """New versions of the sdists that hold the component, by package name."""
    archive: Path | None = None
    """A downloaded copy of the upstream archive, for a machine that cannot reach it."""


def update(vendor: Vendor, name: str, change: Change, report: Report) -> Pin:
    """Rewrite `vendor/<name>.toml` and return the new pin. New sources also replace `vendor/src/<name>/`.

    `report` receives lines for people to read. The pin is written only if nothing was raised.

    Raises:
        VendorError: A wanted file is in no origin, or differs between two.
        PatchError: A patch does not apply.
    """
    document = tomlkit.parse(vendor.text(name))
    if change != Change():
        _apply_change(document, change)
        files = _collect(parse_pin(name, document.unwrap()), document, change, report)
        shutil.rmtree(vendor.source(name), ignore_errors=True)
        for file, content in files.items():
            write_file(vendor.source(name) / file, content)
        document["files"] = {file: sha256(files[file]) for file in sorted(files)}
    _record_patches(vendor, name, document)
    write_file(vendor.pin_path(name), tomlkit.dumps(document).encode())
    return vendor.load(name)


def _apply_change(document: tomlkit.TOMLDocument, change: Change) -> None:
    new_version = change.version not in {"", document["version"]}
    document["version"] = change.version or document["version"]
    for entry in document["origins"]:
        new_sdist = change.sdists.get(entry.get("sdist"), entry.get("version"))
        if new_sdist != entry.get("version"):
            entry["version"] = new_sdist
        elif not (new_version and "archive" in entry):
            continue
        entry.pop("sha256", None)


def _collect(pin: Pin, document: tomlkit.TOMLDocument, change: Change, report: Report) -> dict[str, bytes]:
    """Read the wanted files from every origin within reach, and note the hashes of the archives."""
    patterns, skipped = document["select"]["files"], document["select"].get("skip", [])
    local = {str(origin): change.archive for origin in pin.origins if origin.archive and change.archive}
    files: dict[str, bytes] = {}
    with tempfile.TemporaryDirectory() as folder:
        archives = Archives(Path(folder), local)
        for origin, entry in zip(pin.origins, document["origins"], strict=True):
            try:
                found = archives.read(origin, lambda file: _matches(file, patterns) > _matches(file, skipped))
                entry["sha256"] = sha256(archives.path(origin).read_bytes())
            except FetchError as error:
                report(f"{origin}: {error}")
                continue
            report(f"{origin}: {len(found)} files")
            if differing := sorted(file for file in found.keys() & files if found[file] != files[file]):
                raise VendorError(f"{origin} differs from an origin before it in {', '.join(differing)}")
            files |= found
    if absent := [pattern for pattern in patterns if not any(fnmatchcase(file, pattern) for file in files)]:
        raise VendorError(f"{pin.name}: no origin within reach has {', '.join(absent)}")
    return files


def _record_patches(vendor: Vendor, name: str, document: tomlkit.TOMLDocument) -> None:
    patchable = document["select"].get("patchable")
    if not patchable:
        return
    contents = read_present(vendor, parse_pin(name, document.unwrap()))
    sources = {file: content for file, content in contents.items() if _matches(file, patchable)}
    upstream = {file: content for file, content in contents.items() if file.endswith(".patch")}
    document["patches"] = {"series": derive_order(sources, upstream), "own": list(vendor.own_patches(name))}
    document["patched"] = dict.fromkeys(sorted(sources), sha256(b""))
    for key in ("series", "own"):
        document["patches"][key].multiline(True)
    tree = apply_patches(vendor, parse_pin(name, document.unwrap()))
    document["patched"] = {file: sha256(tree[file]) for file in sorted(tree)}


def _matches(file: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(file, pattern) for pattern in patterns)
