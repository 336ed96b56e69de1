"""A thin client of the organisation's endpoints: usage, costs, projects and their real rate limits.

Admin key only. Endpoints and fields: SDK 3.52 and the OpenAPI description of 2026-08-21.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from penstock.base.errors import AccessError, RejectedError, UnavailableError
from penstock.base.types import DOLLAR, Money
from penstock.vendor.http import Http
from penstock.vendor.models import Limits
from penstock.vendor.openai import read_reply

USAGE_BUCKETS, COST_BUCKETS, PAGE = 31, 180, 100
"""Most days and objects that one page holds (SDK 3.52, November 2026)."""
TOKEN_KINDS = ("completions", "decisions", "embeddings", "moderations")
OTHER_KINDS = ("images", "audio_speeches", "audio_transcriptions")

Query = list[tuple[str, str]]


class UsageRow(msgspec.Struct, frozen=True):
    """What the vendor counted for one day (UTC), project and model; without tokens where it counts other units."""

    day: str
    project: str
    model: str
    requests: int
    input: int = 0
    cached: int = 0
    output: int = 0
    has_tokens: bool = True


class BilledRow(msgspec.Struct, frozen=True):
    """What the vendor charges for one day (UTC), project and line item, in picodollars."""

    day: str
    project: str
    line_item: str
    cost: Money


class Project(msgspec.Struct, frozen=True):
    """One project of the organisation."""

    id: str
    name: str


class Admin:
    """The organisation's own view of usage and cost."""

    def __init__(self, http: Http, key: str, *, base_url: str, timeout: float = 60.0) -> None:
        """Use an admin key at `base_url`; `timeout` is in seconds."""
        self._http = http
        self._base = base_url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {key}"}
        self._timeout = timeout

    async def usage(self, start: int, end: int, projects: tuple[str, ...] = ()) -> list[UsageRow]:
        """Return usage per day, project and model of every kind, `start` to `end` (seconds since 1970, exclusive)."""
        groups: Query = [("group_by[]", "project_id"), ("group_by[]", "model")]
        rows: list[UsageRow] = []
        for kind in (*TOKEN_KINDS, *OTHER_KINDS):
            query = _span(start, end, USAGE_BUCKETS, projects) + groups
            async for day, result in self._buckets(f"/organization/usage/{kind}", query):
                rows.append(_read_usage(day, result, kind in TOKEN_KINDS))
        return rows

    async def costs(self, start: int, end: int, projects: tuple[str, ...] = ()) -> list[BilledRow]:
        """Return costs per day, project and line item."""
        groups: Query = [("group_by[]", "project_id"), ("group_by[]", "line_item")]
        query = _span(start, end, COST_BUCKETS, projects) + groups
        return [_read_cost(day, result) async for day, result in self._buckets("/organization/costs", query)]

    async def projects(self) -> list[Project]:
        """Return the projects that are not archived."""
        found = [row async for row in self._list("/organization/projects")]
        return [Project(str(row.get("id") or ""), str(row.get("name") or "")) for row in found]

    async def rate_limits(self, project: str) -> dict[str, Limits]:
        """Return the limits that really hold in a project, by model."""
        limits = {}
        async for row in self._list(f"/organization/projects/{project}/rate_limits"):
            limits[str(row.get("model") or "")] = Limits(
                rpm=row.get("max_requests_per_1_minute"),
                tpm=row.get("max_tokens_per_1_minute"),
                rpd=row.get("max_requests_per_1_day"),
                ipm=row.get("max_images_per_1_minute"),
                batch=row.get("batch_1_day_max_input_tokens"),
            )
        return limits

    async def _buckets(self, path: str, query: Query) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        page: Query = []
        seen: set[str] = set()
        while True:
            content = await self._get(path, query + page)
            for bucket in _dicts(content.get("data")):
                day = datetime.fromtimestamp(int(bucket.get("start_time") or 0), UTC).strftime("%Y-%m-%d")
                for result in _dicts(bucket.get("results")):
                    yield day, result
            cursor = content.get("next_page")
            if not content.get("has_more") or not cursor:
                return
            page = [("page", _new_cursor(str(cursor), seen, path))]

    async def _list(self, path: str) -> AsyncIterator[dict[str, Any]]:
        page: Query = []
        seen: set[str] = set()
        while True:
            content = await self._get(path, [("limit", str(PAGE)), *page])
            for row in _dicts(content.get("data")):
                yield row
            last = content.get("last_id")
            if not content.get("has_more") or not last:
                return
            page = [("after", _new_cursor(str(last), seen, path))]

    async def _get(self, path: str, query: Query) -> dict[str, Any]:
        reply = await self._http.send(
            "GET", self._base + path, headers=self._headers, query=query, timeout=self._timeout
        )
        exchange = read_reply(reply)
        error = exchange.error
        if isinstance(error, AccessError):
            raise AccessError(
                f"{reply.host} does not let this key read {path.removeprefix('/')}: {error.message}",
                code="openai.admin-refused",
                hint="It takes an admin key (sk-admin-…) that may read usage; an owner of the organisation makes it. "
                "Set it as OPENAI_ADMIN_KEY.",
                where=reply.host,
            ) from error
        if isinstance(error, RejectedError) and error.status == 404 and "/usage/" in path:
            return {}  # an older server does not know this kind of usage: nothing was used
        if error is not None:
            raise error
        return dict(exchange.content)


def _span(start: int, end: int, limit: int, projects: tuple[str, ...]) -> Query:
    span = [("start_time", str(start)), ("end_time", str(end)), ("bucket_width", "1d"), ("limit", str(limit))]
    return span + [("project_ids[]", project) for project in projects]


def _new_cursor(cursor: str, seen: set[str], path: str) -> str:
    if cursor in seen:
        raise UnavailableError(f"{path} gives the same page again and again", code="openai.endless-pages")
    seen.add(cursor)
    return cursor


def _read_usage(day: str, row: dict[str, Any], has_tokens: bool) -> UsageRow:
    return UsageRow(
        day,
        str(row.get("project_id") or ""),
        str(row.get("model") or ""),
        int(row.get("num_model_requests") or 0),
        int(row.get("input_tokens") or 0),
        int(row.get("input_cached_tokens") or 0),
        int(row.get("output_tokens") or 0),
        has_tokens,
    )


def _read_cost(day: str, row: dict[str, Any]) -> BilledRow:
    amount = row.get("amount") or {}
    try:
        dollars = Decimal(str(amount.get("value") or 0))
    except InvalidOperation as error:
        raise UnavailableError(
            f"the costs of {day} hold an amount that is no number", code="openai.bad-costs"
        ) from error
    return BilledRow(day, str(row.get("project_id") or ""), str(row.get("line_item") or ""), int(dollars * DOLLAR))


def _dicts(value: Any) -> Iterator[dict[str, Any]]:
    return (item for item in value if isinstance(item, dict)) if isinstance(value, list) else iter(())
