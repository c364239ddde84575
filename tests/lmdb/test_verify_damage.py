"""Each kind of damage is found and named."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from zlmdb import lmdb
from zlmdb.lmdb.verify import verify

NO_PAGE = 2**64 - 1
BRANCH, LEAF, OVERFLOW, DIRTY, LEAF2 = 1, 2, 4, 16, 32
BIGDATA, SUBDATA, DUPDATA = 1, 2, 4
FREE_DB, MAIN_DB = 24, 72  # offsets of the two records in a meta page's content
# Offsets in a record.
PAD, FLAGS, DEPTH, N_BRANCH, N_LEAF, N_OVERFLOW, ENTRIES, ROOT = 0, 4, 6, 8, 16, 24, 32, 40


class DataFile:
    """The bytes of a data file and where things are in them. Independent of the code under test."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.data = bytearray(path.read_bytes())
        self.header = 16 if self.u32(16) == 0xBEEFC0DE else 24
        self.base = 0 if self.header == 16 else 24
        self.psize = self.u32(self.header + FREE_DB)
        txnids = [self.u64(slot * self.psize + self.header + 128) for slot in (0, 1)]
        self.meta = txnids.index(max(txnids)) * self.psize + self.header
        self.main, self.free = self.meta + MAIN_DB, self.meta + FREE_DB
        self.last_page = self.u64(self.meta + 120)

    def u16(self, at: int) -> int:
        return struct.unpack_from("=H", self.data, at)[0]

    def u32(self, at: int) -> int:
        return struct.unpack_from("=I", self.data, at)[0]

    def u64(self, at: int) -> int:
        return struct.unpack_from("=Q", self.data, at)[0]

    def put(self, form: str, at: int, value: int) -> None:
        struct.pack_into("=" + form, self.data, at, value)

    def problems(self) -> list[str]:
        self.path.write_bytes(self.data)
        return verify(self.path)

    def flags(self, page: int) -> int:
        return page + self.header - 6

    def lower(self, page: int) -> int:
        return page + self.header - 4

    def upper(self, page: int) -> int:
        return page + self.header - 2

    def root(self, record: int) -> int:
        """Return the offset of the root page of the tree of `record`."""
        return self.u64(record + ROOT) * self.psize

    def slot(self, page: int, index: int) -> int:
        """Return the offset of a node pointer."""
        return page + self.header + 2 * index

    def node(self, page: int, index: int) -> int:
        """Return the offset of a node."""
        return page + self.base + self.u16(self.slot(page, index))

    def value(self, page: int, index: int) -> int:
        """Return the offset of the data of a leaf node."""
        node = self.node(page, index)
        key_size = self.u16(node + 6)
        return node + 8 + key_size + (key_size & 1 if self.base else 0)

    def swap(self, page: int, one: int, other: int) -> None:
        """Exchange two nodes of a page, or of a sub-page."""
        one, other = self.slot(page, one), self.slot(page, other)
        first, second = self.u16(one), self.u16(other)
        self.put("H", one, second)
        self.put("H", other, first)


Fill = Callable[[lmdb.Environment], None]


Make = Callable[[Fill], DataFile]


def maker(tmp_path: Path, lib_version: int) -> Make:
    def make(fill: Fill) -> DataFile:
        path = tmp_path / "data"
        with lmdb.open(str(path), subdir=False, map_size=1 << 24, max_dbs=9, lib_version=lib_version) as env:
            fill(env)
        assert verify(path) == []
        return DataFile(path)

    return make


@pytest.fixture(params=[0, 1], ids=["v1", "v3"])
def make(tmp_path: Path, request: pytest.FixtureRequest) -> Make:
    """Return a function that makes a data file, of either format, with what another function puts in."""
    return maker(tmp_path, request.param)


@pytest.fixture
def make_v3(tmp_path: Path) -> Make:
    """Return the same for format v3 alone, which has fields that v1 lacks."""
    return maker(tmp_path, 1)


def one_leaf(env: lmdb.Environment) -> None:
    with env.begin(write=True) as txn:
        for i in range(5):
            txn.put(b"key %d" % i, b"value")


def two_levels(env: lmdb.Environment) -> None:
    with env.begin(write=True) as txn:
        for i in range(300):
            txn.put(b"key %04d" % i, bytes(60))


def big_value(env: lmdb.Environment) -> None:
    with env.begin(write=True) as txn:
        txn.put(b"big", bytes(9000))
        txn.put(b"key", b"value")


