"""Use every environment named on standard input for everything, each in a process of its own, and report.

Run by hostile_files.py, never imported. Standard input has a JSON list of [path, writemap, grow, seed]. For
each, standard output gets a line of JSON: {"signal": number or 0, "trouble": text, "errors": {step: class}}.
"""

from __future__ import annotations

import faulthandler
import json
import os
import random
import shutil
import signal
import struct
import sys
import traceback
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import islice
from typing import Any

from zlmdb import lmdb

SECONDS = 60
MOST = 2000
LARGE_FILE = 1 << 26
KEYS = [b"%05d" % (7 * i) for i in range(0, 40, 3)] + [
    b"big",
    b"other",
    b"k" * 300,
    struct.pack("@N", 9),
    b"zz",
]
VALUES = [b"v" * size for size in (1, 8, 8, 90, 400)]
LARGE_VALUES = [b"", b"w" * 3000, b"w" * 9000]
MOVES = [
    "first", "last", "next", "prev", "first_dup", "last_dup", "next_dup",
    "prev_dup", "next_nodup", "prev_nodup", "count", "item", "key", "value",
]  # fmt: skip


class Workload:
    """One environment, and the errors that its use has led to so far."""

    def __init__(self, path: str, writemap: bool, grow: bool, seed: int) -> None:
        self.path = path
        self.options = {
            "writemap": writemap,
            "map_size": "auto" if grow else 1 << 22,
            "max_dbs": 9,
            "sync": False,
        }
        self.random = random.Random(seed)
        self.errors: dict[str, str] = {}

    def attempt(self, step: str, call: Callable[..., Any], *args: Any, **options: Any) -> Any:
        try:
            return call(*args, **options)
        except lmdb.Error as error:
            self.errors.setdefault(step, type(error).__name__)
            return None

    def run(self) -> None:
        env = self.attempt("open", lmdb.open, self.path, **self.options)
        if env is None:
            return
        self.attempt("stat", env.stat)
        named = [self.attempt("open_db", env.open_db, name, create=False) for name in self.names(env)]
        named = [db for db in named if db is not None]
        self.in_transaction(env, [None, *named], self.read, write=False, buffers=self.random.random() < 0.3)
        self.copy(env, compact=True)
        self.in_transaction(env, [None, *named], self.read)
        for work in (self.write, self.write, self.write_in_child, self.drop, self.write):
            self.in_transaction(env, named or [None], work)
        self.copy(env, compact=True)
        self.copy(env, compact=False)
        env.close()

    def names(self, env: lmdb.Environment) -> list[bytes]:
        return (self.attempt("dbs", env.dbs) or [])[:8]

    def in_transaction(
        self, env: lmdb.Environment, databases: list[Any], work: Callable[..., None], **options: Any
    ) -> None:
        txn = self.attempt("begin", env.begin, **{"write": True, **options})
        if txn is None:
            return
        for db in databases:
            work(txn, db)
        self.attempt("commit", txn.commit)

    def copy(self, env: lmdb.Environment, compact: bool) -> None:
        if os.stat(os.path.join(self.path, "data.mdb")).st_size > LARGE_FILE:
            return  # a forged last page has made it huge: copying the holes takes forever
        os.mkdir(copy := self.path + ".copy")
        self.attempt("compact" if compact else "copy", env.copy, copy, compact)
        shutil.rmtree(copy)

    def take(self, records: Iterable[Any]) -> list[Any]:
        return list(islice(records, MOST))

    def keys(self, txn: Any, db: Any) -> list[bytes]:
        found = self.attempt("keys", lambda: [bytes(key) for key in self.take(txn.keys(db=db))]) or []
        self.random.shuffle(found)
        return [*filter(None, found[:15]), *KEYS]

    def read(self, txn: Any, db: Any) -> None:
        keys = self.keys(txn, db)
        for reverse in (False, True):
            self.attempt("items", lambda r=reverse: self.take(txn.items(db=db, reverse=r)))
        self.attempt("stat of db", txn.stat, db)
        for key in keys:
            self.attempt("get", txn.get, key, db=db)
        cursor = self.attempt("cursor", txn.cursor, db)
        if cursor is not None:
            self.move(cursor, keys, bool(db and db.flags()["dupfixed"]))

    def move(self, cursor: Any, keys: list[bytes], dupfixed: bool) -> None:
        self.attempt("getmulti", cursor.getmulti, keys)
        self.attempt("getmulti dups", cursor.getmulti, keys, dupdata=True)
        if dupfixed:
            self.attempt("getmulti fixed", self.get_fixed, cursor, keys)
        for key in keys:
            for move in self.random.sample(MOVES, 5):
                self.attempt(move, getattr(cursor, move))
            value = b"%06d" % self.random.randrange(9000)
            self.attempt("set_key", cursor.set_key, key)
            self.attempt("iternext_dup", lambda: self.take(cursor.iternext_dup()))
            self.attempt("set_range", cursor.set_range, key)
            self.attempt("set_key_dup", cursor.set_key_dup, key, value)
            self.attempt("set_range_dup", cursor.set_range_dup, key, value)
        for walk in (cursor.iternext, cursor.iterprev, cursor.iternext_nodup, cursor.iterprev_nodup):
            self.attempt("iterate", lambda w=walk: self.take(w()))

    def get_fixed(self, cursor: Any, keys: list[bytes]) -> None:
        with suppress(ValueError):  # the file says another size
            cursor.getmulti(keys, dupdata=True, dupfixed_bytes=8)

    def write(self, txn: Any, db: Any) -> None:
        flags = db.flags() if db is not None else {}
        keys = [*self.keys(txn, db)[:12], *self.random.sample(KEYS, 6)]
        for key in keys:
            value = self.random.choice(VALUES if flags.get("dupsort") else VALUES + LARGE_VALUES)
            if flags.get("dupfixed"):
                value = b"%08d" % self.random.randrange(10**6)
            new = (
                struct.pack("@N", self.random.randrange(9999))
                if flags.get("integerkey")
                else b"%06d" % self.random.randrange(99999)
            )
            self.attempt("put", txn.put, key, value, db=db)
            self.attempt("put new", txn.put, new, value, db=db)
            if self.random.random() < 0.5:
                self.attempt("delete", txn.delete, self.random.choice(keys), db=db)
            self.attempt("replace", txn.replace, self.random.choice(keys), value, db=db)
            self.attempt("delete pair", txn.delete, key, value, db=db)
        cursor = self.attempt("cursor", txn.cursor, db)
        if cursor is not None:
            few, many = keys[:5], [*keys, *(b"%d" % self.random.randrange(10**6) for _ in range(20))]
            self.attempt("putmulti", cursor.putmulti, [(key, value) for key in few])
            self.attempt("putmulti, sorted", cursor.putmulti, [(key, value) for key in many])
            self.attempt("set_range", cursor.set_range, self.random.choice(keys))
            for _record in range(self.random.choice([1, 40])):
                self.attempt("delete at cursor", cursor.delete, self.random.random() < 0.5)
            self.attempt("append", cursor.put, b"zzz%d" % self.random.randrange(99), value, append=True)
        self.attempt("pop", txn.pop, self.random.choice(keys), db=db)

    def write_in_child(self, txn: Any, db: Any) -> None:
        if self.options["writemap"]:
            return  # LMDB 0.9 does not nest then
        child = self.attempt("begin child", txn._pyenv.begin, parent=txn, write=True)
        if child is not None:
            self.write(child, db)
            self.attempt("commit child", child.commit)

    def drop(self, txn: Any, db: Any) -> None:
        self.attempt("empty", txn.drop, txn._pyenv.open_db() if db is None else db, delete=False)


def run_in_child(job: list[Any], report: str) -> dict[str, Any]:
    """Use an environment in a process that may crash."""
    pid = os.fork()
    if pid == 0:
        signal.alarm(SECONDS)
        work, trouble = Workload(*job), ""
        try:
            work.run()
        except BaseException:  # noqa: BLE001 (reported)
            trouble = traceback.format_exc()
        with open(report, "w", encoding="utf-8") as file:
            json.dump({"signal": 0, "trouble": trouble, "errors": work.errors}, file)
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    if status:
        return {"signal": status & 127, "trouble": f"exit status {status}", "errors": {}}
    with open(report, encoding="utf-8") as file:
        result: dict[str, Any] = json.load(file)
    return result


if __name__ == "__main__":
    faulthandler.enable()
    for job in json.load(sys.stdin):
        print(json.dumps(run_in_child(job, job[0] + ".report")), flush=True)
