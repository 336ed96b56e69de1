"""The models find the truth again, keep their digits at the edges, and refuse what cannot be."""

import contextlib
from itertools import pairwise

import numpy as np
import pytest

from cohorts import histories
from penstock.base.errors import InputError
from penstock.features.customer_value.beta_geometric import BgNbd, MbgNbd
from penstock.features.customer_value.bg_bb import BgBb
from penstock.features.customer_value.gamma_gamma import GammaGamma, Spend, independence
from penstock.features.customer_value.pareto import ParetoNbd
from penstock.features.customer_value.purchase import discount_rate, discounted
from penstock.features.customer_value.rows import Rows, over_distinct

TRUTH = {
    BgNbd: (0.4, 5.0, 0.8, 2.5),
    MbgNbd: (0.6, 7.0, 0.7, 1.8),
    ParetoNbd: (0.6, 10.0, 0.8, 15.0),
}
MODELS = pytest.mark.parametrize("kind", TRUTH, ids=lambda kind: kind.name)
SOME = Rows.of([0, 1, 3, 12], [0, 5, 20, 30], [30, 30, 25, 31])


def check_recovery(kind, count):
    rows = Rows.merged(*histories(kind.name, TRUTH[kind], count, days=(1_900, 2_800), unit=70), 70.0)
    fit = kind.fit(rows)
    off = np.abs(np.log(np.array(fit.parameters) / TRUTH[kind])) / fit.errors
    assert off.max() < 4.5, (fit, off)
    new = Rows.of(0, 0, 0)
    assert kind(*fit.parameters).expected(new, 52)[0] == pytest.approx(
        kind(*TRUTH[kind]).expected(new, 52)[0], rel=12 / count**0.5
    )
    assert fit.log_likelihood >= kind.likelihood(np.array(TRUTH[kind]), rows)[0]


@MODELS
@pytest.mark.parametrize("count", [1_000, 10_000, 50_000])
def test_the_parameters_of_a_made_cohort_are_found_again(kind, count):
    check_recovery(kind, count)


@pytest.mark.slow
@MODELS
def test_the_parameters_of_a_million_customers_are_found_again(kind):
    check_recovery(kind, 1_000_000)


@MODELS
def test_the_gradient_is_the_slope_of_the_likelihood(kind):
    at, rows = np.array([0.4, 3.0, 0.9, 2.2]), Rows.merged(*histories(kind.name, TRUTH[kind], 500), 7.0)
    check_gradient(kind, at, rows)


def check_gradient(kind, at, rows):
    step = 1e-6 * np.eye(len(at))
    slope = [(kind.likelihood(at + s, rows)[0] - kind.likelihood(at - s, rows)[0]) / 2e-6 for s in step]
    assert kind.likelihood(at, rows)[1] == pytest.approx(slope, rel=1e-4, abs=1e-3)


def test_the_gradients_of_donors_and_spend_are_slopes_too():
    check_gradient(BgBb, np.array([1.1, 0.8, 0.6, 2.0]), Rows.of([0, 2, 5, 1], [0, 5, 6, 1], [6, 6, 6, 6]))
    check_gradient(GammaGamma, np.array([3.0, 2.0, 12.0]), Spend.of([1, 4, 9], [10.0, 35.5, 80.0]))


@MODELS
def test_a_warm_start_ends_at_the_same_optimum(kind):
    rows = Rows.merged(*histories(kind.name, TRUTH[kind], 3000), 7.0)
    cold, warm = kind.fit(rows), kind.fit(rows, TRUTH[kind])
    far = kind.fit(rows, (30.0, 0.2, 20.0, 0.3))
    assert warm.parameters == pytest.approx(cold.parameters, rel=1e-5)
    assert far.parameters == pytest.approx(cold.parameters, rel=1e-5)


@MODELS
def test_merging_equal_histories_changes_no_digit_that_counts(kind):
    repeats, recency, age = histories(kind.name, TRUTH[kind], 2000)
    merged, plain = Rows.merged(repeats, recency, age, 7.0), Rows.of(repeats, recency / 7, age / 7)
    assert merged.customers == 2000
    assert len(merged.weight) < 2000
    assert kind.fit(merged).parameters == pytest.approx(kind.fit(plain).parameters, rel=1e-6)


