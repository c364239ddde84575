"""Random programs of transactions, cursors and databases against a model in plain Python, on both engines."""

from __future__ import annotations

import copy
import shutil
import tempfile
from bisect import bisect_left, bisect_right

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import zlmdb.lmdb as lmdb

EMPTY = (b"", b"")
KEYS = st.one_of(
    st.binary(min_size=1, max_size=2), st.integers(0, 60).map(lambda n: b"key%02d" % n),
    st.integers(1, 8).map(lambda n: b"l" * 60 * n),
)  # fmt: skip
VALUES = st.one_of(st.binary(min_size=1, max_size=4), st.sampled_from([b"v" * 300, b"w" * 400]))
# Made by map(), so that Hypothesis does not print the large one with every strategy.
LARGE = st.one_of(VALUES, st.just(b""), st.sampled_from([3000, 200_000]).map(lambda size: b"x" * size))
NAMES = ["main", "plain", "dups"]
MARKS = {"main": False, "plain": False, "dups": True}


class Model:
    """The sorted pairs of each database, for one level of nesting."""

    def __init__(self):
        self.pairs = {name: [] for name in NAMES}

    def keys(self, name):
        return [key for key, _ in self.pairs[name]]

    def values(self, name, key):
        return [value for found, value in self.pairs[name] if found == key]

    def put(self, name, key, value, dupdata, overwrite):
        existing = self.values(name, key)
        if existing and not overwrite:
            return False
        if MARKS[name]:
            if value in existing:
                return dupdata
        else:
            self.delete(name, key)
        self.pairs[name].append((key, value))
        self.pairs[name].sort()
        return True

    def delete(self, name, key, value=None):
        before = len(self.pairs[name])
        self.pairs[name] = [
            pair for pair in self.pairs[name] if pair[0] != key or value not in (None, pair[1])
        ]
        return len(self.pairs[name]) < before


