"""Customers whose groups are known, for segments."""

import numpy as np
from sklearn.metrics import adjusted_rand_score


def make_blobs(customers, width, groups, *, seed=1, spread=0.15, uneven=False):
    """Return vectors of length one around so many directions, and the group of each."""
    chance = np.random.default_rng(seed)
    centres = chance.standard_normal((groups, width))
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    parts = np.arange(groups, 0, -1.0) if uneven else np.ones(groups)
    truth = chance.choice(groups, customers, p=parts / parts.sum())
    vectors = centres[truth] + chance.standard_normal((customers, width)) * spread / np.sqrt(width)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float32), truth


def agree(some, others):
    """Return the adjusted Rand index, by another hand."""
    return adjusted_rand_score(others, some)
