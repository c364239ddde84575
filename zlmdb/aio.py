"""The object layer for asyncio; see `zlmdb.orm.aio`."""

from zlmdb.orm.aio import AsyncDatabase, AsyncTransaction, open, wrap  # noqa: A004 (used as aio.open)

__all__ = ["AsyncDatabase", "AsyncTransaction", "open", "wrap"]
