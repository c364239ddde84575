"""What is no regular file is refused as an environment, at once."""

from __future__ import annotations

import errno
import os
import re

import pytest

from zlmdb import lmdb
from zlmdb.lmdb.verify import VerifyError, verify


@pytest.mark.parametrize("readonly", [False, True])
@pytest.mark.parametrize("chosen", [False, True])
@pytest.mark.parametrize("name", ["data.mdb", "lock.mdb"])
def test_a_pipe_does_not_hang_open(tmp_path, engine, name, chosen, readonly):
    """It would wait for somebody who writes to it."""
    os.mkfifo(tmp_path / name)
    with pytest.raises(lmdb.Error, match="pipe"):
        lmdb.open(tmp_path, readonly=readonly, lib_version=engine if chosen else None)
    if name == "data.mdb":
        with pytest.raises(lmdb.Error, match="pipe"):
            lmdb.open(tmp_path / name, subdir=False, readonly=readonly)


def test_a_pipe_does_not_hang_verify(tmp_path):
    os.mkfifo(tmp_path / "data.mdb")
    for path in (tmp_path, tmp_path / "data.mdb"):
        with pytest.raises(VerifyError, match="pipe"):
            verify(path)


@pytest.mark.parametrize(
    "path", ["/dev/null", "/dev/zero", "/dev/full", "/dev/urandom", "/proc/self/mem", "/proc"]
)
@pytest.mark.parametrize("readonly", [False, True])
def test_devices(path, engine, readonly):
    for subdir in (False, True):
        with pytest.raises(lmdb.Error):
            lmdb.open(path, subdir=subdir, readonly=readonly, lib_version=engine, create=False, lock=False)


def test_links_that_lead_in_circles(tmp_path, engine):
    os.symlink("circle", tmp_path / "circle")
    os.symlink("data.mdb", tmp_path / "data.mdb")
    for path, subdir in (("circle", True), ("circle", False), (".", True)):
        with pytest.raises(lmdb.Error, match=re.escape(os.strerror(errno.ELOOP))):
            lmdb.open(tmp_path / path, subdir=subdir, lib_version=engine)
