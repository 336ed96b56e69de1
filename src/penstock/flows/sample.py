"""Tries a flow on the first records of its source, with made-up results, before anything is bought or written.

A wrong column or a template typo is then one error with line and column, not one dead
letter for each record.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from penstock.base.errors import FlowError, MappingError, PenstockError
from penstock.base.expression import Scope
from penstock.base.types import Source
from penstock.features.summary import summarize_feedback
from penstock.flows.model import Flow, Step, Target

RECORDS = 50
"""Records that are tried: a field that none of them has is taken for a mistake."""
_EXAMPLES: dict[str, Any] = {"number": 0.5, "integer": 1, "boolean": True, "array": ["example"], "object": {}}
_DEEPEST = 5
"""Levels of an output that are made up: where a schema repeats itself."""


class Sample(NamedTuple):
    """What expressions see of one record: beside each judgement, and where contacts are summarised."""

    judged: dict[str, Any]
    summarised: dict[str, Any]


async def read_samples(flow: Flow, source: Source, joins: Mapping[str, Source]) -> list[Sample]:
    """Return the first records that the flow does not filter out; none when the source is empty."""
    rows: dict[str, Any] = {name: await _first_row(joined) for name, joined in joins.items()}
    results = {step.name: _make_output(step) for step in flow.steps}
    summaries = results
    if flow.summarize is not None:
        summaries = {name: summarize_feedback([("example", 0.0, output)]) for name, output in results.items()}
    status = {"status": {"at": "2026-01-01", "model": "example", "version": "example"}}
    async for page in source.pages(size=RECORDS):
        scopes = [{"record": record.data, **rows} for record in page.records]
        wanted = [scope for scope in scopes if _is_wanted(flow, scope)]
        if wanted:
            return [Sample({**scope, **results, **status}, {**scope, **summaries, **status}) for scope in wanted]
    return []


async def _first_row(source: Source) -> dict[str, Any]:
    async for page in source.pages(size=RECORDS):
        if page.records:
            return page.records[0].data
    return {}


def _is_wanted(flow: Flow, scope: Scope) -> bool:
    try:
        return flow.where is None or bool(flow.where.evaluate(scope))
    except MappingError:
        return True


def check_samples(flow: Flow, samples: Sequence[Sample]) -> None:
    """Raise `FlowError` with line and column for what cannot work with any of the records."""
    for placed in flow.expressions:
        errors = [
            _missing_field(placed.expression.evaluate, one.summarised if placed.sees_summary else one.judged)
            for one in samples
        ]
        if errors and all(errors) and errors[0] is not None:
            raise FlowError(errors[0].message, code="flow.unknown-field", where=placed.place, hint=errors[0].hint)
    for step in flow.steps:
        _check_step(step, samples)


def _missing_field(evaluate: Any, scope: Scope) -> MappingError | None:
    try:
        evaluate(scope)
    except MappingError as error:
        return error if error.code == "mapping.missing-field" else None
    return None


def _check_step(step: Step, samples: Sequence[Sample]) -> None:
    problems = set()
    for one in samples:
        try:
            step.operation.parse({name: value.evaluate(one.judged) for name, value in step.inputs.items()})
        except PenstockError as error:
            problems.add((error.message, error.hint))
        else:
            return
    if len(problems) == 1:
        message, hint = problems.pop()
        raise FlowError(message, code="flow.bad-input", where=step.place, hint=hint)


def _make_output(step: Step) -> dict[str, Any]:
    schema = step.operation.output_schema()
    named = schema.get("$defs", {})
    return {name: _example(part, named) for name, part in schema["properties"].items()}


def _example(part: Mapping[str, Any], named: Mapping[str, Any], depth: int = 0) -> Any:
    """Return a value that fits a part of a schema, with what lies inside it as far as the schema says."""
    part = named.get(str(part.get("$ref", "")).removeprefix("#/$defs/"), part)
    if "enum" in part:
        return part["enum"][0]
    if "properties" in part and depth < _DEEPEST:
        return {name: _example(one, named, depth + 1) for name, one in part["properties"].items()}
    kind = part.get("type") or next((one.get("type") for one in part.get("anyOf", ())), "string")
    if kind == "array" and "$ref" in part.get("items", {}):
        return [_example(part["items"], named, depth + 1)]
    return "2026-01-01" if part.get("format") == "date" else _EXAMPLES.get(str(kind), "example")


def kinds_of(target: Target, samples: Sequence[Sample]) -> dict[str, str]:
    """Return what kind of value each field of a target gets (number, text, date, boolean), "" where unknown.

    Fields of orders and products are named with their word before them: `order.amount`.
    """
    fields = dict(target.fields)
    for word, parts in (("order", target.order), ("product", target.product)):
        fields |= {f"{word}.{name}": expression for name, expression in parts.items()}
    return {name: _kind(expression.evaluate, samples) for name, expression in fields.items()}


def _kind(evaluate: Any, samples: Sequence[Sample]) -> str:
    for one in samples:
        try:
            value = evaluate(one.summarised)
        except PenstockError:
            continue
        if isinstance(value, bool):
            return "boolean"
        if isinstance(value, (int, float)):
            return "number"
        if isinstance(value, str) and len(value) >= 10 and value[4:5] == "-" and value[7:8] == "-":
            return "date"
        if value is not None:
            return "text"
    return ""