def free_pages(env: lmdb.Environment) -> None:
    two_levels(env)
    with env.begin(write=True) as txn:
        for i in range(250):
            txn.delete(b"key %04d" % i)


def named(**options: object) -> Fill:
    """A database whose only record in the main database is node 0 of the root."""

    def fill(env: lmdb.Environment) -> None:
        db = env.open_db(b"named", **options)
        with env.begin(write=True, db=db) as txn:
            for i in range(20):
                txn.put(b"key", struct.pack("=Q", i * 256 + 1))

    return fill


def subtree(**options: object) -> Fill:
    """Duplicates with a tree of their own."""

    def fill(env: lmdb.Environment) -> None:
        db = env.open_db(b"named", **options)
        with env.begin(write=True, db=db) as txn:
            for i in range(1500):
                txn.put(b"key", struct.pack("=Q", i * 256 + 1))

    return fill


def named_record(file: DataFile) -> int:
    return file.value(file.root(file.main), 0)


def found(file: DataFile, fragment: str) -> bool:
    problems = file.problems()
    return any(fragment in problem for problem in problems)


# Records of databases


@pytest.mark.parametrize("root", [0, 1, 99_999, 2**63])
def test_root_out_of_range(make, root):
    file = make(one_leaf)
    file.put("Q", file.main + ROOT, root)
    assert found(file, f"main DB: root page {root} out of range")


@pytest.mark.parametrize(
    ("at", "what"),
    [
        (ENTRIES, "entries"),
        (N_LEAF, "leaf pages"),
        (N_BRANCH, "branch pages"),
        (N_OVERFLOW, "overflow pages"),
    ],
)
@pytest.mark.parametrize("by", [1, -1])
def test_counter(make, at, what, by):
    def fill(env: lmdb.Environment) -> None:
        two_levels(env)
        big_value(env)

    file = make(fill)
    count = file.u64(file.main + at)
    file.put("Q", file.main + at, count + by)
    assert found(file, f"main DB: {count} {what}, record says {count + by}")


def test_counters_of_duplicates(make):
    file = make(subtree(dupsort=True))
    file.put("Q", named_record(file) + ENTRIES, 7)
    file.put("Q", named_record(file) + N_LEAF, 0)
    assert found(file, "1500 entries, record says 7")
    assert found(file, "1 leaf pages, record says 0")


def test_depth(make):
    file = make(two_levels)
    file.put("H", file.main + DEPTH, 3)
    assert found(file, "main DB: leaves at depth [2], record says 3")


@pytest.mark.parametrize("flags", [0x10, 0x20, 0x40, 0x8000, 0x1])
def test_database_flags(make, flags):
    file = make(one_leaf)
    file.put("H", file.main + FLAGS, flags)
    assert found(file, "main DB: invalid flag combination")


def test_named_database_flags(make):
    file = make(named())
    file.put("H", named_record(file) + FLAGS, 0x10)
    assert found(file, "named DB b'named': invalid flag combination 0x10")


def test_free_db_flags(make):
    file = make(one_leaf)
    file.put("H", file.free + FLAGS, 0)
    assert found(file, "freeDB: invalid flag combination")


def test_md_pad(make):
    file = make(one_leaf)
    file.put("I", file.main + PAD, 8 * file.psize)
    assert found(file, "main DB: md_pad")


@pytest.mark.parametrize("pad", [0, 7, 9, 8 * 4096])
def test_md_pad_of_duplicates(make, pad):
    file = make(subtree(dupsort=True, dupfixed=True))
    file.put("I", file.value(file.root(named_record(file)), 0) + PAD, pad)
    assert found(file, "md_pad")


def test_flags_of_duplicates(make):
    file = make(subtree(dupsort=True, dupfixed=True))
    file.put("H", file.value(file.root(named_record(file)), 0) + FLAGS, 0x4)
    assert found(file, "invalid flag combination 0x4 in md_flags")


def test_record_size(make):
    file = make(named())
    file.put("I", file.node(file.root(file.main), 0), 40)
    assert found(file, "a database record of 40 bytes, not 48")


# Pages


@pytest.mark.parametrize(
    "flags", [0, LEAF | OVERFLOW, LEAF | BRANCH, LEAF | DIRTY, LEAF | LEAF2, LEAF | 0x40, 0x4002]
)
def test_page_flags(make, flags):
    file = make(one_leaf)
    file.put("H", file.flags(file.root(file.main)), flags)
    assert found(file, f"mixed or invalid page flags {flags:#x}")


