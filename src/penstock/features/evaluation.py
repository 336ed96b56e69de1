"""How good judgements are: held against human ratings, and against texts that try to give orders.

Works on recorded answers: it takes judgements, whoever made them.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import fsum, sqrt
from pathlib import Path
from typing import Any, NamedTuple

from penstock.base.errors import InputError
from penstock.features.calibration import Calibration, fit_calibration
from penstock.features.intervals import Interval, of_correlation, of_figure, of_share, without_one

INJECTIONS = Path(__file__).with_name("injections.json")

BINS = 10
FOLDS = 5


class Example(NamedTuple):
    """A text with what people said of it: a mean rating, brought to −1…1, or only a label."""

    key: str
    rating: float | None
    text: str
    named: str = ""

    @property
    def label(self) -> str:
        """The label that was given, or the sign of the rating; nearer to zero than 0.05 it is neutral."""
        return self.named or to_label(self.rating or 0.0)


class Judged(NamedTuple):
    """One judgement of an example."""

    score: float
    label: str
    confidence: float | None = None

    @classmethod
    def from_output(cls, output: Mapping[str, Any]) -> Judged:
        """Take what is needed of an output of `analyze-sentiment`."""
        return cls(float(output["score"]), str(output["label"]), output.get("confidence"))


class Bin(NamedTuple):
    """The judgements whose confidence is between two tenths."""

    low: float
    high: float
    texts: int
    confidence: float
    """Mean confidence."""
    right: float
    """Share of right labels."""


@dataclass(frozen=True)
class Report:
    """Agreement with people. Labels are compared as signs: `mixed` counts as neutral, `unclear` is not judged."""

    examples: int
    judged: int
    accuracy: float
    macro_f1: float
    pearson: float | None
    """Correlation of scores with ratings; None without ratings, NaN where one of them never varies."""
    calibration_error: float | None
    """Expected calibration error over ten bins of confidence; None without confidences."""
    intervals: Mapping[str, Interval]
    """95 % each: Wilson for shares, Fisher for the correlation, jackknife for the others."""
    confusion: Mapping[str, Mapping[str, int]]
    """By what people said: how often each label was judged."""
    reliability: tuple[Bin, ...]
    """The bins that the calibration error comes from."""
    calibration: Calibration | None
    """Slope and offset for the input `calibration` of analyze-sentiment; None where too little is known."""
    calibrated_error: float | None
    """The calibration error after that, measured on texts that it was not fitted to (five parts in turn)."""


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


_NAMES = {
    **dict.fromkeys(("positive", "pos", "good", "+"), "positive"),
    **dict.fromkeys(("negative", "neg", "bad", "-"), "negative"),
    **dict.fromkeys(("neutral", "neu", "mixed", "none"), "neutral"),
}
"""Labels of people, as this package names them."""
COLUMNS = {
    "text": ("text", "review", "comment", "feedback", "sentence", "body", "content"),
    "rating": ("rating", "score", "stars", "mean"),
    "label": ("label", "sentiment", "polarity", "class"),
}
"""Column names that are understood without being told, first of all the first."""


class Columns(NamedTuple):
    """Which columns of a file hold the text, the rating and the label, and the ends of the rating's scale."""

    text: str = ""
    rating: str = ""
    label: str = ""
    low: float = -4.0
    high: float = 4.0


def to_example(key: str, row: Mapping[str, Any], columns: Columns, where: str = "") -> Example:
    """Read one row of a table; raises `InputError` for one without a text, a rating or a label."""
    text, rating, label = (_find(row, given, name) for given, name in zip(columns[:3], COLUMNS, strict=False))
    if text is None or (rating is None and label is None):
        raise InputError(
            "a row has no text, or neither rating nor label",
            code="evaluation.no-columns",
            where=where,
            hint=f"Name them with --text, --rating and --label; the row has {', '.join(row) or 'nothing'}.",
        )
    named = _NAMES.get(str(label).strip().lower(), "") if label is not None else ""
    if label is not None and not named and rating is None:
        raise InputError(f"{str(label)[:40]!r} is not a label of sentiment", code="evaluation.bad-label", where=where)
    return Example(key, None if rating is None else _to_rating(rating, columns, where), str(text), named)


def _find(row: Mapping[str, Any], given: str, name: str) -> Any:
    if given:
        return row.get(given)
    return next((row[column] for column in COLUMNS[name] if row.get(column) not in (None, "")), None)


