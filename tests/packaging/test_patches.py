"""The patch applier: a hunk goes to its one place, or the build fails."""

import pytest

from vendoring.diffs import parse_diff
from vendoring.errors import PatchError
from vendoring.patches import Patch, apply_patch, apply_series, derive_order, read_patch

TREE = {"a.c": b"".join(b"line %d\n" % number for number in range(1, 21)), "b.c": b"b\n"}

TWO_HUNKS = b"""\
diff --git a/lib/a.c b/lib/a.c
index 9fcc6f9..df3dfaf 100644
--- a/lib/a.c
+++ b/lib/a.c
@@ -2,3 +2,4 @@ some function
 line 2
+between
 line 3
 line 4
@@ -10,3 +11,2 @@
 line 10
-line 11
 line 12
"""


def test_every_hunk_is_applied_where_it_says():
    result = apply_patch(TREE, read_patch("two", TWO_HUNKS))
    lines = TREE["a.c"].decode().split("\n")
    lines[2:2] = ["between"]
    lines.remove("line 11")
    assert result["a.c"].decode() == "\n".join(lines)
    assert result["b.c"] == TREE["b.c"]
    assert TREE["a.c"].startswith(b"line 1\nline 2\nline 3"), "the given tree is left alone"


def test_a_hunk_that_would_fit_one_line_further_down_is_refused():
    moved = {**TREE, "a.c": b"new first line\n" + TREE["a.c"]}
    with pytest.raises(PatchError, match=r"patch two does not apply to a\.c: hunk 1 \(@@ -2,3 \+2,4 @@\)"):
        apply_patch(moved, read_patch("two", TWO_HUNKS))


def test_a_hunk_whose_context_differs_is_refused():
    changed = {**TREE, "a.c": TREE["a.c"].replace(b"line 12\n", b"line twelve\n")}
    with pytest.raises(PatchError, match=r"hunk 2 \(@@ -10,3 \+11,2 @@\) does not match"):
        apply_patch(changed, read_patch("two", TWO_HUNKS))


def test_a_target_line_number_that_does_not_add_up_is_refused():
    with pytest.raises(PatchError, match="hunk 2"):
        apply_patch(TREE, read_patch("two", TWO_HUNKS.replace(b"+11,2", b"+10,2")))


def test_insertion_without_context():
    diff = b"--- a/b.c\n+++ b/b.c\n@@ -1,0 +2,2 @@\n+c\n+d\n"
    assert apply_patch(TREE, read_patch("insertion", diff))["b.c"] == b"b\nc\nd\n"


def test_a_file_that_is_not_among_the_sources_is_named():
    with pytest.raises(PatchError, match=r"patch p changes c\.c"):
        apply_patch({"b.c": b"b\n"}, read_patch("p", b"--- a/c.c\n+++ b/c.c\n@@ -1 +1 @@\n-b\n+c\n"))


@pytest.mark.parametrize("diff", [b"", b"no diff at all\n", b"--- a/b.c\n+++ b/b.c\n", TWO_HUNKS[:-10]])
def test_a_malformed_patch_is_named(diff):
    with pytest.raises(PatchError, match="patch bad is malformed"):
        apply_patch(TREE, read_patch("bad", diff))


def test_bytes_that_are_not_utf8_survive():
    tree = {"b.c": b"/* \xa9 \x85 \x0c */\r\nb\n"}
    diff = b"--- a/b.c\n+++ b/b.c\n@@ -1,2 +1,2 @@\n /* \xa9 \x85 \x0c */\r\n-b\n+\xe9\n"
    assert apply_patch(tree, read_patch("bytes", diff))["b.c"] == b"/* \xa9 \x85 \x0c */\r\n\xe9\n"


def test_the_order_of_a_series_follows_from_its_line_numbers():
    # Each insertion moves down the line that the next one addresses.
    steps = {
        "z.patch": insertion(1, "line 1"),
        "m.patch": insertion(6, "line 5"),
        "a.patch": insertion(8, "line 6"),
    }
    order = derive_order(TREE, steps)
    assert order == ["z.patch", "m.patch", "a.patch"]
    assert apply_series(TREE, (read_patch(name, steps[name]) for name in order))["a.c"].count(b"new") == 3


def test_a_series_without_any_order_names_what_is_left_over():
    impossible = b"--- a/b.c\n+++ b/b.c\n@@ -1 +1 @@\n-x\n+y\n"
    with pytest.raises(PatchError, match=r"left over after 1: bad\.patch"):
        derive_order(TREE, {"good.patch": insertion(1, "line 1"), "bad.patch": impossible})


@pytest.mark.parametrize("before", [b"", b"new first line\n", b"three\nnew\nlines\n"])
def test_by_content_a_hunk_is_applied_where_its_lines_are(before):
    tree = {**TREE, "a.c": before + TREE["a.c"]}
    result = apply_patch(tree, by_content(TWO_HUNKS))["a.c"]
    assert result == before + apply_patch(TREE, read_patch("two", TWO_HUNKS))["a.c"]


def test_by_content_a_hunk_that_matches_twice_is_refused_with_both_places():
    tree = {**TREE, "a.c": TREE["a.c"] + TREE["a.c"]}
    with pytest.raises(
        PatchError,
        match=r"own does not apply to a\.c: hunk 1 \(@@ -2,3 \+2,4 @@\) matches at the lines 2 and 22: give",
    ):
        apply_patch(tree, by_content(TWO_HUNKS))


@pytest.mark.parametrize("line", [b"line 2\n", b"line 3\n", b"line 4\n"])
def test_by_content_a_hunk_of_which_one_line_differs_is_refused(line):
    tree = {**TREE, "a.c": TREE["a.c"].replace(line, line.upper())}
    with pytest.raises(
        PatchError, match=r"a\.c: hunk 1 \(@@ -2,3 \+2,4 @@\) matches nowhere: bring its lines up to date"
    ):
        apply_patch(tree, by_content(TWO_HUNKS))


def test_by_content_a_hunk_without_a_line_to_be_found_by_is_refused():
    diff = b"--- a/b.c\n+++ b/b.c\n@@ -1,0 +2,2 @@\n+c\n+d\n"
    with pytest.raises(PatchError, match=r"b\.c: hunk 1 .* has no line to be found by"):
        apply_patch(TREE, by_content(diff))


def test_by_content_hunks_that_share_a_line_are_refused():
    second = b"@@ -3,2 +4,3 @@\n line 3\n+new\n line 4\n"
    diff = b"--- a/a.c\n+++ b/a.c\n@@ -2,2 +2,3 @@\n line 2\n+new\n line 3\n" + second
    with pytest.raises(PatchError, match=r"a\.c: hunk 2 .* overlaps another hunk"):
        apply_patch(TREE, by_content(diff))


def test_by_content_the_sections_of_a_file_are_placed_together():
    first, second = TWO_HUNKS.split(b"@@ -10,3")
    diff = b"--- a/a.c\n+++ b/a.c\n@@ -10,3" + second + first
    assert apply_patch(TREE, by_content(diff)) == apply_patch(TREE, by_content(TWO_HUNKS))


def by_content(diff: bytes) -> Patch:
    """A patch that applies as ours do."""
    return Patch("own", tuple(parse_diff("own", diff)), by_line=False)


def insertion(number: int, line: str) -> bytes:
    """A patch that inserts a line before `line`, the one of this number."""
    return f"--- a/a.c\n+++ b/a.c\n@@ -{number} +{number},2 @@\n+new\n {line}\n".encode()
