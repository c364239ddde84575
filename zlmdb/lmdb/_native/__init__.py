"""The compiled glue: `ffi` and `lib` of the CFFI module built from the C sources beside this file."""

from __future__ import annotations

from typing import Any

try:
    from zlmdb.lmdb._native import _lmdb_cffi
except ImportError as error:
    raise ImportError(
        "zlmdb's native module is not built here. In a source tree run `python -m pip install -e .`; "
        "otherwise reinstall zlmdb, and do not start Python in a directory with an unbuilt `zlmdb/` folder."
    ) from error

ffi: Any = _lmdb_cffi.ffi
lib: Any = _lmdb_cffi.lib

lib.zl_init()
