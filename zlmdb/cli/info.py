"""``zlmdb info``."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("dbpath", type=click.Path(file_okay=False, path_type=Path))
@click.option("--lib-version", type=click.Choice(["1.0", "0.9"]), help="Refuse the other LMDB format.")
def info(dbpath: Path, lib_version: str | None) -> None:
    """Show figures about a database.

    DBPATH is its directory. It is opened read-only, and in its own LMDB format. The figures are those of
    Database.stats(), one a line.
    """
    if not (dbpath / "data.mdb").exists():
        shown = click.format_filename(dbpath)
        raise click.ClickException(f'there is no database at "{shown}": it has no file data.mdb')
    from zlmdb import Database

    with Database(str(dbpath), readonly=True, create=False, lib_version=lib_version) as db:
        for name, figure in sorted(db.stats().items()):
            click.echo(f"{name}: {figure}")
