"""The airports of the world in a database, each one a FlatBuffers record, found by code, country or place.

    python examples/airports.py                        a tour: one airport, one country, the ten nearest
    python examples/airports.py --code SFO             one airport by its ICAO or IATA code
    python examples/airports.py --country NZ           all airports of a country
    python examples/airports.py --near -33.87,151.21   the ten nearest to a coordinate
    python examples/airports.py --fresh                build the database anew

The first run stores the 28,000 airports of the package airportsdata; later runs use the database as it is.
The bundled ``flatc`` makes the record classes from the schema in ``airports.fbs``. Records are read in place:
an attribute such as ``airport.name`` takes this one field out of the memory map.
"""

from __future__ import annotations

import heapq
import math
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from types import ModuleType
from typing import Any, NamedTuple

try:
    import airportsdata
    import click
    from rich.console import Console
    from rich.progress import track
    from rich.table import Table
except ImportError as error:
    sys.exit(f"{error}. Install what the examples need: python -m pip install 'zlmdb[examples]'")

import zlmdb
from zlmdb._flatc import run_flatc
from zlmdb.orm.keys import String
from zlmdb.orm.kinds import StringMap

SCHEMA = Path(__file__).with_name("airports.fbs")
DEFAULT_DB = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "zlmdb-airports"
EARTH_RADIUS = 6371.0088  # km, mean

Figures = dict[str, str]
"""What was measured, as it is shown: name and value."""

console = Console(markup=False, highlight=False)


# -- Records --


@cache
def generated() -> ModuleType:
    """Compile ``airports.fbs`` with the bundled ``flatc`` and return the Python module it generates."""
    with TemporaryDirectory() as directory:
        if run_flatc(["--python", "--gen-onefile", "--gen-object-api", "-o", directory, str(SCHEMA)]):
            raise click.ClickException(f"flatc could not compile {SCHEMA}: its message is above")
        source = Path(directory, "airports_generated.py").read_text()
    module = ModuleType("airports_generated")
    exec(compile(source, module.__name__, "exec"), module.__dict__)
    return module


def new_airport(row: Mapping[str, Any]) -> Any:
    """Return a row of airportsdata as an object of the generated class, which can be stored."""
    airport = generated().AirportT()
    for field in ("icao", "iata", "name", "city", "country", "elevation"):
        setattr(airport, field, row[field])
    airport.subdivision, airport.timezone = row["subd"], row["tz"]
    airport.position = generated().PositionT(row["lat"], row["lon"])
    return airport


class Airport:
    """A stored airport. Each attribute is read from the record when it is asked for; nothing else is.

    The attributes are called as in the generated class, so the functions of the indexes serve both.
    """

    icao: str
    iata: str
    name: str
    city: str
    subdivision: str
    country: str
    timezone: str
    elevation: float

    def __init__(self, record: bytes | memoryview) -> None:
        self._record = generated().Airport.GetRootAs(record)

    def __getattr__(self, field: str) -> Any:
        value = getattr(self._record, field.capitalize())()
        return value.decode() if isinstance(value, bytes) else value

    @property
    def coordinates(self) -> tuple[float, float]:
        """Latitude and longitude in degrees."""
        position = self._record.Position()
        return position.Latitude(), position.Longitude()


class Located(NamedTuple):
    """An airport and how far away it is."""

    distance: float
    """Kilometres along the great circle."""
    airport: Airport


def distance(from_: tuple[float, float], to: tuple[float, float]) -> float:
    """Return the distance in km along the great circle of two (latitude, longitude) pairs in degrees.

    This is the haversine formula, which is exact for near points too.
    """
    lat1, lon1, lat2, lon2 = map(math.radians, (*from_, *to))
    a = math.sin((lat2 - lat1) / 2) ** 2 + math.cos(lat1) * math.cos(lat2) * math.sin((lon2 - lon1) / 2) ** 2
    return 2 * EARTH_RADIUS * math.asin(math.sqrt(a))


# -- Database --


@zlmdb.table(
    "90de44a4-560e-4bb5-86af-74f92b935ec8",
    build=lambda airport, builder: airport.Pack(builder),
    cast=Airport,
)
class AirportTable(zlmdb.MapStringFlatBuffers):
    """Airports by ICAO code."""


@zlmdb.table("bcd4e4d6-90c7-409a-ab94-7e804897e837")
class CountryIndex(StringMap[tuple[str, str]], key=(String, String)):
    """ICAO codes by country and ICAO code. Countries alone would not be unique."""


