"""``python -m zlmdb.cli ARGS``: the ``zlmdb`` command, for when the script is not on the PATH."""

from zlmdb.cli import main

main(prog_name="zlmdb")
