"""Customers whose groups are known, for segments."""

import numpy as np
from sklearn.metrics import adjusted_rand_score

from penstock.features.clustering.model import FORMAT, Found, Places, Segmentation
from penstock.features.clustering.space import Space


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


def make_found(places, ids, next_number=None, successors=None):
    """Return segments of which only the ids count, with customers in these places."""
    space = Space(np.zeros(1, np.float32), np.ones((1, 1), np.float32), 1.0, 1.0)
    centres = np.zeros((len(ids), 1), np.float32)
    segmentation = Segmentation(
        FORMAT,
        "embedder",
        space,
        centres,
        tuple(ids),
        next_number or len(ids) + 1,
        successors or {},
        centres,
        centres,
        len(places),
        7,
    )
    return Found(segmentation, Places(np.array(places, np.int32), np.zeros(len(places), np.float32)))
