"""Strict application of unified diffs: every hunk at exactly the line it names, or not at all.

`patch` programs search for a place where a hunk might fit. Sources pinned by hash leave nothing to search,
and a hunk that lands elsewhere is how a bounds check ends up in the wrong function.
"""

from collections.abc import Iterable, Mapping

from unidiff.errors import UnidiffParseError
from unidiff.patch import Hunk, PatchedFile, PatchSet

from .errors import PatchError

Tree = Mapping[str, bytes]
"""File contents by name. Names have no folder: patches address files by the last component of their paths."""

# latin-1 maps each byte to one character and back: the encoding of the sources need not be known.
ENCODING = "latin-1"


def apply_series(tree: Tree, series: Iterable[tuple[str, bytes]]) -> dict[str, bytes]:
    """Apply patches, given as (name, diff), one on top of the other.

    Returns the new tree, untouched files included. Raises PatchError.
    """
    result = dict(tree)
    for name, diff in series:
        result = apply_patch(result, name, diff)
    return result


def apply_patch(tree: Tree, name: str, diff: bytes) -> dict[str, bytes]:
    """Apply one patch; `name` is what messages call it.

    Returns the new tree, untouched files included. Raises PatchError.
    """
    result = dict(tree)
    for change in _parse(name, diff):
        file = change.path.rpartition("/")[2]
        if file not in tree:
            raise PatchError(f"patch {name} changes {file}, which is not among the sources")
        result[file] = _apply_hunks(tree[file], change, f"patch {name} does not apply to {file}")
    return result


def derive_order(tree: Tree, patches: Mapping[str, bytes]) -> list[str]:
    """Find an order in which every hunk of every patch applies at exactly the line it names.

    A series is published as a set of files; the line numbers tell which tree each patch was made against.
    Raises PatchError if there is no such order.
    """
    longest: list[str] = []

    def search(current: Tree, done: list[str]) -> list[str] | None:
        nonlocal longest
        longest = max(longest, done, key=len)
        if len(done) == len(patches):
            return done
        for name in sorted(patches.keys() - set(done)):
            try:
                patched = apply_patch(current, name, patches[name])
            except PatchError:
                continue
            if found := search(patched, [*done, name]):
                return found
        return None

    if (order := search(tree, [])) is None:
        stuck = ", ".join(sorted(patches.keys() - set(longest)))
        raise PatchError(f"no order applies the whole patch series; left over after {len(longest)}: {stuck}")
    return order


def _parse(name: str, diff: bytes) -> PatchSet:
    try:
        changes = PatchSet.from_string(diff.decode(ENCODING))
    except UnidiffParseError as error:
        raise PatchError(f"patch {name} is malformed: {error}") from error
    if not any(changes):
        raise PatchError(f"patch {name} is malformed: it holds no hunk")
    return changes


def _apply_hunks(content: bytes, change: PatchedFile, complaint: str) -> bytes:
    source = content.decode(ENCODING).split("\n")
    target: list[str] = []
    done = 0
    for number, hunk in enumerate(change, start=1):
        # The start of an empty side is the line before it; of any other its first line, counted from 1.
        start = hunk.source_start - (hunk.source_length > 0)
        target += source[done:start]
        done = start + hunk.source_length
        in_place = len(target) == hunk.target_start - (hunk.target_length > 0)
        if not in_place or source[start:done] != _lines(hunk.source):
            raise PatchError(f"{complaint}: hunk {number} ({_header(hunk)}) does not match at that line")
        target += _lines(hunk.target)
    return "\n".join(target + source[done:]).encode(ENCODING)


def _lines(side: Iterable[str]) -> list[str]:
    return [line[1:].removesuffix("\n") for line in side]


def _header(hunk: Hunk) -> str:
    source, target = f"{hunk.source_start},{hunk.source_length}", f"{hunk.target_start},{hunk.target_length}"
    return f"@@ -{source} +{target} @@"
