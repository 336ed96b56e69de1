"""Turns what is kept into rows and back, inside the store's transactions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from penstock.base.types import Outcome
from penstock.flows.kept import Counts, Effect, FinishedPage, Item, Letter, PlannedWrites, Position, RunRow
from penstock.runtime.dialects import Tx

_encode = msgspec.json.Encoder(order="sorted").encode


def to_run(row: Sequence[Any]) -> RunRow:
    """Return a run from its row."""
    *head, cursor, counts, problem = row
    position = msgspec.json.decode(cursor, type=Position) if cursor else None
    return RunRow(*head, position, msgspec.json.decode(counts, type=Counts), problem)  # type: ignore[call-arg]


def to_text(value: Any) -> str:
    """Return a value as canonical JSON."""
    return _encode(value).decode()


def to_item(row: Sequence[Any]) -> Item:
    """Return an item from its row."""
    key, owner, fingerprint, state, output, *rest = row
    rest[-1] = msgspec.json.decode(rest[-1] or "{}")
    return Item(key, owner, bytes(fingerprint), state, msgspec.json.decode(bytes(output)), *rest)


def to_effect(row: Sequence[Any]) -> Effect:
    """Return an effect from its row."""
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
        is_first=len(row) > 9 and row[9] == "",
    )


_handlers: dict[tuple[str, str], Any] = {}


def one_statement(name: str) -> Any:
    """Return the handler that runs one named statement for each item."""

    def handle(tx: Tx, items: Sequence[dict[str, Any]]) -> list[None]:
        tx.run_many(name, items)
        return [None] * len(items)

    return _handlers.setdefault(("run", name), handle)


def many_statements(name: str) -> Any:
    """Return the handler that runs one named statement for each row of each item."""

    def handle(tx: Tx, items: Sequence[list[dict[str, Any]]]) -> list[None]:
        tx.run_many(name, [row for item in items for row in item])
        return [None] * len(items)

    return _handlers.setdefault(("many", name), handle)


def finish_page(tx: Tx, items: Sequence[tuple[str, Callable[[], int], FinishedPage]]) -> list[tuple[int, list[Letter]]]:
    """Keep pages: results, then dead letters and planned writes; returns what `FlowState.finish_page` does."""
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
        effects, unplanned = writes.make(items_of(tx, flow, writes.owners))
        letters += unplanned
        planned += _plan_effects(tx, flow, writes.sink, page, effects)
        planned += _respect(tx, flow, writes, page)
    buried = [*page.letters, *letters]
    if buried:
        bury(tx, [[letter_row(flow, next_number(), letter) for letter in buried]])
    return planned, letters


def _respect(tx: Tx, flow: str, writes: PlannedWrites, page: FinishedPage) -> int:
    """Take back what is planned for people who object, and where it is wished clear what was written for them."""
    if not writes.objected:
        return 0
    known = known_effects(tx, flow, writes.sink, writes.objected)
    ours = [effect for effect in writes.objected if (effect.kind, effect.target) in known]
    if writes.is_clearing:
        return _plan_effects(tx, flow, writes.sink, page, ours)
    rows = [
        {"flow": flow, "sink": writes.sink, "kind": effect.kind, "target": effect.target}
        for effect in ours
        if known[effect.kind, effect.target][2] == "planned"
    ]
    tx.run_many("drop_unconfirmed_effect", rows)
    tx.run_many("restore_effect", rows)
    return 0


def items_of(tx: Tx, flow: str, owners: Sequence[str]) -> dict[str, list[Item]]:
    """Return the good results of these contacts."""
    owned: dict[str, list[Item]] = {}
    for row in tx.fetch_keys("items_of_owners", owners, flow=flow) if owners else []:
        item = to_item(row)
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
        "at": item.at or page.at,
        "made": to_text(item.made) if item.made else "",
    }


def letter_row(flow: str, number: int, letter: Letter) -> dict[str, Any]:
    """Return the row of a dead letter."""
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
        "record": to_text(letter.record),
        "at": letter.at,
    }


def bury(tx: Tx, items: Sequence[list[dict[str, Any]]]) -> list[None]:
    """Keep dead letters; the newest complaint about a record or target replaces those of earlier runs."""
    rows = [row for item in items for row in item]
    for row in rows:
        old = {"flow": row["flow"], "key": row["key"], "run": row["run"], "at": row["at"]}
        tx.run("replace_letters", old)
    tx.run_many("bury_letter", rows)
    return [None] * len(items)


def known_effects(tx: Tx, flow: str, sink: str, effects: Sequence[Any]) -> dict[tuple[str, str], tuple[Any, ...]]:
    """Return what is known of the targets of these effects: wanted, confirmed, state and run."""
    targets = [effect.target for effect in effects]
    rows = tx.fetch_keys("known_effects", targets, flow=flow, sink=sink)
    return {(row[0], row[1]): row[2:] for row in rows}


def differs(known: tuple[Any, ...] | None, effect: Effect, run: str) -> bool:
    """Tell whether a write must be planned for a target that is to hold what `effect` says."""
    if known is None:
        return not effect.is_removal
    was_wanted, confirmed, state, of_run = known
    wanted = effect.wanted
    if state in {"confirmed", "planned"}:
        return bytes(confirmed or b"") != wanted or (state == "planned" and bytes(was_wanted) != wanted)
    if state in ("rejected", "conflict") and of_run == run:
        return bytes(was_wanted) != wanted
    return state in ("rejected", "conflict") or bytes(was_wanted) != wanted


def _plan_effects(tx: Tx, flow: str, sink: str, page: FinishedPage, effects: Sequence[Effect]) -> int:
    if not effects:
        return 0
    effects = list({(effect.kind, effect.target): effect for effect in effects}.values())  # the last record counts
    known = known_effects(tx, flow, sink, effects)
    new = [effect for effect in effects if differs(known.get((effect.kind, effect.target)), effect, page.run)]
    tx.run_many(
        "plan_effect",
        [
            {
                "flow": flow,
                "sink": sink,
                "kind": effect.kind,
                "target": effect.target,
                "match": to_text(effect.match),
                "fields": to_text(effect.fields),
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


def send_effects(tx: Tx, items: Sequence[dict[str, Any]]) -> list[list[Effect]]:
    """Mark the next planned effects as sent, and return them as they were."""
    results = []
    for item in items:
        rows = tx.fetch("next_effects", {key: item[key] for key in ("flow", "sink", "kind", "limit")})
        effects = [to_effect(row) for row in rows]
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


def note_outcomes(tx: Tx, items: Sequence[list[dict[str, Any]]]) -> list[None]:
    """Keep what became of sent effects; a confirmed one ends the complaints about it."""
    for row in (row for item in items for row in item):
        outcome: Outcome = row.pop("outcome")
        problem = f"{outcome.problem.code}: {outcome.problem.message}" if outcome.problem else ""
        name = {"confirmed": "confirm_effect", "later": "replan_effect"}.get(outcome.state, "fail_effect")
        values = {**row, "state": outcome.state, "problem": problem, "receipt": outcome.receipt}
        tx.run(name, values)
        if outcome.state == "confirmed":
            tx.run("resolve_letters", {"flow": row["flow"], "key": row["target"], "at": row["at"]})
    return [None] * len(items)
