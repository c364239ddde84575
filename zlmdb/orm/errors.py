"""The exceptions of the object layer.

All derive from `Error`. Where the interface promises a built-in exception as well (an AssertionError for a
wrong argument, a RuntimeError for a second open), the class derives from that too, so both can be caught.
Exceptions of LMDB itself, `zlmdb.lmdb.Error` and its subclasses, pass through unchanged.
"""

from __future__ import annotations

from contextlib import suppress
from functools import lru_cache
from typing import Any, TypeVar

from zlmdb.lmdb.errors import BadValsizeError, KeyExistsError, MapFullError, ReadonlyError


class Error(Exception):
    """Base class of the exceptions that the object layer raises by itself."""


class UsageError(Error, AssertionError):
    """The interface was used wrongly: a bad argument, a closed database, a transaction that is not open."""


class EncodeError(UsageError):
    """A key or value that its codec cannot store; nothing was written."""


class DecodeError(Error, ValueError):
    """A stored record that cannot be read: by its codec, or by a function of the application's."""


class KeyLengthError(BadValsizeError, EncodeError):
    """A key, or the key of an index record, that is longer than LMDB takes; nothing was written."""


class NullValueConstraint(Error, RuntimeError):  # noqa: N818 (the established name)
    """An index that is not nullable got a null; nothing was written."""


class UniqueValueConstraint(Error, RuntimeError):  # noqa: N818 (named after its sibling)
    """A unique index has this value already, for another record; nothing was written."""


class RecordExistsError(KeyExistsError, Error):
    """A record was to be inserted, and its key has one; nothing was written."""


class MissingRecordError(Error, KeyError):
    """A record was to be taken out of a map, and there is none."""

    __str__ = Exception.__str__  # KeyError's shows the text in quotes


class UnsupportedError(Error, NotImplementedError):
    """What dicts can do and maps cannot: a map is read and written in a transaction only."""


class IndexFunctionError(Error):
    """The function of an index has failed for a value; nothing was written."""


class IncompleteIndexError(Error, RuntimeError):
    """An index that lacks the records which its map had before: it is to be rebuilt."""


class IndexDefinitionError(Error):
    """An index cannot be attached, or is not known."""


class TableIdError(UsageError, ValueError):
    """The ID of a table is not a UUID."""


class TableError(Error, TypeError):
    """A class that cannot serve as a table: not a map class, or without the `table` decorator."""


class SlotError(Error, RuntimeError):
    """A slot that is missing, or of which the database says something else than the class."""


class OpenError(Error, RuntimeError):
    """A database that cannot be opened now: open in this process already, or locked."""


class FormatError(Error, ValueError):
    """A database format that does not exist, or is not the one asked for."""


class ReadOnlyError(ReadonlyError, Error):
    """A write to what is open for reading only: a database, or a transaction."""


class BackupError(Error, RuntimeError):
    """A copy that could not be made, or that failed its verification."""


class DependencyError(Error, ImportError):
    """An optional package is needed and missing."""


class DatabaseFullError(MapFullError, Error):
    """The database has reached the size that it was limited to. The transaction must be aborted."""


E = TypeVar("E", bound=Error)

_MISTAKEN = (KeyError, StopIteration, StopAsyncIteration)
"""What is taken for a missing record, such as by `collections.ChainMap`, or for the end of an iteration."""


def caused(
    kind: type[E], text: str, cause: Exception, mistaken: tuple[type[Exception], ...] = _MISTAKEN
) -> E:
    """Return an exception of a kind that can also be caught, and asked, as the one that caused it.

    What an application's own functions raise, such as ``marshal``, it may well catch by its own type; but not
    what is mistaken for something else.
    """
    error: E = _both((kind, type(cause)), mistaken)(text)
    error.__dict__.update(cause.__dict__)
    return error


@lru_cache(maxsize=100)
def _both(classes: tuple[type[Error], type[Exception]], mistaken: tuple[type[Exception], ...]) -> Any:
    """Return a subclass of both, or of the first and the first base of the second that allows it."""
    kind, cause = classes
    members = {
        "__doc__": kind.__doc__,
        "__module__": kind.__module__,
        "__init__": Exception.__init__,
        "__str__": Exception.__str__,
        "__reduce__": lambda self: (kind, self.args),  # no module has the subclass
    }
    for base in cause.__mro__:
        if issubclass(kind, base):
            break
        if not issubclass(base, mistaken):
            with suppress(TypeError):  # some exceptions of Python are made by their own constructor only
                both = type(kind.__name__, (kind, base), members)
                both("")
                return both
    return kind


def described(function: Any) -> str:
    """Return the name of an application's function, and where it stands if that does not tell."""
    name = getattr(function, "__qualname__", None) or repr(function)
    code = getattr(function, "__code__", None)
    place = f", {code.co_filename}:{code.co_firstlineno}" if code is not None else ""
    return f"{name}{place}"