def test_grouped_rows_lead_back_to_every_customer():
    repeats, recency, age = histories("bg-nbd", TRUTH[BgNbd], 2000)
    rows, places = Rows.grouped(repeats, recency, age, 7.0)
    assert (rows.repeats[places] == repeats).all()
    assert rows.recency[places] == pytest.approx(recency / 7)
    assert rows.age[places] == pytest.approx(age / 7)


@MODELS
def test_the_distribution_agrees_with_mean_and_churn(kind):
    model = kind(*TRUTH[kind])
    table = model.distribution(SOME, 26, 400)
    assert table.sum(axis=1) == pytest.approx(1, abs=1e-6)
    assert table @ np.arange(401) == pytest.approx(model.expected(SOME, 26), rel=1e-5)
    assert table[:, 0] == pytest.approx(model.none(SOME, 26), rel=1e-9)
    newcomer = model.newcomer(26, 600)
    assert newcomer.sum() == pytest.approx(1, abs=1e-6)
    assert newcomer @ np.arange(601) == pytest.approx(model.expected(Rows.of(0, 0, 0), 26)[0], rel=1e-3)


def test_donors_have_a_distribution_that_agrees_with_mean_and_churn():
    model, rows = BgBb(1.2, 0.75, 0.66, 2.78), Rows.of([0, 2, 6], [0, 5, 6], [6, 6, 6])
    table = model.distribution(rows, 4, 4)
    assert table.sum(axis=1) == pytest.approx(1)
    assert table @ np.arange(5) == pytest.approx(model.expected(rows, 4))
    assert table[:, 0] == pytest.approx(model.none(rows, 4))
    assert model.newcomer(6, 6).sum() == pytest.approx(1)
    assert (np.diff(model.alive(rows)) > 0).all()


EDGES = [
    (0.01, 0.001, 0.01, 0.01), (50, 500, 20, 0.5), (2, 3, 1.0, 2.0), (0.5, 5, 0.8, 1e6), (1.2, 5, 2.6e5, 1.2e6),
    (1.2, 5, 20, 1e6), (1e4, 1e5, 0.8, 2), (1, 9, 400, 3),
]  # fmt: skip


@MODELS
def test_a_thousand_orders_and_no_time_at_all_give_numbers(kind):
    rows = Rows.of([1000, 1000, 0, 0, 1, 1], [51.9, 1e-6, 0, 0, 1e-9, 1e-9], [52, 1e-6, 1e-9, 5000, 1e-9, 5000])
    for parameters in (TRUTH[kind], *EDGES):
        model = kind(*parameters)
        for chance in (model.alive(rows), model.none(rows, 13)):
            assert ((chance >= 0) & (chance <= 1)).all(), chance
        assert np.isfinite(model.expected(rows, 13)).all()
        assert (model.expected(rows, 13) >= 0).all()
        value, slope = kind.likelihood(np.array(parameters), rows)
        assert np.isfinite(value)
        assert np.isfinite(slope).all()


@pytest.mark.parametrize("kind", [BgNbd, MbgNbd])
def test_nothing_jumps_where_the_formula_divides_by_zero(kind):
    near = [kind(0.5, 5.0, a, 2.0).expected(SOME, 39) for a in (0.9997, 0.99995, 1.0, 1.00005, 1.0003)]
    for low, high in pairwise(near):
        assert low == pytest.approx(high, rel=1e-3)


def test_pareto_does_not_jump_where_its_mean_turns_into_a_logarithm():
    near = [ParetoNbd(0.5, 5.0, s, 9.0).expected(SOME, 39) for s in (1 - 1e-7, 1.0, 1 + 1e-7)]
    assert near[0] == pytest.approx(near[1], rel=1e-6)
    assert near[2] == pytest.approx(near[1], rel=1e-6)


@pytest.mark.parametrize(("count", "last", "now"), [(1, 5, 4), (0, 1, 5), (-1, 0, 5), (1, 1, float("nan"))])
def test_a_history_that_cannot_be_is_refused(count, last, now):
    with pytest.raises(InputError) as caught:
        Rows.of(count, last, now)
    assert caught.value.code == "orders.impossible"


@MODELS
@pytest.mark.parametrize("time", [0, -1, float("nan"), float("inf")])
def test_a_horizon_that_is_no_time_is_refused(kind, time):
    with pytest.raises(InputError) as caught:
        kind(*TRUTH[kind]).none(SOME, time)
    assert caught.value.code == "prediction.horizon"


