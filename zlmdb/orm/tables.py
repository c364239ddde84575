"""Tables: maps that a database finds by ID, whatever slot they are in."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from uuid import UUID

from zlmdb.orm.errors import ReadOnlyError, SlotError, TableError, UsageError
from zlmdb.orm.indexes import delete_slot
from zlmdb.orm.maps import PersistentMap
from zlmdb.orm.parts import shown
from zlmdb.orm.slots import METADATA_PREFIX, SlotInfo, next_slot, read_slots, write_slot

if TYPE_CHECKING:
    from zlmdb.orm.database import Database
    from zlmdb.orm.transaction import Transaction

Map = TypeVar("Map", bound=PersistentMap[Any, Any])
Function = Callable[..., Any]


class Settings(NamedTuple):
    """What the decorator `table` notes in a class."""

    marshal: Function | None = None
    parse: Function | None = None
    build: Function | None = None
    cast: Function | None = None
    compress: int | None = None

    def arguments(self) -> dict[str, Any]:
        """Return the keyword arguments for the constructor of a map.

        Raises:
            UsageError: Of a pair of functions one is missing, or both pairs are given.
        """
        given = [function is not None for function in self[:4]]
        if given == [True, True, False, False]:
            return {"marshal": self.marshal, "unmarshal": self.parse, "compress": self.compress}
        if given == [False, False, True, True]:
            return {"build": self.build, "cast": self.cast, "compress": self.compress}
        if not any(given):
            return {"compress": self.compress}
        raise UsageError(
            "a table has either marshal and parse, or build and cast, or none of the four: this one has "
            + " and ".join(self.functions())
        )

    def functions(self) -> list[str]:
        """Return the names of the functions that are given."""
        return [name for name in self._fields[:4] if getattr(self, name) is not None]


def attach(db: Database, klass: type[Map], rename: bool) -> Map:
    """Return the map of a table; see `Database.attach_table`."""
    declared = _declaring_class(klass)
    settings = Settings(
        klass._zlmdb_marshal, klass._zlmdb_parse, klass._zlmdb_build, klass._zlmdb_cast, klass._zlmdb_compress
    )
    name = f"{klass.__module__}.{klass.__name__}"
    description = (klass.__doc__ or "").strip() or None
    return attach_slot(db, declared.__dict__["_zlmdb_oid"], klass, settings, True, name, description, rename)


def _declaring_class(klass: object) -> type[PersistentMap[Any, Any]]:
    """Return the class of the table, or the one it inherits from, that is decorated."""
    if not (isinstance(klass, type) and issubclass(klass, PersistentMap)):
        raise TableError(f"{shown(klass)} is no table: a subclass of zlmdb.PersistentMap is needed")
    for declared in klass.__mro__:
        if declared.__dict__.get("_zlmdb_oid") is not None:
            return declared
    raise TableError(f"{klass.__name__} is no table: decorate it with zlmdb.table")


def attach_slot(
    db: Database,
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
        info = read_slots(txn).get(oid)
    if info is None and not create:
        raise SlotError(f"No slot found in database for DB table <{oid}>: {name!r}")
    renamed = info is not None and info.name and name and _class_name(info.name) != _class_name(name)
    if info is None or (rename and renamed):
        if db.is_readonly:
            raise ReadOnlyError(
                f'database is read-only: "{db.dbpath}" has no table <{oid}>, {name}, to attach'
            )
        with db.begin(write=True) as txn:
            info = _noted(txn, oid, name or f"{klass.__module__}.{klass.__name__}", description)
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
    related = [base for base in klass.__mro__ if getattr(base, "_zlmdb_oid", None) == oid]
    names: set[str] = set()
    classes: list[type[Any]] = related[-1:]
    while classes:
        cls = classes.pop()
        names.add(cls.__name__)
        classes += [derived for derived in cls.__subclasses__() if derived._zlmdb_oid == oid]
    return names


def _class_name(name: str) -> str:
    """Return the name without the module: older releases note that only if Twisted is installed."""
    return name.rpartition(".")[2]


def _noted(txn: Transaction, oid: UUID, name: str, description: str | None) -> SlotInfo:
    """Write the metadata of a table, in its slot or a new one."""
    slots = read_slots(txn)
    slot = slots[oid].slot if oid in slots else next_slot(txn, slots)
    info = SlotInfo(oid, slot, name, description)
    write_slot(txn, info)
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


def drop(db: Database, table: type[PersistentMap[Any, Any]] | UUID | PersistentMap[Any, Any]) -> int:
    """Delete a table; see `Database.drop_table`."""
    with db.begin(write=True) as txn:
        if isinstance(table, PersistentMap):
            prefixes = [
                pmap._attached() for pmap in (table, *(index.pmap for index in table._indexes.values()))
            ]
        else:
            oid = table if isinstance(table, UUID) else _declaring_class(table)._zlmdb_oid
            prefixes = [info.prefix() for info in read_slots(txn).values() if info.oid == oid]
        deleted = sum(delete_slot(txn, prefix) for prefix in prefixes)
        for prefix in prefixes:
            txn.delete(METADATA_PREFIX + prefix)
    return deleted
