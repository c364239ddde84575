"""Power cuts: what a sync mode promises holds for whatever the disk may have of what was not synced."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from .audit import audit, differences
from .campaign import Case, Failure, Mode
from .child import Child
from .disk import Disk
from .recording import Event, Kind, Mark, record
from .script import Script
from .shims import compiled
from .stores import Setup, opened

STEPS = 60
CREATION = 40
"""Events with which a recording begins, and in which the store comes to be: they get a third of the cuts."""
STORE = Path("store")


class Contract(NamedTuple):
    """What a sync mode promises for a power cut."""

    may_lose: int | None
    """How many acknowledged commits may be undone at most; None for all since the last explicit sync."""
    sound: bool
    """Whether the file is sound whatever of it has arrived, and not only if it arrived in order."""


class SyncMode(NamedTuple):
    """Options to open a store with, and what holds then."""

    options: dict[str, Any]
    contract: Contract
    native: bool = False
    """Whether the binding alone has these options."""
    sound_in_order: bool = True
    """Whether the file is sound at least if all that was written has arrived in order."""


ALL, LAST, NOTHING = Contract(0, True), Contract(1, True), Contract(None, False)
SYNC_MODES = {
    "sync": SyncMode({}, ALL),
    "metasync=False": SyncMode({"metasync": False}, LAST, native=True),
    "sync=False": SyncMode({"sync": False}, NOTHING),
    "writemap": SyncMode({"writemap": True}, ALL),
    "writemap, sync=False": SyncMode({"writemap": True, "sync": False}, NOTHING, sound_in_order=False),
    "map_async": SyncMode({"writemap": True, "map_async": True}, NOTHING, native=True, sound_in_order=False),
}


class Known(NamedTuple):
    """What the program knew when the power was cut."""

    begun: int = 0
    acknowledged: int = 0
    synced: int = 0
    copied: int = 0
    quiet: bool = False
    """Nothing was written since the last explicit sync."""

    def after(self, event: Event) -> Known:
        """What it knew after another event."""
        if event.kind is not Kind.MARK:
            return self._replace(quiet=False) if event.kind in (Kind.WRITE, Kind.LENGTH) else self
        step, mark = divmod(event.offset, 4)
        match Mark(mark):
            case Mark.BEGUN:
                return self._replace(begun=step, quiet=False)
            case Mark.ACKNOWLEDGED:
                return self._replace(acknowledged=step)
            case Mark.SYNCED:
                return self._replace(synced=step, quiet=True)
            case Mark.COPIED:
                return self._replace(copied=step)

    def bounds(self, contract: Contract) -> tuple[int, int]:
        """The least and the most steps that may be there."""
        if contract.may_lose is not None:
            return max(0, self.synced, self.acknowledged - contract.may_lose), self.begun
        return (self.synced if self.quiet else 0), self.begun


class Image(NamedTuple):
    """What was on the disk, and what is to hold for it."""

    content: dict[Path, bytes | None]
    known: Known
    contract: Contract
    journal: bool


def images(
    events: list[Event], mode: SyncMode, rng: random.Random, count: int, copies: bool
) -> Iterator[Image]:
    """Cut the power at random moments of a recording, with or without copies that are to survive."""
    journal = rng.random() < 0.8 or not copies
    moments = sorted(rng.randint(0, rng.choice([CREATION, len(events), len(events)])) for _ in range(count))
    disk, known, at = Disk(journal), Known(), 0
    for moment in moments:
        for event in events[at:moment]:
            disk.apply(event)
            known = known.after(event)
        at = moment
        ordered = rng.random() < 0.3
        contract = mode.contract
        if (ordered and mode.sound_in_order) or known.quiet:
            contract = contract._replace(sound=True)
        content = disk.image(rng, rng.choice([512, 4096]), ordered)
        yield Image(_with_lock_file(content, rng), known, contract, journal)


def _with_lock_file(content: dict[Path, bytes | None], rng: random.Random) -> dict[Path, bytes | None]:
    """Nobody syncs the lock file, so that it may hold anything."""
    lock = STORE / "lock.mdb"
    if lock in content:
        content[lock] = rng.choice([b"", bytes(100), bytes(8192), rng.randbytes(8192)])
    return content


# -- the trial --


@cache
def library() -> Path:
    """The recorder, compiled once."""
    return compiled("recorder")


def prepare() -> None:
    """Compile the recorder, for all workers."""
    library()


def trial(case: Case) -> Counter[str]:
    """Record once, and cut the power many times."""
    rng = case.rng
    native = case.module != "zlmdb"
    names = [name for name, mode in SYNC_MODES.items() if native or not mode.native]
    name = case.pick(names)
    mode = SYNC_MODES[name]
    growing = case.module != "lmdb" and rng.random() < 0.3
    size = {"map_size" if native else "maxsize": 1 << 16 if growing else 1 << 21}
    options = {**mode.options, **size, **({} if case.module == "lmdb" else {"grow": growing})}
    setup = Setup(case.module, case.engine, options)
    events = record(library(), case.folder, case.name, setup, STEPS)
    figures: Counter[str] = Counter(recordings=1, events=len(events))
    for image in images(events, mode, rng, case.options.images, not native):
        figures["images"] += 1
        path = write(case.folder / "image", image.content)
        outcome = Child(judge, path, setup, Script(case.name, 0), image).result()
        if outcome.value or outcome.failed:
            write(case.folder / "failed", image.content)  # as it was before anybody opened it
            raise Failure(
                f"{name}, {setup}, {image.known}, {image.contract}, journal {image.journal}: "
                f"{'; '.join(outcome.value or [outcome.described()])}",
                figures,
            )
        figures["sound images"] += image.contract.sound and image.journal
    return figures


def write(path: Path, content: dict[Path, bytes | None]) -> Path:
    """Write an image to a folder."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir()
    for name, data in content.items():
        if data is None:
            (path / name).mkdir()
        else:
            (path / name).write_bytes(data)
    return path


