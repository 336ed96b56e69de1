"""Ids that outlive a new search: a segment of mostly the same customers keeps its id, a lost one points to another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np

from penstock.features.clustering.model import NOWHERE, Found, Segmentation

Array = np.ndarray[Any, Any]

SAME = 0.5
"""Part of the customers of two segments together that both must hold (Jaccard index) to be one and the same."""


class Carried(NamedTuple):
    """Segments under their lasting ids, and what became of the old ones.

    `kept` has the Jaccard index of each id that lives on, `retired` the id that most customers of a lost one have now
    (empty where nobody is left), `new` the ids that were not there before.
    """

    segmentation: Segmentation
    kept: dict[str, float]
    retired: dict[str, str]
    new: tuple[str, ...]


def carry_ids(found: Found, old: Segmentation, before: Array) -> Carried:
    """Give segments that were found from nothing the ids of the old segments they continue.

    `before` is the place in the old segments of each customer of `found`, −1 where it is not known:
    `old.place(customers).segments`, or `find_places` of ids that were kept elsewhere. Only customers who were and are
    somewhere count. At half or more at most one segment fits another, so nothing has to be traded off.
    """
    overlap = _count_pairs(before, found.places.segments, len(old.ids), len(found.segmentation.ids))
    together = overlap.sum(axis=1)[:, None] + overlap.sum(axis=0)[None, :] - overlap
    alike = overlap / np.maximum(together, 1)
    names: dict[int, str] = {}
    kept: dict[str, float] = {}
    pairs = sorted(zip(*np.nonzero(alike >= SAME), strict=True), key=lambda pair: (-alike[pair], pair))
    for was, now in pairs:  # two pairs can only compete where both are exactly half
        if old.ids[was] not in kept and int(now) not in names:
            names[int(now)] = old.ids[was]
            kept[old.ids[was]] = float(alike[was, now])
    number, new = old.next_number, []
    for now in range(len(found.segmentation.ids)):
        if now not in names:
            names[now] = f"s{number}"
            new.append(names[now])
            number += 1
    retired = {
        old.ids[was]: names[int(overlap[was].argmax())] if overlap[was].any() else ""
        for was in range(len(old.ids))
        if old.ids[was] not in kept
    }
    successors = {gone: retired.get(then, then) for gone, then in old.successors.items()} | retired
    ids = tuple(names[now] for now in range(len(names)))
    carried = msgspec.structs.replace(found.segmentation, ids=ids, next_number=number, successors=successors)
    return Carried(carried, kept, retired, tuple(new))


def find_places(segmentation: Segmentation, ids: Sequence[str]) -> Array:
    """Return the place of each id among the segments, −1 for ids that are not there."""
    places = {one: at for at, one in enumerate(segmentation.ids)}
    return np.fromiter((places.get(one, NOWHERE) for one in ids), np.int32, len(ids))


def _count_pairs(before: Array, now: Array, old: int, new: int) -> Array:
    both = (before != NOWHERE) & (now != NOWHERE)
    pairs = before[both].astype(np.int64) * new + now[both]
    return np.bincount(pairs, minlength=old * new).reshape(old, new)