def test_page_number(make):
    file = make(one_leaf)
    file.put("Q", file.root(file.main), 77)
    assert found(file, "its header calls it page 77")


def test_dirty_mark(make):
    file = make(one_leaf)
    file.put("H", file.flags(file.root(file.main)), LEAF | DIRTY)
    assert found(file, "mixed or invalid page flags 0x12 (dirty mark)")


def test_page_of_a_transaction_to_come(make_v3):
    file = make_v3(one_leaf)
    file.put("Q", file.root(file.main) + 8, 2**40)
    assert found(file, f"dirty mark: mp_txnid {2**40} is yet to be committed")


@pytest.mark.parametrize(
    ("lower", "upper"), [(5001, None), (3, None), (None, 0xFFF0), (None, 0), (0xFFF0, 0xFFF0)]
)
@pytest.mark.parametrize("fill", [one_leaf, two_levels])
def test_page_bounds(make, fill, lower, upper):
    file = make(fill)
    root = file.root(file.main)
    if lower is not None:
        file.put("H", file.lower(root), lower)
    if upper is not None:
        file.put("H", file.upper(root), upper)
    assert found(file, "bad mp_lower/mp_upper")


def test_page_without_keys(make):
    file = make(one_leaf)
    root = file.root(file.main)
    file.put("H", file.lower(root), file.header - file.base)
    assert found(file, "no keys on the page")


def test_keys_missing_from_a_page(make):
    file = make(one_leaf)
    lower = file.lower(file.root(file.main))
    file.put("H", lower, file.u16(lower) - 4)
    assert found(file, "3 entries, record says 5")


def test_bounds_of_fixed_keys(make):
    file = make(subtree(dupsort=True, dupfixed=True))
    duplicates = file.root(file.value(file.root(named_record(file)), 0))
    while file.u16(file.flags(duplicates)) & BRANCH:
        duplicates = file.u32(file.node(duplicates, 0)) * file.psize
    lower = file.lower(duplicates)
    file.put("H", lower, file.u16(lower) + 2000)
    assert found(file, "bad mp_lower/mp_upper")


@pytest.mark.parametrize("pointer", [0xFFF0, 1, 0, 4095])
def test_node_pointer_outside(make, pointer):
    file = make(one_leaf)
    file.put("H", file.slot(file.root(file.main), 2), pointer)
    assert found(file, "a node pointer lies outside the node area")


def test_node_past_the_end(make):
    file = make(one_leaf)
    file.put("I", file.node(file.root(file.main), 2), 4000)
    assert found(file, "a node runs past the end of the page")


def test_nodes_overlap(make):
    file = make(one_leaf)
    file.put("I", file.node(file.root(file.main), 2), 15)
    assert found(file, "nodes overlap")


def test_empty_key(make):
    file = make(one_leaf)
    file.put("H", file.node(file.root(file.main), 0) + 6, 0)
    assert found(file, "an empty key")


@pytest.mark.parametrize("flags", [SUBDATA, DUPDATA, DUPDATA | SUBDATA, SUBDATA | BIGDATA, 0x80])
def test_node_flags(make, flags):
    file = make(named())
    file.put("H", file.node(file.root(named_record(file)), 0) + 4, flags)
    assert found(file, f"node 0: invalid flag combination {flags:#x}")


def test_record_without_its_flag(make):
    # An ordinary record where a database was: its pages are now lost.
    file = make(named())
    file.put("H", file.node(file.root(file.main), 0) + 4, 0)
    assert found(file, "neither reachable nor in the freeDB")


# Order


def test_keys_out_of_order(make):
    file = make(one_leaf)
    file.swap(file.root(file.main), 1, 3)
    assert found(file, "keys out of order")


def test_separators_out_of_order(make):
    file = make(two_levels)
    file.swap(file.root(file.main), 1, 3)
    assert found(file, "keys out of order")


def test_leaf_outside_its_separators(make):
    file = make(two_levels)
    file.swap(file.root(file.main), 0, 3)
    assert found(file, "out of order with the parent page")


@pytest.mark.parametrize("flag", [0x2, 0x8])
def test_order_of_another_comparison(make, flag):
    def fill(env: lmdb.Environment) -> None:
        db = env.open_db(b"named")
        with env.begin(write=True, db=db) as txn:
            for i in range(20):
                txn.put(struct.pack(">Q", i * 250), b"")

    file = make(fill)
    file.put("H", named_record(file) + FLAGS, flag)
    assert found(file, "keys out of order")


