"""Whatever a file contains, using it ends in an `lmdb.Error` where it is wrong: no crash, no other exception.

Files are built soundly, damaged, and then used for everything in their own processes (hostile_workload.py).
"""

from __future__ import annotations

import json
import os
import random
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import pytest

import zlmdb
from zlmdb import lmdb

WORKLOAD = Path(__file__).with_name("hostile_workload.py")
PAGE = 4096
BRANCH, LEAF, OVERFLOW, META, DIRTY, LEAF2, SUBPAGE = 1, 2, 4, 8, 16, 32, 64
BIGDATA, SUBDATA, DUPDATA = 1, 2, 4
FREE, MAIN = 0, 1
RECORD = {"pad": ("I", 0), "flags": ("H", 4), "depth": ("H", 6), "entries": ("Q", 32), "root": ("Q", 40)}


class Image:
    """A data file in memory, to be damaged."""

    def __init__(self, data: bytes, engine: int) -> None:
        self.data = bytearray(data)
        self.engine = engine
        self.header = 24 if engine else 16
        self.base = self.header if engine else 0

    def get(self, at: int, kind: str) -> int:
        return struct.unpack_from("=" + kind, self.data, at)[0]

    def set(self, at: int, kind: str, value: int) -> None:
        struct.pack_into("=" + kind, self.data, at, value % (1 << 8 * struct.calcsize("=" + kind)))

    # -- pages --

    def flags(self, page: int) -> int:
        return self.get(page * PAGE + self.header - 6, "H")

    def pages(self, flags: int) -> list[int]:
        return [page for page in range(2, len(self.data) // PAGE) if self.flags(page) == flags]

    def set_header(self, page: int, field: str, value: int) -> None:
        kind, at = {
            "pad": ("H", -8),
            "flags": ("H", -6),
            "lower": ("H", -4),
            "upper": ("H", -2),
            "pages": ("I", -4),
        }[field]
        self.set(page * PAGE + self.header + at, kind, value)

    def get_upper(self, page: int) -> int:
        return self.get(page * PAGE + self.header - 2, "H")

    # -- nodes --

    def nodes(self, page: int) -> list[int]:
        """Where the nodes of a branch or leaf page are in the file."""
        count = (self.get(page * PAGE + self.header - 4, "H") - (self.header - self.base)) // 2
        pointers = page * PAGE + self.header
        count = min(count, (len(self.data) - pointers) // 2)  # of a damaged page
        return [page * PAGE + self.base + self.get(pointers + 2 * index, "H") for index in range(count)]

    def find(self, flags: int, kinds: int = LEAF) -> tuple[int, int, int]:
        """(page, index, place) of the first node with these flags."""
        for page in self.pages(kinds):
            for index, node in enumerate(self.nodes(page)):
                if self.get(node + 4, "H") == flags:
                    return page, index, node
        raise LookupError(flags)

    def content(self, node: int) -> int:
        """Where the data of a leaf node is."""
        size = self.get(node + 6, "H")
        return node + 8 + (size + size % 2 if self.engine else size)

    def set_record(self, at: int, field: str, value: int) -> None:
        kind, offset = RECORD[field]
        self.set(at + offset, kind, value)

    def metas(self, which: int) -> Iterator[int]:
        """Where the meta pages describe the main or the free database."""
        for page in (0, 1):
            yield page * PAGE + self.header + 24 + 48 * which


@cache
def sound(kind: str, engine: int) -> bytes:
    """Return a sound file."""
    rng = random.Random(kind)
    with tempfile.TemporaryDirectory() as path:
        with lmdb.open(path, lib_version=engine, max_dbs=9, map_size=1 << 22, sync=False) as env:
            globals()[f"fill_{kind}"](env, rng)
        return (Path(path) / "data.mdb").read_bytes()


def fill_plain(env, rng):
    with env.begin(write=True) as txn:
        for i in range(300):
            txn.put(b"%05d" % (7 * i), b"v" * rng.randrange(120))


def fill_one_leaf(env, rng):
    with env.begin(write=True) as txn:
        for i in range(20):
            txn.put(b"%05d" % (7 * i), b"v" * 90)


def fill_large(env, rng):
    with env.begin(write=True) as txn:
        for i in range(40):
            txn.put(b"%05d" % (7 * i), b"v" * rng.choice([10, 3000, 5000, 9000]))


def fill_dups(env, rng):
    db = env.open_db(b"dups", dupsort=True)
    with env.begin(write=True, db=db) as txn:
        for i in range(60):
            for j in range(rng.choice([1, 2, 5, 10])):
                txn.put(b"%05d" % (7 * i), b"%d-%d" % (j, rng.randrange(10**6)))
        for j in range(600):
            txn.put(b"big", b"%06d" % (13 * j))
            txn.put(b"other", b"%06d" % (13 * j) + b"x" * 40)


def fill_fixed(env, rng):
    fixed = env.open_db(b"fixed", dupsort=True, dupfixed=True)
    integers = env.open_db(b"integers", integerkey=True)
    integer_dups = env.open_db(b"integer dups", dupsort=True, integerdup=True)
    with env.begin(write=True) as txn:
        for i in range(40):
            for _ in range(rng.choice([1, 2, 5, 10])):
                txn.put(b"%05d" % (7 * i), b"%08d" % rng.randrange(10**6), db=fixed)
        for j in range(1500):
            txn.put(b"big", b"%08d" % (13 * j), db=fixed)
        for j in range(300):
            txn.put(struct.pack("@N", 3 * j), b"x" * 30, db=integers)
            txn.put(b"%05d" % (7 * (j % 5)), struct.pack("@N", 3 * j), db=integer_dups)


def fill_freed(env, rng):
    databases = [env.open_db(b"one"), env.open_db(b"two", reverse_key=True)]
    for number in range(6):
        with env.begin(write=True) as txn:
            for _ in range(200):
                txn.put(b"%05d" % rng.randrange(1000), b"v" * rng.randrange(300), db=rng.choice(databases))
            txn.put(b"%d" % number, b"o" * 9000, db=databases[0])
        with env.begin(write=True) as txn:
            for _ in range(150):
                txn.delete(b"%05d" % rng.randrange(1000), db=rng.choice(databases))
            txn.delete(b"%d" % number, db=databases[0])


def fill_deep(env, rng):
    with env.begin(write=True) as txn:
        for i in range(150):
            txn.put(b"%05d" % i + b"k" * 400, b"v" * 100)


KINDS = [name.removeprefix("fill_") for name in list(globals()) if name.startswith("fill_")]


def use(jobs: list[tuple[Path, bool, bool, int]]) -> list[dict]:
    """Have environments used for everything, by two processes at a time; what became of each."""
    with ThreadPoolExecutor(2) as pool:
        halves = list(pool.map(use_in_turn, [jobs[::2], jobs[1::2]]))
    results: list[dict] = [{}] * len(jobs)
    results[::2], results[1::2] = halves
    return results


def use_in_turn(jobs: list[tuple[Path, bool, bool, int]]) -> list[dict]:
    given = json.dumps([[str(path), *rest] for path, *rest in jobs])
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(WORKLOAD)],
        input=given, capture_output=True, text=True, timeout=280, check=False,
        env={**os.environ, "PYTHONPATH": str(Path(zlmdb.__file__).parents[1])},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    results = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(results) == len(jobs)
    return results


def write(path: Path, data: bytes) -> Path:
    path.mkdir()
    (path / "data.mdb").write_bytes(data)
    return path


# -- forged on purpose: each must be noticed --

Forge = Callable[[Image], None]
FORGERIES: dict[str, tuple[str, Forge]] = {}


def forgery(kind: str) -> Callable[[Forge], Forge]:
    def add(forge: Forge) -> Forge:
        FORGERIES[forge.__name__.replace("_", " ")] = (kind, forge)
        return forge

    return add


def family(kind: str, name: str, forge: Callable[..., None], **values: object) -> None:
    for label, value in values.items():
        FORGERIES[f"{name}: {label.replace('_', ' ')}"] = (
            kind,
            lambda image, value=value: forge(image, value),
        )


def main_record(field):
    def forge(image: Image, value: int) -> None:
        for at in image.metas(MAIN):
            image.set_record(at, field, value)

    return forge


def free_record(field):
    def forge(image: Image, value: int) -> None:
        for at in image.metas(FREE):
            image.set_record(at, field, value)

    return forge


def first_page(flags, field):
    return lambda image, value: image.set_header(image.pages(flags)[0], field, value)


def first_node(flags, kind, offset):
    """Every node of the kind, as the first one may not be in use any more."""

    def forge(image: Image, value: int) -> None:
        for page in image.pages(LEAF):
            for node in image.nodes(page):
                if image.get(node + 4, "H") == flags:
                    image.set(node + offset, kind, value)

    return forge


family(
    "one_leaf",
    "flags of main database",
    main_record("flags"),
    fixed=0x10,
    integer_dups=0x20,
    reverse_dups=0x40,
)
family(
    "one_leaf", "depth of main database", main_record("depth"), zero=0, one_more=2, too_deep=33, most=0xFFFF
)
family(
    "one_leaf", "root of main database", main_record("root"), meta_0=0, meta_1=1, beyond=10**6, huge=1 << 62
)
family("dups", "pad of main database", main_record("pad"), page=PAGE, huge=0xFFFFFFFF)
family("freed", "flags of free database", free_record("flags"), dups=0x0C, reverse=0x0A)
family("freed", "root of free database", free_record("root"), meta=0, beyond=10**6)
family("freed", "depth of free database", free_record("depth"), too_deep=33, one_more=2)
family(
    "one_leaf", "page size", free_record("pad"),
    zero=0, uneven=PAGE + 2, one=1, huge=1 << 31, most=0xFFFFFFFF, twice=1 << 17,
)  # fmt: skip
family(
    "one_leaf",
    "lower",
    first_page(LEAF, "lower"),
    zero=0,
    header=8,
    odd=21,
    page=PAGE,
    most=0xFFFF,
    full=4000,
)
family("one_leaf", "upper", first_page(LEAF, "upper"), zero=0, page=PAGE + 2, most=0xFFFF, nodes=4000)
family(
    "one_leaf",
    "kind",
    first_page(LEAF, "flags"),
    none=0,
    branch=BRANCH,
    overflow=OVERFLOW,
    meta=META,
    both=3,
    sub=66,
)
family("plain", "kind of root", first_page(BRANCH, "flags"), leaf=LEAF, overflow=OVERFLOW, fixed=LEAF | LEAF2)
family("one_leaf", "size of value", first_node(0, "I", 0), page=PAGE, more=5000, most=0xFFFFFFFF, hi=0x10000)
family("one_leaf", "size of key", first_node(0, "H", 6), page=PAGE, most=0xFFFF, more=4000)
family(
    "one_leaf",
    "flags of node",
    first_node(0, "H", 4),
    dups=DUPDATA,
    tree=SUBDATA,
    both=6,
    large=BIGDATA,
    unknown=8,
)
family("dups", "flags of node in dupsort", first_node(0, "H", 4), large=BIGDATA, tree=SUBDATA, dups=DUPDATA)
family("dups", "size of sub-page", first_node(DUPDATA, "I", 0), zero=0, header=8, most=0xFFFFFFFF, page=PAGE)
family("dups", "size of sub-database", first_node(DUPDATA | SUBDATA, "H", 0), zero=0, less=47, more=4096)
family("dups", "size of named database", first_node(SUBDATA, "H", 0), zero=0, less=47)
family("fixed", "size in LEAF2", first_page(LEAF | LEAF2, "pad"), zero=0, one_more=9, page=PAGE, most=0xFFFF)
family("large", "pages of overflow", first_page(OVERFLOW, "pages"), zero=0, thousands=5000, most=0xFFFFFFFF)


@forgery("one_leaf")
def dirty_mark(image):
    page = image.pages(LEAF)[0]
    if image.engine:
        image.set(page * PAGE + 8, "Q", 1000)
    else:
        image.set_header(page, "flags", LEAF | DIRTY)


@forgery("one_leaf")
def written_by_the_next_transaction(image):
    page = image.pages(LEAF)[0]
    if image.engine:
        image.set(page * PAGE + 8, "Q", 2)
    else:
        image.set_header(page, "flags", LEAF | 0x4000)


@forgery("one_leaf")
def another_number(image):
    image.set(image.pages(LEAF)[0] * PAGE, "Q", 7)


@forgery("one_leaf")
def overlapping_nodes(image):
    page = image.pages(LEAF)[0]
    pointers = page * PAGE + image.header
    for index in range(1, 20):
        image.set(pointers + 2 * index, "H", image.get(pointers, "H") - 8)


@forgery("one_leaf")
def nodes_among_pointers(image):
    pointers = image.pages(LEAF)[0] * PAGE + image.header
    for index in range(20):
        image.set(pointers + 2 * index, "H", 20)


@forgery("one_leaf")
def nodes_at_the_very_end(image):
    pointers = image.pages(LEAF)[0] * PAGE + image.header
    for index in range(20):
        image.set(pointers + 2 * index, "H", PAGE - image.base - 2)


@forgery("plain")
def root_is_its_own_child(image):
    root = image.pages(BRANCH)[0]
    for node in image.nodes(root):
        image.set(node, "I", root)


@forgery("plain")
def child_is_a_meta_page(image):
    for node in image.nodes(image.pages(BRANCH)[0]):
        image.set(node, "I", 1)


@forgery("plain")
def children_beyond_the_last_page(image):
    for node in image.nodes(image.pages(BRANCH)[0]):
        image.set(node, "I", 0x7FFFFFFF)
        image.set(node + 4, "H", 0x7FFF)


@forgery("deep")
def leaf_among_branches(image):
    root = next(
        page for page in image.pages(BRANCH) if image.flags(image.get(image.nodes(page)[0], "I")) == BRANCH
    )
    leaf = image.pages(LEAF)[0]
    for node in image.nodes(root):
        image.set(node, "I", leaf)


@forgery("deep")
def branch_among_leaves(image):
    above = next(
        page for page in image.pages(BRANCH) if image.flags(image.get(image.nodes(page)[0], "I")) == LEAF
    )
    for node in image.nodes(above)[1:]:
        image.set(node, "I", above)


@forgery("plain")
def one_branch(image):
    image.set_header(image.pages(BRANCH)[0], "lower", 2 + image.header - image.base)


@forgery("plain")
def truncated(image):
    del image.data[3 * PAGE + 100 :]


@forgery("large")
def truncated_in_a_value(image):
    del image.data[max(image.pages(OVERFLOW)) * PAGE + 100 :]


@forgery("large")
def values_that_are_leaves(image):
    leaf = image.pages(LEAF)[0]
    for page in image.pages(LEAF):
        for node in image.nodes(page):
            if image.get(node + 4, "H") == BIGDATA:
                image.set(image.content(node), "Q", leaf)


@forgery("large")
def values_longer_than_their_pages(image):
    for page in image.pages(LEAF):
        for node in image.nodes(page):
            if image.get(node + 4, "H") == BIGDATA:
                image.set(node, "I", 0x7FFFFFF)


@forgery("dups")
def bounds_of_sub_pages(image):
    for page in image.pages(LEAF):
        for node in image.nodes(page):
            if image.get(node + 4, "H") == DUPDATA:
                image.set(image.content(node) + image.header - 2, "H", 0xFFF0)


@forgery("dups")
def pointers_in_sub_pages(image):
    for page in image.pages(LEAF):
        for node in image.nodes(page):
            if image.get(node + 4, "H") == DUPDATA:
                image.set(image.content(node) + image.header, "H", 0xFFF0)


@forgery("fixed")
def sizes_in_sub_pages(image):
    for page in image.pages(LEAF):
        for node in image.nodes(page):
            if image.get(node + 4, "H") == DUPDATA:
                image.set(image.content(node) + image.header - 8, "H", 0)


def sub_database(field):
    def forge(image: Image, value: int) -> None:
        for page in image.pages(LEAF):
            for node in image.nodes(page):
                if image.get(node + 4, "H") == DUPDATA | SUBDATA:
                    image.set_record(image.content(node), field, value)

    return forge


family("dups", "depth of sub-database", sub_database("depth"), too_deep=33, most=0xFFFF, one_more=3)
family("dups", "root of sub-database", sub_database("root"), meta=0, beyond=10**6)
family("dups", "flags of sub-database", sub_database("flags"), dups=4, fixed=0x10)
family("fixed", "pad of sub-database", sub_database("pad"), zero=0, other=4, page=PAGE, huge=0xFFFFFFFF)


def named_database(field):
    def forge(image: Image, value: int) -> None:
        for page in image.pages(LEAF):
            for node in image.nodes(page):
                if image.get(node + 4, "H") == SUBDATA:
                    image.set_record(image.content(node), field, value)

    return forge


family("freed", "depth of named database", named_database("depth"), too_deep=33, most=0xFFFF, zero=0)
family("freed", "root of named database", named_database("root"), meta=1, beyond=10**6)
family("freed", "flags of named database", named_database("flags"), dups=4, fixed=0x10)
family("freed", "pad of named database", named_database("pad"), page=PAGE, huge=0xFFFFFFFF)


def free_lists(image: Image) -> Iterator[tuple[int, int]]:
    """(node, place of the list) of each record of freed pages in use; only those of one leaf."""
    root = max(
        (image.get(at + 40, "Q"), at) for at in image.metas(FREE) if image.get(at + 40, "Q") < 1 << 62
    )[0]
    for node in image.nodes(root):
        yield node, image.content(node)


def free_count(image: Image, change: int) -> None:
    for _, at in free_lists(image):
        image.set(at, "Q", image.get(at, "Q") + change)


def free_page(image: Image, value: int) -> None:
    for _, at in free_lists(image):
        for index in range(image.get(at, "Q")):
            image.set(at + 8 + 8 * index, "Q", value)


family("freed", "count of free pages", free_count, one_more=1, many=10**6, less=-1, huge=1 << 61)
family("freed", "free page", free_page, beyond=10**6, meta=0, huge=1 << 60)


@forgery("freed")
def free_records_out_of_order(image):
    nodes = [node for node, _ in free_lists(image)]
    assert len(nodes) > 1
    for number, node in enumerate(nodes):
        image.set(node + 8, "Q", 1 if number % 2 else 2)
    image.set(nodes[-1] + 8, "Q", 1)


@forgery("freed")
def keys_of_free_records(image):
    for node, _ in free_lists(image):
        image.set(node + 6, "H", 2)


AT_OPEN = ("flags of main database", "page size", "flags of free database")


@pytest.fixture(scope="module")
def noticed(tmp_path_factory):
    """Return what came of each forged file: all are used in one go."""
    jobs, names = [], []
    for engine in (0, 1):
        for name, (kind, forge) in FORGERIES.items():
            image = Image(sound(kind, engine), engine)
            forge(image)
            for writemap in (False, True):
                path = tmp_path_factory.mktemp("forged") / "env"
                jobs.append((write(path, bytes(image.data)), writemap, False, len(jobs)))
                names.append((name, engine, writemap))
    return dict(zip(names, use(jobs), strict=True))


@pytest.mark.parametrize("writemap", [False, True], ids=["", "writemap"])
@pytest.mark.parametrize("name", FORGERIES)
def test_forged(noticed, engine, name, writemap):
    result = noticed[name, engine, writemap]
    assert (result["signal"], result["trouble"]) == (0, "")
    assert result["errors"], "nobody has noticed"
    if name.startswith(AT_OPEN):
        assert list(result["errors"]) == ["open"]
        assert result["errors"]["open"] in {"InvalidError", "InvalidParameterError"}


def test_duplicate_free_pages(tmp_path, engine):
    """A page that is listed twice would be given to two writers."""
    image = Image(sound("freed", engine), engine)
    page = next(image.get(at + 8, "Q") for _, at in free_lists(image))
    free_page(image, page)
    results = use([(write(tmp_path / f"{i}", bytes(image.data)), i < 2, False, i) for i in range(6)])
    assert {(result["signal"], result["trouble"]) for result in results} == {(0, "")}
    assert any("CorruptedError" in result["errors"].values() for result in results[2:])


@pytest.mark.parametrize("kind", KINDS)
def test_sound_files_give_no_error(tmp_path, engine, kind):
    """The workload itself is sound: what it meets in other tests comes from the damage."""
    jobs = [(write(tmp_path / f"{i}", sound(kind, engine)), i % 2 == 1, i > 1, i) for i in range(4)]
    for result in use(jobs):
        assert (result["signal"], result["trouble"]) == (0, "")
        serious = {step: error for step, error in result["errors"].items() if error in SERIOUS}
        assert serious == {}


SERIOUS = {
    "CorruptedError", "PageNotFoundError", "InvalidError", "PanicError", "BadTxnError", "PageFullError",
    "ProblemError", "CursorFullError", "BadDbiError", "TxnFullError", "Error",
}  # fmt: skip


# -- damaged at random --


def damage(data: bytes, rng: random.Random, engine: int) -> bytes:
    """Change some bytes, fields, pages or the length of a file."""
    image = Image(data, engine)
    for _change in range(rng.choice([1, 1, 2, 3, 6])):
        page = rng.randrange(2, len(image.data) // PAGE)
        rng.choice(
            [damage_byte, damage_header, damage_header, damage_node, damage_node, damage_word, damage_meta]
        )(image, page, rng)
    if rng.random() < 0.03:
        del image.data[rng.randrange(2 * PAGE, len(image.data)) :]
    return bytes(image.data)


def odd_number(rng, old=0):
    return rng.choice(
        [
            0,
            1,
            2,
            3,
            8,
            24,
            0xFF,
            4095,
            4096,
            0x7FFF,
            0xFFFE,
            0xFFFF,
            1 << 31,
            1 << 63,
            old - 2,
            old + 2,
            old - 8,
        ]
    )


def damage_byte(image, page, rng):
    at = rng.randrange(len(image.data))
    image.data[at] ^= 1 << rng.randrange(8)


def damage_header(image, page, rng):
    at, kind = rng.choice([(-8, "H"), (-6, "H"), (-4, "H"), (-2, "H"), (-4, "I"), (-image.header, "Q")])
    at += page * PAGE + image.header
    image.set(at, kind, odd_number(rng, image.get(at, kind)))


def damage_node(image, page, rng):
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


def damage_word(image, page, rng):
    image.set(rng.randrange(len(image.data) // 8) * 8, "Q", rng.randrange(len(image.data) // PAGE))


def damage_meta(image, page, rng):
    at = rng.choice([*image.metas(MAIN), *image.metas(FREE)])
    field = rng.choice(list(RECORD))
    image.set_record(at, field, rng.choice([odd_number(rng), rng.randrange(40)]))


@pytest.mark.parametrize("writemap", [False, True], ids=["", "writemap"])
@pytest.mark.parametrize("seed", range(2))
def test_random_damage(tmp_path, engine, seed, writemap):
    rng = random.Random(f"{engine}.{seed}")
    jobs = []
    for number in range(20 if writemap else 40):
        data = damage(sound(rng.choice(KINDS), engine), rng, engine)
        jobs.append((write(tmp_path / f"{number}", data), writemap, rng.random() < 0.3, number))
    for number, result in enumerate(use(jobs)):
        assert (result["signal"], result["trouble"]) == (0, ""), f"file {number}"
