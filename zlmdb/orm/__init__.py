"""The object layer: typed persistent maps with indexes, in transactions, on LMDB.

The guide is `docs/objects.md`. Codecs for maps of one's own are in `zlmdb.orm.keys` and `zlmdb.orm.values`,
the base classes of maps in `zlmdb.orm.kinds`, the exceptions in `zlmdb.orm.errors`.
"""

from zlmdb.orm import errors as errors
from zlmdb.orm import keys as keys
from zlmdb.orm import kinds as kinds
from zlmdb.orm import values as values
from zlmdb.orm.catalog import *  # noqa: F403
from zlmdb.orm.database import Database as Database
from zlmdb.orm.errors import Error as Error
from zlmdb.orm.errors import NullValueConstraint as NullValueConstraint
from zlmdb.orm.errors import UniqueValueConstraint as UniqueValueConstraint
from zlmdb.orm.index_checks import IndexReport as IndexReport
from zlmdb.orm.maps import PersistentMap as PersistentMap
from zlmdb.orm.prefixes import StartsWith as StartsWith
from zlmdb.orm.raw import TransactionStats as TransactionStats
from zlmdb.orm.schema import TABLES_BY_UUID as TABLES_BY_UUID
from zlmdb.orm.schema import Schema as Schema
from zlmdb.orm.schema import table as table
from zlmdb.orm.transaction import Transaction as Transaction
