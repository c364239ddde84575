"""A file is created as a whole, or made anew where nothing was ever committed to it; and no other file is.

LMDB creates a file by one write of two meta pages, of which a kill, a full disk or a power failure can leave
any part.
"""

from __future__ import annotations

import itertools
import mmap
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

import zlmdb
from zlmdb import lmdb

PAGE = mmap.PAGESIZE
METAS = 2 * PAGE


@pytest.fixture
def created(tmp_path: Path, engine: int) -> bytes:
    """Return a file as it is created, with another map size, and another kind of path."""
    lmdb.open(tmp_path / "created", subdir=False, map_size=1 << 22, lib_version=engine).close()
    image = (tmp_path / "created").read_bytes()
    assert len(image) == METAS
    return image


@pytest.fixture
def committed(tmp_path: Path, engine: int) -> Callable[[int], bytes]:
    """Return a function that gives a file with some commits."""

    def make(commits: int) -> bytes:
        path = tmp_path / f"committed{commits}"
        with lmdb.open(path, lib_version=engine) as env:
            for number in range(commits):
                with env.begin(write=True) as txn:
                    txn.put(b"%d" % number, b"value")
        return (path / "data.mdb").read_bytes()

    return make


def use(path: Path, image: bytes, **options: object) -> None:
    """Open an environment whose file has these bytes; it must work, and be empty."""
    (path / "data.mdb").write_bytes(image)
    with lmdb.open(path, sync=False, **options) as env:
        assert env.stat()["entries"] == 0
        with env.begin(write=True) as txn:
            txn.put(b"key", b"value")
    with lmdb.open(path, readonly=True) as env:
        assert env.get(b"key") == b"value"


@pytest.mark.parametrize("chosen", [False, True])
def test_every_length(tmp_path: Path, engine: int, chosen: bool, created: bytes) -> None:
    lengths = [*range(300), *range(PAGE - 8, PAGE + 300), *range(0, METAS, 128), METAS]
    for length in lengths:
        use(tmp_path, created[:length], lib_version=engine if chosen else None)


def test_every_length_that_is_left_is_of_the_engine_chosen_by_it(
    tmp_path: Path, engine: int, created: bytes
) -> None:
    """As soon as the bytes that are there tell."""
    for length in (20 + engine * 8, 40, PAGE, METAS - 1):
        (tmp_path / "data.mdb").write_bytes(created[:length])
        with lmdb.open(tmp_path) as env:
            assert env.lib_version()[0] == engine


@pytest.mark.parametrize("block", [512, 4096])
@pytest.mark.parametrize("writemap", [False, True])
def test_torn_at_blocks(tmp_path: Path, engine: int, created: bytes, block: int, writemap: bool) -> None:
    """Those left out are zeros, or beyond the end; with writemap, the file may be as long as the map."""
    blocks = [created[at : at + block] for at in range(0, METAS, block)]
    written = [number for number, content in enumerate(blocks) if any(content)]
    for kept in itertools.chain.from_iterable(
        itertools.combinations(written, n) for n in range(len(written) + 1)
    ):
        torn = b"".join(content if at in kept else bytes(block) for at, content in enumerate(blocks))
        shortest = (max(kept) + 1 if kept else 0) * block
        for length in (*range(shortest, METAS + 1, block), METAS + block, 1 << 20):
            for chosen in (engine, None):
                image = torn[:length] + bytes(max(0, length - METAS))
                use(tmp_path, image, lib_version=chosen, writemap=writemap)


def test_the_engine_of_a_torn_file(tmp_path: Path, engine: int, created: bytes) -> None:
    (tmp_path / "data.mdb").write_bytes(bytes(PAGE) + created[PAGE:])
    with lmdb.open(tmp_path) as env:
        assert env.lib_version()[0] == engine


@pytest.mark.parametrize("length", [20, 200, PAGE, PAGE + 200])
def test_a_database_of_the_object_layer(tmp_path: Path, created: bytes, length: int) -> None:
    (tmp_path / "data.mdb").write_bytes(created[:length])
    with zlmdb.Database(str(tmp_path)) as db, db.begin(write=True):
        pass


def test_a_reader_is_told_to_complete_it(tmp_path: Path, engine: int, created: bytes) -> None:
    (tmp_path / "data.mdb").write_bytes(created[:PAGE])
    with pytest.raises(lmdb.Error, match="without readonly=True"):
        lmdb.open(tmp_path, readonly=True, lib_version=engine)
    assert (tmp_path / "data.mdb").read_bytes() == created[:PAGE]


def refused(path: Path, image: bytes, engine: int, entries: int = -1) -> None:
    """An environment whose file has these bytes does not open; or if its header is whole, has all entries."""
    (path / "data.mdb").write_bytes(image)
    try:
        with lmdb.open(path, lib_version=engine) as env:
            assert env.stat()["entries"] == entries
    except lmdb.Error:
        pass
    assert (path / "data.mdb").read_bytes() == image


@pytest.mark.parametrize("commits", [1, 2, 3])
def test_a_file_with_commits_is_never_made_anew(
    tmp_path: Path, engine: int, committed: Callable[[int], bytes], commits: int
) -> None:
    """Whatever is lost of it, unless it is all that tells."""
    image = committed(commits)
    for lost in (range(PAGE), range(PAGE, METAS), range(METAS)):
        holes = bytes(0 if at in lost else byte for at, byte in enumerate(image))
        refused(tmp_path, holes, engine)
    for length in (PAGE, PAGE + 200, METAS - 1)[commits == 1 :]:
        refused(tmp_path, image[:length], engine, commits)


def test_other_files_are_not_made_anew(tmp_path: Path, engine: int, created: bytes) -> None:
    for image in (
        b"a text", b"\0" * 5000 + b"x", created[:PAGE] + b"\1" * PAGE, created + b"\0" * PAGE + b"x",
        b"\0" * METAS * 300 + b"x", b"\x08" * 11,
    ):  # fmt: skip
        if image[:METAS] != created:
            refused(tmp_path, image, engine)


def test_a_data_file_that_went_while_others_have_it_open(tmp_path: Path, engine: int, run_child) -> None:
    """It would be made under their lock file, which belongs to another."""
    env = lmdb.open(tmp_path / "env", lib_version=engine)
    (tmp_path / "env" / "data.mdb").unlink()
    done = run_child("lmdb.open('env', lib_version=int(sys.argv[1]))", engine)
    env.close()
    assert "LockError" in done.stderr
    assert done.stderr.count("\n") < 20
    lmdb.open(tmp_path / "env", lib_version=engine).close()


def test_the_version_of_a_file_that_has_only_its_beginning(tmp_path: Path, engine: int) -> None:
    """The words of the other engine's header are no beginning of this one's."""
    header = struct.pack("@N4H", 0, 0, 8, 0, 0) if engine else struct.pack("@2N4H", 0, 0, 0, 8, 0, 0)
    refused(tmp_path, header, engine)
