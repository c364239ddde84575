"""Data files that are damaged at random: using them goes well, or ends in an `lmdb.Error`."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from ..lmdb.damage import damage
from ..lmdb.hostile_files import KINDS, sound, write
from ..lmdb.hostile_workload import Workload
from .campaign import Case, Failure, Mode
from .child import Child


def trial(case: Case) -> Counter[str]:
    """Damage a file, have it audited, and use it for everything."""
    rng = case.rng
    kind = rng.choice([kind for kind in KINDS if case.options.only in (None, kind)])
    data = damage(_sound(kind, case.engine), rng, case.engine)
    path = write(case.folder / "file", data)
    writemap, grow = rng.random() < 0.4, rng.random() < 0.3
    outcome = Child(_use, path, writemap, grow, case.number).result(60)
    if outcome.failed:
        write(case.folder / "before", data)
        raise Failure(f"{kind}, writemap {writemap}, grow {grow}: {outcome.described()}", {"files": 1})
    errors: Counter[str] = Counter(outcome.value["errors"])
    return Counter({"files": 1, "found by verify": outcome.value["found"]}) + errors


def _sound(kind: str, engine: int) -> bytes:
    """A sound file. It is made in a child, as this process opens no environment."""
    key = (kind, engine)
    if key not in _made:
        outcome = Child(lambda: sound(kind, engine).hex()).result()
        if outcome.failed:
            raise RuntimeError(outcome.described())
        _made[key] = bytes.fromhex(outcome.value)
    return _made[key]


_made: dict[tuple[str, int], bytes] = {}


def _use(path: Path, writemap: bool, grow: bool, seed: int) -> dict[str, Any]:
    """What the audit says, and the classes of errors that using the file leads to."""
    from zlmdb.lmdb.verify import VerifyError, verify

    try:
        found = bool(verify(str(path)))
    except VerifyError:
        found = True
    workload = Workload(str(path), writemap, grow, seed)
    workload.run()
    return {"found": found, "errors": sorted(set(workload.errors.values()))}


MODE = Mode(trial, "files")
