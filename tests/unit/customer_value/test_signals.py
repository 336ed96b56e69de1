"""What was said or known of customers counts in a forecast only where it made chances better."""

import datetime

import numpy as np
import pytest

from cohorts import START, log_of
from penstock.base.errors import InputError
from penstock.features.customer_value.minimum import Minimum
from penstock.features.customer_value.propensity import Trait, predict_orders
from penstock.features.customer_value.signals import LEAST, weigh

PERIOD, PERIODS, CUSTOMERS = 60, 5, 1200
SMALL = Minimum(customers=200, days=100)


@pytest.fixture(scope="module")
def shop():
    """Orders of customers of whom three in four order in a period before which they were happy, else one in four."""
    chance = np.random.default_rng(5)
    moods = chance.random((PERIODS, CUSTOMERS)) < 0.5
    rows = [(f"c{at}", START + datetime.timedelta(days=int(day)), 20.0)
            for at, day in enumerate(chance.integers(0, PERIOD, CUSTOMERS))]  # fmt: skip
    for period in range(1, PERIODS):
        orders = chance.random(CUSTOMERS) < np.where(moods[period], 0.75, 0.25)
        days = PERIOD * period + 1 + chance.integers(0, PERIOD - 1, CUSTOMERS)
        rows += [(f"c{at}", START + datetime.timedelta(days=int(days[at])), 20.0) for at in np.flatnonzero(orders)]
    rows.append(("c0", START + datetime.timedelta(days=PERIOD * PERIODS), 20.0))
    return log_of(rows), moods


def told(moods, name="sentiment", customers=CUSTOMERS):
    """Say each mood on the day before its period."""
    return [
        Trait(f"c{at}", START + datetime.timedelta(days=PERIOD * period - 1), name, float(mood))
        for period, row in enumerate(moods)
        for at, mood in enumerate(row[:customers])
    ]


def test_a_signal_that_tells_who_comes_back_counts(shop):
    pytest.importorskip("lightgbm")
    log, moods = shop
    found, plain = predict_orders(log, PERIOD, told(moods), SMALL), predict_orders(log, PERIOD, (), SMALL)
    (signal,) = found.signals
    assert signal.counts
    assert signal.customers > 1000
    assert signal.gain == pytest.approx(plain.judgement.brier - found.judgement.brier)
    assert "sentiment" in found.importance
    assert "counts" in signal.finding.message
    assert signal.finding.verdict == "ok"
    assert plain.signals == ()


def test_a_signal_that_says_nothing_does_not_count_and_is_not_used(shop):
    pytest.importorskip("lightgbm")
    log, _ = shop
    chance = np.random.default_rng(6)
    noise = [
        trait
        for name in ("mood", "weather")
        for trait in told(chance.random((PERIODS, CUSTOMERS)) < 0.5, name)
    ]  # fmt: skip
    found, plain = predict_orders(log, PERIOD, noise, SMALL), predict_orders(log, PERIOD, (), SMALL)
    assert [(signal.name, signal.counts) for signal in found.signals] == [("mood", False), ("weather", False)]
    assert all(signal.finding.verdict == "warn" for signal in found.signals)
    assert np.array_equal(found.chances, plain.chances)
    assert found.judgement == plain.judgement


def test_a_useful_signal_counts_beside_one_that_says_nothing(shop):
    pytest.importorskip("lightgbm")
    log, moods = shop
    noise = np.random.default_rng(7).random((PERIODS, CUSTOMERS)) < 0.5
    found = predict_orders(log, PERIOD, told(moods) + told(noise, "weather"), SMALL)
    assert {signal.name: signal.counts for signal in found.signals} == {"sentiment": True, "weather": False}
    assert "weather" not in found.importance


def test_a_signal_of_the_outcome_itself_is_refused(shop):
    pytest.importorskip("lightgbm")
    log, _ = shop
    leaked = []
    for windows in (2, 1):
        as_of = log.last_day - datetime.timedelta(days=windows * PERIOD)
        summaries, later, _ = log.holdout(as_of, as_of + datetime.timedelta(days=PERIOD))
        leaked += [Trait(name, as_of, "sentiment", float(orders))
                   for name, orders in zip(summaries.customers, later, strict=True)]  # fmt: skip
    with pytest.raises(InputError) as caught:
        predict_orders(log, PERIOD, leaked, SMALL)
    assert caught.value.code == "prediction.leak"


def test_a_signal_known_of_few_customers_does_not_count(shop):
    pytest.importorskip("lightgbm")
    log, moods = shop
    (signal,) = predict_orders(log, PERIOD, told(moods, customers=LEAST - 1), SMALL).signals
    assert not signal.counts
    assert f"known of {LEAST - 1} customers" in signal.finding.message


def test_a_signal_named_as_what_orders_tell_is_refused(shop):
    log, moods = shop
    with pytest.raises(InputError) as caught:
        predict_orders(log, PERIOD, told(moods, "orders"), SMALL)
    assert caught.value.code == "prediction.trait"


def test_among_many_signals_each_must_win_by_more():
    chance = np.random.default_rng(9)
    truth = (chance.random(500) < 0.5).astype(float)
    without, chances = np.full(500, 0.5), np.clip(0.5 + 0.02 * (truth - 0.5) + chance.normal(0, 0.1, 500), 0, 1)
    alone, among = (weigh("mood", 500, without, chances, truth, signals) for signals in (1, 20))
    assert alone.gain == among.gain
    assert among.high - among.low > alone.high - alone.low
