"""Nothing of the future reaches a forecast, an effect is only measured where chance decided, leaving is only seen."""

import datetime

import numpy as np
import pytest

from cohorts import START, log_of, orders
from penstock.base.errors import InputError
from penstock.features.customer_value.minimum import Minimum
from penstock.features.customer_value.propensity import FeatureTable, Trait, predict_orders, to_traits

HORIZON = 60
SMALL = Minimum(customers=200, days=100)


@pytest.fixture(scope="module")
def log():
    return log_of(orders(1500))


def leaks(log, day_of):
    """Make a trait that tells who orders in the newest two windows, dated as `day_of` says."""
    traits = []
    for windows in (1, 2):
        as_of = log.last_day - datetime.timedelta(days=windows * HORIZON)
        summaries, later, _ = log.holdout(as_of, as_of + datetime.timedelta(days=HORIZON))
        traits += [
            Trait(customer, day_of(as_of), "satisfaction", float(orders > 0))
            for customer, orders in zip(summaries.customers, later, strict=True)
        ]
    return traits


def test_a_trait_written_after_the_label_and_dated_before_it_is_refused(log):
    pytest.importorskip("lightgbm")
    with pytest.raises(InputError) as caught:
        predict_orders(log, HORIZON, leaks(log, lambda as_of: as_of), SMALL)
    assert caught.value.code == "prediction.leak"
    assert "satisfaction" in caught.value.message


def test_a_leak_that_hides_in_what_is_missing_is_refused(log):
    pytest.importorskip("lightgbm")
    hidden = [trait._replace(value=1.0) for trait in leaks(log, lambda as_of: as_of) if trait.value]
    with pytest.raises(InputError) as caught:
        predict_orders(log, HORIZON, [t for t in hidden if t.day == min(h.day for h in hidden)], SMALL)
    assert caught.value.code == "prediction.leak"


def test_a_trait_is_not_known_before_its_day(log):
    table = FeatureTable(log, leaks(log, lambda as_of: as_of + datetime.timedelta(days=1)))
    features = table.build(log.last_day - datetime.timedelta(days=2 * HORIZON))
    assert np.isnan(features.table[:, features.names.index("satisfaction")]).all()


def test_features_of_a_day_are_the_same_whether_or_not_the_future_is_in_the_log(log):
    as_of = START + datetime.timedelta(days=250)
    past = log_of([row for row in orders(1500) if row[1] <= as_of])
    known, blind = FeatureTable(log).build(as_of), FeatureTable(past).build(as_of)
    own, other = np.argsort(known.summaries.customers), np.argsort(blind.summaries.customers)
    assert known.names == blind.names
    assert np.allclose(known.table[own], blind.table[other], equal_nan=True)


def test_a_customer_is_predicted_from_orders_and_traits(log):
    pytest.importorskip("lightgbm")
    chance = np.random.default_rng(8)
    customers = log.summaries().customers
    traits = to_traits((name, START, "newsletter", float(chance.random() < 0.5)) for name in customers)
    found = predict_orders(log, HORIZON, traits, SMALL)
    assert found.evaluated == (log.last_day - datetime.timedelta(days=HORIZON), log.last_day)
    assert found.trained[1] == found.evaluated[0]
    assert len(found.chances) == len(customers)
    assert ((found.chances > 0) & (found.chances < 1)).all()
    assert found.judgement.brier < found.judgement.baseline
    assert sum(found.importance.values()) == pytest.approx(1)
    assert [signal.counts for signal in found.signals] == [False]
    assert "newsletter" not in found.importance


def test_two_windows_that_do_not_fit_the_log_are_refused(log):
    with pytest.raises(InputError) as caught:
        predict_orders(log, 300, minimum=SMALL)
    assert caught.value.code == "prediction.not-enough-data"


def test_a_window_in_which_hardly_anybody_orders_is_refused():
    rows = [(f"c{at}", START + datetime.timedelta(days=at % 100), 5.0) for at in range(600)]
    rows += [("c1", START + datetime.timedelta(days=day), 5.0) for day in (150, 200, 250, 300)]
    with pytest.raises(InputError) as caught:
        predict_orders(log_of(rows), 60, minimum=Minimum(100, 50, 0, 400))
    assert caught.value.code == "prediction.not-enough-data"


