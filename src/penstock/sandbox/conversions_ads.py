"""The part of the Ads API that conversions need, emulated: pixels, keys, event settings, campaigns, sample, insights.

Written from the vendor contract of November 2026; it shares its account with the Conversions API emulator.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs

import msgspec

from penstock.sandbox.conversions import (
    Answer,
    Minute,
    Receive,
    RefusedError,
    Scope,
    Send,
    page,
    planned,
    read_body,
    read_key,
    refuse,
    send_answer,
    too_fast,
)
from penstock.sandbox.conversions_rules import load_table
from penstock.sandbox.conversions_state import Campaign, ConversionsState, EventSetting, Received
from penstock.sandbox.world import Fault, cut_connection

Query = dict[str, list[str]]
PER_ENDPOINT, PER_ACCOUNT = 600, 1200
"""Requests a minute."""
_UNAUTHORIZED = "You have insufficient permissions for this operation."


def get_account(_state: ConversionsState, _query: Query, _content: Any) -> Any:
    """GET /ad_account."""
    return {
        "id": "adacct_sandbox1",
        "name": "Sandbox",
        "url": "https://www.example.com",
        "preview_url": None,
        "status": "active",
        "timezone": "UTC",
        "currency_code": "EUR",
    }


def list_pixels(state: ConversionsState, query: Query, _content: Any) -> Any:
    """GET /conversions/pixels."""
    _check_enabled(state)
    return cut_list([msgspec.to_builtins(one) for one in reversed(state.pixels)], query)


def create_pixel(state: ConversionsState, _query: Query, content: Any) -> Any:
    """POST /conversions/pixels."""
    _check_enabled(state)
    name = _read_name(content)
    if content.get("client_type") != "web":
        raise refuse(400, "client_type must be web.", param="client_type")
    return msgspec.to_builtins(state.add_pixel(name))


def create_key(state: ConversionsState, _query: Query, content: Any) -> Any:
    """POST /conversions/api_keys: the only time that the key is shown."""
    _check_enabled(state)
    return {"id": state.new_id("key"), "name": _read_name(content), "value": state.add_key("conversions")}


def list_settings(state: ConversionsState, query: Query, _content: Any) -> Any:
    """GET /conversions/event_settings: a fresh one may be missing for a moment."""
    carried = {
        setting.id: [one for one in state.campaigns if setting.id in one.conversion_event_setting_ids]
        for setting in state.settings
    }
    return cut_list([_show_setting(one, carried[one.id]) for one in state.shown_settings()], query)


def _show_setting(setting: EventSetting, campaigns: list[Campaign]) -> dict[str, Any]:
    linked = [{"id": one.id, "name": one.name} for one in campaigns]
    return {**msgspec.to_builtins(setting), "status": "active", "campaigns": linked}


def create_setting(state: ConversionsState, _query: Query, content: Any) -> Any:
    """POST /conversions/event_settings."""
    name, kind, table = _read_name(content, 1), content.get("event_type"), load_table()
    if kind not in list(table.types):
        raise refuse(400, "event_type must be a supported event type.", param="event_type")
    custom = content.get("custom_event_name")
    if (kind == "custom") != (custom is not None):
        raise refuse(400, "custom_event_name is required for custom events alone.", param="custom_event_name")
    if content.get("attribution_window_days") != 30:
        raise refuse(400, "attribution_window_days must be 30.", param="attribution_window_days")
    sources = content.get("source_ids")
    if not isinstance(sources, list) or len(sources) != 1:
        raise refuse(400, "source_ids must have exactly one entry.", param="source_ids")
    if sources[0] not in [pixel.id for pixel in state.pixels]:
        raise refuse(400, "Client data source not found", param="source_ids")
    setting = EventSetting(
        state.new_id("ces"),
        name,
        kind,
        30,
        tuple(sources),
        int(state.world.clock.now()),
        custom and str(custom).lower(),
    )
    state.settings.append(setting)
    return _show_setting(setting, [])


def list_campaigns(state: ConversionsState, query: Query, _content: Any) -> Any:
    """GET /campaigns."""
    return cut_list([msgspec.to_builtins(one) for one in state.campaigns], query)


def list_events(state: ConversionsState, query: Query, _content: Any) -> Any:
    """GET /conversions/events: a sample of the last 15 minutes, 50 at most."""
    if not state.behaviour.monitoring_enabled:
        raise refuse(404, "Not found")
    pixel_id = query.get("pid", [""])[-1]
    if not pixel_id:
        raise refuse(400, "pid is required.", param="pid")
    shown = [_show_event(one) for one in state.recent(pixel_id, min(_read_limit(query, 50), 50))]
    return {"object": "list", "data": shown}


def _show_event(one: Received) -> dict[str, Any]:
    event = one.event
    return {
        "id": one.id,
        "type": event["type"],
        "custom_event_name": event.get("custom_event_name"),
        "timestamp_ms": event["timestamp_ms"],
        "received_at_ms": round(one.at * 1000),
        "channel": one.channel,
    }


def report_conversions(state: ConversionsState, _query: Query, content: Any) -> Any:
    """POST /conversions/insights: attributed conversions, by day or in all."""
    by_entity = content.get("group_by_entity", True)
    entities = content.get("entity_ids") or []
    if by_entity and not entities:
        raise refuse(400, "entity_ids is required unless group_by_entity is false.", param="entity_ids")
    if content.get("aggregation_level") not in ("ad_account", "campaign", "ad_group", "ad"):
        raise refuse(400, "aggregation_level is invalid.", param="aggregation_level")
    start, end = _read_range(content.get("time_ranges"))
    if end - 86_400 > state.world.clock.now():
        raise refuse(400, "until must not be in the future.", param="time_ranges")
    days = state.count_conversions(start, end)
    if content.get("time_granularity") != "daily":
        return {"object": "list", "data": [_row(sum(days.values()), None)], "has_more": False}
    return {"object": "list", "data": [_row(days[day], day) for day in sorted(days)], "has_more": False}


def _row(count: int, day: str | None) -> dict[str, Any]:
    row = {"conversions": count, "click_through_conversions": count, "view_through_conversions": 0}
    return row if day is None else {"date": day, **row}


def _read_range(ranges: Any) -> tuple[float, float]:
    """Read the one time range, a JSON text: Unix seconds, or days that are both counted."""
    try:
        (text,) = ranges
        found = msgspec.json.decode(text)
        if found["type"] == "unix_range":
            return float(found["start"]), float(found["end"])
        first, last = (datetime.fromisoformat(found[name]).replace(tzinfo=UTC) for name in ("since", "until"))
        return first.timestamp(), (last + timedelta(days=1)).timestamp()
    except (TypeError, ValueError, KeyError, msgspec.DecodeError):
        raise refuse(400, "time_ranges must have one time range.", param="time_ranges") from None


Handler = Callable[[ConversionsState, Query, Any], Any]
ROUTES: dict[tuple[str, str], tuple[str, Handler]] = {
    ("GET", "/v1/ad_account"): ("ad_account", get_account),
    ("GET", "/v1/conversions/pixels"): ("pixels.list", list_pixels),
    ("POST", "/v1/conversions/pixels"): ("pixels.create", create_pixel),
    ("POST", "/v1/conversions/api_keys"): ("keys.create", create_key),
    ("GET", "/v1/conversions/event_settings"): ("settings.list", list_settings),
    ("POST", "/v1/conversions/event_settings"): ("settings.create", create_setting),
    ("GET", "/v1/campaigns"): ("campaigns.list", list_campaigns),
    ("GET", "/v1/conversions/events"): ("events.list", list_events),
    ("POST", "/v1/conversions/insights"): ("insights", report_conversions),
}


class AdsApp:
    """The emulated Ads API of one account; a key that was made for conversions alone is refused (401)."""

    def __init__(self, state: ConversionsState) -> None:
        self.state = state
        self.world = state.world
        self._minute = Minute()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        body = await read_body(receive)
        operation, handler = ROUTES.get((scope["method"], scope["path"].rstrip("/")), ("unknown", None))
        fault = self.world.take_fault("ads", operation)
        answer = await self._serve(scope, body, operation, handler, fault)
        self.world.note("ads", operation, 0 if answer is None else answer.status)
        if answer is None:
            await cut_connection(scope, receive)
        else:
            always = msgspec.structs.replace(self.state.behaviour, request_ids=True)
            await send_answer(send, answer, self.world, always)

    async def _serve(
        self, scope: Scope, body: bytes, operation: str, handler: Handler | None, fault: Fault | None
    ) -> Answer | None:
        kind = fault.kind if fault else ""
        if fault and kind == "status":
            return planned(fault)
        if fault and kind == "html":
            return page(fault.status or 502)
        if kind == "drop":
            return None
        try:
            answer = self._answer(scope, body, operation, handler)
        except RefusedError as error:
            answer = error.answer
        await self.world.wait("ads")
        if fault and kind in ("slow", "hang"):
            await self.world.clock.sleep(fault.seconds)
        if kind == "lost":
            return None
        return Answer(200, answer.body[:-1]) if kind == "malformed" else answer

    def _answer(self, scope: Scope, body: bytes, operation: str, handler: Handler | None) -> Answer:
        kind = self.state.kind_of(read_key(scope))
        if kind == "unknown":
            raise refuse(401, "Unauthorized")
        if kind not in ("advertiser", "any"):
            raise refuse(401, _UNAUTHORIZED)
        now = self.world.clock.now()
        if self._minute.take(operation, PER_ENDPOINT, now) or self._minute.take("", PER_ACCOUNT, now):
            raise RefusedError(too_fast(None))  # no header tells how long: none was seen
        if handler is None:
            listed = any(path == scope["path"].rstrip("/") for _, path in ROUTES)
            raise refuse(405, "Method Not Allowed") if listed else refuse(404, "Not found")
        query = parse_qs(str(scope["query_string"], "latin-1"))
        content = handler(self.state, query, _read_object(body) if scope["method"] == "POST" else {})
        return Answer(200, msgspec.json.encode(content))


def build_ads_app(state: ConversionsState) -> AdsApp:
    """Build the emulator over an account."""
    return AdsApp(state)


def cut_list(items: list[dict[str, Any]], query: Query) -> dict[str, Any]:
    """Return the page of a list that a request asks for with `limit` and `after`."""
    limit, after = _read_limit(query, 20), query.get("after", [""])[-1]
    begin = next((number + 1 for number, item in enumerate(items) if item["id"] == after), 0)
    shown = items[begin : begin + limit]
    return {
        "object": "list",
        "data": shown,
        "first_id": shown[0]["id"] if shown else None,
        "last_id": shown[-1]["id"] if shown else None,
        "has_more": begin + limit < len(items),
    }


def _read_limit(query: Query, default: int) -> int:
    text = query.get("limit", [str(default)])[-1]
    if not text.isdigit() or not 1 <= int(text) <= 500:
        raise refuse(400, "limit must be between 1 and 500.", param="limit")
    return int(text)


def _read_object(body: bytes) -> dict[str, Any]:
    try:
        content = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        content = None
    if not isinstance(content, dict):
        raise refuse(400, "We could not parse the JSON body of your request.")
    return content


def _read_name(content: dict[str, Any], shortest: int = 3) -> str:
    name = content.get("name")
    if not isinstance(name, str) or not shortest <= len(name) <= 1000:
        raise refuse(400, f"name must have {shortest} to 1,000 characters.", param="name")
    return name


def _check_enabled(state: ConversionsState) -> None:
    if not state.behaviour.setup_enabled:
        raise refuse(404, "Not found")
