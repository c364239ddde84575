"""A map with indexes, for the tests of indexes."""

from __future__ import annotations

import zlmdb


def unchanged(value):
    return value


class Users:
    """A map of dicts with an index for each of its fields that is named."""

    def __init__(self, **fields):
        self.users = zlmdb.MapOidCbor(1, marshal=unchanged, unmarshal=unchanged)
        self.indexes = {}
        for slot, (field, options) in enumerate(fields.items(), 2):
            self.indexes[field] = zlmdb.MapStringOid(slot)
            self.users.attach_index(
                field, self.indexes[field], lambda user, field=field: user[field], **options
            )

    def contents(self, txn):
        """Return all records of the indexes."""
        return {name: dict(index.select(txn)) for name, index in self.indexes.items()}
