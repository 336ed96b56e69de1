"""Keeps an emulated ad account in a file, so that commands run one after the other see the same account."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from penstock.sandbox.conversions_state import Campaign, ConversionsState, EventSetting, Pixel

KEPT_EVENTS = 1_000


class _Event(msgspec.Struct):
    pixel_id: str
    event: dict[str, Any]
    at: float


class _Kept(msgspec.Struct):
    pixels: list[Pixel]
    settings: list[EventSetting]
    campaigns: list[Campaign]
    keys: dict[str, str]
    events: list[_Event]
    made: int


def save_ad_account(state: ConversionsState, path: Path) -> None:
    """Write the account with its newest events; those before them are forgotten."""
    path.parent.mkdir(parents=True, exist_ok=True)
    events = [_Event(one.pixel_id, one.event, one.at) for one in list(state.received)[-KEPT_EVENTS:]]
    kept = _Kept(state.pixels, state.settings, state.campaigns, state.keys, events, state.made)
    partial = path.with_suffix(".partial")
    partial.write_bytes(msgspec.json.encode(kept))
    partial.replace(path)


def load_ad_account(state: ConversionsState, path: Path) -> bool:
    """Put a kept account into `state`; returns whether there was one."""
    if not path.is_file():
        return False
    kept = msgspec.json.decode(path.read_bytes(), type=_Kept)
    state.pixels, state.settings, state.campaigns = kept.pixels, kept.settings, kept.campaigns
    state.keys, state.made = kept.keys, kept.made
    for one in kept.events:
        state.save(one.pixel_id, one.event, one.at)
    return True
