"""Orders and products as Brevo takes them, built from what a flow says: every field known, every value of its kind."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import msgspec

from penstock.base.types import Change, Problem

FIELDS: dict[str, dict[str, str]] = {
    "order": {
        "id": "text",
        "createdAt": "moment",
        "updatedAt": "moment",
        "status": "text",
        "amount": "number",
        "products": "lines",
        "billing": "mapping",
        "coupons": "texts",
        "storeId": "text",
        "metaInfo": "mapping",
    },
    "product": {
        "id": "text",
        "name": "text",
        "url": "text",
        "imageUrl": "text",
        "sku": "text",
        "price": "number",
        "alternativePrice": "number",
        "categories": "texts",
        "parentId": "text",
        "metaInfo": "mapping",
        "brand": "text",
        "description": "text",
        "stock": "number",
        "isDeleted": "truth",
    },
}
"""The fields that each takes (reference of orders and of products, 2026), and what they hold."""
NEEDED = {"order": ("id", "createdAt", "status", "amount", "products"), "product": ("id",)}
_LINE = {"productId": "text", "quantity": "number", "quantityFloat": "number", "variantId": "text", "price": "number"}


def build_thing(change: Change) -> dict[str, Any] | Problem:
    """Build the body of an order or product from the fields of a change, or say what is wrong."""
    body: dict[str, Any] = {}
    for name, value in change.fields.items():
        kind = FIELDS[change.kind].get(name)
        if kind is None:
            return _bad(change.kind, name, "Brevo knows no such field")
        if value in (None, ""):
            continue
        encoded = _ENCODE[kind](value)
        if encoded is None:
            return _bad(change.kind, name, f"the value is no {kind}")
        body[name] = encoded
    missing = next((name for name in NEEDED[change.kind] if name not in body), None)
    if missing is not None:
        return _bad(change.kind, missing, "it is missing")
    if change.kind == "order":
        body.setdefault("updatedAt", body["createdAt"])
    return body


def _bad(kind: str, name: str, message: str) -> Problem:
    hint = f"Correct `{kind}` of the flow's sink, or leave such records out with `where`."
    return Problem(f"brevo.bad-{kind}", f"{name}: {message}", hint, name)


def _text(value: Any) -> str | None:
    return None if isinstance(value, (bool, dict, list)) else str(value).strip() or None


def _number(value: Any) -> float | None:
    try:
        number = float(str(value).strip())
    except ValueError:
        return None
    return None if isinstance(value, bool) or not math.isfinite(number) else number


def _moment(value: Any) -> str | None:
    try:
        if not isinstance(value, (date, datetime)):
            value = datetime.fromisoformat(str(value).strip())
    except ValueError:
        return None
    if not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day, tzinfo=UTC)
    value = value if value.tzinfo else value.replace(tzinfo=UTC)
    text: str = value.astimezone(UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def _truth(value: Any) -> bool | None:
    return {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}.get(str(value).lower())


def _mapping(value: Any) -> dict[str, Any] | None:
    value = _decode(value)
    return value if isinstance(value, dict) else None


def _texts(value: Any) -> list[str] | None:
    value = _decode(value)
    if isinstance(value, str):
        value = value.split(",")
    if not isinstance(value, (list, tuple)) or any(isinstance(one, (dict, list)) for one in value):
        return None
    return [str(one).strip() for one in value]


def _lines(value: Any) -> list[dict[str, Any]] | None:
    value = _decode(value)
    if not isinstance(value, list):
        return None
    lines = []
    for one in value:
        if not isinstance(one, dict) or not {"productId", "price"} <= one.keys() <= _LINE.keys():
            return None
        encoded = {name: _ENCODE[_LINE[name]](part) for name, part in one.items() if part is not None}
        if None in encoded.values():
            return None
        lines.append(encoded)
    return lines


def _decode(value: Any) -> Any:
    """Return what JSON in a cell of a file or table means."""
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
        try:
            return msgspec.json.decode(value)
        except msgspec.DecodeError:
            return value
    return value


_ENCODE: dict[str, Callable[[Any], Any]] = {
    "text": _text,
    "number": _number,
    "moment": _moment,
    "truth": _truth,
    "mapping": _mapping,
    "texts": _texts,
    "lines": _lines,
}
