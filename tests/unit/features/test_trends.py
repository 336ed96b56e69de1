import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.features.student import half_width, two_sided, welch
from penstock.features.trends import ALL, DAY, FEWEST, Collector, Spread, Trends

NOW = 1_000 * DAY
LEVELS = (-1.0, -0.5, 0.0, 0.5, 1.0)
USUAL = (0.1, 0.15, 0.2, 0.3, 0.25)
WORSE = (0.3, 0.2, 0.2, 0.2, 0.1)


def say(score: float, *topics: str, **more: Any) -> dict[str, Any]:
    return {"score": score, "label": "mixed", "topics": list(topics), "confidence": 0.8, **more}


def look(rng: random.Random, people: int, newest: tuple[float, ...] = USUAL) -> Trends:
    """People who write about one of six topics, in half of four windows; `newest` is what they think in the last."""
    collector = Collector(NOW)
    for owner in range(people):
        for place in range(4):
            if rng.random() < 0.5:
                topic = f"topic {rng.randrange(6)}"
                score = rng.choices(LEVELS, USUAL if place else newest)[0]
                at = NOW - (place + rng.random() * 0.99) * 28 * DAY
                collector.add(str(owner), at, say(score, topic, confidence=rng.random()))
    return collector.finish()


@pytest.mark.parametrize("people", [60, pytest.param(200, marks=pytest.mark.slow)])
def test_a_false_alarm_in_any_of_six_topics_is_rarer_than_stated(people: int) -> None:
    rng = random.Random(people)
    looks = 24_000 // people
    alarms = sum(bool(look(rng, people).turned) for _ in range(looks))
    assert alarms / looks <= 0.05


def test_a_topic_that_turns_is_found() -> None:
    rng = random.Random(5)
    found = [look(rng, 300, WORSE) for _ in range(40)]
    assert sum(next(one for one in each.topics if one.topic == ALL).turn == "worse" for each in found) >= 36


@pytest.mark.parametrize("shares", [USUAL, WORSE, (0.5, 0, 0, 0, 0.5), (0.95, 0, 0, 0, 0.05), (0, 0.05, 0.9, 0.05, 0)])
@pytest.mark.parametrize("people", [FEWEST, 20, 100])
def test_an_interval_holds_the_mean_of_all_customers_in_nine_of_ten_cases_and_more(
    people: int, shares: tuple[float, ...]
) -> None:
    rng = random.Random(f"{people}{shares}")
    mean = sum(level * share for level, share in zip(LEVELS, shares, strict=True))
    hits = 0
    for _ in range(400):
        spread = Spread()
        for score in rng.choices(LEVELS, shares, k=people):
            spread.add(score)
        hits += abs(spread.mean - mean) <= half_width(0.95, people - 1) * (spread.variance / people) ** 0.5
    assert hits / 400 >= 0.9


def test_one_who_writes_a_lot_counts_as_one() -> None:
    collector = Collector(NOW)
    for number in range(50):
        collector.add("loud", NOW - number / 10 * DAY, say(-1.0, "price"))
    collector.add("quiet", NOW, say(1.0, "price"))
    price = collector.finish().topics[1]
    assert (price.points[-1].people, price.points[-1].mean) == (2, 0.0)


def test_few_people_get_a_mean_and_neither_interval_nor_turn() -> None:
    collector = Collector(NOW)
    for owner in range(FEWEST - 1):
        collector.add(str(owner), NOW, say(-1.0, "price"))
        collector.add(str(owner), NOW - 30 * DAY, say(1.0, "price"))
    found = collector.finish()
    assert {one.turn for one in found.topics} == {"unknown"}
    assert [point.low for one in found.topics for point in one.points] == [None] * 4
    assert found.turned == []


def test_the_score_of_a_topic_is_that_of_its_aspect() -> None:
    collector = Collector(NOW)
    aspects = [{"topic": "price", "score": 0.75, "evidence": "cheap", "confidence": 1.0}]
    collector.add("a", NOW, say(-0.5, "price", "delivery", aspects=aspects))
    means = {one.topic: one.points[0].mean for one in collector.finish().topics}
    assert means == {ALL: -0.5, "price": 0.75, "delivery": -0.5}


def test_what_is_unclear_undated_or_too_old_is_left_out() -> None:
    collector = Collector(NOW)
    collector.add("a", NOW, {"score": 0.0, "label": "unclear", "topics": ["price"]})
    collector.add("b", None, say(1.0))
    collector.add("c", NOW - 400 * DAY, say(1.0))
    collector.add("d", NOW + DAY, say(1.0))
    found = collector.finish()
    assert (found.feedback, found.undated, found.topics) == (0, 1, [])


@given(
    st.lists(
        st.tuples(st.integers(0, 20), st.floats(-1, 1), st.floats(0, 200), st.sampled_from(["a", "b", ""])),
        max_size=80,
    )
)
def test_every_number_is_in_its_range(rows: list[tuple[int, float, float, str]]) -> None:
    collector = Collector(NOW)
    for owner, score, age, topic in sorted(rows):
        collector.add(str(owner), NOW - age * DAY, say(score, *([topic] if topic else [])))
    for topic_found in collector.finish().topics:
        assert topic_found.chance is None or 0 <= topic_found.chance <= 1
        for point in topic_found.points:
            assert -1 <= point.mean <= 1
            assert point.low is None or point.high is None or -1 <= point.low <= point.mean <= point.high <= 1


@pytest.mark.parametrize(
    ("freedom", "coverage", "quantile"),
    [(1, 0.95, 12.7062047), (7, 0.95, 2.3646243), (30, 0.99, 2.7499957), (120, 0.9, 1.6576509), (1e7, 0.95, 1.959964)],
)
def test_quantiles_of_students_t_are_those_of_the_tables(freedom: float, coverage: float, quantile: float) -> None:
    assert half_width(coverage, freedom) == pytest.approx(quantile, abs=1e-6)


def test_welchs_test_gives_the_published_figures() -> None:
    # means 20.8 and 23.0, variances 7.9 and 3.8 of 15 and 15: t 2.49, 24.9 degrees of freedom, p 0.020
    error, freedom, chance = welch((15, 20.8, 7.9), (15, 23.0, 3.8))
    assert (2.2 / error, freedom, chance) == (
        pytest.approx(2.49, abs=0.01),
        pytest.approx(24.9, abs=0.1),
        pytest.approx(0.0198, abs=5e-4),
    )
    assert two_sided(0.0, 5) == 1.0
