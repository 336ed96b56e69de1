"""What a person or a program is told of a finished operation, the same through every door."""

from __future__ import annotations

from typing import Any

import msgspec

from penstock.base.types import DOLLAR, Money, Usage
from penstock.operations.declare import Done, ModelChoice
from penstock.runtime.ask import Answer


class Result(msgspec.Struct, frozen=True):
    """The output of an operation, with all that was used and paid for it.

    `cost_dollars` is None where a price is unknown; it counts only what was bought now,
    `saved_dollars` what held answers once cost. `finish` is the vendor's word for why the
    answer ended. `warnings` say what of the input could not be honoured.
    """

    operation: str
    output: dict[str, Any]
    model: str
    connection: str
    tier: str
    finish: str
    usage: dict[str, float]
    cost_dollars: float | None
    saved_dollars: float | None
    cached: bool
    calls: int
    request_ids: tuple[str, ...]
    warnings: tuple[str, ...]


def describe_result(operation: str, done: Done[Any], choice: ModelChoice) -> Result:
    """Gather what the answers of a finished operation say."""
    answers = done.answers
    bought = [answer for answer in answers if not answer.cached]
    last = answers[-1] if answers else None
    return Result(
        operation=operation,
        output=done.output.model_dump(mode="json"),
        model=last.model if last else "",
        connection=choice.connection if last else "",
        tier=last.tier if last else "",
        finish=read_finish(last.content) if last else "no call",
        usage=_describe_usage(sum((answer.usage for answer in answers), Usage())),
        cost_dollars=_dollars(bought),
        saved_dollars=_dollars([answer for answer in answers if answer.cached]),
        cached=bool(answers) and not bought,
        calls=len(bought),
        request_ids=tuple(answer.request_id for answer in answers if answer.request_id),
        warnings=done.warnings,
    )


def read_finish(content: Any) -> str:
    """Return why an answer ended, in the vendor's word, such as `stop`, `completed` or `max_output_tokens`."""
    if not isinstance(content, dict):
        return "done"
    choices = content.get("choices")
    if isinstance(choices, list) and choices and isinstance(choices[0], dict):
        return str(choices[0].get("finish_reason") or "unknown")
    details = content.get("incomplete_details")
    if isinstance(details, dict) and details.get("reason"):
        return str(details["reason"])
    return str(content.get("status") or "done")


def _describe_usage(usage: Usage) -> dict[str, float]:
    """Return the amounts that are not zero, by name; input and output always."""
    amounts: dict[str, float] = msgspec.structs.asdict(usage)
    return {name: amount for name, amount in amounts.items() if amount or name in ("input", "output")}


def _dollars(answers: list[Answer]) -> float | None:
    costs: list[Money | None] = [answer.cost for answer in answers]
    return None if None in costs else sum(cost or 0 for cost in costs) / DOLLAR
