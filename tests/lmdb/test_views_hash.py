"""Views can be members of sets and keys of dicts, as those of py-lmdb can."""

from __future__ import annotations

import pytest

VALUES = [b"", b"v", b"value", bytes(range(256)), b"x" * 5000, b"y" * 100_000]


@pytest.fixture(params=[{}, {"grow": True}, {"keep_views": True}], ids=["plain", "growing", "kept"])
def filled(request, open_env):
    env = open_env(map_size=1 << 22, **request.param)
    with env.begin(write=True) as txn:
        for number, value in enumerate(VALUES):
            txn.put(b"%d" % number, value)
    return env


def views_by_every_way(txn):
    cursor = txn.cursor()
    yield from ((txn.get(b"%d" % number), value) for number, value in enumerate(VALUES))
    yield from zip(txn.values(), VALUES, strict=True)
    yield from ((view, b"%d" % number) for number, view in enumerate(txn.keys()))
    yield from ((pair[1], value) for pair, value in zip(cursor.iternext(), VALUES, strict=True))
    yield from ((pair[1], VALUES[int(bytes(pair[0]))]) for pair in cursor.getmulti([b"5", b"1", b"0"]))
    for number, value in enumerate(VALUES):
        cursor.set_key(b"%d" % number)
        yield cursor.value(), value
        yield cursor.key(), b"%d" % number
        yield cursor.item()[1], value


def test_a_view_hashes_as_its_bytes(filled):
    with filled.begin(buffers=True) as txn:
        seen = list(views_by_every_way(txn))
        for view, value in seen:
            assert type(view) is memoryview
            assert hash(view) == hash(value)
            assert {view: 1}[value] == 1
            assert {value: 2}[view] == 2
            assert len({view, value}) == 1
            assert hash(view[1:3]) == hash(value[1:3])
            assert hash(view[1:3].cast("c")) == hash(value[1:3])
        assert {view for view, _ in seen} == {value for _, value in seen}
        assert {*txn.values()} == {*VALUES}


def test_views_that_are_copies_hash_too(filled):
    """A transaction gets copies of what it has written itself."""
    with filled.begin(write=True, buffers=True) as txn:
        txn.put(b"1", b"new")
        assert {txn.get(b"1"), txn.get(b"2")} == {b"new", b"value"}
        assert hash(dict(txn.items())[b"1"]) == hash(b"new")


def test_a_cache_with_views_for_keys(filled):
    with filled.begin(buffers=True) as txn:
        cache = {key: value for key, value in txn.items()}  # noqa: C416 (as programs do)
        assert cache[txn.cursor().getmulti([b"2"])[0][0]] == b"value"
        cache[txn.get(b"1")] = b"another"
        assert cache[b"v"] == b"another"


def test_a_hash_of_an_ended_view_raises(open_env):
    """Unless it was hashed before: then it is known."""
    env = open_env()
    with env.begin(write=True) as txn:
        txn.put(b"k", b"value")
    with env.begin(buffers=True) as txn:
        view, hashed = txn.get(b"k"), txn.get(b"k")
        members = {hashed}
    with pytest.raises(ValueError, match="released"):
        hash(view)
    assert hashed in members
    assert view != b"value"


def test_what_hashes_cannot_be_written_to(filled):
    with filled.begin(buffers=True) as txn:
        view = txn.get(b"2")
        with pytest.raises(TypeError):
            view[0] = 1
        assert view.readonly
        assert (view.format, view.itemsize, view.ndim, view.contiguous) == ("B", 1, 1, True)


def test_values_only(filled):
    with filled.begin(buffers="values") as txn:
        assert {**dict(txn.items())} == {b"%d" % number: value for number, value in enumerate(VALUES)}
        assert {*txn.values()} == {*VALUES}
