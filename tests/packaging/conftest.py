"""A small project root with one vendored component, and a small package: tests damage them."""

import hashlib
import io
import json
import platform
import stat
import subprocess
import tarfile
import zipfile
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import zstandard

import supply_chain
from vendoring import archives
from vendoring.pins import Origin, Vendor

SOURCES = {
    "a.c": b"one\ntwo\nthree\n",
    "a.h": b"int a;\n",
    "LICENSE": b"Do as you like.\n",
    "patches/first.patch": b"--- a/a.c\n+++ b/a.c\n@@ -1,3 +1,4 @@\n one\n+one and a half\n two\n three\n",
    "patches/again.patch": b"--- a/a.c\n+++ b/a.c\n@@ -2,3 +2,3 @@\n one and a half\n-two\n+2\n three\n",
}
PATCHED = {"a.c": b"one\none and a half\n2\nthree\n", "a.h": SOURCES["a.h"]}

PIN = """\
# A component for tests.
version = "1.0"
license = "MIT"
license_files = ["LICENSE"]
homepage = "https://example.org"

[[origins]]
# Where it is published.
archive = "https://example.org/thing-{version}.tar.gz"
paths = { "" = "src/", "patches/" = "contrib/patches/" }

[select]
files = ["*.c", "*.h", "LICENSE", "patches/*.patch"]
skip = ["*_test.c"]
patchable = ["*.c", "*.h"]

"""


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _table(header: str, entries: Mapping[str, object]) -> str:
    # A JSON string, or list of strings, is also one of TOML.
    lines = [f"{json.dumps(key)} = {json.dumps(value)}" for key, value in entries.items()]
    return "\n".join([f"[{header}]", *lines, ""])


@dataclass
class Thing:
    """A component that is published, pinned, and not yet materialised."""

    folder: Path
    published: dict[str, bytes] = field(default_factory=lambda: {**SOURCES, "a_test.c": b"int main;\n"})

    def __post_init__(self) -> None:
        self.vendor = Vendor(self.folder)
        self.source = self.vendor.source("thing")
        self.pin()

    def pin(
        self, series: tuple[str, ...] = ("patches/first.patch", "patches/again.patch"), **own: str
    ) -> None:
        """Write the pin of `SOURCES`, with the sha256 of what the patches make of them."""
        patches = {"series": series, "own": list(own)}
        tables = [
            _table("files", {name: _sha256(content) for name, content in SOURCES.items()}),
            _table("patches", patches),
            _table("patched", {name: _sha256(content) for name, content in PATCHED.items()}),
        ]
        self.vendor.folder.mkdir(parents=True, exist_ok=True)
        self.vendor.pin_path("thing").write_text(PIN + "\n".join(tables))

    def add_own_patch(self, name: str, diff: bytes) -> None:
        """Put a patch of our own where zLMDB's lie, without listing it in the pin."""
        path = self.vendor.patch_path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(diff)

    def archive(self, top: str = "thing-1.0") -> Path:
        """Write the archive that upstream publishes, and return its path."""
        path = self.folder / f"{top}.tar.gz"
        with tarfile.open(path, "w:gz") as archive:
            for name, content in self.published.items():
                place = f"contrib/{name}" if name.startswith("patches/") else f"src/{name}"
                entry = tarfile.TarInfo(f"{top}/{place}")
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
        return path


@pytest.fixture
def thing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Thing:
    """A component whose archive is served without a network."""
    thing = Thing(tmp_path)

    def download(origin: Origin, folder: Path) -> Path:
        assert origin.archive == "https://example.org/thing-1.0.tar.gz"
        return thing.archive()

    monkeypatch.setattr(archives, "download", download)
    return thing


# -- Packages that are without fault, until a test damages them --

