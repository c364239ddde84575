"""Download the archive of an origin. A published sdist is found by name, and its build is never run.

pip cannot do that: `pip download` runs the build to learn the metadata, and some builds compile for minutes.
"""

import logging
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import FetchError
from .pins import Origin
from .pip_settings import PipSettings, read_pip_settings

if TYPE_CHECKING:
    from unearth import Link
    from unearth.fetchers import PyPIClient


def download(origin: Origin, folder: Path) -> Path:
    """Download the archive of `origin` into `folder`, and return its path.

    If the pin gives a hash for the archive, it has been checked.

    Raises:
        FetchError: It cannot be had.
    """
    try:
        # Building from our own sdist needs no download, and does without this package.
        from unearth import Link
        from unearth.preparer import download_link
    except ImportError as error:
        raise FetchError(f"downloads need the package unearth: {error}") from error
    settings = read_pip_settings()
    with _client(settings) as client:
        link = _find_sdist(origin, client, settings) if origin.sdist else Link(origin.archive)
        try:
            return Path(
                download_link(client, link, folder, {"sha256": [origin.sha256]} if origin.sha256 else None)
            )
        except Exception as error:  # Whatever went wrong here, the next origin may do better.
            raise FetchError(f"{type(error).__name__}: {error}") from error


def _find_sdist(origin: Origin, client: "PyPIClient", settings: PipSettings) -> "Link":
    """Look for the sdist wherever pip would. FetchError gives a reason for each place."""
    from unearth import Link, PackageFinder

    places = [("index_urls", url) for url in settings.indexes]
    places += [("find_links", url) for url in settings.find_links]
    reasons: list[str] = []
    for kind, url in places:
        with _warnings() as reason:
            try:
                finder = PackageFinder(
                    client,
                    **{kind: [url]},
                    trusted_hosts=settings.trusted_hosts,
                    no_binary=[origin.sdist],
                    ignore_compatibility=True,  # An sdist for another Python can be read all the same.
                )
                if best := finder.find_best_match(origin.requirement).best:
                    return best.link
            except Exception as error:  # noqa: BLE001 - pip, too, skips such a place with a warning.
                reason.append(f"{type(error).__name__}: {error}")
        reasons.append(f"{Link(url).redacted}: {'; '.join(reason) or 'not found'}")
    raise FetchError("\n    ".join(["not where pip is configured to look:", *reasons]))


def _client(settings: PipSettings) -> "PyPIClient":
    from unearth.fetchers import PyPIClient

    return PyPIClient(
        trusted_hosts=settings.trusted_hosts,
        verify=ssl.create_default_context(cafile=settings.certificates),
        proxy=settings.proxy,
        timeout=60,
        follow_redirects=True,
    )


@contextmanager
def _warnings() -> Iterator[list[str]]:
    """Collect what unearth logs about places that it could not read: reasons to give if nothing is found."""
    messages: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: messages.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("unearth")
    logger.addHandler(handler)
    try:
        yield messages
    finally:
        logger.removeHandler(handler)
