"""Opening an environment: what is made, what fails and how, and what is left behind."""

from __future__ import annotations

import errno
import gc
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from zlmdb import lmdb


def files(path):
    return sorted(entry.name for entry in path.iterdir())


def test_directory(open_env, tmp_path):
    open_env()
    assert files(tmp_path / "env") == ["data.mdb", "lock.mdb"]


def test_file(open_env, tmp_path):
    open_env("file", subdir=False)
    assert files(tmp_path) == ["file", "file-lock"]


def test_without_lock(open_env, tmp_path):
    open_env(lock=False)
    open_env("file", lock=False, subdir=False)
    assert files(tmp_path / "env") == ["data.mdb"]
    assert files(tmp_path) == ["env", "file"]


@pytest.mark.parametrize("make", [str, os.fsencode, Path])
def test_kinds_of_paths(engine, tmp_path, make):
    with lmdb.open(make(tmp_path / "ä"), lib_version=engine) as env:
        assert env.path() == str(tmp_path / "ä")
    assert (tmp_path / "ä" / "data.mdb").exists()


def test_undecodable_path(engine, tmp_path):
    path = os.fsencode(tmp_path) + b"/\xff"
    with lmdb.open(path, lib_version=engine) as env:
        assert os.fsencode(env.path()) == path


@pytest.mark.parametrize("path", [None, 1, 1.5, ["x"]])
def test_not_a_path(path):
    with pytest.raises(TypeError):
        lmdb.open(path)


@pytest.mark.parametrize("create", [True, False])
def test_nul_in_path(tmp_path, create):
    """C would end the path there, and open another environment."""
    with pytest.raises(ValueError, match="NUL"):
        lmdb.open(f"{tmp_path}/a\0b", create=create)
    assert files(tmp_path) == []


def test_mode(open_env, tmp_path):
    old = os.umask(0)
    try:
        open_env(mode=0o751)
        open_env("file", mode=0o640, subdir=False)
    finally:
        os.umask(old)
    mode = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*")}
    assert mode == {"env": 0o751, "data.mdb": 0o640, "lock.mdb": 0o640, "file": 0o640, "file-lock": 0o640}


@pytest.mark.parametrize("name", ["map_size", "max_dbs", "max_readers", "max_spare_txns"])
def test_negative(open_env, tmp_path, name):
    with pytest.raises(OverflowError, match=name):
        open_env(**{name: -1})
    assert files(tmp_path) == []


@pytest.mark.parametrize("name", ["map_size", "max_dbs", "max_readers", "max_spare_txns"])
@pytest.mark.parametrize("number", [2**64, 2**100])
def test_too_large(open_env, tmp_path, name, number):
    with pytest.raises(OverflowError, match=f"{name} must be <="):
        open_env(**{name: number})
    assert files(tmp_path) == []


@pytest.mark.parametrize("value", ["10MB", 1.5, None, b"auto"])
def test_map_size_of_a_wrong_type(open_env, tmp_path, value):
    with pytest.raises(TypeError, match="map_size must be an integer"):
        open_env(map_size=value)
    assert files(tmp_path) == []


@pytest.mark.parametrize("name", ["max_dbs", "max_readers", "max_spare_txns"])
def test_number_of_a_wrong_type(open_env, name):
    with pytest.raises(TypeError, match=f"{name} must be an integer"):
        open_env(**{name: "7"})


def test_map_size_beyond_the_address_space(open_env):
    with pytest.raises(lmdb.MemoryError, match="smaller map_size"):
        open_env(map_size=1 << 62)
    open_env()


def test_no_readers(open_env):
    with pytest.raises(lmdb.InvalidParameterError, match="at least 1"):
        open_env(max_readers=0)


def test_tiny_map(open_env):
    env = open_env(map_size=10)
    txn = env.begin(write=True)
    with pytest.raises(lmdb.MapFullError):
        txn.cursor().putmulti((b"%d" % i, bytes(100)) for i in range(1000))
    txn.abort()
    assert env.stat()["entries"] == 0


def test_junk(open_env, tmp_path):
    (tmp_path / "junk").write_bytes(os.urandom(8192))
    with pytest.raises(lmdb.InvalidError, match="no LMDB file, or damaged"):
        open_env("junk", subdir=False)