class Machine(RuleBasedStateMachine):
    """One environment; a stack of nested write transactions; a cursor that is moved and written through."""

    major = 0

    def __init__(self):
        super().__init__()
        self.path = tempfile.mkdtemp(prefix="zlmdb-stateful-")
        self.env = None
        self.txns = []
        self.models = [Model()]
        self.snapshot = None
        self.cursor = None

    @initialize(grow=st.booleans(), spares=st.integers(0, 2))
    def open(self, grow, spares):
        self.options = {
            "max_dbs": 2, "lib_version": self.major, "sync": False, "max_spare_txns": spares,
            "map_size": 1 << 18 if grow else 1 << 28, "grow": grow,
        }  # fmt: skip
        self.reopen()

    def reopen(self):
        self.env = lmdb.open(self.path, **self.options)
        self.dbs = {
            "main": self.env.open_db(), "plain": self.env.open_db(b"\xff\xff plain"),
            "dups": self.env.open_db(b"\xff\xff dups", dupsort=True),
        }  # fmt: skip

    def teardown(self):
        if self.env is not None:
            self.env.close()
        shutil.rmtree(self.path)

    @property
    def model(self):
        return self.models[-1]

    # -- transactions --

    @precondition(lambda self: len(self.txns) < 4)
    @rule()
    def begin(self):
        parent = self.txns[-1] if self.txns else None
        self.txns.append(self.env.begin(write=True, parent=parent))
        self.models.append(copy.deepcopy(self.model))
        self.cursor = None

    @precondition(lambda self: self.txns)
    @rule()
    def commit(self):
        self.txns.pop().commit()
        self.models[-2:] = self.models[-1:]
        self.cursor = None

    @precondition(lambda self: self.txns)
    @rule()
    def abort(self):
        self.txns.pop().abort()
        self.models.pop()
        self.cursor = None

    @precondition(lambda self: len(self.txns) > 1)
    @rule(commit=st.booleans())
    def end_the_outermost(self, commit):
        """With it end all that are nested in it, uncommitted."""
        kept = self.models[1] if commit else self.models[0]
        if commit:
            self.txns[0].commit()
        else:
            self.txns[0].abort()
        for txn in self.txns[1:]:
            with pytest.raises(lmdb.Error):
                txn.get(b"k")
        self.txns, self.models, self.cursor = [], [kept], None

    @precondition(lambda self: self.snapshot is None)
    @rule(buffers=st.booleans())
    def begin_reading(self, buffers):
        self.snapshot = self.env.begin(buffers=buffers), copy.deepcopy(self.models[0])

    @precondition(lambda self: self.snapshot)
    @rule(commit=st.booleans())
    def end_reading(self, commit):
        txn, model = self.snapshot
        for name in NAMES:
            assert self.pairs_of(txn, name) == model.pairs[name]
        (txn.commit if commit else txn.abort)()
        self.snapshot = None

    @precondition(lambda self: not self.txns)
    @rule()
    def close_and_open(self):
        self.env.close()
        self.snapshot = None
        self.reopen()

    # -- records --

    def pairs_of(self, txn, name):
        """All pairs, without the names of databases, which live in the main one."""
        pairs = [(bytes(key), bytes(value)) for key, value in txn.items(db=self.dbs[name])]
        return [pair for pair in pairs if not pair[0].startswith(b"\xff\xff ")]

    def small(self, name, value):
        return value[:400] or b"-" if MARKS[name] else value

    @precondition(lambda self: self.txns)
    @rule(name=st.sampled_from(NAMES), key=KEYS, value=LARGE, dupdata=st.booleans(), overwrite=st.booleans())
    def put(self, name, key, value, dupdata, overwrite):
        value = self.small(name, value)
        wanted = self.model.put(name, key, value, dupdata, overwrite)
        assert self.txns[-1].put(key, value, dupdata, overwrite, db=self.dbs[name]) is wanted

    @precondition(lambda self: self.txns)
    @rule(
        name=st.sampled_from(NAMES), pairs=st.lists(st.tuples(KEYS, LARGE), max_size=80),
        dupdata=st.booleans(),
        overwrite=st.booleans(),
    )  # fmt: skip
    def putmulti(self, name, pairs, dupdata, overwrite):
        pairs = [(key, self.small(name, value)) for key, value in pairs]
        added = sum(self.model.put(name, key, value, dupdata, overwrite) for key, value in pairs)
        cursor = self.txns[-1].cursor(self.dbs[name])
        assert cursor.putmulti(pairs, dupdata, overwrite) == (len(pairs), added)

    @precondition(lambda self: self.txns)
    @rule(name=st.sampled_from(NAMES), key=KEYS, value=VALUES)
    def replace(self, name, key, value):
        old = [*self.model.values(name, key), None][0]
        self.model.delete(name, key)
        self.model.put(name, key, value, True, True)
        assert self.txns[-1].replace(key, value, db=self.dbs[name]) == old

    @precondition(lambda self: self.txns)
    @rule(name=st.sampled_from(NAMES), key=KEYS)
    def pop(self, name, key):
        old = [*self.model.values(name, key), None][0]
        self.model.delete(name, key, old)
        assert self.txns[-1].pop(key, db=self.dbs[name]) == old

    @precondition(lambda self: self.txns)
    @rule(name=st.sampled_from(NAMES), key=KEYS, value=st.one_of(st.just(b""), VALUES), data=st.data())
    def delete(self, name, key, value, data):
        known = self.model.pairs[name]
        if known and data.draw(st.booleans()):
            key, value = data.draw(st.sampled_from(known))
        only = (value or None) if MARKS[name] else None
        assert self.txns[-1].delete(key, value, db=self.dbs[name]) is self.model.delete(name, key, only)

    @precondition(lambda self: self.txns)
    @rule(name=st.sampled_from(["plain", "dups"]))
    def empty(self, name):
        self.txns[-1].drop(self.dbs[name], delete=False)
        self.model.pairs[name] = []

    @rule(name=st.sampled_from(NAMES), keys=st.lists(KEYS, max_size=20))
    def read(self, name, keys):
        db, model = self.dbs[name], self.models[0]
        wanted = [(key, model.values(name, key)[0]) for key in keys if model.values(name, key)]
        assert self.env.getmulti(keys, db=db) == wanted
        for key, value in wanted:
            assert self.env.get(key, db=db) == value
        if self.txns:
            wanted = [(key, self.model.values(name, key)[0]) for key in keys if self.model.values(name, key)]
            assert self.txns[-1].cursor(db).getmulti(keys) == wanted
            assert [self.txns[-1].get(key, db=db) for key, _ in wanted] == [value for _, value in wanted]

    # -- ranges and iterators --

    @precondition(lambda self: self.txns)
    @rule(
        name=st.sampled_from(["plain", "dups"]), start=st.none() | KEYS, stop=st.none() | KEYS,
        reverse=st.booleans(),
        limit=st.none() | st.integers(0, 20),
    )  # fmt: skip
    def range(self, name, start, stop, reverse, limit):
        wanted = [
            pair for pair in self.model.pairs[name]
            if (start is None or pair[0] >= start) and (stop is None or pair[0] < stop)
        ]  # fmt: skip
        wanted = (wanted[::-1] if reverse else wanted)[:limit]
        txn, db = self.txns[-1], self.dbs[name]
        assert list(txn.items(start, stop, reverse=reverse, limit=limit, db=db)) == wanted

    @precondition(lambda self: self.txns)
    @rule(name=st.sampled_from(["plain", "dups"]), key=KEYS, every=st.integers(1, 5), reverse=st.booleans())
    def delete_while_iterating(self, name, key, every, reverse):
        """Through the transaction, the pair that the iterator has just given."""
        txn, cursor = self.txns[-1], self.txns[-1].cursor(self.dbs[name])
        before = list(self.model.pairs[name])
        first = bisect_left(self.model.keys(name), key)
        if reverse:
            wanted = before[::-1]
        else:
            cursor.set_range(key)
            wanted = before[first:] if first < len(before) else []
            if not wanted:
                return
        seen = []
        for pair in cursor.iterprev() if reverse else cursor.iternext():
            assert cursor.item() == pair
            seen.append(pair)
            if len(seen) % every == 0:
                only = pair[1] if MARKS[name] else None
                assert txn.delete(pair[0], pair[1], db=self.dbs[name])
                self.model.delete(name, pair[0], only)
        assert seen == wanted

    # -- a cursor --

    @precondition(lambda self: self.txns)
    @rule(name=st.sampled_from(["plain", "dups"]), key=KEYS)
    def seek(self, name, key):
        self.cursor = self.txns[-1].cursor(self.dbs[name]), name
        keys = self.model.keys(name)
        at = bisect_left(keys, key)
        assert self.cursor[0].set_range(key) is (at < len(keys))
        assert self.cursor[0].item() == (self.model.pairs[name][at] if at < len(keys) else EMPTY)

    @precondition(lambda self: self.cursor and self.cursor[0].item() in self.model.pairs[self.cursor[1]])
    @rule(move=st.sampled_from(["next", "prev", "next_nodup", "prev_nodup"]), times=st.integers(1, 20))
    def move(self, move, times):
        cursor, name = self.cursor
        pairs, keys = self.model.pairs[name], self.model.keys(name)
        for _ in range(times):
            at = pairs.index(cursor.item())
            at = {
                "next": at + 1, "prev": at - 1, "next_nodup": bisect_right(keys, keys[at]),
                "prev_nodup": bisect_left(keys, keys[at]) - 1,
            }[move]  # fmt: skip
            inside = 0 <= at < len(pairs)
            assert getattr(cursor, move)() is inside
            assert cursor.item() == (pairs[at] if inside else EMPTY)
            if not inside:
                self.cursor = None
                return

    @precondition(lambda self: self.cursor and self.cursor[0].item() in self.model.pairs[self.cursor[1]])
    @rule(dupdata=st.booleans())
    def delete_at_the_cursor(self, dupdata):
        cursor, name = self.cursor
        key, value = cursor.item()
        at = self.model.pairs[name].index((key, value))
        if MARKS[name] and dupdata:
            at = bisect_left(self.model.keys(name), key)
        self.model.delete(name, key, None if dupdata or not MARKS[name] else value)
        assert cursor.delete(dupdata) is True
        pairs = self.model.pairs[name]
        assert cursor.item() == (pairs[at] if at < len(pairs) else EMPTY)
        if at == len(pairs):
            self.cursor = None

    @precondition(lambda self: self.cursor)
    @rule(key=KEYS, value=VALUES)
    def put_at_the_cursor(self, key, value):
        cursor, name = self.cursor
        self.model.put(name, key, value, True, True)
        assert cursor.put(key, value) is True
        assert cursor.item() == (key, value)

    # -- always --

    @invariant()
    def counts_agree(self):
        if self.txns:
            for name in ("plain", "dups"):
                assert self.txns[-1].stat(self.dbs[name])["entries"] == len(self.model.pairs[name])

    @precondition(lambda self: self.txns)
    @rule()
    def everything_agrees(self):
        for name in NAMES:
            assert self.pairs_of(self.txns[-1], name) == self.model.pairs[name]
        for name in ("plain", "dups"):
            back = list(self.txns[-1].cursor(self.dbs[name]).iterprev())
            assert back == self.model.pairs[name][::-1]


class Machine1(Machine):
    """The same on LMDB 1.0."""

    major = 1


BOUNDS = settings(
    max_examples=40, stateful_step_count=30, deadline=None, derandomize=True, database=None,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip

TestLmdb09 = Machine.TestCase
TestLmdb09.settings = BOUNDS
TestLmdb10 = Machine1.TestCase
TestLmdb10.settings = BOUNDS
