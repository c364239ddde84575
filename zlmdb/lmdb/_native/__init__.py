"""The compiled glue: `ffi` and `lib` of the CFFI module built from the C sources beside this file."""

from __future__ import annotations

try:
    # The module below imports it where no tool sees it that looks for what a program needs, to freeze it.
    import _cffi_backend  # noqa: F401

    from zlmdb.lmdb._native._lmdb_cffi import ffi as ffi
    from zlmdb.lmdb._native._lmdb_cffi import lib as lib
except ImportError as error:
    from zlmdb._installation import without_module

    raise ImportError(without_module(error), name=error.name, path=error.path) from error

lib.zl_init()
