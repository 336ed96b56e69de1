"""What flows remember in the store: runs, items, effects, dead letters and join tables."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Any

import msgspec

from penstock.base.types import Outcome, Problem, Source
from penstock.flows.model import Flow
from penstock.runtime.dialects import Tx
from penstock.runtime.store import Store

_encode = msgspec.json.Encoder(order="sorted").encode


class Counts(msgspec.Struct):
    """What became of the records of one run; every record read is in exactly one of the first six."""

    unchanged: int = 0
    judged: int = 0
    filtered: int = 0
    duplicates: int = 0
    """Records that say again what another one with the same key says."""
    failed: int = 0
    rejected: int = 0
    """Rows that could not even be read."""
    pages: int = 0
    calls: int = 0
    cached: int = 0
    """Answers that were held already and cost nothing."""
    cost: int = 0
    saved: int = 0
    """What the held answers had cost when they were bought."""
    tokens: int = 0
    planned: int = 0
    """Writes that differ from what the target holds."""
    written: int = 0
    refused: int = 0
    """Writes that the target will never take."""

    def __add__(self, other: Counts) -> Counts:
        names = self.__struct_fields__
        return Counts(*(getattr(self, name) + getattr(other, name) for name in names))

    @property
    def read(self) -> int:
        """Records and broken rows that the source gave."""
        return self.unchanged + self.judged + self.filtered + self.duplicates + self.failed + self.rejected


class Position(msgspec.Struct):
    """Where the source goes on, and what was counted up to there."""

    source: dict[str, Any] | None
    counts: Counts


class RunRow(msgspec.Struct):
    """One run of a flow."""

    id: str
    flow: str
    definition_hash: str
    path: str
    source: str
    state: str
    session: str
    started_at: float
    ended_at: float | None
    position: Position | None
    counts: Counts
    problem: str

    def is_of(self, flow: Flow, source: Source) -> bool:
        """Tell whether the run was started with this flow as it is now, on this source."""
        return (self.definition_hash, self.source) == (flow.hash, source.identity())


class Item(msgspec.Struct, frozen=True):
    """What is known of one record: the fingerprint of each step and the result of each."""

    key: str
    owner: str
    fingerprint: bytes
    state: str
    output: dict[str, Any]
    dated: float | None
    answers: str
    place: str
    run: str = ""
    """The run that judged it."""


class Letter(msgspec.Struct, frozen=True):
    """One dead letter: what failed, where, why, and the record to try again."""

    id: int
    run: str
    stage: str
    key: str
    place: str
    problem: Problem
    record: dict[str, Any]
    at: float


class Effect(msgspec.Struct, frozen=True):
    """One intended write: `wanted` is the hash of match and fields."""

    kind: str
    target: str
    match: dict[str, Any]
    fields: dict[str, Any]
    wanted: bytes
    confirmed_fields: dict[str, Any] | None = None
    state: str = "planned"
    attempts: int = 0
    problem: str = ""


class PlannedWrites(msgspec.Struct, frozen=True):
    """What a page makes one sink hold.

    `make` is called inside the transaction with the kept results of `owners`; it returns
    effects, and letters about what cannot be built.
    """

    sink: str
    owners: list[str]
    make: Callable[[dict[str, list[Item]]], tuple[list[Effect], list[Letter]]]


class FinishedPage(msgspec.Struct, frozen=True):
    """Everything that a page comes to."""

    run: str
    items: list[Item]
    letters: list[Letter]
    writes: list[PlannedWrites]
    at: float


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
        await self.store.batch(_run("start_run"), row)

    async def take_over_run(self, run: str) -> None:
        """Make an unfinished run this process's own."""
        await self.store.batch(_run("take_over_run"), {"id": run, "session": self.store.session})

    async def move_run(self, run: str, cursor: dict[str, Any] | None, counts: Counts) -> None:
        """Move the cursor of a run, and what was counted up to it."""
        row = {"id": run, "cursor": _text({"source": cursor, "counts": counts}), "counts": _text(counts)}
        await self.store.batch(_run("move_run"), row)

    async def end_run(self, run: str, state: str, counts: Counts, at: float, problem: str = "") -> None:
        """Write how a run ended."""
        row = {"id": run, "state": state, "counts": _text(counts), "at": at, "problem": problem}
        await self.store.batch(_run("end_run"), row)

    async def unfinished_run(self) -> RunRow | None:
        """Return the newest run of the flow when it did not end by itself."""
        runs = await list_runs(self.store, flow=self.flow, limit=1)
        return runs[0] if runs and runs[0].state in ("running", "stopped") else None

    # items

    async def items(self, keys: Sequence[str]) -> dict[str, Item]:
        """Return what is known of these records."""
        rows = await self.store.look(lambda tx: tx.fetch_keys("items_of", keys, flow=self.flow))
        return {row[0]: _item(row) for row in rows}

    async def items_of_owners(self, owners: Sequence[str]) -> dict[str, list[Item]]:
        """Return the good results of these contacts."""
        return await self.store.look(lambda tx: _items_of(tx, self.flow, owners))

    async def finish_page(self, page: FinishedPage) -> tuple[int, list[Letter]]:
        """Keep results, dead letters and planned writes of a page in one transaction.

        Returns how many writes are planned, and letters about records whose writes cannot be built.
        """
        return await self.store.batch(_finish_page, (self.flow, self.store.next_number, page))

    # effects

    async def differing(self, sink: str, effects: Sequence[Effect]) -> list[Effect]:
        """Return the effects that `plan_effects` would note."""
        if not effects:
            return []
        known = await self.store.look(lambda tx: _known_effects(tx, self.flow, sink, effects))
        effects = list({(effect.kind, effect.target): effect for effect in effects}.values())
        return [effect for effect in effects if _differs(known.get((effect.kind, effect.target)), effect.wanted, "")]

    async def send_effects(self, sink: str, kind: str, limit: int, at: float) -> list[Effect]:
        """Mark the next planned effects as sent, before they are sent."""
        row = {"flow": self.flow, "sink": sink, "kind": kind, "limit": limit, "session": self.store.session, "at": at}
        return await self.store.batch(_send_effects, row)

    async def lost_effects(self, sink: str, limit: int) -> list[Effect]:
        """Return effects that were sent without an outcome, as by a process that died. Not while others are sent."""
        rows = await self.store.read("lost_effects", flow=self.flow, sink=sink, limit=limit)
        return [_effect(row) for row in rows]

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
            await self.store.batch(_note_outcomes, rows)

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
            yield [_effect(row) for row in rows]
            after = rows[-1][1]

    async def confirm_all(self, sink: str, at: float) -> None:
        """Note that a snapshot with all effects is in place."""
        await self.store.batch(_run("confirm_all_effects"), {"flow": self.flow, "sink": sink, "at": at})

    # dead letters

    async def bury(self, letters: Sequence[Letter]) -> None:
        """Keep what failed."""
        if letters:
            rows = [_letter_row(self.flow, self.store.next_number(), letter) for letter in letters]
            await self.store.batch(_bury, rows)

    async def plan_failed_effects(self, run: str, new_run: str, at: float) -> None:
        """Plan the refused writes of a run once more, and close the dead letters about them."""
        await self.store.batch(
            _run("replan_failed_effects"), {"flow": self.flow, "run": run, "new_run": new_run, "at": at}
        )
        await self.store.batch(_run("resolve_written_letters"), {"run": run, "at": at})

    # joins

    async def fill_lookup(self, run: str, name: str, rows: Sequence[tuple[str, dict[str, Any]]]) -> None:
        """Keep a page of a joined source for this run."""
        values = [{"run": run, "name": name, "key": key, "body": _text(body)} for key, body in rows]
        await self.store.batch(_many("fill_lookup"), values)

    async def look_up(self, run: str, name: str, keys: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Return joined rows by key."""
        rows = await self.store.look(lambda tx: tx.fetch_keys("look_up", keys, run=run, name=name))
        return {row[0]: msgspec.json.decode(row[1]) for row in rows}

    async def drop_lookups(self, run: str) -> None:
        """Delete the joined rows of a run."""
        await self.store.batch(_run("drop_lookups"), {"run": run})


async def list_runs(store: Store, *, flow: str = "", run: str = "", limit: int = 50) -> list[RunRow]:
    """Return runs, newest first, of one flow or of all."""
    rows = await store.read("runs", flow=flow, run=run, limit=limit)
    return [_run_row(row) for row in rows]


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


def _run_row(row: Sequence[Any]) -> RunRow:
    *head, cursor, counts, problem = row
    position = msgspec.json.decode(cursor, type=Position) if cursor else None
    return RunRow(*head, position, msgspec.json.decode(counts, type=Counts), problem)  # type: ignore[call-arg]


def hash_effect(match: dict[str, Any], fields: dict[str, Any]) -> bytes:
    """Return the hash that tells whether a target already holds this."""
    import hashlib

    return hashlib.blake2b(_encode([match, fields]), digest_size=16).digest()


def _text(value: Any) -> str:
    return _encode(value).decode()


def _item(row: Sequence[Any]) -> Item:
    key, owner, fingerprint, state, output, *rest = row
    return Item(key, owner, bytes(fingerprint), state, msgspec.json.decode(bytes(output)), *rest)


def _effect(row: Sequence[Any]) -> Effect:
    return Effect(
        row[0],
        row[1],
        msgspec.json.decode(row[2]),
        msgspec.json.decode(row[3]),
        bytes(row[4]),
        msgspec.json.decode(row[5]) if row[5] else None,
        row[6],
        int(row[7]),
        row[8],
    )


_handlers: dict[tuple[str, str], Any] = {}


def _run(name: str) -> Any:
    """Return the handler that runs one named statement for each item."""

    def handle(tx: Tx, items: Sequence[dict[str, Any]]) -> list[None]:
        tx.run_many(name, items)
        return [None] * len(items)

    return _handlers.setdefault(("run", name), handle)


def _many(name: str) -> Any:
    """Return the handler that runs one named statement for each row of each item."""

    def handle(tx: Tx, items: Sequence[list[dict[str, Any]]]) -> list[None]:
        tx.run_many(name, [row for item in items for row in item])
        return [None] * len(items)

    return _handlers.setdefault(("many", name), handle)


def _finish_page(
    tx: Tx, items: Sequence[tuple[str, Callable[[], int], FinishedPage]]
) -> list[tuple[int, list[Letter]]]:
    return [_finish_one(tx, flow, next_number, page) for flow, next_number, page in items]


def _finish_one(tx: Tx, flow: str, next_number: Callable[[], int], page: FinishedPage) -> tuple[int, list[Letter]]:
    tx.run("lock_run", {"id": page.run})  # pages of one run are planned one after the other, on any database
    tx.run_many("save_item", [_item_row(flow, item, page) for item in page.items])
    tx.run_many(
        "resolve_letters",
        [{"flow": flow, "key": item.key, "at": page.at} for item in page.items if item.state == "done"],
    )
    planned, letters = 0, []
    for writes in page.writes:
        effects, unplanned = writes.make(_items_of(tx, flow, writes.owners))
        letters += unplanned
        planned += _plan_effects(tx, flow, writes.sink, page, effects)
    buried = [*page.letters, *letters]
    if buried:
        _bury(tx, [[_letter_row(flow, next_number(), letter) for letter in buried]])
    return planned, letters


def _items_of(tx: Tx, flow: str, owners: Sequence[str]) -> dict[str, list[Item]]:
    owned: dict[str, list[Item]] = {}
    for row in tx.fetch_keys("items_of_owners", owners, flow=flow) if owners else []:
        item = _item(row)
        owned.setdefault(item.owner, []).append(item)
    return owned


def _item_row(flow: str, item: Item, page: FinishedPage) -> dict[str, Any]:
    return {
        "flow": flow,
        "key": item.key,
        "owner": item.owner,
        "fingerprint": item.fingerprint,
        "state": item.state,
        "output": _encode(item.output),
        "dated": item.dated,
        "answers": item.answers,
        "place": item.place,
        "run": page.run,
        "at": page.at,
    }


def _letter_row(flow: str, number: int, letter: Letter) -> dict[str, Any]:
    return {
        "id": number,
        "run": letter.run,
        "flow": flow,
        "stage": letter.stage,
        "key": letter.key,
        "place": letter.place,
        "code": letter.problem.code,
        "message": letter.problem.message,
        "hint": letter.problem.hint,
        "record": _text(letter.record),
        "at": letter.at,
    }


def _bury(tx: Tx, items: Sequence[list[dict[str, Any]]]) -> list[None]:
    rows = [row for item in items for row in item]
    for row in rows:  # the newest complaint about a record or target replaces those of earlier runs
        old = {"flow": row["flow"], "key": row["key"], "run": row["run"], "at": row["at"]}
        tx.run("replace_letters", old)
    tx.run_many("bury_letter", rows)
    return [None] * len(items)


def _known_effects(tx: Tx, flow: str, sink: str, effects: Sequence[Any]) -> dict[tuple[str, str], tuple[Any, ...]]:
    targets = [effect.target for effect in effects]
    rows = tx.fetch_keys("known_effects", targets, flow=flow, sink=sink)
    return {(row[0], row[1]): row[2:] for row in rows}


def _differs(known: tuple[Any, ...] | None, wanted: bytes, run: str) -> bool:
    if known is None:
        return True
    was_wanted, confirmed, state, of_run = known
    if state in {"confirmed", "planned"}:
        return bytes(confirmed or b"") != wanted or (state == "planned" and bytes(was_wanted) != wanted)
    if state in ("rejected", "conflict") and of_run == run:
        return bytes(was_wanted) != wanted
    return state in ("rejected", "conflict") or bytes(was_wanted) != wanted


def _plan_effects(tx: Tx, flow: str, sink: str, page: FinishedPage, effects: Sequence[Effect]) -> int:
    if not effects:
        return 0
    effects = list({(effect.kind, effect.target): effect for effect in effects}.values())  # the last record counts
    known = _known_effects(tx, flow, sink, effects)
    new = [effect for effect in effects if _differs(known.get((effect.kind, effect.target)), effect.wanted, page.run)]
    tx.run_many(
        "plan_effect",
        [
            {
                "flow": flow,
                "sink": sink,
                "kind": effect.kind,
                "target": effect.target,
                "match": _text(effect.match),
                "fields": _text(effect.fields),
                "wanted": effect.wanted,
                "run": page.run,
                "at": page.at,
            }
            for effect in new
        ],
    )
    return sum(_is_added(known.get((effect.kind, effect.target))) for effect in new)


def _is_added(known: tuple[Any, ...] | None) -> bool:
    """Tell whether a newly planned write adds to those that wait; one that waits already is only changed."""
    return known is None or known[2] != "planned"


def _send_effects(tx: Tx, items: Sequence[dict[str, Any]]) -> list[list[Effect]]:
    results = []
    for item in items:
        rows = tx.fetch("next_effects", {key: item[key] for key in ("flow", "sink", "kind", "limit")})
        effects = [_effect(row) for row in rows]
        tx.run_many(
            "send_effect",
            [
                {
                    "flow": item["flow"],
                    "sink": item["sink"],
                    "kind": effect.kind,
                    "target": effect.target,
                    "session": item["session"],
                    "at": item["at"],
                }
                for effect in effects
            ],
        )
        results.append(effects)
    return results


def _note_outcomes(tx: Tx, items: Sequence[list[dict[str, Any]]]) -> list[None]:
    for row in (row for item in items for row in item):
        outcome: Outcome = row.pop("outcome")
        problem = f"{outcome.problem.code}: {outcome.problem.message}" if outcome.problem else ""
        name = {"confirmed": "confirm_effect", "later": "replan_effect"}.get(outcome.state, "fail_effect")
        values = {**row, "state": outcome.state, "problem": problem, "receipt": outcome.receipt}
        tx.run(name, values)
        if outcome.state == "confirmed":
            tx.run("resolve_letters", {"flow": row["flow"], "key": row["target"], "at": row["at"]})
    return [None] * len(items)
