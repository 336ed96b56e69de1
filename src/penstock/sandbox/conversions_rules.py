"""What the emulated Conversions API finds wrong with an event, by the table in `conversions.toml`.

Two codes are those of the live API (`missing_event_data_type`, `event_timestamp_too_old`); the others are not
published, so their names are the sandbox's own, or null when the behaviour says so.
"""

from __future__ import annotations

import ipaddress
import re
import tomllib
from collections.abc import Callable, Iterator
from functools import lru_cache
from importlib.resources import files
from typing import Any, Literal, NamedTuple
from urllib.parse import urlsplit

import msgspec

Choice = Literal["accept", "refuse"]

_HASH = re.compile(r"[0-9a-f]{64}")
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_POSTAL_CODE = re.compile(r"[^\W_](?:[\w \-]{0,31})")


class Behaviour(msgspec.Struct, forbid_unknown_fields=True):
    """How the emulator does what the vendor does not document: each can be switched either way.

    `pointers` is what a refusal names: every bad event, the first, none, or locations in a validator's message.
    `codes` names the reasons whose codes are not published, or leaves them null. `earlier_names` are the singular
    user fields of earlier contracts; `unknown_fields` any other name that the contract does not have.
    `bad_list_entries` drops an invalid hash or country, or refuses the event. `count_duplicates` says whether
    `accepted_events` counts an event that was known. `dedup_seconds` and `dedup_events` bound what is remembered.
    `fresh_seconds` is how long a new event setting is missing from the list, `sample` what event monitoring shows.
    """

    pointers: Literal["all", "first", "none", "locations"] = "all"
    codes: Literal["named", "null"] = "named"
    earlier_names: Literal["accept", "ignore", "refuse"] = "ignore"
    unknown_fields: Literal["ignore", "refuse"] = "ignore"
    bad_list_entries: Literal["drop", "refuse"] = "drop"
    empty_batch: Choice = "refuse"
    missing_action_source: Choice = "accept"
    amounts_below_zero: Choice = "refuse"
    currency_alone: Choice = "accept"
    repeats_in_batch: Choice = "accept"
    attribution_appended: Choice = "refuse"
    longest_id: int | None = None
    count_duplicates: bool = True
    dedup_seconds: float | None = None
    dedup_events: int = 1_000_000
    most_bytes: int | None = 4 * 1024 * 1024
    too_large_status: Literal[400, 413] = 413
    requests_per_minute: int | None = None
    states_wait: bool = True
    request_ids: bool = True
    any_pixel: bool = True
    setup_enabled: bool = True
    monitoring_enabled: bool = True
    fresh_seconds: float = 2.0
    sample: Literal["all", "pixel only"] = "all"


class Flaw(NamedTuple):
    """One thing wrong with one event."""

    place: int
    field: str
    code: str
    text: str
    status: int = 400

    @property
    def param(self) -> str:
        """Return the pointer that the API writes."""
        return f"events[{self.place}]{'.' if self.field else ''}{self.field}"

    @property
    def message(self) -> str:
        """Return the words that the API writes: those about time stand alone, others follow the pointer."""
        return self.text if self.status == 422 else f"{self.param} {self.text}"


class Table(NamedTuple):
    """The contract, ready for look-ups."""

    limits: dict[str, Any]
    envelope: frozenset[str]
    action_sources: frozenset[str]
    app_types: frozenset[str]
    types: dict[str, str]
    uncertain_types: dict[str, str]
    shapes: dict[str, frozenset[str]]
    items: dict[str, str]
    lists: dict[str, str]
    values: dict[str, str]
    earlier: frozenset[str]
    currencies: frozenset[str]


@lru_cache(maxsize=1)
def load_table() -> Table:
    """Read the emulator's own copy of the contract."""
    data = tomllib.loads(files("penstock.sandbox").joinpath("conversions.toml").read_text(encoding="utf-8"))
    return Table(
        data["limits"],
        frozenset(data["envelope"]["fields"]),
        frozenset(data["envelope"]["action_sources"]),
        frozenset(data["envelope"]["app_types"]),
        data["types"],
        data["uncertain_types"],
        {name: frozenset(fields) for name, fields in data["shapes"].items()},
        data["items"],
        data["user"]["lists"],
        data["user"]["values"],
        frozenset(data["user"]["earlier"]),
        frozenset(data["currencies"]["codes"].split()),
    )


@lru_cache(maxsize=4096)
def _is_ip(value: str) -> bool:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return False
    return True


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_currency(value: Any) -> bool:
    return isinstance(value, str) and value.upper() in load_table().currencies


def _are_texts(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(one, str) for one in value.values())


