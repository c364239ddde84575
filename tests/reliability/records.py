"""Records that are damaged at random, of every kind of map: typed errors only, never a crash or a hang."""

from __future__ import annotations

import importlib.util
import json
import random
import resource
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any
from uuid import UUID

from .campaign import Case, Failure, Mode
from .child import Child

RECORDS = 12
"""Records of a map, of which about half are damaged."""
SLOT, INDEX, COUNTS, META = 1, 2, 3, 0
"""The slots of the map, of its index and of a map of counts; and the slot that describes the others."""
MEMORY = 4 << 30
"""Address space of the process that reads them: what takes more is no typed error."""
TABLE = UUID(int=12)


# -- sound records --


def _text(rng: random.Random, least: int = 0) -> str:
    return "".join(rng.choices("abcxyzäß€", k=rng.randint(least, 12)))


def _time(rng: random.Random) -> Any:
    import numpy as np

    return np.datetime64(rng.randrange(1 << 62), "ns")


def _has_numpy() -> bool:
    """Whether there is what times are made of; maps without them do without it."""
    return importlib.util.find_spec("numpy") is not None


PARTS: dict[str, Callable[[random.Random], Any]] = {
    "Oid": lambda rng: rng.randrange(1 << 53),
    "Slot": lambda rng: rng.randrange(1, 1 << 16),
    "Uint8": lambda rng: rng.randrange(1 << 8),
    "Uint16": lambda rng: rng.randrange(1 << 16),
    "Uint64": lambda rng: rng.randrange(1 << 64),
    "Uuid": lambda rng: UUID(int=rng.getrandbits(128)),
    "String": lambda rng: _text(rng, 1),
    "Bytes16": lambda rng: rng.randbytes(16),
    "Bytes20": lambda rng: rng.randbytes(20),
    "Bytes32": lambda rng: rng.randbytes(32),
    "Timestamp": _time,
}
"""Values of each part of a key."""


def _plain(rng: random.Random) -> dict[str, Any]:
    return {
        "name": _text(rng),
        "numbers": [rng.randrange(-(1 << 40), 1 << 40), rng.random(), None, True],
        "nested": {"text": _text(rng) * rng.choice([1, 1, 400])},
    }


VALUES: dict[str, Callable[[random.Random], Any]] = {
    **PARTS,
    "Cbor": _plain,
    "Json": _plain,
    "Pickle": _plain,
    "FlatBuffers": _text,
    "OidSet": lambda rng: {rng.randrange(1 << 53) for _ in range(rng.randrange(5))},
    "UuidSet": lambda rng: {UUID(int=rng.getrandbits(128)) for _ in range(rng.randrange(5))},
    "Bytes20Timestamp": lambda rng: (rng.randbytes(20), _time(rng)),
}
"""Values of each kind."""


class Note:
    """A FlatBuffers table with a text, as flatc generates them."""

    def __init__(self, data: Any) -> None:
        from zlmdb.flatbuffers import encode, packer, table

        self._tab = table.Table(data, encode.Get(packer.uoffset, data, 0))

    def text(self) -> str:
        """The text."""
        return self._tab.String(self._tab.Pos + self._tab.Offset(4)).decode()

    @staticmethod
    def build(text: str, builder: Any) -> int:
        """Write a table."""
        offset = builder.CreateString(text)
        builder.StartObject(1)
        builder.PrependUOffsetTRelativeSlot(0, offset, 0)
        end: int = builder.EndObject()
        return end


def index_key(value: Any) -> str | None:
    """What the index is by."""
    if isinstance(value, Note):
        return value.text() or None
    name = value.get("name") if isinstance(value, dict) else repr(value)
    return name[:40] if isinstance(name, str) and name else None


# -- damage --

ODD = [
    # nothing, zeros, ones
    b"", b"\0", b"\xff" * 8, bytes(40), b"\xff\xff\xff\x7f" * 4, b"\x04\0\0\0\0\0\0\x80",
    # CBOR: huge lengths, deep nesting, no end, tags of dates, decimals, patterns and large numbers
    b"\x9b\x7f" + b"\xff" * 7, b"\xdb" + b"\xff" * 8 + b"\0", b"\xc2\x5b\0\0\0\1\0\0\0\0", b"\x81" * 3000,
    b"\xbf" * 900, b"\x5f\xff", b"\xfb", b"\xc1\xfb\x7f\xf8" + bytes(6), b"\xd8\x23\x61(", b"\xd9\xd9\xf7",
    b"\xc4\x82\x1b\x7f" + b"\xff" * 6 + b"\x01",
    # JSON: deep nesting, long numbers, no numbers
    b"[" * 100_000, b'{"a":' * 50_000, b"1" * 5000, b"NaN",
    # text: a surrogate, NUL, control characters
    b"\xed\xa0\x80", b"a\0b", b"\x1c\x1d\x1e\x1f",
]  # fmt: skip


