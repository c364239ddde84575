"""Every return code has its class, and every message says what failed and what to do."""

from __future__ import annotations

import copy
import errno
import os
import pickle

import pytest

from zlmdb import lmdb
from zlmdb.lmdb import errors

CODES = {
    lmdb.KeyExistsError: (-30799, "MDB_KEYEXIST"),
    lmdb.NotFoundError: (-30798, "MDB_NOTFOUND"),
    lmdb.PageNotFoundError: (-30797, "MDB_PAGE_NOTFOUND"),
    lmdb.CorruptedError: (-30796, "MDB_CORRUPTED"),
    lmdb.PanicError: (-30795, "MDB_PANIC"),
    lmdb.VersionMismatchError: (-30794, "MDB_VERSION_MISMATCH"),
    lmdb.InvalidError: (-30793, "MDB_INVALID"),
    lmdb.MapFullError: (-30792, "MDB_MAP_FULL"),
    lmdb.DbsFullError: (-30791, "MDB_DBS_FULL"),
    lmdb.ReadersFullError: (-30790, "MDB_READERS_FULL"),
    lmdb.TlsFullError: (-30789, "MDB_TLS_FULL"),
    lmdb.TxnFullError: (-30788, "MDB_TXN_FULL"),
    lmdb.CursorFullError: (-30787, "MDB_CURSOR_FULL"),
    lmdb.PageFullError: (-30786, "MDB_PAGE_FULL"),
    lmdb.MapResizedError: (-30785, "MDB_MAP_RESIZED"),
    lmdb.IncompatibleError: (-30784, "MDB_INCOMPATIBLE"),
    lmdb.BadRslotError: (-30783, "MDB_BAD_RSLOT"),
    lmdb.BadTxnError: (-30782, "MDB_BAD_TXN"),
    lmdb.BadValsizeError: (-30781, "MDB_BAD_VALSIZE"),
    lmdb.BadDbiError: (-30780, "MDB_BAD_DBI"),
    lmdb.ReadonlyError: (errno.EACCES, "EACCES"),
    lmdb.InvalidParameterError: (errno.EINVAL, "EINVAL"),
    lmdb.LockError: (errno.EAGAIN, "EAGAIN"),
    lmdb.MemoryError: (errno.ENOMEM, "ENOMEM"),
    lmdb.DiskError: (errno.ENOSPC, "ENOSPC"),
}
NEW_CODES = {
    lmdb.ProblemError: -30779,
    lmdb.BadChecksumError: -30778,
    lmdb.CryptoFailError: -30777,
    lmdb.EnvEncryptionError: -30776,
}
HINTS = {
    lmdb.MapFullError: "Please use a larger Environment(map_size=) parameter",
    lmdb.DbsFullError: "max_dbs",
    lmdb.ReadersFullError: "max_readers",
    lmdb.TxnFullError: "transactions",
    lmdb.CorruptedError: "verify",
    lmdb.PageNotFoundError: "verify",
    lmdb.PanicError: "open it again",
    lmdb.BadTxnError: "abort",
    lmdb.ReadonlyError: "write=True",
    lmdb.IncompatibleError: "dupsort",
    lmdb.DiskError: "space",
}


@pytest.mark.parametrize(("klass", "code"), [*((k, c) for k, (c, _) in CODES.items()), *NEW_CODES.items()])
def test_code_to_class(klass, code):
    problem = errors.error("mdb_put", code)
    assert type(problem) is klass
    assert klass.__bases__ == (lmdb.Error,)
    assert (problem.what, problem.code) == ("mdb_put", code)
    assert problem.reason in str(problem)
    assert str(problem).startswith("mdb_put: ")


@pytest.mark.parametrize("klass", CODES)
def test_name(klass):
    code, name = CODES[klass]
    assert name == klass.MDB_NAME
    if name.startswith("MDB_"):
        assert errors.error("x", code).reason.startswith(f"{name}: ")


@pytest.mark.parametrize("klass", NEW_CODES)
def test_codes_of_1_0(klass):
    assert NEW_CODES[klass] == klass.MDB_CODE
    assert not hasattr(klass, "MDB_NAME")


def test_read_only_has_two_codes():
    assert type(errors.error("mdb_put", -30770)) is lmdb.ReadonlyError


def test_memory_error_is_not_the_builtin():
    assert not issubclass(lmdb.MemoryError, MemoryError)


def test_unknown_code():
    problem = errors.error("mdb_put", errno.EXDEV)
    assert type(problem) is lmdb.Error
    assert str(problem) == f"mdb_put: {os.strerror(errno.EXDEV)}"


def test_without_code():
    problem = lmdb.Error("Something is wrong.")
    assert str(problem) == "Something is wrong."
    assert (problem.code, problem.reason) == (0, "Successful return: 0")


def test_path_as_what():
    problem = lmdb.Error(b"/some/path", 2)
    assert problem.what == b"/some/path"
    assert str(problem) == "/some/path: No such file or directory"
    str(lmdb.Error(b"/some/\xff", 2)).encode()


@pytest.mark.parametrize(("klass", "words"), HINTS.items())
def test_hints(klass, words):
    problem = errors.error("mdb_put", CODES[klass][0])
    assert str(problem).endswith(")")
    assert words in str(problem)


def test_hint_of_map_full_is_exact():
    problem = lmdb.MapFullError("mdb_put", -30792)
    assert str(problem) == f"mdb_put: {problem.reason} ({HINTS[lmdb.MapFullError]})"


