"""Any writes, aborts and nested transactions leave records and indexes as a plain dict would have them."""

from __future__ import annotations

import contextlib
import copy

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import zlmdb

keys = st.integers(0, 8)
values = st.fixed_dictionaries({
    "email": st.none() | st.sampled_from("abcdef"),
    "name": st.text("xy", max_size=2),
    "pair": st.tuples(st.integers(0, 2), st.none() | st.sampled_from("pq")),
})  # fmt: skip


class MapWithIndexes(RuleBasedStateMachine):
    """A map with a unique index, one whose keys contain the primary key, and a nullable one of pairs."""

    lib_version = "1.0"

    @initialize(compress=st.sampled_from([None, 1]))
    def open(self, compress):
        self.db = zlmdb.Database(lib_version=self.lib_version, sync=False)
        self.users = zlmdb.MapOidPickle(2, compress=compress)
        self.by_email, self.by_name, self.by_pair = (
            zlmdb.MapStringOid(1), zlmdb.MapStringOidOid(3), zlmdb.MapOidStringOid(4),
        )  # fmt: skip
        self.users.attach_index(
            "email", self.by_email, lambda user: user["email"], nullable=True, unique=True
        )
        self.users.attach_index("name", self.by_name, lambda user: (user["name"], user["oid"]))
        self.users.attach_index("pair", self.by_pair, lambda user: (*user["pair"],), nullable=True)
        self.neighbour = zlmdb.MapOidOid(5)
        self.models = [{}]
        self.blocks = contextlib.ExitStack()
        self.txns = []

    @property
    def txn(self):
        """Return the innermost transaction that is open, or none."""
        return self.txns[-1] if self.txns else None

    def begin(self, txn):
        self.txns.append(txn.__enter__())
        self.models.append(copy.copy(self.models[-1]))

    @precondition(lambda self: len(self.txns) < 3)
    @rule(buffers=st.booleans())
    def begin_transaction(self, buffers):
        if self.txn is None:
            self.begin(self.db.begin(write=True, buffers=buffers))
        else:
            self.begin(self.txn.begin(buffers=buffers))

    @precondition(lambda self: self.txn)
    @rule()
    def commit(self):
        self.txns.pop().__exit__(None, None, None)
        self.models[-2:] = self.models[-1:]

    @precondition(lambda self: self.txn)
    @rule()
    def abort(self):
        self.txns.pop().__exit__(ValueError, ValueError(), None)
        self.models.pop()

    def taken(self, key, value):
        """Return whether another record has the unique index key."""
        email = value["email"]
        return email is not None and any(
            user["email"] == email for other, user in self.models[-1].items() if other != key
        )

    @precondition(lambda self: self.txn)
    @rule(key=keys, value=values)
    def put(self, key, value):
        user = {"oid": key, **value}
        if self.taken(key, user):
            with pytest.raises(zlmdb.orm.UniqueValueConstraint):
                self.users[self.txn, key] = user
        else:
            self.users[self.txn, key] = user
            self.models[-1][key] = user

    @precondition(lambda self: self.txn)
    @rule(items=st.lists(st.tuples(keys, values), max_size=6))
    def put_many(self, items):
        users = [(key, {"oid": key, **value}) for key, value in items]
        try:
            self.users.put_many(self.txn, users)
        except zlmdb.orm.UniqueValueConstraint:
            for key, user in users:
                if self.taken(key, user):
                    break
                self.models[-1][key] = user
            else:
                raise
        else:
            for key, user in users:
                assert not self.taken(key, user)
                self.models[-1][key] = user

    @precondition(lambda self: self.txn)
    @rule(key=keys)
    def delete(self, key):
        del self.users[self.txn, key]
        self.models[-1].pop(key, None)

    @precondition(lambda self: self.txn)
    @rule(
        value=st.sampled_from([{"name": 5}, {"name": "x" * 3000}, {"email": b"?"}, {"pair": (-1, "p")}]),
        key=keys,
    )
    def refused(self, key, value):
        good = {"oid": key, "email": None, "name": "x", "pair": (1, "p")}
        with pytest.raises(zlmdb.orm.Error):
            self.users[self.txn, key] = {**good, **value}

    @precondition(lambda self: self.txn)
    @rule()
    def truncate(self):
        count = len(self.models[-1])
        emails = sum(user["email"] is not None for user in self.models[-1].values())
        assert self.users.truncate(self.txn) >= 2 * count + emails
        self.models[-1].clear()

    @precondition(lambda self: self.txn)
    @rule()
    def rebuild(self):
        deleted, inserted = self.users.rebuild_indexes(self.txn)
        assert inserted >= deleted

    @precondition(lambda self: self.txn is None)
    @rule()
    def reopen(self):
        self.db.close()
        self.db.__enter__()

    @invariant()
    def records_and_indexes_are_those_of_the_model(self):
        with contextlib.ExitStack() as stack:
            txn = self.txn or stack.enter_context(self.db.begin())
            model = self.models[-1]
            assert dict(self.users.select(txn)) == model
            assert self.users.get_many(txn, range(9)) == [model.get(key) for key in range(9)]
            assert dict(self.by_email.select(txn)) == {
                user["email"]: key for key, user in model.items() if user["email"] is not None
            }
            assert dict(self.by_name.select(txn)) == {(user["name"], key): key for key, user in model.items()}
            for pair, key in self.by_pair.select(txn):
                assert model[key]["pair"] == pair

    def teardown(self):
        while self.txns:
            self.abort()
        self.db.close()


class MapWithIndexes09(MapWithIndexes):
    """The same in the older format."""

    lib_version = "0.9"


steps = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestMapWithIndexes = MapWithIndexes.TestCase
TestMapWithIndexes.settings = steps
TestMapWithIndexes09 = MapWithIndexes09.TestCase
TestMapWithIndexes09.settings = steps
