"""Figures about a database; see `Database.stats`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from zlmdb.orm.slots import read_slots

if TYPE_CHECKING:
    from zlmdb.orm.raw import OpenDatabase
    from zlmdb.orm.transaction import Transaction


def statistics(
    database: OpenDatabase, txn: Transaction, settings: dict[str, Any], include_slots: bool
) -> dict[str, Any]:
    """Return the figures.

    Args:
        database: The database.
        txn: A transaction to read it in, which is not open yet.
        settings: Of the database, to stand among the figures.
        include_slots: Also list the slots.
    """
    env = database.env
    stat, info = env.stat(), env.info()
    pages = stat["leaf_pages"] + stat["overflow_pages"] + stat["branch_pages"]
    used = pages * stat["psize"]
    with txn:
        raw = txn._raw
        slots = read_slots(raw)
        details = [
            {
                "oid": str(slot.oid),
                "slot": slot.slot,
                "name": slot.name,
                "description": slot.description,
                "records": raw.count(slot.prefix()),
            }
            for slot in (slots.values() if include_slots else ())
        ]
    return {
        "num_slots": len(slots),
        "current_size": (Path(database.path) / "data.mdb").stat().st_size,
        "max_size": info["map_size"],
        "page_size": stat["psize"],
        "pages": pages,
        "used": used,
        "free": 1 - used / info["map_size"],
        **settings,
        "lmdb_version": ".".join(map(str, env.lib_version())),
        **stat,
        **info,
        **({"slots": details} if include_slots else {}),
    }
