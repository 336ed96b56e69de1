"""What a feedback says about each topic: a score of its own, and the words of the text that it rests on.

A text is cut into numbered pieces, so that the evidence is pointed at and never retold.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import fsum
from typing import Any, NamedTuple

from pydantic import Field

from penstock.operations import decide
from penstock.operations.declare import Fields

MAX_PIECES = 12
"""A text of more sentences is numbered in larger pieces."""
MAX_QUOTE = 240

_BOUND = re.compile(
    r"(?<=[.!?…])[\"'”’)\]]*\s+|(?<=[。！？])|\n+|;\s+"
    r"|,\s+(?=(?:but|yet|however|although|aber|jedoch|sondern|mais|pero|sino|ma|però|mas|porém|maar|ale|lecz|men|но|а)\b)",
    re.IGNORECASE,
)
_LETTER = re.compile(r"\w")


class Aspect(Fields):
    """One topic of a feedback."""

    topic: str
    """Name from the closed list."""
    score: float = Field(ge=-1, le=1, allow_inf_nan=False)
    """How satisfied the customer is with it, from −1 to 1."""
    evidence: str
    """The words that it rests on, as they stand in the text that was sent."""
    confidence: float | None = Field(default=None, ge=0, le=1, allow_inf_nan=False)
    """How likely the topic is there and the sign of the score is right; empty where there are no probabilities."""


class Piece(NamedTuple):
    """A part of a text, by its place."""

    start: int
    end: int

    def of(self, text: str) -> str:
        """Return the part, at most 240 characters of it."""
        return text[self.start : self.end][:MAX_QUOTE].strip()


def split(text: str) -> list[Piece]:
    """Cut a text into at most twelve pieces that hold all of its letters: sentences, and the parts around a `but`."""
    pieces, start = [], 0
    for bound in [*_BOUND.finditer(text), None]:
        end = bound.start() if bound else len(text)
        if _LETTER.search(text, start, end):
            pieces.append(Piece(start, end))
            start = bound.end() if bound else end
    if len(pieces) > MAX_PIECES:
        at = [round(number * len(pieces) / MAX_PIECES) for number in range(MAX_PIECES + 1)]
        pieces = [Piece(pieces[left].start, pieces[right - 1].end) for left, right in pairwise(at)]
    return pieces or [Piece(0, len(text))]


def number(text: str, pieces: Sequence[Piece]) -> str:
    """Return the text with a number before each piece."""
    return "\n".join(f"[#{at}] {text[piece.start : piece.end].strip()}" for at, piece in enumerate(pieces, 1))


def write_questions(topics: Sequence[str], levels: Sequence[str], pieces: int) -> list[dict[str, Any]]:
    """Return the questions about each topic: first which piece tells of it, then how satisfied the customer is.

    What topics cover and levels mean is said by the questions before them, once.
    """
    scale = [{"label": level} for level in levels]
    choices = [{"value": f"#{at}"} for at in range(1, pieces + 1)]
    questions: list[dict[str, Any]] = []
    for at, topic in enumerate(topics):
        if pieces > 1:
            asked = f"Which numbered part tells most about {topic}?"
            questions.append({"type": "choice", "name": f"evidence_{at}", "instructions": asked, "choices": choices})
        asked = f"How satisfied is the customer with {topic}?"
        questions.append({"type": "score", "name": f"aspect_{at}", "instructions": asked, "levels": scale})
    return questions


def read_answers(
    text: str, topics: Mapping[str, float], anchors: Mapping[str, float], answers: Sequence[decide.AnswerRead]
) -> list[Aspect]:
    """Return the aspects of the topics that are there, with their probability; a refused one is left out."""
    pieces = split(text)
    width = 2 if len(pieces) > 1 else 1
    found = []
    for at, (topic, chance) in enumerate(topics.items()):
        parts = answers[at * width : at * width + width]
        level, piece = parts[-1], pieces[0]
        if not chance or not isinstance(level, decide.ScoreRead):
            continue
        if width > 1:
            if not isinstance(parts[0], decide.ChoiceRead):
                continue
            piece = pieces[int(str(parts[0].choice).removeprefix("#")) - 1]
        shares = {part.label: part.probability for part in level.probabilities}
        total = fsum(shares.values())
        score = fsum(anchors[name] * share for name, share in shares.items()) / total
        sign = fsum(share for name, share in shares.items() if anchors[name] * score >= 0) / total
        found.append(_write(topic, score, piece.of(text), chance * sign))
    return found


def read_quotes(text: str, topics: Sequence[str], said: Sequence[Mapping[str, Any]]) -> list[Aspect]:
    """Return the aspects of a structured answer, one per topic; what the text does not hold is left out."""
    found: dict[str, Aspect] = {}
    for part in said:
        quote = find_quote(text, str(part["evidence"]))
        if quote and part["topic"] in topics and part["topic"] not in found:
            found[part["topic"]] = _write(part["topic"], float(part["score"]), quote, None)
    return [found[topic] for topic in topics if topic in found]


def _write(topic: str, score: float, evidence: str, confidence: float | None) -> Aspect:
    score = round(min(max(score, -1.0), 1.0), 4) + 0.0
    sure = None if confidence is None else round(min(confidence, 1.0), 4)
    return Aspect(topic=topic, score=score, evidence=evidence, confidence=sure)


def find_quote(text: str, quote: str) -> str:
    """Return what of the text a quote repeats, whatever its case, blanks and quotation marks; else nothing."""
    words = re.findall(r"\w+", unicodedata.normalize("NFKC", quote))
    if not words:
        return ""
    left, right = ("" if words[at][at] >= "\u2e80" else r"\b" for at in (0, -1))  # some scripts have no blanks
    found = re.search(left + r"\W{1,4}".join(map(re.escape, words)) + right, text, re.IGNORECASE)
    return found[0][:MAX_QUOTE].strip() if found else ""


def quote_schema(topics: Sequence[str]) -> dict[str, Any]:
    """Return the schema of aspects in a structured answer: the quoted words before the number."""
    properties = {
        "topic": {"type": "string", "enum": list(topics)},
        "evidence": {"type": "string", "description": "Words copied exactly from the feedback, at most 20."},
        "score": {"type": "number", "minimum": -1, "maximum": 1},
    }
    item = {"type": "object", "properties": properties, "required": [*properties], "additionalProperties": False}
    return {"type": "array", "items": item}
