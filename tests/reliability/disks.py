"""Disks that are full, and limits that the system sets: a typed error, no signal, nothing lost."""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from .attempt import Attempt, Trouble
from .campaign import Case, Failure, Mode, Skipped
from .child import RAM, Child
from .script import Script
from .stores import BindingStore, Setup, Store

STEPS = 100
SPACES = [] if sys.implementation.name == "pypy" else ["address spaces"]
"""PyPy ends the process when it gets no memory itself."""
PAGE = 4096
ROOMY = 1 << 26
MANY_READERS = 1000
FILE_TOO_LARGE = (errno.EFBIG, errno.ENOSPC, -30772)
"""A limit of file sizes has the system write less than it was given, which each engine tells its way."""
OPTIONS: list[dict[str, Any]] = [
    {},
    {"grow": True},
    {"writemap": True},
    {"grow": True, "writemap": True},
    {"writemap": True, "sync": False},
    {"sync": False},
]

# -- small file systems --

NEW_NAMESPACE, NEW_USER = 0x00020000, 0x10000000
MS_REMOUNT, MS_REC, MS_PRIVATE, MNT_DETACH = 32, 16384, 1 << 18, 2


def _system(name: str, *args: Any) -> None:
    """Make a call to the system that Python has no function for."""
    if getattr(ctypes.CDLL(None, use_errno=True), name)(*args):
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")


def prepare() -> None:
    """Be where file systems may be mounted without anybody else seeing them."""
    user, group = os.geteuid(), os.getegid()
    try:
        _system("unshare", NEW_NAMESPACE if user == 0 else NEW_NAMESPACE | NEW_USER)
        if user:
            Path("/proc/self/setgroups").write_text("deny")
            Path("/proc/self/uid_map").write_text(f"0 {user} 1")
            Path("/proc/self/gid_map").write_text(f"0 {group} 1")
        _make_private()
    except OSError as error:
        raise Skipped(f"this system does not let its user mount a small file system ({error})") from None


def _make_private() -> None:
    """Let no mount be seen outside; in a changed root, "/" need not be a file system of its own."""
    try:
        _system("mount", b"none", b"/", None, ctypes.c_ulong(MS_REC | MS_PRIVATE), None)
    except OSError:
        _system("mount", b"none", os.fsencode(RAM or "/tmp"), None, ctypes.c_ulong(MS_PRIVATE), None)


def _mount(path: Path, pages: int, flags: int = 0) -> None:
    size = b"size=%d" % (pages * PAGE)
    _system("mount", b"none", os.fsencode(path), b"tmpfs", ctypes.c_ulong(flags), size)


# -- troubles --


class SmallDisk:
    """A disk with few free pages; many in the end."""

    def __init__(self, path: Path, pages: int) -> None:
        self._path = path
        self._pages = pages

    def begin(self) -> None:
        """Make the disk small; it was mounted before."""
        disk = os.statvfs(self._path)
        _mount(self._path, disk.f_blocks - disk.f_bfree + self._pages, MS_REMOUNT)

    def end(self) -> int:
        _mount(self._path, ROOMY // PAGE, MS_REMOUNT)
        return 1

    def told(self, error: BaseException, lmdb: Any) -> bool:
        return isinstance(error, lmdb.DiskError)


class Limit:
    """A limit of this process."""

    def __init__(self, which: int, room: int, codes: tuple[int, ...], full: bool) -> None:
        self._which = which
        self._room = room
        self._codes = codes
        self._full = full

    def begin(self) -> None:
        resource.setrlimit(self._which, (self._room, resource.getrlimit(self._which)[1]))

    def end(self) -> int:
        hard = resource.getrlimit(self._which)[1]
        resource.setrlimit(self._which, (hard, hard))
        return 1

    def told(self, error: BaseException, lmdb: Any) -> bool:
        """Where the address space is the limit, a map that cannot grow is full."""
        if self._full and isinstance(error, (lmdb.MapFullError, MemoryError)):
            return True
        if not isinstance(error, lmdb.Error):
            return False
        no_room_for_a_thread = errno.ENOMEM in self._codes and "starts no other" in str(error)
        return no_room_for_a_thread or getattr(error, "code", None) in self._codes


class AddressSpace(Limit):
    """Little more address space than is in use."""

    def __init__(self, room: int) -> None:
        super().__init__(resource.RLIMIT_AS, room, (errno.ENOMEM,), full=True)

    def begin(self) -> None:
        self._room += int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        super().begin()


def read_much(store: Store) -> None:
    """Take many reader slots; each is in a page of the lock file, which must have its block."""
    if isinstance(store, BindingStore):
        store.read_at_once(MANY_READERS // 2)


# -- the trial --


def trial(case: Case) -> Counter[str]:
    """Fill a disk, or meet a limit."""
    rng = case.rng
    kind = case.pick(["full disks", "full disks", "file sizes", *SPACES])
    native = case.module != "zlmdb"
    size = {"map_size" if native else "maxsize": ROOMY}
    options = {**rng.choice(OPTIONS), **size}
    if options.get("grow"):
        options["map_size" if native else "maxsize"] = 1 << 16
    if native:
        options["max_readers"] = rng.choice([126, MANY_READERS])
    if case.module == "lmdb":
        options = {**options, **size}
        options.pop("grow", None)
    elif not options.get("grow"):
        options["grow"] = False
    setup = Setup(case.module, case.engine, options)
    disk = case.folder / "disk"
    disk.mkdir()
    _mount(disk, ROOMY // PAGE)
    try:
        trouble = _trouble(kind, disk, rng.choice([rng.randint(1, 12), rng.randint(1, 90)]))
        before = rng.choice([None, None, setup._replace(options={**options, "writemap": False})])
        attempt = Attempt(setup, disk, Script(case.name, 0), STEPS, trouble, read_much, before)
        outcome = Child(attempt.run).result()
    finally:
        _system("umount2", os.fsencode(disk), MNT_DETACH)
    problems = outcome.value["problems"] if outcome.value else [outcome.described()]
    if problems:
        raise Failure(f"{kind}, {vars(trouble)}, {setup}: {'; '.join(problems)}", {"limits": 1, kind: 1})
    refused = outcome.value["error"] != "NoneType"
    figures = {"limits": 1, kind: 1} if refused else {"never met": 1}
    return Counter({**figures, "panics": outcome.value["panic"]})


def _trouble(kind: str, disk: Path, pages: int) -> Trouble:
    if kind == "file sizes":
        return Limit(resource.RLIMIT_FSIZE, pages * PAGE, FILE_TOO_LARGE, full=False)
    if kind == "address spaces":
        return AddressSpace(pages << 17)
    return SmallDisk(disk, pages)


MODE = Mode(trial, "limits", prepare)
