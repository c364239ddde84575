"""Programs as people write them for py-lmdb, and what they print with py-lmdb 3.0.

`python tests/lmdb/clients.py` runs them with the `lmdb` that is installed, and tells what differs.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile

FILL = """
import lmdb, os, sys
env = lmdb.open("data", map_size=1 << 24)
with env.begin(write=True) as txn:
    for index in range(100):
        txn.put(b"image-%08d" % index, bytes([index]) * (index + 1))
        txn.put(b"label-%08d" % index, b"%d" % (index % 10))
    txn.put(b"num-samples", b"100")
env.close()
"""

PROGRAMS = {
    "a dataset that returns views out of its transactions": (
        """
class Dataset:
    def __init__(self, path):
        self.env = lmdb.open(path, max_readers=1, readonly=True, lock=False, readahead=False, meminit=False)
        with self.env.begin(write=False) as txn:
            self.length = int(txn.get("num-samples".encode()))
    def __len__(self):
        return self.length
    def __getitem__(self, index):
        with self.env.begin(write=False, buffers=True) as txn:
            return txn.get(b"image-%08d" % index), txn.get(b"label-%08d" % index)

data = Dataset("data")
print(len(data), sum(len(image) for image, _ in (data[i] for i in range(len(data)))))
image, label = data[41]
print(bytes(image[:3]), int(label.tobytes()), image.nbytes)
print([int(bytes(label)) for _, label in map(data.__getitem__, range(12))])
""",
        """\
100 5050
b')))' 1 42
[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]
""",
    ),
    "caches with views for keys": (
        """
env = lmdb.open("data", readonly=True, create=False)
with env.begin(buffers=True) as txn:
    cache, seen = {}, set()
    for key, value in txn.cursor():
        cache[key] = value
        seen.add(value)
    print(len(cache), len(seen), b"num-samples" in cache, bytes(cache[b"label-00000007"]))
    print({txn.get(b"label-%08d" % i) for i in range(100)} == {b"%d" % i for i in range(10)})
    print(hash(txn.get(b"num-samples")) == hash(b"100"), txn.get(b"num-samples") == b"100")
""",
        """\
201 111 True b'7'
True
True True
""",
    ),
    "keys that are kept in a list": (
        """
env = lmdb.open("data", readonly=True, lock=False)
with env.begin(buffers=True) as txn:
    keys = [key for key, _ in txn.cursor().iternext(keys=True, values=True)]
print(len(keys), bytes(keys[0]), sorted(map(bytes, keys))[-1], len({bytes(key[:5]) for key in keys}))
""",
        """\
201 b'image-00000000' b'num-samples' 3
""",
    ),
    "what reads buffers": (
        """
import array, hashlib, io, struct, zlib
env = lmdb.open("data")
with env.begin(write=True) as txn:
    txn.put(b"packed", struct.pack("<4i", 1, 2, 3, 4))
    txn.put(b"zipped", zlib.compress(b"text" * 100))
    txn.put(b"text", "caf\\u00e9".encode())
with env.begin(buffers=True) as txn:
    packed = txn.get(b"packed")
    print(struct.unpack("<4i", packed), struct.unpack_from("<i", packed, 8), packed.cast("i").tolist())
    unzipped = zlib.decompress(txn.get(b"zipped"))
    print(len(unzipped), str(txn.get(b"text"), "utf-8"), io.BytesIO(packed).read(2))
    print(hashlib.sha1(packed).hexdigest()[:8], int.from_bytes(packed[:4], "little"))
    print(array.array("i", packed.tobytes())[3])
    print(type(packed).__name__, packed.readonly, packed.format, len(packed), packed[0], bytes(packed[-4:-3]))
    print(b"".join([packed[:1], packed[4:5]]), packed[:0] == b"", bytearray(packed[12:13]))
""",
        """\
(1, 2, 3, 4) (3,) [1, 2, 3, 4]
400 café b'\\x01\\x00'
1456763f 1
4
memoryview True B 16 1 b'\\x04'
b'\\x01\\x02' True bytearray(b'\\x04')
""",
    ),
    "a generator over a cursor": (
        """
