"""Points in time as parts of keys: numpy's, which is imported when one is used."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from zlmdb.orm.errors import DependencyError
from zlmdb.orm.parts import Part

if TYPE_CHECKING:
    import numpy as np


class TimestampPart(Part["np.datetime64"]):
    """A point in time in nanoseconds; `native` stores it in the byte order of the host, which seldom sorts.

    Other units are converted. Times before 1970 sort after the others: their integer is negative.
    """

    name = "Timestamp"
    type_name = "numpy.datetime64"
    size = 8

    def __init__(self, native: bool = False) -> None:
        self.order: Literal["little", "big"] = sys.byteorder if native else "big"
        self.sorts = self.order == "big"
        self.layout = f"int64 (nanoseconds since 1970), {'host byte order' if native else 'big-endian'}"
        self._step = 1 if self.order == sys.byteorder else -1

    @cached_property
    def _datetime64(self) -> type[np.datetime64]:
        try:
            from numpy import datetime64
        except ImportError as error:
            raise DependencyError(
                "Timestamps need numpy; install it with: python -m pip install 'zlmdb[numpy]'"
            ) from error
        return datetime64

    @cached_property
    def _nanoseconds(self) -> np.dtype[np.datetime64]:
        return self._datetime64(0, "ns").dtype

    def encode(self, value: np.datetime64) -> bytes:
        """Return the bytes of a `numpy.datetime64`."""
        if not isinstance(value, self._datetime64):
            raise self._refused("a numpy.datetime64", value)
        if value.dtype != self._nanoseconds:
            value = self._converted(value)
        return bytes(value)[:: self._step]  # type: ignore[call-overload,no-any-return]

    def _converted(self, value: np.datetime64) -> np.datetime64:
        with suppress(OverflowError):  # raised by newer numpy, older ones return some other time
            converted = value.astype(self._nanoseconds)
            if converted.astype(value.dtype) == value or value != value:  # the latter for NaT
                return converted
        raise self._refused("a time that is exact in nanoseconds, from 1677-09-22 to 2262-04-11", value)

    def decode(self, data: bytes) -> np.datetime64:
        """Return the time, with unit ns."""
        if len(data) != 8:
            self._sized(data)
        return self._datetime64(int.from_bytes(data, self.order, signed=True), "ns")

    def new(self) -> np.datetime64:
        """Return the current time."""
        return self._datetime64(time.time_ns(), "ns")


Timestamp = TimestampPart()
NativeTimestamp = TimestampPart(native=True)
