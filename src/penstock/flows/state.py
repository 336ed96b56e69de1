"""What flows remember in the store: runs, items, effects, dead letters and join tables."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any

import msgspec

from penstock.base.types import Outcome, Problem
from penstock.flows.kept import Counts, Effect, FinishedPage, Item, Letter, RunRow
from penstock.flows.model import Flow
from penstock.flows.rows import (
    bury,
    differs,
    finish_page,
    items_of,
    known_effects,
    letter_row,
    many_statements,
    note_outcomes,
    one_statement,
    send_effects,
    to_effect,
    to_item,
    to_run,
    to_text,
)
from penstock.runtime.store import Store


class FlowState:
    """The rows of one flow in one store."""

    def __init__(self, store: Store, flow: str) -> None:
        self.store = store
        self.flow = flow

    # runs

    async def start_run(self, run: str, flow: Flow, source: str, at: float) -> None:
        """Write that a run begins, with the flow as it is now."""
        row = {
            "id": run,
            "flow": self.flow,
            "definition": flow.definition,
            "hash": flow.hash,
            "path": str(flow.path.resolve()),
            "source": source,
            "session": self.store.session,
            "at": at,
        }
        await self.store.batch(one_statement("start_run"), row)

    async def take_over_run(self, run: str) -> None:
        """Make an unfinished run this process's own."""
        await self.store.batch(one_statement("take_over_run"), {"id": run, "session": self.store.session})

    async def move_run(self, run: str, cursor: dict[str, Any] | None, counts: Counts) -> None:
        """Move the cursor of a run, and what was counted up to it."""
        row = {"id": run, "cursor": to_text({"source": cursor, "counts": counts}), "counts": to_text(counts)}
        await self.store.batch(one_statement("move_run"), row)

    async def end_run(self, run: str, state: str, counts: Counts, at: float, problem: str = "") -> None:
        """Write how a run ended."""
        row = {"id": run, "state": state, "counts": to_text(counts), "at": at, "problem": problem}
        await self.store.batch(one_statement("end_run"), row)

    async def unfinished_run(self) -> RunRow | None:
        """Return the newest run of the flow when it did not end by itself."""
        runs = await list_runs(self.store, flow=self.flow, limit=1)
        return runs[0] if runs and runs[0].state in ("running", "stopped") else None

    # items

    async def items(self, keys: Sequence[str]) -> dict[str, Item]:
        """Return what is known of these records."""
        rows = await self.store.look(lambda tx: tx.fetch_keys("items_of", keys, flow=self.flow))
        return {row[0]: to_item(row) for row in rows}

    async def items_of_owners(self, owners: Sequence[str]) -> dict[str, list[Item]]:
        """Return the good results of these contacts."""
        return await self.store.look(lambda tx: items_of(tx, self.flow, owners))

    async def finish_page(self, page: FinishedPage) -> tuple[int, list[Letter]]:
        """Keep results, dead letters and planned writes of a page in one transaction.

        Returns how many writes are planned, and letters about records whose writes cannot be built.
        """
        return await self.store.batch(finish_page, (self.flow, self.store.next_number, page))

    # effects

    async def differing(self, sink: str, effects: Sequence[Effect]) -> list[Effect]:
        """Return the effects that `plan_effects` would note."""
        if not effects:
            return []
        known = await self.store.look(lambda tx: known_effects(tx, self.flow, sink, effects))
        effects = list({(effect.kind, effect.target): effect for effect in effects}.values())
        return [effect for effect in effects if differs(known.get((effect.kind, effect.target)), effect, "")]

    async def send_effects(self, sink: str, kind: str, limit: int, at: float) -> list[Effect]:
        """Mark the next planned effects as sent, before they are sent."""
        row = {"flow": self.flow, "sink": sink, "kind": kind, "limit": limit, "session": self.store.session, "at": at}
        return await self.store.batch(send_effects, row)

    async def oldest_planned(self, sink: str) -> float | None:
        """Return when the oldest waiting write was planned; None when none waits."""
        rows = await self.store.read("oldest_planned", flow=self.flow, sink=sink)
        return None if rows[0][0] is None else float(rows[0][0])

    async def withhold(self, sink: str, pairs: Sequence[tuple[Effect, str]]) -> None:
        """Take back claimed effects: of who was forgotten nothing stays, of who objects what is confirmed."""
        rows = [{"flow": self.flow, "sink": sink, "kind": one.kind, "target": one.target} for one, _ in pairs]
        forgotten = [row for row, (_, reason) in zip(rows, pairs, strict=True) if reason == "forgotten"]
        await self.store.batch(many_statements("drop_effect"), forgotten)
        await self.store.batch(many_statements("drop_unconfirmed_effect"), rows)
        await self.store.batch(many_statements("restore_effect"), rows)

    async def lost_effects(self, sink: str, limit: int) -> list[Effect]:
        """Return effects that were sent without an outcome, as by a process that died. Not while others are sent."""
        rows = await self.store.read("lost_effects", flow=self.flow, sink=sink, limit=limit)
        return [to_effect(row) for row in rows]

    async def note_outcomes(self, sink: str, pairs: Iterable[tuple[Effect, Outcome]], at: float) -> None:
        """Keep what became of sent effects."""
        rows = [
            {
                "flow": self.flow,
                "sink": sink,
                "kind": effect.kind,
                "target": effect.target,
                "wanted": effect.wanted,
                "outcome": outcome,
                "at": at,
            }
            for effect, outcome in pairs
        ]
        if rows:
            await self.store.batch(note_outcomes, rows)

    async def known_contacts(self, sink: str, effects: Sequence[Effect]) -> set[str]:
        """Return the matches, as text, of contacts that the sink held before: any flow wrote to them."""
        matches = sorted({to_text(effect.match) for effect in effects if effect.match})
        rows = await self.store.look(lambda tx: tx.fetch_keys("known_contacts", matches, sink=sink))
        return {str(row[0]) for row in rows}

    async def open_effects(self, sink: str) -> int:
        """Return how many writes are still planned."""
        rows = await self.store.read("count_open_effects", flow=self.flow, sink=sink)
        return int(rows[0][0])

    async def effects_of_run(self, run: str) -> dict[str, int]:
        """Return how many writes a run planned, by what became of them."""
        rows = await self.store.read("count_effects_of_run", flow=self.flow, run=run)
        return {str(state): int(count) for state, count in rows}

    async def effect_pages(self, sink: str, size: int = 500) -> AsyncIterator[list[Effect]]:
        """Yield every row that a snapshot holds, in the order of targets."""
        after = ""
        while True:
            rows = await self.store.read("effects_of_sink", flow=self.flow, sink=sink, after=after, limit=size)
            if not rows:
                return
            yield [to_effect(row) for row in rows]
            after = rows[-1][1]

    async def confirm_all(self, sink: str, at: float) -> None:
        """Note that a snapshot with all effects is in place."""
        await self.store.batch(one_statement("confirm_all_effects"), {"flow": self.flow, "sink": sink, "at": at})

    # dead letters

    async def bury(self, letters: Sequence[Letter]) -> None:
        """Keep what failed."""
        if letters:
            rows = [letter_row(self.flow, self.store.next_number(), letter) for letter in letters]
            await self.store.batch(bury, rows)

    async def plan_failed_effects(self, run: str, new_run: str, at: float) -> None:
        """Plan the refused writes of a run once more, and close the dead letters about them."""
        await self.store.batch(
            one_statement("replan_failed_effects"), {"flow": self.flow, "run": run, "new_run": new_run, "at": at}
        )
        await self.store.batch(one_statement("resolve_written_letters"), {"run": run, "at": at})

    # joins

    async def fill_lookup(self, run: str, name: str, rows: Sequence[tuple[str, dict[str, Any]]]) -> None:
        """Keep a page of a joined source for this run."""
        values = [{"run": run, "name": name, "key": key, "body": to_text(body)} for key, body in rows]
        await self.store.batch(many_statements("fill_lookup"), values)

    async def look_up(self, run: str, name: str, keys: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Return joined rows by key."""
        rows = await self.store.look(lambda tx: tx.fetch_keys("look_up", keys, run=run, name=name))
        return {row[0]: msgspec.json.decode(row[1]) for row in rows}

    async def drop_lookups(self, run: str) -> None:
        """Delete the joined rows of a run."""
        await self.store.batch(one_statement("drop_lookups"), {"run": run})


async def list_runs(store: Store, *, flow: str = "", run: str = "", limit: int = 50) -> list[RunRow]:
    """Return runs, newest first, of one flow or of all."""
    rows = await store.read("runs", flow=flow, run=run, limit=limit)
    return [to_run(row) for row in rows]


async def list_letters(store: Store, run: str, *, after: int = 0, limit: int = 1000) -> list[Letter]:
    """Return the unresolved dead letters of a run, oldest first."""
    rows = await store.read("letters", run=run, after=after, limit=limit)
    return [
        Letter(
            row[0],
            row[1],
            row[2],
            row[3],
            row[4],
            Problem(row[5], row[6], row[7], row[4]),
            msgspec.json.decode(row[8]),
            row[9],
        )
        for row in rows
    ]
