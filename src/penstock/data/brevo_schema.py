"""The attributes of a Brevo account: whether values can be written, how they are written, and what is missing.

Brevo drops a value of the wrong type and a value for an unknown attribute without an error
(API reference, contact update, 2026), so both are refused here, before anything is sent.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

import msgspec

from penstock.base.types import Finding, Problem

NAME = re.compile(r"[A-Z][A-Z0-9_]{0,49}")
MOST_OPTION_LETTERS = 200

TYPE_OF_KIND = {
    "text": "text",
    "number": "float",
    "date": "date",
    "boolean": "boolean",
    "category": "category",
    "multiple-choice": "multiple-choice",
}
FITTING_TYPES = {
    "text": ("text", "category", "multiple-choice"),
    "number": ("float", "text"),
    "date": ("date", "text"),
    "boolean": ("boolean", "text"),
    "category": ("category",),
    "multiple-choice": ("multiple-choice",),
}
IDENTITY = ("EMAIL", "EXT_ID", "SMS", "WHATSAPP", "LANDLINE_NUMBER")
"""Never written: a new address lifts a blocklisting (contact update reference, 2026) and can merge people."""

_TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


class Option(msgspec.Struct, frozen=True):
    """One option of a category: what is stored and what people see."""

    value: str
    label: str


class Wish(msgspec.Struct, frozen=True):
    """What a flow says of an attribute beside its value: the kind of values, and the labels that they can have."""

    kind: str = ""
    options: tuple[str, ...] = ()


class Attribute(msgspec.Struct, frozen=True):
    """One attribute as the account has it; `type` is the category's name where Brevo states no type."""

    name: str
    category: str
    type: str
    options: tuple[Option, ...] = ()

    @property
    def is_writable(self) -> bool:
        """Say whether a contact update can set it; the others are computed or belong to orders."""
        return self.category in ("normal", "category")

    def has_option(self, text: str) -> bool:
        """Say whether `text` is an option, by label or by stored value."""
        return any(text in (option.value, option.label) for option in self.options)


def read_attributes(content: dict[str, Any]) -> dict[str, Attribute]:
    """Read the answer of `GET /contacts/attributes`; unknown categories and types are kept as they are."""
    found = {}
    for item in content["attributes"]:
        name, category = str(item.get("name")), str(item.get("category") or "normal")
        options = [
            # `value` is 0 for what is not a number; the true one stands in `valueStr` (changelog 2026-05-01).
            Option(str(option.get("valueStr") or option.get("value")), str(option.get("label")))
            for option in item.get("enumeration") or ()
        ]
        options += [Option(str(option), str(option)) for option in item.get("multiCategoryOptions") or ()]
        kind = str(item.get("type") or category) if category == "normal" else category
        found[name] = Attribute(name, category, kind, tuple(options))
    return found


def check_field(name: str, kind: str, attributes: dict[str, Attribute]) -> Finding:
    """Say whether values of `kind` ("" where it is not known) can be written to the attribute `name`."""
    label = f"Brevo attribute {name}"
    attribute = attributes.get(name)
    reason = _refuse_name(name) or _refuse_attribute(name, kind, attribute)
    if reason is not None:
        return Finding(label, "fail", *reason)
    assert attribute is not None  # noqa: S101 - an absent one was refused
    takes = f"takes {kind} values" if kind else "what the flow writes is not known yet"
    return Finding(label, "ok", f"{name} is of type {attribute.type}; {takes}")


def _refuse_name(name: str) -> tuple[str, str] | None:
    """Return what is wrong with a name, and how to mend it."""
    if name in IDENTITY:
        return identity_problem(name).message, "Use another attribute."
    if NAME.fullmatch(name):
        return None
    better = re.sub(r"[^A-Z0-9_]+", "_", name.upper()).strip("_0123456789") or "PENSTOCK_VALUE"
    return (
        f"{name!r} cannot name a Brevo attribute: a capital letter, then capitals, digits and _, at most 50",
        f"Call it {better[:50]} in the flow's sink.",
    )


def _refuse_attribute(name: str, kind: str, attribute: Attribute | None) -> tuple[str, str] | None:
    """Return why values of `kind` do not go into an attribute, and how to mend it."""
    type_wanted = TYPE_OF_KIND.get(kind, "text")
    if attribute is None:
        return (
            f"{name} does not exist in Brevo; values for it would be dropped without an error",
            f"Add --apply-schema to create it as {type_wanted}, or create it in Brevo's contact settings.",
        )
    if not attribute.is_writable:
        return f"{name} is a {attribute.category} attribute, which Brevo fills itself", "Use another attribute."
    if kind and attribute.type not in FITTING_TYPES[kind]:
        return (
            f"{name} is of type {attribute.type} in Brevo, which would drop {kind} values without an error",
            f"Use another attribute name of type {type_wanted}; Brevo cannot change the type of an attribute.",
        )
    return None


def encode(attribute: Attribute | None, name: str, value: Any) -> Any | Problem:
    """Return `value` as Brevo stores it for this attribute, or why it cannot be written.

    None and "" clear the attribute and become "".
    """
    if attribute is None or not attribute.is_writable or name in IDENTITY:
        return _closed(attribute, name)
    if value is None or value == "":
        return ""
    if attribute.type == "category":
        return _encode_option(attribute, value)
    if attribute.type == "multiple-choice":
        return _encode_choices(attribute, value)
    encoded = _ENCODERS.get(attribute.type, _encode_text)(value)
    return _wrong_type(attribute, value) if encoded is None else encoded


