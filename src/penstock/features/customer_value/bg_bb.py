"""BG/BB: at each opportunity (a year, a campaign) a customer buys or not, until it leaves. For donors and renewals.

Fader, Hardie, Shang 2010. In `Rows`, `repeats` is how many opportunities were taken, `recency` the number of the last
one taken (0: none) and `age` how many there were; rows with a weight are enough.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import ClassVar

import numpy as np
from scipy import special

from penstock.base.errors import InputError
from penstock.features.customer_value.fitting import Fit, maximise
from penstock.features.customer_value.purchase import check_time
from penstock.features.customer_value.rows import Floats, Rows

_STARTS = ((1.0, 1.0, 0.5, 2.0), (1.0, 2.0, 1.0, 8.0))


@dataclass(frozen=True)
class BgBb:
    """Chance to take an opportunity ~ Beta(α, β), chance to leave before each ~ Beta(γ, δ)."""

    alpha: float
    beta: float
    gamma: float
    delta: float

    name: ClassVar[str] = "bg-bb"
    title: ClassVar[str] = "BG/BB"

    @property
    def parameters(self) -> dict[str, float]:
        """The parameters by name."""
        return asdict(self)

    @classmethod
    def fit(cls, rows: Rows, start: tuple[float, ...] | None = None) -> Fit:
        """Fit to histories, from `start` (the parameters of the last run) where given."""
        _check(rows)
        return maximise(cls.likelihood, rows, [start, *_STARTS] if start else _STARTS)

    @classmethod
    def likelihood(cls, parameters: Floats, rows: Rows) -> tuple[float, Floats]:
        """Return the log-likelihood and its gradient by α, β, γ, δ."""
        alpha, beta, gamma, delta = parameters
        x, misses, stays, until = _ends(rows)
        terms = special.betaln(alpha + x, beta + misses) + special.betaln(gamma + 1 - stays, delta + until)
        terms = np.where(misses >= 0, terms, -np.inf)
        total = special.logsumexp(terms, axis=1)
        share = np.exp(terms - total[:, None]) * rows.weight[:, None]
        misses = np.maximum(misses, 0)
        value = (rows.weight * total).sum()
        value -= rows.customers * (special.betaln(alpha, beta) + special.betaln(gamma, delta))
        both = special.psi(alpha + beta + x + misses) - special.psi(alpha + beta)
        lost = special.psi(gamma + delta + until + 1 - stays) - special.psi(gamma + delta)
        slopes = [
            (share * (special.psi(alpha + x) - special.psi(alpha) - both)).sum(),
            (share * (special.psi(beta + misses) - special.psi(beta) - both)).sum(),
            (share * (special.psi(gamma + 1 - stays) - special.psi(gamma) - lost)).sum(),
            (share * (special.psi(delta + until) - special.psi(delta) - lost)).sum(),
        ]
        return float(value), np.array(slopes)

    def alive(self, rows: Rows) -> Floats:
        """Return the probability to be there for the next opportunity."""
        return np.asarray(self._here(rows) * (self.delta + rows.age) / (self.gamma + self.delta + rows.age))

    def expected(self, rows: Rows, time: float) -> Floats:
        """Return how many of the next `time` opportunities are expected to be taken."""
        takes = (self.alpha + rows.repeats) / (self.alpha + self.beta + rows.age)
        total, stays = np.zeros(len(rows.age)), self._here(rows)
        for step in range(_whole(time)):
            stays = stays * (self.delta + rows.age + step) / (self.gamma + self.delta + rows.age + step)
            total += takes * stays
        return total

    def none(self, rows: Rows, time: float) -> Floats:
        """Return the probability to take none of the next `time` opportunities."""
        return self.distribution(rows, time, 0)[:, 0]

    def distribution(self, rows: Rows, time: float, most: int) -> Floats:
        """Return the probabilities of 0, 1 … `most` of the next `time` opportunities, a row for each customer."""
        here = self._here(rows)[:, None]
        table = here * _counts(
            (self.alpha + rows.repeats)[:, None], (self.beta + rows.age - rows.repeats)[:, None],
            self.gamma, (self.delta + rows.age)[:, None], _whole(time), most,
        )  # fmt: skip
        table[:, 0] += 1.0 - here[:, 0]
        return np.asarray(table)

    def newcomer(self, time: float, most: int) -> Floats:
        """Return the probabilities to take 0, 1 … `most` of the first `time` opportunities."""
        one = np.ones((1, 1))
        table = _counts(self.alpha * one, self.beta * one, self.gamma, self.delta * one, _whole(time), most)
        return np.asarray(table.reshape(-1))

    def _here(self, rows: Rows) -> Floats:
        """Return the probability not to have left by now."""
        _check(rows)
        x, misses, stays, until = _ends(rows)
        terms = special.betaln(self.alpha + x, self.beta + misses)
        terms = terms + special.betaln(self.gamma + 1 - stays, self.delta + until)
        terms = np.where(misses >= 0, terms, -np.inf)
        return np.asarray(np.exp(terms[:, 0] - special.logsumexp(terms, axis=1)))


def _ends(rows: Rows) -> tuple[Floats, Floats, Floats, Floats]:
    """Return every way a history can have ended, a column each: still there, or gone after one since the last taken.

    Columns of `misses` below zero mark endings that a row does not have.
    """
    x, last, count = rows.repeats[:, None], rows.recency[:, None], rows.age[:, None]
    more = np.arange(max(1.0, float((rows.age - rows.recency).max(initial=0))))
    gone = np.where(last + more < count, last + more, np.nan)
    until = np.concatenate((count, np.nan_to_num(gone, nan=0.0)), axis=1)
    misses = np.concatenate((count - x, np.nan_to_num(gone - x, nan=-1.0)), axis=1)
    stays = np.zeros(misses.shape)
    stays[:, 0] = 1.0
    return x, misses, stays, until


def _counts(alpha: Floats, beta: Floats, gamma: float, delta: Floats, time: int, most: int) -> Floats:
    n = np.arange(most + 1.0)
    own = special.betaln(alpha, beta) + special.betaln(gamma, delta)

    def taken(until: int, left: int) -> Floats:
        possible = np.minimum(n, until)
        ways = -special.betaln(until - possible + 1, possible + 1) - np.log(until + 1)
        log = ways + special.betaln(alpha + possible, beta + until - possible)
        log = log + special.betaln(gamma + left, delta + until) - own
        return np.asarray(np.where(n <= until, np.exp(log), 0.0))

    total = taken(time, 0)
    for until in range(time):
        total = total + taken(until, 1)
    return np.asarray(total)


def _whole(time: float) -> int:
    check_time(time)
    if time != int(time):
        raise InputError(
            f"{time:g} opportunities: a horizon of BG/BB is a whole number of them",
            code="prediction.horizon",
            hint="Count opportunities, for instance years or campaigns.",
        )
    return int(time)


def _check(rows: Rows) -> None:
    if not ((rows.repeats <= rows.recency).all() and (rows.age == np.floor(rows.age)).all()):
        raise InputError(
            "a customer cannot take more opportunities than there were up to the last one taken",
            code="orders.impossible",
            hint="Give taken ≤ last taken ≤ number of opportunities, as whole numbers.",
        )
