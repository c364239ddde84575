"""Every rule of `check_artifact.py` is broken once, and the check has to say which, where and why."""

import platform
import re
import stat
import sys

import pytest

import check_artifact
from artifacts.archive import ArtifactError, Fault, open_artifact
from vendoring.pins import Vendor

MACHINE = platform.machine()
DIST_INFO = "zlmdb-1.2.3.dist-info/"
MODULE = "zlmdb/lmdb/_native/_lmdb_cffi.abi3.so"
FLATC = "zlmdb/_flatc/bin/flatc"
FLATBUFFERS = "zlmdb/flatbuffers/"
BEYOND_BASELINE = {"x86_64": "popcnt %rax, %rax", "aarch64": ".arch armv8.1-a; ldadd x0, x1, [x2]"}
OTHER_MACHINE = {"x86_64": b"\xb7\0", "aarch64": b"\x3e\0"}


def faults(path) -> list[Fault]:
    return list(check_artifact.faults(open_artifact(path), Vendor().pins()))


def the_fault(path, rule: str) -> Fault:
    """The one fault that a package has."""
    (found,) = faults(path)
    assert found.rule == rule, found
    return found


def test_a_package_without_fault_has_none(package):
    assert faults(package.wheel()) == []
    assert faults(package.conda()) == []


# -- Native files --


def test_a_binary_for_another_machine(package):
    content = package.files[MODULE][0]
    package.set(MODULE, content[:18] + OTHER_MACHINE[MACHINE] + content[20:])
    found = faults(package.wheel())
    assert ("machine", MODULE) in [(fault.rule, fault.file) for fault in found]


def test_a_library_that_is_not_everywhere(package):
    library = package.compiler("int other(void) { return 0; }", "-shared", "-fPIC")
    (package.compiler.folder / "libother.so").write_bytes(library)
    package.set(MODULE, package.compiler.module("", "-L.", "-Wl,--no-as-needed", "-lother"))
    assert "libother.so" in the_fault(package.wheel(), "libraries").reason


def test_a_symbol_newer_than_the_tag_promises(package):
    package.tag = f"cp311-abi3-manylinux_2_5_{MACHINE}.manylinux1_{MACHINE}"
    package.header += f"Tag: cp311-abi3-manylinux1_{MACHINE}\n"
    package.files[DIST_INFO + "WHEEL"] = (
        f"{package.header}Tag: cp311-abi3-manylinux_2_5_{MACHINE}\n\n".encode(),
        0o644,
    )
    found = faults(package.wheel())
    assert {fault.rule for fault in found} == {"glibc"}
    assert any("needs GLIBC_2." in fault.reason and fault.file == FLATC for fault in found)


@pytest.mark.parametrize(
    ("flag", "reason"),
    [
        ("-Wl,-z,norelro", "no RELRO"),
        ("-Wl,-z,lazy", "not bound at start"),
        ("-Wl,-z,execstack", "stack is executable"),
    ],
)
def test_hardening_left_out(package, flag, reason):
    package.set(MODULE, package.compiler.module("", flag))
    found = faults(package.wheel())
    assert [fault.rule for fault in found] == ["hardening"] * len(found)
    assert any(reason in fault.reason for fault in found)


def test_a_program_at_a_fixed_address(package):
    package.set(FLATC, package.compiler.flatc("-fno-pie", "-no-pie"), 0o755)
    assert "not position-independent" in the_fault(package.wheel(), "hardening").reason


def test_an_instruction_that_old_processors_lack(package):
    code = f'void used(void) {{ __asm__("{BEYOND_BASELINE[MACHINE]}"); }}\nvoid *keep[] = {{ used }};'
    package.set(MODULE, package.compiler.module(code))
    fault = the_fault(package.wheel(), "instructions")
    assert BEYOND_BASELINE[MACHINE].split()[-3].rstrip(";") in fault.reason or "popcnt" in fault.reason
    assert ".text 0x" in fault.reason


def test_a_symbol_too_many(package):
    package.set(MODULE, package.compiler.module("EXPORT int mdb_env_open;"))
    assert "mdb_env_open" in the_fault(package.wheel(), "exports").reason


def test_a_program_that_exports(package):
    package.set(FLATC, package.compiler.flatc("-pie", "-rdynamic", "-fvisibility=default"), 0o755)
    assert the_fault(package.wheel(), "exports").file == FLATC


@pytest.mark.parametrize(
    ("symbol", "reason"),
    [("_PyLong_Sign", "not in the stable ABI"), ("PyErr_GetRaisedException", "new in Python 3.12")],
)
def test_a_symbol_outside_the_stable_abi(package, symbol, reason):
    code = f"extern int {symbol}(void); int used(void) {{ return {symbol}(); }} void *keep[] = {{ used }};"
    package.set(MODULE, package.compiler.module(code))
    fault = the_fault(package.wheel(), "abi")
    assert symbol in fault.reason
    assert reason in fault.reason


