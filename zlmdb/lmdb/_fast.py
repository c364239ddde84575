"""The object layer's door into the binding: what its fast paths use besides the public interface.

A fast path does its work or passes it on: to `PASSED_ON`, False or None the object layer answers with its
slow path, which says what was wrong.
"""

from zlmdb.lmdb.bulk import put_records
from zlmdb.lmdb.plain import CBOR, INSERT, KEEP, Layouts, planned_put, put_many_planned
from zlmdb.lmdb.plain import USES_PLAIN_DATA as LAYS_OUT_RECORDS
from zlmdb.lmdb.reading import OTHER as PASSED_ON
from zlmdb.lmdb.reading import reader, view_reader

__all__ = [
    "CBOR", "INSERT", "KEEP", "LAYS_OUT_RECORDS", "PASSED_ON", "Layouts", "planned_put", "put_many_planned",
    "put_records", "reader", "view_reader",
]  # fmt: skip
