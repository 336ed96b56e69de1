"""Maximum likelihood on merged rows: find the neighbourhood on a sample, then the optimum on everything.

Every parameter is positive and is searched as its logarithm. The search is its own, without threaded linear algebra:
the threads of a library's optimiser cost more than the whole fit, and the same data give the same digits anywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, Protocol, Self, TypeVar

import numpy as np
import numpy.typing as npt

from penstock.base.errors import InputError
from penstock.features.customer_value.rows import Floats


class Table(Protocol):
    """Rows with a weight each: what a likelihood is a sum over."""

    @property
    def weight(self) -> Floats:
        """How many customers each row stands for."""

    @property
    def customers(self) -> float:
        """How many there are in all."""

    def take(self, chosen: npt.NDArray[Any] | slice, weight: Floats) -> Self:
        """Return some of the rows with another weight each."""


Data = TypeVar("Data", bound=Table)
Likelihood = Callable[[Floats, Data], tuple[float, Floats]]
"""Log-likelihood and its gradient at natural parameters."""

SAMPLE = 6_000
"""Rows beyond which the neighbourhood is found on a sample."""
FARTHEST = 9.9
"""Logarithm of the largest parameter (20,000): beyond it customers are alike, and sums run out of digits."""
_BLOCK = 1 << 16
_NEAR = 1e-9
_NOISE = 1e-11
"""What a sum over a million rows may be off by, as a share: below it the slope alone tells which place is better."""
_LONGEST = 1.5
_STEPS, _HALVINGS = 200, 12


@dataclass(frozen=True)
class Fit:
    """Parameters at the optimum, the log-likelihood there, and how firmly the data hold each.

    `errors` are standard errors of the parameters' logarithms; infinite where the data do not hold one.
    """

    parameters: tuple[float, ...]
    log_likelihood: float
    errors: tuple[float, ...]
    evaluations: int
    customers: float


def maximise(likelihood: Likelihood[Data], rows: Data, starts: Sequence[Sequence[float]]) -> Fit:
    """Find the parameters under which the rows are likeliest; a further start is tried where one leads nowhere.

    Raises `InputError` (`prediction.no-optimum`) when no finite optimum exists.
    """
    search = _Search(likelihood)
    small = _sample(rows)
    found = []
    for start in starts:
        found.append(search.descend(_split(small), np.log(start)))
        if found[-1].is_sound:
            break
    best = min(found, key=lambda place: place.value)
    if small is not rows:
        best = search.refine(_split(rows), best.theta, best.curvature)
    theta, curvature, value = best.theta, best.curvature, best.value
    if not np.isfinite(value) or best.steepest > (1e-4 if best.is_inside else 1e-2):
        raise InputError(
            "no parameters fit these orders: the likelihood has no finite optimum",
            code="prediction.no-optimum",
            hint="Take a longer order log, one acquisition cohort, or the RFM scores.",
        )
    errors = _errors(curvature * rows.customers, theta)
    return Fit(tuple(np.exp(theta).tolist()), -value * rows.customers, errors, search.evaluations, rows.customers)


class _Place(NamedTuple):
    theta: Floats
    value: float
    slope: Floats
    curvature: Floats

    @property
    def steepest(self) -> float:
        """The steepest slope that can be followed: at the edge of what is searched, not the one that leads beyond."""
        return float(np.where(_beyond(self.theta, self.slope), 0.0, np.abs(self.slope)).max())

    @property
    def is_sound(self) -> bool:
        """Whether it is the bottom of a valley, and not the edge of what is searched."""
        return self.is_inside and bool(np.abs(self.slope).max() < 1e-6)

    @property
    def is_inside(self) -> bool:
        """Whether every parameter lies well within what is searched."""
        return bool(np.abs(self.theta).max() < FARTHEST - 1)


class _Search(Generic[Data]):
    """Counts evaluations; the value is the negative log-likelihood for one customer on average."""

    def __init__(self, likelihood: Likelihood[Data]) -> None:
        self._likelihood = likelihood
        self.evaluations = 0

    def __call__(self, theta: Floats, rows: Sequence[Data]) -> tuple[float, Floats]:
        self.evaluations += 1
        parameters, customers = np.exp(theta), sum(part.customers for part in rows)
        value, slope = 0.0, np.zeros(len(theta))
        for part in rows:
            own_value, own_slope = self._likelihood(parameters, part)
            value += own_value
            slope += own_slope
        return -value / customers, -slope * parameters / customers

    def descend(self, rows: Sequence[Data], theta: Floats) -> _Place:
        """Walk down from a starting point, and once more with the curvature of the place that was found."""
        rough = self.refine(rows, theta, self.curvature(rows, theta))
        return self.refine(rows, rough.theta, self.curvature(rows, rough.theta))

    def curvature(self, rows: Sequence[Data], theta: Floats) -> Floats:
        """Return the second derivatives, by differences of the exact gradient."""
        size, step = len(theta), 1e-4
        table = np.empty((size, size))
        for at in range(size):
            shift = np.zeros(size)
            shift[at] = step
            table[at] = (self(theta + shift, rows)[1] - self(theta - shift, rows)[1]) / (2 * step)
        return np.asarray((table + table.T) / 2)

    def refine(self, rows: Sequence[Data], theta: Floats, curvature: Floats) -> _Place:
        """Go on by Newton steps with a curvature that is corrected on the way (BFGS); stop where nothing is won."""
        value, slope = self(theta, rows)
        held = _beyond(theta, slope)
        inverse = _invert(curvature, ~held)
        for _ in range(_STEPS):
            beyond = _beyond(theta, slope)
            if (beyond != held).any():  # go along the edge, with the curvature that is left there
                held, inverse = beyond, _invert(self.curvature(rows, theta), ~beyond)
            step = -(inverse * slope).sum(axis=1)
            step *= min(1.0, _LONGEST / max(float(np.abs(step).max()), _LONGEST))
            if np.abs(step).max() < _NEAR:
                break
            for _ in range(_HALVINGS):
                new = np.clip(theta + step, -FARTHEST, FARTHEST)
                new_value, new_slope = self(new, rows)
                is_flatter = np.abs(new_slope[~held]).max(initial=0.0) < np.abs(slope[~held]).max(initial=0.0)
                if new_value <= value + (_NOISE if is_flatter else 1e-14) * abs(value):
                    break
                step /= 4
            else:
                break
            inverse = _correct(inverse, new - theta, new_slope - slope)
            theta, value, slope = new, new_value, new_slope
        return _Place(theta, value, slope, curvature)


def _beyond(theta: Floats, slope: Floats) -> npt.NDArray[np.bool_]:
    """Return which parameters are at the edge of what is searched, where the slope leads farther."""
    return np.asarray((np.abs(theta) >= FARTHEST) & (theta * slope < 0))


def _split(rows: Data) -> list[Data]:
    """Return the rows in parts: what is worked out of one stays near the processor."""
    starts = range(0, len(rows.weight), _BLOCK)
    return [rows.take(slice(at, at + _BLOCK), rows.weight[at : at + _BLOCK]) for at in starts]


def _sample(rows: Data) -> Data:
    """Keep the heavy rows and every n-th of the light ones, which stand for their neighbours."""
    every = len(rows.weight) // SAMPLE
    if every < 2:
        return rows
    heavy = rows.weight >= every
    light = np.flatnonzero(~heavy)[::every]
    chosen = np.concatenate((np.flatnonzero(heavy), light))
    scale = rows.weight[~heavy].sum() / max(rows.weight[light].sum(), 1.0)
    return rows.take(chosen, np.concatenate((rows.weight[heavy], rows.weight[light] * scale)))


def _invert(curvature: Floats, free: npt.NDArray[np.bool_]) -> Floats:
    """Invert among the free directions, with flat ones and ones bent the wrong way treated as gently bent."""
    values, vectors = np.linalg.eigh(curvature[np.ix_(free, free)])
    inverse = np.zeros_like(curvature)
    inverse[np.ix_(free, free)] = (vectors / np.maximum(np.abs(values), 1e-9)) @ vectors.T
    return inverse


def _correct(inverse: Floats, step: Floats, change: Floats) -> Floats:
    bend = float((step * change).sum())
    if bend <= 1e-18:
        return inverse
    left = np.eye(len(step)) - np.outer(step, change) / bend
    return np.asarray(left @ inverse @ left.T + np.outer(step, step) / bend)


def _errors(information: Floats, theta: Floats) -> tuple[float, ...]:
    values, vectors = np.linalg.eigh(information)
    if values.min() <= 0:
        return (float("inf"),) * len(theta)
    found = np.sqrt(((vectors**2) / values).sum(axis=1))
    return tuple(float("inf") if abs(at) >= FARTHEST else float(error) for error, at in zip(found, theta, strict=True))
