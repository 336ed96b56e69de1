"""Confidences brought to the shares of right answers that were measured: Platt's scaling (2000), fitted by Newton."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, fsum, log, log1p
from typing import NamedTuple

_NEAREST = 1e-4
"""A confidence of nothing or one has no place on the logistic scale."""
_LEAST_EXAMPLES = 50
_PULL = 1.0
"""How strongly a fit on few examples is held near leaving confidences as they are."""
_ROUNDS = 50


class Calibration(NamedTuple):
    """A calibrated confidence is logistic(slope · logit(confidence) + offset)."""

    slope: float = 1.0
    offset: float = 0.0

    def apply(self, confidence: float) -> float:
        """Return the calibrated confidence."""
        return _logistic(self.slope * _logit(confidence) + self.offset)


def fit_calibration(chances: Sequence[tuple[float, bool]]) -> Calibration | None:
    """Fit confidences to what was right; None for fewer than 50, or where all or none were right.

    Maximises the likelihood with a prior around slope 1 and offset 0 (as strong as one observation); a
    slope below zero, which would turn the order round, is refused too.
    """
    rights = sum(right for _, right in chances)
    if len(chances) < _LEAST_EXAMPLES or rights in (0, len(chances)):
        return None
    points = [(_logit(chance), float(right)) for chance, right in chances]
    now = Calibration()
    for _ in range(_ROUNDS):
        step = _newton(points, now)
        length = 1.0
        while length > 1e-6 and _loss(points, _move(now, step, length)) > _loss(points, now):
            length /= 2
        now = _move(now, step, length)
        if max(abs(step[0]), abs(step[1])) * length < 1e-9:
            break
    return now if now.slope > 0 else None


def _move(now: Calibration, step: tuple[float, float], length: float) -> Calibration:
    return Calibration(now.slope - length * step[0], now.offset - length * step[1])


def _newton(points: Sequence[tuple[float, float]], now: Calibration) -> tuple[float, float]:
    """Return the step of Newton's method: the gradient over the curvature of the loss."""
    ahead = [(x, _logistic(now.slope * x + now.offset), y) for x, y in points]
    slope = fsum((p - y) * x for x, p, y in ahead) + _PULL * (now.slope - 1)
    offset = fsum(p - y for _, p, y in ahead) + _PULL * now.offset
    bends = [(x, p * (1 - p)) for x, p, _ in ahead]
    a = fsum(bend * x * x for x, bend in bends) + _PULL
    b = fsum(bend * x for x, bend in bends)
    c = fsum(bend for _, bend in bends) + _PULL
    area = a * c - b * b
    return (c * slope - b * offset) / area, (a * offset - b * slope) / area


def _loss(points: Sequence[tuple[float, float]], now: Calibration) -> float:
    heights = ((now.slope * x + now.offset, y) for x, y in points)
    likelihood = fsum(max(z, 0.0) - z * y + log1p(exp(-abs(z))) for z, y in heights)
    return likelihood + _PULL / 2 * ((now.slope - 1) ** 2 + now.offset**2)


def _logit(chance: float) -> float:
    chance = min(max(chance, _NEAREST), 1 - _NEAREST)
    return log(chance / (1 - chance))


def _logistic(height: float) -> float:
    return 1 / (1 + exp(-height)) if height >= 0 else 1 - 1 / (1 + exp(height))
