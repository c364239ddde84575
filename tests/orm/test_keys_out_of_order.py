"""In a file with a key out of order, where a record is not found by its key, nothing goes on for ever."""

from __future__ import annotations

import pytest

import zlmdb
from zlmdb.lmdb.verify import verify

pytestmark = pytest.mark.timeout(60)

COUNT, LAST = 100, 90_000


def record(slot, number, value=None):
    """Return the bytes of a record: its key, and the value that follows it."""
    value = number if value is None else value
    return slot.to_bytes(2, "big") + number.to_bytes(8, "big") + value.to_bytes(8, "big")


def attached():
    """Return a map and its index."""
    numbers, index = zlmdb.MapOidOid(1), zlmdb.MapOidOid(2)
    numbers.attach_index("number", index, int)
    return numbers, index


@pytest.fixture
def damaged(lib_version, tmp_path):
    """Return a database in whose index number 5 is in the place of one behind all others.

    The index begins on a page with records of the map, and ends on the next one with other records. So the
    pages stay when it is emptied, and looking for the key leads to the wrong one.
    """
    path = str(tmp_path / "db")
    numbers, _ = attached()
    with zlmdb.Database(path, lib_version=lib_version) as db, db.begin(write=True) as txn:
        numbers.put_many(txn, ((n, n) for n in range(COUNT)))
        zlmdb.MapOidOid(3).put_many(txn, ((n, n) for n in range(COUNT)))
    file = tmp_path / "db" / "data.mdb"
    data, right = file.read_bytes(), record(2, 5)
    assert right in data
    file.write_bytes(data.replace(right, record(2, LAST, 5)))
    assert any("keys out of order" in problem for problem in verify(path))
    with zlmdb.Database(path) as db:
        yield db


def others(db):
    """Return the records of the third map."""
    with db.begin() as txn:
        return list(zlmdb.MapOidOid(3).select(txn, return_keys=False))


def test_truncating_such_a_map_ends_and_all_its_records_are_gone(damaged):
    numbers, index = attached()
    stats = zlmdb.TransactionStats()
    with damaged.begin(write=True, stats=stats) as txn:
        assert index.truncate(txn) == stats.dels == COUNT
        assert numbers.truncate(txn) == COUNT
    with damaged.begin() as txn:
        assert list(txn._opened().items()) == list(txn._opened().items(prefix=b"\0\3"))
    assert others(damaged) == list(range(COUNT))
    assert verify(damaged.dbpath) == []


def test_dropping_such_a_table_ends_and_all_its_records_are_gone(damaged):
    assert damaged.drop_table(attached()[0]) == 2 * COUNT
    assert others(damaged) == list(range(COUNT))
    assert verify(damaged.dbpath) == []


def test_rebuilding_such_an_index_ends_and_mends_it(damaged):
    numbers, index = attached()
    with damaged.begin(write=True) as txn:
        assert numbers.rebuild_index(txn, "number") == numbers.rebuild_indexes(txn) == (COUNT, COUNT)
        assert numbers.check_indexes(txn)[0].ok
        assert index[txn, 5] == 5
    assert verify(damaged.dbpath) == []


def test_a_record_that_cannot_be_deleted_at_all_ends_it_too(db, monkeypatch):
    numbers, _ = attached()
    with db.begin(write=True) as txn:
        numbers[txn, 1] = 1
        monkeypatch.setattr(zlmdb.lmdb.Transaction, "delete", lambda _txn, _key: False)
        monkeypatch.setattr(zlmdb.lmdb.Cursor, "delete", lambda cursor: False)
        with pytest.raises(zlmdb.lmdb.CorruptedError, match="key 00010000000000000001 cannot be deleted"):
            numbers.truncate(txn)


def test_a_database_with_keys_out_of_order_is_not_migrated(damaged):
    path, other = damaged.dbpath, "1.0" if damaged.lib_version == "0.9" else "0.9"
    damaged.close()
    with pytest.raises(zlmdb.orm.errors.BackupError, match="unchanged"):
        zlmdb.Database.migrate(path, other)


def test_a_key_that_is_there_twice_is_no_bare_error_of_a_migration(lib_version, tmp_path):
    path = str(tmp_path / "db")
    numbers = zlmdb.MapOidOid(1)
    with zlmdb.Database(path, lib_version=lib_version) as db, db.begin(write=True) as txn:
        numbers.put_many(txn, ((n, n) for n in range(20)))
    file = tmp_path / "db" / "data.mdb"
    file.write_bytes(file.read_bytes().replace(record(1, 18), record(1, 19)))
    with pytest.raises(zlmdb.orm.errors.BackupError, match="unchanged"):
        zlmdb.Database.migrate(path, "1.0" if lib_version == "0.9" else "0.9")
