"""Tables: maps that a database finds by ID, whatever slot they are in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from uuid import UUID

from zlmdb.orm.errors import ReadOnlyError, SlotError, TableError, UsageError
from zlmdb.orm.maps import PersistentMap
from zlmdb.orm.parts import shown
from zlmdb.orm.settings import Settings, table_id
from zlmdb.orm.slots import METADATA_PREFIX, SlotInfo, next_slot, read_slots, write_slot

if TYPE_CHECKING:
    from zlmdb.orm.raw import RawTransaction
    from zlmdb.orm.transaction import Transaction

Map = TypeVar("Map", bound=PersistentMap[Any, Any])


class Tables(Protocol):
    """What has tables: a `Database`."""

    @property
    def dbpath(self) -> str:
        """Its directory."""

    @property
    def is_readonly(self) -> bool:
        """Whether it is open for reading only."""

    def begin(self, write: bool = False) -> Transaction:
        """Return a transaction."""


def attach(db: Tables, klass: type[Map], rename: bool) -> Map:
    """Return the map of a table; see `Database.attach_table`."""
    declared = _declaring_class(klass)
    settings, oid = Settings.of(klass), table_id(declared)
    assert oid is not None
    name = f"{klass.__module__}.{klass.__name__}"
    description = (klass.__doc__ or "").strip() or None
    return attach_slot(db, oid, klass, settings, True, name, description, rename)


def _declaring_class(klass: object) -> type[PersistentMap[Any, Any]]:
    """Return the class of the table, or the one it inherits from, that is decorated."""
    if not (isinstance(klass, type) and issubclass(klass, PersistentMap)):
        raise TableError(f"{shown(klass)} is no table: a subclass of zlmdb.PersistentMap is needed")
    for declared in klass.__mro__:
        if table_id(declared, inherited=False) is not None:
            return declared
    raise TableError(f"{klass.__name__} is no table: decorate it with zlmdb.table")


def attach_slot(
    db: Tables,
    oid: UUID,
    klass: type[Map],
    settings: Settings,
    create: bool,
    name: str | None,
    description: str | None,
    rename: bool = False,
) -> Map:
    """Return the map of a table whose class need not be decorated.

    Raises:
        SlotError: There is no such table, and none is to be created.
    """
    if not isinstance(oid, UUID):
        raise UsageError(f"oid must be a UUID, not {shown(oid)}")
    settings.arguments()  # which refuses what does not go together, before anything is written
    with db.begin() as txn:
        info = read_slots(txn._raw).get(oid)
    if info is None and not create:
        raise SlotError(f"No slot found in database for DB table <{oid}>: {name!r}")
    renamed = info is not None and info.name and name and _class_name(info.name) != _class_name(name)
    if info is None or (rename and renamed):
        if db.is_readonly:
            raise ReadOnlyError(
                f'database is read-only: "{db.dbpath}" has no table <{oid}>, {name}, to attach'
            )
        with db.begin(write=True) as txn:
            info = _noted(txn._raw, oid, name or f"{klass.__module__}.{klass.__name__}", description)
            return _made(klass, info.slot, settings)
    if renamed and _class_name(info.name or "") not in _names(klass, oid):
        raise SlotError(
            f"table <{oid}> in slot {info.slot} was made with the class {info.name}, not with {name}. If it "
            "has been renamed, attach it with rename=True; if not, two classes have one oid"
        )
    return _made(klass, info.slot, settings)


def _names(klass: type[Any], oid: UUID) -> set[str]:
    """Return the names of the classes that are the table: the decorated one, and what derives from it.

    Releases before noted the name of the one that was attached first.
    """
    related = [base for base in klass.__mro__ if table_id(base) == oid]
    names: set[str] = set()
    classes: list[type[Any]] = related[-1:]
    while classes:
        cls = classes.pop()
        names.add(cls.__name__)
        classes += [derived for derived in cls.__subclasses__() if table_id(derived) == oid]
    return names


def _class_name(name: str) -> str:
    """Return the name without the module: older releases note that only if Twisted is installed."""
    return name.rpartition(".")[2]


def _noted(raw: RawTransaction, oid: UUID, name: str, description: str | None) -> SlotInfo:
    """Write the metadata of a table, in its slot or a new one."""
    slots = read_slots(raw)
    slot = slots[oid].slot if oid in slots else next_slot(raw, slots)
    info = SlotInfo(oid, slot, name, description)
    write_slot(raw, info)
    return info


def _made(klass: type[Map], slot: int, settings: Settings) -> Map:
    try:
        return klass(slot, **settings.arguments())
    except TypeError as error:
        given = " and ".join(settings.functions())
        if given and "unexpected keyword argument" in str(error):
            why = f"it takes no {given}, which zlmdb.table was given"
        else:
            why = str(error)
        raise TableError(f"the settings of the table do not fit {klass.__name__}: {why}") from error


def drop(db: Tables, table: type[PersistentMap[Any, Any]] | UUID | PersistentMap[Any, Any]) -> int:
    """Delete a table; see `Database.drop_table`."""
    with db.begin(write=True) as txn:
        raw = txn._raw
        if isinstance(table, PersistentMap):
            prefixes = table._records.prefixes()
        else:
            oid = table if isinstance(table, UUID) else table_id(_declaring_class(table))
            prefixes = [info.prefix() for info in read_slots(raw).values() if info.oid == oid]
        deleted = sum(map(raw.delete_all, prefixes))
        for prefix in prefixes:
            raw.delete(METADATA_PREFIX + prefix)
    return deleted
