"""What is kept of one person, shown (`explain`) and deleted for good (`forget`).

privacy = Privacy(workspace.store, workspace.clock)
explained = await privacy.explain("anna@example.com")
forgotten = await privacy.forget("anna@example.com")
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from penstock.base.clock import Clock
from penstock.base.errors import InputError
from penstock.events.withdraw import withdraw_events
from penstock.flows.forecasts import forget_in_pieces
from penstock.runtime.answers import Answers, forget_answers
from penstock.runtime.barred import Bar, Barred, fold_identifier, mark_people, write_bars
from penstock.runtime.dialects import Tx
from penstock.runtime.store import Store
from penstock.traces import Traces, find_traces

ROUNDS = 3
"""Another process may keep something while it is looked for."""


class Call(msgspec.Struct, frozen=True):
    """One answer that a result rests on. `cost` is in picodollars."""

    model: str
    at: float
    request_id: str
    cost: int | None


class Judged(msgspec.Struct, frozen=True):
    """One record: which fields of it went out, to which models, and what came back."""

    flow: str
    record: str
    where: str
    run: str
    at: float
    sent: dict[str, dict[str, Any]]
    """By step: the inputs as the flow fills them."""
    calls: list[Call]
    results: dict[str, Any]
    made: dict[str, str]
    """By step: the operation with its version, a bar, the model."""


class Written(msgspec.Struct, frozen=True):
    """One write about the person: where, what, and what became of it."""

    flow: str
    sink: str
    kind: str
    state: str
    at: float
    fields: dict[str, Any]


class Explained(msgspec.Struct, frozen=True):
    """Everything that is kept of one person."""

    contact: str
    barred: str
    """`forgotten` or `objected`; empty for neither."""
    judged: list[Judged]
    written: list[Written]
    failed: int
    """Dead letters that name the person."""
    events: int
    """Conversion events whose body is kept."""
    messages: int
    """Webhooks and replies that name the person."""
    feedback: int = 0
    """What the person said, where it came by itself."""
    computed: int = 0
    """Records that flows computed of the person, such as predictions."""


class Forgotten(msgspec.Struct):
    """How much was deleted. `under_way` is at a vendor just now: forget once more when it is back."""

    contact: str
    items: int = 0
    answers: int = 0
    writes: int = 0
    letters: int = 0
    lookups: int = 0
    events: int = 0
    messages: int = 0
    requests: int = 0
    cursors: int = 0
    feedback: int = 0
    computed: int = 0
    under_way: int = 0
    compacted: bool = False
    """Whether the space was given back, so that no byte stays in the files."""

    def __add__(self, more: Forgotten) -> Forgotten:
        sums = {name: getattr(self, name) + getattr(more, name) for name in COUNTED}
        return Forgotten(self.contact, under_way=more.under_way, **sums)


COUNTED = (
    "items",
    "answers",
    "writes",
    "letters",
    "lookups",
    "events",
    "messages",
    "requests",
    "cursors",
    "feedback",
    "computed",
)


class Privacy:
    """Explains and forgets people in one store."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self.barred = Barred(store)

    async def explain(self, contact: str) -> Explained:
        """Return what is kept of a contact: email, ext_id, or the key of a record."""
        traces = await self._find(contact)
        answers = await Answers(self._store, self._clock).get_many(traces.answers)
        runs = list({item.run for item in traces.items})
        rows = await self._store.look(lambda tx: tx.fetch_keys("definitions_of", runs))
        definitions = {run: msgspec.json.decode(text) for run, text in rows}
        judged = [
            Judged(
                flow=item.flow,
                record=item.key,
                where=item.place,
                run=item.run,
                at=item.at,
                sent=_inputs_of(definitions.get(item.run, {})),
                calls=[
                    Call(answer.model, answer.at, answer.request_id, answer.cost)
                    for key in item.answers
                    if (answer := answers.get(key)) is not None
                ],
                results=item.output,
                made=item.made,
            )
            for item in traces.items
        ]
        barred = await self.barred.find([contact])
        return Explained(
            contact=contact,
            barred=next(iter(barred.values()), ""),
            judged=judged,
            written=[Written(one.flow, one.sink, one.kind, one.state, one.at, one.fields) for one in traces.effects],
            failed=len(traces.letters),
            events=len(traces.events),
            messages=len(traces.messages) + len(traces.replies),
            feedback=len(traces.feedback),
            computed=len(traces.made) + len(traces.summaries),
        )

    async def forget(self, contact: str, *, compact: bool = True) -> Forgotten:
        """Delete everything that is kept of a contact, and leave a salted mark so that it does not come back.

        Safe to repeat, and to be killed at any point: the mark is written first, then all goes in one transaction.
        Without `compact` the space is given back later, by whoever forgets many.
        """
        await self.barred.add([fold_identifier(contact)], "forgotten", self._clock.now())
        done = Forgotten(contact)
        for _ in range(ROUNDS):
            traces = await self._find(contact)
            done.under_way = traces.under_way
            if not traces:
                break
            done = done + await self._store.batch(_drop_all, (traces, self._clock.now()))
        done.compacted = compact and await self._store.compact()
        return done

    async def object(self, contact: str) -> None:
        """Note that a contact objects to profiling and marketing: flows skip it, and what is queued is not sent."""
        await self.barred.add([_fold(contact)], "objected", self._clock.now())

    async def withdraw_objection(self, contact: str) -> None:
        """Note that a contact no longer objects here; what Brevo says of it still counts."""
        await self.barred.lift([_fold(contact)], "objected")

    async def _find(self, contact: str) -> Traces:
        return await find_traces(self._store, _fold(contact))


