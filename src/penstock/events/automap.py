"""Fills blanks of a mapping from the names that data layers use: time, page, address, browser, cart.

Nothing that a mapping says is replaced. The retail names are those of Tealium's e-commerce extension.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

NAMES: Mapping[str, tuple[str, ...]] = {
    "timestamp": ("timestamp_ms", "timestamp", "event_timestamp", "event_time", "occurred_at", "sent_at"),
    "source_url": ("source_url", "page_url", "page_location", "url", "dom.url"),
    "ip_address": ("ip_address", "ip", "client_ip"),
    "user_agent": ("user_agent", "userAgent", "useragent"),
    "amount": ("_csubtotal",),
    "currency": ("_ccurrency",),
}
"""For each field, the names under which records are known to hold it, in the order in which they are tried."""

ITEM_NAMES: Mapping[str, str] = {
    "id": "_csku",
    "name": "_cprodname",
    "content_type": "_ccat",
    "quantity": "_cquan",
    "amount": "_cprice",
}
"""Retail attributes that hold one value per item of the cart."""


def find_blank(field: str, record: Mapping[str, Any]) -> Any:
    """Return what a record holds for a field under one of its usual names, else None."""
    for name in NAMES[field]:
        value = record.get(name)
        if value is not None and value != "":
            return value[0] if isinstance(value, list) and len(value) == 1 else value
    return None


def find_items(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the items of a cart that is held as one list per attribute."""
    return zip_items({field: record.get(name) for field, name in ITEM_NAMES.items()})


def zip_items(columns: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Turn lists, one per attribute, into items; a single value is a list of one."""
    lists = {
        field: value if isinstance(value, list) else [value]
        for field, value in columns.items()
        if value is not None and value not in ("", [])
    }
    length = max(map(len, lists.values()), default=0)
    return [{field: values[at] for field, values in lists.items() if at < len(values)} for at in range(length)]
