"""Stores that a script is written to: the object layer, and bindings of LMDB. Both keep two indexes."""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, Protocol

from .child import Child
from .script import Record, Step, draft

NATIVE = {"maxsize": "map_size"}
"""Options that the binding calls otherwise than the object layer."""
TOTAL = 0xFFFF
"""Beside the number of its last step for each writer: how many steps all of them have taken."""


class State(NamedTuple):
    """All that a store has, as one transaction sees it."""

    steps: dict[int, int]
    total: int
    records: dict[int, Record]
    problems: list[str]
    """Where the indexes do not agree with the records."""


class Store(Protocol):
    """An open store."""

    def write(self, writer: int, number: int, step: Step) -> None:
        """Write a step in one transaction, and note the writer's number and the total."""

    def read(self) -> State:
        """All that is stored."""

    def sync(self) -> None:
        """Make durable what was written, also if the store does not do so by itself."""

    def back_up(self, path: Path) -> None:
        """Copy the store, while it is in use, into a directory that is not there yet."""

    def close(self) -> None:
        """Close it."""


class Setup(NamedTuple):
    """How to open a store."""

    module: str
    """"zlmdb" for the object layer, "zlmdb.lmdb", or "lmdb" for another binding with that interface."""
    engine: int
    """LMDB's major version."""
    options: dict[str, Any]

    def open(self, path: Path) -> Store:
        """Open the store in a directory; it may be new."""
        if self.module == "zlmdb":
            return ObjectStore(path, self.engine, self.options)
        return BindingStore(self.module, path, self.engine, self.options)

    def errors(self) -> tuple[type[Exception], ...]:
        """The errors that the store may raise where files are damaged or the system refuses something."""
        lmdb = importlib.import_module(self.binding)
        if self.module != "zlmdb":
            return (lmdb.Error, ValueError)  # the latter from JSON, which this store decodes by itself
        return (lmdb.Error, importlib.import_module("zlmdb.orm.errors").Error)

    @property
    def binding(self) -> str:
        """The module that binds LMDB."""
        return "zlmdb.lmdb" if self.module == "zlmdb" else self.module

    def verify(self, path: Path) -> list[str]:
        """What is wrong with the data file, which LMDB does not get to see for that."""
        module = importlib.import_module(f"{self.binding}.verify")
        try:
            found: list[str] = module.verify(str(path))
        except module.VerifyError as problem:
            return [str(problem)]
        return found


def misfits(records: dict[int, Record], by_mail: dict[str, int], by_city: set[tuple[str, int]]) -> list[str]:
    """Where indexes do not agree with the records."""
    mails = {record["mail"]: key for key, record in records.items()}
    cities = {(record["city"], key) for key, record in records.items() if record["city"] is not None}
    problems = []
    if mails != by_mail:
        problems.append(f"the index by mail differs: {sorted(set(mails.items()) ^ set(by_mail.items()))[:5]}")
    if cities != by_city:
        problems.append(f"the index by city differs: {sorted(cities ^ by_city)[:5]}")
    return problems


class ObjectStore:
    """Maps of the object layer, with its indexes."""

    def __init__(self, path: Path, engine: int, options: dict[str, Any]) -> None:
        import zlmdb

        self._records = zlmdb.MapOidCbor(1, marshal=dict, unmarshal=dict)
        self._by_mail = zlmdb.MapStringOid(2)
        self._by_city = zlmdb.MapStringOidOid(3)
        self._steps = zlmdb.MapOidOid(4)
        self._records.attach_index("mail", self._by_mail, lambda record: record["mail"], unique=True)
        self._records.attach_index(
            "city", self._by_city, lambda record: (record["city"], record["key"]), nullable=True
        )
        self._db = zlmdb.Database(str(path), lib_version=["0.9", "1.0"][engine], **options)

    def write(self, writer: int, number: int, step: Step) -> None:
        with self._db.begin(write=True) as txn:
            stored = [(key, record) for key, record in step.items() if record is not None]
            for key, record in step.items():
                if record is None:
                    del self._records[txn, key]
                elif first := draft(record):
                    self._records[txn, key] = first
            if len(stored) > 2:
                self._records.put_many(txn, stored)
            else:
                for key, record in stored:
                    self._records[txn, key] = record
            self._steps[txn, writer] = number
            self._steps[txn, TOTAL] = (self._steps[txn, TOTAL] or 0) + 1

    def read(self) -> State:
        with self._db.begin() as txn:
            steps = dict(self._steps.select(txn))
            records = dict(self._records.select(txn))
            by_mail, by_city = dict(self._by_mail.select(txn)), dict(self._by_city.select(txn))
            problems = [str(report) for report in self._records.check_indexes(txn) if not report.ok]
        problems += misfits(records, by_mail, set(by_city))
        return State(steps, steps.pop(TOTAL, 0), records, problems)

    def sync(self) -> None:
        self._db.sync(True)

    def back_up(self, path: Path) -> None:
        self._db.backup(str(path), compact=path.name.endswith("5"))

    def close(self) -> None:
        self._db.close()


