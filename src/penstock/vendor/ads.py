"""A thin client of OpenAI's Ads API, as far as conversions need it: pixels, keys, event settings, what was counted.

developers.openai.com, pages "Conversion setup", "Conversion tracking", "API overview" (read 2026-11): an Advertiser
key of one ad account, lists with `after` and `has_more`, 600 requests a minute per endpoint and 1,200 in all. It
never retries: creating something twice makes two of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from penstock.base.errors import (
    AccessError,
    PenstockError,
    RejectedError,
    ThrottledError,
    UnavailableError,
    VendorError,
)
from penstock.base.redact import redact, register_secret
from penstock.vendor.conversions import read_wait
from penstock.vendor.http import Http, Reply

BASE_URL = "https://api.ads.openai.com/v1"
WINDOW_DAYS = 30
"""The only attribution window that the vendor documents for clicks."""
PAGE, MOST_PAGES = 500, 200
SAMPLE_MINUTES, SAMPLE_EVENTS = 15, 50


class Account(msgspec.Struct, frozen=True):
    """The ad account of a key; its days begin at midnight of `timezone`."""

    name: str
    timezone: str


class Pixel(msgspec.Struct, frozen=True):
    """A source of events: `source_id` for event settings, `pixel_id` for events."""

    source_id: str
    pixel_id: str
    name: str


class EventSetting(msgspec.Struct, frozen=True):
    """Which event of which sources counts as a conversion; `event_name` is the type or the custom name."""

    id: str
    name: str
    event_name: str
    source_ids: tuple[str, ...]
    status: str = ""


class Campaign(msgspec.Struct, frozen=True):
    """A campaign with the ids of the event settings that it carries."""

    id: str
    name: str
    status: str
    setting_ids: tuple[str, ...]


class Seen(msgspec.Struct, frozen=True):
    """One event of the vendor's sample; `channel` is pixel_sdk or server_to_server."""

    id: str
    event_name: str
    channel: str


class Counted(msgspec.Struct, frozen=True):
    """Conversions that the vendor attributed on one day; click-through is what bidding and billing use."""

    day: str
    click_through: int
    view_through: int


