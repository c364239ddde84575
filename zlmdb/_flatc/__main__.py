"""``python -m zlmdb._flatc ARGS``: the ``flatc`` command, for when the script is not on the PATH."""

from . import main

main()
