"""The package indexes, and how to reach them, as pip is configured on this machine.

Whoever builds behind a mirror or a proxy has told pip about it; nothing else needs to be told.
"""

import ast
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from .errors import FetchError

# Later sections override earlier ones, as in pip: files before the environment.
SECTIONS = ("global", "download", "install", ":env:")


@dataclass(frozen=True)
class PipSettings:
    """What pip's configuration files and PIP_ environment variables say about package indexes."""

    indexes: tuple[str, ...]
    """URLs of package indexes, the main one first."""
    find_links: tuple[str, ...]
    """Folders, pages or URLs that list archives."""
    trusted_hosts: tuple[str, ...]
    certificates: str | None
    """A file of certificate authorities; None for the system's."""
    proxy: str | None


def read_pip_settings() -> PipSettings:
    """Ask pip for its configuration.

    Raises:
        FetchError: pip is not installed for this interpreter.
    """
    options = _options(_run("-m", "pip", "config", "list"))
    default = "from pip._internal.models.index import PyPI; print(PyPI.simple_url)"
    main = options.get("index-url") or _run("-c", default).strip()
    indexes = (main, *options.get("extra-index-url", "").split())
    return PipSettings(
        indexes=() if options.get("no-index", "").lower() in {"1", "true", "yes", "on"} else indexes,
        find_links=tuple(options.get("find-links", "").split()),
        trusted_hosts=tuple(options.get("trusted-host", "").split()),
        certificates=options.get("cert"),
        proxy=options.get("proxy"),
    )


def _options(listing: str) -> Mapping[str, str]:
    """Merge the lines (`section.option='value'`) that `pip config list` prints."""
    found: dict[str, dict[str, str]] = {section: {} for section in SECTIONS}
    for line in listing.splitlines():
        key, _, value = line.partition("=")
        section, _, option = key.partition(".")
        if section in found:
            found[section][option] = ast.literal_eval(value)
    return {option: value for section in SECTIONS for option, value in found[section].items()}


def _run(*arguments: str) -> str:
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        reason = done.stderr.strip().rpartition("\n")[2] or f"exit status {done.returncode}"
        raise FetchError(f"pip cannot be asked for its package index: {reason}")
    return done.stdout
