"""Sound data files to be damaged, and where things are in them."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from zlmdb import lmdb
from zlmdb.lmdb.verify import verify

BRANCH = 1
FREE_DB, MAIN_DB = 24, 72  # offsets of the two records in a meta page's content
FIELDS = {
    "pad": 0, "flags": 4, "depth": 6, "branch pages": 8, "leaf pages": 16, "overflow pages": 24,
    "entries": 32, "root": 40,
}  # fmt: skip


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

    def found(self, fragment: str) -> bool:
        return any(fragment in problem for problem in self.problems())

    def field(self, record: int, name: str) -> int:
        """Return the offset of a field of a database's record."""
        return record + FIELDS[name]

    def named_record(self) -> int:
        """Return the offset of the record of the database that `named` or `subtree` made."""
        return self.value(self.root(self.main), 0)

    def first_leaf(self, record: int) -> int:
        """Return the offset of the first leaf page of the tree of `record`."""
        page = self.root(record)
        while self.u16(self.flags(page)) & BRANCH:
            page = self.u32(self.node(page, 0)) * self.psize
        return page

    def flags(self, page: int) -> int:
        return page + self.header - 6

    def lower(self, page: int) -> int:
        return page + self.header - 4

    def upper(self, page: int) -> int:
        return page + self.header - 2

    def root(self, record: int) -> int:
        """Return the offset of the root page of the tree of `record`."""
        return self.u64(self.field(record, "root")) * self.psize

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


def named(env: lmdb.Environment, count: int = 20, **options: Any) -> None:
    """A database whose only record in the main database is node 0 of the root."""
    db = env.open_db(b"named", **options)
    with env.begin(write=True, db=db) as txn:
        for i in range(count):
            txn.put(b"key", struct.pack("=Q", i * 256 + 1))


def subtree(env: lmdb.Environment, **options: Any) -> None:
    """Duplicates with a tree of their own."""
    named(env, 1500, **options)


def levels_and_big_value(env: lmdb.Environment) -> None:
    two_levels(env)
    big_value(env)


FILLS = {fill.__name__: fill for fill in (
    one_leaf, two_levels, big_value, levels_and_big_value, free_pages, named, subtree,
)}  # fmt: skip

Make = Callable[..., DataFile]


def maker(tmp_path: Path, lib_version: int) -> Make:
    """Return a function that makes a data file with what one of `FILLS`, or another function, puts in."""

    def make(fill: str | Callable[..., None], **options: Any) -> DataFile:
        path = tmp_path / "data"
        settings = {"subdir": False, "map_size": 1 << 24, "max_dbs": 9, "sync": False}
        with lmdb.open(str(path), lib_version=lib_version, **settings) as env:
            (FILLS[fill] if isinstance(fill, str) else fill)(env, **options)
        assert verify(path) == []
        return DataFile(path)

    return make


@pytest.fixture(params=[0, 1], ids=["v1", "v3"])
def make(tmp_path: Path, request: pytest.FixtureRequest) -> Make:
    """Return a function that makes a data file of either format."""
    return maker(tmp_path, request.param)


@pytest.fixture
def make_v3(tmp_path: Path) -> Make:
    """Return the same for format v3 alone, which has fields that v1 lacks."""
    return maker(tmp_path, 1)
