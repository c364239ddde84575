"""Patches of our own: one text for all engines, with sections for one of them where theirs differ."""

from pathlib import Path

import pytest

from vendoring.errors import PatchError
from vendoring.patches import apply_patch
from vendoring.pins import Vendor

TREE = {"a.c": b"one\ntwo\nthree\n", "b.c": b"four\n"}


@pytest.fixture
def vendor(tmp_path: Path) -> Vendor:
    """Two releases of one library, and another component."""
    vendor = Vendor(tmp_path)
    vendor.patch_path("").mkdir(parents=True)
    for name in ("engine-1", "engine-2", "other"):
        vendor.pin_path(name).touch()
    return vendor


def add(vendor: Vendor, name: str, *sections: str) -> None:
    vendor.patch_path(name).write_text("Why: a test.\n\n" + "".join(sections))


def section(path: str, old: str, new: str) -> str:
    return f"--- {path}\n+++ {path}\n@@ -7 +7 @@ somewhere\n-{old}\n+{new}\n"


def test_each_release_gets_what_all_share_and_its_own_and_nothing_else(vendor):
    add(
        vendor,
        "0001-p.patch",
        section("engine/a.c", "one", "1"),
        section("engine-1/a.c", "two", "2"),
        section("engine-2/b.c", "four", "4"),
    )
    first, second = (vendor.own_patches(name)["0001-p.patch"] for name in ("engine-1", "engine-2"))
    assert apply_patch(TREE, first) == {"a.c": b"1\n2\nthree\n", "b.c": b"four\n"}
    assert apply_patch(TREE, second) == {"a.c": b"1\ntwo\nthree\n", "b.c": b"4\n"}
    assert not vendor.own_patches("other")


def test_a_patch_for_one_release_is_none_of_the_other(vendor):
    add(vendor, "0002-b.patch", section("engine-2/a.c", "one", "1"))
    add(vendor, "0001-a.patch", section("engine/a.c", "one", "1"))
    assert list(vendor.own_patches("engine-1")) == ["0001-a.patch"]
    assert list(vendor.own_patches("engine-2")) == ["0001-a.patch", "0002-b.patch"]


@pytest.mark.parametrize("path", ["engine-3/a.c", "a/a.c", "a.c", "Engine/a.c"])
def test_a_section_of_no_component_is_not_passed_over(vendor, path):
    add(vendor, "0001-p.patch", section("engine/a.c", "one", "1"), section(path, "two", "2"))
    with pytest.raises(
        PatchError,
        match=rf"0001-p\.patch changes {path}, which is no component's: .* engine, engine-1, engine-2, other",
    ):
        vendor.own_patches("engine-1")


def test_the_component_is_named_where_a_shared_section_fits_only_the_other(vendor):
    add(vendor, "0001-p.patch", section("engine/a.c", "one", "1"))
    patch = vendor.own_patches("engine-2")["0001-p.patch"]
    with pytest.raises(
        PatchError, match=r"0001-p\.patch for engine-2 does not apply to a\.c: hunk 1 .* matches nowhere"
    ):
        apply_patch({"a.c": b"other\n"}, patch)