def _closed(attribute: Attribute | None, name: str) -> Problem:
    if name in IDENTITY:
        return identity_problem(name)
    if attribute is None:
        return Problem(
            "brevo.no-such-attribute",
            f"{name} does not exist in Brevo; the value would be dropped without an error",
            "Run with --apply-schema to create it.",
            name,
        )
    return Problem(
        "brevo.read-only-attribute",
        f"{name} is a {attribute.category} attribute, which Brevo fills itself",
        "Use another attribute.",
        name,
    )


def identity_problem(name: str) -> Problem:
    """Say that an identifier of a contact is never written."""
    return Problem(
        "brevo.identity-attribute",
        f"{name} says who the contact is; Penstock never changes it",
        "Change identities in Brevo itself: a new address can resubscribe somebody who opted out.",
        name,
    )


def _wrong_type(attribute: Attribute, value: Any) -> Problem:
    return Problem(
        "brevo.wrong-type",
        f"{attribute.name} is of type {attribute.type} in Brevo and cannot hold a {type(value).__name__} like this",
        "Correct the mapping of the flow, or use an attribute of another type.",
        attribute.name,
    )


def missing_option(attribute: Attribute, text: str) -> Problem:
    """Say that a category has no such option."""
    return Problem(
        "brevo.no-such-option",
        f"{attribute.name} has no option {text[:60]!r}",
        "Add the option in Brevo, or use an attribute whose name starts with a prefix that the connector owns.",
        attribute.name,
    )


def _encode_option(attribute: Attribute, value: Any) -> Any | Problem:
    if not isinstance(value, (str, int)) or isinstance(value, bool):
        return _wrong_type(attribute, value)
    text = str(value)
    for option in attribute.options:
        if text in (option.label, option.value):
            return option.label
    return missing_option(attribute, text)


def _encode_choices(attribute: Attribute, value: Any) -> Any | Problem:
    chosen = [part.strip() for part in value.split(",")] if isinstance(value, str) else value
    if not isinstance(chosen, (list, tuple)) or not all(isinstance(item, str) for item in chosen):
        return _wrong_type(attribute, value)
    unknown = next((item for item in chosen if not attribute.has_option(item)), None)
    return list(chosen) if unknown is None else missing_option(attribute, unknown)


def _encode_text(value: Any) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return ", ".join(str(item) for item in value)
    if isinstance(value, (date, datetime)):
        return value.isoformat()
    return str(value) if isinstance(value, (str, int, float)) else None


def _encode_number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _encode_date(value: Any) -> str | None:
    if isinstance(value, datetime):
        return value.date().isoformat()
    if isinstance(value, date):
        return value.isoformat()
    try:
        return datetime.fromisoformat(value).date().isoformat()
    except (TypeError, ValueError):
        return None


def _encode_truth(value: Any) -> bool | None:
    if isinstance(value, bool):
        return value
    return _TRUTH.get(str(value).strip().lower())


_ENCODERS = {"float": _encode_number, "date": _encode_date, "boolean": _encode_truth}


def is_same(attribute: Attribute | None, wanted: object, held: object) -> bool:
    """Say whether what Brevo holds is what was written: options by label or value, dates by day, numbers as numbers."""
    if wanted == "" or held in (None, ""):
        return wanted == "" and held in (None, "", [])
    kind = attribute.type if attribute else "text"
    if attribute is not None and kind == "category":
        pair = next((option for option in attribute.options if wanted in (option.label, option.value)), None)
        return pair is not None and str(held) in (pair.label, pair.value)
    if isinstance(wanted, list) and isinstance(held, list):
        return sorted(map(str, held)) == sorted(map(str, wanted))
    if isinstance(wanted, float):
        number = _encode_number(held)
        return number is not None and math.isclose(number, wanted, rel_tol=1e-9, abs_tol=1e-9)
    return wanted == (_encode_date(held) if kind == "date" else held)


def holds(held: Mapping[str, Any], wanted: Mapping[str, Any], attributes: Mapping[str, Attribute]) -> bool:
    """Say whether a contact's attributes hold all that was written."""
    return all(is_same(attributes.get(name), value, held.get(name)) for name, value in wanted.items())


def with_options(attribute: Attribute, labels: Sequence[str]) -> dict[str, Any] | Problem:
    """Build the body that adds options to a category or multiple-choice attribute, keeping those it has."""
    if any(len(label) > MOST_OPTION_LETTERS for label in labels):
        return Problem(
            "brevo.option-too-long",
            f"an option of {attribute.name} is longer than {MOST_OPTION_LETTERS} characters",
            "Use shorter labels.",
            attribute.name,
        )
    if attribute.type == "multiple-choice":
        return {"multiCategoryOptions": [option.label for option in attribute.options] + list(labels)}
    if not all(option.value.isdecimal() for option in attribute.options):
        return Problem(
            "brevo.options-not-numbered",
            f"{attribute.name} has options whose values are not numbers; adding one through the API would damage them",
            "Add the option in Brevo.",
            attribute.name,
        )
    highest = max((int(option.value) for option in attribute.options), default=0)
    kept = [{"value": int(option.value), "label": option.label} for option in attribute.options]
    return {"enumeration": kept + [{"value": highest + n, "label": label} for n, label in enumerate(labels, 1)]}