def test_a_library_path_baked_in(package):
    package.set(MODULE, package.compiler.module("", "-Wl,-rpath,/somewhere/lib"))
    assert "/somewhere/lib" in the_fault(package.wheel(), "rpath").reason


def test_a_build_id(package):
    package.set(MODULE, package.compiler.module("", "-Wl,--build-id=sha1"))
    assert the_fault(package.wheel(), "build-id").file == MODULE


def test_debug_information(package):
    not_stripped = ("-O1", "-g", "-fvisibility=hidden", "-Wl,--build-id=none,-z,now")
    package.set(MODULE, package.compiler.module(hardened=not_stripped))
    sections = " ".join(fault.reason for fault in faults(package.wheel()) if fault.rule == "debug")
    assert ".debug_info" in sections
    assert ".symtab" in sections


def test_the_path_of_a_build(package):
    package.set(MODULE, package.compiler.module('const char *file[] = { "/home/jane/zlmdb/mdb.c" };'))
    fault = the_fault(package.wheel(), "build-path")
    assert "/home/jane/zlmdb/mdb.c" in fault.reason
    assert "offset 0x" in fault.reason


def test_a_damaged_binary(package):
    package.set(MODULE, package.files[MODULE][0][:200])
    assert any(fault.rule == "elf" and fault.file == MODULE for fault in faults(package.wheel()))


# -- Files --


@pytest.mark.parametrize(
    "file",
    [
        FLATC, MODULE, "zlmdb/py.typed", FLATBUFFERS + "builder.py", FLATBUFFERS + "reflection.bfbs",
        DIST_INFO + "licenses/NOTICE", DIST_INFO + "licenses/lmdb-1.0/COPYRIGHT",
        DIST_INFO + "sboms/zlmdb.cdx.json",
    ],
)  # fmt: skip
def test_a_missing_file(package, file):
    del package.files[file]
    found = faults(package.wheel())
    assert {fault.rule for fault in found} == {"contents"}
    assert "missing" in found[0].reason


@pytest.mark.parametrize(
    "file",
    ["zlmdb/tests/test_it.py", "zlmdb/lmdb/_native/engine.c", "zlmdb/x.cpython-311.pyc", "vendor/src/a.txt"],
)
def test_a_file_that_does_not_belong_into_a_package(package, file):
    package.set(file, b"")
    assert {(fault.rule, fault.file) for fault in faults(package.wheel())} == {("contents", file)}


def test_a_native_file_that_nobody_asked_for(package):
    package.set("zlmdb/lmdb/extra.so", package.files[MODULE][0])
    assert the_fault(package.wheel(), "contents").file == "zlmdb/lmdb/extra.so"


@pytest.mark.parametrize(
    ("file", "mode"),
    [
        (FLATC, 0o644), (FLATC, 0o4755), ("zlmdb/__init__.py", 0o755), ("zlmdb/__init__.py", 0o666),
        (MODULE, 0o600), ("zlmdb/py.typed", stat.S_IFLNK | 0o644), ("zlmdb/py.typed", stat.S_IFIFO | 0o644),
    ],
)  # fmt: skip
def test_a_wrong_mode(package, file, mode):
    package.set(file, package.files[file][0], mode)
    assert the_fault(package.wheel(), "mode").file == file


def test_another_licence(package):
    package.set(DIST_INFO + "METADATA", b"Name: zlmdb\nVersion: 1.2.3\nLicense-Expression: MIT\n\n")
    assert "MIT AND OLDAP-2.8" in the_fault(package.wheel(), "licence").reason


def test_another_version_in_the_metadata(package):
    metadata = package.files[DIST_INFO + "METADATA"][0]
    package.set(DIST_INFO + "METADATA", metadata.replace(b"1.2.3", b"1.2.4"))
    assert "1.2.4" in the_fault(package.wheel(), "version").reason


def test_a_file_changed_after_packing(package):
    package.wheel()
    package.set("zlmdb/__init__.py", b"import evil")
    assert the_fault(package.wheel(), "record").file == "zlmdb/__init__.py"


def test_a_file_added_after_packing(package):
    package.wheel()
    package.set("zlmdb/evil.py", b"")
    assert "not listed" in the_fault(package.wheel(), "record").reason


# -- Tags --


def test_tags_that_differ_from_the_name(package):
    package.set(DIST_INFO + "WHEEL", b"Root-Is-Purelib: false\nTag: py3-none-any\n\n")
    assert "py3-none-any" in the_fault(package.wheel(), "tags").reason


def test_a_module_for_another_python(package):
    package.tag = package.tag.replace("cp311-abi3", "cp314-cp314t")
    assert "abi3.so is not that of the package's tags" in the_fault(package.wheel(), "tags").reason


def test_a_module_of_cpython_in_a_wheel_for_pypy(package):
    package.tag = package.tag.replace("cp311-abi3", "pp311-pypy311_pp73")
    assert {fault.rule for fault in faults(package.wheel())} == {"tags", "exports"}


