"""``python -m zlmdb.lmdb``: see `zlmdb.lmdb.tool`."""

from __future__ import annotations

import os
import sys

from zlmdb.lmdb import tool

if __name__ == "__main__":
    try:
        tool.main()
        sys.stdout.flush()
    except BrokenPipeError:
        # Who reads our output has seen enough. Python must not find out again when it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(1)
