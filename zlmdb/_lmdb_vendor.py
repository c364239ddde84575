"""The binding's former name: `zlmdb._lmdb_vendor` is `zlmdb.lmdb`, and its submodules are that one's, too.

Programs name `zlmdb._lmdb_vendor.tool`, for example, to patch it, which works only on the module in use. A
submodule is imported when it is first asked for, under either name.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader
from types import ModuleType

from zlmdb import lmdb

_PREFIX = __name__ + "."


class _Alias(MetaPathFinder, Loader):
    """Finds `zlmdb._lmdb_vendor.x`, which is `zlmdb.lmdb.x`."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,  # noqa: ARG002
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        return spec_from_loader(fullname, self) if fullname.startswith(_PREFIX) else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = import_module(f"{lmdb.__name__}.{spec.name.removeprefix(_PREFIX)}")
        spec.loader_state = module.__spec__  # the import system is about to replace it
        return module

    def exec_module(self, module: ModuleType) -> None:
        alias = module.__spec__
        if alias is not None:
            module.__spec__ = alias.loader_state


sys.meta_path.insert(0, _Alias())
sys.modules[__name__] = lmdb
