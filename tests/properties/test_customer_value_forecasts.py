"""Forecasts move the way the theory says, for any parameters and any history."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.features.customer_value.beta_geometric import BgNbd, MbgNbd
from penstock.features.customer_value.pareto import ParetoNbd
from penstock.features.customer_value.rows import Rows

KIND = st.sampled_from([BgNbd, MbgNbd, ParetoNbd])
PARAMETERS = st.tuples(
    st.floats(0.05, 20), st.floats(0.2, 200), st.floats(0.05, 8), st.floats(0.1, 60)
)  # a pace, its scale, and two of leaving


@st.composite
def histories(draw):
    age = draw(st.floats(0.1, 300))
    repeats = draw(st.integers(0, 400))
    return repeats, age * draw(st.floats(0, 1)) if repeats else 0.0, age


@settings(max_examples=150, deadline=None)
@given(KIND, PARAMETERS, histories(), st.floats(0.1, 200))
def test_chances_are_chances_and_orders_are_not_negative(kind, parameters, history, time):
    model, rows = kind(*parameters), Rows.of(*history)
    alive, none, expected = model.alive(rows)[0], model.none(rows, time)[0], model.expected(rows, time)[0]
    assert 0 <= alive <= 1
    assert 1 - alive <= none + 1e-12
    assert none <= 1
    assert np.isfinite(expected)
    assert expected >= (1 - none) * (1 - 1e-6) - 1e-9  # whoever orders at all orders once or more


@settings(max_examples=100, deadline=None)
@given(KIND, PARAMETERS, histories(), st.floats(0.1, 100), st.floats(1.01, 4))
def test_a_longer_horizon_brings_more_orders_and_less_churn(kind, parameters, history, time, longer):
    model, rows = kind(*parameters), Rows.of(*history)
    assert model.expected(rows, time * longer)[0] >= model.expected(rows, time)[0] * (1 - 1e-8)
    assert model.none(rows, time * longer)[0] <= model.none(rows, time)[0] + 1e-12


@settings(max_examples=100, deadline=None)
@given(KIND, PARAMETERS, histories(), st.floats(0.1, 100))
def test_a_longer_silence_makes_it_less_likely_to_be_there(kind, parameters, history, silence):
    model, (repeats, recency, age) = kind(*parameters), history
    if repeats:
        later = Rows.of(repeats, recency, age + silence)
        assert model.alive(later)[0] <= model.alive(Rows.of(*history))[0] + 1e-12


@settings(max_examples=60, deadline=None)
@given(KIND, PARAMETERS, st.lists(histories(), min_size=2, max_size=8), st.floats(0.1, 100))
def test_every_customer_is_judged_alone(kind, parameters, many, time):
    model = kind(*parameters)
    together = model.expected(Rows.of(*zip(*many, strict=True)), time)
    assert together == pytest.approx([model.expected(Rows.of(*one), time)[0] for one in many], rel=1e-9)
