"""Short ways to read a source to its end and to write rows into a sink, for tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Any

from penstock.base.types import Page, Record, Reject, Source


async def read_pages(source: Source, cursor: dict[str, Any] | None = None, size: int = 500) -> list[Page]:
    try:
        return [page async for page in source.pages(cursor, size)]
    finally:
        await source.close()


async def read_all(source: Source, cursor: dict[str, Any] | None = None, size: int = 500) -> list[Record]:
    return [record for page in await read_pages(source, cursor, size) for record in page.records]


async def read_rejects(source: Source, size: int = 500) -> list[Reject]:
    return [reject for page in await read_pages(source, size=size) for reject in page.rejects]


async def each(rows: Iterable[dict[str, Any]]) -> AsyncIterator[dict[str, Any]]:
    for row in rows:
        yield row
