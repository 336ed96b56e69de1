"""From results to intended writes: what each target should hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from penstock.base.errors import MappingError
from penstock.base.types import Problem, Sink, SnapshotSink
from penstock.features.summary import summarize_feedback
from penstock.flows.kept import Effect, Item, hash_effect
from penstock.flows.model import Flow, Target
from penstock.flows.work import Work, fold_key


def find_match(target: Target, scope: dict[str, Any]) -> dict[str, Any]:
    """Return what identifies the target, with addresses in one form; raises `MappingError` when nothing does."""
    found = {name: value for name, value in target.match.evaluate(scope).items() if value not in (None, "")}
    if not found:
        raise MappingError(
            f"sink.{target.kind}.match is empty for this record",
            code="mapping.no-match",
            hint="Filter such records with `where`, or match by another identifier.",
        )
    if target.kind == "brevo" and isinstance(found.get("email"), str):
        found["email"] = fold_key(found["email"])
    return found


def wanted_values(target: Target, scope: dict[str, Any]) -> Effect:
    """Return what one target should hold; raises `MappingError` when a value cannot be built."""
    match = find_match(target, scope)
    fields = {name: expression.evaluate(scope) for name, expression in target.fields.items()}
    name = "|".join(f"{key}={match[key]}" for key in sorted(match))
    kind = "attributes" if target.kind == "brevo" else "row"
    return Effect(kind, name, match, fields, hash_effect(match, fields))


def cleared(target: Target, work: Work) -> Effect | None:
    """Return a contact without our values; None where the sink is not Brevo, or tells no contact."""
    if target.kind != "brevo" or not target.fields:
        return None
    try:
        match = find_match(target, work.scope)
    except MappingError:
        return None
    fields = dict.fromkeys(target.fields)
    name = "|".join(f"{key}={match[key]}" for key in sorted(match))
    return Effect("attributes", name, match, fields, hash_effect(match, fields))


def wanted_event(target: Target, work: Work) -> Effect:
    """Return the event of one judged record; its id comes from the record and what was judged."""
    assert target.event is not None  # noqa: S101 - asked only of targets with an event
    match = find_match(target, work.scope)
    fields: dict[str, Any] = {
        "name": target.event.name,
        "date": target.event_date.evaluate(work.scope) if target.event_date else None,
        "properties": {name: value.evaluate(work.scope) for name, value in target.event_properties.items()},
    }
    name = f"{work.record.key}|{b''.join(work.prints).hex()}"
    return Effect("event", name, match, fields, hash_effect(match, {"event": name}))


def summarize(flow: Flow, scope: dict[str, Any], items: Sequence[Item]) -> dict[str, Any]:
    """Return the scope with every step's result replaced by the summary over a contact's records."""
    assert flow.summarize is not None  # noqa: S101 - asked only of flows that summarise
    result = dict(scope)
    for step in flow.steps:
        rows = [(item.key, item.dated, item.output[step.name]) for item in items if step.name in item.output]
        result[step.name] = summarize_feedback(rows, half_life_days=flow.summarize.half_life_days)
    return result


def sink_name(target: Target, sink: Sink | SnapshotSink) -> str:
    """Return the name under which effects belong to a target: its kind and account or file."""
    return f"{target.kind}:{sink.identity()}"


def wanted_of(
    flow: Flow, target: Target, works: Sequence[Work], items: Mapping[str, Sequence[Item]]
) -> tuple[list[Effect], list[tuple[Work, Problem]]]:
    """Return what targets should hold, one effect per record or, summarised, per contact; and what cannot be built.

    `items` are the kept results by contact, for flows that summarise.
    """
    effects, problems = [], []
    for work in {work.owner: work for work in works}.values() if flow.summarize else works:
        try:
            scope = summarize(flow, work.scope, items.get(work.owner, ())) if flow.summarize else work.scope
            effects.append(wanted_values(target, scope))
        except MappingError as error:
            problems.append((work, Problem.from_error(error, work.record.where)))
    return effects, problems
