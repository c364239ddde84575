"""Nested transactions: a child's writes are its parent's when it commits, and nobody's when it does not."""

from __future__ import annotations

import pytest

import zlmdb.lmdb as lmdb

CLOSED = r"^Attempt to operate on closed/deleted/dropped object\.$"


def test_child_sees_its_parents_writes(env):
    with env.begin(write=True) as parent:
        parent.put(b"k", b"parent")
        with env.begin(write=True, parent=parent) as child:
            assert child.get(b"k") == b"parent"
            child.put(b"k", b"child")
        assert parent.get(b"k") == b"child"
    assert env.get(b"k") == b"child"


def test_child_abort_leaves_the_parents_writes(env):
    with env.begin(write=True) as parent:
        parent.put(b"k", b"parent")
        child = env.begin(write=True, parent=parent)
        child.put(b"k", b"child")
        child.put(b"l", b"child")
        child.abort()
        assert parent.get(b"k") == b"parent"
        assert parent.get(b"l") is None
        parent.put(b"m", b"parent")
    with env.begin() as txn:
        assert dict(txn.items()) == {b"k": b"parent", b"m": b"parent"}


def test_parent_abort_undoes_a_committed_child(env):
    parent = env.begin(write=True)
    with env.begin(write=True, parent=parent) as child:
        child.put(b"k", b"v")
    parent.abort()
    assert env.get(b"k") is None


@pytest.mark.parametrize("depth", [1, 2, 5, 20])
def test_deep(env, depth):
    family = [env.begin(write=True)]
    for level in range(depth):
        family[-1].put(b"%d" % level, b"")
        family.append(env.begin(write=True, parent=family[-1]))
    family[-1].put(b"leaf", b"")
    while family:
        family.pop().commit()
    with env.begin() as txn:
        assert len(list(txn.keys())) == depth + 1


@pytest.mark.parametrize("end", ["commit", "abort"])
def test_ending_the_parent_ends_and_discards_a_live_child(env, end):
    parent = env.begin(write=True)
    parent.put(b"parent", b"")
    child = env.begin(write=True, parent=parent)
    child.put(b"child", b"")
    grandchild = env.begin(write=True, parent=child)
    grandchild.put(b"grandchild", b"")
    cursor = grandchild.cursor()
    getattr(parent, end)()
    for txn in (child, grandchild):
        with pytest.raises(lmdb.Error, match=CLOSED):
            txn.get(b"parent")
        with pytest.raises(lmdb.Error, match=CLOSED):
            txn.commit()
        txn.abort()
    with pytest.raises(lmdb.Error):
        cursor.first()
    with env.begin() as txn:
        assert list(txn.keys()) == ([b"parent"] if end == "commit" else [])
    env.begin(write=True).abort()


def test_child_as_context_manager_after_the_parents_end(env):
    parent = env.begin(write=True)
    with env.begin(write=True, parent=parent) as child:
        child.put(b"k", b"v")
        parent.commit()
    assert env.get(b"k") is None


@pytest.mark.parametrize("end", ["commit", "abort"])
def test_the_childs_end_keeps_the_writers_place(env, end, in_thread):
    parent = env.begin(write=True)
    getattr(env.begin(write=True, parent=parent), end)()
    with pytest.raises(lmdb.Error, match="already has a write transaction"):
        env.begin(write=True)
    other = in_thread(lambda: env.begin(write=True).abort())
    assert other.thread.is_alive()
    parent.abort()
    other.result()


def test_dropping_the_child_aborts_it(env):
    import gc

    with env.begin(write=True) as parent:
        child = env.begin(write=True, parent=parent)
        child.put(b"k", b"v")
        del child
        gc.collect()
        assert parent.get(b"k") is None
        parent.put(b"l", b"w")
    assert env.get(b"l") == b"w"


def test_dropping_the_parent_first(env):
    """The child keeps its parent alive."""
    import gc

    parent = env.begin(write=True)
    child = env.begin(write=True, parent=parent)
    del parent
    gc.collect()
    child.put(b"k", b"v")
    child.commit()
    del child
    gc.collect()
    assert env.get(b"k") is None
    env.begin(write=True).abort()


def test_readonly_parent(env):
    """Also a finished one: that is the lesser fault."""
    with env.begin() as parent:
        for write in (False, True):
            with pytest.raises(lmdb.InvalidParameterError, match="read-only"):
                env.begin(parent=parent, write=write)
        assert parent.get(b"k") is None
    for write in (False, True):
        with pytest.raises(lmdb.InvalidParameterError, match="read-only"):
            env.begin(parent=parent, write=write)


