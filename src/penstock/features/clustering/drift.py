"""Whether customers still are where the segments were made for, and who fits nowhere."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np

from penstock.features.clustering.model import NOWHERE, Places, Segmentation

Array = np.ndarray[Any, Any]

_STAGES = {"distances": (0.1, 0.2), "far": (0.025, 0.05), "shares": (0.1, 0.25)}
"""From where on each figure is worth a look, and from where on the segments no longer fit. 0.1 and 0.25 are what is
usual for the population stability index."""
_FENCE = 3.0
_TIE = 1e-3
"""Part of the size of all distances within which two of them are equal: 32-bit floats do not tell more."""


class Drift(NamedTuple):
    """How far customers have moved since the segments were made.

    `distances` is the largest gap between the distributions of the distances to the own centre then and now
    (Kolmogorov-Smirnov, 0 to 1), `far` the part of customers farther out than 95 % of their segment were then,
    `shares` the population stability index of the sizes. Each is compared with what chance alone would do.
    """

    verdict: Literal["steady", "watch", "drifted"]
    distances: float
    far: float
    shares: float
    customers: int
    unplaced: int
    reasons: tuple[str, ...]


def measure_drift(segmentation: Segmentation, places: Places) -> Drift:
    """Compare where customers are with where they were when the segments were made."""
    placed = places.segments != NOWHERE
    customers = int(placed.sum())
    if not customers:
        return Drift("watch", 0.0, 0.0, 0.0, 0, places.unplaced, ("no customer has a vector",))
    ranks = _rank(segmentation, places.segments[placed], places.distances[placed])
    sizes = places.sizes(len(segmentation.ids))
    figures = {
        "distances": _largest_gap(segmentation, sizes, ranks),
        "far": float((ranks > 0.95).mean()),
        "shares": _stability_index(segmentation, sizes),
    }
    by_chance = {
        "distances": 1.63 / np.sqrt(customers),
        "far": 0.05 + 3 * np.sqrt(0.05 * 0.95 / customers),
        "shares": 3 * (len(sizes) - 1) * (1 / customers + 1 / max(segmentation.customers, 1)),
    }
    said = {
        "distances": f"distances to the centres changed by {figures['distances']:.2f} (Kolmogorov-Smirnov)",
        "far": f"{figures['far']:.0%} of customers are farther out than 95 % of their segment were",
        "shares": f"sizes of the segments changed by {figures['shares']:.2f} (population stability index)",
    }
    stages = {name: sum(figures[name] > by_chance[name] + step for step in _STAGES[name]) for name in figures}
    verdict: Literal["steady", "watch", "drifted"] = ("steady", "watch", "drifted")[max(stages.values())]
    reasons = tuple(said[name] for name, stage in stages.items() if stage)
    return Drift(verdict, **figures, customers=customers, unplaced=places.unplaced, reasons=reasons)


def find_outliers(segmentation: Segmentation, places: Places) -> Array:
    """Return the rows of customers who fit nowhere, the strangest first.

    They are farther from their centre than three times the middle half of their segment's distances is wide, counted
    from its outer end (Tukey's outer fence), as the segment was when it was made.
    """
    quarter, three = segmentation.steps[:, 50], segmentation.steps[:, 150]
    fences = three + np.maximum(_FENCE * (three - quarter), _tie(segmentation))
    rows = np.flatnonzero(places.segments != NOWHERE)
    excess = places.distances[rows] / np.maximum(fences[places.segments[rows]], 1e-12)
    far = excess > 1
    strangest: Array = rows[far][np.argsort(-excess[far], kind="stable")]
    return strangest


def _tie(segmentation: Segmentation) -> float:
    return float(_TIE * max(segmentation.steps.max(), np.abs(segmentation.centres).max(), 1e-9))


def _rank(segmentation: Segmentation, segments: Array, distances: Array) -> Array:
    """Return where each distance stands among those of its segment then, from 0 to 1; equal ones in their middle."""
    ranks = np.empty(len(distances))
    tie = _tie(segmentation)
    for segment, steps in enumerate(segmentation.steps):
        mine = segments == segment
        low = np.searchsorted(steps, distances[mine] - tie, "left")
        high = np.searchsorted(steps, distances[mine] + tie, "right")
        ranks[mine] = (low + high) / 2 / len(steps)
    return ranks


def _largest_gap(segmentation: Segmentation, sizes: Array, ranks: Array) -> float:
    """Return the largest distance between the ranks now and those then, at the sizes that segments have now."""
    count, steps = segmentation.steps.shape
    then = _rank(segmentation, np.repeat(np.arange(count), steps), segmentation.steps.ravel())
    weights = np.repeat(sizes / steps, steps)
    order = np.argsort(then, kind="stable")
    then, cumulated = then[order], np.cumsum(weights[order]) / sizes.sum()
    grid = np.linspace(0, 1, 401)
    before = np.concatenate([[0.0], cumulated])[np.searchsorted(then, grid, "right")]
    now = np.searchsorted(np.sort(ranks), grid, "right") / len(ranks)
    return float(np.abs(before - now).max())


def _stability_index(segmentation: Segmentation, sizes: Array) -> float:
    """Return the population stability index; half a customer is added to each segment so that none is empty."""
    then = segmentation.shares * segmentation.customers + 0.5
    now = sizes + 0.5
    then, now = then / then.sum(), now / now.sum()
    return float(((now - then) * np.log(now / then)).sum())
