"""The published numbers of the models of customer value, on the order logs that they were published for."""

from __future__ import annotations

import csv
import datetime
import warnings

import numpy as np
import pytest

import cdnow
from penstock.features.customer_value.beta_geometric import BgNbd, MbgNbd
from penstock.features.customer_value.bg_bb import BgBb
from penstock.features.customer_value.gamma_gamma import GammaGamma, Spend, independence
from penstock.features.customer_value.pareto import ParetoNbd
from penstock.features.customer_value.propensity import predict_orders
from penstock.features.customer_value.purchase import discount_rate, discounted
from penstock.features.customer_value.rows import Rows
from penstock.features.customer_value.survival import explain_leaving

approx = pytest.approx
WEEKS = 39
PUBLISHED = {
    BgNbd: ([0.2426, 4.4136, 0.7929, 2.4259], -9582.4292, 5e-4),
    ParetoNbd: ([0.5533, 10.5777, 0.6062, 11.6687], -9594.9762, 2e-3),
    MbgNbd: ([0.5248, 6.1831, 0.8914, 1.6140], -9582.1357, 1e-3),
}
MODELS = pytest.mark.parametrize("kind", PUBLISHED, ids=lambda kind: kind.name)


@pytest.fixture(scope="module")
def sample():
    return cdnow.cohort()


@pytest.fixture(scope="module")
def fits(sample):
    rows = Rows.merged(sample.repeats, sample.recency, sample.age, 7.0)
    return {kind: kind.fit(rows) for kind in PUBLISHED}


def test_the_sample_is_the_published_one(sample):
    assert len(cdnow.sample()) == 6919
    assert len(sample.age) == 2357


@MODELS
def test_parameters_and_likelihood_are_the_published_ones(fits, kind):
    parameters, likelihood, within = PUBLISHED[kind]
    assert list(fits[kind].parameters) == approx(parameters, abs=within)
    assert fits[kind].log_likelihood == approx(likelihood, abs=0.01)


def test_spend_has_the_published_parameters(sample):
    spend = Spend.of(sample.repeats, sample.mean)
    fit = GammaGamma.fit(spend)
    assert len(spend.orders) == 946
    assert spend.mean.mean() == approx(35.0778, abs=1e-3)
    assert list(fit.parameters) == approx([6.2496, 3.7442, 15.4435], abs=5e-3)
    assert fit.log_likelihood == approx(-4055.9177, abs=1e-3)
    assert independence(spend).holds


def test_the_histogram_of_repeat_orders_has_the_published_distance(sample, fits):
    model = BgNbd(*fits[BgNbd].parameters)
    expected = np.zeros(8)
    for age, count in zip(*np.unique(sample.age, return_counts=True), strict=True):
        chances = model.newcomer(age / 7, 6)
        expected += count * np.append(chances, 1 - chances.sum())
    seen = np.bincount(np.minimum(sample.repeats, 7), minlength=8)
    assert ((seen - expected) ** 2 / expected).sum() == approx(4.82, abs=0.01)


@pytest.mark.parametrize(("kind", "off"), [(BgNbd, -4.11), (ParetoNbd, -1.59)], ids=str)
def test_cumulative_orders_miss_by_the_published_share(sample, fits, kind, off):
    model = kind(*fits[kind].parameters)
    seen = int(sample.repeats.sum() + sample.later.sum())
    new = Rows.of(0, 0, 0)
    ages = zip(*np.unique(sample.age, return_counts=True), strict=True)
    forecast = sum(count * model.expected(new, (age + (cdnow.END - cdnow.CUT).days) / 7)[0] for age, count in ages)
    assert seen == 4339
    assert 100 * (forecast / seen - 1) == approx(off, abs=0.05)


@MODELS
def test_the_holdout_is_met_as_published(sample, fits, kind):
    expected = kind(*fits[kind].parameters).expected(sample.rows, WEEKS)
    correlation = {BgNbd: 0.6256, ParetoNbd: 0.6302}
    if kind in correlation:
        assert np.corrcoef(expected, sample.later)[0, 1] == approx(correlation[kind], abs=1e-3)
    error = {BgNbd: 0.7855, MbgNbd: 0.7648, ParetoNbd: 0.7545}[kind]
    assert np.abs(expected - sample.later).mean() == approx(error, abs=1e-3)


def test_one_customer_has_the_published_future(fits):
    model, customer = BgNbd(*fits[BgNbd].parameters), Rows.of(2, 30.43, 38.86)
    assert model.expected(customer, WEEKS)[0] == approx(1.2260, abs=1e-4)
    assert model.alive(customer)[0] == approx(0.7266, abs=1e-4)


def test_small_probabilities_keep_their_digits():
    model = BgNbd(0.243, 4.414, 0.793, 2.426)
    assert model.newcomer(39, 0)[0] == approx(0.5737864, rel=1e-6)
    assert model.newcomer(2, 10)[10] == approx(1.07869e-07, rel=1e-6)


def test_a_frequent_buyer_has_the_published_future(fits):
    model, customer = ParetoNbd(*fits[ParetoNbd].parameters), Rows.of(26, 30.86, 31)
    assert model.alive(customer)[0] == approx(0.9979, abs=1e-3)
    assert model.expected(customer, 52)[0] == approx(25.46, abs=5e-3)