@zlmdb.table("fefe5eb8-ccf2-47ee-8f74-5a1295dc9bf5")
class IataIndex(zlmdb.MapStringString):
    """ICAO codes by IATA code."""


class Airports(zlmdb.Schema):
    """The database and its tables, and the questions it answers.

    Airports are found by transactions with ``buffers=True``, and can be used until these end.
    """

    def __init__(self, directory: Path) -> None:
        """Open the database in ``directory``, creating both as needed."""
        directory.mkdir(parents=True, exist_ok=True)
        self.database = zlmdb.Database(str(directory))
        stats = self.database.stats()
        if stats["entries"] and not stats["num_slots"]:
            raise FileExistsError("it holds another database")
        self.attach()

    def attach(self) -> None:
        """Attach the tables to the database, making those it lacks, and the indexes to the airports."""
        self.by_icao = self.database.attach_table(AirportTable)
        self.by_country = self.database.attach_table(CountryIndex)
        self.by_iata = self.database.attach_table(IataIndex)
        self.by_icao.attach_index(
            "by_country", self.by_country, lambda airport: (airport.country, airport.icao)
        )
        self.by_icao.attach_index(
            "by_iata", self.by_iata, lambda airport: airport.iata or None, nullable=True
        )

    def start_over(self) -> None:
        """Delete the tables with all airports, and make them anew."""
        self.database.drop_table(self.by_icao)  # and those of its indexes
        self.attach()

    def load(self, rows: Iterable[Mapping[str, Any]]) -> zlmdb.TransactionStats:
        """Store rows of airportsdata in one transaction; return how much was written, and since when."""
        stats = zlmdb.TransactionStats()
        with self.database.begin(write=True, stats=stats) as txn:
            self.by_icao.put_many(txn, ((row["icao"], new_airport(row)) for row in rows))
        return stats

    def is_empty(self) -> bool:
        """Return whether there is nothing to answer from."""
        with self.database.begin() as txn:
            return self.by_icao.count(txn) == 0

    def get(self, txn: zlmdb.Transaction, code: str) -> Airport | None:
        """Return the airport with an ICAO or IATA code; None if there is none."""
        code = code.upper()
        found: Airport | None = self.by_icao[txn, self.by_iata[txn, code] or code]
        return found

    def in_country(self, txn: zlmdb.Transaction, country: str) -> list[Any]:
        """Return the airports of a country, ordered by ICAO code; none if the country is unknown."""
        codes = self.by_country.select(txn, prefix=country.upper(), return_keys=False)
        return self.by_icao.get_many(txn, codes)

    def nearest(self, txn: zlmdb.Transaction, position: tuple[float, float], count: int) -> list[Located]:
        """Return the ``count`` airports nearest to (latitude, longitude), looking at every one."""
        located = (
            Located(distance(position, airport.coordinates), airport)
            for airport in self.by_icao.select(txn, return_keys=False)
        )
        return heapq.nsmallest(count, located, key=lambda found: found.distance)

    def codes(self, txn: zlmdb.Transaction) -> list[str]:
        """Return all ICAO and IATA codes."""
        tables = (self.by_icao, self.by_iata)
        return [code for table in tables for code in table.select(txn, return_values=False)]

    def countries(self, txn: zlmdb.Transaction) -> list[str]:
        """Return the codes of all countries that have airports."""
        return sorted({country for country, _ in self.by_country.select(txn, return_values=False)})


# -- Command --


def load(airports: Airports) -> Figures:
    """Fill the database from the package airportsdata, showing a progress bar."""
    rows = airportsdata.load("ICAO").values()
    stats = airports.load(track(rows, description="Loading", console=console))
    seconds = stats.duration / 1e9
    return {
        "records written, with indexes": f"{stats.puts:,}",
        "load, in one transaction": f"{seconds:.2f} s, {len(rows) / seconds:,.0f} records/s",
    }


def show_airport(airports: Airports, txn: zlmdb.Transaction, code: str) -> Figures:
    """Print every field of one airport, read in place."""
    start = perf_counter()
    airport = airports.get(txn, code)
    seconds = perf_counter() - start
    if airport is None:
        raise unknown("airport", code, airports.codes(txn))
    table = Table("field", "value", title=f"Airport {code.upper()}")
    for field in ("Icao", "Iata", "Name", "City", "Subdivision", "Country", "Timezone"):
        table.add_row(field, getattr(airport, field.lower()))
    table.add_row("Elevation", f"{airport.elevation:,.0f} ft")
    table.add_row("Position", "{:.4f}, {:.4f}".format(*airport.coordinates))
    console.print(table)
    return {f"find {code.upper()}": f"{seconds * 1e6:.0f} \u00b5s"}


