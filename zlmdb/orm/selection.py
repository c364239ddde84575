"""Ranges of records, to be iterated over."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar

from zlmdb.lmdb.errors import Error as LmdbError
from zlmdb.orm.errors import DecodeError, Error

if TYPE_CHECKING:
    from zlmdb.orm.codec import RecordCodec
    from zlmdb.orm.raw import RawTransaction

R_co = TypeVar("R_co", covariant=True)


class Selection(Generic[R_co]):
    """A range of the records of a map, as `PersistentMap.select` returns it.

    Each iteration begins at the start and reads what the transaction contains by then. It reads ahead in
    batches, and still sees what is written in the transaction meanwhile. ``next()`` of the selection itself
    goes on with the iteration that began last, or begins one.

    Args:
        codec: Of the records.
        raw: An open transaction.
        bounds: Arguments of `zlmdb.lmdb.Transaction.items` that make the range.
        sizes: Leave out record keys that have another number of bytes; None: leave out none.
        keys: Whether to return the keys.
        values: Whether to return the values.
    """

    def __init__(
        self,
        codec: RecordCodec[Any, Any],
        raw: RawTransaction,
        bounds: dict[str, Any],
        sizes: range | None,
        keys: bool,
        values: bool,
    ) -> None:
        self._codec = codec
        self._raw = raw
        self._bounds = bounds
        self._sizes = sizes
        self._keys = keys
        self._values = values
        self._latest: Iterator[R_co] | None = None

    def __iter__(self) -> Iterator[R_co]:
        # The iterators are no methods, which would refer to this object, and it to them.
        codec, raw = self._codec, self._raw
        latest: Iterator[R_co]
        if not self._values:
            decode = codec.decode_key if self._keys else _nothing
            latest = _decoded_keys(codec, raw, self._found("keys", len), decode)
        elif self._keys:
            latest = _decoded_items(codec, raw, self._found("items", _key_size))
        elif self._sizes is None:
            latest = _decoded_values(codec, raw, self._found("values", len), self._bounds)
        else:
            latest = map(itemgetter(1), _decoded_items(codec, raw, self._found("items", _key_size)))
        self._latest = latest
        return latest

    def __next__(self) -> R_co:
        return next(self._latest or iter(self))

    def _found(self, method: str, key_size: Callable[[Any], int]) -> Iterator[Any]:
        """Return what a method of LMDB's transaction finds in the range."""
        find: Callable[..., Iterator[Any]] = getattr(self._raw.opened(), method)
        sizes = self._sizes
        if sizes is None:
            return find(**self._bounds)
        found = find(**{**self._bounds, "limit": None})
        return islice((item for item in found if key_size(item) in sizes), self._bounds["limit"])

    def __repr__(self) -> str:
        what = "records" if self._keys and self._values else "keys" if self._keys else "values"
        order = ", in reverse" if self._bounds["reverse"] else ""
        return f"<Selection of {what} of {self._codec}{order}>"


def _key_size(item: tuple[Any, Any]) -> int:
    return len(item[0])


def _value_decoder(codec: RecordCodec[Any, Any], raw: RawTransaction) -> Callable[[Any], Any]:
    """Return the function that makes a value of data, if they are not empty."""
    return codec.load_view if raw.buffers else codec.load


def _decoded_keys(
    codec: RecordCodec[Any, Any], raw: RawTransaction, found: Iterator[Any], decode: Callable[[bytes], Any]
) -> Iterator[Any]:
    record_key = b""
    try:
        for record_key in found:
            yield decode(record_key)
    except LmdbError as error:
        _stopped(raw, error)
    except Exception as error:
        raise codec.undecodable(record_key, error) from error


def _decoded_values(
    codec: RecordCodec[Any, Any], raw: RawTransaction, found: Iterator[Any], bounds: dict[str, Any]
) -> Iterator[Any]:
    decode = _value_decoder(codec, raw)
    try:
        for data in found:
            yield decode(data) if data else None
    except LmdbError as error:
        _stopped(raw, error)
    except Exception as error:
        raise _undecodable_value(codec, raw, bounds, error) from error


def _decoded_items(
    codec: RecordCodec[Any, Any], raw: RawTransaction, found: Iterator[tuple[Any, Any]]
) -> Iterator[Any]:
    decode, load = codec.decode_key, _value_decoder(codec, raw)
    record_key, data = b"", None
    try:
        for record_key, data in found:
            yield decode(record_key), load(data) if data else None
    except LmdbError as error:
        _stopped(raw, error)
    except Exception as error:
        raise codec.undecodable(record_key, error, data) from error


def _stopped(raw: RawTransaction, error: LmdbError) -> NoReturn:
    """Raise what has ended an iteration."""
    raw.opened()
    raw.refuse(error)


def _undecodable_value(
    codec: RecordCodec[Any, Any], raw: RawTransaction, bounds: dict[str, Any], error: Exception
) -> Error:
    """Return the exception for a value that cannot be decoded, after looking for its key."""
    decode = _value_decoder(codec, raw)
    for record_key, data in raw.opened().items(**bounds):
        try:
            if data:
                decode(data)
        except Exception:  # noqa: BLE001 (it is the one)
            return codec.undecodable(record_key, error, data)
    return DecodeError(f"{codec}: a record cannot be decoded: {type(error).__name__}: {error}")


def _nothing(_data: object) -> None:
    return None
