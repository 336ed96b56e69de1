"""A map of the customers: a place in the plane for each, near for near ones."""

from __future__ import annotations

import logging
from typing import Any, Literal, NamedTuple

import numpy as np

from penstock.base.errors import InputError, SettingsError
from penstock.features.clustering.cores import blocks, calmly
from penstock.features.clustering.customers import Customers
from penstock.features.clustering.model import Segmentation, each_block, place_rows
from penstock.features.clustering.space import learn_space

Array = np.ndarray[Any, Any]
Method = Literal["directions", "neighbours"]

MOST = 50_000
_NEIGHBOURS = 5
_ANCHORS = 5_000
"""Drawn customers that the others look for neighbours among."""
_AT_ONCE = 512
_FEWEST = 50
"""Customers below which there are not neighbours enough to draw by."""


class Map(NamedTuple):
    """A place for each customer, float32 of n × 2, NaN without a vector; how it was made, and how to read it."""

    places: Array
    method: Method
    note: str


@calmly
def draw_map(
    segmentation: Segmentation, customers: Customers, method: Method | None = None, *, most: int = MOST, seed: int = 7
) -> Map:
    """Draw the customers in the space of their segments.

    `neighbours` (LocalMAP, package pacmap) keeps neighbourhoods and is taken where it is installed; `directions` are
    the two main ones of the space. At most so many customers are drawn by neighbours, the others go between the drawn
    ones that they are nearest to. Fewer than 50 are always drawn by directions. Raises `SettingsError` for
    `neighbours` without the package.
    """
    segmentation.require(customers)
    rows = customers.draw(customers.find_usable(), most, seed)
    if not len(rows):
        raise InputError("no customer has a vector", code="segments.nobody")
    drawn = place_rows(segmentation.space, customers, rows)
    is_plain = method == "directions" or len(rows) < _FEWEST
    local_map = None if is_plain else _load_local_map(is_needed=method == "neighbours")
    if local_map is None:
        return _draw_directions(segmentation, customers, drawn)
    picture = _fit_local_map(local_map, drawn, seed)
    places = _place_between(segmentation, customers, drawn[:_ANCHORS], picture[:_ANCHORS])
    places[rows] = picture
    note = (
        "Neighbours on this map are alike. Distances between groups that lie apart, and the sizes of their areas, "
        "mean nothing."
    )
    return Map(places, "neighbours", note)


def _draw_directions(segmentation: Segmentation, customers: Customers, drawn: Array) -> Map:
    flat = learn_space(drawn, 2)
    places = np.full((len(customers.vectors), 2), np.nan, np.float32)

    def place(rows: slice, usable: Array, points: Array) -> None:
        found = np.zeros((len(points), 2), np.float32)
        found[:, : flat.axes.shape[1]] = flat.place(points, None)
        places[rows][usable] = found

    list(each_block(segmentation.space, customers, place))
    note = (
        f"The two main directions, which show {flat.kept:.0%} of the differences: customers who lie apart are "
        "different, those who lie together may still differ in what is not shown."
    )
    return Map(places, "directions", note)


def _place_between(segmentation: Segmentation, customers: Customers, anchors: Array, picture: Array) -> Array:
    """Place every customer at the mean of its five nearest anchors, nearer ones counting more."""
    places = np.full((len(customers.vectors), 2), np.nan, np.float32)
    few = min(_NEIGHBOURS, len(anchors))
    squares = np.einsum("ij,ij->i", anchors, anchors)

    def place(rows: slice, usable: Array, points: Array) -> None:
        found = np.empty((len(points), 2), np.float32)
        for part in blocks(len(points), _AT_ONCE):
            gaps = points[part] @ (-2 * anchors.T)
            gaps += squares
            near = np.argpartition(gaps, few - 1, axis=1)[:, :few]
            apart = np.take_along_axis(gaps, near, 1) + np.einsum("ij,ij->i", points[part], points[part])[:, None]
            weights = 1 / np.maximum(np.sqrt(np.maximum(apart, 0)), 1e-6)
            weights /= weights.sum(axis=1, keepdims=True)
            found[part] = np.einsum("ij,ijk->ik", weights, picture[near])
        places[rows][usable] = found

    list(each_block(segmentation.space, customers, place))
    return places


def _fit_local_map(local_map: Any, points: Array, seed: int) -> Array:
    """Return the picture of some points; its two axes are centred, the wider one first."""
    neighbours = max(2, min(10, len(points) // 10))
    reducer = local_map(n_components=2, n_neighbors=neighbours, random_state=seed, apply_pca=False, verbose=False)
    picture = np.asarray(reducer.fit_transform(points, init="pca"), np.float32)
    turned: Array = learn_space(picture, 2).place(picture, None)
    return turned if turned.shape[1] == 2 else picture


def _load_local_map(*, is_needed: bool) -> Any:
    try:
        from pacmap import LocalMAP
    except ImportError as error:
        if not is_needed:
            return None
        raise SettingsError(
            "a map by neighbours needs the package pacmap", code="settings.extra", hint="pip install 'penstock[map]'"
        ) from error
    logging.getLogger("pacmap").setLevel(logging.ERROR)  # it warns of what is asked of it
    return LocalMAP
