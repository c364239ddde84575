"""Write the C source of the CFFI module: `emit_cffi.py <folder of the glue> <output.c>`."""

import sys
from pathlib import Path

from cffi import FFI

MODULE = "zlmdb.lmdb._native._lmdb_cffi"

# The headers of Python 3.11 and of later ones inline reference counting differently. Calling functions in its
# place makes the module of the Limited API the same, byte for byte, whichever Python it is built with.
STABLE_REFERENCE_COUNTS = """\
#ifdef Py_LIMITED_API
#include <Python.h>
#undef Py_INCREF
#undef Py_DECREF
#undef Py_XDECREF
#define Py_INCREF(object) Py_IncRef((PyObject *)(object))
#define Py_DECREF(object) Py_DecRef((PyObject *)(object))
#define Py_XDECREF(object) Py_DecRef((PyObject *)(object))
#endif
"""


def main(native: Path, output: Path) -> None:
    """Generate the module that offers Python what `api.h` and `cdef.h` in `native` declare."""
    ffi = FFI()
    for header in ("api.h", "cdef.h"):
        ffi.cdef((native / header).read_text(encoding="utf-8"))
    ffi.set_source(MODULE, '#include "glue.h"')
    ffi.emit_c_code(str(output))
    output.write_text(STABLE_REFERENCE_COUNTS + output.read_text(encoding="utf-8"), encoding="utf-8")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
