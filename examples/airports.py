"""The airports of the world in an LMDB database, each one a FlatBuffers record.

    python examples/airports.py                        a tour: one airport, one country, the ten nearest
    python examples/airports.py --code SFO             one airport by its ICAO or IATA code
    python examples/airports.py --country NZ           all airports of a country
    python examples/airports.py --near -33.87,151.21   the ten nearest to a coordinate
    python examples/airports.py --fresh                build the database anew

The first run stores the 28,000 airports of the package airportsdata; later runs use the database as it is.
The bundled ``flatc`` makes the record classes from the schema in ``airports.fbs``. Records are read in place:
an accessor such as ``airport.Name()`` takes this one field out of the memory map.
"""

from __future__ import annotations

import heapq
import math
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from types import ModuleType
from typing import Any, NamedTuple, Self, TypeAlias

try:
    import airportsdata
    import click
    from rich.console import Console
    from rich.progress import track
    from rich.table import Table
except ImportError as error:
    sys.exit(f"{error}. Install what the examples need: python -m pip install 'zlmdb[examples]'")

import zlmdb
from zlmdb import lmdb
from zlmdb._flatc import run_flatc

SCHEMA = Path(__file__).with_name("airports.fbs")
DEFAULT_DB = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "zlmdb-airports"
MAP_SIZE = 64 * 2**20  # bytes of address space; the file takes what it needs
EARTH_RADIUS = 6371.0088  # km, mean

Reader: TypeAlias = "lmdb.Transaction[memoryview]"
"""A transaction that hands out records in place."""
Figures = dict[str, str]
"""What was measured, as it is shown: name and value."""

console = Console(markup=False, highlight=False)


class Located(NamedTuple):
    """An airport and how far away it is."""

    distance: float
    """Kilometres along the great circle."""
    airport: Any


def compile_schema() -> ModuleType:
    """Compile ``airports.fbs`` with the bundled ``flatc`` and return the Python module it generates."""
    with TemporaryDirectory() as directory:
        if run_flatc(["--python", "--gen-onefile", "--gen-object-api", "-o", directory, str(SCHEMA)]):
            raise click.ClickException(f"flatc could not compile {SCHEMA}: its message is above")
        source = Path(directory, "airports_generated.py").read_text()
    module = ModuleType("airports_generated")
    exec(compile(source, module.__name__, "exec"), module.__dict__)
    return module


def distance(from_: tuple[float, float], to: tuple[float, float]) -> float:
    """Return the distance in km along the great circle of two (latitude, longitude) pairs in degrees.

    This is the haversine formula, which is exact for near points too.
    """
    lat1, lon1, lat2, lon2 = map(math.radians, (*from_, *to))
    a = math.sin((lat2 - lat1) / 2) ** 2 + math.cos(lat1) * math.cos(lat2) * math.sin((lon2 - lon1) / 2) ** 2
    return 2 * EARTH_RADIUS * math.asin(math.sqrt(a))


