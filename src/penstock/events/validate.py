"""Checks an event that is already written in the vendor's names, by the contract alone; returns every reason."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from penstock.base.errors import MappingError
from penstock.events.contract import ANY_KEY, Contract, Field, Identifier
from penstock.events.identifiers import take_hashed
from penstock.events.mapped import Refusal
from penstock.events.values import CLEAR, read_json, read_opaque, read_text, read_url, refuse, show_name

_DAY_MS = 86_400_000


def check_moment(timestamp_ms: int, contract: Contract, now_ms: int) -> Refusal | None:
    """Return why a time lies outside the window of the API, None where it does not."""
    age = now_ms - timestamp_ms
    if age > contract.limits["age"].value:
        days = age / _DAY_MS
        return Refusal(
            "event.too-old",
            "timestamp",
            f"timestamp is {days:,.1f} days back; the API takes 7 days",
            "Send events sooner; if it should be new, look at `timestamp_unit:` and `timezone:`.",
        )
    if -age > contract.limits["ahead"].value:
        return Refusal(
            "event.too-new",
            "timestamp",
            f"timestamp is {-age / 60_000:,.0f} minutes ahead; the API takes 10",
            "Look at the clock of the sender, at `timestamp_unit:` and at `timezone:`.",
        )
    return None


def check_event(event: Mapping[str, Any], contract: Contract, *, now_ms: int) -> list[Refusal]:
    """Return what the contract has against an event; empty when it may be sent."""
    found: list[Refusal] = []
    _check_fields(event, contract.envelope, "", contract, found)
    kind = contract.types.get(event["type"]) if isinstance(event.get("type"), str) else None
    timestamp = event.get("timestamp_ms")
    if type(timestamp) is int:
        late = check_moment(timestamp, contract, now_ms)
        if late is not None:
            found.append(late)
    if event.get("action_source") == "web" and "source_url" not in event:
        found.append(_refusal("source_url", refuse("event.missing", "is required for events on the web")))
    user, data = event.get("user"), event.get("data")
    if isinstance(user, dict):
        _check_user(user, contract, found)
    if kind is None:
        return found
    if kind.named and "custom_event_name" not in event:
        found.append(_refusal("custom_event_name", refuse("event.missing", "is required for a custom event")))
    if kind.action_source and event.get("action_source", kind.action_source) != kind.action_source:
        found.append(
            _refusal("action_source", refuse("event.wrong-source", f"must be {kind.action_source} for this event"))
        )
    if isinstance(data, dict):
        _check_data(data, kind.shape, contract, found)
    return found


def _refusal(field: str, error: MappingError) -> Refusal:
    return Refusal(error.code, field, f"{field} {error.message}", error.hint)


def _check_data(data: Mapping[str, Any], shape: str, contract: Contract, found: list[Refusal]) -> None:
    if data.get("type") != shape:
        error = (
            refuse("event.wrong-shape", f"must be {shape} for this event")
            if "type" in data
            else refuse("event.missing", "is missing")
        )
        found.append(_refusal("data.type", error))
        return
    fields = contract.shapes[shape]
    _check_fields({name: value for name, value in data.items() if name != "type"}, fields, "data.", contract, found)
    if "amount" in data and "currency" not in data:
        found.append(_refusal("data.currency", refuse("event.missing", "is required with an amount")))


def _check_fields(
    values: Mapping[str, Any], fields: Mapping[str, Field], at: str, contract: Contract, found: list[Refusal]
) -> None:
    for name, field in fields.items():
        if field.required == "yes" and name not in values:
            found.append(_refusal(at + name, refuse("event.missing", "is missing")))
    for name, value in values.items():
        known = fields.get(name, fields.get(ANY_KEY))
        if known is None:
            found.append(
                _refusal(f"{at}{show_name(name)}", refuse("event.unknown-key", "is not known to the contract"))
            )
            continue
        try:
            _check(value, known, f"{at}{name}", contract, found)
        except MappingError as error:
            found.append(_refusal(f"{at}{show_name(name)}", error))


def _check(value: Any, field: Field, at: str, contract: Contract, found: list[Refusal]) -> None:
    """Check one value by its kind; what is nested adds its own refusals."""
    if field.kind == "contents":
        for number, item in enumerate(_expect(value, list, "is no list of items")):
            place = f"{at}[{number}]"
            if isinstance(item, dict):
                _check_fields(item, contract.item, f"{place}.", contract, found)
            else:
                found.append(_refusal(place, refuse("event.wrong-type", "is no object")))
    else:
        _CHECKS[field.kind](value, field, contract)


def _check_user(user: Mapping[str, Any], contract: Contract, found: list[Refusal]) -> None:
    for name, value in user.items():
        one = contract.user.get(name)
        if one is None:
            found.append(
                _refusal(f"user.{show_name(name)}", refuse("event.unknown-key", "is not known to the contract"))
            )
            continue
        try:
            if one.many:
                _expect(value, list, "is no list")
            else:
                _expect(value, str, "is not text")
            _check_values(value if one.many else [value], one)
        except MappingError as error:
            found.append(_refusal(f"user.{name}", error))


def _check_values(values: list[Any], one: Identifier) -> None:
    for value in values:
        _expect(value, str, "is not text")
        if one.hashed:
            take_hashed(value)
        else:
            CLEAR[one.kind](value)


def _expect(value: Any, kind: type, message: str) -> Any:
    if not isinstance(value, kind):
        raise refuse("event.wrong-type", message)
    return value


def _text(value: Any, *_rest: object) -> None:
    read_text(_expect(value, str, "is not text"))


def _opaque(value: Any, *_rest: object) -> None:
    read_opaque(value)


def _url(value: Any, *_rest: object) -> None:
    read_url(_expect(value, str, "is not text"))


def _whole(value: Any, *_rest: object) -> None:
    if type(value) is not int or value < 0:
        raise refuse("event.not-whole", "is no whole number, or below zero")


def _number(value: Any, *_rest: object) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise refuse("event.wrong-type", "is no number")


def _flag(value: Any, *_rest: object) -> None:
    _expect(value, bool, "is neither true nor false")


def _texts(value: Any, *_rest: object) -> None:
    for one in _expect(value, dict, "is no mapping of text to text").values():
        _expect(one, str, "is no mapping of text to text")


def _object(value: Any, *_rest: object) -> None:
    _expect(value, dict, "is no object")


def _any(value: Any, *_rest: object) -> None:
    read_json(value)


def _choice(value: Any, field: Field, _contract: Contract) -> None:
    if value not in field.choices:
        raise refuse(
            "event.unknown-choice", "is none of the values that are known", f"Known: {', '.join(field.choices)}."
        )


def _type(value: Any, _field: Field, contract: Contract) -> None:
    if not isinstance(value, str) or value not in contract.types:
        raise refuse("event.unknown-type", "is no event type of the contract")


def _currency(value: Any, _field: Field, contract: Contract) -> None:
    if not isinstance(value, str) or value.upper() not in contract.digits:
        raise refuse("event.unknown-currency", "is not a currency of ISO 4217")


def _custom_name(value: Any, field: Field, contract: Contract) -> None:
    if not isinstance(value, str) or not re.fullmatch(field.pattern, value) or value.lower() in contract.types:
        raise refuse("event.bad-name", "is no name for an event of one's own")


_CHECKS: Mapping[str, Callable[[Any, Field, Contract], None]] = {
    "text": _text,
    "opaque": _opaque,
    "url": _url,
    "integer": _whole,
    "moment": _whole,
    "money": _whole,
    "number": _number,
    "flag": _flag,
    "text-map": _texts,
    "user": _object,
    "data": _object,
    "any": _any,
    "choice": _choice,
    "type": _type,
    "currency": _currency,
    "custom-name": _custom_name,
}