def test_a_tag_without_a_promise(package):
    package.tag = f"cp311-abi3-linux_{MACHINE}"
    assert "auditwheel repair" in the_fault(package.wheel(), "package").reason


# -- Versions --


@pytest.mark.parametrize("version", ["0.9.36", "1.0.2"])
def test_another_engine(package, version):
    module, other = package.files[MODULE][0], re.sub(r"\d", "8", version)
    package.set(MODULE, module.replace(f"LMDB {version}".encode(), f"LMDB {other}".encode()))
    assert version in the_fault(package.wheel(), "version").reason


def test_another_compiler(package):
    package.set(FLATC, package.compiler.flatc(version="25.12.20"), 0o755)
    reasons = [fault.reason for fault in faults(package.wheel()) if fault.rule == "version"]
    assert any("says that it is 25.12.20" in reason for reason in reasons)


def test_a_compiler_that_does_not_run(package):
    package.set(
        FLATC, package.compiler('const char v[] = "25.12.19"; int main(void) { return v[0]; }', "-pie"), 0o755
    )
    assert "does not run" in the_fault(package.wheel(), "version").reason


def test_another_runtime(package):
    package.set(FLATBUFFERS + "table.py", b"# a newer one")
    assert the_fault(package.wheel(), "version").file == FLATBUFFERS + "table.py"


def test_another_version_of_the_tree(package):
    package.set(FLATBUFFERS + "_git_version.py", b'__git_version__ = "v25.1.1"\n')
    assert the_fault(package.wheel(), "version").file == FLATBUFFERS + "_git_version.py"


def test_reflection_data_of_another_compiler(package):
    package.set(FLATBUFFERS + "reflection.bfbs", b"\x18\0\0\0BFBS, another")
    assert "not what the flatc beside it makes" in the_fault(package.wheel(), "reflection").reason


def test_reflection_data_that_is_none(package):
    package.set(FLATBUFFERS + "reflection.bfbs", b"nonsense")
    assert "identifier" in the_fault(package.wheel(), "reflection").reason


def test_reflection_data_that_differs_between_packages(package, tmp_path, capsys):
    sound = package.wheel()
    package.folder = tmp_path / "other"
    package.folder.mkdir()
    package.set(FLATBUFFERS + "reflection.bfbs", b"\x18\0\0\0BFBS, another")
    content = package.files[FLATC][0]
    package.set(FLATC, content[:18] + OTHER_MACHINE[MACHINE] + content[20:], 0o755)  # so that it does not run
    assert not check_artifact.check_all([sound, package.wheel()])
    assert "differs from that of the other packages" in capsys.readouterr().out


@pytest.mark.parametrize("change", [(b'"version": "1.0.2"', b'"version": "1.0.3"'), (b"{", b"")])
def test_a_bill_of_materials_that_is_wrong(package, change):
    file = DIST_INFO + "sboms/zlmdb.cdx.json"
    package.set(file, package.files[file][0].replace(*change))
    assert {fault.rule for fault in faults(package.wheel())} == {"sbom"}


def test_a_notice_that_is_wrong(package):
    file = DIST_INFO + "licenses/NOTICE"
    package.set(file, package.files[file][0].replace(b"0.9.36", b"0.9.35"))
    assert "0.9.36" in the_fault(package.wheel(), "notice").reason


# -- conda packages --


def test_a_conda_package_for_no_known_machine(package):
    package.index["subdir"] = "noarch"
    assert "noarch" in the_fault(package.conda(), "package").reason


def test_a_conda_package_that_does_not_ask_for_cpython(package):
    package.index["depends"] = [f"__glibc >={platform.libc_ver()[1]}"]
    assert "cpython" in the_fault(package.conda(), "tags").reason


def test_a_conda_package_without_a_command(package):
    package.commands = ()
    assert "flatc" in the_fault(package.conda(), "commands").reason


def test_a_conda_package_that_names_a_folder_of_its_build(package):
    package.index["channel"] = "file:///home/jane/channel"
    fault = the_fault(package.conda(), "build-path")
    assert fault.file == "info/index.json"
    assert "file:///home/jane/channel at offset 0x" in fault.reason


# -- The command --


@pytest.mark.parametrize("name", ["zlmdb-1-py3-none-any.whl", "zlmdb-1-0.conda", "zlmdb.tar.gz", "none.whl"])
def test_what_is_no_package(tmp_path, name):
    if name != "none.whl":
        (tmp_path / name).write_bytes(b"not an archive")
    with pytest.raises(ArtifactError, match=name):
        open_artifact(tmp_path / name)


def test_the_exit_status_tells(package, monkeypatch, capsys):
    wheel = package.wheel()
    monkeypatch.setattr(sys, "argv", ["check_artifact.py", str(wheel)])
    assert check_artifact.main() == 0
    assert f"sound  {wheel.name}" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["check_artifact.py", str(wheel), "nonesuch.whl"])
    assert check_artifact.main() == 1
    assert "FAULTY nonesuch.whl" in capsys.readouterr().out
