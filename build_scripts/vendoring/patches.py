"""Strict application of unified diffs: every hunk at its one place, whole, or not at all.

`patch` programs search for a place where a hunk might fit, and leave out context until they find one. That
is how a bounds check ends up in the wrong function. Here one of two rules decides where a hunk goes:

- By line: where its header says. The hardening series is published as a set of files, whose line numbers
  tell in which order they were made.
- By content: where all of its lines are, if there is no second such place. So one text of ours serves both
  engines. The pinned sha256 of the result says that it went where it was meant to go.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from .diffs import ENCODING, FileDiff, Hunk, parse_diff
from .errors import PatchError

Tree = Mapping[str, bytes]
"""File contents by name. Names have no folder: patches address files by the last component of their paths."""


@dataclass(frozen=True)
class Patch:
    """A patch for the files of one component."""

    name: str
    """What messages call it."""
    diffs: tuple[FileDiff, ...]
    by_line: bool = True
    """Whether hunks go to the lines that they name. If not, theirs may be anywhere in a file, but once."""


def read_patch(name: str, diff: bytes) -> Patch:
    """A patch that applies by line. Raises PatchError."""
    return Patch(name, tuple(parse_diff(name, diff)))


def apply_series(tree: Tree, series: Iterable[Patch]) -> dict[str, bytes]:
    """Apply patches one on top of the other.

    Returns the new tree, untouched files included. Raises PatchError.
    """
    result = dict(tree)
    for patch in series:
        result = apply_patch(result, patch)
    return result


def apply_patch(tree: Tree, patch: Patch) -> dict[str, bytes]:
    """Apply one patch. All of its hunks for a file are placed in the file as it was.

    Returns the new tree, untouched files included. Raises PatchError.
    """
    hunks: dict[str, list[Hunk]] = {}
    for diff in patch.diffs:
        hunks.setdefault(diff.file, []).extend(diff.hunks)
    result = dict(tree)
    for file, changes in hunks.items():
        if file not in tree:
            raise PatchError(f"patch {patch.name} changes {file}, which is not among the sources")
        result[file] = _apply_hunks(tree[file], changes, patch, file)
    return result


def derive_order(tree: Tree, patches: Mapping[str, bytes]) -> list[str]:
    """Find an order in which every hunk of every patch applies at exactly the line it names.

    A series is published as a set of files; the line numbers tell which tree each patch was made against.
    Raises PatchError if there is no such order.
    """
    series = {name: read_patch(name, diff) for name, diff in patches.items()}
    longest: list[str] = []

    def search(current: Tree, done: list[str]) -> list[str] | None:
        nonlocal longest
        longest = max(longest, done, key=len)
        if len(done) == len(series):
            return done
        for name in sorted(series.keys() - set(done)):
            try:
                patched = apply_patch(current, series[name])
            except PatchError:
                continue
            if found := search(patched, [*done, name]):
                return found
        return None

    if (order := search(tree, [])) is None:
        stuck = ", ".join(sorted(series.keys() - set(longest)))
        raise PatchError(f"no order applies the whole patch series; left over after {len(longest)}: {stuck}")
    return order


def _apply_hunks(content: bytes, hunks: list[Hunk], patch: Patch, file: str) -> bytes:
    source = content.decode(ENCODING).split("\n")
    target: list[str] = []
    done = 0
    for start, hunk, complaint in sorted(_place(source, hunks, patch, file), key=lambda placed: placed[0]):
        if start < done:
            raise PatchError(f"{complaint} overlaps another hunk; make them one, or give them less context")
        target += source[done:start]
        if patch.by_line and len(target) != hunk.target_start:
            raise PatchError(f"{complaint} does not match at that line of the result")
        target += hunk.target
        done = start + len(hunk.source)
    return "\n".join(target + source[done:]).encode(ENCODING)


def _place(source: list[str], hunks: list[Hunk], patch: Patch, file: str) -> list[tuple[int, Hunk, str]]:
    """The index of the first line of each hunk, the hunk, and how messages about it begin."""
    find = _find_by_line if patch.by_line else _find_by_content
    placed: list[tuple[int, Hunk, str]] = []
    for number, hunk in enumerate(hunks, start=1):
        complaint = f"patch {patch.name} does not apply to {file}: hunk {number} ({hunk.header})"
        try:
            placed.append((find(source, hunk), hunk, complaint))
        except PatchError as error:
            raise PatchError(f"{complaint} {error}") from error
    return placed


def _find_by_line(source: list[str], hunk: Hunk) -> int:
    start = hunk.source_start
    if source[start : start + len(hunk.source)] != list(hunk.source):
        raise PatchError("does not match at that line: it was made for other sources")
    return start


def _find_by_content(source: list[str], hunk: Hunk) -> int:
    lines = list(hunk.source)
    if not lines:
        raise PatchError("has no line to be found by: give it lines of context")
    places = [
        index
        for index, line in enumerate(source)
        if line == lines[0] and source[index : index + len(lines)] == lines
    ]
    if not places:
        raise PatchError(
            "matches nowhere: bring its lines up to date, or give this component a section of its own"
        )
    if len(places) > 1:
        numbers = " and ".join(str(index + 1) for index in places[:5])
        raise PatchError(f"matches at the lines {numbers}: give it more lines of context")
    return places[0]
