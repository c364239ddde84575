"""Packages that nobody built in good faith end in a fault with a name, never in a traceback."""

import contextlib
import io
import random
import tarfile
import zipfile

import pytest
import zstandard

import check_artifact
from artifacts import archive
from artifacts.elf import read_elf

DIST_INFO = "zlmdb-1.2.3.dist-info/"
MODULE = "zlmdb/lmdb/_native/_lmdb_cffi.abi3.so"
RECORD = DIST_INFO + "RECORD"


def verdict(path, capsys) -> str:
    """What is printed about a package that must be found faulty."""
    assert not check_artifact.check_all([path])
    printed = capsys.readouterr().out
    assert printed.startswith(f"FAULTY {path.name}")
    return printed


def rewrite(path, change):
    """Pack the members of a zip file again; `change` may return another list of (member, content)."""
    with zipfile.ZipFile(path) as old:
        members = [(member, old.read(member)) for member in old.infolist()]
    with zipfile.ZipFile(path, "w") as new:
        for member, content in change(members):
            new.writestr(member, content)
    return path


# -- Archives --


@pytest.mark.parametrize("size", [0, 100, -30])
def test_a_file_that_is_cut_off(package, capsys, size):
    path = package.wheel()
    path.write_bytes(path.read_bytes()[:size])
    assert "cannot be read" in verdict(path, capsys)


@pytest.mark.parametrize(
    "name",
    ["../evil.py", "/evil.py", "zlmdb/../../evil.py", "zlmdb\\..\\evil.py", "C:/evil.py", "zlmdb//a.py"],
)
def test_a_path_that_leads_elsewhere(package, capsys, name):
    package.set(name, b"")
    assert "leads out of the package" in verdict(package.wheel(), capsys)
    assert "leads out of the package" in verdict(package.conda(), capsys)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_file_that_is_there_twice(package, capsys):
    path = rewrite(package.wheel(), lambda members: [*members, (members[0][0].filename, b"another")])
    assert "is in it twice" in verdict(path, capsys)


def test_more_than_a_memory_can_hold(package, capsys):
    package.set("zlmdb/zeros.py", bytes(archive.MAX_BYTES))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(zipfile.ZipFile, "read", lambda *_: pytest.fail("unpacked"))
        assert "are too many" in verdict(package.wheel(), capsys)
    assert "are too many" in verdict(package.conda(), capsys)


def test_more_files_than_there_can_be(package, capsys, monkeypatch):
    monkeypatch.setattr(archive, "MAX_FILES", 5)
    assert "are too many" in verdict(package.wheel(), capsys)


def test_an_encrypted_file(package, capsys):
    path = package.wheel()
    content = bytearray(path.read_bytes())
    content[content.rfind(b"PK\1\2") + 8] |= 1
    path.write_bytes(content)
    assert "is encrypted" in verdict(path, capsys)


def test_a_packing_method_that_pip_may_lack(package, capsys):
    def change(members):
        members[0][0].compress_type = zipfile.ZIP_BZIP2
        return members

    assert "packed by a method" in verdict(rewrite(package.wheel(), change), capsys)


def test_a_damaged_part_of_a_conda_package(package, capsys):
    def change(members):
        return [(member, content[: len(content) // 2]) for member, content in members]

    assert "damaged" in verdict(rewrite(package.conda(), change), capsys)


def test_a_link_in_a_conda_package(package, capsys):
    def change(members):
        tar = io.BytesIO(zstandard.decompress(members[-1][1]))
        with tarfile.open(fileobj=tar, mode="a") as opened:
            link = tarfile.TarInfo("site-packages/zlmdb/link.py")
            link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
            opened.addfile(link)
        return [*members[:-1], (members[-1][0], zstandard.compress(tar.getvalue()))]

    assert "mode: zlmdb/link.py: is a link" in verdict(rewrite(package.conda(), change), capsys)


def test_any_changed_bytes(package):
    path, generator = package.wheel(), random.Random(5)
    sound = path.read_bytes()
    for _ in range(200):
        content = bytearray(sound)
        for _ in range(generator.choice([1, 2, 20])):
            place = generator.choice([generator.randrange(len(sound)), -generator.randrange(1, 9000)])
            content[place] = generator.randrange(256)
        path.write_bytes(content)
        with contextlib.suppress(archive.ArtifactError):
            archive.open_artifact(path)


# -- Metadata --


@pytest.mark.parametrize("file", ["METADATA", "WHEEL", "RECORD", "sboms/zlmdb.cdx.json", "licenses/NOTICE"])
@pytest.mark.parametrize("content", [b"", b"\xff\xfe", bytes(100), b"[" * 100_000, b'"' + b"a" * 200_000])
def test_nonsense_for_metadata(package, capsys, file, content):
    package.set(DIST_INFO + file, content)
    assert DIST_INFO + file in verdict(package.wheel(), capsys) or "sboms/" in file or "NOTICE" in file


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda rows: rows[:1], "not listed in"),
        (lambda rows: [*rows, rows[-1]], "listed twice"),
        (lambda rows: [rows[0], rows[1].rpartition(",")[0] + ",7", *rows[2:]], "the hash or the size"),
        (lambda rows: [rows[0], rows[1].replace("sha256=", "sha256=A"), *rows[2:]], "the hash or the size"),
        (lambda rows: [*rows, "../evil.py,sha256=,0"], "../evil.py: listed in"),
        (lambda rows: [*rows, "zlmdb"], "a row of 1 fields"),
        (lambda rows: [*rows, '"zlmdb'], "unexpected end of data"),
    ],
)
def test_a_record_that_does_not_describe_the_files(package, capsys, change, reason):
    package.wheel()
    rows = package.files[RECORD][0].decode().splitlines()
    package.set(RECORD, "\n".join(change(rows)).encode())
    assert reason in verdict(package.wheel(), capsys)