class Airports:
    """The database: airports by ICAO code, and ICAO codes by country and by IATA code."""

    def __init__(self, directory: Path) -> None:
        """Open the database in ``directory``, creating both as needed."""
        self.directory = directory
        self.schema = compile_schema()
        directory.mkdir(parents=True, exist_ok=True)
        self.open()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.env.close()

    def open(self) -> None:
        """Open the environment and its three named databases."""
        self.env = lmdb.open(str(self.directory), map_size=MAP_SIZE, max_dbs=3)
        if self.env.stat()["entries"] and b"airports" not in self.env.dbs():
            raise FileExistsError("it holds another database")
        self.airports = self.env.open_db(b"airports")
        self.by_country = self.env.open_db(b"by_country", dupsort=True)
        self.by_iata = self.env.open_db(b"by_iata")

    def start_over(self) -> None:
        """Delete the database and open an empty one."""
        self.env.close()
        for name in ("data.mdb", "lock.mdb"):
            (self.directory / name).unlink()
        self.open()

    def reading(self) -> Reader:
        """Begin a transaction whose records are views of the memory map, valid until it ends."""
        return self.env.begin(buffers=True)

    def __len__(self) -> int:
        with self.reading() as txn:
            return int(txn.stat(self.airports)["entries"])

    def load(self, rows: Iterable[Mapping[str, Any]]) -> int:
        """Store all rows of airportsdata in one transaction; return the bytes of all records together."""
        size = 0
        with self.env.begin(write=True) as txn:
            for row in rows:
                icao, record = row["icao"].encode(), self.record(row)
                txn.put(icao, record, db=self.airports)
                txn.put(row["country"].encode(), icao, db=self.by_country)
                if row["iata"]:
                    txn.put(row["iata"].encode(), icao, db=self.by_iata)
                size += len(record)
        return size

    def record(self, row: Mapping[str, Any]) -> bytes:
        """Return one row of airportsdata as a FlatBuffers record."""
        airport = self.schema.AirportT()
        for field in ("icao", "iata", "name", "city", "country", "elevation"):
            setattr(airport, field, row[field])
        airport.subdivision, airport.timezone = row["subd"], row["tz"]
        airport.position = self.schema.PositionT(row["lat"], row["lon"])
        builder = zlmdb.flatbuffers.Builder(256)
        builder.Finish(airport.Pack(builder), file_identifier=b"AIRP")
        return bytes(builder.Output())

    def get(self, txn: Reader, code: str) -> Any:
        """Return the airport with an ICAO or IATA code, read in place; None if there is none."""
        key = code.upper().encode()
        record = txn.get(bytes(txn.get(key, default=key, db=self.by_iata)), db=self.airports)
        return None if record is None else self.schema.Airport.GetRootAs(record)

    def in_country(self, txn: Reader, country: str) -> list[Any]:
        """Return the airports of a country, ordered by ICAO code; none if the country is unknown."""
        with txn.cursor(self.by_country) as cursor:
            if not cursor.set_key(country.upper().encode()):
                return []
            codes = [bytes(code).decode() for code in cursor.iternext_dup()]
        return [self.get(txn, code) for code in codes]

    def nearest(self, txn: Reader, position: tuple[float, float], count: int) -> list[Located]:
        """Return the ``count`` airports nearest to (latitude, longitude), looking at every one."""
        root = self.schema.Airport.GetRootAs
        with txn.cursor(self.airports) as cursor:
            airports = map(root, cursor.iternext(keys=False))
            located = (Located(distance(position, coordinates(airport)), airport) for airport in airports)
            return heapq.nsmallest(count, located, key=lambda found: found.distance)

    def file_size(self) -> int:
        """Return the size of the database file in bytes."""
        return (self.directory / "data.mdb").stat().st_size

    def codes(self, txn: Reader, database: Any) -> list[str]:
        """Return all keys of one of the databases, each once."""
        with txn.cursor(database) as cursor:
            return [bytes(key).decode() for key in cursor.iternext_nodup(keys=True, values=False)]


def coordinates(airport: Any) -> tuple[float, float]:
    """Return where an airport is, as (latitude, longitude) in degrees."""
    position = airport.Position()
    return position.Latitude(), position.Longitude()


def text(value: bytes | None) -> str:
    """Return a string field, which the generated accessors give as bytes."""
    return (value or b"").decode()


def load(db: Airports) -> Figures:
    """Fill the database from the package airportsdata, showing a progress bar."""
    rows = airportsdata.load("ICAO").values()
    start = perf_counter()
    size = db.load(track(rows, description="Loading", console=console))
    seconds = perf_counter() - start
    return {
        "bytes in all records": f"{size:,}",
        "load, in one transaction": f"{seconds:.2f} s, {len(db) / seconds:,.0f} records/s",
    }


def show_airport(db: Airports, code: str) -> Figures:
    """Print every field of one airport, read in place."""
    with db.reading() as txn:
        start = perf_counter()
        airport = db.get(txn, code)
        seconds = perf_counter() - start
        if airport is None:
            raise unknown("airport", code, db.codes(txn, db.airports) + db.codes(txn, db.by_iata))
        table = Table("field", "value", title=f"Airport {code.upper()}")
        for field in ("Icao", "Iata", "Name", "City", "Subdivision", "Country", "Timezone"):
            table.add_row(field, text(getattr(airport, field)()))
        table.add_row("Elevation", f"{airport.Elevation():,.0f} ft")
        table.add_row("Position", "{:.4f}, {:.4f}".format(*coordinates(airport)))
    console.print(table)
    return {f"find {code.upper()}": f"{seconds * 1e6:.0f} \u00b5s"}


