"""Many records at once are the same as one after the other."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import zlmdb
from zlmdb.orm import bulk
from zlmdb.orm.errors import EncodeError


def unchanged(value):
    return value


def test_records_come_back_in_the_order_asked_for(db):
    pmap = zlmdb.MapOidOid(1)
    with db.begin(write=True) as txn:
        assert pmap.put_many(txn, ((n, n * n) for n in range(20_000, 0, -1))) == 20_000
        assert pmap.get_many(txn, [3, 30_000, 1, 3]) == [9, None, 1, 9]
        assert pmap.get_many(txn, []) == []
        assert pmap.count(txn) == 20_000
    with db.begin(buffers=True) as txn:
        assert pmap.get_many(txn, iter([20_000, 1])) == [400_000_000, 1]
        assert pmap.put_many(txn, []) == 0


def test_large_values_are_written_in_several_groups(db, monkeypatch):
    monkeypatch.setattr(bulk, "GROUP_BYTES", 10_000)
    pmap = zlmdb.MapOidPickle(1)
    with db.begin(write=True) as txn:
        assert pmap.put_many(txn, ((n, b"x" * 1000) for n in range(100))) == 100
        assert pmap.count(txn) == 100


def test_records_before_one_that_is_refused_may_be_written_it_is_not(db, monkeypatch):
    monkeypatch.setattr(bulk, "GROUP_RECORDS", 10)
    pmap = zlmdb.MapOidPickle(1)
    index = zlmdb.MapOidOid(2)
    pmap.attach_index("n", index, lambda value: value if isinstance(value, int) else None)
    items = [(n, n) for n in range(25)]
    for refused, error in (((25, lambda: 0), EncodeError), ((25, None), zlmdb.NullValueConstraint)):
        with db.begin(write=True) as txn:
            pmap.truncate(txn)
            with pytest.raises(error):
                pmap.put_many(txn, [*items, refused, (26, 26)])
            assert list(pmap.select(txn)) == list(index.select(txn)) == items[:20]


class Case:
    """Two maps with indexes in one database, for the same records in two ways."""

    def __init__(self, unique):
        self.pmap = zlmdb.MapUuidPickle(1)
        self.index = zlmdb.MapStringUuid(2)
        self.pmap.attach_index("name", self.index, lambda value: value["name"], nullable=True, unique=unique)

    def outcome(self, txn, items, many):
        try:
            if many:
                self.pmap.put_many(txn, items)
            else:
                for key, value in items:
                    self.pmap[txn, key] = value
        except zlmdb.orm.UniqueValueConstraint:
            return "refused"
        return list(self.pmap.select(txn)), list(self.index.select(txn))


records = st.lists(st.tuples(
    st.integers(0, 5).map(lambda n: UUID(int=n)),
    st.fixed_dictionaries({"name": st.sampled_from(["a", "b", "c", None]), "n": st.integers(0, 3)}),
))  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(records, records, st.booleans())
def test_the_result_is_that_of_single_writes(undone, before, items, unique):
    case = Case(unique)
    outcomes = []
    with zlmdb.Database(sync=False) as db:
        for many in (False, True):
            with undone(db) as txn:
                Case(False).pmap.put_many(txn, before if not unique else before[:1])
                outcomes.append(case.outcome(txn, items, many))
    assert outcomes[0] == outcomes[1]


def test_stats_count_all_records(db):
    stats = zlmdb.TransactionStats()
    pmap, index = zlmdb.MapOidPickle(1), zlmdb.MapOidOid(2)
    pmap.attach_index("value", index, unchanged)
    with db.begin(write=True, stats=stats) as txn:
        pmap.put_many(txn, ((n, n) for n in range(100)))
    assert stats.puts == 200


def test_a_database_that_holds_other_keys_of_the_range(db):
    """Whether records are new is asked of the first key first, then of each."""
    pmap, index = zlmdb.MapOidPickle(1), zlmdb.MapOidOid(2)
    pmap.attach_index("value", index, unchanged)
    with db.begin(write=True, buffers=True) as txn:
        pmap[txn, 10] = 10
        assert pmap.put_many(txn, [(n, n) for n in (20, 5)]) == 2
        assert pmap.put_many(txn, [(n, n + 100) for n in (10, 7)]) == 2
        assert list(pmap.select(txn)) == [(5, 5), (7, 107), (10, 110), (20, 20)]
        assert list(index.select(txn)) == [(5, 5), (20, 20), (107, 7), (110, 10)]
