"""The pins: what is vendored, from where, and the sha256 of every file."""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .diffs import FileDiff, parse_diff
from .errors import PatchError, VendorError
from .patches import Patch

ROOT = Path(__file__).resolve().parents[2]
"""The project's root directory."""


@dataclass(frozen=True)
class Origin:
    """An archive that holds some of a component's files.

    Either `sdist` is set, the name of a package whose source distribution is on the package index, or
    `archive`, a URL. `paths` maps prefixes of the component's file names to folders in the archive.
    """

    paths: Mapping[str, str]
    sdist: str = ""
    archive: str = ""
    version: str = ""
    sha256: str = ""

    def __str__(self) -> str:
        return f"the sdist of {self.requirement}" if self.sdist else f"the archive {self.archive}"

    @property
    def requirement(self) -> str:
        """The exact requirement (`name==version`) that names the sdist."""
        return f"{self.sdist}=={self.version}"

    def name_of(self, member: str) -> str | None:
        """The component's name for a file of the archive; None if the file is not the component's.

        `member` is a path below the archive's top folder.
        """
        inside = [(folder, prefix) for prefix, folder in self.paths.items() if member.startswith(folder)]
        if not inside:
            return None
        folder, prefix = max(inside, key=lambda pair: len(pair[0]))
        return prefix + member.removeprefix(folder)


@dataclass(frozen=True)
class Pin:
    """One vendored component, as `vendor/<name>.toml` describes it."""

    name: str
    version: str
    license: str
    license_files: tuple[str, ...]
    homepage: str
    origins: tuple[Origin, ...]
    files: Mapping[str, str]
    """sha256 by file name. A name is a path below the component's folder, with forward slashes."""
    series: tuple[str, ...] = ()
    """The upstream patch series in the order of application. Each is one of `files`."""
    own: tuple[str, ...] = ()
    """Our own patches in the order of application. Each is a file of `vendor/patches/`."""
    patched: Mapping[str, str] = field(default_factory=dict)
    """sha256, after the last patch, of each file that patches may touch."""


class Vendor:
    """The `vendor/` folder of a project root: pins, our patches, and the materialised files."""

    def __init__(self, root: Path = ROOT) -> None:
        self.folder = root / "vendor"

    def names(self) -> list[str]:
        """The names of all pinned components, sorted."""
        return sorted(path.stem for path in self.folder.glob("*.toml"))

    def pin_path(self, name: str) -> Path:
        """Where the pin of a component is written."""
        return self.folder / f"{name}.toml"

    def source(self, name: str) -> Path:
        """The folder in which the files of a component are materialised. Git ignores it."""
        return self.folder / "src" / name

    def patch_path(self, file: str) -> Path:
        """Where a patch of our own is."""
        return self.folder / "patches" / file

    def own_patches(self, name: str) -> dict[str, Patch]:
        """Our own patches that change a component, by file name, sorted.

        Of each, the sections whose paths begin with the component's name, or with what it has in common with
        others: `lmdb/mdb.c` is a file of `lmdb-0.9` and of `lmdb-1.0`. Raises PatchError.
        """
        found: dict[str, Patch] = {}
        for path in sorted(self.folder.glob("patches/*.patch")):
            diffs = parse_diff(path.name, path.read_bytes())
            self._check_folders(path.name, diffs)
            if own := tuple(diff for diff in diffs if diff.folder in {name, _family(name)}):
                found[path.name] = Patch(f"{path.name} for {name}", own, by_line=False)
        return found

    def _check_folders(self, patch: str, diffs: Iterable[FileDiff]) -> None:
        known = {*self.names(), *map(_family, self.names())}
        for diff in diffs:
            if diff.folder not in known:
                raise PatchError(
                    f"patch {patch} changes {diff.path}, which is no component's:"
                    f" its path has to begin with one of {', '.join(sorted(known))}"
                )

    def text(self, name: str) -> str:
        """The TOML text of a pin. Raises VendorError if no component of this name is pinned."""
        try:
            return self.pin_path(name).read_text(encoding="utf-8")
        except FileNotFoundError:
            known = ", ".join(self.names()) or "none"
            raise VendorError(f"no component {name!r} is pinned (known: {known})") from None

    def load(self, name: str) -> Pin:
        """Read one pin. Raises VendorError if there is none of this name, or if it is malformed."""
        path = self.pin_path(name)
        try:
            pin = parse_pin(name, tomllib.loads(self.text(name)))
        except (KeyError, TypeError, ValueError) as error:
            raise VendorError(f"{path}: malformed pin: {error!r}") from error
        if unpinned := {*pin.series, *pin.license_files, *pin.patched} - pin.files.keys():
            raise VendorError(f"{path}: named, but not among its files: {', '.join(sorted(unpinned))}")
        return pin

    def pins(self, names: Iterable[str] = ()) -> list[Pin]:
        """The pins of `names`, or of all components. Raises VendorError."""
        return [self.load(name) for name in list(names) or self.names()]


def parse_pin(name: str, table: dict[str, Any]) -> Pin:
    """Make a pin of its parsed TOML. Raises ValueError, KeyError or TypeError if it is malformed."""
    version, patches = table["version"], table.get("patches", {})
    pin = Pin(
        name=name,
        version=version,
        license=table["license"],
        license_files=tuple(table["license_files"]),
        homepage=table["homepage"],
        origins=tuple(_parse_origin(entry, version) for entry in table["origins"]),
        files=table["files"],
        series=tuple(patches.get("series", ())),
        own=tuple(patches.get("own", ())),
        patched=table.get("patched", {}),
    )
    for file, digest in [*pin.files.items(), *pin.patched.items()]:
        if len(digest) != 64:
            raise ValueError(f"{file}: {digest!r} is not a sha256")
        if ".." in Path(file).parts or Path(file).is_absolute():
            raise ValueError(f"{file} leads out of the component's folder")
    return pin


def _family(name: str) -> str:
    """What the names of the components have in common that are releases of one library."""
    return name.partition("-")[0]


def _parse_origin(entry: dict[str, Any], version: str) -> Origin:
    if ("sdist" in entry) == ("archive" in entry):
        raise ValueError("an origin is either an sdist or an archive")
    return Origin(**{**entry, "archive": entry.get("archive", "").format(version=version)})
