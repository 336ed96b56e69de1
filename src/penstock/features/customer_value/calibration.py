"""How far predicted chances and counts can be believed: what came to pass, with intervals, gains and a baseline."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from penstock.features.customer_value.rows import Floats

BINS = 10
_DRAWS = 1000
_SEED = 20_261_120
_Z = 1.959964


@dataclass(frozen=True)
class Bin:
    """Customers with chances alike: what was predicted, what came to pass, and its 95 % interval."""

    count: int
    predicted: float
    seen: float
    low: float
    high: float


@dataclass(frozen=True)
class Gain:
    """The best `share` of customers by prediction: how much of what came to pass they hold, and against chance."""

    share: float
    captured: float
    lift: float


@dataclass(frozen=True)
class Judgement:
    """Predicted chances against what came to pass.

    `brier` is the mean squared error; `baseline` is that of giving everyone one rate, in hindsight the right one;
    `calibration_error` is the expected calibration error over bins of equal size, with its 95 % interval; `sharpness`
    is the area under the ROC curve, None where all customers did the same.
    """

    customers: int
    rate: float
    brier: float
    baseline: float
    calibration_error: float
    calibration_low: float
    calibration_high: float
    sharpness: float | None
    bins: tuple[Bin, ...]
    gains: tuple[Gain, ...]


def judge(chances: Floats, seen: npt.ArrayLike) -> Judgement:
    """Hold chances against what came to pass (true or false)."""
    truth = np.asarray(seen, np.float64)
    rate = float(truth.mean())
    bins = _bins(chances, truth)
    error, low, high = _calibration(bins)
    baseline = float(((truth - rate) ** 2).mean())
    brier = float(((chances - truth) ** 2).mean())
    area = area_under_curve(chances, truth > 0)
    return Judgement(len(truth), rate, brier, baseline, error, low, high, area, bins, gains(chances, truth))


def area_under_curve(scores: npt.ArrayLike, truth: npt.ArrayLike) -> float | None:
    """Return how often a customer who did is scored above one who did not; None where all did the same."""
    values, did = np.asarray(scores, np.float64), np.asarray(truth, bool)
    hits = int(did.sum())
    if not 0 < hits < len(did):
        return None
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[places]
    return float((ranks[did].sum() - hits * (hits + 1) / 2) / (hits * (len(did) - hits)))


def gains(scores: Floats, worth: Floats, parts: int = BINS) -> tuple[Gain, ...]:
    """Return what the best tenth, two tenths … by score hold of all that came to pass (orders, value or customers).

    Customers with equal scores share alike, so that their order says nothing.
    """
    total = float(worth.sum())
    if total <= 0:
        return ()
    values, places, counts = np.unique(-scores, return_inverse=True, return_counts=True)
    reached = np.concatenate(([0.0], np.cumsum(counts)))
    held = np.concatenate(([0.0], np.cumsum(np.bincount(places, worth, len(values)))))
    shares = np.arange(1, parts + 1) / parts
    captured = np.interp(shares * len(scores), reached, held) / total
    return tuple(Gain(float(s), float(c), float(c / s)) for s, c in zip(shares, captured, strict=True))


def count_bins(predicted: Floats, seen: npt.ArrayLike) -> tuple[Bin, ...]:
    """Hold expected counts against counted ones, in bins of equal size; the interval is that of a mean."""
    truth = np.asarray(seen, np.float64)
    found = []
    for part in _parts(predicted):
        own = truth[part]
        wide = _Z * float(own.std(ddof=1)) / len(own) ** 0.5 if len(own) > 1 else float("inf")
        mean = float(own.mean())
        found.append(Bin(len(own), float(predicted[part].mean()), mean, max(0.0, mean - wide), mean + wide))
    return tuple(found)


def _parts(values: Floats) -> list[npt.NDArray[np.intp]]:
    """Split into bins of about equal size; equal values are never parted."""
    order = np.argsort(values, kind="stable")
    edges = np.searchsorted(values[order], np.quantile(values, np.arange(1, BINS) / BINS), side="right")
    return [part for part in np.split(order, np.unique(edges)) if len(part)]


def _bins(chances: Floats, truth: Floats) -> tuple[Bin, ...]:
    found = []
    for part in _parts(chances):
        count, seen = len(part), float(truth[part].mean())
        low, high = wilson(seen, count)
        found.append(Bin(count, float(chances[part].mean()), seen, low, high))
    return tuple(found)


def wilson(share: float, count: int) -> tuple[float, float]:
    """Return the 95 % interval of a share of `count` (Wilson): it stays within 0 and 1."""
    below = 1 + _Z**2 / count
    middle = (share + _Z**2 / (2 * count)) / below
    wide = _Z * (share * (1 - share) / count + _Z**2 / (4 * count**2)) ** 0.5 / below
    return max(0.0, middle - wide), min(1.0, middle + wide)


def _calibration(bins: tuple[Bin, ...]) -> tuple[float, float, float]:
    """Return the expected calibration error, and where it lies in 95 % of redraws of what came to pass."""
    counts = np.array([entry.count for entry in bins])
    predicted, seen = (np.array([getattr(entry, name) for entry in bins]) for name in ("predicted", "seen"))
    error = float((counts * np.abs(predicted - seen)).sum() / counts.sum())
    draws = np.random.default_rng(_SEED).binomial(counts, seen, (_DRAWS, len(bins))) / counts
    errors = (counts * np.abs(predicted - draws)).sum(axis=1) / counts.sum()
    low, high = np.quantile(errors, [0.025, 0.975])
    return error, min(float(low), error), max(float(high), error)