MACHINE = platform.machine()
GLIBC = platform.libc_ver()[1].replace(".", "_")
DIST_INFO = "zlmdb-1.2.3.dist-info/"
MODULE = "zlmdb/lmdb/_native/_lmdb_cffi.abi3.so"
FLATC = "zlmdb/_flatc/bin/flatc"
BFBS = b"\x18\0\0\0BFBS, or so"
FLATC_C = """
#include <stdio.h>
#include <string.h>
int main(int count, char **words) {
    char path[4096];
    for (int i = 1; i < count; i++) {
        if (!strcmp(words[i], "--version")) puts("flatc version %s");
        if (!strcmp(words[i], "-o")) {
            snprintf(path, sizeof path, "%%s/reflection.bfbs", words[i + 1]);
            FILE *file = fopen(path, "wb");
            fwrite("\\x18\\0\\0\\0BFBS, or so", 1, 15, file);
            fclose(file);
        }
    }
    return 0;
}
"""
MODULE_C = """
#define EXPORT __attribute__((visibility("default")))
__asm__(".ident \\"LMDB 0.9.36:\\""); __asm__(".ident \\"LMDB 1.0.2:\\"");
void *table[] = { table };  /* something to be relocated, and then to be read-only */
EXPORT void *PyInit__lmdb_cffi(void) { return table; }
"""
HARDENED = ("-O1", "-g0", "-s", "-fvisibility=hidden", "-Wl,--build-id=none,-z,relro,-z,now,-z,noexecstack")
METADATA = "Name: zlmdb\nVersion: 1.2.3\nLicense-Expression: MIT AND OLDAP-2.8 AND Apache-2.0\n\n"


