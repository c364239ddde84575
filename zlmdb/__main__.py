"""``python -m zlmdb ARGS``: the ``zlmdb`` command, for when the script is not on the PATH."""

from zlmdb.cli import main

if __name__ == "__main__":
    main(prog_name="zlmdb")
