"""What is said of each customer: chance to be there, churn within the horizon, orders, spend, value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from penstock.base.errors import InputError
from penstock.features.customer_value.gamma_gamma import GammaGamma
from penstock.features.customer_value.purchase import PurchaseModel, discount_rate, discounted
from penstock.features.customer_value.rows import Floats
from penstock.features.customer_value.summaries import Summaries


@dataclass(frozen=True)
class Predictions:
    """A column each, in the order of the summaries; `spend` and `value` are None where no value is known.

    churn: the chance of no order within `horizon`. orders: how many are expected within it. spend: the mean of a
    future order. value: expected orders within `value_horizon` times spend times margin, at present value.
    """

    customers: npt.NDArray[Any]
    alive: Floats
    churn: Floats
    orders: Floats
    spend: Floats | None
    value: Floats | None
    horizon: float
    value_horizon: float | None


def predict(
    model: PurchaseModel,
    summaries: Summaries,
    horizon: float,
    spend: GammaGamma | None = None,
    value_horizon: float | None = None,
    discount: float = 0.0,
    margin: float = 1.0,
) -> Predictions:
    """Predict every customer; horizons in units, `discount` a year (0.1 for 10 %), `margin` of revenue that is kept.

    Value needs a horizon or a discount above zero: without either the sum has no end (`prediction.horizon`).
    """
    if not 0 < margin <= 1:
        raise InputError(
            f"the margin {margin!r} is not a share", code="prediction.margin", hint="Give 0.4 for 40 % of revenue."
        )
    rows, places = summaries.grouped
    mean, value = None, None
    if spend is not None:
        mean = spend.expected(summaries.repeats, summaries.mean)
        rate = discount_rate(discount, 365.25 / summaries.unit)
        value = discounted(model, rows, value_horizon, rate)[places] * mean * margin
    return Predictions(
        summaries.customers,
        model.alive(rows)[places],
        np.clip(model.none(rows, horizon), 0.0, 1.0)[places],
        model.expected(rows, horizon)[places],
        mean,
        value,
        horizon,
        value_horizon,
    )