def judge(path: Path, setup: Setup, script: Script, image: Image) -> list[str]:
    """Open what is left; what is wrong with it."""
    problems = judge_copies(path, setup, script, image.known) if setup.module == "zlmdb" else []
    if not image.journal:
        return problems  # only copies promise to keep their names then
    if image.contract.sound:
        return problems + judge_sound(path / STORE, setup, script, image)
    (path / STORE).mkdir(exist_ok=True)
    with suppress(*setup.errors()):
        audit(setup, path / STORE, [script], [image.known.bounds(image.contract)], sound=False)
    return problems


def judge_sound(store: Path, setup: Setup, script: Script, image: Image) -> list[str]:
    """A store that promises to be sound. One that was being made is as good as none."""
    bounds = image.known.bounds(image.contract)
    if bounds[0] and not (store / "data.mdb").exists():
        return [f"the data file is gone, and {bounds[0]} steps with it"]
    store.mkdir(exist_ok=True)
    return audit(setup, store, [script], [bounds], sound=bounds[0] > 0)


def judge_copies(path: Path, setup: Setup, script: Script, known: Known) -> list[str]:
    """Copies that were acknowledged are there, and those that are there are complete."""
    problems = []
    for step in range(25, STEPS + 1, 25):
        copy = path / f"copy{step // 5}"
        if not copy.exists():
            problems += [f"{copy.name} is gone"] if step <= known.copied else []
        elif not (copy / "data.mdb").exists():
            problems.append(f"{copy.name} is empty")
        else:
            problems += [f"{copy.name}: {problem}" for problem in setup.verify(copy)[:3]]
            with opened(setup, copy) as store:
                problems += differences(store.read(), [script], [(step, step)])
    return problems


MODE = Mode(trial, "images", prepare)
