"""Does the installed package work? Both LMDB engines, the flatc command, and FlatBuffers of one version."""

import subprocess
import tempfile

import zlmdb
from zlmdb import lmdb

for version in (0, 1):
    with tempfile.TemporaryDirectory() as folder, lmdb.open(folder, lib_version=version) as env:
        with env.begin(write=True) as txn:
            assert txn.put(b"key", b"value")
        with env.begin() as txn:
            assert txn.get(b"key") == b"value"

versions = zlmdb.flatbuffers.check()
said = subprocess.run(["flatc", "--version"], check=True, capture_output=True, text=True).stdout
assert said.split()[-1] == versions.runtime, (said, versions)
print(f"zlmdb {zlmdb.__version__}: LMDB with both engines, FlatBuffers {versions.runtime}")
