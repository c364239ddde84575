"""The format of new databases, a setting; and `Schema`, for applications of older releases that look here.

The database itself is in `zlmdb.orm.database`, schemas from YAML files are in `zlmdb.orm.schema_files`.
"""

from __future__ import annotations

from typing import Any

DEFAULT_LIB_VERSION = "1.0"
"""The LMDB format of new databases that are created without ``lib_version``; read whenever one is."""

_LIB_VERSION_TO_MAJOR = {"0.9": 0, "1.0": 1}
"""LMDB's major version for each ``lib_version``."""


def __getattr__(name: str) -> Any:
    """Import `Schema` when it is used (PEP 562): this module rests on nothing."""
    if name == "Schema":
        from importlib import import_module

        return import_module("zlmdb.orm.schema_files").Schema
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
