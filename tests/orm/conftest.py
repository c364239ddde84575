"""What tests of the object layer use: databases of both formats."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import zlmdb


@pytest.fixture(params=["0.9", "1.0"])
def lib_version(request) -> str:
    """Return each LMDB format."""
    return request.param


@pytest.fixture
def db(lib_version) -> Iterator[zlmdb.Database]:
    """Return a temporary database of each format."""
    with zlmdb.Database(lib_version=lib_version, sync=False) as database:
        yield database
