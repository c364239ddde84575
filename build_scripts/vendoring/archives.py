"""Read the files of a component from the archives that hold them."""

import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

from .download import download
from .errors import FetchError
from .pins import Origin


class Archives:
    """The archives of origins, each downloaded at most once although it may serve several components.

    `folder` receives the downloads. `local` gives files to use in place of a download, by `str(origin)`.
    """

    def __init__(self, folder: Path, local: Mapping[str, Path] | None = None) -> None:
        self._folder = folder
        self._found: dict[str, Path | FetchError] = {**(local or {})}

    def read(self, origin: Origin, wanted: Callable[[str], bool]) -> dict[str, bytes]:
        """Return the contents, by name, of the files that `origin` holds of a component and `wanted` accepts.

        Raises:
            FetchError: The archive cannot be had or read.
        """
        files: dict[str, bytes] = {}
        path = self.path(origin)
        try:
            with tarfile.open(path) as archive:
                for member in archive:
                    name = origin.name_of(member.name.partition("/")[2])
                    if name and wanted(name) and (file := archive.extractfile(member)):
                        files[name] = file.read()
        except (tarfile.TarError, EOFError, OSError) as error:
            raise FetchError(f"the archive cannot be read: {error}") from error
        return files

    def path(self, origin: Origin) -> Path:
        """Return where the archive of `origin` lies, downloaded if need be.

        Raises:
            FetchError: It cannot be downloaded.
        """
        key = str(origin)
        if key not in self._found:
            try:
                self._found[key] = download(origin, self._folder)
            except FetchError as error:
                self._found[key] = error
        found = self._found[key]
        if isinstance(found, FetchError):
            raise found
        return found
