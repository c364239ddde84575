"""A read transaction leaves its native handle to others as soon as it ends: nobody late may meet them."""

from __future__ import annotations

import gc
import sys
import threading

import pytest

from zlmdb import lmdb
from zlmdb.lmdb import errors, transaction

KEYS = [b"%04d" % number for number in range(200)]


@pytest.fixture
def filled(env):
    with env.begin(write=True) as txn:
        for key in KEYS:
            txn.put(key, key * 20)
    return env


@pytest.fixture
def switching():
    """Threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def test_finished_transactions_do_not_reach_the_next_one(filled):
    first = filled.begin()
    first.abort()
    second = filled.begin()
    for use in (
        lambda: first.get(KEYS[0]),
        first.id,
        first.stat,
        first.cursor,
        first.commit,
        first.__enter__,
    ):
        with pytest.raises(lmdb.Error):
            use()
    first.abort()
    first.__exit__(None, None, None)
    assert second.get(KEYS[0]) == KEYS[0] * 20


def test_a_dropped_transaction_ends_while_the_one_before_it_lives(filled):
    first = filled.begin()
    first.abort()
    second = filled.begin()
    assert filled.readers().count("\n") > 1
    del second
    gc.collect()
    gc.collect()
    assert "no active readers" in filled.readers()


def test_a_transaction_in_a_cycle_can_be_used_by_finalizers(filled):
    class Holder:
        def __init__(self, txn):
            self.txn, self.me = txn, self

        def __del__(self):
            seen.append(self.txn)
            self.txn.abort()

    seen = []
    for kind in ({}, {"buffers": True}, {"write": True}):
        Holder(filled.begin(**kind))
        gc.collect()
        gc.collect()
    assert len(seen) == 3
    assert filled.get(KEYS[1]) == KEYS[1] * 20
    with filled.begin(write=True) as txn:
        assert txn.put(b"new", b"value")


def test_threads_that_end_each_others_transactions_read_what_they_ask_for(filled, switching):
    wrong = []
    shared = [filled.begin()]
    done = threading.Event()

    def read():
        while not done.is_set():
            for key in KEYS:
                try:
                    if shared[0].get(key) != key * 20:
                        wrong.append(key)
                    if shared[0].cursor().get(key) != key * 20:
                        wrong.append(key)
                except lmdb.Error:
                    pass

    def replace():
        for key in KEYS * 5:
            old, shared[0] = shared[0], filled.begin()
            with filled.begin() as own:
                old.abort()
                with filled.begin() as other:
                    if own.get(key) != key * 20 or other.get(key) != key * 20:
                        wrong.append(key)

    def end():
        while not done.is_set():
            shared[0].abort()

    threads = [threading.Thread(target=target) for target in (read, read, end)]
    workers = [threading.Thread(target=replace) for _ in range(2)]
    for thread in threads + workers:
        thread.start()
    for worker in workers:
        worker.join()
    done.set()
    for thread in threads:
        thread.join()
    assert not wrong
    assert shared[0].abort() is None


@pytest.mark.parametrize("late", ["get", "put", "delete"])
def test_closing_frees_no_handle_that_another_thread_is_about_to_use(open_env, monkeypatch, late):
    """Else its call reaches whatever has the memory next: here, a transaction of another environment."""
    name = {"get": "_get", "put": "_put", "delete": "_del"}[late]
    real = getattr(transaction, name)
    first, second = open_env("first"), open_env("second")
    with second.begin(write=True) as txn:
        txn.put(b"key", b"of the second")
    reached = []

    def overtaken(c, *args):
        monkeypatch.setattr(transaction, name, real)
        txn.abort()
        first.close()
        others = [second.begin(write=True), *(second.begin() for _ in range(20))]
        reached.append(real(c, *args))
        assert others[0].get(b"key") == b"of the second"
        return reached[0]

    txn = first.begin()
    monkeypatch.setattr(transaction, name, overtaken)
    with pytest.raises(lmdb.Error):
        getattr(txn, late)(b"key", *[b"value"] * (late == "put"))
    assert reached == [errors.CLOSED]