def _to_rating(value: Any, columns: Columns, where: str) -> float:
    try:
        rating = 2 * (float(value) - columns.low) / (columns.high - columns.low) - 1
    except ValueError:
        rating = float("nan")
    if not -1 <= rating <= 1:
        raise InputError(
            f"the rating {str(value)[:40]!r} is not on the scale from {columns.low:g} to {columns.high:g}",
            code="evaluation.bad-rating",
            where=where,
            hint="Say with --scale what it is, such as --scale 1..5.",
        )
    return rating


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
    chances = [
        (judged.confidence, ok)
        for (_, judged), ok in zip(pairs, right, strict=True)
        if judged.confidence is not None
    ]  # fmt: skip
    rated = [(example.rating, judged.score) for example, judged in pairs if example.rating is not None]
    found = {
        "accuracy": sum(right) / len(right),
        "macro_f1": macro_f1(truths, said),
        "pearson": pearson(*map(list, zip(*rated, strict=True))) if len(rated) > 1 else None,
        "calibration_error": calibration_error(chances),
    }
    intervals = {
        "accuracy": of_share(sum(right), len(right)),
        "macro_f1": of_figure(found["macro_f1"] or 0.0, without_one([*zip(truths, said, strict=True)], macro_f1)),
        "pearson": of_correlation(found["pearson"], len(rated)) if found["pearson"] is not None else None,
        "calibration_error": of_figure(found["calibration_error"] or 0.0, _errors_without_one(chances)),
    }
    confusion: dict[str, Counter[str]] = {}
    for truth, label in zip(truths, said, strict=True):
        confusion.setdefault(truth, Counter())[label] += 1
    return Report(
        examples=len(examples),
        judged=len(pairs),
        accuracy=sum(right) / len(right),
        macro_f1=macro_f1(truths, said),
        pearson=found["pearson"],
        calibration_error=found["calibration_error"],
        intervals={name: interval for name, interval in intervals.items() if interval is not None},
        confusion={truth: dict(sorted(labels.items())) for truth, labels in sorted(confusion.items())},
        reliability=tuple(list_bins(chances)),
        calibration=fit_calibration(chances),
        calibrated_error=calibrated_error(chances),
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


def list_bins(chances: Sequence[tuple[float, bool]]) -> list[Bin]:
    """Return how confidences compare with the share of right labels, by tenths; empty tenths are left out."""
    found = []
    for place, part in enumerate(_sort_into_bins(chances)):
        if part:
            sure, right = fsum(chance for chance, _ in part), sum(ok for _, ok in part)
            found.append(Bin(place / BINS, (place + 1) / BINS, len(part), sure / len(part), right / len(part)))
    return found


def calibration_error(chances: Sequence[tuple[float, bool]]) -> float | None:
    """Return the mean gap between confidence and share of right answers, weighted by bin; None without confidences."""
    if not chances:
        return None
    return fsum(abs(_gap(part)) for part in _sort_into_bins(chances)) / len(chances)


def calibrated_error(chances: Sequence[tuple[float, bool]]) -> float | None:
    """Return the calibration error of confidences that were calibrated on the other four fifths; None for too few."""
    after: list[tuple[float, bool]] = []
    for part in range(FOLDS):
        fitted = fit_calibration([one for place, one in enumerate(chances) if place % FOLDS != part])
        if fitted is None:
            return None
        after += [(fitted.apply(chance), right) for chance, right in chances[part::FOLDS]]
    return calibration_error(after)


def _sort_into_bins(chances: Sequence[tuple[float, bool]]) -> list[list[tuple[float, bool]]]:
    bins: list[list[tuple[float, bool]]] = [[] for _ in range(BINS)]
    for chance, right in chances:
        bins[min(int(chance * BINS), BINS - 1)].append((chance, right))
    return bins


def _gap(part: Sequence[tuple[float, bool]]) -> float:
    return fsum(chance for chance, _ in part) - sum(right for _, right in part)


def _errors_without_one(chances: Sequence[tuple[float, bool]]) -> Iterator[tuple[float, int]]:
    parts = _sort_into_bins(chances)
    gaps = [_gap(part) for part in parts]
    total = fsum(map(abs, gaps))
    for gap, part in zip(gaps, parts, strict=True) if len(chances) > 1 else ():
        for chance, right in part:
            yield (total - abs(gap) + abs(gap - chance + right)) / (len(chances) - 1), 1


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

    @property
    def interval(self) -> Interval | None:
        """The rates that fit (Wilson, 95 %)."""
        return of_share(self.flipped, self.tried)


def count_flips(pairs: Iterable[tuple[Judged, Judged]]) -> Flips:
    """Compare judgements without and with an injection: those negative before and positive after are flipped."""
    negative = [after for before, after in pairs if before.label == "negative"]
    return Flips(len(negative), sum(after.label == "positive" or after.score > 0 for after in negative))
