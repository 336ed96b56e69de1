"""What is kept of a source record: the values that its event sends in clear, and of all others only what they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

MOST_FIELDS, LONGEST_TEXT, DEEPEST = 200, 200, 6

_decode = msgspec.json.decode


def mark_record(record: Mapping[str, Any], body: bytes) -> dict[str, Any]:
    """Return the record with every value replaced that its event does not hold, such as `(text of 16)`.

    Personal data reaches an event only as a hash, so it never stays here; without an event nothing does.
    """
    sent: set[str] = set()
    if body:
        _collect(_decode(body), sent)
    return _mark_fields(record, sent, [MOST_FIELDS], 1)


def _collect(value: Any, sent: set[str]) -> None:
    """Add every text and number of an event; called for each field of each event, so it asks for types by identity."""
    kind = type(value)
    if kind is str:
        sent.add(value)
    elif kind is dict:
        for inner in value.values():
            _collect(inner, sent)
    elif kind is list:
        for inner in value:
            _collect(inner, sent)
    elif kind is int or kind is float:
        sent.add(str(value))


def _mark_fields(fields: Mapping[Any, Any], sent: set[str], left: list[int], depth: int) -> dict[str, Any]:
    marked: dict[str, Any] = {}
    if depth <= DEEPEST:
        for name, value in fields.items():
            left[0] -= 1
            if left[0] < 0:
                break
            marked[str(name)[:LONGEST_TEXT]] = _mark(value, sent, left, depth)
    return marked


def _mark(value: Any, sent: set[str], left: list[int], depth: int) -> Any:
    kind = type(value)
    if kind is str:
        return value[:LONGEST_TEXT] if value in sent or not value else f"(text of {len(value)})"
    if kind is int or kind is float:
        return value if str(value) in sent else "(number)"
    if value is None or kind is bool:
        return value
    if isinstance(value, Mapping):
        return _mark_fields(value, sent, left, depth + 1)
    if not isinstance(value, (list, tuple)):
        return f"({kind.__name__})"
    few = value[: max(left[0], 0)] if depth < DEEPEST else ()
    left[0] -= len(few)
    return [_mark(one, sent, left, depth + 1) for one in few]
