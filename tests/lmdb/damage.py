"""Random damage to data files."""

from __future__ import annotations

import random

from .hostile_files import BRANCH, DUPDATA, FREE, LEAF, MAIN, PAGE, RECORD, SUBDATA, Image


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


def damage_place(image: Image, page: int, rng: random.Random) -> None:
    """Put another page in its place, or both in each other's, with their own numbers or the right ones."""
    other = rng.randrange(2, len(image.data) // PAGE)
    first, second = (slice(number * PAGE, (number + 1) * PAGE) for number in (page, other))
    swapped = rng.random() < 0.5
    image.data[first], image.data[second] = image.data[second], image.data[first if swapped else second]
    if rng.random() < 0.7:
        image.set(page * PAGE, "Q", page)
        image.set(other * PAGE, "Q", other)


def damage_tree(image: Image, page: int, rng: random.Random) -> None:
    """Have a branch refer to any page, perhaps to itself."""
    branches = image.pages(BRANCH)
    if not branches:
        return
    page = rng.choice(branches)
    nodes = [node for node in image.nodes(page) if node + 8 <= len(image.data)]
    if nodes:
        node, child = rng.choice(nodes), rng.choice([page, rng.randrange(len(image.data) // PAGE)])
        image.set(node, "I", child)


def nodes_with(image: Image, flags: int) -> list[int]:
    """The nodes with these flags that damage so far has left inside the file."""
    nodes = (node for page in image.pages(LEAF) for node in image.nodes(page) if node + 8 <= len(image.data))
    return [node for node in nodes if image.get(node + 4, "H") == flags]


def damage_free_list(image: Image, page: int, rng: random.Random) -> None:
    """List pages as free that are not, or more than there are."""
    nodes = [node for node in nodes_with(image, 0) if image.get(node + 6, "H") == 8]
    if nodes:
        at = image.content(rng.choice(nodes)) + 8 * rng.randrange(4)
        if at + 8 <= len(image.data):
            image.set(at, "Q", rng.choice([odd_number(rng), rng.randrange(len(image.data) // PAGE)]))


def damage_record(image: Image, page: int, rng: random.Random) -> None:
    """Change the record of a named database, or of the values of a key."""
    nodes = nodes_with(image, rng.choice([SUBDATA, SUBDATA | DUPDATA]))
    if nodes and (at := image.content(rng.choice(nodes))) + 48 <= len(image.data):
        field = rng.choice(list(RECORD))
        pages = len(image.data) // PAGE
        image.set_record(at, field, rng.choice([odd_number(rng), rng.randrange(pages), 0x10, 0x14]))


def damage_ends(image: Image, page: int, rng: random.Random) -> None:
    """Change what the meta pages say of the last page, the last transaction, and the size of the map."""
    pages = len(image.data) // PAGE
    at = rng.choice([0, 1]) * PAGE + image.header + rng.choice([16, 120, 128])
    numbers = [0, 1, 2, pages - 2, pages, pages + 1, 1000, 1 << 20, 1 << 40, (1 << 64) - 2]
    image.set(at, "Q", rng.choice(numbers))


USUAL = [damage_byte, damage_header, damage_header, damage_node, damage_node, damage_word, damage_meta]
RARE = [damage_place, damage_tree, damage_free_list, damage_record, damage_ends]
DAMAGES = USUAL + RARE
