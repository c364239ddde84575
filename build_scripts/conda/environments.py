"""Index channels and install from them, with rattler."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path


def index(channel: Path) -> None:
    """Write a channel's list of packages."""
    _rattler(f"await rattler.index.index_fs({str(channel)!r})")


def install(channels: Sequence[Path], specs: Sequence[str], prefix: Path) -> None:
    """Solve and install an environment."""
    uris = [channel.as_uri() for channel in channels]
    _rattler(
        f"records = await rattler.solve({uris!r}, {list(specs)!r},"
        " virtual_packages=rattler.VirtualPackage.detect(), gateway=rattler.Gateway(show_progress=False))\n"
        f"    await rattler.install(records, {str(prefix)!r}, show_progress=False)"
    )


def _rattler(action: str) -> None:
    """Run rattler in a process of its own, which ends without cleaning up, because that can crash."""
    program = (
        "import asyncio, os, sys, rattler, rattler.index\n"
        f"async def main():\n    {action}\n"
        "asyncio.run(main())\nsys.stdout.flush()\nos._exit(0)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
