"""list-models: List the models that a key may use.

The vendor's list says what the key can call and when a model ends; prices and limits are in `penstock models`.
"""

from __future__ import annotations

from typing import Any

from penstock.base.errors import OutputError
from penstock.operations.declare import Asker, Fields, ModelChoice, Operation
from penstock.runtime.ask import Answer, Ask


class Input(Fields):
    """Which models."""

    contains: str = ""
    """Only models whose name has this in it."""


class Listed(Fields):
    """One model."""

    id: str
    """Its name."""
    owned_by: str = ""
    """Who made it."""
    created: int | None = None
    """When it was made, in seconds since 1970."""
    shutdown_date: str | None = None
    """When it ends, where that is announced."""


class Output(Fields):
    """The models."""

    models: list[Listed]
    """The models, by name."""


async def run(asker: Asker, input: Input, choice: ModelChoice) -> Output:
    """List them; raises `OutputError` when the reply is no list."""
    return (await OPERATION.perform(asker, input, choice)).output


def prepare(input: Input, choice: ModelChoice) -> Ask:  # noqa: ARG001 - the list is the same for every wish
    """Say what would be sent."""
    return Ask(
        OPERATION.name,
        OPERATION.version,
        "/models",
        "",
        {},
        0,
        connection=choice.connection,
        method="GET",
        is_free=True,
        is_kept=False,
    )


def read(input: Input, answer: Answer) -> Output:
    """Read the list; raises `OutputError`."""
    listed = answer.content.get("data") if isinstance(answer.content, dict) else None
    if not isinstance(listed, list):
        raise OutputError("the reply is no list of models", code="output.shape")
    models = [read_model(one) for one in listed if isinstance(one, dict) and input.contains in str(one.get("id"))]
    return Output(models=sorted(models, key=lambda one: one.id))


def read_model(one: dict[str, Any]) -> Listed:
    """Read one entry; raises `OutputError` where it has no name."""
    if not isinstance(one.get("id"), str):
        raise OutputError("a model in the reply has no name", code="output.shape")
    created = one.get("created")
    ends = one.get("shutdown_date")
    return Listed(
        id=one["id"],
        owned_by=str(one.get("owned_by") or ""),
        created=created if isinstance(created, int) else None,
        shutdown_date=None if ends is None else str(ends),
    )


OPERATION = Operation(
    module=__name__,
    version=1,
    input=Input,
    output=Output,
    prepare=prepare,
    read=read,
    kind="unknown",
    example={"contains": "gpt-6"},
)