def test_discounted_orders_are_the_published_ones():
    model = ParetoNbd(0.5630, 12.590, 0.4081, 10.515)
    orders = discounted(model, Rows.of([7, 1], [35, 30], 77.86), None, discount_rate(0.15, 52))
    assert orders.tolist() == approx([1.873, 2.206], abs=1e-3)


def test_donors_have_the_published_parameters():
    table = cdnow.donors()
    rows = Rows(table["frequency"], table["recency"], table["periods"], table["weights"])
    fit = BgBb.fit(rows)
    assert rows.customers == 11104
    assert list(fit.parameters) == approx([1.2035, 0.7497, 0.6567, 2.7834], abs=1e-3)
    assert fit.log_likelihood == approx(-33225.58, abs=0.01)


def test_churn_has_a_horizon_and_one_minus_alive_is_not_it():
    cohort = cdnow.cohort(full=True)
    quarter = cdnow.cohort(full=True, end=cdnow.CUT.fromordinal(cdnow.CUT.toordinal() + 91))
    model = BgNbd(*BgNbd.fit(Rows.merged(cohort.repeats, cohort.recency, cohort.age, 7.0)).parameters)
    gone = quarter.later == 0
    assert len(gone) == 23570
    assert area_under_curve(model.none(cohort.rows, 13), gone) >= 0.76
    assert area_under_curve(1 - model.alive(cohort.rows), gone) == approx(0.333, abs=0.01)


def area_under_curve(scores, truth):
    order = np.unique(scores, return_inverse=True)[1]
    counts = np.bincount(order)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[order]
    hits = truth.sum()
    return (ranks[truth].sum() - hits * (hits + 1) / 2) / (hits * (len(truth) - hits))


def oracle(name):
    """Import a package that is only compared with; what it warns about is its own affair."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip(name)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["BetaGeoFitter", "ModifiedBetaGeoFitter", "ParetoNBDFitter"])
def test_lifetimes_says_the_same_of_every_customer(sample, kind):
    own = {"BetaGeoFitter": BgNbd, "ModifiedBetaGeoFitter": MbgNbd, "ParetoNBDFitter": ParetoNbd}[kind]
    lifetimes = oracle("lifetimes")
    rows = sample.rows
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        other = getattr(lifetimes, kind)().fit(rows.repeats, rows.recency, rows.age)
        model = own(*other.params_)
        alive = other.conditional_probability_alive(rows.repeats, rows.recency, rows.age)
        orders = other.conditional_expected_number_of_purchases_up_to_time(WEEKS, rows.repeats, rows.recency, rows.age)
    assert np.abs(model.alive(rows) - alive).max() < 1e-6
    assert np.abs(model.expected(rows, WEEKS) / np.asarray(orders) - 1).max() < 1e-5


@pytest.mark.slow
def test_clvkit_finds_the_same_optimum(sample, fits):
    oracle("clvkit")
    from clvkit.clv import bgnbd, mbgnbd

    rows, table = sample.rows, {"frequency": sample.repeats, "recency": sample.recency / 7, "T": sample.age / 7}
    for kind, other in ((BgNbd, bgnbd), (MbgNbd, mbgnbd)):
        parameters = fits[kind].parameters
        model, names = kind(*parameters), dict(zip(("r", "alpha", "a", "b"), parameters, strict=True))
        assert fits[kind].log_likelihood == approx(other._log_likelihood(**names, **table).sum(), abs=1e-6)
        assert model.alive(rows) == approx(other._probability_alive(**names, **table), abs=1e-9)


def test_propensity_meets_the_window_after_the_one_it_learnt_from():
    pytest.importorskip("lightgbm")
    end = cdnow.CUT + datetime.timedelta(weeks=13)
    log = cdnow.log([order for order in cdnow.master() if order[1] <= end])
    found = predict_orders(log, 91)
    assert found.evaluated[0] == cdnow.CUT
    assert found.judgement.brier <= 0.1185
    assert found.judgement.calibration_error <= 0.03


def test_cox_finds_the_published_effects():
    pytest.importorskip("lifelines")
    with cdnow.path_of("lifelines", "rossi.csv").open() as file:
        rows = list(csv.DictReader(file))
    names = [name for name in rows[0] if name not in {"week", "arrest"}]
    covariates = {name: [float(row[name]) for row in rows] for name in names}
    found = explain_leaving([float(row["week"]) for row in rows], [row["arrest"] == "1" for row in rows], covariates)
    effects = {effect.name: effect.coefficient for effect in found.effects}
    assert [effects[name] for name in ("fin", "age", "prio")] == approx([-0.3794, -0.0574, 0.0915], abs=1e-4)
    assert found.log_likelihood == approx(-658.7477, abs=1e-4)
    assert found.concordance == approx(0.6403, abs=1e-4)


def test_the_order_log_counts_as_by_hand(sample):
    summaries, later, _ = cdnow.log(cdnow.sample()).holdout(cdnow.CUT, cdnow.END)
    own, hand = np.argsort(summaries.customers), np.argsort(list(dict.fromkeys(order[0] for order in cdnow.sample())))
    assert (summaries.repeats[own] == sample.repeats[hand]).all()
    assert ((summaries.last - summaries.first)[own] == sample.recency[hand]).all()
    assert ((summaries.as_of - summaries.first)[own] == sample.age[hand]).all()
    assert (later[own] == sample.later[hand]).all()
    assert summaries.mean[own] == approx(sample.mean[hand], abs=1e-9)