class BindingStore:
    """Databases of a binding with py-lmdb's interface. The indexes are kept by hand."""

    def __init__(self, module: str, path: Path, engine: int, options: dict[str, Any]) -> None:
        lmdb = importlib.import_module(module)
        self._env = lmdb.open(str(path), max_dbs=4, lib_version=engine, **options)
        try:
            self._open()
        except BaseException:
            self._env.close()
            raise

    def _open(self) -> None:
        self._records = self._env.open_db(b"records")
        self._by_mail = self._env.open_db(b"by mail")
        self._by_city = self._env.open_db(b"by city", dupsort=True)
        self._steps = self._env.open_db(b"steps")

    def write(self, writer: int, number: int, step: Step) -> None:
        with self._env.begin(write=True) as txn:
            for key, record in step.items():
                self._delete(txn, key)
                if record is None:
                    continue
                if first := draft(record):
                    self._put(txn, key, first)
                    self._delete(txn, key)
                self._put(txn, key, record)
            total = _number(txn.get(b"total", db=self._steps))
            txn.put(b"%d" % writer, b"%d" % number, db=self._steps)
            txn.put(b"total", b"%d" % (total + 1), db=self._steps)

    def _put(self, txn: Any, key: int, record: Record) -> None:
        raw = _key(key)
        txn.put(raw, json.dumps(record).encode(), db=self._records)
        txn.put(record["mail"].encode(), raw, db=self._by_mail)
        if record["city"] is not None:
            txn.put(_city(record["city"]), raw, db=self._by_city)

    def _delete(self, txn: Any, key: int) -> None:
        raw = _key(key)
        old = txn.pop(raw, db=self._records)
        if old is None:
            return
        record = _record(old)
        txn.delete(record["mail"].encode(), db=self._by_mail)
        if record["city"] is not None:
            txn.delete(_city(record["city"]), raw, db=self._by_city)

    def read(self) -> State:
        with self._env.begin() as txn:
            steps = {key: _number(value) for key, value in _items(txn, self._steps)}
            records = {_unkey(key): _record(value) for key, value in _items(txn, self._records)}
            by_mail = {key.decode(): _unkey(value) for key, value in _items(txn, self._by_mail)}
            by_city = {(key[1:].decode(), _unkey(value)) for key, value in _items(txn, self._by_city)}
        total = steps.pop(b"total", 0)
        problems = misfits(records, by_mail, by_city)
        return State({int(writer): number for writer, number in steps.items()}, total, records, problems)

    def read_at_once(self, count: int) -> None:
        """Read in many transactions at the same time."""
        transactions = [self._env.begin() for _ in range(count)]
        for txn in transactions:
            txn.get(b"steps")
        for txn in transactions:
            txn.abort()

    def sync(self) -> None:
        self._env.sync(True)

    def back_up(self, path: Path) -> None:
        os.mkdir(path)
        self._env.copy(str(path), compact=path.name.endswith("5"))

    def close(self) -> None:
        self._env.close()


def _items(txn: Any, db: Any) -> list[tuple[bytes, bytes]]:
    return list(txn.cursor(db))


def _record(raw: bytes) -> Record:
    """Decode a record; what is no record is refused as JSON refuses what is no JSON."""
    record = json.loads(raw)
    if not isinstance(record, dict) or not {"key", "mail", "city"} <= record.keys():
        raise ValueError("this is no record")
    return record


def _key(key: int) -> bytes:
    return key.to_bytes(8, "big")


def _unkey(raw: bytes) -> int:
    return int.from_bytes(raw, "big")


def _city(city: str) -> bytes:
    return b":" + city.encode()  # a key cannot be empty


def _number(raw: bytes | None) -> int:
    return int(raw or b"0")


def preload(module: str) -> None:
    """Import what stores use: children then begin with their work at once, and not with reading files."""
    outcome = Child(_use, module).result()
    for name in outcome.value or ():
        with suppress(Exception):  # what cannot be imported by itself
            importlib.import_module(name)


def _use(module: str) -> list[str]:
    """Use a store for everything, and tell which modules that takes."""
    with TemporaryDirectory() as folder:
        path, setup = Path(folder, "store"), Setup(module, 0, {})
        with opened(setup, path) as store:
            record = {"key": 1, "step": 1, "mail": "a", "city": "b", "text": ""}
            store.write(0, 1, {1: record, 2: {**record, "mail": "c"}, 3: {**record, "mail": "d"}, 4: None})
            store.read()
            store.back_up(Path(folder, "copy"))
        setup.verify(path)
    return list(sys.modules)


@contextmanager
def opened(setup: Setup, path: Path) -> Iterator[Store]:
    """Open a store, and close it at the end."""
    store = setup.open(path)
    try:
        yield store
    finally:
        store.close()
