"""Slots: the parts of a database that maps are stored in, and the metadata about them in slot 0.

A record key is the number of the slot (two bytes, big-endian) and the key in the map. The record with slot 0
and key *n* (two bytes) describes slot *n*, as a map in CBOR.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from zlmdb.orm.errors import SlotError

if TYPE_CHECKING:
    from zlmdb.orm.raw import RawTransaction

METADATA_PREFIX = b"\0\0"
METADATA_KEY_SIZE = 4
LAST_SLOT = 0xFFFF
CREATOR = "unknown"


class SlotInfo(NamedTuple):
    """What a database says about a slot.

    Attributes:
        oid: The ID of the table.
        slot: The number of the slot.
        name: The name of the class that it was made with, as ``module.Class`` or ``Class``; None if it was
            made without.
        description: The docstring of that class, without the white space around it.
        creator: Who made it.
    """

    oid: UUID
    slot: int
    name: str | None
    description: str | None = None
    creator: str = CREATOR

    def prefix(self) -> bytes:
        """Return what the keys of the slot's records begin with."""
        return self.slot.to_bytes(2, "big")

    def to_bytes(self) -> bytes:
        """Return the value of the metadata record."""
        from cbor2 import dumps

        fields: dict[str, Any] = {"oid": str(self.oid), "name": self.name}
        if self.description:
            fields["description"] = self.description
        return dumps(fields | {"creator": self.creator, "slot": self.slot})


def read_slots(raw: RawTransaction) -> dict[UUID, SlotInfo]:
    """Return what a database says about its slots, by table ID and in the order of the slots.

    Raises:
        SlotError: A metadata record cannot be read.
    """
    records = raw.opened().items(prefix=METADATA_PREFIX)
    infos = [_parsed(key, bytes(data)) for key, data in records if len(key) == METADATA_KEY_SIZE]
    return {info.oid: info for info in infos}


def _parsed(key: bytes, data: bytes) -> SlotInfo:
    from cbor2 import loads

    slot = int.from_bytes(key[2:], "big")
    try:
        fields = loads(data)
        info = SlotInfo(
            UUID(fields["oid"]),
            fields["slot"],
            fields["name"],
            fields.get("description"),
            fields.get("creator", CREATOR),
        )
    except Exception as error:
        raise SlotError(
            f"the metadata of slot {slot} cannot be read: {type(error).__name__}: {error}"
        ) from error
    if not isinstance(info.name, str | None):
        raise SlotError(f"the metadata of slot {slot} has {info.name!r} for a name")
    if info.slot != slot:
        raise SlotError(f"the metadata of slot {slot} says that it is slot {info.slot}")
    return info


def next_slot(raw: RawTransaction, slots: dict[UUID, SlotInfo]) -> int:
    """Return the number of a new slot: the first one without records after the last that is in use.

    A slot without metadata has records if it is used by its number.

    Raises:
        SlotError: There is none.
    """
    last = max((info.slot for info in slots.values()), default=0)
    for slot in range(last + 1, LAST_SLOT + 1):
        if not any(raw.opened().keys(prefix=slot.to_bytes(2, "big"), limit=1)):
            return slot
    raise SlotError(f"no slot is free after slot {last}, the last one in use; lower ones are not used again")


def write_slot(raw: RawTransaction, info: SlotInfo) -> None:
    """Write the metadata of a slot."""
    raw.put_many([(METADATA_PREFIX + info.prefix(), info.to_bytes())])
