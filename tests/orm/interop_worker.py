"""Writes and reads a database with all kinds of maps, with whichever zlmdb its interpreter has.

    python interop_worker.py {write,read} PATH FORMAT GENERATION

Prints what it stored, or found, as JSON: for each map class the representation of the value of each record,
and all raw records in hexadecimal. Generations are different keys.
"""

import json
import sys
import uuid

import numpy as np

import zlmdb

PARTS = {
    "Oid": lambda n: 10**9 + n,
    "Uuid": lambda n: uuid.UUID(int=2**100 + n),
    "String": lambda n: f"héllo-{n}",
    "Timestamp": lambda n: np.datetime64(1_700_000_000_123_456_789 + n, "ns"),
    "Bytes16": lambda n: bytes([n]) * 16,
    "Bytes20": lambda n: bytes([n]) * 20,
    "Bytes32": lambda n: bytes([n]) * 32,
    "Slot": lambda n: 300 + n,
    "Uint8": lambda n: n,
    "Uint16": lambda n: 300 + n,
    "Uint64": lambda n: 2**63 + n,
}
STRUCTURE = {"b": [1, 2.5, None, True], "a": {"é": "x" * 30}}
VALUES = {
    **PARTS,
    "Bytes20Timestamp": lambda n: (PARTS["Bytes20"](n), PARTS["Timestamp"](n)),
    "Cbor": lambda n: {**STRUCTURE, "n": n},
    "Json": lambda n: {**STRUCTURE, "n": n},
    "Pickle": lambda n: {**STRUCTURE, "n": n},
    "FlatBuffers": lambda n: f"text {n}",
    "OidSet": lambda n: {n},
    "UuidSet": lambda n: {PARTS["Uuid"](n)},
}
COMPRESSED_SLOT = 200
TABLES = ("5a5a5a5a-0000-4000-8000-000000000001", "5a5a5a5a-0000-4000-8000-000000000002")


def same(value):
    """Return the value."""
    return value


def build(value, builder):
    """Write a string as the root."""
    return builder.CreateString(value)


def cast(data):
    """Return the stored bytes."""
    return bytes(data).hex()


@zlmdb.table(TABLES[0], marshal=same, parse=same, compress=1)
class Users(zlmdb.MapUuidCbor):
    """Users of the test."""


@zlmdb.table(TABLES[1])
class UsersByName(zlmdb.MapStringUuid):
    """Users by name."""


def maps(golden):
    """Yield name, map, and what makes its keys and values, for each class that both can write."""
    for slot, (name, facts) in enumerate(sorted(golden["maps"].items()), 100):
        kind = golden["keys"][facts["key"]]
        if facts["key"] == "UuidBytes32":  # the existing zlmdb fails to write these
            continue
        options = {}
        if facts["value"] in ("Cbor", "Json"):
            options = {"marshal": same, "unmarshal": same}
        elif facts["value"] == "FlatBuffers":
            options = {"build": build, "cast": cast}
        parts = [PARTS[token] for token in kind["tokens"]]

        def key(n, parts=parts):
            values = tuple(part(n + position) for position, part in enumerate(parts))
            return values[0] if len(values) == 1 else values

        yield name, getattr(zlmdb, name)(slot, **options), key, VALUES[facts["value"]]


def main():
    """Do what the command line says."""
    action, path, lib_version, generation, golden = sys.argv[1:]
    with open(golden, encoding="utf-8") as file:
        golden = json.load(file)
    numbers = range(int(generation) * 10, int(generation) * 10 + 5)
    found = {}
    with zlmdb.Database(path, lib_version=lib_version) as db:
        users, by_name = db.attach_table(Users), db.attach_table(UsersByName)
        users.attach_index("name", by_name, lambda user: user["name"], nullable=True)
        packed = zlmdb.MapStringJson(COMPRESSED_SLOT, compress=1, marshal=same, unmarshal=same)
        with db.begin(write=action == "write") as txn:
            for name, pmap, key, value in [
                *maps(golden),
                ("packed", packed, "key {}".format, VALUES["Json"]),
            ]:
                if action == "write":
                    for n in numbers:
                        pmap[txn, key(n)] = value(n)
                found[name] = [repr(pmap[txn, key(n)]) for n in numbers]
            for n in numbers:
                if action == "write":
                    users[txn, PARTS["Uuid"](n)] = {"name": f"first {n}"}
                    users[txn, PARTS["Uuid"](n)] = {"name": f"name {n}" if n % 2 else None}
            found["users"] = [repr(users[txn, PARTS["Uuid"](n)]) for n in numbers]
            found["index"] = [repr(by_name[txn, f"name {n}"]) for n in numbers if n % 2]
            raw = txn._opened() if hasattr(txn, "_opened") else txn._txn  # of the other release
            found["records"] = {bytes(key).hex(): bytes(data).hex() for key, data in raw.cursor()}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
