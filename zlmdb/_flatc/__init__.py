"""Find and run the bundled FlatBuffers compiler, ``flatc``.

The binary belongs to the same FlatBuffers release as the runtime in `zlmdb.flatbuffers`
(`zlmdb.flatbuffers.check` proves it). Importing this module is cheap: everything but the path
arithmetic is imported where it is used, because the ``flatc`` command pays for every import.

>>> run_flatc(["--version"])  # prints "flatc version 25.12.19"
0

See https://flatbuffers.dev/flatc/ for what ``flatc`` itself accepts.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path
    from typing import NoReturn

__all__ = ["get_flatc_path", "main", "run_flatc"]


def get_flatc_path() -> Path:
    """Return the path of the bundled ``flatc`` binary.

    Raises:
        FileNotFoundError: The binary is missing, so the installation is incomplete.
    """
    from pathlib import Path

    return Path(_binary())


def run_flatc(args: list[str], cwd: str | os.PathLike[str] | None = None) -> int:
    """Run ``flatc`` as a child process, sharing this process's standard streams.

    Args:
        args: Command-line arguments, without the program name.
        cwd: Directory to run in; relative paths in ``args`` count from there. Default: the current one.

    Returns:
        The exit status of ``flatc``: 0 on success, 1 on error, minus the signal's number if one ended it.

    Raises:
        FileNotFoundError: The binary or ``cwd`` is missing.
        OSError: The binary cannot be executed here.
    """
    import subprocess

    return subprocess.call([_binary(), *args], cwd=cwd)


def main() -> NoReturn:
    """Run ``flatc`` with this process's arguments (``sys.argv[1:]``): the ``flatc`` console command.

    The installed command is replaced by the binary (POSIX ``exec``), so it costs no second process and
    dies of the same signals. A program that calls `main` itself keeps running: there ``flatc`` is a child
    process, and its exit status comes back as `SystemExit`.

    Raises:
        SystemExit: With the exit status of ``flatc``; 1, after a message on standard error, if the binary
            is missing or cannot be executed.
    """
    try:
        if _is_console_command():
            _exec(sys.argv[1:])
        status = run_flatc(sys.argv[1:])
    except OSError as error:
        print(f"flatc: {error}", file=sys.stderr)
        status = 1
    raise SystemExit(status)


def _binary() -> str:
    """Return the path of the binary as a string; raise `FileNotFoundError` if there is none."""
    name = "flatc.exe" if os.name == "nt" else "flatc"
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "bin", name)
    if os.path.isfile(path):
        return path
    from .._installation import without_file

    repair = without_file(
        "Reinstall it with: python -m pip install --force-reinstall zlmdb "
        "(in a source tree: python -m pip install -e .)"
    )
    raise FileNotFoundError(f"the FlatBuffers compiler is missing: no file {path}. {repair}")


def _is_console_command() -> bool:
    """Tell whether `main` was called by the ``flatc`` script, so that nobody would miss this process.

    The script is a file named ``flatc`` whose top level is the outermost frame of the process: a program
    that merely runs the script (a test, a debugger, ``runpy``) has frames of its own below it. Windows is
    out: its ``exec`` starts a new process that the caller's shell does not wait for.
    """
    caller = sys._getframe(2)
    script = caller.f_globals.get("__file__", "")
    return os.name == "posix" and caller.f_back is None and os.path.basename(script) == "flatc"


def _exec(args: list[str]) -> NoReturn:
    """Replace this process by ``flatc``, with the signal handling Python changed for itself put back."""
    import signal

    binary = _binary()
    for ignored in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(ignored, signal.SIG_DFL)
    os.execv(binary, [binary, *args])
