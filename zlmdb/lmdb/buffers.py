"""Arguments: buffers of any type, as the bytes that LMDB takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zlmdb.lmdb.errors import BAD_VALSIZE, BadValsizeError

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    V = TypeVar("V", bytes, memoryview, default=bytes)
else:
    from typing import TypeVar

    V = TypeVar("V")
"""What a transaction gives keys and values as."""


def as_bytes(value: object, name: str) -> bytes:
    """`value` as bytes, for arguments that are not bytes already.

    Args:
        value: Any C-contiguous object of the buffer protocol.
        name: What the argument is called, for the message.

    Raises:
        TypeError: It is None, a str, not a buffer, or not contiguous.
    """
    if isinstance(value, bytes):
        return value
    if value is None:
        raise TypeError(f"{name} must be given")
    if isinstance(value, str):
        raise TypeError(f"{name} must be bytes, not str: encode it first, for example {name}.encode()")
    try:
        view = memoryview(value)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"{name} must be bytes or another buffer, not {type(value).__name__}") from None
    with view:
        if not view.c_contiguous:
            raise TypeError(f"{name} must be a C-contiguous buffer; pass bytes({name})")
        return view.tobytes()


def as_record(key: object, value: object) -> tuple[bytes, bytes]:
    """A key and a value to be written, as bytes; None is an empty value.

    Raises:
        BadValsizeError: The key is None.
        TypeError: One of them is not a C-contiguous buffer.
    """
    if key is None:
        raise BadValsizeError("The key must be given, not None", BAD_VALSIZE)
    return as_bytes(key, "key"), b"" if value is None else as_bytes(value, "value")
