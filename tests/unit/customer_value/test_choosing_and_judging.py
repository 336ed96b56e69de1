"""A model is chosen by what came to pass, judged with intervals, refused below a minimum, and explained."""

import datetime
from dataclasses import replace

import numpy as np
import pytest

from cohorts import START, log_of, orders
from penstock.base.errors import InputError
from penstock.features.customer_value.beta_geometric import MbgNbd
from penstock.features.customer_value.calibration import area_under_curve, count_bins, gains, judge, wilson
from penstock.features.customer_value.choose import MODELS, choose, doubts
from penstock.features.customer_value.drift import compare_inputs, compare_parameters, judge_drift, stability
from penstock.features.customer_value.minimum import Minimum
from penstock.features.customer_value.predictions import predict
from penstock.features.customer_value.reasons import Reasons
from penstock.features.customer_value.rfm import NAMES, score, thirds

SMALL = Minimum(customers=100)


@pytest.fixture(scope="module")
def log():
    return log_of(orders())


@pytest.fixture(scope="module")
def choice(log):
    return choose(log, 13)


def test_every_model_is_held_against_the_same_window(choice, log):
    assert [trial.name for trial in choice.trials] == list(MODELS)
    assert choice.until == log.last_day
    assert (choice.until - choice.cut).days == 91
    for trial in choice.trials:
        assert trial.log_likelihood < 0
        assert trial.churn.calibration_low <= trial.churn.calibration_error <= trial.churn.calibration_high
        assert sum(part.count for part in trial.bins) == trial.churn.customers
        assert trial.gains[-1].captured == pytest.approx(1)
    assert {trial.name for trial in choice.baselines} == {"own-pace", "average", "nobody"}


def test_the_chosen_model_misses_least_or_is_the_default(choice):
    best = min(trial.squared for trial in choice.trials)
    assert choice.trial.squared <= best * 1.006
    assert choice.trial.squared < min(trial.squared for trial in choice.baselines)


def test_the_chosen_model_is_fitted_to_every_order(choice):
    assert choice.summaries.as_of == choice.summaries.last.max()
    assert choice.fit.customers == len(choice.summaries)


def test_a_named_model_alone_is_tried(log):
    assert choose(log, 13, ["pareto-nbd"]).model.name == "pareto-nbd"


def test_an_unknown_model_is_refused(log):
    with pytest.raises(InputError) as caught:
        choose(log, 13, ["crystal-ball"])
    assert caught.value.code == "prediction.model"


@pytest.mark.parametrize("horizon", [0, -3, float("nan"), 0.01])
def test_a_horizon_of_no_day_is_refused(log, horizon):
    with pytest.raises(InputError) as caught:
        choose(log, horizon)
    assert caught.value.code == "prediction.horizon"


def spread(day, count=600):
    return [(f"c{at}", START + datetime.timedelta(days=day(at)), 10.0) for at in range(count)]


DEGENERATE = {
    "one customer": [("a", START, 5.0)],
    "one order each": spread(lambda at: at % 300),
    "all on one day": spread(lambda at: 0),
    "one customer, many orders": [("a", START + datetime.timedelta(days=at), 5.0) for at in range(300)],
    "a million euros once": [*spread(lambda at: at % 300), ("rich", START, 1e12)],
}


@pytest.mark.parametrize("rows", DEGENERATE.values(), ids=DEGENERATE)
def test_too_little_to_learn_from_is_refused_with_the_reason(rows):
    with pytest.raises(InputError) as caught:
        choose(log_of(rows), 13)
    assert caught.value.code == "prediction.not-enough-data"
    assert caught.value.message.startswith("not enough data, because")


def test_everything_that_is_missing_is_named():
    summaries = log_of([("a", START, 5.0)]).summaries().until(START + datetime.timedelta(days=99))
    said = Minimum().lacks(summaries)
    assert len(said) == 4
    assert "500" in said[0]
    assert Minimum(1, 1, 0, 100).lacks(summaries) == []


def test_a_holdout_longer_than_the_log_is_refused(log):
    with pytest.raises(InputError) as caught:
        choose(log, 200)
    assert caught.value.code in {"prediction.not-enough-data", "orders.window"}


def test_value_needs_values(log):
    plain = log_of([(customer, date, 1.0) for customer, date, _ in orders()])
    found = choose(plain, 13)
    assert found.spend is None
    assert "spend" in {finding.name for finding in found.findings}
    assert predict(found.model, found.summaries, 13).value is None


def test_predictions_are_in_the_order_of_the_customers(choice):
    found = predict(choice.model, choice.summaries, 13, choice.spend, value_horizon=52, discount=0.1, margin=0.4)
    rows, places = choice.summaries.grouped
    at = 17
    one = rows.take(np.array([places[at]]), np.ones(1))
    assert found.churn[at] == pytest.approx(choice.model.none(one, 13)[0])
    assert found.orders[at] == pytest.approx(choice.model.expected(one, 13)[0])
    assert found.value[at] < choice.model.expected(one, 52)[0] * found.spend[at] * 0.4
    assert ((found.churn >= 1 - found.alive - 1e-12) & (found.churn <= 1)).all()