def show_country(db: Airports, country: str) -> Figures:
    """Print all airports of a country."""
    with db.reading() as txn:
        start = perf_counter()
        airports = db.in_country(txn, country)
        seconds = perf_counter() - start
        if not airports:
            raise unknown("country", country, db.codes(txn, db.by_country))
        table = airport_table(f"The {len(airports):,} airports of {country.upper()}")
        for airport in airports:
            table.add_row(*summary(airport))
    console.print(table)
    return {f"find all of {country.upper()}": f"{seconds * 1e6:,.0f} \u00b5s"}


def show_nearest(db: Airports, position: tuple[float, float]) -> Figures:
    """Print the ten airports nearest to a position."""
    with db.reading() as txn:
        start = perf_counter()
        nearest = db.nearest(txn, position, count=10)
        seconds = perf_counter() - start
        table = airport_table("The ten airports nearest to {:g}, {:g}".format(*position), "km")
        for found in nearest:
            table.add_row(*summary(found.airport), f"{found.distance:,.1f}")
    console.print(table)
    return {"find the nearest, reading all": f"{seconds:.2f} s, {len(db) / seconds:,.0f} records/s"}


def show_figures(db: Airports, figures: Figures) -> None:
    """Print how much there is and how fast it was."""
    table = Table("figure", "value", title=f"Database {db.directory}")
    table.add_row("records", f"{len(db):,}")
    table.add_row("bytes in the file", f"{db.file_size():,}")
    for figure in figures.items():
        table.add_row(*figure)
    console.print(table)


def airport_table(title: str, *more: str) -> Table:
    """Return an empty table for rows of `summary` and ``more`` numbers."""
    table = Table("ICAO", "IATA", "name", "city", title=title)
    for column in ("ft", *more):
        table.add_column(column, justify="right")
    return table


def summary(airport: Any) -> tuple[str, ...]:
    """Return the fields of an airport that a table shows."""
    names = (airport.Icao(), airport.Iata(), airport.Name(), airport.City())
    return (*map(text, names), f"{airport.Elevation():,.0f}")


def unknown(kind: str, code: str, known: list[str]) -> click.ClickException:
    """Return the error for a code that is not in the database, with those that look like it."""
    alike = get_close_matches(code.upper(), known, n=5, cutoff=0.5)
    hint = f"Did you mean {', '.join(alike)}?" if alike else f"Codes look like {', '.join(known[:3])}."
    return click.ClickException(f"there is no {kind} {code!r}. {hint}")


def parse_position(_: click.Context, __: click.Parameter, value: str | None) -> tuple[float, float] | None:
    """Parse ``LAT,LON``."""
    if value is None:
        return None
    try:
        latitude, longitude = map(float, value.split(","))
    except ValueError:
        raise click.BadParameter(f"{value!r} is not LAT,LON in degrees, such as 48.14,11.58") from None
    if not (abs(latitude) <= 90 and abs(longitude) <= 180):
        raise click.BadParameter(f"{value!r} is not on Earth: latitude is -90 to 90, longitude -180 to 180")
    return latitude, longitude


@contextmanager
def explained(directory: Path) -> Iterator[None]:
    """Turn what can go wrong with the database into a message that says what to do."""
    try:
        yield
    except (OSError, lmdb.Error) as error:
        raise click.ClickException(
            f"cannot keep the database in {directory}: {error}. "
            "Name a directory that you may write to and that holds no other database: --db DIR"
        ) from error


@click.command(help=(__doc__ or "").partition("\n")[0])
@click.option("--db", "directory", type=click.Path(path_type=Path), default=DEFAULT_DB, show_default=True)
@click.option("--fresh", is_flag=True, help="Build the database anew.")
@click.option("--code", help="Show one airport: ICAO or IATA code.")
@click.option("--country", help="Show all airports of a country: two-letter code.")
@click.option("--near", metavar="LAT,LON", callback=parse_position, help="Show the ten airports nearest.")
def main(
    directory: Path, fresh: bool, code: str | None, country: str | None, near: tuple[float, float] | None
) -> None:
    """Open the database and answer the questions asked; without any, give a tour."""
    if not (code or country or near):
        code, country, near = "FRA", "SI", (48.1372, 11.5756)
    figures: Figures = {}
    with explained(directory):
        db = Airports(directory)
        if fresh:
            db.start_over()
        if not len(db):
            figures |= load(db)
    with db:
        if code:
            figures |= show_airport(db, code)
        if country:
            figures |= show_country(db, country)
        if near:
            figures |= show_nearest(db, near)
        show_figures(db, figures)


if __name__ == "__main__":
    main()
