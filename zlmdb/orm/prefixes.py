"""What keys begin with: as a program asks for it, and as bytes."""

from __future__ import annotations

from typing import NamedTuple

from zlmdb.orm.errors import UsageError
from zlmdb.orm.parts import shown


class StartsWith:
    """In a prefix, the beginning of a string or of bytes: of the last part that is given.

    ``prefix=("Oslo", StartsWith("A"))`` is that of all keys whose first part is "Oslo", and whose second one
    begins with "A".

    Args:
        value: The beginning; an empty one is that of every string.

    Raises:
        UsageError: It is neither a str nor bytes.
    """

    __slots__ = ("value",)

    def __init__(self, value: str | bytes) -> None:
        if not isinstance(value, str | bytes):
            raise UsageError(f"StartsWith takes the beginning of a string or of bytes, not {shown(value)}")
        self.value = value

    def __repr__(self) -> str:
        return f"StartsWith({self.value!r})"


class Prefix(NamedTuple):
    """What the keys have in common that begin with some parts.

    Attributes:
        data: The bytes that they begin with.
        sizes: How many bytes they may have. The end of a string that nothing marks is known by this: a longer
            key has a longer string. None: whatever begins with the bytes is meant.
    """

    data: bytes
    sizes: range | None
