"""The time that every file in a package gets, so that building again makes the same package."""

import os
import subprocess
from pathlib import Path


def source_date_epoch(tree: Path) -> str:
    """Return seconds since 1970: `$SOURCE_DATE_EPOCH`, else the time of the commit, else of the sdist."""
    if set_by_user := os.environ.get("SOURCE_DATE_EPOCH"):
        return set_by_user
    if (tree / ".git").exists():
        command = ["git", "-C", str(tree), "log", "-1", "--format=%ct"]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    return str(int((tree / "PKG-INFO").stat().st_mtime))