def test_no_record_at_all(package, capsys):
    package.wheel()
    path = rewrite(package.wheel(), lambda members: [each for each in members if each[0].filename != RECORD])
    assert f"record: {RECORD}: missing" in verdict(path, capsys)


@pytest.mark.parametrize(
    "tag",
    [
        "cp311.pp311-abi3-manylinux_2_17_x86_64",
        "cp311-abi3-manylinux_2_17_x86_64.manylinux_2_17_aarch64",
        "cp310-abi3-manylinux_2_99_x86_64",
        "py3-none-any",
        "cp311-abi3-win_amd64",
        "cp311-abi3",
    ],
)
def test_tags_that_cannot_be_true(package, capsys, tag):
    package.tag = tag
    assert tag.partition("-")[0] in verdict(package.wheel(), capsys)


def test_a_wheel_of_something_else(package, capsys):
    metadata = package.files[DIST_INFO + "METADATA"][0]
    package.set(DIST_INFO + "METADATA", metadata.replace(b"zlmdb", b"other"))
    assert "is of other, not of zlmdb" in verdict(package.wheel(), capsys)


@pytest.mark.parametrize(
    "content", ["[]", "null", "{", "[" * 100_000, '{"depends": 5}', '{"noarch": []}', '{"paths": [1]}']
)
@pytest.mark.parametrize("file", ["index", "link", "paths"])
def test_nonsense_for_the_record_of_a_conda_package(package, capsys, file, content):
    def change(members):
        tar = io.BytesIO(zstandard.decompress(members[1][1]))
        with tarfile.open(fileobj=tar) as opened:
            files = {each.name: opened.extractfile(each).read() for each in opened}
        new = io.BytesIO()
        with tarfile.open(fileobj=new, mode="w") as opened:
            for name, data in {**files, f"info/{file}.json": content.encode()}.items():
                entry = tarfile.TarInfo(name)
                entry.size = len(data)
                opened.addfile(entry, io.BytesIO(data))
        return [members[0], (members[1][0], zstandard.compress(new.getvalue())), members[2]]

    verdict(rewrite(package.conda(), change), capsys)


def test_a_list_of_files_that_differs_from_the_conda_package(package, capsys):
    package.paths = [{"_path": "site-packages/zlmdb/evil.py", "sha256": "0" * 64, "size_in_bytes": 1}]
    printed = verdict(package.conda(), capsys)
    assert "record: site-packages/zlmdb/evil.py: listed in info/paths.json, but missing" in printed
    assert f"record: site-packages/{MODULE}: not listed in info/paths.json" in printed


# -- Binaries --


def test_any_changed_bytes_of_a_binary(package):
    """Whatever is read of it, reading ends, and in nothing but a result or a reason."""
    sound, generator = package.files[MODULE][0], random.Random(7)
    for _ in range(300):
        content = bytearray(sound)
        for _ in range(generator.choice([1, 4, 30])):
            # Most of what is believed is in the header and, at the end, in the table of sections.
            place = generator.choice(
                [generator.randrange(64), -generator.randrange(1, 2000), generator.randrange(4000)]
            )
            content[place] = generator.choice([0, 1, 255, generator.randrange(256)])
        with contextlib.suppress(ValueError):
            read_elf(bytes(content))


@pytest.mark.parametrize("size", [4, 20, 64, 1000])
def test_a_binary_that_is_cut_off(package, capsys, size):
    package.set(MODULE, package.files[MODULE][0][:size])
    assert f"elf: {MODULE}: not a well-formed ELF file" in verdict(package.wheel(), capsys)


def test_a_binary_without_sections(package, capsys):
    content = bytearray(package.files[MODULE][0])
    content[40:48] = bytes(8)  # e_shoff
    content[60:64] = bytes(4)  # e_shnum, e_shstrndx
    package.set(MODULE, bytes(content))
    assert "nothing can be checked" in verdict(package.wheel(), capsys)


def test_memory_that_is_writable_and_executable(package, capsys):
    package.set(MODULE, package.compiler.module("", "-Wl,--no-warn-rwx-segments,-N,-Bdynamic", "-nostdlib"))
    assert "both writable and executable" in verdict(package.wheel(), capsys)


def test_every_fault_of_a_package_is_printed(package, capsys):
    package.set("zlmdb/evil.c", b"")
    package.set(MODULE, package.compiler.module("", "-Wl,-z,execstack,-rpath,/x"))
    printed = verdict(package.wheel(), capsys)
    assert [rule for rule in ("contents", "hardening", "rpath") if f"  {rule}: " not in printed] == []
