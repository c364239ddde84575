"""What to do about a part of zLMDB that is missing, which depends on how zLMDB came here.

It is installed, or lies in a source tree; or a tool has put it into a program of one piece ("frozen" it) and
has left something out; or it is imported from a zip archive, where files have no path.
"""

from __future__ import annotations

import sys

GUIDE = "https://github.com/crossbario/zlmdb/blob/HEAD/docs/frozen.md"


def is_frozen() -> bool:
    """Tell if a program is frozen. PyInstaller and cx_Freeze say so in `sys`, Nuitka in each module."""
    return bool(getattr(sys, "frozen", False)) or "__compiled__" in globals()


def archive() -> str:
    """Return the path of the zip archive that zLMDB is imported from; empty if it is not."""
    path: str = getattr(globals().get("__loader__"), "archive", "")
    return path


def without_module(error: ImportError) -> str:
    """Return the message for a native module, or one that it needs, that cannot be imported."""
    name = error.name or ""
    missing = isinstance(error, ModuleNotFoundError)
    if name == "_cffi_backend":
        reason, repair = "zlmdb needs cffi", "Install it with: python -m pip install --force-reinstall cffi"
    elif missing:
        reason = "zlmdb's native module is not built here"
        repair = (
            "In a source tree run 'python -m pip install -e .'; otherwise reinstall zlmdb, and do not start "
            "Python in a directory with an unbuilt zlmdb/ folder."
        )
    else:
        reason = "zlmdb's native module cannot be loaded"
        repair = (
            "It may be for another Python or another system than this one; install zlmdb with this one: "
            "python -m pip install --force-reinstall zlmdb"
        )
    if missing and is_frozen():
        repair = (
            f"This program was frozen without it. Freeze it with '--hidden-import {name}' (PyInstaller), "
            f"'--include-module={name}' (Nuitka) or '{name}' among the includes (cx_Freeze); see {GUIDE}"
        )
    elif missing and archive():
        repair = _outside_of(archive())
    return f"{reason}: {error}. {repair}"


def without_file(repair: str) -> str:
    """Return what to do about a data file that is missing: `repair`, where zLMDB is simply installed."""
    if is_frozen():
        return f"This program was frozen without it; how tools take it along is told in {GUIDE}"
    return _outside_of(archive()) if archive() else repair


def _outside_of(archive: str) -> str:
    return (
        f"zlmdb is imported from the archive {archive}, and has to be in a folder: unpack the archive, or "
        "make it with a tool that has it unpacked when it runs, such as shiv or pex."
    )
