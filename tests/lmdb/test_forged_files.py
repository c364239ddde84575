"""Files that are forged on purpose: each must be noticed, with an `lmdb.Error`, and no crash."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .hostile_files import (
    BIGDATA,
    BRANCH,
    DIRTY,
    DUPDATA,
    FREE,
    LEAF,
    LEAF2,
    MAIN,
    META,
    OVERFLOW,
    PAGE,
    SUBDATA,
    Image,
    Outcome,
    sound,
    use,
    write,
)  # fmt: skip

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


def meta_record(which: int, field: str) -> Callable[[Image, int], None]:
    def forge(image: Image, value: int) -> None:
        for at in image.metas(which):
            image.set_record(at, field, value)

    return forge


def record(flags: int, field: str) -> Callable[[Image, int], None]:
    """Of a named database (SUBDATA), or of the duplicates of a key (DUPDATA | SUBDATA)."""

    def forge(image: Image, value: int) -> None:
        for node in image.leaf_nodes(flags):
            image.set_record(image.content(node), field, value)

    return forge


def meta(field: str) -> Callable[[Image, int], None]:
    return lambda image, value: image.set_meta(field, value)


def first_page(flags: int, field: str) -> Callable[[Image, int], None]:
    return lambda image, value: image.set_header(image.pages(flags)[0], field, value)


def node_field(flags: int, kind: str, offset: int) -> Callable[[Image, int], None]:
    def forge(image: Image, value: int) -> None:
        for node in list(image.leaf_nodes(flags)):
            image.set(node + offset, kind, value)

    return forge


def sub_page_field(kind: str, offset: int) -> Callable[[Image, int], None]:
    """Counted from the end of the header of the page in a node with duplicates."""

    def forge(image: Image, value: int) -> None:
        for node in list(image.leaf_nodes(DUPDATA)):
            image.set(image.content(node) + image.header + offset, kind, value)

    return forge


family(
    "one_leaf", "flags of main database", meta_record(MAIN, "flags"), fixed=0x10, integer=0x20, reverse=0x40
)
family("one_leaf", "depth of main database", meta_record(MAIN, "depth"), zero=0, more=2, deep=33, most=0xFFFF)
family("one_leaf", "root of main database", meta_record(MAIN, "root"), meta=0, beyond=10**6, huge=1 << 62)
family("dups", "pad of main database", meta_record(MAIN, "pad"), page=PAGE, huge=0xFFFFFFFF)
family("freed", "flags of free database", meta_record(FREE, "flags"), dups=0x0C, reverse=0x0A)
family("freed", "root of free database", meta_record(FREE, "root"), meta=0, beyond=10**6)
family("freed", "depth of free database", meta_record(FREE, "depth"), too_deep=33, one_more=2)
family(
    "one_leaf", "page size", meta_record(FREE, "pad"),
    zero=0, uneven=PAGE + 2, one=1, huge=1 << 31, most=0xFFFFFFFF, twice=1 << 17,
)  # fmt: skip
family(
    "one_leaf", "lower", first_page(LEAF, "lower"), zero=0, header=8, odd=21,
    page=PAGE, most=0xFFFF, full=4000,
)  # fmt: skip
family("one_leaf", "upper", first_page(LEAF, "upper"), zero=0, page=PAGE + 2, most=0xFFFF, nodes=4000)
family(
    "one_leaf", "kind", first_page(LEAF, "flags"), none=0, branch=BRANCH, overflow=OVERFLOW,
    meta=META, both=3, sub=66,
)  # fmt: skip
family("plain", "kind of root", first_page(BRANCH, "flags"), leaf=LEAF, overflow=OVERFLOW, fixed=LEAF | LEAF2)
family("one_leaf", "size of value", node_field(0, "I", 0), page=PAGE, more=5000, most=0xFFFFFFFF, hi=0x10000)
family("one_leaf", "size of key", node_field(0, "H", 6), page=PAGE, most=0xFFFF, more=4000)
family(
    "one_leaf", "flags of node", node_field(0, "H", 4), dups=DUPDATA, tree=SUBDATA,
    both=6, large=BIGDATA, unknown=8,
)  # fmt: skip
family("dups", "flags of node in dupsort", node_field(0, "H", 4), large=BIGDATA, tree=SUBDATA, dups=DUPDATA)
family("dups", "size of sub-page", node_field(DUPDATA, "I", 0), zero=0, header=8, most=0xFFFFFFFF, page=PAGE)
family("dups", "size of sub-database", node_field(DUPDATA | SUBDATA, "H", 0), zero=0, less=47, more=4096)
family("dups", "size of named database", node_field(SUBDATA, "H", 0), zero=0, less=47)
family("fixed", "size in LEAF2", first_page(LEAF | LEAF2, "pad"), zero=0, one_more=9, page=PAGE, most=0xFFFF)
family("large", "pages of overflow", first_page(OVERFLOW, "pages"), zero=0, thousands=5000, most=0xFFFFFFFF)


@forgery("one_leaf")
def dirty_mark(image: Image) -> None:
    page = image.pages(LEAF)[0]
    if image.engine:
        image.set(page * PAGE + 8, "Q", 1000)
    else:
        image.set_header(page, "flags", LEAF | DIRTY)


@forgery("one_leaf")
def written_by_the_next_transaction(image: Image) -> None:
    page = image.pages(LEAF)[0]
    if image.engine:
        image.set(page * PAGE + 8, "Q", 2)
    else:
        image.set_header(page, "flags", LEAF | 0x4000)


@forgery("one_leaf")
def another_number(image: Image) -> None:
    image.set(image.pages(LEAF)[0] * PAGE, "Q", 7)


@forgery("one_leaf")
def overlapping_nodes(image: Image) -> None:
    page = image.pages(LEAF)[0]
    pointers = page * PAGE + image.header
    for index in range(1, 20):
        image.set(pointers + 2 * index, "H", image.get(pointers, "H") - 8)


@forgery("one_leaf")
def nodes_among_pointers(image: Image) -> None:
    pointers = image.pages(LEAF)[0] * PAGE + image.header
    for index in range(20):
        image.set(pointers + 2 * index, "H", 20)


@forgery("one_leaf")
def nodes_at_the_very_end(image: Image) -> None:
    pointers = image.pages(LEAF)[0] * PAGE + image.header
    for index in range(20):
        image.set(pointers + 2 * index, "H", PAGE - image.base - 2)


@forgery("plain")
def root_is_its_own_child(image: Image) -> None:
    root = image.pages(BRANCH)[0]
    for node in image.nodes(root):
        image.set(node, "I", root)


@forgery("plain")
def child_is_a_meta_page(image: Image) -> None:
    for node in image.nodes(image.pages(BRANCH)[0]):
        image.set(node, "I", 1)


@forgery("plain")
def children_beyond_the_last_page(image: Image) -> None:
    for node in image.nodes(image.pages(BRANCH)[0]):
        image.set(node, "I", 0x7FFFFFFF)
        image.set(node + 4, "H", 0x7FFF)


@forgery("deep")
def leaf_among_branches(image: Image) -> None:
    root = next(
        page for page in image.pages(BRANCH) if image.flags(image.get(image.nodes(page)[0], "I")) == BRANCH
    )
    leaf = image.pages(LEAF)[0]
    for node in image.nodes(root):
        image.set(node, "I", leaf)


@forgery("deep")
def branch_among_leaves(image: Image) -> None:
    above = next(
        page for page in image.pages(BRANCH) if image.flags(image.get(image.nodes(page)[0], "I")) == LEAF
    )
    for node in image.nodes(above)[1:]:
        image.set(node, "I", above)


@forgery("plain")
def one_branch(image: Image) -> None:
    image.set_header(image.pages(BRANCH)[0], "lower", 2 + image.header - image.base)


@forgery("plain")
def truncated(image: Image) -> None:
    del image.data[3 * PAGE + 100 :]


@forgery("large")
def truncated_in_a_value(image: Image) -> None:
    del image.data[max(image.pages(OVERFLOW)) * PAGE + 100 :]


@forgery("large")
def values_that_are_leaves(image: Image) -> None:
    leaf = image.pages(LEAF)[0]
    for node in image.leaf_nodes(BIGDATA):
        image.set(image.content(node), "Q", leaf)


@forgery("large")
def values_longer_than_their_pages(image: Image) -> None:
    for node in image.leaf_nodes(BIGDATA):
        image.set(node, "I", 0x7FFFFFF)


family("dups", "bounds of sub-pages", sub_page_field("H", -2), beyond=0xFFF0)
family("dups", "pointers in sub-pages", sub_page_field("H", 0), beyond=0xFFF0)
family("fixed", "sizes in sub-pages", sub_page_field("H", -8), zero=0)

DUPLICATES = DUPDATA | SUBDATA
family("dups", "depth of sub-database", record(DUPLICATES, "depth"), too_deep=33, most=0xFFFF, one_more=3)
family("dups", "root of sub-database", record(DUPLICATES, "root"), meta=0, beyond=10**6)
family("dups", "flags of sub-database", record(DUPLICATES, "flags"), dups=4, fixed=0x10)
family("fixed", "pad of sub-database", record(DUPLICATES, "pad"), zero=0, other=4, page=PAGE, huge=0xFFFFFFFF)
family("freed", "depth of named database", record(SUBDATA, "depth"), too_deep=33, most=0xFFFF, zero=0)
family("freed", "root of named database", record(SUBDATA, "root"), meta=1, beyond=10**6)
family("freed", "flags of named database", record(SUBDATA, "flags"), dups=4, fixed=0x10)
family("freed", "pad of named database", record(SUBDATA, "pad"), page=PAGE, huge=0xFFFFFFFF)


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
def free_records_out_of_order(image: Image) -> None:
    nodes = [node for node, _ in free_lists(image)]
    assert len(nodes) > 1
    for number, node in enumerate(nodes):
        image.set(node + 8, "Q", 1 if number % 2 else 2)
    image.set(nodes[-1] + 8, "Q", 1)


@forgery("freed")
def keys_of_free_records(image: Image) -> None:
    for node, _ in free_lists(image):
        image.set(node + 6, "H", 2)


family("one_leaf", "transaction", meta("transaction"), most=(1 << 64) - 1, near=(1 << 64) - 3, half=1 << 63)
family("one_leaf", "last page", meta("last page"), meta=0, none=(1 << 64) - 1)


def page_size_in_one_meta_page(image: Image, value: int) -> None:
    """The second meta page is the one in use."""
    image.set_record(list(image.metas(FREE))[1], "pad", value)


family("one_leaf", "page size", page_size_in_one_meta_page, tiny_in_one=32, half_in_one=PAGE // 2)

AT_OPEN = ("flags of main database", "page size", "flags of free database", "transaction", "last page")


@pytest.fixture(scope="module")
def noticed(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, int, bool], Outcome]:
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
def test_forged(
    noticed: dict[tuple[str, int, bool], Outcome], engine: int, name: str, writemap: bool
) -> None:
    result = noticed[name, engine, writemap]
    assert (result["signal"], result["trouble"]) == (0, "")
    assert result["errors"], "nobody has noticed"
    if name.startswith(AT_OPEN):
        assert list(result["errors"]) == ["open"]
        assert result["errors"]["open"] in {"InvalidError", "InvalidParameterError"}


def test_duplicate_free_pages(tmp_path: Path, engine: int) -> None:
    """A page that is listed twice would be given to two writers."""
    image = Image(sound("freed", engine), engine)
    page = next(image.get(at + 8, "Q") for _, at in free_lists(image))
    free_page(image, page)
    results = use([(write(tmp_path / f"{i}", bytes(image.data)), i < 2, False, i) for i in range(6)])
    assert {(result["signal"], result["trouble"]) for result in results} == {(0, "")}
    assert any("CorruptedError" in result["errors"].values() for result in results[2:])
