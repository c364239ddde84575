"""Figures about a database; see `Database.stats`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from zlmdb.orm.slots import read_slots

if TYPE_CHECKING:
    from zlmdb import lmdb
    from zlmdb.orm.database import Database


def statistics(db: Database, env: lmdb.Environment, include_slots: bool) -> dict[str, Any]:
    """Return the figures."""
    stat, info = env.stat(), env.info()
    pages = stat["leaf_pages"] + stat["overflow_pages"] + stat["branch_pages"]
    used = pages * stat["psize"]
    with db.begin() as txn:
        slots = read_slots(txn)
        details = [
            {
                "oid": str(slot.oid),
                "slot": slot.slot,
                "name": slot.name,
                "description": slot.description,
                "records": txn._count(slot.prefix()),
            }
            for slot in (slots.values() if include_slots else ())
        ]
    return {
        "num_slots": len(slots),
        "current_size": (Path(db.dbpath) / "data.mdb").stat().st_size,
        "max_size": info["map_size"],
        "page_size": stat["psize"],
        "pages": pages,
        "used": used,
        "free": 1 - used / info["map_size"],
        "read_only": db.is_readonly,
        "sync_enabled": db.is_sync,
        "lib_version": db.lib_version,
        "lmdb_version": ".".join(map(str, env.lib_version())),
        **stat,
        **info,
        **({"slots": details} if include_slots else {}),
    }
