"""Two functions of the runtime that every read of a table goes through, with the same results in less time.

Like ``import_numpy`` they are set from outside the runtime's files, which are as published.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from struct import Struct
    from typing import Any

MAX_OFFSET = 2**32 - 1


def get(packer_type: Struct, buf: Any, head: int) -> Any:
    """Return the value at ``buf[head]``, in place of ``encode.Get``: without a memoryview of its own."""
    return packer_type.unpack_from(buf, head)[0]


def init_table(self: Any, buf: Any, pos: int) -> None:
    """Make a table of a buffer, in place of ``Table.__init__``: the offset is checked without a call."""
    if not 0 <= pos <= MAX_OFFSET:
        raise TypeError(f"bad number {pos} for type uint32")
    self.Bytes = buf
    self.Pos = pos
