"""Gamma-Gamma: what an order is worth, on the assumption that spend does not depend on how often one orders.

Fader, Hardie 2013. The assumption is tested and reported (`independence`), never taken for granted.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import special

from penstock.base.errors import InputError
from penstock.features.customer_value.fitting import Fit, maximise
from penstock.features.customer_value.rows import Floats, Integers


@dataclass(frozen=True)
class Spend:
    """Number and mean value of the orders of each customer who has some worth counting."""

    orders: Floats
    mean: Floats
    weight: Floats

    @classmethod
    def of(cls, orders: npt.ArrayLike, mean: npt.ArrayLike) -> Spend:
        """Take customers with at least one order and a mean above zero; the others say nothing about spend."""
        count, value = np.atleast_1d(np.asarray(orders, np.float64)), np.atleast_1d(np.asarray(mean, np.float64))
        some = (count > 0) & (value > 0) & np.isfinite(value)
        return cls(count[some], value[some], np.ones(int(some.sum())))

    @cached_property
    def customers(self) -> float:
        """How many customers there are."""
        return float(self.weight.sum())

    @cached_property
    def levels(self) -> tuple[Floats, Integers, Floats]:
        """The distinct numbers of orders, which of them each row has, and the customers of each."""
        values, places = np.unique(self.orders, return_inverse=True)
        return values, places, np.bincount(places, self.weight, len(values)).astype(np.float64)

    def take(self, chosen: npt.NDArray[Any] | slice, weight: Floats) -> Spend:
        """Return some of the rows with another weight each."""
        return Spend(self.orders[chosen], self.mean[chosen], weight)


class Independence(NamedTuple):
    """Correlation of the number of orders with the logarithm of their mean, with its 95 % interval."""

    correlation: float
    low: float
    high: float

    @property
    def holds(self) -> bool:
        """Whether the dependence is too small to matter: nearer to zero than 0.3 with certainty."""
        return max(-self.low, self.high) < 0.3


@dataclass(frozen=True)
class GammaGamma:
    """Order values ~ Gamma(p, ν), ν ~ Gamma(q, γ): each customer has a mean of its own."""

    p: float
    q: float
    gamma: float

    name: ClassVar[str] = "gamma-gamma"
    title: ClassVar[str] = "Gamma-Gamma"

    @property
    def parameters(self) -> dict[str, float]:
        """The parameters by name."""
        return asdict(self)

    @classmethod
    def fit(cls, spend: Spend, start: tuple[float, ...] | None = None) -> Fit:
        """Fit to customers with orders of value, from `start` where given."""
        if not len(spend.orders):
            raise InputError(
                "not enough data, because no repeat order has a value above zero",
                code="prediction.not-enough-data",
                hint="Give the column that holds the value of an order, or ask for orders only.",
            )
        if np.ptp(spend.mean) <= 1e-9 * spend.mean.max():
            raise InputError(
                "every customer spends exactly the same: there is no distribution to fit",
                code="prediction.no-optimum",
                hint="Multiply expected orders by the price.",
            )
        scale = float((spend.mean * spend.weight).sum() / spend.customers)
        starts = [(2.0, 3.0, scale), (8.0, 4.0, scale / 2)]
        return maximise(cls.likelihood, spend, [start, *starts] if start else starts)

    @classmethod
    def likelihood(cls, parameters: Floats, spend: Spend) -> tuple[float, Floats]:
        """Return the log-likelihood and its gradient by p, q, γ."""
        p, q, gamma = parameters
        x, level, customers = spend.levels
        weight, log_mean = spend.weight, np.log(spend.mean)
        whole = gamma + spend.orders * spend.mean
        log_whole, shape = np.log(whole), (p * x + q)[level]
        constant = special.gammaln(p * x + q) - special.gammaln(p * x) - special.gammaln(q)
        constant += q * np.log(gamma) + p * x * np.log(x)
        value = (customers * constant).sum() + (weight * ((p * spend.orders - 1) * log_mean - shape * log_whole)).sum()
        slope_p = (customers * x * (special.psi(p * x + q) - special.psi(p * x) + np.log(x))).sum()
        slope_p += (weight * spend.orders * (log_mean - log_whole)).sum()
        slope_q = (customers * (special.psi(p * x + q) - special.psi(q) + np.log(gamma))).sum()
        slope_q -= (weight * log_whole).sum()
        slope_gamma = customers.sum() * q / gamma - (weight * shape / whole).sum()
        return float(value), np.array([slope_p, slope_q, slope_gamma])

    @property
    def population_mean(self) -> float:
        """The mean order of a customer about whom nothing is known; infinite where q ≤ 1."""
        return self.p * self.gamma / (self.q - 1) if self.q > 1 else float("inf")

    def expected(self, orders: npt.ArrayLike, mean: npt.ArrayLike) -> Floats:
        """Return the mean of future orders: between the customer's own mean and everyone's, nearer with more orders.

        A customer without an order of value gets everyone's mean, or NaN where there is none (q ≤ 1).
        """
        count, value = np.asarray(orders, np.float64), np.asarray(mean, np.float64)
        some = (count > 0) & (value > 0)
        count, value = np.where(some, count, 0.0), np.where(some, value, 0.0)
        below = self.p * count + self.q - 1
        found = self.p * (self.gamma + count * value) / np.where(below > 0, below, np.nan)
        return np.asarray(found)


def independence(spend: Spend) -> Independence:
    """Test the assumption of Gamma-Gamma on the customers that it is fitted to."""
    from math import atanh, sqrt, tanh

    if len(spend.orders) < 4 or np.ptp(spend.orders) == 0 or np.ptp(spend.mean) == 0:
        return Independence(0.0, -1.0, 1.0)
    at = float(np.corrcoef(spend.orders, np.log(spend.mean))[0, 1])
    near, wide = atanh(max(-0.999999, min(0.999999, at))), 1.96 / sqrt(len(spend.orders) - 3)
    return Independence(at, tanh(near - wide), tanh(near + wide))