def test_missing_and_not_to_create(open_env, tmp_path):
    with pytest.raises(lmdb.Error, match=r"check the path: .*create=False") as caught:
        open_env(create=False)
    assert caught.value.code == errno.ENOENT
    assert caught.value.what == os.fsencode(tmp_path / "env")
    assert files(tmp_path) == []


def test_empty_directory_and_not_to_create(open_env, tmp_path):
    (tmp_path / "env").mkdir()
    open_env(create=False)
    assert files(tmp_path / "env") == ["data.mdb", "lock.mdb"]


def test_missing_and_read_only(open_env, tmp_path):
    with pytest.raises(lmdb.Error, match=r"check the path: readonly=True") as caught:
        open_env(readonly=True, create=True)
    assert caught.value.code == errno.ENOENT
    assert files(tmp_path) == []


@pytest.mark.parametrize("make", [str, os.fsencode, Path])
def test_missing_parent(engine, tmp_path, make):
    """The system's error names the path as the program gave it."""
    path = make(tmp_path / "missing" / "env")
    with pytest.raises(FileNotFoundError) as caught:
        lmdb.open(path, lib_version=engine)
    assert os.fspath(caught.value.filename) == os.fspath(path)


def test_missing_parent_of_a_file(open_env):
    with pytest.raises(lmdb.Error) as caught:
        open_env("missing/file", subdir=False)
    assert caught.value.code == errno.ENOENT


def test_order(open_env, tmp_path):
    """The directory is made before the engine is chosen; being open already counts before the choice."""
    with pytest.raises(lmdb.Error, match="engines 0"):
        open_env(lib_version=9)
    assert files(tmp_path / "env") == []
    open_env()
    with pytest.raises(lmdb.Error, match="already open"):
        open_env(lib_version=9)


def test_default_mode(open_env, tmp_path):
    old = os.umask(0)
    try:
        open_env()
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "env").stat().st_mode) == 0o755
    assert stat.S_IMODE((tmp_path / "env" / "data.mdb").stat().st_mode) == 0o644


def test_existing_directory_keeps_its_mode(open_env, tmp_path):
    (tmp_path / "env").mkdir(0o700)
    open_env(mode=0o777)
    assert stat.S_IMODE((tmp_path / "env").stat().st_mode) == 0o700


@pytest.mark.parametrize("mode", ["755", -1, None, 2**40])
def test_impossible_mode(open_env, tmp_path, mode):
    with pytest.raises((TypeError, OverflowError), match="mode must be"):
        open_env(mode=mode)
    assert files(tmp_path) == []


def test_arguments_by_position(tmp_path, engine):
    env = lmdb.Environment(
        str(tmp_path / "file"), 1 << 21, False, False, False, False, False, 0o600, True, False, False, False,
        9, 2, 1, False, engine,
    )  # fmt: skip
    with env:
        assert env.flags() == {
            **SWITCHES,
            **dict.fromkeys(["subdir", "metasync", "sync", "readahead", "meminit", "lock"], False),
        }
        assert (env.info()["map_size"], env.max_readers()) == (1 << 21, 9)
        assert env.lib_version()[0] == engine


def test_file_for_a_directory(open_env, tmp_path):
    (tmp_path / "env").write_bytes(b"")
    with pytest.raises(lmdb.Error, match="subdir=False") as caught:
        open_env()
    assert caught.value.code == errno.ENOTDIR


def test_directory_for_a_file(open_env, tmp_path):
    (tmp_path / "env").mkdir()
    with pytest.raises(lmdb.Error, match="subdir=True") as caught:
        open_env(subdir=False)
    assert caught.value.code == errno.EISDIR


@pytest.mark.parametrize("name", ["data.mdb", "lock.mdb"])
def test_directory_for_a_file_inside(open_env, tmp_path, name):
    (tmp_path / "env" / name).mkdir(parents=True)
    with pytest.raises(lmdb.Error, match=r"data\.mdb and lock\.mdb are files"):
        open_env()


