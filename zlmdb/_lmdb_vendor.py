"""The binding's former name: `zlmdb._lmdb_vendor` is `zlmdb.lmdb`, and its submodules are that one's, too.

Programs name `zlmdb._lmdb_vendor.tool`, for example, to patch it, which works only on the module in use. A
submodule is imported when it is first asked for, under either name.
"""

from __future__ import annotations

import sys

from zlmdb import lmdb
from zlmdb._alias import AliasFinder

sys.modules[__name__] = lmdb
AliasFinder(__name__, lmdb.__name__).install()