def show_country(airports: Airports, txn: zlmdb.Transaction, country: str) -> Figures:
    """Print all airports of a country."""
    start = perf_counter()
    found = airports.in_country(txn, country)
    seconds = perf_counter() - start
    if not found:
        raise unknown("country", country, airports.countries(txn))
    table = airport_table(f"The {len(found):,} airports of {country.upper()}")
    for airport in found:
        table.add_row(*summary(airport))
    console.print(table)
    return {f"find all of {country.upper()}": f"{seconds * 1e6:,.0f} \u00b5s"}


def show_nearest(airports: Airports, txn: zlmdb.Transaction, position: tuple[float, float]) -> Figures:
    """Print the ten airports nearest to a position."""
    start = perf_counter()
    nearest = airports.nearest(txn, position, count=10)
    seconds = perf_counter() - start
    table = airport_table("The ten airports nearest to {:g}, {:g}".format(*position), "km")
    for found in nearest:
        table.add_row(*summary(found.airport), f"{found.distance:,.1f}")
    console.print(table)
    speed = airports.by_icao.count(txn) / seconds
    return {"find the nearest, reading all": f"{seconds:.2f} s, {speed:,.0f} records/s"}


def show_figures(airports: Airports, txn: zlmdb.Transaction, figures: Figures) -> None:
    """Print how much there is and how fast it was."""
    table = Table("figure", "value", title=f"Database {airports.database.dbpath}")
    table.add_row("records", f"{airports.by_icao.count(txn):,}")
    table.add_row("bytes in the file", f"{airports.database.stats()['current_size']:,}")
    for figure in figures.items():
        table.add_row(*figure)
    console.print(table)


def airport_table(title: str, *more: str) -> Table:
    """Return an empty table for rows of `summary` and ``more`` numbers."""
    table = Table("ICAO", "IATA", "name", "city", title=title)
    for column in ("ft", *more):
        table.add_column(column, justify="right")
    return table


def summary(airport: Airport) -> tuple[str, ...]:
    """Return the fields of an airport that a table shows."""
    return airport.icao, airport.iata, airport.name, airport.city, f"{airport.elevation:,.0f}"


def unknown(kind: str, code: str, known: list[str]) -> click.ClickException:
    """Return the error for a code that is not in the database, with those that look like it."""
    alike = get_close_matches(code.upper(), known, n=5, cutoff=0.5)
    hint = f"Did you mean {', '.join(alike)}?" if alike else f"Codes look like {', '.join(known[:3])}."
    return click.ClickException(f"there is no {kind} {code!r}. {hint}")


def parse_code(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    """Refuse what no key of the database can be."""
    if value and not (value.isprintable() and len(value) < 100):
        raise click.BadParameter(f"{value!r} is not a code, such as FRA or DE")
    return value


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
    except (OSError, zlmdb.Error, zlmdb.lmdb.Error) as error:
        raise click.ClickException(
            f"cannot keep the database in {directory}: {error}. "
            "Name a directory that you may write to and that holds no other database: --db DIR"
        ) from error


@click.command(help=(__doc__ or "").partition("\n")[0])
@click.option("--db", "directory", type=click.Path(path_type=Path), default=DEFAULT_DB, show_default=True)
@click.option("--fresh", is_flag=True, help="Build the database anew.")
@click.option("--code", callback=parse_code, help="Show one airport: ICAO or IATA code.")
@click.option("--country", callback=parse_code, help="Show all airports of a country: two-letter code.")
@click.option("--near", metavar="LAT,LON", callback=parse_position, help="Show the ten airports nearest.")
def main(
    directory: Path, fresh: bool, code: str | None, country: str | None, near: tuple[float, float] | None
) -> None:
    """Open the database and answer the questions asked; without any, give a tour."""
    if not (code or country or near):
        code, country, near = "FRA", "SI", (48.1372, 11.5756)
    generated()  # now, so that no figure includes it
    figures: Figures = {}
    with explained(directory):
        airports = Airports(directory)
        if fresh:
            airports.start_over()
        if airports.is_empty():
            figures |= load(airports)
    with airports.database, airports.database.begin(buffers=True) as txn:
        if code:
            figures |= show_airport(airports, txn, code)
        if country:
            figures |= show_country(airports, txn, country)
        if near:
            figures |= show_nearest(airports, txn, near)
        show_figures(airports, txn, figures)


if __name__ == "__main__":
    main()
