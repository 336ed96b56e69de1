"""A paid-call path that answers from a list, and decisions answers made by hand."""

from __future__ import annotations

from typing import Any

from penstock.base.errors import PenstockError
from penstock.base.types import Usage
from penstock.features import rubric, sentiment
from penstock.operations.declare import ModelChoice
from penstock.runtime.ask import Answer, Ask
from penstock.runtime.refusals import refused_parameter
from penstock.vendor.models import load_catalogue


def choose(model: str = "gpt-6-luna", **rest: Any) -> ModelChoice:
    return ModelChoice(load_catalogue().find(model), **rest)


def answer(content: Any, model: str = "gpt-6-luna") -> Answer:
    return Answer(content, Usage(), 0, model, "default", "req_1", 0.0)


class FakeAsker:
    """Gives the prepared answers in order, raises those that are errors, and keeps what it was asked."""

    def __init__(self, *contents: Any) -> None:
        self.contents = list(contents)
        self.asked: list[Ask] = []

    async def ask(self, ask: Ask, *, flow: str = "", run: str = "", interactive: bool = False) -> Answer:
        self.asked.append(ask)
        content = self.contents.pop(0)
        if isinstance(content, Exception):
            raise content
        return answer(content, ask.model)

    async def recall(self, ask: Ask) -> list[None]:
        return [None] * len(ask.body["input"])

    def refused(self, ask: Ask) -> frozenset[str]:
        return frozenset()

    async def learn(self, ask: Ask, error: PenstockError) -> str:
        return refused_parameter(error)


def respond_with(text: str, **rest: Any) -> dict[str, Any]:
    """A finished Responses object with one message."""
    message = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]}
    return {"status": "completed", "output": [{"type": "reasoning", "summary": []}, message], **rest}


def judge_as(
    label: str,
    levels: tuple[float, float, float, float, float],
    *,
    sarcasm: float = 0.0,
    topics: dict[str, float] | None = None,
    asked: tuple[str, ...] = tuple(sentiment.DEFAULT_TOPICS),
    sure: float = 0.8,
) -> dict[str, Any]:
    """A Decisions object for the questions of analyze-sentiment."""
    rest = (1 - sure) / 4
    chances = [{"value": name, "probability": sure if name == label else rest} for name in rubric.LABELS]
    steps = [
        {"label": name, "value": place, "probability": chance}
        for place, ((_, name, _), chance) in enumerate(zip(rubric.ANCHORS, levels, strict=True))
    ]
    said = topics or {}
    return {
        "model": "gpt-6-luna",
        "answers": [
            {"type": "choice", "name": "label", "choice": label, "confidence": sure, "probabilities": chances},
            {"type": "score", "name": "score", "score": 2.0, "confidence": 0.5, "probabilities": steps},
            {"type": "predicate", "name": "sarcasm", "probability": sarcasm},
            *(
                {"type": "predicate", "name": f"topic_{number}", "probability": said.get(topic, 0.02)}
                for number, topic in enumerate(asked)
            ),
        ],
    }
