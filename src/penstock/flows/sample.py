"""An example of what a sink's expressions see, so that targets can be checked before anything is bought."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from penstock.base.errors import PenstockError
from penstock.base.types import Source
from penstock.features.summary import summarize_feedback
from penstock.flows.model import Flow, Target

_EXAMPLES: dict[str, Any] = {"number": 0.5, "integer": 1, "boolean": True, "array": ["example"], "object": {}}


async def first_scope(flow: Flow, source: Source) -> dict[str, Any] | None:
    """Return the first record with a made-up result of each step; None when the source is empty."""
    async for page in source.pages(size=50):
        if not page.records:
            continue
        scope: dict[str, Any] = {"record": page.records[0].data, "contact": {}}
        scope.update({join.name: {} for join in flow.joins})
        for step in flow.steps:
            output = {name: _example(part) for name, part in step.operation.output_schema()["properties"].items()}
            is_summary = flow.summarize is not None
            scope[step.name] = summarize_feedback([("example", 0.0, output)]) if is_summary else output
        return scope
    return None


def _example(part: Mapping[str, Any]) -> Any:
    if "enum" in part:
        return part["enum"][0]
    kind = part.get("type") or next((one.get("type") for one in part.get("anyOf", ())), "string")
    return "2026-01-01" if part.get("format") == "date" else _EXAMPLES.get(str(kind), "example")


def kinds_of(target: Target, sample: dict[str, Any] | None) -> dict[str, str]:
    """Return what kind of value each field of a target gets (number, text, date, boolean), "" where unknown."""
    kinds = {}
    for name, expression in target.fields.items():
        try:
            kinds[name] = _kind(expression.evaluate(sample)) if sample is not None else ""
        except PenstockError:
            kinds[name] = ""
    return kinds


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, (int, float)):
        return "number"
    if isinstance(value, str) and len(value) >= 10 and value[4:5] == "-" and value[7:8] == "-":
        return "date"
    return "text" if value is not None else ""
