"""Damage to meta pages and to the records of databases."""

from __future__ import annotations

import pytest

# Records of databases


@pytest.mark.parametrize("root", [0, 1, 99_999, 2**63])
def test_root_out_of_range(make, root):
    file = make("one_leaf")
    file.put("Q", file.field(file.main, "root"), root)
    assert file.found(f"main DB: root page {root} out of range")


@pytest.mark.parametrize("what", ["entries", "leaf pages", "branch pages", "overflow pages"])
@pytest.mark.parametrize("by", [1, -1])
def test_counter(make, what, by):
    file = make("levels_and_big_value")
    count = file.u64(file.field(file.main, what))
    file.put("Q", file.field(file.main, what), count + by)
    assert file.found(f"main DB: {count} {what}, record says {count + by}")


def test_counters_of_duplicates(make):
    file = make("subtree", dupsort=True)
    file.put("Q", file.field(file.named_record(), "entries"), 7)
    file.put("Q", file.field(file.named_record(), "leaf pages"), 0)
    assert file.found("1500 entries, record says 7")
    assert file.found("1 leaf pages, record says 0")


def test_depth(make):
    file = make("two_levels")
    file.put("H", file.field(file.main, "depth"), 3)
    assert file.found("main DB: leaves at depth [2], record says 3")


@pytest.mark.parametrize("flags", [0x10, 0x20, 0x40, 0x8000, 0x1])
def test_database_flags(make, flags):
    file = make("one_leaf")
    file.put("H", file.field(file.main, "flags"), flags)
    assert file.found("main DB: invalid flag combination")


def test_named_database_flags(make):
    file = make("named")
    file.put("H", file.field(file.named_record(), "flags"), 0x10)
    assert file.found("named DB b'named': invalid flag combination 0x10")


def test_free_db_flags(make):
    file = make("one_leaf")
    file.put("H", file.field(file.free, "flags"), 0)
    assert file.found("freeDB: invalid flag combination")


def test_md_pad(make):
    file = make("one_leaf")
    file.put("I", file.field(file.main, "pad"), 8 * file.psize)
    assert file.found("main DB: md_pad")


@pytest.mark.parametrize("pad", [0, 7, 9, 8 * 4096])
def test_md_pad_of_duplicates(make, pad):
    file = make("subtree", dupsort=True, dupfixed=True)
    file.put("I", file.field(file.value(file.root(file.named_record()), 0), "pad"), pad)
    assert file.found("md_pad")


def test_flags_of_duplicates(make):
    file = make("subtree", dupsort=True, dupfixed=True)
    file.put("H", file.field(file.value(file.root(file.named_record()), 0), "flags"), 0x4)
    assert file.found("invalid flag combination 0x4 in md_flags")


def test_record_size(make):
    file = make("named")
    file.put("I", file.node(file.root(file.main), 0), 40)
    assert file.found("a database record of 40 bytes, not 48")


def test_meta_page_of_the_wrong_transaction(make):
    file = make("one_leaf")
    txnid = file.meta + 128
    file.put("Q", txnid, file.u64(txnid) + 1)
    assert file.found("of the other slot")


@pytest.mark.parametrize("slot", [0, 1])
def test_page_number_of_a_meta_page(make, slot):
    file = make("one_leaf")
    file.put("Q", slot * file.psize, 7)
    assert file.found(f"meta page {slot}: its header calls it page 7")
