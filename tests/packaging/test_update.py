"""Updating a pin in one command."""

import hashlib

import pytest

from vendoring.errors import PatchError, VendorError
from vendoring.sources import patched_tree, sync, verify
from vendoring.update import Change, update


def ignore(line: str) -> None:
    """Take no interest in a report."""


def test_a_new_version_is_pinned_from_a_given_archive(thing):
    sync(thing.vendor, thing.vendor.pins())
    thing.published["a.h"] = b"int a, b;\n"
    thing.published["b.c"] = b"new file\n"
    del thing.published["patches/again.patch"]
    archive = thing.archive("thing-2.0")  # once, because its bytes have the time in them
    pin = update(thing.vendor, "thing", Change(version="2.0", archive=archive), ignore)
    assert pin.version == "2.0"
    assert pin.origins[0].archive == "https://example.org/thing-2.0.tar.gz"
    assert pin.origins[0].sha256 == hashlib.sha256(archive.read_bytes()).hexdigest()
    assert set(pin.files) == {"a.c", "a.h", "b.c", "LICENSE", "patches/first.patch"}
    assert pin.series == ("patches/first.patch",)
    verify(thing.vendor, pin)


def test_an_update_keeps_the_comments_of_a_pin(thing):
    update(thing.vendor, "thing", Change(version="2.0", archive=thing.archive()), ignore)
    text = thing.vendor.text("thing")
    assert text.startswith("# A component for tests.\n")
    assert "[[origins]]\n# Where it is published.\n" in text


def test_an_update_of_nothing_new_changes_nothing(thing):
    update(thing.vendor, "thing", Change(archive=thing.archive()), ignore)
    before = thing.vendor.text("thing")
    update(thing.vendor, "thing", Change(), ignore)
    assert thing.vendor.text("thing") == before


def test_our_own_patches_are_recorded_after_the_series_in_the_order_of_their_names(thing):
    sync(thing.vendor, thing.vendor.pins())
    thing.add_own_patch("0002-b.patch", b"--- thing/a.c\n+++ thing/a.c\n@@ -3 +3 @@\n-II\n+zwei\n")
    thing.add_own_patch("0001-a.patch", b"--- thing/a.c\n+++ thing/a.c\n@@ -3 +3 @@\n-2\n+II\n")
    pin = update(thing.vendor, "thing", Change(), ignore)
    assert pin.own == ("0001-a.patch", "0002-b.patch")
    assert patched_tree(thing.vendor, pin)["a.c"] == b"one\none and a half\nzwei\nthree\n"


def test_a_patch_of_our_own_that_does_not_apply_leaves_the_pin_alone(thing):
    sync(thing.vendor, thing.vendor.pins())
    before = thing.vendor.text("thing")
    thing.add_own_patch("0001-a.patch", b"--- thing/a.c\n+++ thing/a.c\n@@ -3 +3 @@\n-two\n+2\n")
    with pytest.raises(
        PatchError, match=r"0001-a\.patch for thing does not apply to a\.c: hunk 1 .* matches nowhere"
    ):
        update(thing.vendor, "thing", Change(), ignore)
    assert thing.vendor.text("thing") == before


def test_recording_our_patches_does_not_record_a_damaged_source(thing):
    sync(thing.vendor, thing.vendor.pins())
    (thing.source / "a.h").write_bytes(b"int c;\n")
    with pytest.raises(VendorError, match=r"a\.h is not the pinned file"):
        update(thing.vendor, "thing", Change(), ignore)


def test_a_wanted_file_that_no_origin_has_is_named(thing):
    del thing.published["LICENSE"]
    with pytest.raises(VendorError, match="no origin within reach has LICENSE"):
        update(thing.vendor, "thing", Change(archive=thing.archive()), ignore)


def test_an_unknown_component_is_refused_with_the_known_ones(thing):
    with pytest.raises(VendorError, match=r"no component 'thin' is pinned \(known: thing\)"):
        update(thing.vendor, "thin", Change(), ignore)
