"""What every model of repeat orders can say, whatever it assumes about leaving."""

from __future__ import annotations

from itertools import pairwise
from typing import ClassVar, Protocol

import numpy as np

from penstock.base.errors import InputError
from penstock.features.customer_value.fitting import Fit
from penstock.features.customer_value.rows import Floats, Rows, over_distinct


class PurchaseModel(Protocol):
    """A fitted model of when customers order again; every time is in the unit that it was fitted in."""

    name: ClassVar[str]
    title: ClassVar[str]

    @classmethod
    def fit(cls, rows: Rows, start: tuple[float, ...] | None = None) -> Fit:
        """Fit to histories, from `start` (the parameters of the last run) where given."""

    @property
    def parameters(self) -> dict[str, float]:
        """The parameters by name."""

    def alive(self, rows: Rows) -> Floats:
        """Return the probability that a customer has not left yet. It is not one minus churn: see `none`."""

    def expected(self, rows: Rows, time: float) -> Floats:
        """Return the orders expected within `time` from now."""

    def none(self, rows: Rows, time: float) -> Floats:
        """Return the probability of no order within `time` from now: churn, which always has a horizon."""

    def distribution(self, rows: Rows, time: float, most: int) -> Floats:
        """Return the probabilities of 0, 1 … `most` orders within `time` from now, a row for each customer."""

    def newcomer(self, time: float, most: int) -> Floats:
        """Return the probabilities of 0, 1 … `most` repeat orders within `time` after a first order."""


def check_time(time: float) -> None:
    """Refuse a horizon that is no time."""
    if not (np.isfinite(time) and time > 0):
        raise InputError(
            f"the horizon {time!r} is not a time", code="prediction.horizon", hint="Give a horizon above zero."
        )


def discounted(model: PurchaseModel, rows: Rows, horizon: float | None, rate: float) -> Floats:
    """Return expected orders within `horizon` at their present value.

    `rate` is the continuous discount rate for one unit of time (`discount_rate` makes it of a yearly one).
    Without a horizon the rate must be above zero, or the sum has no end.

    It is e^(−rate·H)·E(H) + rate·∫E(t)·e^(−rate·t)dt (integration by parts), by Gauss-Legendre on panels that grow
    with time: orders come early.
    """
    if horizon is not None:
        check_time(horizon)
    if not rate >= 0 or (horizon is None and rate == 0):
        raise InputError(
            "a customer's value needs a horizon or a discount rate above zero",
            code="prediction.horizon",
            hint="Set a horizon, for instance 52 weeks, or a yearly discount such as 0.1.",
        )
    end = horizon if horizon is not None else 36.0 / rate

    def while_there(repeats: Floats, age: Floats) -> Floats:
        """Work out what the last order does not change, for customers who are surely there or nearly so."""
        late = Rows.of(repeats, np.where(repeats > 0, age, 0.0), age)
        return _present(model, late, end, rate) / model.alive(late)

    return model.alive(rows) * over_distinct(while_there, rows.repeats, rows.age)


def _present(model: PurchaseModel, rows: Rows, end: float, rate: float) -> Floats:
    total = model.expected(rows, end) * np.exp(-rate * end)
    if rate == 0:
        return np.asarray(total)
    nodes, weights = np.polynomial.legendre.leggauss(8)
    edges = np.concatenate(([0.0], end * 2.0 ** -np.arange(11.0, -1.0, -1.0)))
    for low, high in pairwise(edges.tolist()):
        half = (high - low) / 2
        for node, weight in zip(nodes, weights, strict=True):
            time = low + half * (node + 1)
            total = total + model.expected(rows, time) * (rate * half * weight * np.exp(-rate * time))
    return np.asarray(total)


def discount_rate(yearly: float, units_in_year: float) -> float:
    """Turn a yearly discount (0.15 for 15 %) into a continuous rate for one unit of time."""
    if not (np.isfinite(yearly) and yearly >= 0):
        raise InputError(
            f"the yearly discount {yearly!r} is below zero", code="prediction.discount", hint="Give 0.1 for 10 %."
        )
    return float(np.log1p(yearly) / units_in_year)
