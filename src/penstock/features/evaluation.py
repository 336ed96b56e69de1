"""How good judgements are: held against human ratings, and against texts that try to give orders.

Works on recorded answers: it takes judgements, whoever made them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import fsum, sqrt
from pathlib import Path
from typing import Any, NamedTuple

from penstock.base.errors import InputError

INJECTIONS = Path(__file__).with_name("injections.json")

BINS = 10


class Example(NamedTuple):
    """A text with the mean rating that people gave it, brought to −1…1."""

    key: str
    rating: float
    text: str

    @property
    def label(self) -> str:
        """The rating as a label; nearer to zero than 0.05 (0.2 on a scale to 4) it is neutral."""
        return to_label(self.rating)


class Judged(NamedTuple):
    """One judgement of an example."""

    score: float
    label: str
    confidence: float | None = None

    @classmethod
    def from_output(cls, output: Mapping[str, Any]) -> Judged:
        """Take what is needed of an output of `analyze-sentiment`."""
        return cls(float(output["score"]), str(output["label"]), output.get("confidence"))


@dataclass(frozen=True)
class Report:
    """Agreement with people. Labels are compared as signs: `mixed` counts as neutral, `unclear` is not judged."""

    examples: int
    judged: int
    accuracy: float
    macro_f1: float
    pearson: float
    calibration_error: float | None
    """Expected calibration error over ten bins of confidence; None without confidences."""


def to_label(rating: float, neutral: float = 0.05) -> str:
    """Name the sign of a rating."""
    if abs(rating) < neutral:
        return "neutral"
    return "positive" if rating > 0 else "negative"


def read_examples(path: Path, scale: float = 4.0) -> list[Example]:
    """Read lines of id, mean rating (−scale…scale) and text, separated by tabs; UTF-8, or else Latin-1.

    Raises `InputError` that names the first line that does not fit.
    """
    raw = path.read_bytes()
    try:
        content = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        content = raw.decode("latin-1")
    examples = []
    for number, line in enumerate(content.split("\n"), 1):
        if not line.strip():
            continue
        try:
            key, rating, text = line.rstrip("\r").split("\t", 2)
            examples.append(Example(key, float(rating) / scale, text))
        except ValueError:
            raise InputError(
                "a line is not `id TAB rating TAB text`", code="evaluation.bad-line", where=f"{path.name}:{number}"
            ) from None
    return examples


def evaluate(examples: Sequence[Example], judgements: Mapping[str, Judged]) -> Report:
    """Hold judgements, by key, against the ratings; raises `InputError` when there is nothing to compare."""
    pairs = [
        (example, judgements[example.key])
        for example in examples
        if example.key in judgements and judgements[example.key].label != "unclear"
    ]
    if len(pairs) < 2:
        raise InputError("fewer than two examples were judged", code="evaluation.nothing-judged")
    truths = [example.label for example, _ in pairs]
    said = [_to_sign(judged.label) for _, judged in pairs]
    right = [truth == label for truth, label in zip(truths, said, strict=True)]
    chances = [(judged.confidence, ok) for (_, judged), ok in zip(pairs, right, strict=True)]
    return Report(
        examples=len(examples),
        judged=len(pairs),
        accuracy=sum(right) / len(right),
        macro_f1=macro_f1(truths, said),
        pearson=pearson([example.rating for example, _ in pairs], [judged.score for _, judged in pairs]),
        calibration_error=calibration_error([(chance, ok) for chance, ok in chances if chance is not None]),
    )


def _to_sign(label: str) -> str:
    return "neutral" if label == "mixed" else label


def macro_f1(truths: Sequence[str], said: Sequence[str]) -> float:
    """Return the mean F1 over the labels that occur in the truth."""
    scores = []
    for label in sorted(set(truths)):
        hits = sum(truth == label == given for truth, given in zip(truths, said, strict=True))
        scores.append(2 * hits / (truths.count(label) + said.count(label)))
    return fsum(scores) / len(scores)


def pearson(left: Sequence[float], right: Sequence[float]) -> float:
    """Return the correlation; NaN where one side never varies."""
    mean_left, mean_right = fsum(left) / len(left), fsum(right) / len(right)
    shared = fsum((a - mean_left) * (b - mean_right) for a, b in zip(left, right, strict=True))
    spread = sqrt(fsum((a - mean_left) ** 2 for a in left) * fsum((b - mean_right) ** 2 for b in right))
    return min(max(shared / spread, -1.0), 1.0) if spread else float("nan")


def calibration_error(chances: Sequence[tuple[float, bool]]) -> float | None:
    """Return the mean gap between confidence and share of right answers, weighted by bin; None without confidences."""
    if not chances:
        return None
    bins: list[list[tuple[float, bool]]] = [[] for _ in range(BINS)]
    for chance, right in chances:
        bins[min(int(chance * BINS), BINS - 1)].append((chance, right))
    gaps = [abs(fsum(chance for chance, _ in part) - sum(right for _, right in part)) for part in bins]
    return fsum(gaps) / len(chances)


class Injection(NamedTuple):
    """A text that tries to give orders; `{text}` is where the review stands."""

    name: str
    language: str
    template: str

    def apply(self, text: str) -> str:
        """Put the review into the template."""
        return self.template.replace("{text}", text)


def load_injections(path: Path = INJECTIONS) -> list[Injection]:
    """Read the templates."""
    return [Injection(**entry) for entry in json.loads(path.read_text(encoding="utf-8"))]


class Flips(NamedTuple):
    """How many negative judgements did not survive an injection."""

    tried: int
    flipped: int

    @property
    def rate(self) -> float:
        """Flipped of tried."""
        return self.flipped / self.tried if self.tried else 0.0


def count_flips(pairs: Iterable[tuple[Judged, Judged]]) -> Flips:
    """Compare judgements without and with an injection: those negative before and positive after are flipped."""
    negative = [after for before, after in pairs if before.label == "negative"]
    return Flips(len(negative), sum(after.label == "positive" or after.score > 0 for after in negative))
