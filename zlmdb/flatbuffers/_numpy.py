"""numpy for the FlatBuffers runtime, imported at its first use.

The stock runtime and every module that ``flatc`` generates run ``np = import_numpy()`` while they are
imported. numpy takes twenty times as long to import as all of them together, and most programs only ever
ask ``np is not None``. `import_numpy` here answers that question at once and imports numpy when one of its
attributes is read.
"""

from __future__ import annotations

import sys
from importlib.machinery import PathFinder
from types import ModuleType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class _LazyNumpy(ModuleType):
    """Stands for numpy; each attribute comes from numpy itself and is kept here.

    It never enters ``sys.modules``: code that asks there whether numpy is loaded gets the truth, and
    importing numpy elsewhere or in another thread meanwhile is not affected.
    """

    def __getattr__(self, name: str) -> Any:
        import numpy

        value = getattr(numpy, name)
        setattr(self, name, value)
        return value

    def __dir__(self) -> list[str]:
        import numpy

        return dir(numpy)


_lazy_numpy = _LazyNumpy("numpy")


def import_numpy() -> ModuleType | None:
    """Return numpy, or a stand-in that imports it at first use, or None if it is not installed.

    Replaces ``flatbuffers.compat.import_numpy`` and looks for numpy in the same way.
    """
    if sys.modules.get("numpy"):
        import numpy

        return numpy
    return _lazy_numpy if PathFinder.find_spec("numpy") is not None else None