env = lmdb.open("data", readonly=True)
def samples(prefix, most):
    with env.begin() as txn:
        cursor = txn.cursor()
        if not cursor.set_range(prefix):
            return
        for key, value in cursor.iternext():
            if not key.startswith(prefix) or not most:
                return
            most -= 1
            yield key.decode(), len(value)
print(list(samples(b"image-0000005", 3)), next(samples(b"label", 1)), list(samples(b"z", 1)))
half = samples(b"image", 1000)
next(half)
half.close()
print(env.stat()["entries"], sorted(env.stat()))
""",
        """\
[('image-00000050', 51), ('image-00000051', 52), ('image-00000052', 53)] ('label-00000000', 1) []
201 ['branch_pages', 'depth', 'entries', 'leaf_pages', 'overflow_pages', 'psize']
""",
    ),
    "databases by name": (
        """
env = lmdb.open("named", max_dbs=3)
images, labels = env.open_db(b"images"), env.open_db(b"labels", dupsort=True)
with env.begin(write=True) as txn:
    print(txn.put(b"1", b"one", db=images), txn.put(b"1", b"a", db=labels), txn.put(b"1", b"b", db=labels))
with env.begin(buffers=True) as txn:
    print(bytes(txn.get(b"1", db=images)), txn.get(b"1"), txn.get(b"2", b"none", images))
    print(txn.stat(labels)["entries"], [bytes(value) for value in txn.cursor(labels).iternext_dup()])
    print([bytes(key) for key, _ in txn.cursor()])
    with txn.cursor(db=labels) as cursor:
        print(cursor.set_key(b"1"), cursor.count(), [bytes(v) for v in cursor.iternext_dup()])
print(env.info()["map_size"], env.path(), env.max_key_size())
""",
        """\
True True True
b'one' None b'none'
2 []
[b'images', b'labels']
True 2 [b'a', b'b']
10485760 named 511
""",
    ),
    "workers that open lazily": (
        """
import multiprocessing, pickle, warnings
warnings.simplefilter("ignore")
class Dataset:
    def __init__(self, path):
        self.path, self.env = path, None
        self.count = lmdb.open(path, readonly=True, lock=False).stat()["entries"]
    def __getstate__(self):
        return {**vars(self), "env": None}
    def __getitem__(self, index):
        if self.env is None:
            self.env = lmdb.open(self.path, readonly=True, lock=False)
        with self.env.begin(buffers=True) as txn:
            return bytes(txn.get(b"image-%08d" % index))
data = Dataset("data")
print(data.count)
with multiprocessing.get_context("fork").Pool(2) as pool:
    print(sum(map(len, pool.map(data.__getitem__, range(100)))))
print(len(pickle.loads(pickle.dumps(data))[3]))
""",
        """\
201
5050
4
""",
    ),
    "workers that use what they inherited": (
        """
import multiprocessing, warnings
warnings.simplefilter("ignore")
env = lmdb.open("data", readonly=True)
unlocked = lmdb.open("data2", map_size=1 << 20)
with unlocked.begin(write=True) as txn:
    txn.put(b"k", b"v")
unlocked.close()
unlocked = lmdb.open("data2", readonly=True, lock=False)
held = unlocked.begin()
def length(index):
    with env.begin(buffers=True) as txn:
        return len(txn.get(b"image-%08d" % index)) + len(held.get(b"k"))
with multiprocessing.get_context("fork").Pool(2) as pool:
    print(sum(pool.map(length, range(100))))
print(length(0))
""",
        """\
5150
2
""",
    ),
    "pickling": (
        """
import copy, pickle
env = lmdb.open("data")
txn = env.begin()
for what in env, txn, txn.cursor(), env.open_db():
    for copying in pickle.dumps, copy.copy:
        try:
            copying(what)
        except TypeError:
            print(type(what).__name__.strip("_"), "TypeError")
""",
        "".join(f"{name} TypeError\n" * 2 for name in ("Environment", "Transaction", "Cursor", "Database")),
    ),
    "a writer in batches that grows the map": (
        """
