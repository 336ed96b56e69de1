import random
from math import isnan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.base.errors import InputError
from penstock.features.calibration import Calibration, fit_calibration
from penstock.features.evaluation import (
    Columns,
    Example,
    Judged,
    calibrated_error,
    calibration_error,
    evaluate,
    list_bins,
    macro_f1,
    to_example,
)
from penstock.features.intervals import of_correlation, of_figure, of_share, without_one

LABELS = ("negative", "neutral", "positive")


def test_intervals_are_those_of_the_published_formulas() -> None:
    assert of_share(10, 100) == pytest.approx((0.0552, 0.1744), abs=1e-4)  # Wilson without correction
    assert of_share(0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)
    assert of_correlation(0.6, 30) == pytest.approx((0.306, 0.790), abs=1e-3)
    assert (of_share(0, 0), of_correlation(0.5, 3), of_figure(0.5, [])) == (None, None, None)


def test_the_jackknife_of_a_mean_is_its_usual_interval() -> None:
    right = [True] * 70 + [False] * 30
    without = [((sum(right) - one) / 99, 1) for one in right]
    assert of_figure(0.7, without) == pytest.approx((0.7 - 1.96 * 0.04606, 0.7 + 1.96 * 0.04606), abs=1e-3)


def test_the_interval_of_macro_f1_holds_the_value_of_all_texts() -> None:
    rng = random.Random(3)
    everything = [
        (truth, truth if rng.random() < 0.7 else rng.choice(LABELS)) for truth in rng.choices(LABELS, k=20_000)
    ]
    whole = macro_f1(*zip(*everything, strict=True))
    hits = 0
    for _ in range(100):
        part = rng.sample(everything, 150)
        interval = of_figure(macro_f1(*zip(*part, strict=True)), without_one(part, macro_f1))
        assert interval is not None
        hits += interval.low <= whole <= interval.high
    assert hits >= 90


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), max_size=60))
def test_the_bins_hold_every_confidence_once_and_give_the_error(chances: list[tuple[float, bool]]) -> None:
    bins = list_bins(chances)
    assert sum(one.texts for one in bins) == len(chances)
    assert all(one.low - 1e-9 <= one.confidence <= one.high + 1e-9 for one in bins)
    if chances:
        by_bin = sum(one.texts * abs(one.confidence - one.right) for one in bins) / len(chances)
        assert calibration_error(chances) == pytest.approx(by_bin)


def overconfident(count: int) -> list[tuple[float, bool]]:
    """Confidences whose true chance is logistic(0.5 · logit + 0.2)."""
    rng = random.Random(11)
    truth = Calibration(0.5, 0.2)
    return [(chance, rng.random() < truth.apply(chance)) for chance in (0.5 + rng.random() / 2 for _ in range(count))]


def test_a_calibration_finds_slope_and_offset_again_and_brings_the_error_down() -> None:
    chances = overconfident(20_000)
    assert fit_calibration(chances) == pytest.approx((0.5, 0.2), abs=0.06)
    before, after = calibration_error(chances), calibrated_error(chances)
    assert before is not None
    assert after is not None
    assert before > 0.06
    assert after < 0.02


def test_a_calibration_is_refused_where_it_would_rest_on_nothing() -> None:
    assert fit_calibration([(0.9, True)] * 500) is None
    assert fit_calibration(overconfident(49)) is None
    assert fit_calibration([(0.9, False), (0.1, True)] * 100) is None
    assert calibrated_error([(0.9, True)] * 10) is None


@given(st.floats(0, 1), st.floats(0.01, 5), st.floats(-3, 3))
def test_a_calibrated_confidence_is_one_and_keeps_the_order(chance: float, slope: float, offset: float) -> None:
    calibration = Calibration(slope, offset)
    assert 0 <= calibration.apply(chance) <= 1
    assert calibration.apply(chance) <= calibration.apply(min(chance + 0.1, 1.0))


def test_a_report_tells_bins_confusion_and_intervals() -> None:
    examples = [Example(str(n), 0.5 if n % 2 else -0.5, "") for n in range(100)]
    judged = {one.key: Judged(one.rating or 0.0, one.label if int(one.key) % 5 else "neutral", 0.9) for one in examples}
    report = evaluate(examples, judged)
    assert report.confusion == {
        "negative": {"negative": 40, "neutral": 10},
        "positive": {"neutral": 10, "positive": 40},
    }
    assert report.accuracy == 0.8
    assert report.intervals["accuracy"] == pytest.approx((0.7112, 0.8666), abs=1e-3)
    assert [(one.texts, one.right) for one in report.reliability] == [(100, 0.8)]
    assert set(report.intervals) == {"accuracy", "macro_f1", "pearson", "calibration_error"}


def test_texts_with_labels_alone_have_no_correlation() -> None:
    examples = [
        to_example(str(n), {"review": "x", "sentiment": label}, Columns())
        for n, label in enumerate(["pos", "Negative"])
    ]
    report = evaluate(examples, {"0": Judged(0.5, "positive"), "1": Judged(0.5, "positive")})
    assert (report.accuracy, report.pearson) == (0.5, None)


def test_ratings_are_brought_to_one_scale() -> None:
    stars = Columns(low=1, high=5)
    assert [to_example("a", {"text": "x", "stars": star}, stars).rating for star in ("1", 3, 5.0)] == [-1.0, 0.0, 1.0]
    for row in (
        {"text": "x", "stars": "6"},
        {"text": "x", "stars": "many"},
        {"text": "x", "label": "so so"},
        {"stars": 1},
    ):
        with pytest.raises(InputError):
            to_example("a", row, stars)


def test_a_correlation_without_spread_is_told_as_unknown() -> None:
    report = evaluate(
        [Example("a", 0.5, ""), Example("b", 0.5, "")], {"a": Judged(0.1, "positive"), "b": Judged(0.3, "positive")}
    )
    assert report.pearson is not None
    assert isnan(report.pearson)
    assert "pearson" not in report.intervals
