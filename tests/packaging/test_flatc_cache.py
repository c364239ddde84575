"""The cache of flatc: one build for each pin, target and toolchain."""

import stat
import sys
from pathlib import Path

import pytest

import flatc_cache
from flatc_cache import BuildError, Toolchain, cache_entry, provide, read_entry, store_entry
from vendoring.files import sha256
from vendoring.pins import Vendor

CMAKE = ["cmake", "-G", "Ninja"]
TOOLCHAIN = Toolchain("system", "host", ("a compiler",), {})
BINARY = b"the compiler"


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    """The folder of an empty cache."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("ZLMDB_CACHE_DIR", str(folder))
    monkeypatch.delenv("ZLMDB_CACHE", raising=False)
    return folder


@pytest.fixture
def builds(monkeypatch) -> list[str]:
    """Replace the build by one that notes the toolchains it was run for."""
    done: list[str] = []

    def build(toolchain: Toolchain, *_: object) -> bytes:
        done.append(toolchain.name)
        return BINARY

    monkeypatch.setattr(flatc_cache, "_build", build)
    return done


def test_only_the_first_build_compiles(cache, builds, tmp_path):
    for number in range(3):
        output = tmp_path / str(number) / "flatc"
        provide(output, TOOLCHAIN, CMAKE, Vendor())
        assert output.read_bytes() == BINARY
        assert output.stat().st_mode & stat.S_IXUSR
    assert builds == ["system"]


def test_a_damaged_entry_is_built_again(cache, builds, tmp_path, capsys):
    provide(tmp_path / "flatc", TOOLCHAIN, CMAKE, Vendor())
    (cached,) = cache.glob("flatc/*/flatc")
    cached.write_bytes(b"the compiler, tampered with")
    provide(tmp_path / "flatc", TOOLCHAIN, CMAKE, Vendor())
    assert (tmp_path / "flatc").read_bytes() == BINARY
    assert "is damaged" in capsys.readouterr().err
    assert builds == ["system", "system"]
    assert cached.read_bytes() == BINARY


def test_an_entry_records_its_own_hash(cache, builds, tmp_path):
    provide(tmp_path / "flatc", TOOLCHAIN, CMAKE, Vendor())
    (record,) = cache.glob("flatc/*/flatc.sha256")
    assert record.read_text().strip() == sha256(BINARY)


def test_the_cache_can_be_switched_off(cache, builds, tmp_path, monkeypatch):
    monkeypatch.setenv("ZLMDB_CACHE", "off")
    for _ in range(2):
        provide(tmp_path / "flatc", TOOLCHAIN, CMAKE, Vendor())
    assert builds == ["system", "system"]
    assert not cache.exists()


def test_the_place_of_the_cache(tmp_path, monkeypatch):
    def place() -> Path:
        entry = cache_entry(Vendor().load("flatbuffers"), TOOLCHAIN)
        assert entry
        return entry.parent

    for name in ("ZLMDB_CACHE", "ZLMDB_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert place() == tmp_path / ".cache" / "zlmdb" / "flatc"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert place() == tmp_path / "xdg" / "zlmdb" / "flatc"
    monkeypatch.setenv("ZLMDB_CACHE_DIR", str(tmp_path / "elsewhere"))
    assert place() == tmp_path / "elsewhere" / "flatc"


@pytest.mark.parametrize(
    "other",
    [
        Toolchain("zig", "host", ("a compiler",), {}),
        Toolchain("system", "aarch64-linux-gnu", ("a compiler",), {}),
        Toolchain("system", "host", ("a newer compiler",), {}),
    ],
)
def test_another_toolchain_has_another_entry(cache, other):
    pin = Vendor().load("flatbuffers")
    assert cache_entry(pin, other) != cache_entry(pin, TOOLCHAIN)


def test_another_source_has_another_entry(cache):
    pin = Vendor().load("flatbuffers")
    before = cache_entry(pin, TOOLCHAIN)
    pin.files["src/util.cpp"] = "0" * 64
    assert cache_entry(pin, TOOLCHAIN) != before


def test_of_two_concurrent_builds_the_first_to_store_wins(cache):
    entry = cache / "flatc" / "key"
    store_entry(entry, b"first")
    store_entry(entry, b"second")
    assert read_entry(entry) == b"first"
    assert [path.name for path in entry.parent.iterdir()] == ["key"], "nothing temporary is left"


def test_a_cache_whose_place_is_taken_by_a_file_is_no_error(cache, builds, tmp_path, capsys):
    cache.write_bytes(b"")
    provide(tmp_path / "flatc", TOOLCHAIN, CMAKE, Vendor())
    assert (tmp_path / "flatc").read_bytes() == BINARY
    assert "flatc is not cached" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("cxx", "named"),
    [("", r"c\+\+, g\+\+, clang\+\+"), ("nonesuch -O2", "nonesuch, which the environment variable CXX")],
)
def test_a_missing_compiler_is_named_along_with_the_way_out(monkeypatch, tmp_path, cxx, named):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CXX", cxx)
    with pytest.raises(BuildError, match=rf"no C\+\+ compiler found: {named}") as caught:
        flatc_cache.system_toolchain()
    assert "ZLMDB_TOOLCHAIN=zig" in str(caught.value)


def test_a_compiler_is_known_by_its_version_and_not_by_its_name(monkeypatch, tmp_path):
    for name in ("c++", "g++"):
        (tmp_path / name).write_text(f"#!{sys.executable}\nprint('{name} (Distribution) 12.2')\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    identities = []
    for name in ("c++", "g++"):
        monkeypatch.setenv("CXX", name)
        identities.append(flatc_cache.system_toolchain().identity[0])
    assert identities[0] == identities[1] == "(Distribution) 12.2\n"


@pytest.mark.parametrize(("switch", "fate"), [("", "kept in {}"), ("off", "not kept")])
def test_a_build_of_minutes_is_announced(cache, builds, tmp_path, capsys, monkeypatch, switch, fate):
    """pip shows it with -v; it has no other way to show what a build says."""
    monkeypatch.setenv("ZLMDB_CACHE", switch)
    provide(tmp_path / "flatc", TOOLCHAIN, CMAKE, Vendor())
    said = capsys.readouterr().out
    assert "compiling flatc" in said
    assert "minutes" in said
    assert fate.format(cache / "flatc") in said
    if not switch:
        provide(tmp_path / "flatc", TOOLCHAIN, CMAKE, Vendor())
        assert capsys.readouterr().out == ""


def test_a_failed_build_points_to_the_other_toolchain(cache, tmp_path):
    with pytest.raises(BuildError, match="ZLMDB_TOOLCHAIN=zig"):
        provide(tmp_path / "flatc", TOOLCHAIN, ["false"], Vendor())


@pytest.mark.parametrize(("library", "target"), [("glibc", "gnu"), ("", "musl")])
def test_zig_builds_for_the_library_of_this_machine(monkeypatch, library, target):
    monkeypatch.setattr(flatc_cache.platform, "libc_ver", lambda: (library, ""))
    monkeypatch.setattr(flatc_cache.platform, "machine", lambda: "aarch64")
    monkeypatch.setattr(flatc_cache, "version", lambda name: "0.17.1")
    assert flatc_cache.zig_toolchain("").target == f"aarch64-linux-{target}"
    assert flatc_cache.zig_toolchain("x86_64-linux-gnu").target == "x86_64-linux-gnu"
