"""Clears from Brevo what was written for contacts whose newest result is too old, whatever the source gives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from penstock.flows.effects import cleared_as
from penstock.flows.kept import Effect, FinishedPage, Item, Letter, PlannedWrites
from penstock.flows.model import Flow, Target
from penstock.flows.rows import to_effect
from penstock.flows.state import FlowState
from penstock.flows.work import fold_key

PIECE = 500


async def find_expired(flow: Flow, state: FlowState, target: Target, sink: str, now: float) -> list[list[Effect]]:
    """Return, piece by piece, the writes that clear what has expired; nothing where the flow has no such rule.

    A contact has expired when every result of it was judged longer ago than `expire.age`.
    """
    if flow.expire is None or flow.expire.then != "clear" or target.kind != "brevo":
        return []
    cutoff, found, kind, name = now - flow.expire.seconds, list[list[Effect]](), "", ""
    while True:
        given: dict[str, Any] = {"flow": flow.name, "sink": sink, "kind": kind, "target": name, "limit": PIECE}
        rows = await state.store.read("states_of_sink", **given)
        if not rows:
            return found
        kind, name = rows[-1][0], rows[-1][1]
        effects = [to_effect(row) for row in rows]
        stale = await _stale_owners(state, effects, cutoff)
        clearing = [
            empty
            for effect in effects
            if not stale.isdisjoint(_owners_of(effect)) and (empty := cleared_as(target, effect)) is not None
        ]
        if clearing:
            found.append(clearing)


async def plan_expired(flow: Flow, state: FlowState, target: Target, sink: str, run: str, now: float) -> int:
    """Plan the writes that clear what has expired; returns for how many contacts."""
    contacts = set[bytes]()
    for effects in await find_expired(flow, state, target, sink, now):

        def make(_: dict[str, list[Item]], effects: list[Effect] = effects) -> tuple[list[Effect], list[Letter]]:
            return effects, []

        await state.finish_page(FinishedPage(run, [], [], [PlannedWrites(sink, [], make)], now))
        contacts.update(msgspec.json.encode(effect.match, order="sorted") for effect in effects)
    return len(contacts)


def _owners_of(effect: Effect) -> set[str]:
    return {fold_key(str(value)) for value in effect.match.values() if value not in (None, "")}


async def _stale_owners(state: FlowState, effects: Sequence[Effect], cutoff: float) -> set[str]:
    owners = sorted({owner for effect in effects for owner in _owners_of(effect)})
    rows = await state.store.look(lambda tx: tx.fetch_keys("newest_of_owners", owners, flow=state.flow))
    return {str(owner) for owner, at in rows if at < cutoff}