_TESTS: dict[str, Callable[[Any], bool]] = {
    "text": lambda value: isinstance(value, str),
    "filled text": lambda value: isinstance(value, str) and bool(value.strip()),
    "whole number": _is_whole,
    "currency": _is_currency,
    "texts by name": _are_texts,
    "hash": lambda value: isinstance(value, str) and _HASH.fullmatch(value) is not None,
    "country": lambda value: isinstance(value, str) and len(value) == 2 and value.isascii() and value.isalpha(),
    "place": lambda value: isinstance(value, str) and bool(value.strip()),
    "postal code": lambda value: isinstance(value, str) and _POSTAL_CODE.fullmatch(value.strip()) is not None,
    "uuid": lambda value: isinstance(value, str) and _UUID.fullmatch(value) is not None,
    "ip": lambda value: isinstance(value, str) and _is_ip(value),
}


class Rules:
    """Judges events at one moment."""

    def __init__(self, behaviour: Behaviour, now_ms: int) -> None:
        """Judge by `behaviour`; `now_ms` is when the request arrived."""
        self._table = load_table()
        self._behaviour = behaviour
        self._now_ms = now_ms
        accepts = behaviour.attribution_appended == "accept"
        self._types = self._table.types | (self._table.uncertain_types if accepts else {})
        self._shapes = frozenset(self._types.values())
        self._custom_name = re.compile(self._table.limits["custom_name"])

    def find_flaws(self, events: list[Any]) -> Iterator[Flaw]:
        """Yield what is wrong with a batch, event by event."""
        seen: set[tuple[str, str]] = set()
        for index, event in enumerate(events):
            if not isinstance(event, dict):
                yield Flaw(index, "", "invalid_event_object", "must be an object.")
                continue
            for field, code, message, *status in self._judge(event):
                yield Flaw(index, field, code, message, *status)
            if self._behaviour.repeats_in_batch == "refuse":
                key = name_of(event), str(event.get("id"))
                if key in seen:
                    yield Flaw(index, "id", "duplicate_event_id", "repeats an earlier event of the batch.")
                seen.add(key)

    def _judge(self, event: dict[str, Any]) -> Iterator[tuple[Any, ...]]:
        yield from self._judge_id(event)
        yield from self._judge_name(event)
        yield from self._judge_time(event)
        yield from self._judge_source(event)
        if not isinstance(event.get("opt_out", False), bool):
            yield "opt_out", "invalid_opt_out", "must be a boolean."
        if not isinstance(event.get("oppref", ""), str):
            yield "oppref", "invalid_oppref", "must be a string."
        if self._behaviour.unknown_fields == "refuse":
            for name in event.keys() - self._table.envelope:
                yield name, "unknown_field", "is not a known field."
        yield from self._judge_data(event)
        if "user" in event:
            yield from self._judge_user(event["user"])

    def _judge_id(self, event: dict[str, Any]) -> Iterator[tuple[Any, ...]]:
        value, longest = event.get("id"), self._behaviour.longest_id
        if not isinstance(value, str) or not value:
            yield "id", "missing_event_id", "must be a non-empty string."
        elif longest is not None and len(value) > longest:
            yield "id", "event_id_too_long", f"must have at most {longest} characters."

    def _judge_name(self, event: dict[str, Any]) -> Iterator[tuple[Any, ...]]:
        kind = event.get("type")
        if not isinstance(kind, str) or kind not in self._types:
            yield "type", "invalid_event_type", "must be a supported event type."
        if kind != "custom":
            return
        name = event.get("custom_event_name")
        if not isinstance(name, str) or not self._custom_name.fullmatch(name):
            yield "custom_event_name", "invalid_custom_event_name", "must be 1 to 64 letters, digits, _ or -."
        elif name.lower() in self._types:
            yield "custom_event_name", "reserved_custom_event_name", "must not be a standard event name."

    def _judge_time(self, event: dict[str, Any]) -> Iterator[tuple[Any, ...]]:
        value, limits = event.get("timestamp_ms"), self._table.limits
        if not isinstance(value, int) or isinstance(value, bool):
            yield "timestamp_ms", "invalid_event_timestamp", "must be an integer."
        elif value < self._now_ms - limits["age_ms"]:
            text = "event_timestamp_ms must be within the last 7 days."
            yield "timestamp_ms", "event_timestamp_too_old", text, 422
        elif value > self._now_ms + limits["ahead_ms"]:
            text = "event_timestamp_ms must be at most 10 minutes ahead."
            yield "timestamp_ms", "event_timestamp_in_future", text, 422

    def _judge_source(self, event: dict[str, Any]) -> Iterator[tuple[Any, ...]]:
        source = event.get("action_source")
        if source is None:
            if self._behaviour.missing_action_source == "refuse":
                yield "action_source", "missing_action_source", "is required."
        elif not isinstance(source, str) or source not in self._table.action_sources:
            yield "action_source", "invalid_action_source", "must be a supported action source."
        if str(event.get("type")) in self._table.app_types and source != "mobile_app":
            yield "action_source", "invalid_action_source", "must be mobile_app for app events."
        url = event.get("source_url")
        if url is None:
            if source == "web":
                yield "source_url", "missing_source_url", "is required for web events."
        elif not _is_url(url):
            yield "source_url", "invalid_source_url", "must have a scheme and a host."

    def _judge_data(self, event: dict[str, Any]) -> Iterator[tuple[Any, ...]]:
        data, kind = event.get("data"), str(event.get("type"))
        if not isinstance(data, dict):
            yield "data", "missing_event_data", "must be an object."
            return
        shape = str(data.get("type"))
        if shape not in self._shapes:
            yield "data.type", "missing_event_data_type", "must be a supported data type."
            return
        if kind in self._types and self._types[kind] != shape:
            yield "data.type", "mismatched_event_data_type", f"must be {self._types[kind]}."
        yield from self._judge_amount(data, "data")
        allowed = self._table.shapes[shape]
        if "contents" in data and "contents" not in allowed and "*" not in allowed:
            yield "data.contents", "contents_not_allowed", f"is not available for {shape}."
        if self._behaviour.unknown_fields == "refuse" and "*" not in allowed:
            for name in data.keys() - allowed - {"contents"}:
                yield f"data.{name}", "unknown_field", "is not a known field."
        yield from self._judge_items(data.get("contents"))

    def _judge_amount(self, data: dict[str, Any], where: str) -> Iterator[tuple[Any, ...]]:
        amount, currency = data.get("amount"), data.get("currency")
        if amount is not None:
            if not _is_whole(amount):
                yield f"{where}.amount", "invalid_amount", "must be an integer in minor units."
            elif amount < 0 and self._behaviour.amounts_below_zero == "refuse":
                yield f"{where}.amount", "negative_amount", "must not be negative."
            if currency is None:
                yield f"{where}.currency", "missing_currency", "is required with amount."
        elif currency is not None and self._behaviour.currency_alone == "refuse":
            yield f"{where}.currency", "currency_without_amount", "needs an amount."
        if currency is not None and not _is_currency(currency):
            yield f"{where}.currency", "invalid_currency", "must be an ISO 4217 code."

    def _judge_items(self, items: Any) -> Iterator[tuple[Any, ...]]:
        if items is None:
            return
        if not isinstance(items, list):
            yield "data.contents", "invalid_contents", "must be an array."
            return
        for index, item in enumerate(items):
            where = f"data.contents[{index}]"
            if not isinstance(item, dict):
                yield where, "invalid_content", "must be an object."
                continue
            for name, value in item.items():
                kind = self._table.items.get(name)
                if kind is None:
                    yield f"{where}.{name}", "unknown_content_field", "is not a known field."
                elif not _TESTS[kind](value):
                    yield f"{where}.{name}", "invalid_content_field", f"must be a {kind}."

    def _judge_user(self, user: Any) -> Iterator[tuple[Any, ...]]:
        if not isinstance(user, dict):
            yield "user", "invalid_user", "must be an object."
            return
        for name, value in user.items():
            where = f"user.{name}"
            if kind := self._table.lists.get(name):
                if not isinstance(value, list):
                    yield where, "invalid_user_field", "must be an array."
                elif self._behaviour.bad_list_entries == "refuse" and not all(map(_TESTS[kind], value)):
                    yield where, "invalid_user_field", f"must hold values of the form {kind}."
            elif kind := self._table.values.get(name):
                if not _TESTS[kind](value):
                    yield where, "invalid_user_field", f"must be a {kind}."
            elif name in self._table.earlier:
                if self._behaviour.earlier_names == "refuse":
                    yield where, "unknown_user_field", "is not a known field."
            elif self._behaviour.unknown_fields == "refuse":
                yield where, "unknown_user_field", "is not a known field."


def _is_url(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    try:
        parts = urlsplit(value)
        return bool(parts.scheme and parts.hostname)
    except ValueError:
        return False


def name_of(event: dict[str, Any]) -> str:
    """Return the name that an event is told apart by: its type, or the lower-case custom name."""
    if event.get("type") == "custom":
        return str(event.get("custom_event_name")).lower()
    return str(event.get("type"))


def matched_fields(user: Any, behaviour: Behaviour) -> dict[str, list[Any]]:
    """Return what an event may be matched by: per list the first three valid unique values, in order."""
    table = load_table()
    found: dict[str, list[Any]] = {}
    for name, value in (user or {}).items():
        if kind := table.lists.get(name):
            found[name] = list(dict.fromkeys(one for one in value if _TESTS[kind](one)))[:3]
        elif name in table.values or (name in table.earlier and behaviour.earlier_names == "accept"):
            found[name] = [value]
    advertising = found.get("android_advertising_id", [""])[0]
    if advertising and not str(advertising).strip("0-"):
        del found["android_advertising_id"]
    return {name: values for name, values in found.items() if values}
