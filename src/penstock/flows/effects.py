"""From results to intended writes: what each target should hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from penstock.base.errors import MappingError
from penstock.base.types import Problem, Sink, SnapshotSink
from penstock.features.summary import summarize_feedback
from penstock.flows.kept import Effect, Item, hash_effect
from penstock.flows.model import Flow, Target
from penstock.flows.sinking import ListPart
from penstock.flows.work import Work, fold_key, status_of


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


def _name_of(match: dict[str, Any]) -> str:
    return "|".join(f"{key}={match[key]}" for key in sorted(match))


def _effect(kind: str, name: str, match: dict[str, Any], fields: dict[str, Any]) -> Effect:
    return Effect(kind, name, match, fields, hash_effect(match, fields))


def wanted_states(target: Target, scope: dict[str, Any]) -> list[Effect]:
    """Return what a contact or row should hold, and on which lists it should be.

    Raises `MappingError` when a value cannot be built.
    """
    match = find_match(target, scope)
    name = _name_of(match)
    effects = []
    if target.fields:
        fields = {field: expression.evaluate(scope) for field, expression in target.fields.items()}
        effects.append(_effect("attributes" if target.kind == "brevo" else "row", name, match, fields))
    for one, expression in target.lists.items():
        effects.append(_wanted_list(target, name, match, one, expression.evaluate(scope)))
    return effects


def _wanted_list(target: Target, name: str, match: dict[str, Any], one: str, value: Any) -> Effect:
    part = target.part.lists[one]
    if isinstance(part, ListPart):
        value = None if value in (None, "") else str(value)
        if value is not None and value not in part.options:
            raise MappingError(
                f"the lists {one!r} have no option {value[:60]!r}",
                code="mapping.no-such-list",
                hint="Name every value under `options` of the list, or make it empty for contacts on none of them.",
            )
    else:
        value = bool(value)
    return _effect("list", f"{name}|{one}", match, {"list": one, "member": value})


def cleared(target: Target, work: Work) -> list[Effect]:
    """Return a contact without our values and off our lists; nothing where the sink is not Brevo, or tells no contact.

    Orders and events are what happened: they stay.
    """
    if target.kind != "brevo" or not target.is_of_owner:
        return []
    try:
        match = find_match(target, work.scope)
    except MappingError:
        return []
    name = _name_of(match)
    effects = [_effect("attributes", name, match, dict.fromkeys(target.fields))] if target.fields else []
    for one, part in target.part.lists.items():
        member = None if isinstance(part, ListPart) else False
        effects.append(_effect("list", f"{name}|{one}", match, {"list": one, "member": member}))
    return effects


def wanted_things(target: Target, work: Work) -> list[Effect]:
    """Return the order and the product that a record tells; raises `MappingError` when one cannot be built."""
    effects = []
    for kind, parts in (("order", target.order), ("product", target.product)):
        if not parts:
            continue
        scope = _scope_of(target, work)
        fields = {name: expression.evaluate(scope) for name, expression in parts.items()}
        if fields.get("id") in (None, ""):
            raise MappingError(
                f"the {kind} of this record has no id",
                code="mapping.no-id",
                hint=f"Give `{kind}` an `id`, and filter records without one with `where`.",
            )
        match = find_match(target, work.scope) if kind == "order" else {}
        effects.append(_effect(kind, str(fields["id"]), match, fields))
    return effects


def wanted_event(target: Target, work: Work) -> Effect:
    """Return the event of one judged record; its id comes from the record and what was judged."""
    assert target.event is not None  # noqa: S101 - asked only of targets with an event
    match, scope = find_match(target, work.scope), _scope_of(target, work)
    fields: dict[str, Any] = {
        "name": target.event.name,
        "date": target.event_date.evaluate(scope) if target.event_date else None,
        "properties": {name: value.evaluate(scope) for name, value in target.event_properties.items()},
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
    if items:
        newest = max(items, key=lambda item: (item.at, item.key))
        result["status"] = status_of(newest.at, newest.made)
    else:
        result["status"] = status_of(0.0, {})
    return result


def _scope_of(target: Target, work: Work) -> dict[str, Any]:
    return {**work.scope, "status": status_of(work.at, work.made)} if target.sees_status else work.scope


def _is_over(flow: Flow, work: Work, items: Sequence[Item]) -> bool:
    """Tell whether what a contact or row holds is to be cleared: all of it was judged too long ago."""
    if flow.expire is None or flow.expire.then != "clear":
        return False
    newest = max((item.at for item in items), default=work.at) if flow.summarize else work.at
    return newest < work.now - flow.expire.seconds


def _is_swept(target: Target, work: Work) -> bool:
    """Tell whether the end of the run clears a contact and counts it: it is found by the owner of its results."""
    return work.owner in {fold_key(str(value)) for value in find_match(target, work.scope).values()}


def cleared_as(target: Target, effect: Effect) -> Effect | None:
    """Return the write that takes back another one, for the fields that the flow still has; None where none is left."""
    if effect.kind == "attributes":
        fields: dict[str, Any] = dict.fromkeys(target.fields)
    elif effect.fields.get("list") in target.part.lists:
        one = effect.fields["list"]
        fields = {"list": one, "member": None if isinstance(target.part.lists[one], ListPart) else False}
    else:
        return None
    return None if not fields or fields == effect.fields else _effect(effect.kind, effect.target, effect.match, fields)


def sink_name(target: Target, sink: Sink | SnapshotSink) -> str:
    """Return the name under which effects belong to a target: its kind and account or file."""
    return f"{target.kind}:{sink.identity()}"


def wanted_of(
    flow: Flow, target: Target, works: Sequence[Work], items: Mapping[str, Sequence[Item]]
) -> tuple[list[Effect], list[tuple[Work, Problem]]]:
    """Return what targets should hold, by record or, summarised, by contact; and what cannot be built.

    `items` are the kept results by contact, for flows that summarise.
    """
    effects, problems = [], []
    owners = {work.owner: work for work in works}.values() if flow.summarize else works
    for work in owners if target.is_of_owner else ():
        try:
            own = items.get(work.owner, ())
            if _is_over(flow, work, own):
                effects += [] if _is_swept(target, work) else cleared(target, work)
                continue
            scope = summarize(flow, work.scope, own) if flow.summarize else _scope_of(target, work)
            effects += wanted_states(target, scope)
        except MappingError as error:
            problems.append((work, Problem.from_error(error, work.record.where)))
    for work in works if target.order or target.product else ():
        try:
            effects += wanted_things(target, work)
        except MappingError as error:
            problems.append((work, Problem.from_error(error, work.record.where)))
    return effects, problems
