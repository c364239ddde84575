"""Processes and threads that work on one store together, fork, copy it and change its size: all get on."""

from __future__ import annotations

import importlib
import os
import random
import threading
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from .campaign import Case, Failure, Mode
from .child import Child
from .marks import Marks

WRITERS = READERS = 8
TRANSFERS = 25
"""Transactions of each writer."""
ACCOUNTS = 60
SUM = 1000 * ACCOUNTS
OPTIONS: list[dict[str, Any]] = [
    {}, {"sync": False}, {"writemap": True}, {"metasync": False}, {"max_spare_txns": 4},
]  # fmt: skip
PATIENCE = 120
"""Seconds after which whoever is not done hangs."""


class Place(NamedTuple):
    """What all of them share."""

    module: str
    path: Path
    options: dict[str, Any]
    marks: Marks
    resizes: bool
    """Whether the size of the map is set while others work."""


class Bank:
    """An open environment with accounts, whose sum never changes, and a count of all transfers."""

    def __init__(self, place: Place) -> None:
        self._lmdb = importlib.import_module(place.module)
        self._place = place
        self.done: Counter[str] = Counter()
        """How often readers have done what."""
        self.env = self._lmdb.open(str(place.path), max_readers=200, max_dbs=2, **place.options)

    def found(self) -> None:
        """Open the accounts."""
        with self.env.begin(write=True) as txn:
            for account in range(ACCOUNTS):
                txn.put(_key(account), _value(1000))
            txn.put(b"transfers", b"0")

    def transfer(self, rng: random.Random, writer: int, number: int) -> None:
        """Move something from one account to another, and count it."""
        giver, taker = rng.sample(range(ACCOUNTS), 2)
        amount = rng.randrange(1, 50)
        self._place.marks.begin(writer, number)
        self.again(lambda: self._transfer(giver, taker, amount, rng.random() < 0.1))
        self._place.marks.acknowledge(writer, number)

    def _transfer(self, giver: int, taker: int, amount: int, nested: bool) -> None:
        with self.env.begin(write=True) as txn:
            txn.put(_key(giver), _value(_amount(txn.get(_key(giver))) - amount))
            if nested and not self._place.options.get("writemap"):
                with self.env.begin(parent=txn, write=True) as child:
                    child.put(_key(taker), _value(-1))
                    child.abort()
            txn.put(_key(taker), _value(_amount(txn.get(_key(taker))) + amount))
            txn.put(b"transfers", b"%d" % (int(txn.get(b"transfers")) + 1))

    def look(self) -> int:
        """Add up one snapshot; how many transfers it has."""
        return self.again(self._look)

    def _look(self) -> int:
        with self.env.begin() as txn:
            before = int(txn.get(b"transfers"))
            total = sum(_amount(value) for key, value in txn.cursor() if key.startswith(b"account"))
            after = int(txn.get(b"transfers"))
        if total != SUM or before != after:
            raise Failure(f"a snapshot adds up to {total}, not {SUM}; {before} transfers, and then {after}")
        return before

    def again(self, work: Callable[[], Any]) -> Any:
        """Once more while another thread sets the size, or has made the map larger."""
        while True:
            try:
                return work()
            except self._lmdb.MapResizedError:
                self.resize(0)
            except self._lmdb.Error as error:
                if not self._place.resizes or not _interrupted(error):
                    raise

    def resize(self, size: int) -> None:
        """Set the size of the map; refused while a transaction of this process writes."""
        try:
            self.env.set_mapsize(size)
        except self._lmdb.Error as error:
            if isinstance(error, self._lmdb.MapFullError):
                raise

    def close(self) -> None:
        """Close it."""
        self.env.close()


def _interrupted(error: Exception) -> bool:
    """Whether a transaction was ended because another thread sets the size."""
    return getattr(error, "code", None) == 0 or type(error).__name__ in (
        "BadTxnError",
        "InvalidParameterError",
    )


def _key(account: int) -> bytes:
    return b"account%03d" % account


def _value(amount: int) -> bytes:
    return b"%020d" % amount + b"." * (abs(amount) % 3000)


def _amount(value: bytes) -> int:
    return int(value[:20])


# -- what each of them does --


def writer(bank: Bank, place: Place, rng: random.Random, number: int) -> None:
    """Transfer."""
    for step in range(1, TRANSFERS + 1):
        bank.transfer(rng, number, step)


