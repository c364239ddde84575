"""Bytes in and out: arguments of any buffer type, and memoryviews on LMDB's own pages that cannot dangle."""

from __future__ import annotations

import weakref
from contextlib import suppress
from typing import Any

from zlmdb.lmdb._native import ffi
from zlmdb.lmdb.errors import BAD_VALSIZE, BadValsizeError

_buffer = ffi.buffer


def as_bytes(value: object, name: str) -> bytes:
    """`value` as bytes, for arguments that are not bytes already.

    Args:
        value: any C-contiguous object of the buffer protocol.
        name: what the argument is called, for the message.

    Raises:
        TypeError: it is None, a str, not a buffer, or not contiguous.
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
        BadValsizeError: the key is None.
        TypeError: one of them is not a C-contiguous buffer.
    """
    if key is None:
        raise BadValsizeError("The key must be given, not None", BAD_VALSIZE)
    return as_bytes(key, "key"), b"" if value is None else as_bytes(value, "value")


class Views:
    """The memoryviews that a transaction with `buffers=True` has handed out.

    They look straight at LMDB's pages, which are only valid until the transaction ends: `release()` makes
    each of them raise ValueError from then on.  What a user has derived from one (a slice, a NumPy array)
    cannot be released; `release()` reports whether such are alive, and the environment then keeps the range
    readable when it unmaps the file.
    """

    __slots__ = ("_limit", "_refs")

    def __init__(self) -> None:
        self._refs: list[tuple[weakref.ref[memoryview], weakref.ref[Any]]] = []
        self._limit = 256

    def on(self, pointer: Any, length: int) -> memoryview:
        """A read-only memoryview on `length` bytes at the C pointer."""
        exporter = _buffer(pointer, length)
        view = memoryview(exporter).toreadonly()
        refs = self._refs
        refs.append((weakref.ref(view), weakref.ref(exporter)))
        if len(refs) > self._limit:
            self._refs = [pair for pair in refs if pair[1]() is not None]
            self._limit = 2 * len(self._refs) + 256
        return view

    def release(self) -> bool:
        """Release every view; True if something derived from one is still alive."""
        refs, self._refs = self._refs, []
        for view_ref, _ in refs:
            view = view_ref()
            if view is not None:
                with suppress(BufferError):  # something exports it: counted below
                    view.release()
                del view
        return any(exporter() is not None for _, exporter in refs)
