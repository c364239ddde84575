"""What tests of the object layer use: databases of both formats."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

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


class Undone(Exception):  # noqa: N818 (no error)
    """Ends a block whose transaction is to be undone."""


@pytest.fixture(scope="session")
def undone() -> Callable[[zlmdb.Database], AbstractContextManager[zlmdb.Transaction]]:
    """Return a context manager that gives a write transaction of a database and undoes it at the end."""

    @contextmanager
    def undone(db: zlmdb.Database) -> Iterator[zlmdb.Transaction]:
        try:
            with db.begin(write=True) as txn:
                yield txn
                raise Undone  # noqa: TRY301 (to be caught here)
        except Undone:
            pass

    return undone
