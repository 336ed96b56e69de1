"""Student's t distribution, from the regularised incomplete beta function by its continued fraction (Lentz)."""

from __future__ import annotations

from functools import lru_cache
from math import exp, inf, lgamma, log, sqrt

_TINY = 1e-300
_ENOUGH = 1e-14


def two_sided(t: float, freedom: float) -> float:
    """Return the probability of a value at least as far from zero as `t`, with that many degrees of freedom."""
    return _beta(freedom / 2, 0.5, freedom / (freedom + t * t)) if t else 1.0


@lru_cache(maxsize=4096)
def half_width(coverage: float, freedom: float) -> float:
    """Return how far from zero `coverage` of the distribution reaches; about 1.96 for 0.95 and many degrees."""
    low, high = 0.0, 1.0
    while two_sided(high, freedom) > 1 - coverage:
        high *= 2
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if two_sided(middle, freedom) > 1 - coverage else (low, middle)
    return high


def _beta(a: float, b: float, x: float) -> float:
    """Return the regularised incomplete beta function."""
    if x <= 0 or x >= 1:
        return min(max(x, 0.0), 1.0)
    front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log(1 - x))
    if x > (a + 1) / (a + b + 2):
        return 1 - front * _fraction(b, a, 1 - x) / b
    return front * _fraction(a, b, x) / a


def _fraction(a: float, b: float, x: float) -> float:
    c, d = 1.0, _away(1 - (a + b) * x / (a + 1))
    result = d = 1 / d
    for m in range(1, 10_000):
        for factor in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1 / _away(1 + factor * d)
            c = _away(1 + factor / c)
            result *= c * d
        if abs(c * d - 1) < _ENOUGH:
            break
    return result


def _away(value: float) -> float:
    """Keep a divisor from being zero."""
    return value if abs(value) > _TINY else _TINY


def welch(one: tuple[int, float, float], other: tuple[int, float, float]) -> tuple[float, float, float]:
    """Compare two means, each as (count, mean, variance): returns the standard error, degrees of freedom and p.

    B.L. Welch, Biometrika 34 (1947); degrees of freedom after Satterthwaite.
    """
    parts = [variance / count for count, _, variance in (one, other)]
    error = sqrt(sum(parts))
    if not error:
        return 0.0, inf, 1.0 if one[1] == other[1] else 0.0
    shares = sum(part * part / (count - 1) for part, (count, _, _) in zip(parts, (one, other), strict=True))
    freedom = sum(parts) ** 2 / shares
    return error, freedom, two_sided((one[1] - other[1]) / error, freedom)