class Compiler:
    """The system's C compiler, which whoever installs the source tree has."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, code: str, *flags: str, hardened: tuple[str, ...] = HARDENED) -> bytes:
        """Compile a program, or with `-shared` a library, and return the binary."""
        source, output = self.folder / "code.c", self.folder / "code.out"
        source.write_text(code)
        subprocess.run(["cc", source, "-o", output, *hardened, *flags], check=True, cwd=self.folder)
        return output.read_bytes()

    def module(self, code: str = "", *flags: str, **options: tuple[str, ...]) -> bytes:
        """Compile something that looks like the CFFI module, with `code` added to it."""
        return self(MODULE_C + code, "-shared", "-fPIC", "-nostartfiles", *flags, **options)

    def flatc(self, *flags: str, version: str = "25.12.19") -> bytes:
        """Compile something that looks like flatc."""
        return self(FLATC_C % version, "-fPIE", *(flags or ["-pie"]))


@pytest.fixture(scope="session")
def compiler(tmp_path_factory: pytest.TempPathFactory) -> Compiler:
    """A C compiler."""
    return Compiler(tmp_path_factory.mktemp("compiler"))


@pytest.fixture(scope="session")
def sound_files(compiler: Compiler) -> dict[str, tuple[bytes, int]]:
    """Contents and modes of the files of a package without fault."""
    vendor = Vendor()
    runtime = vendor.source("flatbuffers") / "python" / "flatbuffers"
    package = {f"zlmdb/flatbuffers/{path.name}": path.read_bytes() for path in runtime.glob("*.py")}
    package |= {
        "zlmdb/flatbuffers/reflection.fbs": (
            vendor.source("flatbuffers") / "reflection/reflection.fbs"
        ).read_bytes(),
        "zlmdb/flatbuffers/reflection.bfbs": BFBS,
        "zlmdb/flatbuffers/_git_version.py": b'__git_version__ = "v25.12.19"\n',
        MODULE: compiler.module(),
    }
    for file in (
        "__init__.py", "py.typed", "_flatc/__init__.py", "flatbuffers/__init__.py", "lmdb/__init__.py",
        "flatbuffers/reflection/Schema.py", "_pyinstaller/__init__.py", "_pyinstaller/hook-zlmdb.py",
    ):  # fmt: skip
        package[f"zlmdb/{file}"] = b""
    described = supply_chain.files(vendor, "1.2.3", zig="0.17.1")
    package |= {DIST_INFO + file: content for file, content in described.items()}
    package |= {
        DIST_INFO + "METADATA": METADATA.encode(),
        DIST_INFO + "licenses/LICENSE": b"MIT",
        DIST_INFO + "entry_points.txt": b"[console_scripts]\nflatc = zlmdb._flatc:main\n",
    }
    files = {file: (content, 0o644) for file, content in package.items()}
    return {**files, FLATC: (compiler.flatc(), 0o755)}


@dataclass
class Package:
    """The files of a package, to be damaged and then packed."""

    folder: Path
    compiler: Compiler
    files: dict[str, tuple[bytes, int]]
    tag: str = f"cp311-abi3-manylinux_{GLIBC}_{MACHINE}"
    header: str = "Wheel-Version: 1.0\nRoot-Is-Purelib: false\n"
    index: dict[str, object] = field(
        default_factory=lambda: {
            "subdir": {"x86_64": "linux-64", "aarch64": "linux-aarch64"}.get(MACHINE, MACHINE),
            "depends": ["cpython >=3.11", f"__glibc >={platform.libc_ver()[1]}"],
        }
    )
    commands: tuple[str, ...] = ("flatc = zlmdb._flatc:main",)
    paths: list[dict[str, object]] = field(default_factory=list)
    """The conda package's list of its files; by default what it should be."""

    def set(self, file: str, content: bytes, mode: int = 0o644) -> None:
        """Add or replace a file."""
        self.files[file] = (content, mode)

    def wheel(self) -> Path:
        """Pack a wheel."""
        self.files.setdefault(DIST_INFO + "WHEEL", (f"{self.header}Tag: {self.tag}\n\n".encode(), 0o644))
        self.files.setdefault(DIST_INFO + "RECORD", (self._record(), 0o644))
        path = self.folder / f"zlmdb-1.2.3-{self.tag}.whl"
        with zipfile.ZipFile(path, "w") as archive:
            for file, (content, mode) in self.files.items():
                member = zipfile.ZipInfo(file)
                member.external_attr = (mode if stat.S_IFMT(mode) else stat.S_IFREG | mode) << 16
                archive.writestr(member, content)
        return path

    def _record(self) -> bytes:
        rows = [f"{DIST_INFO}RECORD,,"]
        for file, (content, _) in self.files.items():
            digest = urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
            rows.append(f"{file},sha256={digest},{len(content)}")
        return "\n".join(rows).encode()

    def conda(self) -> Path:
        """Pack a conda package."""
        link = {"noarch": {"type": "python", "entry_points": list(self.commands)}}
        paths = [
            {"_path": f"site-packages/{file}", "sha256": _sha256(content), "size_in_bytes": len(content)}
            for file, (content, _) in self.files.items()
        ]
        info = {
            "info/index.json": self.index,
            "info/link.json": link,
            "info/paths.json": {"paths": self.paths or paths},
        }
        path = self.folder / "zlmdb-1.2.3-h0_0.conda"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("metadata.json", "{}")
            archive.writestr(
                "info-1.tar.zst",
                _tar({file: (json.dumps(content).encode(), 0o644) for file, content in info.items()}),
            )
            archive.writestr(
                "pkg-1.tar.zst", _tar({f"site-packages/{file}": each for file, each in self.files.items()})
            )
        return path


def _tar(files: Mapping[str, tuple[bytes, int]]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for file, (content, mode) in files.items():
            entry = tarfile.TarInfo(file)
            entry.size, entry.mode = len(content), mode
            archive.addfile(entry, io.BytesIO(content))
    return zstandard.compress(buffer.getvalue())


@pytest.fixture
def package(tmp_path: Path, compiler: Compiler, sound_files: dict[str, tuple[bytes, int]]) -> Package:
    """A package without fault."""
    return Package(tmp_path, compiler, dict(sound_files))
