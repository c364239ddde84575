"""Materialise the pinned files from the first origin that has them, and check every one."""

import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from .archives import Archives
from .errors import FetchError, VendorError
from .files import sha256, write_file
from .patches import apply_series, read_patch
from .pins import Pin, Vendor


def sync(vendor: Vendor, pins: Iterable[Pin]) -> None:
    """Put every file of `pins` in its place below `vendor/src/`.

    Files that are there already are checked, not replaced. Raises VendorError if a file differs from its pin,
    wherever it came from, or if no origin has it; the message then gives the reason for each origin.
    """
    with tempfile.TemporaryDirectory() as folder:
        archives = Archives(Path(folder))
        for pin in pins:
            _sync_one(vendor, pin, archives)


def verify(vendor: Vendor, pin: Pin) -> None:
    """Check that the materialised files are those of the pin, and that patching gives the pinned result.

    Raises VendorError (PatchError among them).
    """
    source = vendor.source(pin.name)
    if missing := pin.files.keys() - read_present(vendor, pin).keys():
        raise VendorError(f"{_some(pin, missing)} not in {source}; run `python build_scripts/vendor.py sync`")
    present = {path.relative_to(source).as_posix() for path in source.rglob("*") if path.is_file()}
    if foreign := present - pin.files.keys():
        raise VendorError(
            f"{_some(pin, foreign)} in {source}, but not pinned; remove what does not belong there"
        )
    patched_tree(vendor, pin)


def patched_tree(vendor: Vendor, pin: Pin) -> dict[str, bytes]:
    """The files that patches may touch, after the whole series.

    Raises VendorError (PatchError among them) if a patch does not apply, if one of ours is not listed in the
    pin, or if the result is not the pinned one.
    """
    if unlisted := vendor.own_patches(pin.name).keys() ^ set(pin.own):
        raise VendorError(
            f"{_some(pin, unlisted)} in vendor/patches/ or listed in the pin, but not both;"
            f" run `python build_scripts/vendor.py update {pin.name}`"
        )
    tree = apply_patches(vendor, pin)
    for file, content in tree.items():
        _check(pin, f"{file} (patched)", content, pin.patched[file])
    return tree


def apply_patches(vendor: Vendor, pin: Pin, own: int | None = None) -> dict[str, bytes]:
    """The files named by `pin.patched` after the upstream series and our own patches.

    `own` is the number of our own patches to apply, by default all. Raises PatchError.
    """
    source, ours = vendor.source(pin.name), vendor.own_patches(pin.name)
    tree = {file: (source / file).read_bytes() for file in pin.patched}
    upstream = [
        read_patch(f"{pin.name}/{Path(file).name}", (source / file).read_bytes()) for file in pin.series
    ]
    return apply_series(tree, [*upstream, *(ours[file] for file in pin.own[:own])])


def read_present(vendor: Vendor, pin: Pin) -> dict[str, bytes]:
    """The checked contents of the pinned files that are materialised. Raises VendorError if one differs."""
    source = vendor.source(pin.name)
    files = {file: (source / file).read_bytes() for file in pin.files if (source / file).is_file()}
    _check_all(pin, files)
    return files


def _sync_one(vendor: Vendor, pin: Pin, archives: Archives) -> None:
    source = vendor.source(pin.name)
    missing = pin.files.keys() - read_present(vendor, pin).keys()
    tried = [f"{source} (materialised before, or embedded in an sdist of zlmdb): not there"]
    for origin in pin.origins:
        if not missing:
            return
        try:
            files = archives.read(origin, missing.__contains__)
        except FetchError as error:
            tried.append(f"{origin}: {error}")
            continue
        _check_all(pin, files)
        for file, content in files.items():
            write_file(source / file, content)
        missing -= files.keys()
        tried.append(f"{origin}: does not hold {min(missing, default='')}")
    if missing:
        raise VendorError("\n  ".join([f"{_some(pin, missing)} in none of the origins:", *tried]))


def _check_all(pin: Pin, files: Mapping[str, bytes]) -> None:
    for file, content in files.items():
        _check(pin, file, content, pin.files[file])


def _check(pin: Pin, file: str, content: bytes, expected: str) -> None:
    if (actual := sha256(content)) != expected:
        raise VendorError(
            f"{pin.name}: {file} is not the pinned file\n  pinned sha256 {expected}\n  actual sha256 {actual}"
        )


def _some(pin: Pin, files: Iterable[str]) -> str:
    first, *others = sorted(files)
    more = f" and {len(others)} more files are" if others else " is"
    return f"{pin.name} {pin.version}: {first}{more}"
