"""Customers to show to whoever names a segment: some inside, others to test the name on, and near ones outside."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from penstock.features.clustering.customers import Customers
from penstock.features.clustering.model import NOWHERE, Places, Segmentation

Array = np.ndarray[Any, Any]

MOST = 12


class Examples(NamedTuple):
    """Rows of customers: members that are typical, typical members held back, and members of the nearest segments."""

    members: Array
    held_back: Array
    outside: Array


def pick_examples(segmentation: Segmentation, customers: Customers, places: Places, most: int = MOST) -> list[Examples]:
    """Return up to so many of each kind for each segment.

    Typical is the nearer half of a segment. Of those the choice goes by the customers' keys, so that it is nearly the
    same tomorrow: a name that is kept with its examples need not be asked for again.
    """
    order = customers.draw(places.segments != NOWHERE, len(places.segments), segmentation.seed)
    typical = []
    for at, steps in enumerate(segmentation.steps):
        mine = order[places.segments[order] == at]
        near = mine[places.distances[mine] <= steps[len(steps) // 2]]
        typical.append(near if len(near) >= min(most, len(mine)) else mine)
    gaps = np.linalg.norm(segmentation.centres[:, None] - segmentation.centres[None], axis=2)
    np.fill_diagonal(gaps, np.inf)
    found = []
    for at, mine in enumerate(typical):
        nearest = [other for other in np.argsort(gaps[at], kind="stable")[:2] if other != at]
        share = -(-most // max(len(nearest), 1))
        outside = np.concatenate([np.empty(0, np.int64), *(typical[other][:share] for other in nearest)])[:most]
        held_back = mine[most : 2 * most] if len(mine) >= 2 * most else mine[len(mine) // 2 :]
        found.append(Examples(mine[: min(most, len(mine) - len(held_back))], held_back, outside))
    return found