@pytest.mark.parametrize("lock", [True, False])
def test_empty_file_and_read_only(open_env, tmp_path, lock):
    """As a crash leaves it between making the file and writing to it: there is nothing to read yet."""
    (tmp_path / "env").mkdir()
    (tmp_path / "env" / "data.mdb").touch()
    with pytest.raises(lmdb.Error, match=r"the data file is empty: .*without readonly=True"):
        open_env(readonly=True, lock=lock)
    open_env()


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (errno.ENODEV, "network file systems"),
        (errno.ENOLCK, "network file systems"),
        (errno.EINVAL, "network file systems"),
        (errno.ENOSPC, "disk is full"),
        (errno.EDQUOT, "quota"),
        (errno.EROFS, "readonly=True"),
        (errno.EACCES, "readonly=True"),
        (errno.EAGAIN, "another process"),
    ],
)
def test_what_the_system_says_comes_with_a_hint(monkeypatch, open_env, code, words):
    """An unsuitable file system, as far as this machine cannot show one: the codes are what LMDB hands on."""
    from zlmdb.lmdb import opening

    class Refusing:
        def __getattr__(self, name):
            return getattr(real, name)

        def zl_env_open(self, c, path, flags, mode):
            return code

    real = opening.lib
    monkeypatch.setattr(opening, "lib", Refusing())
    with pytest.raises(lmdb.Error, match=words) as caught:
        open_env()
    assert caught.value.code == code
    assert os.strerror(code) in str(caught.value)
    monkeypatch.undo()
    open_env()


def test_file_system_without_shared_maps(open_env):
    """/dev/full can be opened and read, and not mapped."""
    with pytest.raises(lmdb.Error) as caught:
        open_env("/dev/full", subdir=False, lock=False)
    assert "/dev/full" in str(caught.value)


def test_failures_leave_nothing_behind(open_env, tmp_path, unraisable):
    (tmp_path / "junk").write_bytes(os.urandom(8192))
    descriptors = len(os.listdir("/proc/self/fd"))
    for options in (
        {"create": False},
        {"max_readers": 0},
        {"lib_version": 9},
        {"map_size": -1},
        {"map_size": 1 << 62},
    ):
        with pytest.raises((lmdb.Error, OverflowError)):
            open_env(**options)
    with pytest.raises(lmdb.Error):
        open_env("junk", subdir=False)
    gc.collect()
    assert unraisable == []
    assert len(os.listdir("/proc/self/fd")) == descriptors
    open_env()


def test_no_free_reader_slot(open_env, tmp_path, run_child, unraisable):
    """Opening takes a reader slot for a moment. Another process has the only one."""
    open_env(max_readers=1).close()
    holder = (
        "import sys\n"
        "from zlmdb import lmdb\n"
        "env = lmdb.open(sys.argv[1], max_readers=1)\n"
        "txn = env.begin()\n"
        "print('held', flush=True); sys.stdin.readline()\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(lmdb.__file__).parents[2])}
    process = subprocess.Popen(
        [sys.executable, "-c", holder, str(tmp_path / "env")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip
    try:
        assert process.stdout.readline() == "held\n"
        for _attempt in range(2):
            with pytest.raises(lmdb.ReadersFullError, match="max_readers"):
                open_env(max_readers=1)
            gc.collect()
        assert unraisable == []
    finally:
        process.communicate("\n")
    open_env(max_readers=1)


def test_read_only(open_env):
    with open_env() as env, env.begin(write=True) as txn:
        txn.put(b"key", b"value")
    env = open_env(readonly=True)
    assert env.readonly is True
    assert env.get(b"key") == b"value"
    with pytest.raises(lmdb.ReadonlyError, match="readonly=True"):
        env.sync(True)
    with pytest.raises(lmdb.ReadonlyError, match="readonly=True") as caught:
        env.begin(write=True)
    assert caught.value.code == errno.EACCES


SWITCHES = {
    "subdir": True, "readonly": False, "metasync": True, "sync": True, "map_async": False, "readahead": True,
    "writemap": False, "meminit": True, "lock": True,
}  # fmt: skip


@pytest.mark.parametrize("name", [None, *SWITCHES])
def test_flags(open_env, name):
    open_env("env", sync=True).close()
    wanted = dict(SWITCHES)
    if name:
        wanted[name] = not wanted[name]
    path = "env" if wanted["subdir"] else "file"
    assert open_env(path, **wanted).flags() == wanted


def test_open_and_close_many(open_env):
    """Nothing accumulates: neither descriptors nor address space."""

    def usage():
        return len(os.listdir("/proc/self/fd")), len(Path("/proc/self/maps").read_text().splitlines())

    open_env().close()
    before = usage()
    for _round in range(50):
        open_env(map_size="auto").close()
    after = usage()
    assert after[0] == before[0]
    assert after[1] <= before[1] + 3
