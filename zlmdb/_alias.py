"""One set of modules under two names: of a package and of its alias.

Putting a package into ``sys.modules`` under a second name does not do for its submodules. Python would find
them again along the package's path, as modules of their own: an object made by the one would be no instance
of the other's class, and a patch of the one would not reach the other.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.machinery import ModuleSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType


class AliasFinder:
    """Finds and loads the submodules of a package by the name of its alias.

    It stands before the finders of files, is asked once a submodule, and then only while the alias is the
    package. It hands out the submodule itself, so that another thread that imports it meanwhile sees no
    stand-in.

    Args:
        alias: The other name, which is in ``sys.modules``.
        package: The package's own name.
    """

    def __init__(self, alias: str, package: str) -> None:
        self.alias = alias
        self.package = package

    def install(self) -> None:
        """Stand before all other finders, unless installed already."""
        if self not in sys.meta_path:
            sys.meta_path.insert(0, self)

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:  # noqa: ARG002
        """Return how to import `name`; None if that is no submodule by the alias."""
        if not name.startswith(f"{self.alias}."):
            return None
        if sys.modules.get(self.alias) is not sys.modules.get(self.package):
            return None
        from importlib.util import find_spec

        own = find_spec(self.package + name.removeprefix(self.alias))
        if own is None:
            return None
        # Typed as if loaders were classes of `importlib.abc`, which is slow to import.
        spec = ModuleSpec(name, self, origin=own.origin, loader_state=own.name)  # type: ignore[arg-type]
        spec.submodule_search_locations = own.submodule_search_locations
        return spec

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Return the submodule, imported by its own name."""
        module = import_module(spec.loader_state)
        spec.loader_state = module.__spec__  # the import system is about to replace it
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Give the submodule, which has run already, its own spec back."""
        alias = module.__spec__
        if alias is not None and alias.name.startswith(f"{self.alias}."):
            module.__spec__ = alias.loader_state
