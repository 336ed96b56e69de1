"""Pareto/NBD: orders come at a steady pace of each customer's own, who leaves at a moment of its own.

Schmittlein, Morrison, Colombo 1987. The published likelihood is a difference of two 2F1; here it is the integral that
they stand for, by Gauss-Legendre: a sum of positive terms, which nothing cancels at a thousand orders.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import ClassVar

import numpy as np
from scipy import special

from penstock.features.customer_value.fitting import Fit, maximise
from penstock.features.customer_value.purchase import check_time
from penstock.features.customer_value.rows import Floats, Rows, over_distinct

_STARTS = ((0.5, 0.5, 0.6, 0.6), (2.0, 1.0, 0.3, 2.0))
_NODES, _WEIGHTS = ((np.polynomial.legendre.leggauss(32)[0] + 1) / 2, np.polynomial.legendre.leggauss(32)[1] / 2)
_DEEP = 45.0
"""Powers of e after which what is left of the integral no longer shows in 64 bits."""


@dataclass(frozen=True)
class ParetoNbd:
    """Pace ~ Gamma(r, α), rate of leaving ~ Gamma(s, β)."""

    r: float
    alpha: float
    s: float
    beta: float

    name: ClassVar[str] = "pareto-nbd"
    title: ClassVar[str] = "Pareto/NBD"

    @property
    def parameters(self) -> dict[str, float]:
        """The parameters by name."""
        return asdict(self)

    @classmethod
    def fit(cls, rows: Rows, start: tuple[float, ...] | None = None) -> Fit:
        """Fit to histories, from `start` (the parameters of the last run) where given."""
        scale = rows.mean_age
        starts = [(r, alpha * scale, s, beta * scale) for r, alpha, s, beta in _STARTS]
        return maximise(cls.likelihood, rows, [start, *starts] if start else starts)

    @classmethod
    def likelihood(cls, parameters: Floats, rows: Rows) -> tuple[float, Floats]:
        """Return the log-likelihood and its gradient by r, α, s, β."""
        r, alpha, s, beta = parameters
        x, level, customers = rows.levels
        power, weight = (r + x)[level], rows.weight
        last, late, span = alpha + rows.recency, beta + rows.recency, rows.age - rows.recency
        log_last, log_late = np.log(last), np.log(late)
        total, log_now, log_then = np.zeros(len(weight)), np.zeros(len(weight)), np.zeros(len(weight))
        by_alpha, by_beta, left = np.zeros(len(weight)), np.zeros(len(weight)), np.zeros(len(weight))
        for term, since, leaves in _terms(power, last, late, s, span):
            total += term
            log_now += term * np.log1p(since / last)
            log_then += term * np.log1p(since / late)
            by_alpha += term / (last + since)
            by_beta += term * ((s + leaves) / (late + since))
            if leaves:
                left += term
        constant = special.gammaln(r + x) - special.gammaln(r) + r * np.log(alpha) + s * np.log(beta)
        value = (customers * constant).sum() + (weight * (np.log(total) - power * log_last - s * log_late)).sum()
        share, count = weight / total, customers.sum()
        slopes = [
            (customers * (special.psi(r + x) - special.psi(r))).sum() + count * np.log(alpha)
            - (weight * log_last + share * log_now).sum(),
            count * r / alpha - (share * power * by_alpha).sum(),
            count * np.log(beta) + (share * left).sum() / s - (weight * log_late + share * log_then).sum(),
            count * s / beta - (share * by_beta).sum(),
        ]  # fmt: skip
        return float(value), np.array(slopes)

    def alive(self, rows: Rows) -> Floats:
        """Return the probability that a customer has not left yet."""
        last, late = self.alpha + rows.recency, self.beta + rows.recency
        return _stay(self.r + rows.repeats, last, late, self.s, rows.age - rows.recency)[0]

    def expected(self, rows: Rows, time: float) -> Floats:
        """Return the orders expected within `time` from now."""
        check_time(time)
        pace = (self.r + rows.repeats) / (self.alpha + rows.age) * (self.beta + rows.age)
        return np.asarray(self.alive(rows) * pace * _shrunk(self.s - 1.0, np.log1p(time / (self.beta + rows.age))))

    def none(self, rows: Rows, time: float) -> Floats:
        """Return the probability of no order within `time` from now."""
        check_time(time)

        def silent(x: Floats, age: Floats) -> Floats:
            return _stay(self.r + x, self.alpha + age, self.beta + age, self.s, np.full(len(x), time))[1]

        return 1.0 - self.alive(rows) * (1.0 - over_distinct(silent, rows.repeats, rows.age))

    def distribution(self, rows: Rows, time: float, most: int) -> Floats:
        """Return the probabilities of 0, 1 … `most` orders within `time` from now, a row for each customer."""
        check_time(time)
        pace, since, late = self.r + rows.repeats, self.alpha + rows.age, self.beta + rows.age
        table = _counts(pace[:, None], since[:, None], self.s, late[:, None], time, most) * self.alive(rows)[:, None]
        table[:, 0] = self.none(rows, time)
        return np.asarray(table)

    def newcomer(self, time: float, most: int) -> Floats:
        """Return the probabilities of 0, 1 … `most` repeat orders within `time` after a first order."""
        check_time(time)
        one = np.ones((1, 1))
        return np.asarray(_counts(self.r * one, self.alpha * one, self.s, self.beta * one, time, most).reshape(-1))


def _terms(power: Floats, last: Floats, late: Floats, s: float, span: Floats) -> list[tuple[Floats, Floats, int]]:
    """Yield the parts of the likelihood: staying through, and leaving at each node; all relative to the last order.

    The integral runs over u = log((last + y)/last), as far as its integrand can be seen.
    """
    stays = np.exp(-power * np.log1p(span / last) - s * np.log1p(span / late))
    parts: list[tuple[Floats, Floats, int]] = [(stays, span, 0)]
    falls = power - 1 + (s + 1) * np.minimum(last / late, 1.0)
    length = np.minimum(np.log1p(span / last), _DEEP / np.maximum(falls, 1e-3))
    for node, weight in zip(_NODES, _WEIGHTS, strict=True):
        u = node * length
        since = last * np.expm1(u)
        term = np.exp(-power * u - s * np.log1p(since / late)) * (s / (late + since)) * (last + since)
        parts.append((term * (weight * length), since, 1))
    return parts


def _stay(power: Floats, last: Floats, late: Floats, s: float, span: Floats) -> tuple[Floats, Floats]:
    """Return the share that is still there, and the probability of silence over `span`."""
    parts = _terms(power, last, late, s, span)
    total = np.asarray(sum(term for term, _, _ in parts))
    return parts[0][0] / total, np.minimum(total, 1.0)


def _shrunk(power: Floats | float, log: Floats) -> Floats:
    """Return (1 − e^(−power·log))/power, exact where the power is near zero."""
    z = power * log
    small = np.abs(z) < 1e-8
    return np.asarray(log * np.where(small, 1.0 - z / 2, -np.expm1(-z) / np.where(small, 1.0, z)))


def _counts(r: Floats, alpha: Floats, s: float, beta: Floats, time: float, most: int) -> Floats:
    """Return probabilities of 0…most orders of those who are there: staying through, or leaving at some moment."""
    n = np.arange(most + 1.0)
    constant = special.gammaln(r + n) - special.gammaln(r) - special.gammaln(n + 1)

    def orders(until: Floats) -> Floats:
        share = until / (alpha + until)
        return np.asarray(np.exp(constant + r * np.log1p(-share) + special.xlogy(n, share)))

    length = np.log1p(time / beta)
    total = orders(np.full_like(beta, time)) * np.exp(-s * length)
    for node, weight in zip(*_many_nodes(), strict=True):
        total = total + orders(beta * np.expm1(node * length)) * (weight * length * s * np.exp(-s * node * length))
    return np.asarray(total)


def _many_nodes() -> tuple[Floats, Floats]:
    nodes, weights = np.polynomial.legendre.leggauss(96)
    return (nodes + 1) / 2, weights / 2
