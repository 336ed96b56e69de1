"""One emulated ad account: pixels, keys, event settings, campaigns, and the events that it was sent."""

from __future__ import annotations

import hashlib
from collections import Counter, OrderedDict, deque
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec

from penstock.sandbox.conversions_rules import Behaviour, matched_fields, name_of
from penstock.sandbox.world import World

PIXEL = "SandboxPixelId00000001"
"""The Pixel ID of the website that every emulated account begins with."""
SAMPLE_SECONDS = 15 * 60.0
_LETTERS = "0123456789ABCDEFGHJKMNPQRSTVWXYZabcdefghjkmnpqrstvwxyz"


class Pixel(msgspec.Struct, frozen=True):
    """A source of events: `id` names it in event settings, `pixel_id` in requests with events."""

    id: str
    pixel_id: str
    name: str
    client_type: str = "web"


class EventSetting(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which event counts as a conversion."""

    id: str
    name: str
    event_type: str
    attribution_window_days: int
    source_ids: tuple[str, ...]
    created_at: int
    custom_event_name: str | None = None

    @property
    def event_name(self) -> str:
        """Return the name that events are told apart by."""
        return (self.custom_event_name or "").lower() if self.event_type == "custom" else self.event_type


class Campaign(msgspec.Struct):
    """A campaign, which counts the events of the settings that it carries."""

    id: str
    name: str
    status: str = "active"
    bidding_type: str = "clicks"
    conversion_event_setting_ids: list[str] = msgspec.field(default_factory=list)


class Received(msgspec.Struct, frozen=True, gc=False):
    """One event that was saved, as JSON, and when."""

    pixel_id: str
    name: str
    id: str
    body: bytes
    at: float
    behaviour: Behaviour
    channel: str = "server_to_server"

    @property
    def event(self) -> dict[str, Any]:
        """Return the event."""
        found: dict[str, Any] = msgspec.json.decode(self.body)
        return found

    @property
    def matched(self) -> dict[str, list[Any]]:
        """Return what it can be matched by, under the behaviour that it came under."""
        return matched_fields(self.event.get("user"), self.behaviour)


class ConversionsState:
    """What the emulated account knows; to be seeded and read by tests."""

    def __init__(self, world: World, behaviour: Behaviour | None = None, *, keep: int | None = None) -> None:
        """Begin with one website and one campaign.

        `keep` bounds the events held, the counts stay exact; by default it is as much as the world's logs keep.
        """
        self.world = world
        self.behaviour = behaviour or Behaviour()
        self.pixels: list[Pixel] = [Pixel("cds_sandbox0001", PIXEL, "Sandbox website")]
        self.settings: list[EventSetting] = []
        self.campaigns: list[Campaign] = [Campaign("cmpn_sandbox1", "Sandbox campaign")]
        self.keys: dict[str, str] = {}
        """Key: its kind. Keys that are not listed tell their kind by what they contain."""
        self.received: deque[Received] = deque(maxlen=world.log.maxlen if keep is None else keep)
        self.saved: Counter[tuple[str, str]] = Counter()
        """Events saved, by Pixel ID and event name."""
        self.counts: Counter[str] = Counter()
        """Totals: requests, saved, duplicates, validated, refused batches."""
        self._first: OrderedDict[bytes, float] = OrderedDict()  # a dict finds its oldest ever more slowly
        self.made = 0
        """How many ids were made."""

    def new_id(self, prefix: str) -> str:
        """Return an id that no other object has; equal worlds make equal ids."""
        self.made += 1
        return f"{prefix}_{self._digest(prefix)[:24]}"

    def _digest(self, kind: str) -> str:
        return hashlib.blake2b(f"{self.world.seed} {kind} {self.made}".encode(), digest_size=24).hexdigest()

    def add_pixel(self, name: str) -> Pixel:
        """Create a source with its Pixel ID."""
        source = self.new_id("cds")
        number = int(self._digest("pixel"), 16)
        letters = []
        for _ in range(22):
            number, rest = divmod(number, len(_LETTERS))
            letters.append(_LETTERS[rest])
        self.pixels.append(Pixel(source, "".join(letters), name))
        return self.pixels[-1]

    def add_key(self, kind: str) -> str:
        """Create a key of a kind: conversions, advertiser, platform or unscoped; all look the same."""
        self.made += 1
        key = f"sk-svcacct-{self._digest('key')}"
        self.keys[key] = kind
        return key

    def kind_of(self, key: str) -> str:
        """Return what a key may do: conversions, advertiser, platform, unscoped, any, or unknown."""
        if key in self.keys:
            return self.keys[key]
        if "invalid" in key or not key.startswith("sk-"):
            return "unknown"
        return next((kind for kind in ("advertiser", "platform", "unscoped", "conversions") if kind in key), "any")

    def knows_pixel(self, pixel_id: str) -> bool:
        """Say whether events may be sent to an id; a source id never is one."""
        if any(pixel.pixel_id == pixel_id for pixel in self.pixels):
            return True
        is_plain = pixel_id.isascii() and pixel_id.isalnum()
        return self.behaviour.any_pixel and is_plain and "unknown" not in pixel_id

    def save(self, pixel_id: str, event: dict[str, Any], at: float | None = None) -> bool:
        """Keep an event; False when one with its pixel, name and id came before: the first wins."""
        name, now = name_of(event), self.world.clock.now() if at is None else at
        key = hashlib.blake2b(f"{pixel_id}\n{name}\n{event['id']}".encode(), digest_size=8).digest()
        self._forget(now)
        if key in self._first:
            self.counts["duplicates"] += 1
            return False
        self._first[key] = now
        self.counts["saved"] += 1
        self.saved[pixel_id, name] += 1
        if self.received.maxlen:
            body = msgspec.json.encode(event)
            self.received.append(Received(pixel_id, name, event["id"], body, now, self.behaviour))
        return True

    def _forget(self, now: float) -> None:
        """Drop from the memory of ids what is too old or too much; the oldest stands first."""
        age, most = self.behaviour.dedup_seconds, self.behaviour.dedup_events
        while self._first:
            oldest = next(iter(self._first))
            is_old = age is not None and self._first[oldest] < now - age
            if not is_old and len(self._first) < most:
                return
            del self._first[oldest]

    def find(self, event_id: str) -> list[Received]:
        """Return the saved events with an id that are still held."""
        return [one for one in self.received if one.id == event_id]

    def recent(self, pixel_id: str, limit: int) -> Iterator[Received]:
        """Yield the newest events that monitoring shows."""
        since = self.world.clock.now() - SAMPLE_SECONDS
        for one in reversed(self.received):
            if limit <= 0 or one.at < since:
                return
            if one.pixel_id == pixel_id and (self.behaviour.sample == "all" or one.channel == "pixel_sdk"):
                limit -= 1
                yield one

    def shown_settings(self) -> list[EventSetting]:
        """Return the event settings that the list shows by now, newest first."""
        until = self.world.clock.now() - self.behaviour.fresh_seconds
        return [one for one in reversed(self.settings) if one.created_at <= until]

    def count_conversions(self, start: float, end: float) -> Counter[str]:
        """Count what a campaign counts, by UTC day: click reference, registered event, campaign that carries it."""
        carried = {name for campaign in self.campaigns for name in campaign.conversion_event_setting_ids}
        sources = {pixel.pixel_id: pixel.id for pixel in self.pixels}
        counted = {
            (source, setting.event_name)
            for setting in self.settings
            if setting.id in carried
            for source in setting.source_ids
        }
        found: Counter[str] = Counter()
        for one in self.received:
            is_counted = start <= one.at < end and (sources.get(one.pixel_id), one.name) in counted
            if is_counted and one.event.get("oppref"):
                found[datetime.fromtimestamp(one.at, UTC).date().isoformat()] += 1
        return found

    def show(self) -> dict[str, Any]:
        """Return the counters for the sandbox's control paths."""
        saved = {f"{pixel} {name}": count for (pixel, name), count in sorted(self.saved.items())}
        return {"counts": dict(self.counts), "saved": saved, "behaviour": msgspec.to_builtins(self.behaviour)}