def test_advice_takes_the_place_of_the_hint():
    problem = lmdb.MapFullError("mdb_put", -30792).advise("do this")
    assert str(problem) == f"mdb_put: {problem.reason} (do this)"
    assert str(lmdb.Error("x", 2).advise("")) == "x: No such file or directory"


@pytest.mark.parametrize(
    "problem", [lmdb.MapFullError("mdb_put", -30792), lmdb.Error(b"/p", 2).advise("look")]
)
def test_survives_pickling_and_copying(problem):
    for other in (pickle.loads(pickle.dumps(problem)), copy.copy(problem)):
        assert type(other) is type(problem)
        assert str(other) == str(problem)
        assert (other.what, other.code, other.reason) == (problem.what, problem.code, problem.reason)


def test_notes_and_attributes_survive_pickling_and_copying():
    problem = lmdb.NotFoundError("mdb_dbi_open", -30798)
    problem.add_note("while opening users")
    problem.attempt = 3
    for other in (pickle.loads(pickle.dumps(problem)), copy.deepcopy(problem)):
        assert (other.__notes__, other.attempt) == (["while opening users"], 3)


CLOSED = "Attempt to operate on closed/deleted/dropped object."


def check_closed(call, *args):
    with pytest.raises(lmdb.Error) as caught:
        call(*args)
    assert (str(caught.value), caught.value.code, type(caught.value)) == (CLOSED, 0, lmdb.Error)


def test_use_of_a_closed_environment(env):
    txn = env.begin()
    cursor = txn.cursor()
    iterator = cursor.iternext()
    db = env.open_db(b"db")
    env.close()
    for name in (
        "begin", "dbs", "flags", "info", "max_key_size", "max_readers", "open_db", "path", "reader_check",
        "readers", "stat", "sync",
    ):  # fmt: skip
        check_closed(getattr(env, name))
    check_closed(env.open_db, b"db")
    check_closed(env.get, b"key")
    check_closed(env.getmulti, [b"key"])
    for size in (1 << 20, -1, "1"):
        check_closed(env.set_mapsize, size)
    check_closed(env.copyfd, 1)
    check_closed(env.copy, "nowhere")
    check_use_of_finished(txn, cursor, iterator, db)
    env.close()


def check_use_of_finished(txn, cursor, iterator, db):
    check_closed(next, iterator)
    for name in ("id", "stat", "commit", "cursor", "__enter__"):
        check_closed(getattr(txn, name))
    for name in ("get", "delete", "pop"):
        check_closed(getattr(txn, name), b"key")
    for name in ("put", "replace"):
        check_closed(getattr(txn, name), b"key", b"value")
    check_closed(txn.drop, db)
    check_closed(lambda: list(txn.items()))
    for name in ("first", "last", "next", "prev", "key", "value", "item", "count", "first_dup", "next_nodup"):
        check_closed(getattr(cursor, name))
    for name in ("set_key", "set_range", "get", "pop"):
        check_closed(getattr(cursor, name), b"key")
    for name in ("put", "replace", "set_key_dup", "set_range_dup"):
        check_closed(getattr(cursor, name), b"key", b"value")
    check_closed(lambda: list(cursor))
    check_closed(cursor.delete)
    check_closed(cursor.getmulti, [b"key"])
    check_closed(cursor.putmulti, [(b"key", b"value")])
    txn.abort()
    cursor.close()


@pytest.mark.parametrize("end", ["abort", "commit"])
@pytest.mark.parametrize("write", [False, True])
def test_use_of_a_finished_transaction(env, end, write):
    db = env.open_db(b"db")
    txn = env.begin(write=write)
    cursor = txn.cursor()
    iterator = cursor.iternext()
    getattr(txn, end)()
    check_use_of_finished(txn, cursor, iterator, db)


def test_use_of_a_closed_cursor(env):
    with env.begin(write=True) as txn:
        txn.put(b"key", b"value")
        cursor = txn.cursor()
        iterator = iter(cursor)
        cursor.close()
        cursor.close()
        check_closed(cursor.first)
        check_closed(next, iterator)
        check_closed(cursor.item)
        check_closed(cursor.put, b"key", b"value")
        assert txn.get(b"key") == b"value"


def test_what_names_the_function_that_failed(env, tmp_path):
    with env.begin(write=True) as txn:
        check_what("mdb_get", lambda: txn.get(b""))
        check_what("mdb_put", lambda: txn.put(b"", b"value"))
        check_what("mdb_cursor_get", lambda: txn.cursor().set_key(b""))
        check_what("mdb_dbi_open", lambda: env.open_db(b"missing", txn, create=False))
    check_what("mdb_env_copy3", lambda: env.copy(str(tmp_path / "missing")))
    check_what("mdb_env_copyfd3", lambda: env.copyfd(987))


def check_what(name, fail):
    with pytest.raises(lmdb.Error, match=f"^{name}: ") as caught:
        fail()
    assert caught.value.what == name
    assert caught.value.code != 0


@pytest.mark.parametrize("txn", [5, "txn", object()])
def test_not_a_transaction(env, tmp_path, txn):
    for call, *args in ((env.open_db, b"db", txn), (env.dbs, txn), (env.copy, tmp_path, True, txn)):
        with pytest.raises(TypeError, match="txn must be a Transaction"):
            call(*args)
