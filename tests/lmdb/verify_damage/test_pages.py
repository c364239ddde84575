"""Damage to branch and leaf pages: bounds, nodes, order, sub-pages."""

from __future__ import annotations

import struct

import pytest

BRANCH, LEAF, OVERFLOW, DIRTY, LEAF2 = 1, 2, 4, 16, 32
BIGDATA, SUBDATA, DUPDATA = 1, 2, 4


# Pages


@pytest.mark.parametrize(
    "flags", [0, LEAF | OVERFLOW, LEAF | BRANCH, LEAF | DIRTY, LEAF | LEAF2, LEAF | 0x40, 0x4002]
)
def test_page_flags(make, flags):
    file = make("one_leaf")
    file.put("H", file.flags(file.root(file.main)), flags)
    assert file.found(f"mixed or invalid page flags {flags:#x}")


def test_page_number(make):
    file = make("one_leaf")
    file.put("Q", file.root(file.main), 77)
    assert file.found("its header calls it page 77")


def test_dirty_mark(make):
    file = make("one_leaf")
    file.put("H", file.flags(file.root(file.main)), LEAF | DIRTY)
    assert file.found("mixed or invalid page flags 0x12 (dirty mark)")


def test_page_of_a_transaction_to_come(make_v3):
    file = make_v3("one_leaf")
    file.put("Q", file.root(file.main) + 8, 2**40)
    assert file.found(f"dirty mark: mp_txnid {2**40} is yet to be committed")


@pytest.mark.parametrize(
    ("lower", "upper"), [(5001, None), (3, None), (None, 0xFFF0), (None, 0), (0xFFF0, 0xFFF0)]
)
@pytest.mark.parametrize("fill", ["one_leaf", "two_levels"])
def test_page_bounds(make, fill, lower, upper):
    file = make(fill)
    root = file.root(file.main)
    if lower is not None:
        file.put("H", file.lower(root), lower)
    if upper is not None:
        file.put("H", file.upper(root), upper)
    assert file.found("bad mp_lower/mp_upper")


def test_page_without_keys(make):
    file = make("one_leaf")
    root = file.root(file.main)
    file.put("H", file.lower(root), file.header - file.base)
    assert file.found("no keys on the page")


def test_keys_missing_from_a_page(make):
    file = make("one_leaf")
    lower = file.lower(file.root(file.main))
    file.put("H", lower, file.u16(lower) - 4)
    assert file.found("3 entries, record says 5")


def test_bounds_of_fixed_keys(make):
    file = make("subtree", dupsort=True, dupfixed=True)
    duplicates = file.first_leaf(file.value(file.root(file.named_record()), 0))
    lower = file.lower(duplicates)
    file.put("H", lower, file.u16(lower) + 2000)
    assert file.found("bad mp_lower/mp_upper")


@pytest.mark.parametrize("pointer", [0xFFF0, 1, 0, 4095])
def test_node_pointer_outside(make, pointer):
    file = make("one_leaf")
    file.put("H", file.slot(file.root(file.main), 2), pointer)
    assert file.found("a node pointer lies outside the node area")


def test_node_past_the_end(make):
    file = make("one_leaf")
    file.put("I", file.node(file.root(file.main), 2), 4000)
    assert file.found("a node runs past the end of the page")


def test_nodes_overlap(make):
    file = make("one_leaf")
    file.put("I", file.node(file.root(file.main), 2), 15)
    assert file.found("nodes overlap")


def test_empty_key(make):
    file = make("one_leaf")
    file.put("H", file.node(file.root(file.main), 0) + 6, 0)
    assert file.found("an empty key")


@pytest.mark.parametrize("flags", [SUBDATA, DUPDATA, DUPDATA | SUBDATA, SUBDATA | BIGDATA, 0x80])
def test_node_flags(make, flags):
    file = make("named")
    file.put("H", file.node(file.root(file.named_record()), 0) + 4, flags)
    assert file.found(f"node 0: invalid flag combination {flags:#x}")


def test_record_without_its_flag(make):
    # An ordinary record where a database was: its pages are now lost.
    file = make("named")
    file.put("H", file.node(file.root(file.main), 0) + 4, 0)
    assert file.found("neither reachable nor in the freeDB")


# Order


def test_keys_out_of_order(make):
    file = make("one_leaf")
    file.swap(file.root(file.main), 1, 3)
    assert file.found("keys out of order")


def test_separators_out_of_order(make):
    file = make("two_levels")
    file.swap(file.root(file.main), 1, 3)
    assert file.found("keys out of order")


def test_leaf_outside_its_separators(make):
    file = make("two_levels")
    file.swap(file.root(file.main), 0, 3)
    assert file.found("out of order with the parent page")


@pytest.mark.parametrize("flag", [0x2, 0x8])
def test_order_of_another_comparison(make, flag):
    def fill(env):
        db = env.open_db(b"named")
        with env.begin(write=True, db=db) as txn:
            for i in range(20):
                txn.put(struct.pack(">Q", i * 250), b"")

    file = make(fill)
    file.put("H", file.field(file.named_record(), "flags"), flag)
    assert file.found("keys out of order")


def test_subpage_out_of_order(make):
    file = make("named", dupsort=True)
    subpage = file.value(file.root(file.named_record()), 0)
    file.swap(subpage, 4, 5)
    assert file.found("dup data out of order")


@pytest.mark.parametrize("fill", ["named", "subtree"])
def test_fixed_duplicates_out_of_order(make, fill):
    file = make(fill, dupsort=True, dupfixed=True)
    duplicates = file.value(file.root(file.named_record()), 0)
    if fill == "subtree":
        duplicates = file.first_leaf(duplicates)
    first = duplicates + file.header
    file.data[first : first + 16] = file.data[first + 8 : first + 16] + file.data[first : first + 8]
    assert file.found("dup data out of order")


# Sub-pages


def test_subpage_flags(make):
    file = make("named", dupsort=True)
    file.put("H", file.flags(file.value(file.root(file.named_record()), 0)), LEAF)
    assert file.found("sub-page: mixed or invalid page flags 0x2")


@pytest.mark.parametrize("field", ["lower", "upper"])
@pytest.mark.parametrize("dupfixed", [False, True])
def test_subpage_bounds(make, field, dupfixed):
    file = make("named", dupsort=True, dupfixed=dupfixed)
    subpage = file.value(file.root(file.named_record()), 0)
    file.put("H", getattr(file, field)(subpage), 60_000)
    assert file.found("bad mp_lower/mp_upper")


def test_subpage_without_room_for_its_header(make):
    file = make("named", dupsort=True)
    file.put("I", file.node(file.root(file.named_record()), 0), 12)
    assert file.found("12 bytes cannot hold a page header")


def test_data_in_a_duplicate(make):
    file = make("named", dupsort=True)
    subpage = file.value(file.root(file.named_record()), 0)
    last = max(range(20), key=lambda i: file.u16(file.slot(subpage, i)))
    node = file.node(subpage, last)
    file.put("H", node + 6, 6)
    file.put("I", node, 2)
    assert file.found("data in a duplicate")
