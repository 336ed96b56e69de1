"""The customers that segments are made of: their vectors, read in blocks, and what stands beside them."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from penstock.base.errors import InputError
from penstock.features.clustering.behaviour import Behaviour, BehaviourScale
from penstock.features.clustering.cores import blocks, each

Array = np.ndarray[Any, Any]

_TOO_LONG = 1e30
"""Square of a length whose products with others would overflow 32 bits."""


@dataclass(frozen=True)
class Customers:
    """One row a customer. Rows with NaN or infinity, and rows of zeros, are customers without a vector: never placed.

    `vectors` may lie on disk (`numpy.memmap`); they are never copied whole. `embedding` names the model that made
    them. With `keys`, the customers' ids, results do not depend on the order of the rows.
    """

    vectors: Array
    embedding: str
    keys: Sequence[str] | None = None
    behaviour: Behaviour | None = None
    _placed: dict[BehaviourScale, Array] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        is_table = isinstance(self.vectors, np.ndarray) and self.vectors.ndim == 2 and self.vectors.shape[1] > 0
        if not is_table or self.vectors.dtype.kind not in "fiu":
            raise InputError(
                "vectors are an array of numbers with one row a customer and at least one number a row",
                code="segments.shape",
            )
        lengths = {} if self.keys is None else {"keys": len(self.keys)}
        if self.behaviour is not None:
            lengths |= self.behaviour.lengths()
        for name, length in lengths.items():
            if length != len(self.vectors):
                raise InputError(
                    f"{name}: {length} values for {len(self.vectors)} customers", code="segments.shape", where=name
                )

    @property
    def width(self) -> int:
        """Numbers in a vector."""
        return int(self.vectors.shape[1])

    def read(self, rows: slice) -> Array:
        """Return some vectors in a row as float32; copied only where they are something else."""
        with np.errstate(over="ignore"):
            return np.asarray(self.vectors[rows], np.float32)

    def place_behaviour(self, scale: BehaviourScale | None) -> Array | None:
        """Return the coordinates of the behaviour, reckoned once; None where segments go by text alone."""
        if scale is None:
            return None
        if scale not in self._placed:
            self._placed[scale] = scale.place(self.behaviour)
        return self._placed[scale]

    def find_usable(self) -> Array:
        """Tell for each customer whether there is a vector to go by."""
        found = each(lambda rows: has_vector(self.read(rows)), blocks(len(self.vectors)))
        return np.concatenate([np.empty(0, np.bool_), *found])

    def draw(self, usable: Array, most: int, seed: int) -> Array:
        """Return the rows of at most so many usable customers, in random order.

        With keys the choice goes by them alone: of more customers, those drawn before are drawn again as long as
        there is room.
        """
        if not 0 <= seed < 1 << 32:
            raise InputError("a seed is a number from 0 to 4294967295", code="segments.seed")
        rows = np.flatnonzero(usable)
        if self.keys is None:
            return np.random.default_rng(seed).permutation(rows)[:most]
        keys = self.keys
        marks = np.fromiter((zlib.crc32(keys[row].encode()) for row in rows.tolist()), np.uint64, len(rows))
        marks = _scatter(marks ^ np.uint64(seed << 32))
        order = np.argsort(marks, kind="stable")[:most]
        ties = np.flatnonzero(np.diff(marks[order]) == 0)
        if len(ties):  # equal marks are rare: put in order by the keys themselves
            order = np.array(sorted(order, key=lambda at: (marks[at], keys[int(rows[at])])), np.int64)
        drawn: Array = rows[order]
        return drawn

    def take(self, rows: Array) -> Array:
        """Return the vectors of some rows as float32, in their order."""
        order = np.argsort(rows, kind="stable")
        taken = np.empty((len(rows), self.width), np.float32)
        taken[order] = self.vectors[rows[order]]
        return taken


def has_vector(block: Array) -> Array:
    """Tell for each row whether it has a length that can be reckoned with: none of NaN, infinity, or all zeros."""
    with np.errstate(over="ignore", invalid="ignore"):
        lengths = np.einsum("ij,ij->i", block, block)
    found: Array = (lengths > 0) & (lengths < _TOO_LONG)
    return found


def _scatter(marks: Array) -> Array:
    """Spread 64-bit numbers so that near ones end far apart (the finaliser of splitmix64)."""
    marks = (marks ^ (marks >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    marks = (marks ^ (marks >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    spread: Array = marks ^ (marks >> np.uint64(31))
    return spread