def damaged(data: bytes, rng: random.Random) -> bytes:
    """Some bytes changed, cut off or added; or something else altogether."""
    kind = rng.randrange(7)
    if kind == 0 or not data:
        return rng.choice(ODD)
    at = rng.randrange(len(data))
    if kind == 1:
        return data[:at]
    if kind == 2:
        return data + rng.randbytes(rng.randint(1, 20))
    if kind == 3:
        return rng.randbytes(len(data))
    if kind == 4:
        return data[:at] + rng.choice(ODD)[:3000] + data[at:]
    changed = bytearray(data)
    for _ in range(rng.choice([1, 1, 3])):
        changed[rng.randrange(len(data))] = rng.choice([0, 0x7F, 0x80, 0xFF, rng.randrange(256)])
    return bytes(changed)


def damaged_value(data: bytes, rng: random.Random, name: str, compress: int | None) -> bytes:
    """A damaged value. Pickles may do anything, as documented: they are only cut off."""
    if name == "Pickle":
        data = zlib.decompress(data) if compress else data
        data = data[: rng.randrange(len(data))]
    elif not compress or rng.random() < 0.5:
        return damaged(data, rng)
    else:
        data = damaged(zlib.decompress(data), rng)
    return zlib.compress(data) if compress else data


# -- the map --


class Hostile:
    """A database with one map of a kind, of whose records some are damaged."""

    def __init__(self, path: Path, engine: int, name: str, seed: str, compress: int | None) -> None:
        self.path = path
        self.name = name
        self.compress = compress
        self.rng = random.Random(seed)
        self.options = {"lib_version": ["0.9", "1.0"][engine], "sync": False}

    def make(self) -> None:
        """Write sound records, with an index, and damage some."""
        import zlmdb

        rng, pmap = self.rng, self.map()
        with zlmdb.Database(str(self.path), **self.options) as db:
            with db.begin(write=True) as txn:
                for _ in range(RECORDS):
                    pmap[txn, self.key()] = self.value()
            self._damage(db._env, rng)

    def _damage(self, env: Any, rng: random.Random) -> None:
        with env.begin(write=True) as txn:
            for key, value in list(txn.items()):
                if rng.random() < 0.5:
                    continue
                slot, rest = key[:2], key[2:]
                limit = env.max_key_size() - 2
                if rng.random() < 0.3:
                    txn.delete(key)
                    txn.put(slot + damaged(rest, rng)[:limit], value)
                elif slot == bytes((0, SLOT)):
                    txn.put(key, damaged_value(value, rng, self.value_name, self.compress))
                else:
                    txn.put(key, damaged(value, rng))
            txn.put(bytes((0, META, 0, COUNTS)), damaged(SLOT_RECORD, rng))

    def map(self) -> Any:
        """The map, with its index."""
        import zlmdb
        from zlmdb.orm.catalog import NAMED_MAPS
        from zlmdb.orm.keys import String
        from zlmdb.orm.values import KeyValue

        cls = NAMED_MAPS[self.name]
        options: dict[str, Any] = {"compress": self.compress}
        if self.value_name in ("Cbor", "Json"):
            options |= {"marshal": _same, "unmarshal": _same}
        elif self.value_name == "FlatBuffers":
            options |= {"build": _build, "cast": Note}
        pmap = cls(SLOT, **options)
        index = zlmdb.PersistentMap(INDEX, key=(String,), value=KeyValue(cls._key_codec))
        pmap.attach_index("name", index, index_key, nullable=True, unique=False)
        self.index = index
        return pmap

    @property
    def value_name(self) -> str:
        """The kind of values."""
        from zlmdb.orm.catalog import NAMED_MAPS

        name: str = NAMED_MAPS[self.name]._value_codec.name
        return name

    def key(self) -> Any:
        """A sound key."""
        from zlmdb.orm.catalog import NAMED_MAPS

        parts = NAMED_MAPS[self.name]._key_codec.parts
        values = tuple(PARTS[part.name](self.rng) for part in parts)
        return values if len(values) > 1 else values[0]

    def value(self) -> Any:
        """A sound value."""
        return VALUES[self.value_name](self.rng)


def _same(value: Any) -> Any:
    return value


def _build(value: Any, builder: Any) -> int:
    return Note.build(value.text() if isinstance(value, Note) else value, builder)


