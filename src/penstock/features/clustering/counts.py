"""How many segments: what speaks for each number, side by side, for a person to decide."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from penstock.base.errors import InputError
from penstock.features.clustering.cores import calmly
from penstock.features.clustering.customers import Customers
from penstock.features.clustering.kmeans import find_clusters, nearest
from penstock.features.clustering.model import count_different, learn_points
from penstock.features.clustering.space import DIMENSIONS

Array = np.ndarray[Any, Any]

COUNTS = (4, 5, 6, 7, 8, 9, 10, 11, 12, 16, 20, 25, 30, 40, 50)
_FEWEST = 2
_SAMPLE = 10_000
_LOOKED_AT = 3_000
_RESTARTS = 5
_STABLE = 0.5
"""Adjusted Rand index of two halves below which the segments are the sample's, not the customers'."""
_SMALLEST = 0.005


class Trial(NamedTuple):
    """What one number of segments would be like.

    `silhouette` (−1 to 1) says how much nearer customers are to their own segment than to the next, `agreement` (about
    0 to 1) how equally two halves of the customers, searched apart, divide them all (adjusted Rand index), `smallest`
    the share of the smallest segment, `explained` the part of the spread that the segments take up. `objection` is
    why this number should not be taken, empty where nothing speaks against it.
    """

    segments: int
    silhouette: float
    agreement: float
    smallest: float
    explained: float
    objection: str


class Comparison(NamedTuple):
    """All trials, and the number with the best silhouette among those without objection; None where there is none."""

    trials: tuple[Trial, ...]
    suggested: int | None


@calmly
def compare_counts(
    customers: Customers, counts: Sequence[int] | None = None, *, dimensions: int = DIMENSIONS, seed: int = 7
) -> Comparison:
    """Try several numbers of segments on a sample of 10,000 customers; raises `InputError` where none can be tried.

    Without `counts`: 4 to 12 and a coarse grid to 50, as far as each segment can have five customers.
    """
    _, points = learn_points(customers, _SAMPLE, dimensions, seed)
    most = min(len(points) // 4, count_different(points[: len(points) // 2], max(counts or COUNTS)))
    wanted = sorted(set(counts)) if counts else [count for count in COUNTS if count * 5 <= len(points)]
    tried = [count for count in wanted if _FEWEST <= count <= most]
    if not tried or (counts and tried != wanted):
        raise InputError(
            f"{len(points)} customers can be compared in {_FEWEST} to {max(most, 0)} segments",
            code="segments.too-few",
            hint="Name numbers of segments in that range, or give more customers.",
        )
    looked_at = points[:_LOOKED_AT]
    gaps = _measure_gaps(looked_at)
    trials = tuple(_try(points, gaps, count, seed) for count in tried)
    sound = [trial for trial in trials if not trial.objection]
    best = max(sound, key=lambda trial: trial.silhouette, default=None)
    return Comparison(trials, None if best is None else best.segments)


def _try(points: Array, gaps: Array, count: int, seed: int) -> Trial:
    whole = find_clusters(points, count, seed, _RESTARTS)
    labels, _ = nearest(points, whole.centres)
    middle = len(points) // 2
    halves = [find_clusters(half, count, seed, _RESTARTS).centres for half in (points[:middle], points[middle:])]
    agreement = measure_agreement(*(nearest(points, centres)[0] for centres in halves))
    smallest = float(np.bincount(labels, minlength=count).min() / len(points))
    spread = float(points.var(axis=0, dtype=np.float64).sum()) * len(points)
    objection = ""
    if agreement < _STABLE:
        objection = f"two halves of the customers are divided differently (agreement {agreement:.2f})"
    elif smallest < _SMALLEST:
        objection = f"the smallest segment holds {smallest:.2%} of the customers"
    silhouette = measure_silhouette(gaps, labels[: len(gaps)], count)
    return Trial(count, silhouette, agreement, smallest, 1 - whole.inertia / spread if spread else 1.0, objection)


def measure_agreement(some: Array, others: Array) -> float:
    """Return the adjusted Rand index of two divisions of the same customers: 1 if equal, about 0 if unrelated."""
    width = int(others.max()) + 1
    table = np.bincount(some.astype(np.int64) * width + others, minlength=width).astype(np.float64)
    table = np.pad(table, (0, -len(table) % width)).reshape(-1, width)

    def pairs(sizes: Array) -> float:
        return float((sizes * (sizes - 1) / 2).sum())

    both, left, right = pairs(table), pairs(table.sum(axis=1)), pairs(table.sum(axis=0))
    expected = left * right / max(pairs(table.sum()[None]), 1)
    most = (left + right) / 2
    return (both - expected) / (most - expected) if most != expected else 1.0


def measure_silhouette(gaps: Array, labels: Array, count: int) -> float:
    """Return the mean silhouette of points from their distances to each other; alone in a segment counts as 0."""
    members = np.zeros((len(labels), count), np.float32)
    members[np.arange(len(labels)), labels] = 1
    sizes = members.sum(axis=0)
    sums = gaps @ members
    rows = np.arange(len(labels))
    own = sums[rows, labels] / np.maximum(sizes[labels] - 1, 1)
    means = np.where(sizes > 0, sums / np.maximum(sizes, 1), np.inf)
    means[rows, labels] = np.inf
    other = means.min(axis=1)
    larger = np.maximum(own, other)
    fits = np.isfinite(other) & (larger > 0) & (sizes[labels] > 1)
    values = np.divide(other - own, larger, out=np.zeros_like(larger), where=fits)
    return float(values.mean(dtype=np.float64))


def _measure_gaps(points: Array) -> Array:
    squares = np.einsum("ij,ij->i", points, points)
    gaps = points @ (-2 * points.T)
    gaps += squares
    gaps += squares[:, None]
    np.fill_diagonal(gaps, 0)
    roots: Array = np.sqrt(np.maximum(gaps, 0, out=gaps), out=gaps)
    return roots