def test_value_without_an_end_or_margin_is_refused(choice):
    for options, code in (({}, "prediction.horizon"), ({"value_horizon": 9, "margin": 0}, "prediction.margin"),
                          ({"value_horizon": 9, "discount": -1}, "prediction.discount")):  # fmt: skip
        with pytest.raises(InputError) as caught:
            predict(choice.model, choice.summaries, 13, choice.spend, **options)
        assert caught.value.code == code


def test_true_chances_are_found_calibrated_and_wrong_ones_are_not():
    chance = np.random.default_rng(5)
    true = chance.beta(1, 3, 20_000)
    seen = chance.random(20_000) < true
    good, bad = judge(true, seen), judge(np.sqrt(true), seen)
    assert good.calibration_error < 0.015
    assert bad.calibration_low > 0.1
    assert good.brier < good.baseline < bad.brier
    assert sum(part.low <= part.predicted <= part.high for part in good.bins) >= 8
    assert good.gains[0].lift > 1.5


def test_one_chance_for_everyone_has_one_bin_and_no_rank():
    found = judge(np.full(100, 0.25), np.arange(100) < 25)
    assert len(found.bins) == 1
    assert found.calibration_error == pytest.approx(0)
    assert found.sharpness == 0.5
    assert [gain.lift for gain in found.gains] == pytest.approx([1] * 10)


def test_ranks_need_both_kinds_of_customers():
    assert area_under_curve([1, 2], [True, True]) is None
    assert area_under_curve([1, 2, 3, 3], [False, False, True, True]) == 1
    assert gains(np.ones(3), np.zeros(3)) == ()


def test_intervals_stay_within_what_is_possible():
    assert wilson(0.0, 10)[0] == 0
    assert wilson(1.0, 10)[1] == pytest.approx(1)
    low, high = wilson(0.3, 1000)
    assert (low, high) == pytest.approx((0.2724, 0.3291), abs=1e-3)
    assert count_bins(np.zeros(5), np.zeros(5))[0].low == 0


def test_thirds_give_equal_customers_equal_scores():
    assert thirds(np.array([1.0, 2, 3])).tolist() == [1, 2, 3]
    assert thirds(np.full(7, 4.0)).tolist() == [2] * 7
    assert thirds(np.array([])).tolist() == []
    assert set(thirds(np.arange(300.0))) == {1, 2, 3}


def test_every_customer_has_a_group_without_any_model():
    summaries = log_of([("a", START, 5.0), ("b", START, 9.0)]).summaries()
    found = score(summaries)
    assert set(found.names) <= set(NAMES)
    assert dict(zip(summaries.customers, found.money, strict=True)) == {"a": 1, "b": 3}


def test_customers_are_explained_in_sentences(choice):
    found = predict(choice.model, choice.summaries, 13, choice.spend, value_horizon=52)
    reasons = Reasons.of(choice.summaries, found)
    for at in range(200):
        said = reasons.explain(at)
        assert 1 <= len(said) <= 4
        assert all(sentence.endswith(".") for sentence in said)
    silent = int(np.argmax((choice.summaries.orders >= 4) * found.churn))
    assert "silent" in " ".join(reasons.explain(silent))


def test_the_same_customers_do_not_drift(choice):
    changes = compare_parameters(tuple(choice.model.parameters), choice.fit, choice.fit)
    inputs = compare_inputs(choice.summaries, choice.summaries)
    assert {change.errors for change in changes} == {0.0}
    assert judge_drift(changes, inputs) == []


def test_other_customers_drift_and_it_is_said(choice):
    other = log_of(orders(seed=9, value=300.0)[::2])
    fit = MbgNbd.fit(other.summaries().grouped[0])
    moved = replace(fit, parameters=tuple(value * 3 for value in fit.parameters), errors=(0.01,) * 4)
    before = replace(choice.fit, errors=(0.01,) * 4)
    said = judge_drift(
        compare_parameters(tuple(choice.model.parameters), before, moved),
        compare_inputs(choice.summaries, other.summaries()),
    )
    assert any("parameter" in finding.message for finding in said)
    assert any("mean value" in finding.message for finding in said)


def test_stability_counts_from_no_change_to_another_population():
    chance = np.random.default_rng(6)
    values = chance.normal(size=5000)
    assert stability(values, chance.normal(size=5000)) < 0.01
    assert stability(values, values + 1) > 0.25
    assert stability(np.ones(9), np.ones(9)) == 0
    assert stability(np.array([]), values) == float("inf")


def test_a_forecast_worse_than_the_own_pace_is_never_recommended(choice):
    poor = replace(
        choice.trial, squared=9.0, off=0.5, churn=replace(choice.trial.churn, brier=0.9, calibration_low=0.2)
    )
    said = {finding.name: finding.verdict for finding in doubts(poor, choice.baselines, choice.fit, choice.summaries)}
    assert said["baseline"] == said["churn"] == "fail"
    assert {"level", "calibration"} <= set(said)


def test_customers_who_order_like_clockwork_get_an_answer_or_a_reason():
    rows = [
        (f"c{at}", START + datetime.timedelta(days=7 * week + at % 7), 9.0 + at % 5)
        for at in range(120)
        for week in range(40)
    ]
    try:
        found = choose(log_of(rows), 8, minimum=SMALL)
    except InputError as refused:
        found = refused
    if isinstance(found, InputError):
        assert found.code == "prediction.no-optimum"
    else:
        assert "parameters" in {finding.name for finding in found.findings}
        assert predict(found.model, found.summaries, 8).orders == pytest.approx(8, abs=1)
