"""Laws of judgements and of their summary, for any answer and any history."""

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fake_asker import answer, judge_as
from penstock.base.errors import OutputError
from penstock.features import rubric, sentiment
from penstock.features.summary import summarize_feedback

DAY = 86_400.0
LABELS = st.sampled_from(list(rubric.LABELS))
UNIT = st.floats(0, 1)
WEIGHTS = st.lists(st.floats(0.01, 1), min_size=5, max_size=5)


@given(LABELS, WEIGHTS, UNIT, st.floats(0.3, 1))
def test_a_judgement_is_in_range_and_does_not_contradict_itself(
    label: str, weights: list[float], sarcasm: float, sure: float
) -> None:
    levels: Any = tuple(weight / sum(weights) for weight in weights)
    try:
        output = sentiment.read(
            sentiment.Input(text="late"), answer(judge_as(label, levels, sarcasm=sarcasm, sure=sure))
        )
    except OutputError:
        return
    assert -1 <= output.score <= 1
    assert output.confidence is not None
    assert 0 <= output.confidence <= 1
    sign = {"negative": -1, "positive": 1}.get(output.label, 0)
    assert sign * output.score >= 0
    assert output.label != "unclear" or output.score == 0
    assert output.label != "neutral" or abs(output.score) <= 0.5


KEYS = st.sampled_from(["answers", "type", "name", "choice", "output", "content", "text", "status", "error"])
SHAPES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5),
    lambda parts: st.lists(parts, max_size=3) | st.dictionaries(KEYS, parts),
    max_leaves=10,
)


@given(SHAPES)
def test_an_answer_of_any_shape_is_read_or_refused_with_a_typed_error(content: Any) -> None:
    with pytest.raises(OutputError):
        sentiment.read(sentiment.Input(text="late"), answer(content))


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[str, float | None, dict[str, Any]]]:
    rows = []
    for number in range(draw(st.integers(0, 8))):
        label = draw(LABELS)
        size = draw(UNIT)
        score = {"negative": -size, "positive": size, "unclear": 0.0, "neutral": size / 2, "mixed": size / 2}[label]
        output = {
            "score": score,
            "label": label,
            "topics": draw(st.lists(st.sampled_from(["price", "staff"]), unique=True)),
            "confidence": draw(st.none() | UNIT),
        }
        at = draw(st.none() | st.integers(0, 20_000).map(lambda day: day * DAY))
        rows.append((draw(st.sampled_from([f"k{number}", "same"])), at, output))
    return rows


@given(histories(), st.floats(0.5, 1000), st.randoms())
def test_a_summary_does_not_depend_on_the_order(rows: list[Any], half_life: float, chance: random.Random) -> None:
    shuffled = list(rows)
    chance.shuffle(shuffled)
    assert summarize_feedback(shuffled, half_life_days=half_life) == summarize_feedback(rows, half_life_days=half_life)


@given(histories(), st.floats(0.01, 1000))
def test_a_summary_is_bounded_by_what_it_sums_up(rows: list[Any], half_life: float) -> None:
    result = summarize_feedback(rows, half_life_days=half_life)
    scores = [output["score"] for _, _, output in rows if output["label"] != "unclear"] or [0.0]
    assert min([*scores, 0.0]) - 1e-4 <= result["score"] <= max([*scores, 0.0]) + 1e-4
    assert -1 <= result["score"] <= 1
    assert {"negative": -1, "positive": 1}.get(result["label"], 0) * result["score"] >= 0
    assert set(result["topics"]) <= {topic for _, _, output in rows for topic in output["topics"]}


@given(histories(), st.integers(0, 7), UNIT)
def test_a_better_feedback_never_makes_the_summary_worse(rows: list[Any], index: int, share: float) -> None:
    rows = [(f"k{number}", at, output) for number, (_, at, output) in enumerate(rows)]
    if index >= len(rows) or rows[index][2]["label"] == "unclear":
        return
    key, at, output = rows[index]
    better = {**output, "score": output["score"] + (1 - output["score"]) * share}
    changed = [*rows[:index], (key, at, better), *rows[index + 1 :]]
    assert summarize_feedback(changed)["score"] >= summarize_feedback(rows)["score"]


@given(histories(), st.integers(0, 20_000))
def test_what_comes_later_never_changes_how_it_was_seen_before(rows: list[Any], day: int) -> None:
    rows = [(f"k{number}", at, output) for number, (_, at, output) in enumerate(rows)]
    then = day * DAY
    earlier = [row for row in rows if row[1] is None or row[1] <= then]
    assert summarize_feedback(rows, as_of=then) == summarize_feedback(earlier, as_of=then)