def reader(bank: Bank, place: Place, rng: random.Random, number: int) -> None:
    """Look, fork, copy and resize, until all transfers are done."""
    least, fork = 0, place.module != "lmdb"
    while least < WRITERS * TRANSFERS:
        seen = bank.look()
        if seen < least:
            raise Failure(f"a snapshot has {seen} transfers, an earlier one had {least}")
        least = seen
        chance = rng.random()
        if chance < 0.02 and fork:
            _fork(place)
            bank.done["forks"] += 1
        elif chance < 0.05:
            _copy(bank, place, rng)
            bank.done["copies"] += 1
        elif chance < 0.10 and place.resizes:
            bank.resize(rng.choice([0, (4 << 20) + rng.randrange(1 << 20) // 4096 * 4096]))
            bank.done["resizes"] += 1
        elif chance < 0.15:
            bank.env.reader_check()


def _fork(place: Place) -> None:
    """A child leaves what it has inherited alone, and opens the environment for itself."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forks with threads: it is what is tried
        outcome = Child(_look_anew, place).result(PATIENCE)
    if outcome.failed:
        raise Failure(f"a forked child: {outcome.described()}")


def _look_anew(place: Place) -> None:
    """In a child that may have forked while threads held any lock of Python's: nothing is imported."""
    bank = Bank(place)
    bank.look()
    bank.close()


def _copy(bank: Bank, place: Place, rng: random.Random) -> None:
    target = place.path.with_name(f"copy.{os.getpid()}.{threading.get_ident()}.{rng.randrange(10**9)}")
    target.mkdir()
    bank.again(lambda: _into(bank, target, rng.random() < 0.5))
    copied = Bank(place._replace(path=target))
    copied.look()
    copied.close()


def _into(bank: Bank, target: Path, compact: bool) -> None:
    for leftover in target.iterdir():
        leftover.unlink()
    bank.env.copy(str(target), compact=compact)


# -- the trial --

Job = tuple[Callable[[Bank, Place, random.Random, int], None], int]


def work(place: Place, jobs: list[Job], seed: str) -> tuple[list[str], dict[str, int]]:
    """Do jobs in a process, each in a thread; what went wrong, and what readers have done."""
    bank, problems = Bank(place), []

    def run(job: Job) -> None:
        role, number = job
        try:
            role(bank, place, random.Random(f"{seed}.{role.__name__}.{number}"), number)
        except BaseException:  # noqa: BLE001 (reported)
            problems.append(traceback.format_exc())

    threads = [threading.Thread(target=run, args=(job,), daemon=True) for job in jobs]
    end = time.monotonic() + PATIENCE
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
        if thread.is_alive():
            raise Failure("a thread hangs")
    bank.close()
    return problems, bank.done


def trial(case: Case) -> Counter[str]:
    """Have writers and readers at work, spread over processes."""
    rng = case.rng
    place = choose(case, rng)
    outcome = Child(_found, place).result()
    if outcome.failed:
        raise Failure(outcome.described())
    jobs = [
        *((writer, number) for number in range(WRITERS)),
        *((reader, number) for number in range(READERS)),
    ]
    rng.shuffle(jobs)
    count = rng.choice([1, 2, 4, 16])
    children = [Child(work, place, jobs[first::count], case.name) for first in range(count)]
    outcomes = [child.result(PATIENCE + 30) for child in children]
    figures: Counter[str] = Counter(rounds=1, processes=count)
    for outcome in outcomes:
        if outcome.failed or outcome.value[0]:
            trouble = outcome.described() if outcome.failed else outcome.value[0][0]
            raise Failure(f"{count} processes, {place}: {trouble}", figures)
        figures.update(outcome.value[1])
    outcome = Child(_conclude, place).result()
    if outcome.failed or outcome.value != WRITERS * TRANSFERS:
        raise Failure(f"{place}: {outcome.value} transfers at the end, {outcome.described()}")
    figures["transfers"] = outcome.value
    return figures


def choose(case: Case, rng: random.Random) -> Place:
    """How the environment is opened."""
    module = case.options.module or "zlmdb.lmdb"
    if module == "zlmdb":
        module = "zlmdb.lmdb"
    size = rng.choice(["fixed", "set", "grows"]) if module != "lmdb" else "fixed"
    options: dict[str, Any] = {"lib_version": case.engine, "map_size": 4 << 20}
    options |= rng.choice(OPTIONS)
    if size == "grows":
        options |= {"grow": True, "map_size": 1 << 16}
    return Place(module, case.folder / "bank", options, Marks(WRITERS), size == "set")


def _found(place: Place) -> None:
    bank = Bank(place)
    bank.found()
    bank.close()


def _conclude(place: Place) -> int:
    verify = importlib.import_module(f"{place.module}.verify").verify
    if problems := verify(str(place.path)):
        raise Failure(f"verify: {problems[:5]}")
    bank = Bank(place)
    stale = bank.env.reader_check()
    if stale:
        raise Failure(f"{stale} reader slots of dead processes, though none was killed")
    seen = bank.look()
    bank.close()
    return seen


MODE = Mode(trial, "rounds")
