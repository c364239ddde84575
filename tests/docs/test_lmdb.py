"""What docs/lmdb.md says of the engines is so."""

from __future__ import annotations

from pathlib import Path

from zlmdb import lmdb
from zlmdb.lmdb import engine

GUIDE = (Path(__file__).parents[2] / "docs" / "lmdb.md").read_text(encoding="utf-8")


def test_the_table_of_engines():
    for major, data_format in ((0, 1), (1, 3)):
        assert engine.MAJOR_OF_FORMAT[data_format] == major
        assert "LMDB {}.{}".format(*lmdb.version(lib_version=major)) in GUIDE
