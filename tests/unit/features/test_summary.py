from typing import Any

import pytest

from penstock.base.errors import MappingError
from penstock.features.summary import Summary, summarize_feedback

DAY = 86_400.0
NOW = 1_795_000_000.0


def row(key: str, days_ago: float | None, score: float, label: str = "", **rest: Any) -> tuple[str, float | None, Any]:
    label = label or ("positive" if score > 0 else "negative" if score < 0 else "neutral")
    output = {"score": score, "label": label, "topics": [], "confidence": 1.0, "model": "m", "rule_version": 1, **rest}
    return key, None if days_ago is None else NOW - days_ago * DAY, output


def test_a_feedback_of_one_half_life_ago_counts_half() -> None:
    result = summarize_feedback([row("a", 0, 0.9), row("b", 90, -0.6)])
    assert result["score"] == pytest.approx((0.9 - 0.6 * 0.5) / 1.5)
    assert summarize_feedback([row("a", 0, 0.9), row("b", 30, -0.6)], half_life_days=30)["score"] == result["score"]


def test_an_unsure_judgement_counts_less() -> None:
    result = summarize_feedback([row("a", 0, 1.0, confidence=0.9), row("b", 0, -1.0, confidence=0.3)])
    assert result["score"] == pytest.approx(0.5)


def test_one_feedback_is_its_own_summary() -> None:
    result = summarize_feedback([row("a", 3, -0.55, topics=["price"], confidence=0.7)])
    assert (result["score"], result["label"], result["topics"], result["confidence"]) == (
        -0.55,
        "negative",
        ["price"],
        0.7,
    )
    assert (result["count"], result["trend"], result["model"]) == (1, "unknown", "m")


def test_days_are_written_as_dates() -> None:
    result = summarize_feedback([row("a", 0, 1.0), row("b", 400, 1.0), row("c", None, 1.0)])
    assert (result["first"], result["last"], result["count"]) == ("2025-10-14", "2026-11-18", 3)


def test_the_newest_of_a_repeated_key_counts() -> None:
    rows = [row("a", 10, -1.0), row("a", 1, 0.8), row("a", 5, -0.5)]
    assert summarize_feedback(rows)["score"] == 0.8
    assert summarize_feedback(rows)["count"] == 1


def test_what_came_after_the_point_of_view_is_left_out() -> None:
    rows = [row("a", 10, -1.0), row("b", 1, 0.8)]
    result = summarize_feedback(rows, as_of=NOW - 5 * DAY)
    assert (result["score"], result["count"]) == (-1.0, 1)


def test_unclear_feedback_is_counted_but_does_not_weigh() -> None:
    result = summarize_feedback([row("a", 0, 0.0, "unclear"), row("b", 9, 0.6)])
    assert (result["score"], result["label"], result["count"]) == (0.6, "positive", 2)


@pytest.mark.parametrize("rows", [[], [row("a", 0, 0.0, "unclear", confidence=None)]])
def test_without_anything_judged_the_result_is_unclear(rows: Any) -> None:
    result = summarize_feedback(rows)
    assert (result["score"], result["label"], result["trend"], result["confidence"]) == (
        0.0,
        "unclear",
        "unknown",
        None,
    )


@pytest.mark.parametrize(
    ("scores", "label"),
    [
        ((0.15,), "positive"),
        ((-0.2,), "negative"),
        ((0.1,), "neutral"),
        ((0.9, -0.9), "mixed"),
        ((0.1, 0.0), "neutral"),
    ],
)
def test_the_label_follows_the_mean(scores: tuple[float, ...], label: str) -> None:
    assert summarize_feedback([row(str(n), 0, score) for n, score in enumerate(scores)])["label"] == label


def test_balanced_mixed_feedback_stays_mixed() -> None:
    assert summarize_feedback([row("a", 0, 0.0, "mixed")])["label"] == "mixed"


def test_a_topic_is_kept_when_it_weighs_a_fifth_heaviest_first() -> None:
    rows = [row("a", 0, 1.0, topics=["price", "staff"]), row("b", 0, 1.0, topics=["staff"])]
    rows += [row("old", 400, 1.0, topics=["parking"])]
    assert summarize_feedback(rows)["topics"] == ["staff", "price"]


@pytest.mark.parametrize(("newer", "trend"), [(0.9, "improving"), (-0.9, "declining"), (0.05, "steady")])
def test_the_trend_compares_the_newest_half_life_with_what_came_before(newer: float, trend: str) -> None:
    rows = [row("a", 0, newer), row("b", 100, 0.0), row("c", 200, 0.0)]
    assert summarize_feedback(rows)["trend"] == trend


def test_feedback_without_a_date_counts_as_one_half_life_old() -> None:
    assert summarize_feedback([row("a", 0, 1.0), row("b", None, -1.0)])["score"] == pytest.approx(1 / 3, abs=1e-4)


def test_a_summary_has_the_fields_that_it_declares() -> None:
    result = summarize_feedback([row("a", 0, 1.0, language="de", method="decisions", truncated=True)])
    assert set(result) == set(Summary.model_fields)
    assert (result["language"], result["method"], result["truncated"]) == ("de", "decisions", True)


@pytest.mark.parametrize("output", [{}, {"text": "x"}, {"score": 0.5}, {"score": "high", "label": "positive"}])
def test_results_of_other_operations_cannot_be_summarised(output: Any) -> None:
    with pytest.raises(MappingError):
        summarize_feedback([("a", NOW, output)])
