"""Compares what was delivered with what the vendor counts: event settings, campaigns, its sample and its insights.

An event counts only when an event setting selects it and a campaign carries that setting; sending and defining are
separate (developers.openai.com, "Conversion tracking", read 2026-11). The vendor's sample and insights never hold
every event, so they are set side by side with the deliveries, not subtracted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Collection, Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from penstock.base.errors import RejectedError
from penstock.base.types import Finding
from penstock.runtime.store import Store
from penstock.vendor.ads import SAMPLE_MINUTES, Ads, Campaign, Counted, EventSetting, Pixel, Seen
from penstock.vendor.conversions import SOURCE_ID

T = TypeVar("T")

_EPOCH = date(1970, 1, 1)


class Setup(msgspec.Struct, frozen=True):
    """What the ad account has; None where the API is not switched on for it."""

    pixels: tuple[Pixel, ...] | None
    settings: tuple[EventSetting, ...] | None
    campaigns: tuple[Campaign, ...] | None

    def find_pixel(self, pixel_id: str) -> Pixel | None:
        """Return the source whose Pixel ID this is, or whose source id was taken for it."""
        return next((one for one in self.pixels or () if pixel_id in (one.pixel_id, one.source_id)), None)


class Delivered(msgspec.Struct, frozen=True):
    """How many events of one name, that happened on one day (UTC), were delivered."""

    day: str
    event_name: str
    count: int


class Standing(msgspec.Struct, frozen=True):
    """One event name: deliveries, the settings that register it for this pixel, the campaigns that carry those.

    `settings` and `campaigns` are None where the account does not tell. `by_server` and `by_pixel` are events of the
    vendor's sample, by the channel that they came through.
    """

    event_name: str
    delivered: int
    settings: tuple[str, ...] | None
    campaigns: tuple[str, ...] | None
    by_server: int = 0
    by_pixel: int = 0


class Day(msgspec.Struct, frozen=True):
    """One day: what was delivered (UTC, by time of the event), and what the vendor attributed (account's time zone)."""

    day: str
    delivered: int
    click_through: int | None
    view_through: int | None


class Comparison(msgspec.Struct, frozen=True):
    """Deliveries beside what the vendor tells; `sample` counts the sample's server events by their state here."""

    pixel_id: str
    standings: tuple[Standing, ...]
    days: tuple[Day, ...]
    sample: dict[str, int] | None
    findings: tuple[Finding, ...]


async def read_setup(ads: Ads) -> Setup:
    """Read pixels, event settings and campaigns of the ad account."""
    pixels = await _where_enabled(ads.pixels())
    settings = await _where_enabled(ads.settings())
    campaigns = await _where_enabled(ads.campaigns())
    return Setup(*(None if one is None else tuple(one) for one in (pixels, settings, campaigns)))  # type: ignore[arg-type]


async def _where_enabled(call: Awaitable[T]) -> T | None:
    """Return what a call gives, or None where the account does not have that endpoint."""
    try:
        return await call
    except RejectedError as error:
        if error.code == "ads.not-enabled":
            return None
        raise


async def read_delivered(store: Store, pixel_id: str, since: date) -> list[Delivered]:
    """Return the deliveries to a Pixel ID by day and event name, from the day `since` on."""
    found: Counter[tuple[int, str]] = Counter()
    for row in await store.read("event_counts", since=(since - _EPOCH).days):
        day, _, _, pixel, is_trial, _, name, state, _, count = row
        if pixel == pixel_id and not is_trial and state == "delivered":
            found[int(day), str(name)] += int(count)
    return [
        Delivered((_EPOCH + timedelta(days=day)).isoformat(), name, count)
        for (day, name), count in sorted(found.items())
        if count > 0
    ]


async def read_states(store: Store, pixel_id: str, seen: Iterable[Seen]) -> Counter[str]:
    """Count events of the vendor's server sample by the state that they have here; `unknown` were sent by others."""
    found: Counter[str] = Counter()
    for one in seen:
        if one.channel != "pixel_sdk":
            rows = await store.read("event_states_of", event_id=one.id, event_name=one.event_name, pixel=pixel_id)
            states = {str(row[0]) for row in rows}
            found["delivered" if "delivered" in states else next(iter(sorted(states)), "unknown")] += 1
    return found


async def compare(ads: Ads, store: Store, pixel_id: str, since: date, now: float) -> Comparison:
    """Set deliveries since a day beside the account's set-up, its sample of the last minutes and its insights."""
    setup = await read_setup(ads)
    delivered = await read_delivered(store, pixel_id, since)
    sample = await _where_enabled(ads.sample(pixel_id))
    today = find_today((await ads.account()).timezone, now)
    counted = await _where_enabled(ads.insights(min(since, today).isoformat(), today.isoformat()))
    states = None if sample is None else dict(await read_states(store, pixel_id, sample))
    standings = stand(setup, pixel_id, delivered, sample or ())
    findings = [*judge_pixel(setup, pixel_id), *judge_standings(standings), *judge_sample(sample, states)]
    return Comparison(pixel_id, tuple(standings), tuple(join_days(delivered, counted)), states, tuple(findings))


def find_today(timezone: str, now: float) -> date:
    """Return the day that it is in a time zone; UTC stands for one that this machine does not know."""
    try:
        return datetime.fromtimestamp(now, ZoneInfo(timezone)).date()
    except (ZoneInfoNotFoundError, ValueError):
        return datetime.fromtimestamp(now, UTC).date()


def stand(
    setup: Setup, pixel_id: str, delivered: Iterable[Delivered] = (), sample: Collection[Seen] = ()
) -> list[Standing]:
    """Return how each event name stands that was delivered, seen or registered for this pixel."""
    counts: Counter[str] = Counter()
    for one in delivered:
        counts[one.event_name] += one.count
    pixel = setup.find_pixel(pixel_id)
    settings = [
        one
        for one in setup.settings or ()
        if setup.pixels is None or not one.source_ids or (pixel and pixel.source_id in one.source_ids)
    ]
    by_channel = Counter((one.event_name, one.channel == "pixel_sdk") for one in sample)
    names = {*counts, *(one.event_name for one in settings), *(one.event_name for one in sample)}
    return [
        Standing(
            name,
            counts[name],
            None if setup.settings is None else tuple(one.name for one in settings if one.event_name == name),
            _carriers(setup, [one.id for one in settings if one.event_name == name]),
            by_channel[name, False],
            by_channel[name, True],
        )
        for name in sorted(names, key=lambda name: (-counts[name], name))
    ]


def _carriers(setup: Setup, setting_ids: Sequence[str]) -> tuple[str, ...] | None:
    if setup.campaigns is None or setup.settings is None:
        return None
    return tuple(one.name for one in setup.campaigns if set(setting_ids) & set(one.setting_ids))


def join_days(delivered: Iterable[Delivered], counted: Iterable[Counted] | None) -> list[Day]:
    """Set deliveries and attributed conversions of each day side by side; None where the account does not tell."""
    sent: Counter[str] = Counter()
    for one in delivered:
        sent[one.day] += one.count
    attributed = {one.day: one for one in counted or ()}
    nothing = None if counted is None else 0
    return [
        Day(
            day,
            sent[day],
            attributed[day].click_through if day in attributed else nothing,
            attributed[day].view_through if day in attributed else nothing,
        )
        for day in sorted({*sent, *attributed})
    ]


def judge_pixel(setup: Setup, pixel_id: str) -> list[Finding]:
    """Say whether the Pixel ID is one of the account."""
    if setup.pixels is None:
        what = "the account does not let its pixels be listed"
        return [Finding("pixel", "warn", what, "Compare the Pixel ID with Ads Manager by hand.")]
    pixel = setup.find_pixel(pixel_id)
    if pixel and pixel.pixel_id == pixel_id:
        return [Finding("pixel", "ok", f"{pixel_id} is {pixel.name!r}, source id {pixel.source_id}")]
    if pixel:
        return [
            Finding("pixel", "fail", f"{pixel_id} is a source id", f"Set conversions.pixel-id to {pixel.pixel_id}.")
        ]
    if SOURCE_ID.match(pixel_id):
        what = f"{pixel_id} is a source id, and of another ad account"
    else:
        what = f"{pixel_id} is not a pixel of this ad account"
    known = ", ".join(f"{one.pixel_id} ({one.name})" for one in setup.pixels[:5]) or "none"
    return [Finding("pixel", "fail", what, f"Set conversions.pixel-id to one of this account: {known}.")]


def judge_standings(standings: Iterable[Standing]) -> list[Finding]:
    """Say which delivered events cannot count, and why."""
    found = []
    for one in standings:
        if not one.delivered or one.settings is None:
            continue
        if not one.settings:
            what = f"{one.delivered:,} delivered, and no event setting of this pixel selects them: none counts"
            fix = f"penstock events setup event {one.event_name}"
            found.append(Finding(one.event_name, "warn", what, fix))
        elif one.campaigns is not None and not one.campaigns:
            what = f"{one.delivered:,} delivered and registered, but no campaign carries the setting: none counts"
            found.append(Finding(one.event_name, "warn", what, "Attach the event to a campaign in Ads Manager."))
        else:
            carried = "campaigns are not told" if one.campaigns is None else f"carried by {len(one.campaigns)}"
            found.append(Finding(one.event_name, "ok", f"{one.delivered:,} delivered, registered, {carried}"))
        if one.by_pixel and one.by_server:
            what = "the browser pixel sends it too; with the same id the copy that comes first counts"
            found.append(Finding(one.event_name, "warn", what, "Give both copies one id, or send it by one way only."))
    return found


def judge_sample(sample: Collection[Seen] | None, states: dict[str, int] | None) -> list[Finding]:
    """Say what the vendor's own sample proves."""
    if sample is None or states is None:
        what = "event monitoring is not switched on for this account"
        return [Finding("sample", "warn", what, "Look at the events in Ads Manager instead.")]
    own, total = states.get("delivered", 0), sum(states.values())
    if not total:
        what = f"no server event in the sample of the last {SAMPLE_MINUTES} minutes"
        return [Finding("sample", "ok", f"{what}; it is a sample, so this proves nothing")]
    found = [Finding("sample", "ok", f"{total} server events seen by the vendor, {own} of them delivered from here")]
    if states.get("unknown"):
        what = f"{states['unknown']} server events of the sample were never sent from here"
        found.append(Finding("sample", "warn", what, "Find out what else sends to this Pixel ID."))
    if unsure := total - own - states.get("unknown", 0):
        what = f"{unsure} events were seen by the vendor without being delivered by our count"
        found.append(
            Finding("sample", "warn", what, "Their answers were lost; sending again with the same ids is safe.")
        )
    return found
