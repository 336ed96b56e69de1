"""One result for a contact from several judged feedbacks, by a stated rule with dates.

Rule, version 1. Feedback counts by its age (half after each half-life, measured from the
newest) and by its confidence; `unclear` ones are counted but do not weigh.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from math import fsum
from typing import Any, Literal, NamedTuple

from pydantic import Field

from penstock.base.errors import MappingError
from penstock.operations.declare import Fields

SUMMARY_VERSION = 1
"""Raise with any change to the rule."""

DAY = 86_400.0
SIGNED_SCORE = 0.15
"""From here on, either way, a mean is positive or negative."""
MIXED_SHARE = 0.25
"""A mean without a sign is mixed when positive and negative feedback both weigh at least this share."""
TOPIC_SHARE = 0.2
"""A topic is kept when feedback about it weighs at least this share."""
TREND_STEP = 0.2
"""The newer half-life must differ from what came before by this much to be a trend."""
UNKNOWN_CONFIDENCE = 0.5
LEAST_CONFIDENCE = 0.05
"""Every judged feedback weighs something, however unsure it is."""


class Summary(Fields):
    """The result for one contact: the fields of a judgement, and how many feedbacks it rests on."""

    score: float = Field(ge=-1, le=1)
    """Weighted mean from −1 to 1; 0 when nothing could be judged."""
    label: Literal["negative", "neutral", "positive", "mixed", "unclear"]
    """The sign of the mean from ±0.15 on; mixed when both signs weigh at least a quarter; else neutral."""
    topics: list[str]
    """Topics that weigh at least a fifth, heaviest first."""
    confidence: float | None
    """Weighted mean of the confidences; empty where there are none."""
    count: int
    """Feedbacks, those included that did not tell."""
    first: date | None
    """Day of the oldest feedback, UTC."""
    last: date | None
    """Day of the newest feedback, UTC."""
    trend: Literal["improving", "declining", "steady", "unknown"]
    """The newest half-life against what came before, with a step of 0.2."""
    language: str | None
    """Language of the newest feedback, when it was given."""
    model: str
    """What judged the newest feedback."""
    method: str
    """How the newest feedback was judged."""
    rule_version: int
    """Version of the rule that judged the newest feedback; 0 without feedback."""
    summary_version: int
    """Version of the rule of this summary."""
    truncated: bool
    """Whether the middle of some feedback was left out."""


class _Row(NamedTuple):
    key: str
    at: float | None
    output: Mapping[str, Any]
    weight: float = 0.0

    @property
    def score(self) -> float:
        return float(self.output["score"])


def summarize_feedback(
    rows: Iterable[tuple[str, float | None, Mapping[str, Any]]],
    *,
    half_life_days: float = 90.0,
    as_of: float | None = None,
) -> dict[str, Any]:
    """Summarise judgements of one contact: key of the feedback, seconds since 1970, output of `analyze-sentiment`.

    Of equal keys the newest counts. `as_of` leaves out what is later; without it the
    newest feedback is the point of view, so that a summary changes only with the
    feedback. Feedback without a date counts as one half-life old. Returns the fields of
    `Summary` as JSON values; raises `MappingError` for outputs that are not judgements.
    """
    kept = [row for row in _newest_of_each(rows) if as_of is None or row.at is None or row.at <= as_of]
    if not kept:
        return _write([], [], as_of, half_life_days)
    dates = [row.at for row in kept if row.at is not None]
    newest = max(dates, default=0.0)
    weighed = [
        row._replace(weight=_weigh(row, newest, half_life_days * DAY))
        for row in kept
        if row.output["label"] != "unclear"
    ]
    return _write(kept, weighed, newest if as_of is None else as_of, half_life_days)


def _newest_of_each(rows: Iterable[tuple[str, float | None, Mapping[str, Any]]]) -> list[_Row]:
    """Drop repeated keys and put the rest in one order, whatever order they came in."""
    found: dict[str, _Row] = {}
    for row in sorted((_Row(*row) for row in rows), key=_order):
        if not isinstance(row.output.get("score"), (int, float)) or "label" not in row.output:
            raise MappingError(
                "only the results of analyze-sentiment can be summarised",
                code="mapping.not-a-judgement",
                hint="Remove `summarize`, or the step that gives something else.",
            )
        found[row.key] = row
    return sorted(found.values(), key=_order)


def _order(row: _Row) -> tuple[float, str, str]:
    return (float("-inf") if row.at is None else row.at, row.key, repr(sorted(row.output.items())))


def _weigh(row: _Row, newest: float, half_life: float) -> float:
    age = half_life if row.at is None else newest - row.at
    confidence = row.output.get("confidence")
    sure = UNKNOWN_CONFIDENCE if confidence is None else float(confidence)
    # at most a thousand half-lives: further back the weight would round to nothing
    return float(2.0 ** -min(age / half_life, 1000.0) * max(sure, LEAST_CONFIDENCE))


def _mean(rows: list[_Row]) -> float:
    mean = fsum(row.score * row.weight for row in rows) / fsum(row.weight for row in rows)
    return min(max(mean, min(row.score for row in rows)), max(row.score for row in rows))


def _share(rows: list[_Row], all_rows: list[_Row]) -> float:
    return fsum(row.weight for row in rows) / fsum(row.weight for row in all_rows)


def _write(kept: list[_Row], weighed: list[_Row], as_of: float | None, half_life_days: float) -> dict[str, Any]:
    score = _mean(weighed) if weighed else 0.0
    last = kept[-1].output if kept else {}
    dates = [row.at for row in kept if row.at is not None]
    summary = Summary(
        score=round(score, 4) + 0.0,
        label=_label(score, weighed),
        topics=_topics(weighed),
        confidence=_confidence(weighed),
        count=len(kept),
        first=_to_date(min(dates)) if dates else None,
        last=_to_date(max(dates)) if dates else None,
        trend=_trend(weighed, as_of, half_life_days * DAY),
        language=last.get("language"),
        model=last.get("model", ""),
        method=last.get("method", "none"),
        rule_version=last.get("rule_version", 0),
        summary_version=SUMMARY_VERSION,
        truncated=any(row.output.get("truncated", False) for row in kept),
    )
    return summary.model_dump(mode="json")


def _label(score: float, rows: list[_Row]) -> Literal["negative", "neutral", "positive", "mixed", "unclear"]:
    if not rows:
        return "unclear"
    if abs(score) >= SIGNED_SCORE:
        return "positive" if score > 0 else "negative"
    shares = [_share([row for row in rows if row.output["label"] == label], rows) for label in ("positive", "negative")]
    mixed = _share([row for row in rows if row.output["label"] == "mixed"], rows)
    return "mixed" if min(shares) >= MIXED_SHARE or mixed >= 0.5 else "neutral"


def _topics(rows: list[_Row]) -> list[str]:
    names = sorted({topic for row in rows for topic in row.output.get("topics", ())})
    shares = {name: _share([row for row in rows if name in row.output.get("topics", ())], rows) for name in names}
    return sorted((name for name in names if shares[name] >= TOPIC_SHARE), key=lambda name: (-shares[name], name))


def _confidence(rows: list[_Row]) -> float | None:
    known = [row for row in rows if row.output.get("confidence") is not None]
    if not known:
        return None
    total = fsum(row.weight for row in known)
    return min(round(fsum(float(row.output["confidence"]) * row.weight for row in known) / total, 4), 1.0)


def _trend(
    rows: list[_Row], as_of: float | None, half_life: float
) -> Literal["improving", "declining", "steady", "unknown"]:
    dated = [row for row in rows if row.at is not None]
    newer = [row for row in dated if as_of is not None and row.at is not None and as_of - row.at < half_life]
    older = [row for row in dated if row not in newer]
    if not newer or not older:
        return "unknown"
    step = _mean(newer) - _mean(older)
    if abs(step) < TREND_STEP:
        return "steady"
    return "improving" if step > 0 else "declining"


def _to_date(at: float) -> date:
    return datetime.fromtimestamp(at, UTC).date()