def test_subpage_out_of_order(make):
    file = make(named(dupsort=True))
    subpage = file.value(file.root(named_record(file)), 0)
    file.swap(subpage, 4, 5)
    assert found(file, "dup data out of order")


@pytest.mark.parametrize("fill", [named, subtree])
def test_fixed_duplicates_out_of_order(make, fill):
    file = make(fill(dupsort=True, dupfixed=True))
    duplicates = file.value(file.root(named_record(file)), 0)
    if fill is subtree:
        duplicates = file.root(duplicates)
        while file.u16(file.flags(duplicates)) & BRANCH:
            duplicates = file.u32(file.node(duplicates, 0)) * file.psize
    first = duplicates + file.header
    file.data[first : first + 16] = file.data[first + 8 : first + 16] + file.data[first : first + 8]
    assert found(file, "dup data out of order")


# Sub-pages


def test_subpage_flags(make):
    file = make(named(dupsort=True))
    file.put("H", file.flags(file.value(file.root(named_record(file)), 0)), LEAF)
    assert found(file, "sub-page: mixed or invalid page flags 0x2")


@pytest.mark.parametrize("field", ["lower", "upper"])
@pytest.mark.parametrize("dupfixed", [False, True])
def test_subpage_bounds(make, field, dupfixed):
    file = make(named(dupsort=True, dupfixed=dupfixed))
    subpage = file.value(file.root(named_record(file)), 0)
    file.put("H", getattr(file, field)(subpage), 60_000)
    assert found(file, "bad mp_lower/mp_upper")


def test_subpage_without_room_for_its_header(make):
    file = make(named(dupsort=True))
    file.put("I", file.node(file.root(named_record(file)), 0), 12)
    assert found(file, "12 bytes cannot hold a page header")


def test_data_in_a_duplicate(make):
    file = make(named(dupsort=True))
    subpage = file.value(file.root(named_record(file)), 0)
    last = max(range(20), key=lambda i: file.u16(file.slot(subpage, i)))
    node = file.node(subpage, last)
    file.put("H", node + 6, 6)
    file.put("I", node, 2)
    assert found(file, "data in a duplicate")


# Overflow pages


def overflow(file: DataFile) -> int:
    """Return the offset of the first overflow page of `big_value`."""
    return file.u64(file.value(file.root(file.main), 0)) * file.psize


def test_overflow_page_flags(make):
    file = make(big_value)
    file.put("H", file.flags(overflow(file)), OVERFLOW | LEAF)
    assert found(file, "not a pure overflow")


@pytest.mark.parametrize("count", [0, 2, 2**32 - 1, 4, 5])
def test_overflow_page_count(make, count):
    file = make(big_value)
    file.put("I", file.lower(overflow(file)), count)
    assert found(file, f"header mp_pages {count}")


@pytest.mark.parametrize("count", [0, 2, 4, 2**63])
def test_overflow_page_count_in_the_node(make_v3, count):
    file = make_v3(big_value)
    file.put("Q", file.value(file.root(file.main), 0) + 16, count)
    assert found(file, f"overflow op_pages {count}")


def test_overflow_transaction_in_the_node(make_v3):
    file = make_v3(big_value)
    file.put("Q", file.value(file.root(file.main), 0) + 8, 9)
    assert found(file, "overflow op_txnid 9 is yet to be committed")


@pytest.mark.parametrize("pgno", [0, 1, 5000, 2**64 - 1])
def test_overflow_page_out_of_range(make, pgno):
    file = make(big_value)
    file.put("Q", file.value(file.root(file.main), 0), pgno)
    assert found(file, f"out-of-range page {pgno}")


def test_value_longer_than_its_pages(make):
    file = make(big_value)
    file.put("I", file.node(file.root(file.main), 0), 2**32 - 1)
    assert found(file, "header mp_pages")


# Reachability


@pytest.mark.parametrize("pgno", [0, 1, 5000, 2**48 - 1])
def test_child_out_of_range(make, pgno):
    file = make(two_levels)
    node = file.node(file.root(file.main), 2)
    file.put("I", node, pgno & 0xFFFFFFFF)
    file.put("H", node + 4, pgno >> 32)
    assert found(file, f"out-of-range page {pgno}")


