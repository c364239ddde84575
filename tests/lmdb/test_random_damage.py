"""Files that are damaged at random: using them goes well, or ends in an `lmdb.Error`, never in a crash."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from .hostile_files import FREE, KINDS, MAIN, PAGE, RECORD, Image, sound, use, write

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


def damage(data: bytes, rng: random.Random, engine: int) -> bytes:
    """Change some bytes, fields, pages or the length of a file."""
    image = Image(data, engine)
    for _change in range(rng.choice([1, 1, 2, 3, 6])):
        page = rng.randrange(2, len(image.data) // PAGE)
        rng.choice(DAMAGES)(image, page, rng)
    if rng.random() < 0.03:
        del image.data[rng.randrange(2 * PAGE, len(image.data)) :]
    return bytes(image.data)


def odd_number(rng: random.Random, old: int = 0) -> int:
    odd = [0, 1, 2, 3, 8, 24, 0xFF, 4095, 4096, 0x7FFF, 0xFFFE, 0xFFFF, 1 << 31, 1 << 63]
    return rng.choice([*odd, old - 2, old + 2, old - 8])


def damage_byte(image: Image, page: int, rng: random.Random) -> None:
    at = rng.randrange(len(image.data))
    image.data[at] ^= 1 << rng.randrange(8)


def damage_header(image: Image, page: int, rng: random.Random) -> None:
    at, kind = rng.choice([(-8, "H"), (-6, "H"), (-4, "H"), (-2, "H"), (-4, "I"), (-image.header, "Q")])
    at += page * PAGE + image.header
    image.set(at, kind, odd_number(rng, image.get(at, kind)))


def damage_node(image: Image, page: int, rng: random.Random) -> None:
    pointers = image.nodes(page)[:500] or [page * PAGE + 100]
    index = rng.randrange(len(pointers))
    if rng.random() < 0.3:
        at, kind = page * PAGE + image.header + 2 * index, "H"
    else:
        offset, kind = rng.choice(
            [(0, "H"), (2, "H"), (4, "H"), (6, "H"), (0, "I"), (8, "Q"), (16, "H"), (24, "Q")]
        )
        at = pointers[index] + offset
    if at + 8 <= len(image.data):
        image.set(at, kind, odd_number(rng, image.get(at, kind)))


def damage_word(image: Image, page: int, rng: random.Random) -> None:
    image.set(rng.randrange(len(image.data) // 8) * 8, "Q", rng.randrange(len(image.data) // PAGE))


def damage_meta(image: Image, page: int, rng: random.Random) -> None:
    at = rng.choice([*image.metas(MAIN), *image.metas(FREE)])
    field = rng.choice(list(RECORD))
    image.set_record(at, field, rng.choice([odd_number(rng), rng.randrange(40)]))


DAMAGES = [
    damage_byte, damage_header, damage_header, damage_node, damage_node, damage_word, damage_meta,
]  # fmt: skip


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