@MODELS
def test_customers_who_all_ordered_once_have_a_clear_answer(kind):
    rows = Rows.merged(np.zeros(800, int), np.zeros(800, int), np.arange(800) % 200 + 1, 7.0)
    with contextlib.suppress(InputError):
        assert kind(*kind.fit(rows).parameters).none(rows, 13).min() > 0.99


@MODELS
def test_no_orders_at_all_are_refused_by_the_fit(kind):
    with pytest.raises(InputError):
        kind.fit(Rows.of([], [], []))


def test_a_value_without_an_end_is_refused():
    with pytest.raises(InputError) as caught:
        discounted(BgNbd(*TRUTH[BgNbd]), SOME, None, 0.0)
    assert caught.value.code == "prediction.horizon"


@MODELS
def test_a_discount_makes_orders_worth_less_and_none_leaves_them(kind):
    model = kind(*TRUTH[kind])
    whole = model.expected(SOME, 52)
    assert discounted(model, SOME, 52, 0.0) == pytest.approx(whole)
    some, more = (discounted(model, SOME, 52, discount_rate(rate, 52)) for rate in (0.1, 0.5))
    assert (more < some).all()
    assert (some < whole).all()
    steps = [model.expected(SOME, at) for at in np.linspace(0.01, 52, 4000)]
    weights = np.exp(-discount_rate(0.5, 52) * np.linspace(0.01, 52, 4000))
    assert more == pytest.approx(steps[0] + (np.diff(steps, axis=0) * weights[1:, None]).sum(axis=0), rel=1e-3)


def test_a_sum_without_horizon_is_the_limit_of_long_ones():
    model, rate = ParetoNbd(*TRUTH[ParetoNbd]), discount_rate(0.15, 52)
    assert discounted(model, SOME, None, rate) == pytest.approx(discounted(model, SOME, 10_000, rate), rel=1e-4)


def test_opportunities_are_whole():
    model, rows = BgBb(1.2, 0.75, 0.66, 2.78), Rows.of(1, 2, 3)
    with pytest.raises(InputError) as caught:
        model.expected(rows, 1.5)
    assert caught.value.code == "prediction.horizon"
    with pytest.raises(InputError) as caught:
        BgBb.fit(Rows.of(3, 2, 3))
    assert caught.value.code == "orders.impossible"


def test_spend_lies_between_the_own_mean_and_everyones():
    model = GammaGamma(6.25, 3.74, 15.44)
    mean = model.expected([0, 1, 5, 500], [0, 100, 100, 100])
    assert mean[0] == pytest.approx(model.population_mean)
    assert model.population_mean < mean[1] < mean[2] < mean[3] < 100.5


def test_spend_of_a_made_cohort_is_found_again():
    chance = np.random.default_rng(4)
    orders = chance.integers(1, 9, 20_000)
    mean = chance.gamma(6 * orders) / (orders * chance.gamma(4, 1 / 15, 20_000))
    fit = GammaGamma.fit(Spend.of(orders, mean))
    assert (np.abs(np.log(np.array(fit.parameters) / (6, 4, 15))) / fit.errors).max() < 4.5


@pytest.mark.parametrize(
    ("orders", "mean", "code"),
    [([0, 0], [0, 0], "prediction.not-enough-data"), ([1, 2, 3], [-5, 0, float("nan")], "prediction.not-enough-data"),
     ([1, 2, 3], [5, 5, 5], "prediction.no-optimum")],
)  # fmt: skip
def test_spend_without_a_distribution_is_refused(orders, mean, code):
    with pytest.raises(InputError) as caught:
        GammaGamma.fit(Spend.of(orders, mean))
    assert caught.value.code == code


def test_dependence_of_spend_on_frequency_is_seen():
    chance = np.random.default_rng(3)
    orders = chance.integers(1, 20, 2000)
    free = Spend.of(orders, chance.gamma(4, 10, 2000))
    assert independence(free).holds
    assert not independence(Spend.of(orders, orders * chance.gamma(20, 0.05, 2000))).holds
    assert not independence(Spend.of([1, 2], [3, 4])).holds


def test_distinct_rows_are_computed_once():
    seen = []

    def compute(a, b):
        seen.append(len(a))
        return a * 10 + b

    a, b = np.array([1.0, 2, 1, 2, 1]), np.array([3.0, 4, 3, 5, 3])
    assert over_distinct(compute, a, b).tolist() == [13, 24, 13, 25, 13]
    assert seen == [3]
