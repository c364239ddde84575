"""Whatever a file contains, the audit ends soon, in bounded memory, with a list or a `VerifyError`."""

from __future__ import annotations

import io
import mmap
import random
import struct
import tempfile
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zlmdb import lmdb
from zlmdb.lmdb.verify import VerifyError, _Verifier, verify

PAGE = mmap.PAGESIZE  # which LMDB takes for its own
KINDS = [
    {},
    {"dupsort": True},
    {"dupsort": True, "dupfixed": True},
    {"integerkey": True},
    {"reverse_key": True},
    {"dupsort": True, "integerdup": True},
]


@cache
def sample(lib_version: int) -> bytes:
    """Return a file with a little of everything in it."""
    with tempfile.TemporaryDirectory() as path:
        with lmdb.open(path, max_dbs=9, lib_version=lib_version) as env:
            databases = [env.open_db(b"db %d" % i, **kind) for i, kind in enumerate(KINDS)]
            for _round in range(3):
                with env.begin(write=True) as txn:
                    for i in range(300):
                        for db in databases:
                            txn.put(struct.pack("=Q", i * _round % 99), struct.pack("=Q", i), db=db)
                        txn.put(b"%05d" % i, bytes(5000 if i % 50 == 0 else 50), db=databases[0])
                    for i in range(0, 300, 2):
                        txn.delete(b"%05d" % i, db=databases[0])
        return (Path(path) / "data.mdb").read_bytes()


def audit(data: bytes | bytearray) -> list[str] | None:
    """Return the problems, or None if the audit could not start. Anything else fails the test."""
    try:
        problems = _Verifier(io.BytesIO(data), len(data)).verify()
    except VerifyError:
        return None
    assert len(problems) <= 201
    return problems


def test_samples_are_sound():
    assert audit(sample(0)) == []
    assert audit(sample(1)) == []


