"""The names of `zlmdb.lmdb` under py-lmdb's name for its CFFI variant, which is the only one here."""

from zlmdb.lmdb import *  # noqa: F403
from zlmdb.lmdb import __all__, __version__, open  # noqa: A004

__all__ = [*__all__, "__version__", "open"]  # noqa: PLE0604
