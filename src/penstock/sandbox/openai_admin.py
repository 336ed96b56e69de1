"""The part of the emulated OpenAI that only an admin key may read: usage, costs, projects and their rate limits.

Usage and costs are what the world billed, in one project; written from the contract of 2026-11-20 (2.9, 2.18).
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from penstock.sandbox.openai_requests import ApiError
from penstock.sandbox.openai_routes import Call, Done, Route, Service, answer_json
from penstock.sandbox.world import Billed

PROJECT = "proj_sandbox"
KEY = "key_sandbox"
_DAY = 86_400
_WIDTHS = {"1m": (60, 60, 1440), "1h": (3600, 24, 168), "1d": (_DAY, 7, 31)}
"""Seconds of a bucket, and how many are returned by default and at most (contract 2.18)."""
_COST_BUCKETS = (7, 180)
_UNLIMITED = 1_000_000_000
"""The fields are whole numbers that must be there."""
_KINDS = {
    "responses": "completions",
    "chat": "completions",
    "completions": "completions",
    "decisions": "decisions",
    "embeddings": "embeddings",
    "moderations": "moderations",
    "images.generate": "images",
    "images.edit": "images",
    "speech": "audio_speeches",
    "transcriptions": "audio_transcriptions",
    "translations": "audio_transcriptions",
}
_UNUSED = ("vector_stores", "code_interpreter_sessions", "file_search_calls", "web_search_calls")
_GROUPS = ("project_id", "user_id", "api_key_id", "model", "batch", "service_tier", "api_source")
_OWNERS = ("project_id", "user_id", "api_key_id", "model")
_COST_GROUPS = ("project_id", "user_id", "line_item", "api_key_id", "api_source")


def make_routes(service: Service) -> list[Route]:
    """Return the endpoints of the organisation."""
    desk = _Desk(service)
    kinds = [*dict.fromkeys(_KINDS.values()), *_UNUSED]
    return [
        *(_route(f"/v1/organization/usage/{kind}", f"admin.usage.{kind}", desk.usage_of(kind)) for kind in kinds),
        _route("/v1/organization/costs", "admin.costs", desk.costs),
        _route("/v1/organization/projects", "admin.projects", desk.projects),
        _route("/v1/organization/projects/{id}", "admin.projects.retrieve", desk.project),
        _route("/v1/organization/projects/{id}/rate_limits", "admin.rate_limits", desk.rate_limits),
    ]


def _route(path: str, operation: str, handler: Callable[[Call], Done]) -> Route:
    return Route("GET", path, operation, handler, admin=True)


class _Span(NamedTuple):
    """The buckets that one page covers: from, to (exclusive), seconds each, and where the next page begins."""

    start: int
    end: int
    width: int
    more: int | None


class _Item(NamedTuple):
    """Something billed, as the reports look at it."""

    kind: str
    model: str
    is_batch: bool
    tier: str
    bill: Billed

    @property
    def group(self) -> dict[str, Any]:
        return {
            "project_id": PROJECT,
            "user_id": None,
            "api_key_id": KEY,
            "model": self.model,
            "batch": self.is_batch,
            "service_tier": self.tier,
            "api_source": "unlabeled",
        }


class _Desk:
    """Answers from what the world billed."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def usage_of(self, kind: str) -> Callable[[Call], Done]:
        """Return the handler that reports one kind of usage."""
        return lambda call: self._usage(call, kind)

    def _usage(self, call: Call, kind: str) -> Done:
        groups = _groups(call, _GROUPS)
        width = call.asked("bucket_width", "1d")
        if width not in _WIDTHS:
            raise _invalid("bucket_width", f"'{width}' is not one of 1m, 1h, 1d.")
        seconds, usual, most = _WIDTHS[width]
        span = self._span(call, seconds, usual, most)
        items = [item for item in self._items(call, span) if item.kind == kind]
        return answer_json(_page(span, lambda start, end: _report(kind, groups, _between(items, start, end))))

    def costs(self, call: Call) -> Done:
        """Report costs per day, by line item where that is asked for."""
        groups = _groups(call, _COST_GROUPS)
        if call.asked("bucket_width", "1d") != "1d":
            raise _invalid("bucket_width", "Costs come per day only.")
        span = self._span(call, _DAY, *_COST_BUCKETS)
        items = self._items(call, span)
        wanted = _many(call, "line_items")

        def report(start: int, end: int) -> list[dict[str, Any]]:
            sums: dict[tuple[Any, ...], list[float]] = {}
            for item in _between(items, start, end):
                for line, quantity, dollars in _lines(item):
                    if wanted and line not in wanted:
                        continue
                    group = {**item.group, "line_item": line}
                    total = sums.setdefault(tuple(group[name] for name in groups), [0.0, 0.0])
                    total[0] += dollars
                    total[1] += quantity
            return [_cost(groups, values, *total) for values, total in sums.items()]

        return answer_json(_page(span, report))

    def projects(self, _call: Call) -> Done:
        """List the one project."""
        return answer_json(_listing([_project()]))

    def project(self, call: Call) -> Done:
        """Return the one project."""
        _check_project(call)
        return answer_json(_project())

    def rate_limits(self, call: Call) -> Done:
        """List the limits that the emulated service really holds callers to."""
        _check_project(call)
        service = self._service
        rows = []
        for model in service.models.all:
            if service.models.is_shut_down(model, model.id, service.world.clock.now()):
                continue
            limit = service.limiter.limits.get(model.id, service.limiter.default)
            row: dict[str, Any] = {
                "object": "project.rate_limit",
                "id": f"rl-{model.id}",
                "model": model.id,
                "max_requests_per_1_minute": int(limit.rpm or _UNLIMITED),
                "max_tokens_per_1_minute": int(limit.tpm or _UNLIMITED),
            }
            if limit.rpd is not None:
                row["max_requests_per_1_day"] = int(limit.rpd)
            if limit.ipm is not None:
                row["max_images_per_1_minute"] = int(limit.ipm)
            rows.append(row)
        return answer_json(_listing(_after(call, rows), _count(call, 100, 100)))

    def _span(self, call: Call, width: int, usual: int, most: int) -> _Span:
        start = _number(call, "start_time")
        if start is None:
            raise _invalid("start_time", "Missing required parameter: 'start_time'.", "missing_required_parameter")
        end = _number(call, "end_time")
        end = int(self._service.world.clock.now()) + 1 if end is None else end
        if end <= start:
            raise _invalid("end_time", "'end_time' must be after 'start_time'.")
        first = _read_cursor(call) or start // width * width
        last = min(first + _count(call, usual, most) * width, -(-end // width) * width)
        return _Span(first, last, width, last if last < end else None)

    def _items(self, call: Call, span: _Span) -> list[_Item]:
        models, projects, keys = _many(call, "models"), _many(call, "project_ids"), _many(call, "api_key_ids")
        batch = call.asked("batch")
        if (projects and PROJECT not in projects) or (keys and KEY not in keys):
            return []
        found = []
        for bill in self._service.world.billed:
            operation = bill.operation.removeprefix("batch.")
            is_batch = operation != bill.operation
            if operation not in _KINDS or not span.start <= bill.at < span.end:
                continue
            if (models and bill.model not in models) or (batch and (batch == "true") != is_batch):
                continue
            found.append(_Item(_KINDS[operation], bill.model, is_batch, "batch" if is_batch else bill.tier, bill))
        return found


def _between(items: Iterable[_Item], start: int, end: int) -> list[_Item]:
    return [item for item in items if start <= item.bill.at < end]


def _page(span: _Span, report: Callable[[int, int], list[dict[str, Any]]]) -> dict[str, Any]:
    buckets = [
        {
            "object": "bucket",
            "start_time": start,
            "end_time": start + span.width,
            "results": report(start, start + span.width),
        }
        for start in range(span.start, span.end, span.width)
    ]
    more = span.more
    cursor = None if more is None else "page_" + base64.urlsafe_b64encode(str(more).encode()).decode().rstrip("=")
    return {"object": "page", "data": buckets, "has_more": more is not None, "next_page": cursor}


def _report(kind: str, groups: list[str], items: list[_Item]) -> list[dict[str, Any]]:
    by_group: dict[tuple[Any, ...], list[_Item]] = {}
    for item in items:
        by_group.setdefault(tuple(item.group[name] for name in groups), []).append(item)
    return [
        {
            "object": f"organization.usage.{kind}.result",
            **_amounts(kind, [item.bill for item in members]),
            "num_model_requests": len(members),
            **dict.fromkeys(_GROUPS if kind in ("completions", "decisions") else _OWNERS),
            **dict(zip(groups, values, strict=True)),
        }
        for values, members in by_group.items()
    ]


def _amounts(kind: str, bills: list[Billed]) -> dict[str, Any]:
    def total(name: str) -> int:
        return int(sum(getattr(bill.usage, name) for bill in bills))

    if kind == "images":
        return {"images": total("images")}
    if kind == "audio_speeches":
        return {"characters": total("characters")}
    if kind == "audio_transcriptions":
        return {"seconds": total("seconds")}
    taken = {"input_tokens": total("input")}
    if kind in ("embeddings", "moderations"):
        return taken
    cached, written = total("cached"), total("cache_write")
    return {
        **taken,
        "output_tokens": total("output"),
        "input_cached_tokens": cached,
        "input_cache_write_tokens": written,
        "input_uncached_tokens": taken["input_tokens"] - cached - written,
        "input_audio_tokens": total("audio_input"),
        "output_audio_tokens": total("audio_output"),
    }


def _cost(groups: list[str], values: tuple[Any, ...], dollars: float, quantity: float) -> dict[str, Any]:
    shown = dict(zip(groups, values, strict=True))
    is_counted = "line_item" in shown
    return {
        "object": "organization.costs.result",
        "amount": {"value": round(dollars, 12), "currency": "usd"},
        **dict.fromkeys(_COST_GROUPS),
        **shown,
        "quantity": quantity if is_counted else None,
        "quantity_unit": _unit_of(str(shown["line_item"])) if is_counted else None,
    }


def _unit_of(line: str) -> str:
    return {"characters": "characters", "duration": "duration_minutes"}.get(line.rsplit(", ", 1)[1], "tokens")


def _lines(item: _Item) -> Iterator[tuple[str, float, float]]:
    """Yield line item, quantity and dollars of something billed (prices of October 2026)."""
    usage = item.bill.usage
    lists = _prices().get(item.model, {})
    is_long = usage.input > 272_000 and "long" in lists
    table: dict[str, dict[str, float]] = lists["long"] if is_long else lists
    tier = (
        "decide" if item.kind == "decisions" else {"default": "standard", "priority": "fast"}.get(item.tier, item.tier)
    )
    rates = table.get(tier) or table.get("standard") or {}
    if "minute" in rates:
        yield f"{item.model}, duration", usage.seconds / 60, usage.seconds / 60 * rates["minute"]
        return
    if "characters" in rates:
        yield f"{item.model}, characters", usage.characters, usage.characters * rates["characters"] / 1e6
        return
    image, audio = usage.image_input, usage.audio_input
    cached_image = max(usage.cached - max(usage.input - image - audio - usage.cache_write, 0), 0)
    text = usage.input - usage.cached - usage.cache_write - (image - cached_image) - audio
    plain = rates.get("input", 0.0)
    drawn = rates.get("image_output", rates.get("output", 0.0))
    parts = (
        ("input_tokens", text, plain),
        ("cached_input_tokens", usage.cached - cached_image, rates.get("cached", plain)),
        ("cache_write_tokens", usage.cache_write, rates.get("write", plain)),
        ("image_input_tokens", image - cached_image, rates.get("image_input", plain)),
        ("cached_image_input_tokens", cached_image, rates.get("image_cached", plain)),
        ("audio_input_tokens", audio, rates.get("audio_input", plain)),
        ("output_tokens", usage.output - usage.image_output - usage.audio_output, rates.get("output", drawn)),
        ("image_output_tokens", usage.image_output, drawn),
        ("audio_output_tokens", usage.audio_output, rates.get("audio_output", rates.get("output", 0.0))),
    )
    for name, tokens, rate in parts:
        if tokens:
            yield f"{item.model}, {name}", tokens, tokens * rate / 1e6


@cache
def _prices() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = msgspec.json.decode(Path(__file__).with_name("openai_prices.json").read_bytes())
    return found


def _project() -> dict[str, Any]:
    return {
        "id": PROJECT,
        "object": "organization.project",
        "name": "Sandbox",
        "created_at": 1_790_000_000,
        "archived_at": None,
        "status": "active",
    }


def _check_project(call: Call) -> None:
    if call.names["id"] != PROJECT:
        raise ApiError(404, f"The project {call.names['id']} was not found")


def _listing(rows: list[dict[str, Any]], count: int = 100) -> dict[str, Any]:
    shown = rows[:count]
    return {
        "object": "list",
        "data": shown,
        "first_id": shown[0]["id"] if shown else None,
        "last_id": shown[-1]["id"] if shown else None,
        "has_more": len(rows) > count,
    }


def _after(call: Call, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    ids = [row["id"] for row in rows]
    after = call.asked("after")
    return rows[ids.index(after) + 1 :] if after in ids else rows


def _groups(call: Call, known: tuple[str, ...]) -> list[str]:
    groups = _many(call, "group_by")
    for name in groups:
        if name not in known:
            raise _invalid("group_by", f"'{name}' is not one of {', '.join(known)}.")
    return groups


def _many(call: Call, name: str) -> list[str]:
    return [*call.query.get(name, ()), *call.query.get(f"{name}[]", ())]


def _number(call: Call, name: str) -> int | None:
    text = call.asked(name)
    if text and not text.isdigit():
        raise _invalid(name, f"'{text}' is not an integer.")
    return int(text) if text else None


def _count(call: Call, usual: int, most: int) -> int:
    limit = _number(call, "limit")
    limit = usual if limit is None else limit
    if not 1 <= limit <= most:
        raise _invalid("limit", f"'limit' must be between 1 and {most}.")
    return limit


def _read_cursor(call: Call) -> int | None:
    page = call.asked("page")
    if not page:
        return None
    try:
        text = page.removeprefix("page_")
        return int(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (ValueError, binascii.Error) as error:
        raise _invalid("page", "The cursor is not one of ours.") from error


def _invalid(param: str, text: str, code: str = "invalid_value") -> ApiError:
    return ApiError(400, text, code=code, param=param)
