"""Answers of the emulated Decisions endpoint: coherent probabilities for predicates, choices and scores."""

from __future__ import annotations

from typing import Any

import msgspec

from penstock.sandbox.judge import Judgement, choose, is_true, part_about, point, rate, valence

_INVERTED = (
    "churn",
    "risk",
    "urgen",
    "anger",
    "angry",
    "frustrat",
    "sever",
    "negativ",
    "dissatisf",
    "complain",
    "unhapp",
)


def answer_question(question: dict[str, Any], judgement: Judgement) -> dict[str, Any]:
    """Answer one question about a text, or refuse it; the answer's name is the question's, else null."""
    name = question.get("name")
    kind = question["type"]
    if judgement.refused:
        return {"type": "refusal", "name": name}
    instructions = _text_of(question.get("instructions"))
    if kind == "predicate":
        return {"type": kind, "name": name, "probability": is_true(instructions, judgement)}
    if kind == "choice":
        return {"type": kind, "name": name, **_answer_choice(question["choices"], instructions, judgement)}
    return {"type": kind, "name": name, **_answer_score(question["levels"], instructions, judgement)}


def _answer_choice(choices: list[dict[str, Any]], instructions: str, judgement: Judgement) -> dict[str, Any]:
    values = [choice["value"] for choice in choices]
    if set(map(type, values)) == {bool}:
        yes = is_true(instructions, judgement)
        shares = [yes if value else round(1.0 - yes, 6) for value in values]
    else:
        shares = point([str(value) for value in values], instructions, judgement) or choose(
            [(str(choice["value"]), choice.get("description") or "") for choice in choices], judgement
        )
    best = max(range(len(values)), key=shares.__getitem__)
    return {
        "choice": values[best],
        "confidence": shares[best],
        "probabilities": [{"value": value, "probability": share} for value, share in zip(values, shares, strict=True)],
    }


def _answer_score(levels: list[dict[str, Any]], instructions: str, judgement: Judgement) -> dict[str, Any]:
    """Rate on the levels; a level's value is its place, counted from 0, and the score is the expected value."""
    labels = [level["label"] for level in levels]
    inverted = any(word in instructions.lower() for word in _INVERTED) and valence(instructions) <= 0
    shares = rate(labels, part_about(instructions, judgement), inverted=inverted)
    return {
        "score": round(sum(place * share for place, share in enumerate(shares)), 6),
        "confidence": max(shares),
        "probabilities": [
            {"label": label, "value": place, "probability": share}
            for place, (label, share) in enumerate(zip(labels, shares, strict=True))
        ],
    }


def _text_of(instructions: Any) -> str:
    if isinstance(instructions, str):
        return instructions
    parts = instructions or []
    return " ".join(str(part.get("text") or msgspec.json.encode(part.get("data")).decode()) for part in parts)