env = lmdb.open("grown", map_size=1 << 16)
def write(records):
    while True:
        try:
            with env.begin(write=True) as txn:
                for key, value in records:
                    txn.put(key, value)
            return
        except lmdb.MapFullError:
            env.set_mapsize(env.info()["map_size"] * 2)
records = [(b"%05d" % i, b"x" * 100) for i in range(2000)]
for start in range(0, len(records), 500):
    write(records[start : start + 500])
print(env.stat()["entries"], env.info()["map_size"] > 1 << 18)
with env.begin(buffers=True) as txn:
    consumed, added = 0, sum(len(value) for _, value in txn.cursor())
print(added)
""",
        """\
2000 True
200000
""",
    ),
    "a transaction that is begun and committed by hand": (
        """
env = lmdb.open("hand", map_size=1 << 20)
txn = env.begin(write=True)
for index in range(10):
    txn.put(key=str(index).encode(), value=b"v%d" % index)
    if index % 3 == 0:
        txn.commit()
        txn = env.begin(write=True)
txn.commit()
txn = env.begin(buffers=True)
print(len(txn.get(b"9")), bytes(txn.get(b"0")), txn.get(b"x") is None, bool(txn.get(b"1")))
keys = [bytes(key) for key in txn.cursor().iternext(keys=True, values=False)]
txn.abort()
print(len(keys), env.sync() is None)
""",
        """\
2 b'v0' True True
10 True
""",
    ),
    "a store that looks like a dict": (
        """
import pickle
from collections.abc import MutableMapping
class Store(MutableMapping):
    def __init__(self, path):
        self.env = lmdb.open(path, map_size=1 << 22)
    def __getitem__(self, key):
        with self.env.begin(buffers=True) as txn:
            value = txn.get(key.encode())
            if value is None:
                raise KeyError(key)
            return pickle.loads(value)
    def __setitem__(self, key, value):
        with self.env.begin(write=True) as txn:
            txn.put(key.encode(), pickle.dumps(value))
    def __delitem__(self, key):
        with self.env.begin(write=True) as txn:
            if not txn.delete(key.encode()):
                raise KeyError(key)
    def __iter__(self):
        with self.env.begin(buffers=True) as txn:
            for key in txn.cursor().iternext(values=False):
                yield bytes(key).decode()
    def __len__(self):
        return self.env.stat()["entries"]
store = Store("store")
store.update(a=1, b=[2], c={"d": 3})
print(len(store), dict(store), store.pop("a"), "a" in store, store.get("z", 0), list(store.items()))
store.clear()
print(len(store))
""",
        """\
3 {'a': 1, 'b': [2], 'c': {'d': 3}} 1 False 0 [('b', [2]), ('c', {'d': 3})]
0
""",
    ),
    "a value that is read after others have written": (
        """
env = lmdb.open("data")
def read(key):
    with env.begin(buffers=True) as txn:
        return txn.get(key)
views = [read(b"image-%08d" % index) for index in range(100)]
for round in range(20):
    with env.begin(write=True) as txn:
        for index in range(100):
            txn.put(b"image-%08d" % index, bytes([round]) * (index + 1))
print([len(bytes(view)) for view in views] == list(range(1, 101)), len(read(b"image-00000009")))
""",
        """\
True 10
""",
    ),
}


def run(program: str, prepare: str = "") -> tuple[int, str, str]:
    """Run a program in a process and a directory of its own; its exit code and output."""
    with tempfile.TemporaryDirectory() as directory:
        done = subprocess.run(
            [sys.executable, "-c", prepare + FILL + program],
            cwd=directory, capture_output=True, text=True, encoding="utf-8", timeout=120, check=False,
            env={**os.environ, "ZLMDB_KEEP_VIEWS": "1", "PYTHONUTF8": "1"},
        )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


if __name__ == "__main__":
    for name, (program, output) in PROGRAMS.items():
        found = run(program)
        print("same" if found == (0, output, "") else found, "-", name)
