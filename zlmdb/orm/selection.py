"""Ranges of records, to be iterated over."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Generic, TypeVar

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
            decode = self._key_decoder() if self._keys else _nothing
            return self._decoded(decode, txn.keys(**self._bounds))
        if self._keys:
            return self._decoded_items(txn.items(**self._bounds))
        return self._decoded(self._value_decoder(), txn.values(**self._bounds))

    def _key_decoder(self) -> Callable[[Any], Any]:
        decode = self._records._deserialize_key
        return lambda record_key: decode(record_key[2:])

    def _value_decoder(self) -> Callable[[Any], Any]:
        load = self._records._load_view if self._txn._buffers else self._records._load
        return lambda data: load(data) if data else None

    def _decoded(self, decode: Callable[[Any], Any], found: Iterator[Any]) -> Iterator[Any]:
        for data in found:
            try:
                result = decode(data)
            except Exception as error:
                raise DecodeError(f"{self._records}: a record cannot be decoded: {error}") from error
            yield result

    def _decoded_items(self, found: Iterator[tuple[Any, Any]]) -> Iterator[Any]:
        decode = self._key_decoder()
        load = self._records._load_view if self._txn._buffers else self._records._load
        for record_key, data in found:
            try:
                item = decode(record_key), load(data) if data else None
            except Exception as error:
                raise self._records._undecodable(record_key, error) from error
            yield item


def _nothing(_data: object) -> None:
    return None
