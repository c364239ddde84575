"""What PyInstaller is to know of zLMDB. It finds this through the entry point ``pyinstaller40``.

See https://pyinstaller.org/en/stable/hooks.html.
"""

from __future__ import annotations

import os


def get_hook_dirs() -> list[str]:
    """Return the directory with the hook, which is this one."""
    return [os.path.dirname(__file__)]
