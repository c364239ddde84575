"""Read unified diffs: which files they change, and the hunks of each."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from .errors import PatchError

# latin-1 maps each byte to one character and back: the encoding of the sources need not be known.
ENCODING = "latin-1"

_HUNK = re.compile(r"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")
_FILE = re.compile(r"--- (\S+)")


@dataclass(frozen=True)
class Hunk:
    """One change: lines of the source, context included, and what takes their place."""

    header: str
    """As the diff has it, from `@@` to `@@`."""
    source_start: int
    """Index of the first line in the source, counted from 0, according to the header."""
    target_start: int
    """Index of the first line in the result, counted from 0, according to the header."""
    source: tuple[str, ...]
    target: tuple[str, ...]


@dataclass(frozen=True)
class FileDiff:
    """The changes of one file. A patch may hold several for the same file."""

    path: str
    hunks: tuple[Hunk, ...]

    @property
    def folder(self) -> str:
        """The first component of the path, or nothing."""
        return self.path.partition("/")[0] if "/" in self.path else ""

    @property
    def file(self) -> str:
        """The last component of the path."""
        return self.path.rpartition("/")[2]


def parse_diff(name: str, diff: bytes) -> list[FileDiff]:
    """Read a diff; `name` is what messages call it. Text before and between its parts is skipped.

    Raises PatchError if it holds no hunk, or one whose lines are not as many as its header says.
    """
    found: list[FileDiff] = []
    path = ""
    hunks: list[Hunk] = []
    lines = iter(diff.decode(ENCODING).split("\n"))
    for line in lines:
        if start := _FILE.match(line):
            found += [FileDiff(path, tuple(hunks))] if hunks else []
            path, hunks = start[1], []
        elif header := _HUNK.match(line):
            if not path:
                raise PatchError(f"patch {name} is malformed: {header[0]} comes before the name of a file")
            hunks.append(_read_hunk(name, header, lines))
    found += [FileDiff(path, tuple(hunks))] if hunks else []
    if not found:
        raise PatchError(f"patch {name} is malformed: it holds no hunk")
    return found


def _read_hunk(name: str, header: re.Match[str], lines: Iterator[str]) -> Hunk:
    source_start, source_length, target_start, target_length = (
        int(number or 1) for number in header.groups()
    )
    source: list[str] = []
    target: list[str] = []
    while (len(source), len(target)) != (source_length, target_length):
        line = next(lines, "end of file")
        # Some programs take the blank off an empty line of context.
        kind, text = line[:1] or " ", line[1:]
        source += [text] if kind in " -" else []
        target += [text] if kind in " +" else []
        if kind not in " -+" or len(source) > source_length or len(target) > target_length:
            raise PatchError(
                f"patch {name} is malformed: {header[0]} does not have as many lines as it says, at {line!r}"
            )
    return Hunk(
        header[0],
        # The start of an empty side is the line before it; of any other its first line, counted from 1.
        source_start - (source_length > 0),
        target_start - (target_length > 0),
        tuple(source),
        tuple(target),
    )
