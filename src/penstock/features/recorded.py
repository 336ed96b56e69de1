"""Judgements from answers that are held: nothing is bought, and what was never asked stays without one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from penstock.base.errors import InputError, OutputError, PenstockError
from penstock.operations.declare import Fields, ModelChoice, Operation
from penstock.runtime.answers import Answers
from penstock.runtime.ask import Answer, Ask
from penstock.runtime.vectors import Held

MISSING = "evaluation.not-recorded"


class Books(Protocol):
    """What is needed of the path of paid calls: where an answer lies, and what a model is known to refuse."""

    answers: Answers

    def address(self, ask: Ask) -> bytes:
        """Return the address of a request's answer."""

    def refused(self, ask: Ask) -> frozenset[str]:
        """Return the parameters that the model is known to refuse."""


class RecordedAsker:
    """Answers from what is held, and from nothing else."""

    def __init__(self, books: Books) -> None:
        self._books = books

    async def ask(self, ask: Ask, *, flow: str = "", run: str = "", interactive: bool = False) -> Answer:  # noqa: ARG002
        held = await self._books.answers.get(self._books.address(ask))
        if held is None:
            raise InputError("the answer is not held", code=MISSING)
        return held

    async def recall(self, ask: Ask) -> list[Held | None]:  # noqa: ARG002
        return []

    def refused(self, ask: Ask) -> frozenset[str]:
        return self._books.refused(ask)

    async def learn(self, ask: Ask, error: PenstockError) -> str:  # noqa: ARG002
        return ""


async def judge_recorded(
    books: Books, operation: Operation[Any, Any], inputs: Mapping[str, Mapping[str, Any]], choice: ModelChoice
) -> dict[str, Fields]:
    """Return the output of each input whose answers are held, repairs and samples included."""
    asker, found = RecordedAsker(books), dict[str, Fields]()
    for key, values in inputs.items():
        try:
            found[key] = (await operation.perform(asker, operation.parse(values), choice)).output
        except OutputError:
            continue
        except InputError as error:
            if error.code != MISSING:
                raise
    return found
