"""What is kept of a source record: the values that its event sends in clear, and of all others only what they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

MOST_FIELDS, LONGEST_TEXT, DEEPEST = 200, 200, 6


def mark_record(record: Mapping[str, Any], body: bytes) -> dict[str, Any]:
    """Return the record with every value replaced that its event does not hold, such as `(text of 16)`.

    Personal data reaches an event only as a hash, so it never stays here; without an event nothing does.
    """
    sent = set(_leaves(msgspec.json.decode(body))) if body else set()
    left = [MOST_FIELDS]
    return {str(name)[:LONGEST_TEXT]: _mark(value, sent, left, 1) for name, value in _first(record.items(), left)}


def _leaves(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for inner in value.values():
            yield from _leaves(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(inner)
    elif value is not None and not isinstance(value, bool):
        yield str(value)


def _mark(value: Any, sent: set[str], left: list[int], depth: int) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Mapping):
        if depth >= DEEPEST:
            return f"(object of {len(value)})"
        return {
            str(name)[:LONGEST_TEXT]: _mark(one, sent, left, depth + 1) for name, one in _first(value.items(), left)
        }
    if isinstance(value, (list, tuple)):
        few = value if depth < DEEPEST else ()
        return [_mark(one, sent, left, depth + 1) for one in _first(few, left)]
    return _mark_leaf(value, str(value), sent)


def _mark_leaf(value: Any, text: str, sent: set[str]) -> Any:
    if isinstance(value, (int, float)):
        return value if text in sent else "(number)"
    return text[:LONGEST_TEXT] if text in sent or not text else f"(text of {len(text)})"


def _first(values: Any, left: list[int]) -> Iterator[Any]:
    """Yield values until the record has shown as many as are kept."""
    for value in values:
        if left[0] <= 0:
            return
        left[0] -= 1
        yield value
