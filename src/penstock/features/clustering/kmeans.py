"""K-means on points that fit into memory: k-means++ starts, a race of several, the best one run to its end."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from penstock.features.clustering.cores import blocks, each

Array = np.ndarray[Any, Any]

RESTARTS = 10
_FIRST_ROUNDS = 4
"""Rounds that every start gets; what is ahead then nearly always stays ahead, and only that is run to its end."""
_FINALISTS = 2
_RACE_POINTS = 100
_FEWEST_RACE_POINTS = 4_000
"""Points a centre, and at all, that the race is run on."""
_MOST_ROUNDS = 100
_ENOUGH = 1e-5
"""Relative gain of a round below which the centres are where they will be."""


class Clusters(NamedTuple):
    """Centres, float32 of k × dimensions; the sum of squared distances to the nearest; rounds that were needed."""

    centres: Array
    inertia: float
    rounds: int


def find_clusters(points: Array, count: int, seed: int = 7, restarts: int = RESTARTS) -> Clusters:
    """Return the best of several starts; the same points, in the same order, and seed give the same centres.

    `points` are float32, finite, in random order, and at least `count` of them differ.
    """
    some = points[: max(_RACE_POINTS * count, _FEWEST_RACE_POINTS)]
    if len(np.unique(some, axis=0)) < count:
        some = points
    squares = _squares(some)

    def start(chance: np.random.Generator) -> Clusters:
        return improve(some, _choose_starts(some, squares, count, chance), _FIRST_ROUNDS)

    starts = sorted(each(start, np.random.default_rng(seed).spawn(restarts)), key=lambda one: one.inertia)
    ends = each(lambda one: improve(points, one.centres), starts[:_FINALISTS])
    return min(ends, key=lambda end: end.inertia)


def improve(points: Array, centres: Array, rounds: int = _MOST_ROUNDS) -> Clusters:
    """Move centres to the mean of their points until nothing is gained; a centre without points goes to a far one."""
    squares = _squares(points)
    before = np.inf
    for number in range(1, rounds + 1):
        gaps, sums, sizes = _look(points, centres, squares)
        inertia = float(gaps.sum(dtype=np.float64))
        if before - inertia <= _ENOUGH * inertia:
            return Clusters(centres, inertia, number)
        before = inertia
        centres = _move(points, gaps, sums, sizes)
    return Clusters(centres, float(_look(points, centres, squares)[0].sum(dtype=np.float64)), rounds)


def nearest(points: Array, centres: Array, squares: Array | None = None) -> tuple[Array, Array]:
    """Return the place of each point's nearest centre, and the squared distance to it."""
    scores = points @ (-2 * centres.T)
    scores += _squares(centres)
    labels = scores.argmin(axis=1)
    gaps = scores[np.arange(len(points)), labels] + (_squares(points) if squares is None else squares)
    return labels, np.maximum(gaps, 0, out=gaps)


def add_up(points: Array, labels: Array, count: int) -> tuple[Array, Array]:
    """Return the sum of the points of each label, and their number."""
    members = np.zeros((count, len(points)), np.float32)
    members[labels, np.arange(len(points))] = 1
    return members @ points, np.bincount(labels, minlength=count)


def _squares(points: Array) -> Array:
    found: Array = np.einsum("ij,ij->i", points, points)
    return found


def _look(points: Array, centres: Array, squares: Array) -> tuple[Array, Array, Array]:
    """Return the squared distance of each point to its nearest centre, and sum and number of the points of each."""
    gaps = np.empty(len(points), np.float32)
    sums, sizes = np.zeros(centres.shape), np.zeros(len(centres), np.int64)
    for rows in blocks(len(points)):
        labels, gaps[rows] = nearest(points[rows], centres, squares[rows])
        found = add_up(points[rows], labels, len(centres))
        sums, sizes = sums + found[0], sizes + found[1]
    return gaps, sums, sizes


def _move(points: Array, gaps: Array, sums: Array, sizes: Array) -> Array:
    moved: Array = (sums / np.maximum(sizes, 1)[:, None]).astype(np.float32)
    empty = np.flatnonzero(sizes == 0)
    if len(empty):
        moved[empty] = points[np.argsort(gaps, kind="stable")[::-1][: len(empty)]]
    return moved


def _choose_starts(points: Array, squares: Array, count: int, chance: np.random.Generator) -> Array:
    """Choose centres far apart: each by chance in proportion to the squared distance to the nearest so far.

    Of a few drawn each time the one that gains most is taken (Arthur and Vassilvitskii, 2007, greedy form).
    """
    tries = 2 + int(np.log(count))
    chosen = [int(chance.integers(len(points)))]
    gaps = _gaps(points, squares, chosen)[0]
    while len(chosen) < count:
        steps = np.cumsum(gaps, dtype=np.float64)
        drawn = np.searchsorted(steps, chance.random(tries) * steps[-1])
        offers = np.minimum(_gaps(points, squares, np.minimum(drawn, len(points) - 1)), gaps)
        best = int(offers.sum(axis=1, dtype=np.float64).argmin())
        chosen.append(int(drawn[best]))
        gaps = offers[best]
    taken: Array = points[chosen]
    return taken


def _gaps(points: Array, squares: Array, places: Any) -> Array:
    offered = points[places]
    gaps = offered @ points.T
    gaps *= -2
    gaps += squares
    gaps += squares[places][:, None]
    kept: Array = np.maximum(gaps, 0, out=gaps)
    return kept