def test_page_reachable_twice(make):
    file = make(two_levels)
    root = file.root(file.main)
    file.put("I", file.node(root, 2), file.u32(file.node(root, 1)))
    assert found(file, "is reachable more than once")


def test_page_that_is_its_own_child(make):
    file = make(two_levels)
    root = file.root(file.main)
    file.put("I", file.node(root, 2), root // file.psize)
    assert found(file, "is reachable more than once")


def test_truncated_file(make):
    file = make(two_levels)
    del file.data[4 * file.psize :]
    assert found(file, "lies beyond EOF")


def test_branch_page_with_one_child(make):
    file = make(two_levels)
    file.put("H", file.lower(file.root(file.main)), file.header - file.base + 2)
    assert found(file, "fewer than two children")


# The freeDB


def idl(file: DataFile) -> int:
    """Return the offset of the last freeDB record's content: a count, then page numbers."""
    root = file.root(file.free)
    return file.value(root, (file.u16(file.lower(root)) - file.header + file.base) // 2 - 1)


@pytest.mark.parametrize("by", [1, -1, 2**40])
def test_free_count(make, by):
    file = make(free_pages)
    file.put("Q", idl(file), file.u64(idl(file)) + by)
    assert found(file, "does not match value size")


def test_free_count_of_zero(make):
    # LMDB writes such records itself, but then it loses no pages by it.
    file = make(free_pages)
    file.put("Q", idl(file), 0)
    assert found(file, "does not match value size")
    assert found(file, "neither reachable nor in the freeDB")


def test_free_record_size(make):
    file = make(free_pages)
    root = file.root(file.free)
    file.put("I", file.node(root, 0), 12)
    assert found(file, "does not match value size 12")
    file.put("I", file.node(root, 0), 4)
    assert found(file, "does not match value size 4")


@pytest.mark.parametrize("pgno", [0, 1, 4000, 2**64 - 1])
def test_free_page_out_of_range(make, pgno):
    file = make(free_pages)
    file.put("Q", idl(file) + 16, pgno)
    assert found(file, f"lists out-of-range page {pgno}")


def test_free_pages_not_descending(make):
    file = make(free_pages)
    assert file.u64(idl(file)) > 2
    first, second = file.u64(idl(file) + 8), file.u64(idl(file) + 16)
    file.put("Q", idl(file) + 8, second)
    file.put("Q", idl(file) + 16, first)
    assert found(file, "not strictly descending")


def test_free_page_listed_twice(make):
    file = make(free_pages)
    file.put("Q", idl(file) + 16, file.u64(idl(file) + 8))
    assert found(file, "is listed more than once")


@pytest.mark.parametrize("which", ["main", "free"])
def test_live_page_in_the_free_db(make, which):
    file = make(free_pages)
    live = file.root(getattr(file, which)) // file.psize
    file.put("Q", idl(file) + 8, live)
    assert found(file, f"page {live} is both reachable and in the freeDB")


def test_free_record_of_a_transaction_to_come(make):
    file = make(free_pages)
    file.put("Q", file.node(file.root(file.free), 0) + 8, 10**6)
    assert found(file, "was never committed")


def test_free_record_key_size(make):
    file = make(free_pages)
    file.put("H", file.node(file.root(file.free), 0) + 6, 6)
    assert found(file, "its key has 6 bytes, not 8")


def test_free_record_flags(make):
    file = make(free_pages)
    file.put("H", file.node(file.root(file.free), 0) + 4, SUBDATA)
    assert found(file, "invalid flag combination 0x2")


def test_lost_pages(make):
    file = make(free_pages)
    file.data[file.free + DEPTH : file.free + ROOT] = bytes(ROOT - DEPTH)
    file.put("Q", file.free + ROOT, NO_PAGE)
    assert found(file, "are neither reachable nor in the freeDB")


def test_meta_page_of_the_wrong_transaction(make):
    file = make(one_leaf)
    txnid = file.meta + 128
    file.put("Q", txnid, file.u64(txnid) + 1)
    assert found(file, "of the other slot")


def test_problems_are_limited(make):
    def fill(env: lmdb.Environment) -> None:
        with env.begin(write=True) as txn:
            for i in range(20_000):
                txn.put(b"key %08d" % i, bytes(60))

    file = make(fill)
    for pgno in range(2, file.last_page + 1):
        if file.u16(file.flags(pgno * file.psize)) == LEAF:
            file.put("Q", pgno * file.psize, 1)
    problems = file.problems()
    assert len(problems) == 201
    assert "suppressed" in problems[-1]
