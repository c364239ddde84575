"""Bytes as text for people."""

from __future__ import annotations

import string

_PRINTABLE = frozenset(string.printable)


def isprint(c: str) -> bool:
    """Whether the character `c` can be shown as it is."""
    return c in _PRINTABLE and ord(c) > 16


def xxd(s: bytes) -> str:
    """Return `s` as a hex dump, as the command of that name prints it."""
    lines = []
    for start in range(0, len(s), 16):
        row = s[start : start + 16]
        words = " ".join(row[i : i + 2].hex() for i in range(0, len(row), 2))
        text = "".join(c if isprint(c) else "." for c in row.decode("latin-1"))
        lines.append(f"{start:07x}: {words:<39}  {text}")
    return "\n".join(lines) + "\n"
