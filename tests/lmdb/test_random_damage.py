"""Files that are damaged at random: using them goes well, or ends in an `lmdb.Error`, never in a crash."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from .damage import damage
from .hostile_files import KINDS, Job, sound, use, write

SERIOUS = {
    "CorruptedError", "PageNotFoundError", "InvalidError", "PanicError", "BadTxnError", "PageFullError",
    "ProblemError", "CursorFullError", "BadDbiError", "TxnFullError", "Error",
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_sound_files_give_no_error(tmp_path: Path, engine: int, kind: str) -> None:
    """The workload itself is sound: what it meets in other tests comes from the damage."""
    jobs = [(write(tmp_path / f"{i}", sound(kind, engine)), i % 2 == 1, i > 1, i) for i in range(4)]
    for result in use(jobs):
        assert (result["signal"], result["trouble"]) == (0, "")
        serious = {step: error for step, error in result["errors"].items() if error in SERIOUS}
        assert serious == {}


@pytest.mark.parametrize("writemap", [False, True], ids=["", "writemap"])
@pytest.mark.parametrize("seed", range(2))
def test_random_damage(tmp_path: Path, engine: int, seed: int, writemap: bool) -> None:
    rng = random.Random(f"{engine}.{seed}")
    jobs = []
    for number in range(20 if writemap else 40):
        data = damage(sound(rng.choice(KINDS), engine), rng, engine)
        jobs.append((write(tmp_path / f"{number}", data), writemap, rng.random() < 0.3, number))
    for number, result in enumerate(use(jobs)):
        assert (result["signal"], result["trouble"]) == (0, ""), f"file {number}"


def damaged(folder: Path, engine: int, seed: int, number: int) -> Job:
    """A damaged file, which depends on the numbers alone, and how to use it."""
    rng = random.Random(f"{engine}.{seed}.{number}")
    data = damage(sound(rng.choice(KINDS), engine), rng, engine)
    return write(folder / "env", data), rng.random() < 0.4, rng.random() < 0.3, number


@pytest.mark.parametrize(("lib", "seed", "number"), [(0, 0, 420)])
def test_file_that_crashes_without_one_of_our_patches(
    tmp_path: Path, lib: int, seed: int, number: int
) -> None:
    """Found at random, with the patch left out: a tree whose pages are on the wrong levels."""
    (result,) = use([damaged(tmp_path, lib, seed, number)])
    assert (result["signal"], result["trouble"]) == (0, "")
    assert result["errors"], "nobody has noticed"
