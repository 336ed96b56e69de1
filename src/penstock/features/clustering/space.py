"""The space in which customers are near or far: the main directions of their vectors, and behaviour beside them."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from penstock.features.clustering.behaviour import BehaviourScale

Array = np.ndarray[Any, Any]

DIMENSIONS = 64
_NOTHING = 1e-10
"""Part of the whole variance below which a direction is rounding."""


class Space(msgspec.Struct, frozen=True):
    """Takes the mean off, keeps the main directions without stretching them, and puts behaviour beside."""

    mean: Array
    axes: Array
    """Vector width × dimensions kept."""
    scale: float
    """What text coordinates are multiplied by, so that text and behaviour have their parts in the distance."""
    kept: float
    """Part of the variance of the vectors that the directions keep."""
    behaviour: BehaviourScale | None = None

    def place(self, vectors: Array, columns: Array | None) -> Array:
        """Return the points of some customers; `columns` are their rows of `BehaviourScale.place`."""
        points = (vectors - self.mean) @ self.axes
        if columns is None:
            return points
        points *= np.float32(self.scale)
        return np.hstack([points, columns])


def learn_space(vectors: Array, dimensions: int = DIMENSIONS, behaviour: BehaviourScale | None = None) -> Space:
    """Find the main directions of some vectors (principal components; whitening them does harm and is not done)."""
    mean = vectors.mean(axis=0, dtype=np.float64).astype(np.float32)
    centred = vectors - mean
    if len(centred) <= centred.shape[1]:
        _, lengths, directions = np.linalg.svd(centred.astype(np.float64), full_matrices=False)
        variances, axes = lengths**2 / len(centred), directions.T
    else:
        variances, axes = np.linalg.eigh((centred.T @ centred).astype(np.float64) / len(centred))
        variances, axes = np.maximum(variances[::-1], 0), axes[:, ::-1]
    total = float(variances.sum())
    count = max(1, min(dimensions, int((variances > _NOTHING * total).sum())))
    axes = axes[:, :count]
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(count)])  # a direction has no sign: choose one
    held = float(variances[:count].sum())
    scale = 1.0
    if behaviour is not None and held > 0:
        scale = float(np.sqrt((1 - behaviour.share) / held))
    kept = held / total if total > 0 else 1.0
    return Space(mean, np.ascontiguousarray(axes, np.float32), scale, kept, behaviour)