class Ads:
    """One ad account with the key that manages it."""

    def __init__(self, http: Http, api_key: str, *, base_url: str = BASE_URL, timeout: float = 60.0) -> None:
        """Use the Advertiser key `api_key` at `base_url`; `timeout` is in seconds."""
        self._http = http
        self._base = base_url.rstrip("/")
        self._timeout = timeout
        self._headers = {"Authorization": f"Bearer {api_key}", "Content-Type": "application/json"}
        register_secret(api_key)

    async def account(self) -> Account:
        """Return the ad account: the harmless way to try a key."""
        found = await self._call("GET", "/ad_account")
        return Account(_text(found, "name", "id"), _text(found, "timezone") or "UTC")

    async def pixels(self) -> list[Pixel]:
        """List the sources of events with their Pixel IDs."""
        return [_read_pixel(one) for one in await self._list("/conversions/pixels")]

    async def create_pixel(self, name: str) -> Pixel:
        """Create a source of web events; `name` has 3 to 1,000 characters."""
        return _read_pixel(await self._call("POST", "/conversions/pixels", {"name": name, "client_type": "web"}))

    async def create_key(self, name: str) -> str:
        """Create a Conversions key and return it: the vendor shows it this once, and documents no way to revoke it."""
        made = await self._call("POST", "/conversions/api_keys", {"name": name})
        key = next((found for found in _texts(made) if found.startswith("sk-")), "")
        if not key:
            raise VendorError(
                "the Ads API made a key and did not show it",
                code="ads.no-key",
                hint="Make one by hand: Ads Manager, Conversions, conversion keys.",
                where=self._base,
            )
        register_secret(key)
        return key

    async def settings(self) -> list[EventSetting]:
        """List which events count as conversions; one that was just made may be missing for a moment."""
        return [_read_setting(one) for one in await self._list("/conversions/event_settings")]

    async def create_setting(self, name: str, event_name: str, source_id: str, *, is_custom: bool) -> EventSetting:
        """Let an event of one source count; needs the source id, never the Pixel ID."""
        content: dict[str, Any] = {
            "name": name,
            "event_type": "custom" if is_custom else event_name,
            "attribution_window_days": WINDOW_DAYS,
            "source_ids": [source_id],
        }
        if is_custom:
            content["custom_event_name"] = event_name
        return _read_setting(await self._call("POST", "/conversions/event_settings", content))

    async def campaigns(self) -> list[Campaign]:
        """List campaigns with the event settings that they carry."""
        return [
            Campaign(
                _text(one, "id"),
                _text(one, "name"),
                _text(one, "status"),
                tuple(str(value) for value in one.get("conversion_event_setting_ids") or ()),
            )
            for one in await self._list("/campaigns")
        ]

    async def sample(self, pixel_id: str) -> list[Seen]:
        """Return events that the vendor saw in about the last 15 minutes: a sample of at most 50."""
        query = [("pid", pixel_id), ("limit", str(SAMPLE_EVENTS))]
        found = await self._call("GET", "/conversions/events", query=query)
        return [
            Seen(_text(one, "id", "event_id"), _event_name(one, "type", "event_type"), _text(one, "channel"))
            for one in _items(found)
        ]

    async def insights(self, since: str, until: str) -> list[Counted]:
        """Return the account's attributed conversions by day, from `since` to `until` (`2026-11-20`), both counted.

        Days are those of the account's time zone; one that has not begun there is refused.
        """
        span = msgspec.json.encode({"type": "date_range", "since": since, "until": until}).decode()
        content = {
            "aggregation_level": "ad_account",
            "time_granularity": "daily",
            "time_ranges": [span],
            "group_by_entity": False,
        }
        found = await self._call("POST", "/conversions/insights", content)
        return [
            Counted(
                _text(one, "date", "day", "readable_time")[:10],
                _number(one, "click_through_conversions", "conversions"),
                _number(one, "view_through_conversions"),
            )
            for one in _items(found)
        ]

    async def _list(self, path: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        query = [("limit", str(PAGE))]
        for _ in range(MOST_PAGES):
            page = await self._call("GET", path, query=query)
            found += _items(page)
            last = page.get("last_id")
            if not page.get("has_more") or not last or ("after", last) in query:
                return found
            query = [("limit", str(PAGE)), ("after", str(last))]
        return found

    async def _call(
        self, method: str, path: str, content: Any = None, *, query: list[tuple[str, str]] | None = None
    ) -> dict[str, Any]:
        body = None if content is None else msgspec.json.encode(content)
        reply = await self._http.send(
            method, self._base + path, headers=self._headers, body=body, query=query, timeout=self._timeout
        )
        if 200 <= reply.status < 300:
            found = reply.json()
            return found if isinstance(found, dict) else {"data": found}
        raise _explain(reply, path)


def _explain(reply: Reply, path: str) -> PenstockError:
    said = _read_message(reply.body) or "no message"
    text = f"{reply.host} refused {path} ({reply.status}): {said}"
    known: dict[str, Any] = {
        "where": reply.host,
        "detail": said,
        "status": reply.status,
        "request_id": reply.headers.get("x-request-id"),
    }
    if reply.status == 401:
        return AccessError(
            text,
            code="ads.key-refused",
            hint="Set OPENAI_ADS_API_KEY to an Advertiser key (Ads Manager, Settings), not to a Conversions key.",
            where=reply.host,
        )
    if reply.status == 403:
        return AccessError(
            text,
            code="ads.not-allowed",
            hint="The account lacks this feature, or a gateway refused the request before OpenAI saw it.",
            where=reply.host,
        )
    if reply.status == 429:
        wait = read_wait(reply.headers)
        hint = "600 requests a minute per endpoint, 1,200 in all: wait a minute, then run it again."
        return ThrottledError(text, code="ads.throttled", hint=hint, retry_after=wait, **known)
    if reply.status >= 500 or reply.status == 408:
        return UnavailableError(text, code="ads.unavailable", **known)
    return _explain_rejection(reply, said, text, known)


def _explain_rejection(reply: Reply, said: str, text: str, known: dict[str, Any]) -> RejectedError:
    if reply.status == 404:
        hint = "This is switched on per ad account: ask your OpenAI partner representative, or use Ads Manager by hand."
        return RejectedError(text, code="ads.not-enabled", hint=hint, **known)
    if "data source not found" in said.lower():
        hint = "Give the source id (cds_…), not the Pixel ID; `penstock events settings` lists both."
        return RejectedError(text, code="ads.source-unknown", hint=hint, **known)
    return RejectedError(text, code="ads.rejected", hint="Change what the message names.", **known)


def _read_message(body: bytes) -> str:
    try:
        content = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""
    error = content.get("error", content.get("detail")) if isinstance(content, dict) else None
    return redact(str(error.get("message") if isinstance(error, dict) else error or "")[:1000])


def _items(found: dict[str, Any]) -> list[dict[str, Any]]:
    items = found.get("data")
    return [one for one in items if isinstance(one, dict)] if isinstance(items, list) else []


def _text(item: dict[str, Any], *names: str) -> str:
    return next((str(item[name]) for name in names if item.get(name) is not None), "")


def _number(item: dict[str, Any], *names: str) -> int:
    return next((int(item[name]) for name in names if isinstance(item.get(name), (int, float))), 0)


def _texts(value: Any) -> Iterator[str]:
    """Yield every text in a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _texts(inner)


def _event_name(item: dict[str, Any], *names: str) -> str:
    kind = _text(item, *names)
    return _text(item, "custom_event_name").lower() if kind == "custom" else kind


def _read_pixel(item: dict[str, Any]) -> Pixel:
    return Pixel(_text(item, "id"), _text(item, "pixel_id"), _text(item, "name"))


def _read_setting(item: dict[str, Any]) -> EventSetting:
    sources = item.get("source_ids")
    return EventSetting(
        _text(item, "id"),
        _text(item, "name"),
        _event_name(item, "event_type"),
        tuple(str(one) for one in sources) if isinstance(sources, list) else (),
        _text(item, "status"),
    )
