"""Materialising pinned files: whatever the origin, only the pinned bytes get into a build."""

import hashlib
from pathlib import Path

import pytest

import vendor as command
from vendoring import archives
from vendoring.errors import FetchError, PatchError, VendorError
from vendoring.sources import patched_tree, sync, verify


def run(thing, *arguments: object) -> int:
    return command.main(["--root", str(thing.folder), *map(str, arguments)])


def test_sync_materialises_the_pinned_files_and_no_other(thing):
    sync(thing.vendor, thing.vendor.pins())
    files = {path.relative_to(thing.source).as_posix() for path in thing.source.rglob("*") if path.is_file()}
    assert files == {"a.c", "a.h", "LICENSE", "patches/first.patch", "patches/again.patch"}
    assert (thing.source / "a.c").read_bytes() == thing.published["a.c"]
    verify(thing.vendor, thing.vendor.load("thing"))


def test_sync_reads_no_origin_when_all_files_are_there(thing, monkeypatch):
    sync(thing.vendor, thing.vendor.pins())
    monkeypatch.setattr(archives, "download", lambda *_: pytest.fail("nothing is to be downloaded"))
    sync(thing.vendor, thing.vendor.pins())


def test_sync_keeps_the_time_stamps_of_files_so_that_nothing_is_rebuilt(thing):
    sync(thing.vendor, thing.vendor.pins())
    before = (thing.source / "a.c").stat().st_mtime_ns
    (thing.source / "a.h").unlink()
    sync(thing.vendor, thing.vendor.pins())
    assert (thing.source / "a.c").stat().st_mtime_ns == before


@pytest.mark.parametrize("file", ["a.c", "LICENSE", "patches/first.patch"])
@pytest.mark.parametrize("action", ["sync", "verify"])
def test_one_changed_byte_of_a_materialised_file_fails_with_its_name_and_both_hashes(
    thing, capsys, action, file
):
    assert run(thing, "sync") == 0
    original = (thing.source / file).read_bytes()
    damaged = bytes([original[0] ^ 1]) + original[1:]
    (thing.source / file).write_bytes(damaged)
    assert run(thing, action) == 1
    message = capsys.readouterr().err
    assert file in message
    assert hashlib.sha256(original).hexdigest() in message
    assert hashlib.sha256(damaged).hexdigest() in message
    assert (thing.source / file).read_bytes() == damaged, "a file that is not the pinned one is not replaced"


def test_one_changed_byte_in_an_origin_fails_with_its_name_and_both_hashes(thing, capsys):
    original, damaged = thing.published["a.c"], b"One\ntwo\nthree\n"
    thing.published["a.c"] = damaged
    assert run(thing, "sync") == 1
    message = capsys.readouterr().err
    assert "a.c" in message
    assert hashlib.sha256(original).hexdigest() in message
    assert hashlib.sha256(damaged).hexdigest() in message
    assert not (thing.source / "a.c").exists(), "what is not the pinned file is not materialised"


def test_an_unpinned_file_among_the_sources_is_reported(thing):
    sync(thing.vendor, thing.vendor.pins())
    (thing.source / "extra.c").write_bytes(b"")
    with pytest.raises(VendorError, match=r"extra\.c is in .* but not pinned"):
        verify(thing.vendor, thing.vendor.load("thing"))


def test_verify_of_a_clean_clone_says_to_sync(thing):
    with pytest.raises(VendorError, match=r"LICENSE and 4 more files are not in .*vendor\.py sync"):
        verify(thing.vendor, thing.vendor.load("thing"))


def test_every_origin_and_its_failure_is_named_when_none_has_the_files(thing, monkeypatch, capsys):
    def unreachable(origin, folder):
        raise FetchError("no route to host")

    monkeypatch.setattr(archives, "download", unreachable)
    assert run(thing, "sync") == 1
    message = capsys.readouterr().err
    assert "LICENSE and 4 more files are in none of the origins" in message
    assert f"{thing.source} (materialised before, or embedded in an sdist of zlmdb): not there" in message
    assert "the archive https://example.org/thing-1.0.tar.gz: no route to host" in message


def test_an_origin_that_lacks_a_file_is_named(thing, capsys):
    del thing.published["a.h"]
    assert run(thing, "sync") == 1
    assert "thing-1.0.tar.gz: does not hold a.h" in capsys.readouterr().err


def test_a_truncated_archive_is_an_origin_that_failed(thing, monkeypatch, capsys):
    def truncated(origin, folder: Path) -> Path:
        path = thing.archive()
        path.write_bytes(path.read_bytes()[:100])
        return path

    monkeypatch.setattr(archives, "download", truncated)
    assert run(thing, "sync") == 1
    assert "the archive cannot be read" in capsys.readouterr().err


def test_the_patched_files_are_written_for_the_build(thing, tmp_path):
    assert run(thing, "sync", "--patched", tmp_path / "patched") == 0
    assert (tmp_path / "patched" / "thing" / "a.c").read_bytes() == b"one\none and a half\n2\nthree\n"
    assert (thing.source / "a.c").read_bytes() == b"one\ntwo\nthree\n"


def test_a_patched_file_that_is_not_the_pinned_result_fails(thing):
    sync(thing.vendor, thing.vendor.pins())
    text = thing.vendor.text("thing")
    result = hashlib.sha256(b"one\none and a half\n2\nthree\n").hexdigest()
    thing.vendor.pin_path("thing").write_text(text.replace(result, "0" * 64))
    with pytest.raises(VendorError, match=rf"a\.c \(patched\) is not the pinned file\n.*0000\n.*{result}"):
        patched_tree(thing.vendor, thing.vendor.load("thing"))


def test_patches_in_the_wrong_order_do_not_apply(thing):
    sync(thing.vendor, thing.vendor.pins())
    thing.pin(series=("patches/again.patch", "patches/first.patch"))
    with pytest.raises(
        PatchError, match=r"thing/again\.patch does not apply to a\.c: hunk 1 \(@@ -2,3 \+2,3 @@\)"
    ):
        patched_tree(thing.vendor, thing.vendor.load("thing"))


def test_a_patch_of_our_own_that_the_pin_does_not_list_is_reported(thing, capsys):
    thing.add_own_patch("0001-more.patch", b"--- thing/a.h\n+++ thing/a.h\n@@ -1 +1 @@\n-int a;\n+int b;\n")
    assert run(thing, "sync") == 1
    message = capsys.readouterr().err
    assert "0001-more.patch" in message
    assert "vendor.py update thing" in message


def test_a_listed_patch_of_our_own_that_is_not_there_is_reported(thing, capsys):
    thing.pin(**{"0001-gone.patch": ""})
    assert run(thing, "sync") == 1
    assert "0001-gone.patch" in capsys.readouterr().err