SLOT_RECORD = b"\xa4coidx$00000000-0000-0000-0000-00000000000cdnamecT.Tgcreatorgunknowndslot\x03"


# -- use --


class User:
    """Uses a damaged map for everything, and counts the errors that this leads to."""

    def __init__(self, hostile: Hostile) -> None:
        self.hostile = hostile
        self.map = hostile.map()
        self.errors: Counter[str] = Counter()

    @contextmanager
    def expecting(self) -> Iterator[None]:
        """Typed errors are well."""
        from zlmdb import lmdb
        from zlmdb.orm.errors import Error

        try:
            yield
        except (Error, lmdb.Error) as error:
            self.errors[type(error).__name__.split(" ")[0]] += 1

    def run(self) -> dict[str, int]:
        """Read everything, write, and read again."""
        import zlmdb

        with zlmdb.Database(str(self.hostile.path), **self.hostile.options) as db:
            self._describe(db)
            for buffers in (False, True):
                with self.expecting(), db.begin(buffers=buffers) as txn:
                    self._read(txn)
            with self.expecting(), db.begin(write=True) as txn:
                self._write(txn)
                self._read(txn)
            with self.expecting(), db.begin(write=True) as txn:
                with self.expecting():
                    self.map.rebuild_indexes(txn)
                with self.expecting():
                    self.map.truncate(txn)
                self._read(txn)
            with self.expecting():
                db.drop_table(self.map)
        return dict(self.errors)

    def _describe(self, db: Any) -> None:
        import zlmdb

        with self.expecting():
            json.dumps(db.stats(include_slots=True), default=str)

        class T(zlmdb.MapOidOid):
            pass

        table = zlmdb.table(TABLE)(T)
        with self.expecting():
            db.attach_table(table)

    def _read(self, txn: Any) -> None:
        keys = [key for pmap in (self.map,) for key in self._keys(txn, pmap)]
        keys += [self.hostile.key() for _ in range(2)]
        for key in keys:
            with self.expecting():
                self._look_at(self.map[txn, key])
            with self.expecting():
                assert isinstance((txn, key) in self.map, bool)
            with self.expecting():
                self.map.get_bytes(txn, key)
            with self.expecting():
                self.map.count_range(txn, key, keys[0])
        with self.expecting():
            self.map.get_many(txn, keys)
        for pmap in (self.map, self.hostile.index):
            for reverse in (False, True):
                with self.expecting():
                    for _, value in self._all(pmap.select(txn, reverse=reverse)):
                        self._look_at(value)
            with self.expecting():
                self._all(pmap.select(txn, return_keys=False))
            with self.expecting():
                pmap.count(txn)
        with self.expecting():
            self.map.check_indexes(txn)

    def _keys(self, txn: Any, pmap: Any) -> list[Any]:
        found: list[Any] = []
        with self.expecting():
            found.extend(self._all(pmap.select(txn, return_values=False)))
        return found

    def _all(self, records: Iterable[Any]) -> list[Any]:
        return list(islice(records, 1000))

    def _look_at(self, value: Any) -> None:
        """What FlatBuffers raises where a field is read is not the object layer's, but it must not crash."""
        if isinstance(value, Note):
            try:
                value.text()
            except Exception:  # noqa: BLE001
                self.errors["in a field"] += 1

    def _write(self, txn: Any) -> None:
        for key in [*self._keys(txn, self.map)[:8], self.hostile.key()]:
            if self.hostile.rng.random() < 0.3:
                with self.expecting():
                    del self.map[txn, key]
            with self.expecting():
                self.map[txn, key] = self.hostile.value()
        with self.expecting():
            self.map.put_many(txn, [(self.hostile.key(), self.hostile.value()) for _ in range(5)])


def _use(hostile: Hostile) -> dict[str, int]:
    hostile.make()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    return User(hostile).run()


def trial(case: Case) -> Counter[str]:
    """Damage the records of a map, and use it."""
    from zlmdb.orm.catalog import NAMED_MAPS

    rng = case.rng
    names = sorted(name for name in NAMED_MAPS if _has_numpy() or "Timestamp" not in name)
    name = case.options.only or names[31 * case.number % len(names)]
    compress = rng.choice([None, None, 1])
    outcome = Child(_use, Hostile(case.folder / "db", case.engine, name, case.name, compress)).result(60)
    if outcome.failed:
        raise Failure(f"{name}, compress {compress}: {outcome.described()}", {"records": RECORDS})
    return Counter({"records": RECORDS}) + Counter(outcome.value)


MODE = Mode(trial, "records")
