"""Recency, frequency and money in thirds: an explanation of every customer, and what is left below the data minimum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from penstock.features.customer_value.rows import Floats, Integers
from penstock.features.customer_value.summaries import Summaries

NAMES = {
    "best": "ordered lately and often",
    "regular": "orders often, not just now",
    "new": "ordered lately, few orders so far",
    "slipping": "ordered often, long ago",
    "occasional": "few orders, not lately and not long ago",
    "past": "few orders, long ago",
}


@dataclass(frozen=True)
class Rfm:
    """Scores from 1 (lowest third) to 3 for each customer, and the name of the group; not a forecast."""

    recency: Integers
    frequency: Integers
    money: Integers | None
    names: npt.NDArray[Any]


def score(summaries: Summaries) -> Rfm:
    """Score customers by thirds; equal customers get equal scores, and all the same is 2 for everyone."""
    recency = thirds(summaries.last.astype(np.float64))
    frequency = thirds(summaries.orders.astype(np.float64))
    money = thirds(summaries.net) if summaries.has_value else None
    table = np.array([["past", "occasional", "new"], ["past", "occasional", "new"], ["slipping", "regular", "best"]])
    return Rfm(recency, frequency, money, table[frequency - 1, recency - 1])


def thirds(values: Floats) -> Integers:
    """Return 1, 2 or 3 by the middle rank of each value among all."""
    if not len(values):
        return np.empty(0, np.int64)
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    middle = (np.cumsum(counts) - counts / 2) / len(values)
    return np.asarray(np.minimum(np.floor(middle[places] * 3), 2) + 1, np.int64)
