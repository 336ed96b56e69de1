"""Turns records into conversion events by a mapping that is compiled once; total: an event, or the reasons."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping as AnyMapping
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from penstock.base.errors import FlowError, MappingError, SettingsError
from penstock.events import automap
from penstock.events.cart import Cart
from penstock.events.contract import Contract, EventType, load_contract
from penstock.events.draft import Draft
from penstock.events.event import Event, User
from penstock.events.legacy import modernise
from penstock.events.lookup import Get, compile_record
from penstock.events.mapped import OPTED_OUT, Mapped, Refusal
from penstock.events.mapping_file import Plan, read_mapping
from penstock.events.moment import moment_reader
from penstock.events.people import compile_people
from penstock.events.shortcut import Shortcuts, can_shorten
from penstock.events.validate import check_event, check_moment
from penstock.events.values import (
    find_oppref,
    has_email,
    names_person,
    read_flag,
    read_opaque,
    read_origin,
    read_text,
    read_url,
    refuse,
    show_name,
)

__all__ = ["Mapped", "Mapping", "Refusal", "load_mapping"]

_encode = msgspec.json.encode
_MISSING_HINTS = {
    "id": "Map `id` to what is the same on every try, such as the order number.",
    "timestamp": "Map `timestamp` to when it happened.",
}


def load_mapping(source: Path | str, *, contract: Contract | None = None, action_source: str = "web") -> Mapping:
    """Load a mapping file or a preset; `action_source` is the connection's, where the mapping names none.

    Raises `FlowError` with file, line, column and the nearest right word.
    """
    contract = contract or load_contract()
    plan = read_mapping(source, contract)
    try:
        return Mapping(plan, contract, action_source)
    except SettingsError as error:
        raise FlowError(error.message, code="flow.mapping", hint=error.hint, where=str(source)) from error


class Mapping:
    """A compiled mapping; `apply` may be called from any thread."""

    def __init__(self, plan: Plan, contract: Contract, action_source: str = "web") -> None:
        self.name = plan.name
        self.plan = plan
        self.contract = contract
        self._default_source = plan.action_source or action_source
        self._type = compile_record(plan.event)
        self._types: dict[str, str] = {**{name: name for name in contract.types}, **plan.event_names}
        self._people = compile_people(plan, contract)
        self._cart = Cart(plan, contract)
        self._moment = moment_reader(plan.timestamp_unit, plan.timezone)
        self._consent = self._get("consent")
        self._id = self._get("id")
        self._timestamp = self._get("timestamp")
        self._url = self._get("source_url")
        self._source = self._get("action_source")
        self._custom_name = self._get("custom_event_name")
        self._oppref = self._get("oppref")
        self._landing = self._get("landing_url")
        self._opt_out = self._get("opt_out")
        overrides = (("pixel", plan.pixel), ("connection", plan.connection), ("validate_only", plan.validate_only))
        self._overrides = [(name, compile_record(one)) for name, one in overrides if one is not None]
        self._shortcuts = (
            Shortcuts(plan, contract, self._cart, self._types, self._moment, self._default_source)
            if can_shorten(plan)
            else None
        )

    def _get(self, field: str) -> Get | None:
        expression = self.plan.fields.get(field)
        own = None if expression is None else compile_record(expression)
        if not self.plan.automap or field not in automap.NAMES:
            return own
        fallback = partial(automap.find_blank, field)
        if own is None:
            return fallback

        def find(record: AnyMapping[str, Any]) -> Any:
            value = own(record)
            return fallback(record) if value is None or value == "" else value

        return find

    def apply(self, record: AnyMapping[str, Any], *, now: float) -> Mapped:
        """Return the event of a record, or why there is none; `now` is in Unix seconds. Never raises for bad data."""
        now_ms = int(now * 1000)
        if self._shortcuts is not None and type(record) is dict:
            event = self._shortcuts.build(record, now_ms)
            if event is not None:
                return Mapped(event)
        return self.apply_rules(record, now_ms)

    def apply_rules(self, record: AnyMapping[str, Any], now_ms: int) -> Mapped:
        """Return what `apply` returns, rule by rule: the way of every record that is not plain."""
        draft = Draft()
        mapped = Mapped()
        try:
            if not isinstance(record, dict):
                raise refuse("event.not-an-object", "is no object with named fields")
            if self.plan.translate:
                record = modernise(record, self.contract, draft)
                self._check_written(record, now_ms, draft)
            if not draft.refusals:
                self._override(mapped, record, draft)
                mapped.event = self._build(record, now_ms, draft)
        except MappingError as error:
            draft.refuse("record", error)
        if draft.refusals:
            mapped.event = None
            mapped.refusals = tuple(draft.refusals)
        mapped.warnings = tuple(draft.warnings)
        return mapped

    def _check_written(self, record: AnyMapping[str, Any], now_ms: int, draft: Draft) -> None:
        """Hold an event that came in the vendor's names to the contract; a bad identifier only leaves itself out."""
        for one in check_event(record, self.contract, now_ms=now_ms):
            if not one.field.startswith("user."):
                draft.refusals.append(one)
            elif one.code == "event.unknown-key":
                draft.warnings.append(f"{one.message}; it is left out [{one.code}]")

    def _build(self, record: dict[str, Any], now_ms: int, draft: Draft) -> Event | None:
        found = self._find_type(record, draft)
        if found is None or not self._may_send(record, draft):
            return None
        type_, kind = found
        id_ = self._required(record, "id", self._id, read_text, draft)
        moment = self._required(record, "timestamp", self._timestamp, self._moment, draft)
        if moment is not None:
            refusal = check_moment(moment, self.contract, now_ms)
            if refusal is not None:
                draft.refusals.append(refusal)
        custom = self._read_custom_name(record, draft) if kind.named else ""
        for step in self._people:
            step(record, draft)
        action_source = self._read_action_source(record, kind, draft)
        url = self._read_source_url(record, action_source, draft)
        data = self._cart.fill(kind.shape, record, draft)
        oppref = self._optional(record, "oppref", self._oppref, read_opaque, draft, "")
        if not oppref and self._landing is not None:
            oppref = find_oppref(self._landing(record))
        opt_out = self._optional(record, "opt_out", self._opt_out, read_flag, draft, False)
        if id_ is None or moment is None:
            return None
        self._check_clear(id_, data, draft)
        if draft.refusals:
            return None
        user = User(**draft.user) if draft.user else None
        return Event(
            id_, type_, moment, custom or type_, data, custom, action_source, url, oppref, opt_out, user,
            draft.traces, tuple(draft.warnings),
        )  # fmt: skip

    # parts

    def _override(self, mapped: Mapped, record: AnyMapping[str, Any], draft: Draft) -> None:
        for name, get in self._overrides:
            value = get(record)
            if value is None or value == "":
                continue
            try:
                if name == "validate_only":
                    mapped.validate_only = read_flag(value)
                elif name == "pixel":
                    mapped.pixel_id = read_text(value)
                else:
                    mapped.connection = read_text(value)
            except MappingError as error:
                draft.refuse(name, error)

    def _find_type(self, record: AnyMapping[str, Any], draft: Draft) -> tuple[str, EventType] | None:
        name = self._type(record)
        found = self._types.get(name) if isinstance(name, str) else None
        if found is None and isinstance(name, str):  # as people write it: "Order Created"
            found = self._types.get(name.strip().lower().replace(" ", "_"))
        if found is not None:
            return found, self.contract.types[found]
        if name is None or name == "":
            draft.refuse("event", refuse("event.missing", "is missing"))
        else:
            hint = "Add the name to `event_names:` of the mapping, if it is a conversion."
            draft.refuse("event", refuse("event.unknown-type", "is no event type of the contract or the mapping", hint))
        return None

    def _may_send(self, record: AnyMapping[str, Any], draft: Draft) -> bool:
        if self._consent is None:
            return True
        try:
            value = self._consent(record)
            if value not in (None, "") and read_flag(value):
                return True
        except MappingError:
            pass  # what is not clearly a yes is a no
        draft.refusals.append(Refusal(OPTED_OUT, "consent", "there is no consent, so nothing is sent"))
        return False

    def _required(
        self, record: AnyMapping[str, Any], field: str, get: Get | None, read: Callable[[Any], Any], draft: Draft
    ) -> Any:
        try:
            value = get(record) if get is not None else None
            if value is None or value == "":
                raise refuse("event.missing", "is missing", _MISSING_HINTS[field])
            return read(value)
        except MappingError as error:
            draft.refuse(field, error)
            return None

    def _optional(
        self,
        record: AnyMapping[str, Any],
        field: str,
        get: Get | None,
        read: Callable[[Any], Any],
        draft: Draft,
        blank: Any,
    ) -> Any:
        if get is None:
            return blank
        try:
            value = get(record)
            return blank if value is None or value == "" else read(value)
        except MappingError as error:
            if error.code != "event.empty":
                draft.refuse(field, error)
            return blank

    def _read_custom_name(self, record: AnyMapping[str, Any], draft: Draft) -> str:
        name = self._optional(record, "custom_event_name", self._custom_name, read_text, draft, "")
        if not name:
            draft.refuse("custom_event_name", refuse("event.missing", "is required for a custom event"))
        elif not self.contract.custom_name.fullmatch(name):
            hint = "Use 1 to 64 letters, digits, _ and -; begin and end with a letter or digit."
            draft.refuse("custom_event_name", refuse("event.bad-name", "is no name for an event", hint))
        elif name.lower() in self.contract.types:
            draft.refuse(
                "custom_event_name", refuse("event.bad-name", "is the name of a standard event", "Map it to `event`.")
            )
        return str(name).lower()

    def _read_action_source(self, record: AnyMapping[str, Any], kind: EventType, draft: Draft) -> str:
        given = self._optional(record, "action_source", self._source, read_text, draft, "").lower()
        if given and given not in self.contract.action_sources:
            choices = ", ".join(sorted(self.contract.action_sources))
            draft.refuse("action_source", refuse("event.unknown-source", "is unknown", f"Known: {choices}."))
        if kind.action_source and given not in ("", kind.action_source):
            draft.refuse("action_source", refuse("event.wrong-source", f"must be {kind.action_source} for this event"))
        return given or kind.action_source or self._default_source

    def _read_source_url(self, record: AnyMapping[str, Any], action_source: str, draft: Draft) -> str:
        url = str(self._optional(record, "source_url", self._url, read_url, draft, ""))
        if not url:
            if action_source == "web" and not any(one.field == "source_url" for one in draft.refusals):
                hint = "Map it, or set `action_source:` to where it happened."
                draft.refuse("source_url", refuse("event.missing", "is required for events on the web", hint))
        elif has_email(url) or any(clear in url for clear in draft.clear):
            draft.warnings.append("source_url names a person; only its origin is sent [event.personal-data]")
            url = read_origin(url)
        return url

    def _check_clear(self, id_: str, data: dict[str, Any], draft: Draft) -> None:
        """Refuse an event whose id or data names a person: whole values, or emails anywhere."""
        if len(data) == 1 or (len(data) == 3 and "amount" in data):
            text, fields = id_, [("id", id_)]
        else:
            text, fields = id_ + _encode(data).decode(), [("id", id_), *data.items()]
        if "@" not in text and "%40" not in text:
            for clear in draft.clear:
                if clear in text:
                    break
            else:
                return
        for name, value in fields:
            if name != "type" and names_person(value, draft.clear):
                hint = "Send what is not a person's own: an order number, a product."
                draft.refuse(
                    show_name(name),
                    refuse("event.personal-data", "holds what identifies a person, in clear text", hint),
                )
