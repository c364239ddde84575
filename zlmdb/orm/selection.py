"""Ranges of records, to be iterated over."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar

from zlmdb.lmdb.errors import Error as LmdbError
from zlmdb.orm.errors import DecodeError

if TYPE_CHECKING:
    from zlmdb.orm.records import Records
    from zlmdb.orm.transaction import Transaction

R_co = TypeVar("R_co", covariant=True)


class Selection(Generic[R_co]):
    """A range of the records of a map, as `PersistentMap.select` returns it.

    Each iteration begins at the start and reads what the transaction contains by then. It reads ahead in
    batches, and still sees what is written in the transaction meanwhile.

    Args:
        records: The map.
        txn: An open transaction.
        bounds: Arguments of `zlmdb.lmdb.Transaction.items` that make the range.
        keys: Whether to return the keys.
        values: Whether to return the values.
    """

    def __init__(
        self, records: Records[Any, Any], txn: Transaction, bounds: dict[str, Any], keys: bool, values: bool
    ) -> None:
        self._records = records
        self._txn = txn
        self._bounds = bounds
        self._keys = keys
        self._values = values

    def __iter__(self) -> Iterator[R_co]:
        txn = self._txn._opened()
        if not self._values:
            return self._decoded_keys(txn.keys(**self._bounds))
        if self._keys:
            return self._decoded_items(txn.items(**self._bounds))
        return self._decoded_values(txn.values(**self._bounds))

    def _value_decoder(self) -> Callable[[Any], Any]:
        """Return the function that makes a value of data, if they are not empty."""
        return self._records._load_view if self._txn._buffers else self._records._load

    def _decoded_keys(self, found: Iterator[Any]) -> Iterator[Any]:
        decode = self._records._key_in if self._keys else _nothing
        record_key = b""
        try:
            for record_key in found:
                yield decode(record_key)
        except LmdbError as error:
            self._stopped(error)
        except Exception as error:
            raise self._records._undecodable(record_key, error) from error

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
        decode, load = self._records._key_in, self._value_decoder()
        record_key = b""
        try:
            for record_key, data in found:
                yield decode(record_key), load(data) if data else None
        except LmdbError as error:
            self._stopped(error)
        except Exception as error:
            raise self._records._undecodable(record_key, error) from error

    def _stopped(self, error: LmdbError) -> NoReturn:
        """Raise what has ended an iteration."""
        self._txn._opened()
        self._txn._refuse(error)

    def _undecodable_value(self, error: Exception) -> DecodeError:
        """Return the exception for a value that cannot be decoded, after looking for its key."""
        decode = self._value_decoder()
        for record_key, data in self._txn._opened().items(**self._bounds):
            try:
                if data:
                    decode(data)
            except Exception:  # noqa: BLE001 (it is the one)
                return self._records._undecodable(record_key, error)
        return DecodeError(f"{self._records}: a record cannot be decoded: {type(error).__name__}: {error}")


def _nothing(_data: object) -> None:
    return None