INTERESTING = st.sampled_from([0, 1, 2, 3, 0x10, 0xFFFF, 2**32 - 1, 2**48 - 1, 2**63, 2**64 - 1])
CHANGES = st.lists(
    st.tuples(
        st.integers(0, 120),  # page
        st.integers(0, 63) | st.integers(0, PAGE - 1),  # offset: more often in the header
        st.sampled_from("BHIQ"),
        INTERESTING | st.integers(0, 2**64 - 1),
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=600, deadline=None)
@given(lib_version=st.sampled_from([0, 1]), changes=CHANGES)
def test_changed_fields(lib_version, changes):
    data = bytearray(sample(lib_version))
    for page, offset, form, value in changes:
        size = struct.calcsize(form)
        at = min(page * PAGE + offset, len(data) - size)
        struct.pack_into("=" + form, data, at, value % (1 << 8 * size))
    audit(data)


@settings(max_examples=200, deadline=None)
@given(
    lib_version=st.sampled_from([0, 1]),
    seed=st.integers(0, 2**32),
    count=st.sampled_from([1, 10, 1000, 50_000]),
)
def test_changed_bytes(lib_version, seed, count):
    data, dice = bytearray(sample(lib_version)), random.Random(seed)
    for _ in range(count):
        data[dice.randrange(len(data))] = dice.randrange(256)
    audit(data)


@settings(max_examples=200, deadline=None)
@given(lib_version=st.sampled_from([0, 1]), seed=st.integers(0, 2**32))
def test_pages_in_each_others_place(lib_version, seed):
    data, dice = bytearray(sample(lib_version)), random.Random(seed)
    pages = len(data) // PAGE
    for _ in range(dice.randrange(1, 6)):
        source, target = dice.randrange(pages), dice.randrange(pages)
        data[target * PAGE : target * PAGE + PAGE] = data[source * PAGE : source * PAGE + PAGE]
        if target > 1 and dice.random() < 0.7:
            struct.pack_into("=Q", data, target * PAGE, target)
    audit(data)


@settings(max_examples=100, deadline=None)
@given(lib_version=st.sampled_from([0, 1]), size=st.integers(0, 500_000))
def test_truncated(lib_version, size):
    audit(sample(lib_version)[:size])


@pytest.fixture(params=[0, 1], ids=["v1", "v3"])
def single_leaf(tmp_path: Path, request: pytest.FixtureRequest) -> tuple[bytearray, int, int]:
    """Return a file with duplicates on a sub-page, its header size, and the offset of the leaf."""
    path = str(tmp_path / "file")
    with lmdb.open(path, subdir=False, max_dbs=1, lib_version=request.param) as env:
        db = env.open_db(b"db", dupsort=True)
        with env.begin(write=True, db=db) as txn:
            txn.put(b"k1", b"1")
            txn.put(b"k1", b"2")
    data = bytearray(Path(path).read_bytes())
    return data, 16 + 8 * request.param, data.rindex(b"k1") // PAGE * PAGE


def test_thousands_of_pointers_to_one_subpage(single_leaf):
    """Each node of a page would open up all nodes of a sub-page: that is quadratic in the page size."""
    data, header, leaf = single_leaf
    count = 1900
    base = 0 if header == 16 else 24
    (pointer,) = struct.unpack_from("=H", data, leaf + header)
    struct.pack_into("=HH", data, leaf + header - 4, header - base + 2 * count, pointer)
    struct.pack_into(f"={count}H", data, leaf + header, *[pointer] * count)
    assert any("nodes overlap" in problem for problem in audit(data))


def test_last_page_in_a_sparse_file(single_leaf, tmp_path):
    """A size of a terabyte costs nothing on disk, and must not cost the auditor anything either."""
    data, header, _leaf = single_leaf
    for meta in (0, PAGE):
        struct.pack_into("=Q", data, meta + header + 120, 2**28 - 1)
    path = tmp_path / "sparse"
    path.write_bytes(data)
    with path.open("r+b") as file:
        file.truncate(2**40)
    first = len(data) // PAGE
    assert verify(path) == [f"pages {first} to {2**28 - 1} are neither reachable nor in the freeDB"]


VALUES = {
    "integerkey": st.integers(0, 400).map(lambda i: struct.pack("=Q", i)),
    "other": st.integers(0, 400).map(lambda i: b"%d" % i) | st.binary(min_size=1, max_size=300),
}
SIZES = st.sampled_from([0, 1, 30, 200, 400, 3000, 20_000])
OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(["put", "put", "put", "delete", "pop", "drop", "commit", "abort"]),
        st.integers(0, len(KINDS) - 1),
        st.randoms(use_true_random=False),
        SIZES,
    ),
    max_size=200,
)


def apply(txn: lmdb.Transaction, db: lmdb._Database, kind: dict, step: tuple) -> None:
    """Do one operation of a random history, often enough to fill pages."""
    what, _index, dice, size = step
    for _ in range(dice.choice([1, 20, 200])):
        number = dice.randrange(400)
        key = struct.pack("=Q", number) if "integerkey" in kind else b"%d" % number * dice.choice([1, 50])
        value = struct.pack("=Q", dice.randrange(999)) if "dupsort" in kind else bytes(size)
        if what == "put":
            txn.put(key, value, db=db)
        elif what == "delete":
            txn.delete(key, value if dice.random() < 0.5 else b"", db=db)
        elif what == "pop":
            txn.pop(key, db=db)


@settings(max_examples=60, deadline=None)
@given(lib_version=st.sampled_from([0, 1]), writemap=st.booleans(), history=OPERATIONS)
def test_any_history_is_sound(lib_version, writemap, history):
    with (
        tempfile.TemporaryDirectory() as path,
        lmdb.open(
            path, max_dbs=9, map_size=1 << 27, sync=False, writemap=writemap, lib_version=lib_version
        ) as env,
    ):
        databases = [env.open_db(b"db %d" % i, **kind) for i, kind in enumerate(KINDS)]
        txn = env.begin(write=True)
        for step in history:
            if step[0] in ("commit", "abort"):
                getattr(txn, step[0])()
                assert verify(path) == []
                txn = env.begin(write=True)
            elif step[0] == "drop":
                txn.drop(databases[step[1]], delete=False)
            else:
                apply(txn, databases[step[1]], KINDS[step[1]], step)
        txn.commit()
        assert verify(path) == []