def _fold(contact: str) -> str:
    """Return the identifier as it is compared; raises `InputError` for none."""
    identifier = fold_identifier(contact)
    if not identifier:
        raise InputError("no contact was named", code="privacy.no-contact", hint="Give an email or an ext_id.")
    return identifier


def _inputs_of(definition: Any) -> dict[str, dict[str, Any]]:
    """Return the inputs of each step as the flow file has them."""
    found = {}
    for step in definition.get("steps", []):
        for operation, inputs in step.items():
            if operation != "as":
                found[operation] = {name: value for name, value in (inputs or {}).items() if name != "known"}
    return found


def _drop_all(tx: Tx, items: Sequence[tuple[Traces, float]]) -> list[Forgotten]:
    return [_drop(tx, traces, at) for traces, at in items]


def _drop(tx: Tx, traces: Traces, at: float) -> Forgotten:
    write_bars(tx, [Bar(tuple(traces.identifiers()), "forgotten", at)])
    lines = tx.fetch_keys("lines_of_keys", traces.answers)
    tx.run_many("drop_waiting_line", [{"id": number} for number, _ in lines])
    tx.run_many("drop_item", [{"flow": item.flow, "key": item.key} for item in traces.items])
    tx.run_many("drop_effect", [one.row() for one in traces.effects])
    tx.run_many("drop_letter", [{"id": number} for number in traces.letters])
    tx.run_many("drop_lookup", traces.lookups)
    tx.run_many("drop_message", [{"id": number} for number in traces.messages])
    tx.run_many("drop_reply", traces.replies)
    tx.run_many("drop_made_row", traces.made)
    forget_in_pieces(tx, traces.summaries, {fold_identifier(name) for name in traces.names})
    tx.run_many("drop_feedback", [{"id": name} for name in traces.feedback])
    tx.run_many("drop_person", [{"person": mark} for mark in mark_people(tx, traces.identifiers())])
    tx.run_many("drop_cursor", [{"id": run} for run in traces.cursors])
    batched = sum(state == "batched" for _, state in lines)
    return Forgotten(
        contact=traces.identifier,
        items=len(traces.items),
        answers=forget_answers(tx, [tuple(traces.answers)])[0],
        writes=len(traces.effects),
        letters=len(traces.letters),
        lookups=len(traces.lookups),
        events=withdraw_events(tx, traces.events, at),
        messages=len(traces.messages) + len(traces.replies),
        requests=len(lines) - batched,
        cursors=len(traces.cursors),
        feedback=len(traces.feedback),
        computed=len(traces.made) + len(traces.summaries),
        under_way=traces.under_way + batched,
    )
