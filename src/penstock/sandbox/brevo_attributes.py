"""Attributes of the emulated Brevo account: their definitions, and which values they accept.

A value of the wrong type is ignored without an error, as the vendor documents for contact create and update.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from datetime import date
from typing import TYPE_CHECKING, Any, Final

import msgspec

from penstock.sandbox.brevo_wire import Answer, RefusedError, Request, decode, invalid

if TYPE_CHECKING:
    from penstock.sandbox.brevo_state import BrevoState

NAME = re.compile(r"[A-Z][A-Z0-9_]*")
MAX_OPTION_LETTERS = 200
CATEGORIES = ("normal", "transactional", "category", "calculated", "global")
TYPES: Final[dict[str, tuple[str, ...]]] = {
    "normal": ("text", "date", "float", "boolean", "multiple-choice", "user"),
    "transactional": ("id", "text", "date", "float", "boolean"),
    "category": ("category",),
}


class _Nothing:
    """The mark of a value that is ignored."""


IGNORED = _Nothing()


class Attribute(msgspec.Struct):
    """One attribute; `options` maps the stored value of a category option to its label."""

    name: str
    category: str
    type: str = ""
    options: dict[str, str] = {}
    choices: list[str] = []
    formula: str = ""

    def describe(self) -> dict[str, Any]:
        """Return the attribute as `GET /contacts/attributes` shows it."""
        shown: dict[str, Any] = {"name": self.name, "category": self.category}
        if self.category == "category":
            shown["enumeration"] = [
                {"value": int(value) if value.isdecimal() else 0, "valueStr": value, "label": label}
                for value, label in self.options.items()
            ]
        elif self.category in ("calculated", "global"):
            shown["calculatedValue"] = self.formula
        else:
            shown["type"] = self.type
        if self.type == "multiple-choice":
            shown["multiCategoryOptions"] = list(self.choices)
        return shown

    def accept(self, value: Any, *, from_text: bool = False) -> Any:
        """Return what is stored for `value`, or `IGNORED`; `from_text` reads cells of a CSV file."""
        if self.category == "category":
            return self._accept_option(value)
        if self.category != "normal":
            return IGNORED
        if from_text and isinstance(value, str):
            value = _read_cell(value, self.type)
        return value if _fits(value, self.type, self.choices) else IGNORED

    def _accept_option(self, value: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, (str, int)):
            return IGNORED
        text = str(value)
        if text not in self.options:
            text = next((key for key, label in self.options.items() if label == text), "")
        if not text:
            return IGNORED
        return int(text) if text.isdecimal() else text

    def matches(self, stored: Any, wanted: str) -> bool:
        """Say whether a stored value passes `filter=equals(NAME,"wanted")`."""
        if stored is None:
            return False
        if self.category == "category":
            return wanted in (str(stored), self.options.get(str(stored)))
        if self.type == "multiple-choice":
            return all(part.strip() in stored for part in wanted.split(","))
        if isinstance(stored, bool):
            return wanted.lower() == str(stored).lower()
        if isinstance(stored, (int, float)):
            return _to_float(wanted) == stored
        return bool(stored == wanted)


def _fits(value: Any, kind: str, choices: list[str]) -> bool:
    if kind == "boolean":
        return isinstance(value, bool)
    if kind == "float":
        return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if kind == "multiple-choice":
        return isinstance(value, list) and all(isinstance(item, str) and item in choices for item in value)
    if not isinstance(value, str):
        return False
    return kind != "date" or _is_date(value)


def _is_date(text: str) -> bool:
    try:
        return len(text) == 10 and bool(date.fromisoformat(text))
    except ValueError:
        return False


def _to_float(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _read_cell(text: str, kind: str) -> Any:
    if kind == "float":
        return _to_float(text)
    if kind == "boolean":
        return {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}.get(text.lower())
    if kind == "multiple-choice":
        return [part.strip() for part in text.split(",")]
    return text


def make_attribute(
    name: str, type: str, category: str, enumeration: Iterable[tuple[str, str]] = (), choices: Iterable[str] = ()
) -> Attribute:
    """Check and build an attribute definition; raises `RefusedError` as the vendor would."""
    if not NAME.fullmatch(name):
        raise invalid(f"Attribute name must be in capitals: {name}")
    if category not in CATEGORIES:
        raise invalid(f"Attribute category is not valid: {category}")
    kind = type or ("category" if category == "category" else "")
    if category in TYPES and kind not in TYPES[category]:
        raise invalid(f"Attribute type {kind!r} is not available in the category {category}")
    made = Attribute(name, category, kind, dict(enumeration), list(choices))
    _check_options(made)
    return made


def _check_options(attribute: Attribute) -> None:
    if attribute.category == "category" and not attribute.options:
        raise RefusedError(400, "missing_parameter", "enumeration is missing")
    if attribute.type == "multiple-choice" and not attribute.choices:
        raise RefusedError(400, "missing_parameter", "multiCategoryOptions is missing")
    if any(len(label) > MAX_OPTION_LETTERS for label in (*attribute.options.values(), *attribute.choices)):
        raise invalid(f"an option has more than {MAX_OPTION_LETTERS} characters")


class _Option(msgspec.Struct):
    value: int | str
    label: str


class _Definition(msgspec.Struct, rename="camel"):
    type: str = ""
    enumeration: list[_Option] | None = None
    multi_category_options: list[str] | None = None
    value: str | None = None

    def options(self) -> list[tuple[str, str]]:
        return [(str(option.value), option.label) for option in self.enumeration or ()]


def list_attributes(state: BrevoState, _request: Request) -> Answer:
    """GET /contacts/attributes."""
    return Answer(200, {"attributes": [attribute.describe() for attribute in state.attributes.values()]})


def create_attribute(state: BrevoState, request: Request) -> Answer:
    """POST /contacts/attributes/{category}/{name}."""
    body = decode(request.body, _Definition)
    name, category = request.path["name"], request.path["category"]
    if name in state.attributes:
        raise invalid(f"Attribute name already exists: {name}")
    if category in ("calculated", "global") and not body.value:
        raise RefusedError(400, "missing_parameter", "value is missing")
    made = make_attribute(name, body.type, category, body.options(), body.multi_category_options or ())
    made.formula = body.value or ""
    state.attributes[name] = made
    state.world.wrote("brevo", "attributes.create", name, ())
    return Answer(201, {})


def update_attribute(state: BrevoState, request: Request) -> Answer:
    """PUT /contacts/attributes/{category}/{name}: options or formula; a type can never change."""
    body = decode(request.body, _Definition)
    attribute = _find(state, request)
    if body.type and body.type != attribute.type:
        raise invalid("the type of an attribute cannot be changed")
    if body.enumeration is None and body.multi_category_options is None and body.value is None:
        raise RefusedError(400, "missing_parameter", "nothing to update")
    candidate = msgspec.structs.replace(
        attribute,
        options=dict(body.options()) if body.enumeration is not None else attribute.options,
        choices=body.multi_category_options if body.multi_category_options is not None else attribute.choices,
        formula=body.value if body.value is not None else attribute.formula,
    )
    _check_options(candidate)
    state.attributes[attribute.name] = candidate
    state.world.wrote("brevo", "attributes.update", attribute.name, ())
    return Answer(204)


def delete_attribute(state: BrevoState, request: Request) -> Answer:
    """DELETE /contacts/attributes/{category}/{name}: its data goes from all contacts."""
    attribute = _find(state, request)
    state.drop_attribute(attribute.name)
    state.world.wrote("brevo", "attributes.delete", attribute.name, ())
    return Answer(204)


def delete_option(state: BrevoState, request: Request) -> Answer:
    """DELETE /contacts/attributes/multiple-choice/{name}/{option}."""
    attribute = state.attributes.get(request.path["name"])
    option = request.path["option"]
    if attribute is None or attribute.type != "multiple-choice" or option not in attribute.choices:
        raise RefusedError(404, "document_not_found", "Attribute not found")
    attribute.choices.remove(option)
    state.world.wrote("brevo", "attributes.delete", attribute.name, (option,))
    return Answer(204)


def _find(state: BrevoState, request: Request) -> Attribute:
    attribute = state.attributes.get(request.path["name"])
    if attribute is None or attribute.category != request.path["category"]:
        raise RefusedError(404, "document_not_found", "Attribute not found")
    return attribute
