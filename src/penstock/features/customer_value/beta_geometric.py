"""BG/NBD and MBG/NBD: orders come at a steady pace of each customer's own, and after an order some leave.

BG/NBD (Fader, Hardie, Lee 2005) lets nobody leave before the second order; MBG/NBD (Batislam, Denizel, Filiztekin
2007) lets one-time buyers be gone already, and fitted better on every order log tried.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import ClassVar

import numpy as np
from scipy import special

from penstock.features.customer_value.fitting import Fit, maximise
from penstock.features.customer_value.purchase import check_time
from penstock.features.customer_value.rows import Floats, Rows, over_distinct

_ALIKE = 500.0
"""From here on the chance to leave hardly differs between customers, and the closed form runs out of digits."""
_STARTS = ((0.5, 0.5, 0.8, 2.0), (2.0, 1.0, 0.3, 5.0))


@dataclass(frozen=True)
class BgNbd:
    """Pace ~ Gamma(r, α), probability to leave after a repeat order ~ Beta(a, b)."""

    r: float
    alpha: float
    a: float
    b: float

    name: ClassVar[str] = "bg-nbd"
    title: ClassVar[str] = "BG/NBD"
    first_leaves: ClassVar[int] = 0
    """1 where a customer may leave right after the first order."""

    @property
    def parameters(self) -> dict[str, float]:
        """The parameters by name."""
        return asdict(self)

    @classmethod
    def fit(cls, rows: Rows, start: tuple[float, ...] | None = None) -> Fit:
        """Fit to histories, from `start` (the parameters of the last run) where given."""
        scale = rows.mean_age
        starts = [(r, alpha * scale, a, b) for r, alpha, a, b in _STARTS]
        return maximise(cls.likelihood, rows, [start, *starts] if start else starts)

    @classmethod
    def likelihood(cls, parameters: Floats, rows: Rows) -> tuple[float, Floats]:
        """Return the log-likelihood and its gradient by r, α, a, b."""
        r, alpha, a, b = parameters
        x, level, customers = rows.levels
        kept = b + x + cls.first_leaves
        constant = special.gammaln(r + x) - special.gammaln(r) + r * np.log(alpha)
        constant += special.betaln(a, kept) - special.betaln(a, b)
        odds = _odds(a, kept, x, cls.first_leaves)
        log_last, log_now = np.log(alpha + rows.recency), np.log(alpha + rows.age)
        power = (r + x)[level]
        gap = power * (log_now - log_last)
        stays, leaves = np.exp(-gap), odds[level]
        mixed = stays + leaves
        inner = np.where(leaves > 0, np.log(np.where(leaves > 0, mixed, 1.0)), -gap)
        share = np.where(leaves > 0, stays / np.where(leaves > 0, mixed, 1.0), 1.0)
        weight, shared = rows.weight, rows.weight * share
        total = (customers * constant).sum() + (weight * (inner - power * log_last)).sum()
        gone = np.bincount(level, weight - shared, len(x))
        by_last = power / (alpha + rows.recency)
        slope_alpha = customers.sum() * r / alpha - (weight * by_last).sum()
        slope_alpha -= (shared * (power / (alpha + rows.age) - by_last)).sum()
        slope_r = (customers * (special.psi(r + x) - special.psi(r) + np.log(alpha))).sum()
        slope_r -= (weight * log_last).sum() + (shared * (log_now - log_last)).sum()
        both = special.psi(a + b) - special.psi(a + kept)
        slope_a = (customers * both).sum() + gone.sum() / a
        slope_b = (customers * (special.psi(kept) - special.psi(b) + both)).sum()
        slope_b -= (gone / np.maximum(kept - 1, 1e-300)).sum()
        return float(total), np.array([slope_r, slope_alpha, slope_a, slope_b])

    def alive(self, rows: Rows) -> Floats:
        """Return the probability that a customer has not left yet."""
        kept = self.b + rows.repeats + self.first_leaves
        odds = _odds(self.a, kept, rows.repeats, self.first_leaves)
        gap = np.log(self.alpha + rows.age) - np.log(self.alpha + rows.recency)
        with np.errstate(divide="ignore"):
            return np.asarray(special.expit(-(np.log(odds) + (self.r + rows.repeats) * gap)))

    def expected(self, rows: Rows, time: float) -> Floats:
        """Return the orders expected within `time` from now."""
        check_time(time)
        return self.alive(rows) * over_distinct(lambda x, age: self._while_alive(x, age, time), rows.repeats, rows.age)

    def none(self, rows: Rows, time: float) -> Floats:
        """Return the probability of no order within `time` from now."""
        check_time(time)
        silent = np.exp((self.r + rows.repeats) * -np.log1p(time / (self.alpha + rows.age)))
        return 1.0 - self.alive(rows) * (1.0 - silent)

    def distribution(self, rows: Rows, time: float, most: int) -> Floats:
        """Return the probabilities of 0, 1 … `most` orders within `time` from now, a row for each customer."""
        check_time(time)
        pace, since = (self.r + rows.repeats)[:, None], (self.alpha + rows.age)[:, None]
        kept = (self.b + rows.repeats + self.first_leaves)[:, None]
        table = _counts(pace, since, self.a, kept, time, most, 0) * self.alive(rows)[:, None]
        table[:, 0] = self.none(rows, time)
        return np.asarray(table)

    def newcomer(self, time: float, most: int) -> Floats:
        """Return the probabilities of 0, 1 … `most` repeat orders within `time` after a first order."""
        check_time(time)
        return np.asarray(_counts(self.r, self.alpha, self.a, self.b, time, most, self.first_leaves).reshape(-1))

    def _while_alive(self, x: Floats, age: Floats, time: float) -> Floats:
        """Return expected orders of those who have not left: E[(1 − e^(−λpt))/p].

        The published form has 2F1(r+x, b+x; a+b+x−1; z); Euler's transformation leaves small arguments, which stay
        exact for a thousand orders. At a = 1 and at a + b = 1 the form is 0/0, so that its two sides are averaged.
        """
        if min(abs(self.a - 1.0), abs(self.a + self.b + self.first_leaves - 1.0)) < 1e-4:
            low, high = (type(self)(self.r, self.alpha, self.a + step, self.b) for step in (-3e-4, 3e-4))
            return (low._while_alive(x, age, time) + high._while_alive(x, age, time)) / 2  # noqa: SLF001
        kept = self.b + x + self.first_leaves
        if self.a > _ALIKE:
            return _all_alike(self.a, kept, self.r + x, time / (self.alpha + age))
        z = time / (self.alpha + age + time)
        less = self.a - 1.0
        series = _gauss(less + self.b + self.first_leaves - self.r, less, less + kept, z)
        return np.asarray((less + kept) / less * (1.0 - np.exp(less * np.log1p(-z)) * series))


@dataclass(frozen=True)
class MbgNbd(BgNbd):
    """As BG/NBD, but a customer may leave after the first order too."""

    name: ClassVar[str] = "mbg-nbd"
    title: ClassVar[str] = "MBG/NBD"
    first_leaves: ClassVar[int] = 1


def _all_alike(a: float, kept: Floats, power: Floats, span: Floats) -> Floats:
    """Return expected orders where all leave with nearly the same chance: the mean over three points of it."""
    mean = a / (a + kept)
    wide = np.sqrt(3 * mean * (1 - mean) / (a + kept + 1))
    total = np.zeros(len(span))
    for share, at in ((1, mean - wide), (4, mean), (1, mean + wide)):
        total += share * -np.expm1(-power * np.log1p(at * span)) / at
    return np.asarray(total / 6)


def _gauss(a: float, b: float, c: Floats, z: Floats) -> Floats:
    """Return 2F1(a, b; c; z) for z below 1.

    scipy's is right to 1e-9 wherever it was compared, but has no number where c − a − b is a whole one beyond 100
    (there the series is short), or a hair beside a whole one (there it is taken a little farther off).
    """
    found = np.asarray(special.hyp2f1(a, b, c, z))
    for at in np.flatnonzero(~np.isfinite(found)):
        found[at] = _series(a, b, float(c[at]), float(z[at])) if c[at] - a - b > 20 else np.nan
    if not np.isfinite(found).all():
        found = np.where(np.isfinite(found), found, special.hyp2f1(a, b * (1 + 1e-7), c, z))
    return found


def _series(a: float, b: float, c: float, z: float) -> float:
    total = term = 1.0
    for k in range(10_000):
        term *= (a + k) * (b + k) / ((c + k) * (k + 1)) * z
        total += term
        if abs(term) <= 1e-17 * abs(total):
            break
    return total


def _odds(a: float, kept: Floats, x: Floats, first_leaves: int) -> Floats:
    """Return a/(kept − 1): the weight of having left right after the last order; none before there can be one."""
    if first_leaves:
        return np.asarray(a / (kept - 1))
    return np.asarray(np.where(x > 0, a / np.where(x > 0, kept - 1, 1.0), 0.0))


def _counts(
    r: Floats | float, alpha: Floats | float, a: float, b: Floats | float, time: float, most: int, first_leaves: int
) -> Floats:
    """Return probabilities of 0…most orders from now on, of one who has not left; tails are incomplete betas."""
    n = np.arange(most + 1.0)
    share = time / (alpha + time)
    exactly = special.gammaln(r + n) - special.gammaln(r) - special.gammaln(n + 1)
    exactly = np.exp(exactly + r * np.log1p(-share) + special.xlogy(n, share))
    tail = np.where(n > 0, special.betainc(np.maximum(n, 1.0), r, share), 1.0)
    flips = n + first_leaves
    stays = np.exp(special.betaln(a, b + flips) - special.betaln(a, b))
    leaves = np.where(
        flips > 0, np.exp(special.betaln(a + 1, b + np.maximum(flips - 1, 0)) - special.betaln(a, b)), 0.0
    )
    return np.asarray(stays * exactly + leaves * tail)
