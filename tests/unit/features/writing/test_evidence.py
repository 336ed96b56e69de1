"""What former results say to the next brief: nothing below a sample, and no more than their intervals allow."""

from __future__ import annotations

from typing import get_args

from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.features.writing.brief import Angle, Brief
from penstock.features.writing.results import LEAST_DELIVERED, AngleResult, find_interval, weigh_evidence


def result(angle: str, delivered: int, clicked: int) -> AngleResult:
    low, high = find_interval(clicked, delivered)
    rate = clicked / delivered if delivered else None
    return AngleResult(angle, 1, delivered, 0, clicked, rate, low, high, rate or 0.0)


def test_one_angle_or_few_mails_are_no_evidence() -> None:
    assert weigh_evidence([]) == ([], [])
    assert weigh_evidence([result("news", 90_000, 900), result("question", LEAST_DELIVERED - 1, 30)]) == ([], [])


def test_what_lies_apart_is_called_better_and_what_overlaps_is_not() -> None:
    angles, says = weigh_evidence([result("question", 40_000, 1200), result("benefit", 40_000, 800)])
    assert angles[0] == "question"
    assert says[0] == "question: 1,200 of 40,000 clicked, 2.84% to 3.17%; more than benefit"
    assert "more than" not in says[1]
    _, says = weigh_evidence([result("question", 2_000, 44), result("benefit", 2_000, 40)])
    assert "no angle did better than another by more than chance" in says


COUNTS = st.integers(0, 20_000).flatmap(lambda all_: st.tuples(st.just(all_), st.integers(0, all_)))


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.sampled_from(get_args(Angle)), COUNTS))
def test_no_sentence_claims_more_than_the_intervals_allow(counts: dict[str, tuple[int, int]]) -> None:
    results = {angle: result(angle, *pair) for angle, pair in counts.items()}
    _, says = weigh_evidence(list(results.values()))
    for said in says:
        angle, _, rest = said.partition(":")
        if angle in results:
            assert results[angle].delivered >= LEAST_DELIVERED
            _, found, beaten = rest.partition("; more than ")
            for other in beaten.split(", ") if found else ():
                assert results[angle].low > results[other].high
                assert results[other].delivered >= LEAST_DELIVERED


def test_evidence_is_told_as_data_and_none_of_its_figures_may_be_repeated() -> None:
    brief = Brief(offer="Boots.", evidence=["question: 1,200 of 40,000 clicked"])
    assert brief.describe()["former_results"] == ["question: 1,200 of 40,000 clicked"]
    assert "40,000" not in brief.stated()
    assert "former_results" not in Brief(offer="Boots.").describe()
