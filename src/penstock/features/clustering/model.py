"""Segments that were found: kept as bytes, they place customers at once, and can follow them from where they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeVar

import msgspec
import numpy as np

from penstock.base.errors import InputError
from penstock.features.clustering.behaviour import learn_scale
from penstock.features.clustering.cores import blocks, calmly, each
from penstock.features.clustering.customers import Customers, has_vector
from penstock.features.clustering.kmeans import RESTARTS, add_up, find_clusters, nearest
from penstock.features.clustering.space import DIMENSIONS, Space, learn_space

Array = np.ndarray[Any, Any]
T = TypeVar("T")

FORMAT = 1
NOWHERE = -1
"""The place of a customer without a vector."""
_SAMPLE_PER_SEGMENT = 400
_SMALLEST_SAMPLE = 10_000
_MOST_PASSES = 10
_ENOUGH = 1e-3
"""Relative gain of a pass below which segments stay where they are: less would only swap customers on borders."""
_STEPS = np.linspace(0, 1, 201)


class Places(NamedTuple):
    """Where each customer is: the number of the segment (−1 without a vector), and the distance to its centre."""

    segments: Array
    distances: Array

    def sizes(self, segments: int) -> Array:
        """Return the number of customers of each segment."""
        return np.bincount(self.segments[self.segments != NOWHERE], minlength=segments)

    @property
    def unplaced(self) -> int:
        """Customers without a vector."""
        return int((self.segments == NOWHERE).sum())


class Segmentation(msgspec.Struct, frozen=True):
    """Segments with lasting ids; all that is needed to place a customer, and to tell whether customers have changed."""

    format: int
    embedding: str
    space: Space
    centres: Array
    ids: tuple[str, ...]
    next_number: int
    successors: dict[str, str]
    """Ids that are no more, each with the id that most of its customers have now; empty where nobody is left."""
    shares: Array
    """Part of the customers in each segment when it was made."""
    steps: Array
    """Distances to the own centre when it was made, for each segment at 201 even steps from nearest to farthest."""
    customers: int
    seed: int

    def to_bytes(self) -> bytes:
        """Return the whole as bytes."""
        return msgspec.msgpack.encode(self, enc_hook=_pack)

    @classmethod
    def from_bytes(cls, data: bytes) -> Segmentation:
        """Read what `to_bytes` gave; raises `InputError` for anything else and for other versions."""
        try:
            version = msgspec.msgpack.decode(data, type=_Version).format
            if version == FORMAT:
                read = msgspec.msgpack.decode(data, type=cls, dec_hook=_unpack)
                if len({len(read.ids), len(read.centres), len(read.shares), len(read.steps)}) > 1:
                    raise ValueError("lists of different lengths")
                return read
        except (msgspec.MsgspecError, ValueError, TypeError) as error:
            raise InputError("these bytes are no segments", code="segments.unreadable") from error
        raise InputError(
            f"these segments are of format {version}, this program reads format {FORMAT}",
            code="segments.version",
            hint="Make the segments anew, or use the program that made them.",
        )

    @calmly
    def place(self, customers: Customers) -> Places:
        """Place customers at their nearest centre; nothing moves. Raises `InputError` for other vectors or fields."""
        self.require(customers)
        segments = np.full(len(customers.vectors), NOWHERE, np.int32)
        distances = np.full(len(customers.vectors), np.nan, np.float32)

        def place(rows: slice, usable: Array, points: Array) -> None:
            labels, gaps = nearest(points, self.centres)
            segments[rows][usable] = labels
            distances[rows][usable] = np.sqrt(gaps)

        list(each_block(self.space, customers, place))
        return Places(segments, distances)

    def require(self, customers: Customers) -> None:
        """Raise `InputError` unless the vectors are of the same model and width as those of the segments."""
        mine = (self.embedding, len(self.space.mean))
        theirs = (customers.embedding, customers.width)
        if mine != theirs:
            raise InputError(
                f"the segments were made from vectors of {mine[0]} with {mine[1]} numbers, these are of {theirs[0]} "
                f"with {theirs[1]}: they cannot be compared",
                code="segments.other-vectors",
                hint="Embed with the model and dimensions of the segments, or make the segments anew.",
            )

    def weights(self) -> dict[str, float]:
        """Return the part of the text, and of each field of behaviour, in the distance between customers."""
        return {"text": 1.0} if self.space.behaviour is None else self.space.behaviour.weights()


class Found(NamedTuple):
    """Segments, and where the customers are that they were found with."""

    segmentation: Segmentation
    places: Places


@calmly
def find_segments(
    customers: Customers, count: int, *, dimensions: int = DIMENSIONS, seed: int = 7, restarts: int = RESTARTS
) -> Found:
    """Find segments from nothing, the largest first; raises `InputError` where there are not that many to tell apart.

    Found on a sample of 400 customers a segment (10,000 at least), moved once to the means of all, then everybody is
    placed. The same customers, keys and seed give the same segments whatever the order of the rows, but for rounding;
    without keys the order counts.
    """
    if count < 1 or dimensions < 1 or restarts < 1:
        raise InputError("segments, dimensions and restarts are 1 or more", code="segments.count")
    space, points = learn_points(customers, max(count * _SAMPLE_PER_SEGMENT, _SMALLEST_SAMPLE), dimensions, seed)
    different = count_different(points, count)
    if different < count:
        raise InputError(
            f"{count} segments of {different} different customers cannot be made",
            code="segments.too-few",
            hint=f"Ask for {different} or fewer segments, or give more customers or fields.",
        )
    centres = find_clusters(points, count, seed, restarts).centres
    rough = Segmentation(FORMAT, customers.embedding, space, centres, (), 1, {}, centres, centres, 0, seed)
    if len(customers.vectors) > len(points):
        rough, _ = _move(rough, customers)
    places = rough.place(customers)
    order = np.argsort(-places.sizes(count), kind="stable")
    ranks = np.empty(count, np.int32)
    ranks[order] = np.arange(count)
    placed = places.segments != NOWHERE
    places.segments[placed] = ranks[places.segments[placed]]
    ids = tuple(f"s{number}" for number in range(1, count + 1))
    named = msgspec.structs.replace(rough, centres=rough.centres[order], ids=ids, next_number=count + 1)
    return Found(_note(named, places), places)


@calmly
def refresh(segmentation: Segmentation, customers: Customers) -> Found:
    """Let the segments follow their customers: from the old centres to the new, ids kept, the space unchanged."""
    segmentation.require(customers)
    before = np.inf
    for _ in range(_MOST_PASSES):
        moved, inertia = _move(segmentation, customers)
        if before - inertia <= _ENOUGH * inertia:
            break
        before, segmentation = inertia, moved
    places = segmentation.place(customers)
    if places.unplaced == len(customers.vectors):
        raise _nobody()
    return Found(_note(segmentation, places), places)


def _move(segmentation: Segmentation, customers: Customers) -> tuple[Segmentation, float]:
    """Move each centre to the mean of its customers, and return what their squared distances were before."""
    old = segmentation.centres

    def work(_rows: slice, _usable: Array, points: Array) -> tuple[Array, Array, float]:
        labels, gaps = nearest(points, old)
        return *add_up(points, labels, len(old)), float(gaps.sum(dtype=np.float64))

    sums, sizes, inertia = np.zeros(old.shape), np.zeros(len(old)), 0.0
    for part in each_block(segmentation.space, customers, work):
        sums, sizes, inertia = sums + part[0], sizes + part[1], inertia + part[2]
    means = sums / np.maximum(sizes, 1)[:, None]
    centres = np.where(sizes[:, None] > 0, means, old).astype(np.float32)
    return msgspec.structs.replace(segmentation, centres=centres), inertia


def learn_points(customers: Customers, most: int, dimensions: int, seed: int) -> tuple[Space, Array]:
    """Return the space of the customers, learnt from a sample, and the points of that sample in random order."""
    rows = customers.draw(customers.find_usable(), most, seed)
    if not len(rows):
        raise _nobody()
    behaviour = None if customers.behaviour is None else learn_scale(customers.behaviour, rows)
    space = learn_space(customers.take(rows), dimensions, behaviour)
    return space, place_rows(space, customers, rows)


def place_rows(space: Space, customers: Customers, rows: Array) -> Array:
    """Return the points of some customers who have a vector."""
    columns = customers.place_behaviour(space.behaviour)
    return space.place(customers.take(rows), None if columns is None else columns[rows])


def each_block(space: Space, customers: Customers, work: Callable[[slice, Array, Array], T]) -> Iterator[T]:
    """Do work on the customers in blocks: their rows, which of them have a vector, and the points of those."""
    columns = customers.place_behaviour(space.behaviour)

    def place(rows: slice) -> T:
        block = customers.read(rows)
        usable = has_vector(block)
        here = block if usable.all() else block[usable]
        return work(rows, usable, space.place(here, None if columns is None else columns[rows][usable]))

    return each(place, blocks(len(customers.vectors)))


def count_different(points: Array, most: int) -> int:
    """Return how many points differ, and stop counting at `most`."""
    seen: set[bytes] = set()
    for point in points:
        seen.add(point.tobytes())
        if len(seen) >= most:
            break
    return len(seen)


def _note(segmentation: Segmentation, places: Places) -> Segmentation:
    """Note how the customers lie now, for later comparison."""
    count = len(segmentation.ids)
    sizes = places.sizes(count)
    steps = np.zeros((count, len(_STEPS)), np.float32)
    for segment in np.flatnonzero(sizes):
        steps[segment] = np.quantile(places.distances[places.segments == segment], _STEPS)
    shares = sizes / max(int(sizes.sum()), 1)
    return msgspec.structs.replace(segmentation, shares=shares, steps=steps, customers=int(sizes.sum()))


def _nobody() -> InputError:
    return InputError(
        "no customer has a vector", code="segments.nobody", hint="See which texts could not be embedded, and why."
    )


class _Version(msgspec.Struct):
    format: int


def _pack(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return [value.dtype.str, list(value.shape), np.ascontiguousarray(value).tobytes()]
    raise TypeError(f"a segmentation holds no {type(value).__name__}")


def _unpack(_: type, value: Any) -> Any:
    dtype, shape, data = value
    if dtype not in {"<f4", "<f8"}:
        raise ValueError(f"an array of {dtype}")
    return np.frombuffer(data, dtype).reshape(shape)
