"""Programs of py-lmdb's print with zlmdb what they print there (`clients.py`)."""

from __future__ import annotations

import pytest

from .clients import PROGRAMS, run

AS_LMDB = "import sys, zlmdb.lmdb\nsys.modules['lmdb'] = zlmdb.lmdb\n"

NUMPY = """
import numpy
env = lmdb.open("data")
with env.begin(write=True) as txn:
    txn.put(b"array", numpy.arange(6, dtype="<f4").tobytes())
with env.begin(buffers=True) as txn:
    array = numpy.frombuffer(txn.get(b"array"), dtype="<f4").reshape(2, 3)
    print(array.sum(), array.flags.writeable, array.flags.owndata, numpy.asarray(txn.get(b"array")).dtype)
    copy = array.copy()
print(copy.tolist(), bytes(memoryview(array)) == copy.tobytes())
"""


@pytest.mark.parametrize("version", [0, 1])
@pytest.mark.parametrize("name", PROGRAMS)
def test_client(name, version, monkeypatch):
    monkeypatch.setenv("LMDB_DEFAULT_LIB_VERSION", str(version))
    program, output = PROGRAMS[name]
    if version and "max_key_size" in program:
        output = output.replace("511", "1978").replace(
            "b'images', b'labels'", "b'images\\x00', b'labels\\x00'"
        )
    assert run(program, AS_LMDB) == (0, output, "")


def test_client_with_numpy():
    pytest.importorskip("numpy", reason="arrays on views are of NumPy")
    assert run(NUMPY, AS_LMDB) == (0, "15.0 False False uint8\n[[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]] True\n", "")
