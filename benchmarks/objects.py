"""Measure the object layer, also against another release of zlmdb.

    python benchmarks/objects.py
    python benchmarks/objects.py --against /path/to/other/venv/bin/python --json objects.json

Each round runs the same work in a fresh process of each interpreter, in turns. The table shows medians of CPU
time in microseconds per record, and how many times as fast this zlmdb is. Records have one index on a string.
The rows "codec" are the codec alone, with the functions between objects and plain data. (Single records and
put_many() do not use that of CBOR: C does its work, see docs/design.md.)
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from zlmdb import flatbuffers

KINDS = ("OidCbor", "UuidPickle", "StringJson", "UuidFlatBuffers")
SIZE = 1 << 30


class User:
    """A record, for the kinds whose values are objects."""

    __slots__ = ("data",)

    def __init__(self, data: dict[str, Any]) -> None:
        self.data = data

    def marshal(self) -> dict[str, Any]:
        """Return plain data."""
        return self.data

    @staticmethod
    def parse(data: dict[str, Any]) -> User:
        """Return the object of plain data."""
        return User(data)


class UserTable:
    """The same as a FlatBuffers table, much as flatc generates it."""

    __slots__ = ["_tab"]

    _tab: Any

    @classmethod
    def root(cls, buf: Any, offset: int = 0) -> UserTable:
        """Return the table in a buffer."""
        n = flatbuffers.encode.Get(flatbuffers.packer.uoffset, buf, offset)
        x = UserTable()
        x.init(buf, n + offset)
        return x

    def init(self, buf: Any, pos: int) -> None:
        """Be the table that is there."""
        self._tab = flatbuffers.table.Table(buf, pos)

    def email(self) -> str:
        """Return a field."""
        return self._text(4)

    def _text(self, slot: int) -> str:
        offset = self._tab.Offset(slot)
        return str(self._tab.String(offset + self._tab.Pos), "utf-8")

    @staticmethod
    def build(user: Any, builder: Any) -> int:
        """Write a table and return its offset."""
        email = builder.CreateString(user["email"])
        name = builder.CreateString(user["name"])
        builder.StartObject(2)
        builder.PrependUOffsetTRelativeSlot(0, email, 0)
        builder.PrependUOffsetTRelativeSlot(1, name, 0)
        return int(builder.EndObject())


def user(number: int) -> dict[str, Any]:
    """Return the plain data of a record: about 100 bytes."""
    return {
        "name": f"Homer Simpson {number}",
        "email": f"homer.{number}@example.com",
        "born": 1956,
        "rating": 3.9,
        "friendly": True,
        "tags": ["geek", "sudoku"],
    }


def maps(zlmdb: Any, kind: str) -> tuple[Any, Any, Callable[[int], Any], Callable[[int], Any]]:
    """Return a map with an index, the index, and what makes keys and values of numbers."""
    key: Callable[[int], Any]
    value: Callable[[int], Any]
    number = random.Random(1)
    ids: dict[int, uuid.UUID] = {}

    def new_id(i: int) -> uuid.UUID:
        return ids.setdefault(i, uuid.UUID(int=number.getrandbits(128)))

    if kind == "OidCbor":
        pmap = zlmdb.MapOidCbor(1, marshal=User.marshal, unmarshal=User.parse)
        index, key, value = zlmdb.MapStringOid(2), int, lambda i: User(user(i))
        pmap.attach_index("email", index, lambda item: item.data["email"])
    elif kind == "UuidPickle":
        pmap, index, key, value = zlmdb.MapUuidPickle(1), zlmdb.MapStringUuid(2), new_id, user
        pmap.attach_index("email", index, lambda item: item["email"])
    elif kind == "StringJson":
        pmap = zlmdb.MapStringJson(1, marshal=User.marshal, unmarshal=User.parse)
        index, key, value = zlmdb.MapStringString(2), "key-{:09d}".format, lambda i: User(user(i))
        pmap.attach_index("email", index, lambda item: item.data["email"])
    else:
        pmap = zlmdb.MapUuidFlatBuffers(1, build=UserTable.build, cast=UserTable.root)
        index, key, value = zlmdb.MapStringUuid(2), new_id, user
        pmap.attach_index(
            "email", index, lambda item: item["email"] if isinstance(item, dict) else item.email()
        )
    return pmap, index, key, value


def measure(kind: str, count: int, shuffle: bool) -> dict[str, float]:
    """Return the microseconds of CPU time per record for each operation."""
    import zlmdb

    pmap, index, key, value = maps(zlmdb, kind)
    keys, values = [key(i) for i in range(count)], [value(i) for i in range(count)]
    order, emails = list(keys), [f"homer.{i}@example.com" for i in range(count)]
    if shuffle:
        random.Random(2).shuffle(order)
        random.Random(3).shuffle(emails)
    zero_copy = kind == "UuidFlatBuffers" and hasattr(pmap, "put_many")  # the existing zlmdb fails there
    times: dict[str, float] = {}

    def timed(name: str, work: Callable[[], object]) -> None:
        begin = time.process_time_ns()
        work()
        times[name] = (time.process_time_ns() - begin) / count / 1000

    def put() -> None:
        for i in range(count):
            pmap[txn, keys[i]] = values[i]

    def put_many() -> None:
        pmap.put_many(txn, zip(keys, values, strict=True))

    def get() -> None:
        for item in order:
            pmap[txn, item]

    def get_by_index() -> None:
        for email in emails:
            pmap[txn, index[txn, email]]

    def select() -> None:
        for _ in pmap.select(txn):
            pass

    def encode() -> None:
        for item in values:
            pmap._serialize_value(item)

    def decode() -> None:
        for data in stored:
            pmap._deserialize_value(data)

    stored = [pmap._serialize_value(item) for item in values]
    timed("codec: encode", encode)
    timed("codec: decode", decode)
    with tempfile.TemporaryDirectory() as folder:
        with zlmdb.Database(f"{folder}/one", maxsize=SIZE, sync=False) as db:
            with db.begin(write=True) as txn:
                timed("put", put)
            with db.begin(buffers=zero_copy) as txn:
                timed("get", get)
                timed("select", select)
                timed("get by index", get_by_index)
        with zlmdb.Database(f"{folder}/many", maxsize=SIZE, sync=False) as db, db.begin(write=True) as txn:
            timed("put_many", put_many if hasattr(pmap, "put_many") else put)
    return times


def run(python: str, kind: str, options: argparse.Namespace) -> dict[str, float]:
    """Measure in a process of an interpreter."""
    command = [python, str(Path(__file__).resolve()), "--worker", kind, "--records", str(options.records)]
    command += ["--random"] if options.random else []
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--against", metavar="PYTHON", help="interpreter with the zlmdb to compare with")
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kinds", nargs="+", default=KINDS, choices=KINDS)
    parser.add_argument("--random", action="store_true", help="read in random order, not in that of writing")
    parser.add_argument("--json", metavar="FILE", help="also write the figures to a file")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        print(json.dumps(measure(options.worker, options.records, options.random)))
        return
    pythons = {"this": sys.executable} | ({"other": options.against} if options.against else {})
    results: dict[str, dict[str, dict[str, float]]] = {}
    print(f"{'':28}{'this':>9}" + (f"{'other':>9}{'times as fast':>16}" if options.against else ""))
    for kind in options.kinds:
        rounds = [{who: run(python, kind, options) for who, python in pythons.items()}
                  for _ in range(options.rounds)]  # fmt: skip
        results[kind] = {}
        for name in rounds[0]["this"]:
            median = {who: statistics.median(one[who][name] for one in rounds) for who in pythons}
            results[kind][name] = median
            row = f"{kind + ' ' + name:28}" + "".join(f"{figure:9.2f}" for figure in median.values())
            print(row + (f"{median['other'] / median['this']:16.2f}" if options.against else ""), flush=True)
    if options.json:
        Path(options.json).write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