def test_a_trait_that_is_no_number_is_refused():
    with pytest.raises(InputError) as caught:
        to_traits([("a", START, "mood", float("nan"))])
    assert caught.value.code == "prediction.trait"


def experiment(effect, count=6000, seed=3):
    chance = np.random.default_rng(seed)
    table = chance.normal(size=(count, 2))
    treated = chance.random(count) < 0.5
    rate = 0.15 + effect * treated * (table[:, 0] > 0) + 0.1 * (table[:, 1] > 0)
    return {"age": table[:, 0], "spend": table[:, 1]}, treated, (chance.random(count) < rate).astype(float)


def test_whom_a_campaign_changes_is_found():
    pytest.importorskip("lightgbm")
    from penstock.features.customer_value.uplift import measure_uplift

    features, treated, outcome = experiment(0.3)
    found = measure_uplift(features, treated, outcome)
    assert found.low < 0.15 < found.high
    assert found.ranks
    assert found.effects[features["age"] > 0].mean() > found.effects[features["age"] <= 0].mean() + 0.15


def test_a_campaign_that_changes_nobody_ranks_nobody():
    pytest.importorskip("lightgbm")
    from penstock.features.customer_value.uplift import measure_uplift

    found = measure_uplift(*experiment(0.0))
    assert found.low < 0 < found.high
    assert not found.ranks


def test_a_campaign_that_chose_its_customers_is_refused():
    from penstock.features.customer_value.uplift import measure_uplift

    features, _, outcome = experiment(0.3)
    with pytest.raises(InputError) as caught:
        measure_uplift(features, features["spend"] + np.random.default_rng(1).normal(size=6000) > 0, outcome)
    assert caught.value.code == "prediction.not-randomised"
    assert "spend" in caught.value.message


def test_a_small_hold_out_measures_no_effect():
    from penstock.features.customer_value.uplift import measure_uplift

    with pytest.raises(InputError) as caught:
        measure_uplift(*experiment(0.3, 1500))
    assert caught.value.code == "prediction.not-enough-data"


def subscribers(count=400, seed=5):
    chance = np.random.default_rng(seed)
    plan = chance.integers(0, 2, count)
    months = chance.exponential(np.where(plan, 10, 30))
    return np.minimum(months, 24), months < 24, plan


def test_how_long_subscribers_stay_is_seen():
    pytest.importorskip("lifelines")
    from penstock.features.customer_value.survival import stay

    months, left, _ = subscribers()
    curve = stay(months, left)
    assert (np.diff(curve.staying) <= 0).all()
    assert ((curve.low <= curve.staying) & (curve.staying <= curve.high)).all()
    assert 0 < curve.leaves_within(6, 6) < 0.6
    assert curve.leaves_within(6, 20) is None
    assert curve.left == left.sum()


def test_what_makes_subscribers_leave_is_seen():
    pytest.importorskip("lifelines")
    from penstock.features.customer_value.survival import explain_leaving

    months, left, plan = subscribers()
    effect = explain_leaving(months, left, {"cheap plan": plan}).effects[0]
    assert effect.low < 3 < effect.high
    assert effect.p_value < 0.001


@pytest.mark.parametrize(
    ("change", "code"),
    [({"durations": [1.0, -1.0]}, "prediction.durations"), ({"durations": [float("nan"), 1.0]}, "prediction.durations"),
     ({"durations": [1.0, 2.0]}, "prediction.not-enough-data")],
)  # fmt: skip
def test_survival_without_enough_leaving_is_refused(change, code):
    from penstock.features.customer_value.survival import stay

    with pytest.raises(InputError) as caught:
        stay(change["durations"], [True, True])
    assert caught.value.code == code


def test_a_covariate_that_says_nothing_or_everything_is_refused():
    pytest.importorskip("lifelines")
    from penstock.features.customer_value.survival import explain_leaving

    months, left, plan = subscribers()
    for covariates in ({"plan": np.ones(400)}, {"plan": np.full(400, np.nan)}, {"plan": plan, "again": plan}):
        with pytest.raises(InputError) as caught:
            explain_leaving(months, left, covariates)
        assert caught.value.code in {"prediction.trait", "prediction.no-optimum"}
