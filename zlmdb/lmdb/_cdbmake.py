"""The record format of cdbmake: ``+klen,dlen:key->data`` and a newline for each record, then a newline.

See https://cr.yp.to/cdb/cdbmake.html.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import BinaryIO

MAX_SIZE = 0xFFFFFFFF  # of a key or value in LMDB


class CdbmakeError(ValueError):
    """The input is not in the format; the text says why and at which record."""


def write_records(records: Iterable[tuple[bytes, bytes]], file: BinaryIO) -> None:
    """Write `records` and the final newline."""
    file.writelines(b"+%d,%d:%b->%b\n" % (len(key), len(value), key, value) for key, value in records)
    file.write(b"\n")


def read_records(file: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    """Yield the records up to the final newline, and leave `file` just behind it.

    Raises:
        CdbmakeError: The input is malformed or ends too early.
    """
    number = 1
    while (start := file.read(1)) != b"\n":
        try:
            yield _read_record(file, start)
        except CdbmakeError as error:
            raise CdbmakeError(f"record {number}: {error}") from None
        number += 1


def _read_record(file: BinaryIO, start: bytes) -> tuple[bytes, bytes]:
    if start != b"+":
        raise CdbmakeError("neither a plus nor the final newline")
    key_size = _read_length(file, b",")
    value_size = _read_length(file, b":")
    key = _read_exactly(file, key_size)
    _expect(file, b"->")
    value = _read_exactly(file, value_size)
    _expect(file, b"\n")
    return key, value


def _read_length(file: BinaryIO, end: bytes) -> int:
    digits = b""
    while (byte := file.read(1)) != end:
        digits += byte
        if not byte.isdigit() or int(digits) > MAX_SIZE:
            raise CdbmakeError(f"bad length {digits!r}")
    if not digits:
        raise CdbmakeError("a length is missing")
    return int(digits)


def _read_exactly(file: BinaryIO, size: int) -> bytes:
    data = file.read(size)
    if len(data) < size:
        raise CdbmakeError("the input ends inside it")
    return data


def _expect(file: BinaryIO, what: bytes) -> None:
    if (found := file.read(len(what))) != what:
        raise CdbmakeError(f"{found!r} where {what!r} should be: the lengths do not fit the data")
