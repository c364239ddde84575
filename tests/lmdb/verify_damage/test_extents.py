"""Damage to large values, to the freeDB, and to what belongs to whom."""

from __future__ import annotations

import pytest

LEAF, OVERFLOW = 2, 4
SUBDATA = 2
NO_PAGE = 2**64 - 1


# Overflow pages


def overflow(file):
    """Return the offset of the first overflow page of `big_value`."""
    return file.u64(file.value(file.root(file.main), 0)) * file.psize


def test_overflow_page_flags(make):
    file = make("big_value")
    file.put("H", file.flags(overflow(file)), OVERFLOW | LEAF)
    assert file.found("not a pure overflow")


@pytest.mark.parametrize("count", [0, 2, 2**32 - 1, 4, 5])
def test_overflow_page_count(make, count):
    file = make("big_value")
    file.put("I", file.lower(overflow(file)), count)
    assert file.found(f"header mp_pages {count}")


@pytest.mark.parametrize("count", [0, 2, 4, 2**63])
def test_overflow_page_count_in_the_node(make_v3, count):
    file = make_v3("big_value")
    file.put("Q", file.value(file.root(file.main), 0) + 16, count)
    assert file.found(f"overflow op_pages {count}")


def test_overflow_transaction_in_the_node(make_v3):
    file = make_v3("big_value")
    file.put("Q", file.value(file.root(file.main), 0) + 8, 9)
    assert file.found("overflow op_txnid 9 is yet to be committed")


@pytest.mark.parametrize("pgno", [0, 1, 5000, 2**64 - 1])
def test_overflow_page_out_of_range(make, pgno):
    file = make("big_value")
    file.put("Q", file.value(file.root(file.main), 0), pgno)
    assert file.found(f"out-of-range page {pgno}")


def test_value_longer_than_its_pages(make):
    file = make("big_value")
    file.put("I", file.node(file.root(file.main), 0), 2**32 - 1)
    assert file.found("header mp_pages")


# Reachability


@pytest.mark.parametrize("pgno", [0, 1, 5000, 2**48 - 1])
def test_child_out_of_range(make, pgno):
    file = make("two_levels")
    node = file.node(file.root(file.main), 2)
    file.put("I", node, pgno & 0xFFFFFFFF)
    file.put("H", node + 4, pgno >> 32)
    assert file.found(f"out-of-range page {pgno}")


def test_page_reachable_twice(make):
    file = make("two_levels")
    root = file.root(file.main)
    file.put("I", file.node(root, 2), file.u32(file.node(root, 1)))
    assert file.found("is reachable more than once")


def test_page_that_is_its_own_child(make):
    file = make("two_levels")
    root = file.root(file.main)
    file.put("I", file.node(root, 2), root // file.psize)
    assert file.found("is reachable more than once")


def test_truncated_file(make):
    file = make("two_levels")
    del file.data[4 * file.psize :]
    assert file.found("lies beyond EOF")


def test_branch_page_with_one_child(make):
    file = make("two_levels")
    file.put("H", file.lower(file.root(file.main)), file.header - file.base + 2)
    assert file.found("fewer than two children")


# The freeDB


def idl(file):
    """Return the offset of the last freeDB record's content: a count, then page numbers."""
    root = file.root(file.free)
    return file.value(root, (file.u16(file.lower(root)) - file.header + file.base) // 2 - 1)


@pytest.mark.parametrize("by", [1, -1, 2**40])
def test_free_count(make, by):
    file = make("free_pages")
    file.put("Q", idl(file), file.u64(idl(file)) + by)
    assert file.found("does not match value size")


def test_free_count_of_zero(make):
    # LMDB writes such records itself, but then it loses no pages by it.
    file = make("free_pages")
    file.put("Q", idl(file), 0)
    assert file.found("does not match value size")
    assert file.found("neither reachable nor in the freeDB")


def test_free_record_size(make):
    file = make("free_pages")
    root = file.root(file.free)
    file.put("I", file.node(root, 0), 12)
    assert file.found("does not match value size 12")
    file.put("I", file.node(root, 0), 4)
    assert file.found("does not match value size 4")


@pytest.mark.parametrize("pgno", [0, 1, 4000, 2**64 - 1])
def test_free_page_out_of_range(make, pgno):
    file = make("free_pages")
    file.put("Q", idl(file) + 16, pgno)
    assert file.found(f"lists out-of-range page {pgno}")


def test_free_pages_not_descending(make):
    file = make("free_pages")
    assert file.u64(idl(file)) > 2
    first, second = file.u64(idl(file) + 8), file.u64(idl(file) + 16)
    file.put("Q", idl(file) + 8, second)
    file.put("Q", idl(file) + 16, first)
    assert file.found("not strictly descending")


def test_free_page_listed_twice(make):
    file = make("free_pages")
    file.put("Q", idl(file) + 16, file.u64(idl(file) + 8))
    assert file.found("is listed more than once")


@pytest.mark.parametrize("which", ["main", "free"])
def test_live_page_in_the_free_db(make, which):
    file = make("free_pages")
    live = file.root(getattr(file, which)) // file.psize
    file.put("Q", idl(file) + 8, live)
    assert file.found(f"page {live} is both reachable and in the freeDB")


def test_free_record_of_a_transaction_to_come(make):
    file = make("free_pages")
    file.put("Q", file.node(file.root(file.free), 0) + 8, 10**6)
    assert file.found("was never committed")


def test_free_record_key_size(make):
    file = make("free_pages")
    file.put("H", file.node(file.root(file.free), 0) + 6, 6)
    assert file.found("its key has 6 bytes, not 8")


def test_free_record_flags(make):
    file = make("free_pages")
    file.put("H", file.node(file.root(file.free), 0) + 4, SUBDATA)
    assert file.found("invalid flag combination 0x2")


def test_lost_pages(make):
    file = make("free_pages")
    for name in ("depth", "branch pages", "leaf pages", "overflow pages", "entries"):
        file.put("H" if name == "depth" else "Q", file.field(file.free, name), 0)
    file.put("Q", file.field(file.free, "root"), NO_PAGE)
    assert file.found("are neither reachable nor in the freeDB")


def test_problems_are_limited(make):
    def fill(env):
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
