"""Ranges of records, to be iterated over."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, NoReturn, TypeVar

from zlmdb.lmdb.errors import Error as LmdbError
from zlmdb.orm.errors import DecodeError, Error
from zlmdb.orm.prefixes import Prefix

if TYPE_CHECKING:
    from zlmdb.orm.records import Records
    from zlmdb.orm.transaction import Transaction

R_co = TypeVar("R_co", covariant=True)


class Range(NamedTuple):
    """A range of the records of a map, and how it is walked.

    Attributes:
        records: The map.
        txn: An open transaction.
        start: The first record key; None: any.
        stop: The end, not included; None: any.
        prefix: What the record keys have in common.
        reverse: Whether to walk down.
        limit: At most so many; None: all.
    """

    records: Records[Any, Any]
    txn: Transaction
    start: bytes | None
    stop: bytes | None
    prefix: Prefix
    reverse: bool
    limit: int | None

    def iterate(self, keys: bool, values: bool) -> Iterator[Any]:
        """Yield the records, or their keys or values alone; as many None if neither is wanted."""
        if not values:
            return self._decoded_keys(self._raw_keys(), self.records._key_in if keys else _nothing)
        if keys:
            return self._decoded_items(self._raw_items())
        return self._decoded_values(self._raw_values())

    def _raw_keys(self) -> Iterator[Any]:
        found, size = self.txn._opened().keys(**self._bounds()), self.prefix.size
        return found if size is None else self._limited(key for key in found if len(key) == size)

    def _raw_items(self) -> Iterator[tuple[Any, Any]]:
        found, size = self.txn._opened().items(**self._bounds()), self.prefix.size
        return found if size is None else self._limited(item for item in found if len(item[0]) == size)

    def _raw_values(self) -> Iterator[Any]:
        if self.prefix.size is None:
            return self.txn._opened().values(**self._bounds())
        return map(itemgetter(1), self._raw_items())

    def _bounds(self) -> dict[str, Any]:
        """Return the arguments of `zlmdb.lmdb.Transaction.items` for the range."""
        return {
            "start": self.start,
            "stop": self.stop,
            "prefix": self.prefix.data,
            "reverse": self.reverse,
            "limit": self.limit if self.prefix.size is None else None,
        }

    def _limited(self, found: Iterator[Any]) -> Iterator[Any]:
        return islice(found, self.limit)

    def _value_decoder(self) -> Callable[[Any], Any]:
        """Return the function that makes a value of data, if they are not empty."""
        return self.records._load_view if self.txn._buffers else self.records._load

    def _decoded_keys(self, found: Iterator[Any], decode: Callable[[bytes], Any]) -> Iterator[Any]:
        record_key = b""
        try:
            for record_key in found:
                yield decode(record_key)
        except LmdbError as error:
            self._stopped(error)
        except Exception as error:
            raise self.records._undecodable(record_key, error) from error

    def _decoded_values(self, found: Iterator[Any]) -> Iterator[Any]:
        decode = self._value_decoder()
        try:
            for data in found:
                yield decode(data) if data else None
        except LmdbError as error:
            self._stopped(error)
        except Exception as error:
            raise self._undecodable_value(error) from error

    def _decoded_items(self, found: Iterator[tuple[Any, Any]]) -> Iterator[Any]:
        decode, load = self.records._key_in, self._value_decoder()
        record_key, data = b"", None
        try:
            for record_key, data in found:
                yield decode(record_key), load(data) if data else None
        except LmdbError as error:
            self._stopped(error)
        except Exception as error:
            raise self.records._undecodable(record_key, error, data) from error

    def _stopped(self, error: LmdbError) -> NoReturn:
        """Raise what has ended an iteration."""
        self.txn._opened()
        self.txn._refuse(error)

    def _undecodable_value(self, error: Exception) -> Error:
        """Return the exception for a value that cannot be decoded, after looking for its key."""
        decode = self._value_decoder()
        for record_key, data in self._raw_items():
            try:
                if data:
                    decode(data)
            except Exception:  # noqa: BLE001 (it is the one)
                return self.records._undecodable(record_key, error, data)
        return DecodeError(f"{self.records}: a record cannot be decoded: {type(error).__name__}: {error}")


class Selection(Generic[R_co]):
    """A range of the records of a map, as `PersistentMap.select` returns it.

    Each iteration begins at the start and reads what the transaction contains by then. It reads ahead in
    batches, and still sees what is written in the transaction meanwhile. ``next()`` of the selection itself
    goes on with the iteration that began last, or begins one.

    Args:
        records: The range.
        keys: Whether to return the keys.
        values: Whether to return the values.
    """

    def __init__(self, records: Range, keys: bool, values: bool) -> None:
        self._range = records
        self._keys = keys
        self._values = values
        self._latest: Iterator[R_co] | None = None

    def __iter__(self) -> Iterator[R_co]:
        latest = self._latest = self._range.iterate(self._keys, self._values)
        return latest

    def __next__(self) -> R_co:
        return next(self._latest or iter(self))

    def __repr__(self) -> str:
        what = "records" if self._keys and self._values else "keys" if self._keys else "values"
        order = ", in reverse" if self._range.reverse else ""
        return f"<Selection of {what} of {self._range.records}{order}>"


def _nothing(_data: object) -> None:
    return None
