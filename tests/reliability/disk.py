"""What a disk may hold after the power was cut, given what a program has asked for before.

What was synced is there. Of the rest, each unit that the disk writes at once (512 or 4096 bytes) is as it was
at any time since: writes arrive in any order, and in parts. The same goes for lengths of files. Names arrive
in order, as with the journals of Linux's file systems, where syncing a new file keeps its name, too; or else
each for itself, and only syncing the folder keeps them, which is all that POSIX says.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

from .recording import Event, Kind

Piece = tuple[int, bytes]
"""Where something was written, and what."""


class File:
    """Content: what is durable, and what has been written since."""

    def __init__(self) -> None:
        self._durable = bytearray()
        self._pending: list[Piece] = []
        self._lengths = [0]
        """The durable length, and those that it has had since."""

    def write(self, offset: int, data: bytes) -> None:
        self._pending.append((offset, data))
        self._lengths.append(max(self._lengths[-1], offset + len(data)))

    def set_length(self, length: int) -> None:
        self._lengths.append(length)

    def sync(self, start: int, size: int) -> None:
        """Make a range durable; the length is then as well."""
        kept = []
        for offset, data in self._pending:
            first, last = max(start, offset), min(start + size, offset + len(data))
            if first >= last:
                kept.append((offset, data))
                continue
            _put(self._durable, first, data[first - offset : last - offset])
            kept.append((offset, data[: first - offset]))
            kept.append((last, data[last - offset :]))
        self._pending = [piece for piece in kept if piece[1]]
        self._lengths = [self._lengths[-1]]

    def image(self, rng: random.Random, unit: int, ordered: bool) -> bytes:
        """What may be there: with `ordered`, nothing of what came after something that is missing."""
        content = bytearray(self._durable)
        pieces = [part for piece in self._pending for part in _units(piece, unit)]
        chosen = _first(pieces, rng) if ordered else _any(pieces, rng, unit)
        for offset, data in chosen:
            _put(content, offset, data)
        needed = max((offset + len(data) for offset, data in chosen), default=0)
        lengths = self._lengths if not ordered else [max(needed, self._lengths[0])]
        length = max(needed if rng.random() < 0.8 else 0, rng.choice(lengths))
        del content[length:]
        content.extend(bytes(length - len(content)))
        return bytes(content)


def _put(content: bytearray, offset: int, data: bytes) -> None:
    if len(content) < offset:
        content.extend(bytes(offset - len(content)))
    content[offset : offset + len(data)] = data


def _units(piece: Piece, unit: int) -> list[Piece]:
    """What of it the disk writes at once."""
    offset, data = piece
    cuts = [offset, *range((offset // unit + 1) * unit, offset + len(data), unit), offset + len(data)]
    return [(a, data[a - offset : b - offset]) for a, b in pairwise(cuts)]


def _first(pieces: list[Piece], rng: random.Random) -> list[Piece]:
    return pieces[: rng.randint(0, len(pieces))]


def _any(pieces: list[Piece], rng: random.Random, unit: int) -> list[Piece]:
    """Each unit as it was after any of the writes to it, or before them all; mostly few or most are new."""
    share = rng.choice([0.02, 0.1, 0.5, 0.5, 0.9, 0.98, 1.0])
    writes: dict[int, int] = {}
    for offset, _ in pieces:
        writes[offset // unit] = writes.get(offset // unit, 0) + 1
    left = {}
    for number, count in writes.items():
        done = count if rng.random() < share else 0
        left[number] = rng.randint(0, count) if rng.random() < 0.2 else done
    chosen = []
    for piece in pieces:
        number = piece[0] // unit
        if left[number]:
            left[number] -= 1
            chosen.append(piece)
    return chosen


class Folder:
    """Names: those that are durable, and those that there are now."""

    def __init__(self) -> None:
        self.durable: dict[str, File | Folder] = {}
        self.current: dict[str, File | Folder] = {}


Change = list[tuple[Folder, str, "File | Folder | None"]]
"""Names that get something else, or nothing, at the same time."""


class Disk:
    """Files and folders, as events change them.

    Args:
        journal: Names arrive in order, and syncing a file keeps its name.
    """

    def __init__(self, journal: bool = True) -> None:
        self._journal = journal
        self._root = Folder()
        self._pending: list[Change] = []

    def apply(self, event: Event) -> None:
        """Do what the program did."""
        parent, name = event.path.parent, event.path.name
        match event.kind:
            case Kind.CREATE:
                self._change([(self._folder(parent), name, File())])
            case Kind.FOLDER:
                self._change([(self._folder(parent), name, Folder())])
            case Kind.REMOVE:
                self._change([(self._folder(parent), name, None)])
            case Kind.RENAME:
                target = Path(event.data.decode())
                moved = self._find(event.path)
                change: Change = [(self._folder(parent), name, None)]
                self._change([*change, (self._folder(target.parent), target.name, moved)])
            case Kind.SYNC_FOLDER:
                folder = self._folder(event.path)
                self._settle(lambda change: any(place is folder for place, _, _ in change))
            case Kind.WRITE:
                self._file(event.path).write(event.offset, event.data)
            case Kind.LENGTH:
                self._file(event.path).set_length(event.offset)
            case Kind.SYNC:
                self._sync(self._file(event.path), event)

    def _sync(self, file: File, event: Event) -> None:
        file.sync(event.offset, event.size)
        if self._journal:
            self._settle(lambda change: any(what is file for _, _, what in change))

    def _change(self, change: Change) -> None:
        self._pending.append(change)
        for folder, name, what in change:
            _name(folder.current, name, what)

    def _settle(self, concerned: Callable[[Change], bool]) -> None:
        """Make the changes durable that are concerned; with a journal also those before."""
        numbers = [number for number, change in enumerate(self._pending) if concerned(change)]
        if self._journal and numbers:
            numbers = list(range(numbers[-1] + 1))
        for number in numbers:
            for folder, name, what in self._pending[number]:
                _name(folder.durable, name, what)
        self._pending = [change for number, change in enumerate(self._pending) if number not in numbers]

    def _find(self, path: Path) -> File | Folder:
        found: File | Folder = self._root
        for name in path.parts:
            assert isinstance(found, Folder)
            found = found.current[name]
        return found

    def _folder(self, path: Path) -> Folder:
        found = self._find(path)
        assert isinstance(found, Folder)
        return found

    def _file(self, path: Path) -> File:
        found = self._find(path)
        assert isinstance(found, File)
        return found

    def image(self, rng: random.Random, unit: int, ordered: bool = False) -> dict[Path, bytes | None]:
        """Files with their content, and folders with None, that may be there if the power is cut now.

        Args:
            rng: Decides.
            unit: Bytes that the disk writes at once.
            ordered: What is written to a file arrives in order.
        """
        some = self._pending[: rng.randint(0, len(self._pending))]
        if not self._journal:
            some = [change for change in self._pending if rng.random() < 0.5]
        return dict(_walk(self._root, Path(), some, lambda file: file.image(rng, unit, ordered)))


def _name(names: dict[str, File | Folder], name: str, what: File | Folder | None) -> None:
    if what is None:
        names.pop(name, None)
    else:
        names[name] = what


def _walk(
    folder: Folder, path: Path, changes: list[Change], content: Callable[[File], bytes]
) -> Iterator[tuple[Path, bytes | None]]:
    """All below a folder whose durable names are changed."""
    names = dict(folder.durable)
    for change in changes:
        for place, name, what in change:
            if place is folder:
                _name(names, name, what)
    for name, what in names.items():
        if isinstance(what, Folder):
            yield path / name, None
            yield from _walk(what, path / name, changes, content)
        else:
            yield path / name, content(what)