def test_parent_of_another_environment(env, open_env):
    with open_env("other").begin(write=True) as parent:
        with pytest.raises(lmdb.InvalidParameterError, match="another environment"):
            env.begin(parent=parent, write=True)
        parent.put(b"k", b"v")


def test_finished_parent(env):
    parent = env.begin(write=True)
    parent.abort()
    for write in (False, True):
        with pytest.raises(lmdb.Error, match=CLOSED) as caught:
            env.begin(parent=parent, write=write)
        assert type(caught.value) is lmdb.Error


def test_readonly_child(env, engine):
    with env.begin(write=True) as parent:
        parent.put(b"k", b"v")
        if engine == 0:
            with pytest.raises(lmdb.InvalidParameterError):
                env.begin(parent=parent)
        else:
            with env.begin(parent=parent) as child:
                assert child.get(b"k") == b"v"
                with pytest.raises(lmdb.ReadonlyError):
                    child.put(b"k", b"w")
        parent.put(b"l", b"w")
    assert env.get(b"l") == b"w"


def test_readonly_child_is_no_spare(open_env, engine):
    """Reused as a reader it would go on seeing what was never committed."""
    env = open_env(max_spare_txns=4)
    parent = env.begin(write=True)
    parent.put(b"k", b"v")
    if engine == 1:
        child = env.begin(parent=parent)
        assert child.get(b"k") == b"v"
        child.commit()
    parent.abort()
    with env.begin() as txn:
        assert txn.get(b"k") is None


def test_the_childs_database_is_forgotten_if_an_ancestor_aborts(env):
    parent = env.begin(write=True)
    with env.begin(write=True, parent=parent) as child:
        db = env.open_db(b"named", txn=child)
        child.put(b"k", b"v", db=db)
    assert parent.get(b"k", db=db) == b"v"
    parent.abort()
    with pytest.raises(lmdb.NotFoundError):
        env.open_db(b"named", create=False)


def test_the_childs_database_lives_if_all_commit(env):
    with env.begin(write=True) as parent, env.begin(write=True, parent=parent) as child:
        db = env.open_db(b"named", txn=child)
        child.put(b"k", b"v", db=db)
    assert env.get(b"k", db=db) == b"v"
    assert env.open_db(b"named", create=False) is db


def test_a_parents_cursor_sees_what_the_child_committed(env):
    with env.begin(write=True) as parent:
        for key in (b"a", b"b", b"c"):
            parent.put(key, b"old")
        cursor = parent.cursor()
        assert cursor.set_key(b"b")
        with env.begin(write=True, parent=parent) as child:
            child.put(b"b", b"new")
        assert cursor.item() == (b"b", b"new")
        assert cursor.next()
        assert cursor.key() == b"c"


def test_a_parents_iterator_goes_on_after_a_child(env):
    with env.begin(write=True) as parent:
        for i in range(100):
            parent.put(b"%03d" % i, b"")
        iterator = parent.cursor().iternext(values=False)
        assert [next(iterator) for _ in range(10)] == [b"%03d" % i for i in range(10)]
        with env.begin(write=True, parent=parent) as child:
            child.delete(b"010")
            child.put(b"010x", b"")
        assert list(iterator) == [b"010x", *(b"%03d" % i for i in range(11, 100))]


def test_a_parents_iterator_goes_on_after_an_aborted_child(env):
    with env.begin(write=True) as parent:
        for i in range(100):
            parent.put(b"%03d" % i, b"")
        iterator = parent.cursor().iternext(values=False)
        assert next(iterator) == b"000"
        child = env.begin(write=True, parent=parent)
        for i in range(100):
            child.delete(b"%03d" % i)
        child.abort()
        assert list(iterator) == [b"%03d" % i for i in range(1, 100)]


def test_the_parent_while_a_child_is_open(env):
    """LMDB refuses writes of a parent with a live child; it neither crashes nor loses the child."""
    with env.begin(write=True) as parent:
        child = env.begin(write=True, parent=parent)
        child.put(b"k", b"child")
        with pytest.raises(lmdb.BadTxnError):
            parent.put(b"l", b"parent")
        child.commit()
        assert parent.get(b"k") == b"child"


def test_no_nesting_with_writemap(open_env, engine):
    """It is the error that LMDB has for it."""
    env = open_env(writemap=True)
    with env.begin(write=True) as parent:
        problem = lmdb.InvalidParameterError if engine else lmdb.BadTxnError
        with pytest.raises(problem, match="writemap=True"):
            env.begin(write=True, parent=parent)
        parent.put(b"k", b"v")
    assert env.get(b"k") == b"v"
