"""An environment with records, and a way to run a coroutine function with its asyncio wrapper."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path

import pytest

from zlmdb import lmdb
from zlmdb.lmdb import aio

Scenario = Callable[[aio.AsyncEnvironment], Coroutine[None, None, None]]


@pytest.fixture
def records() -> list[tuple[bytes, bytes]]:
    """Return what the environment holds."""
    return [(b"%02d" % i, b"value %d" % i) for i in range(10)]


@pytest.fixture
def env(tmp_path: Path, engine: int, records: list[tuple[bytes, bytes]]) -> Iterator[lmdb.Environment]:
    """Return an environment with ten records, of either engine."""
    with lmdb.open(str(tmp_path), max_dbs=4, lib_version=engine) as env:
        with env.begin(write=True) as txn:
            for key, value in records:
                txn.put(key, value)
        yield env


@pytest.fixture
def run(env: lmdb.Environment) -> Callable[[Scenario], None]:
    """Return a function that runs a coroutine function with the wrapped environment."""
    return lambda scenario: asyncio.run(scenario(aio.wrap(env)))
