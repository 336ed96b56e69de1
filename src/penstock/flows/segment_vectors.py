"""The vectors of customers: each description bought once, laid on disk row by row, so that memory stays small."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from penstock.base.errors import InputError
from penstock.base.types import Usage
from penstock.operations.declare import ModelChoice
from penstock.operations.parcels import Item, make_ask, measure
from penstock.operations.vectors import PAGE, Block, Embedder
from penstock.runtime.call import Caller, Estimate

_BLOCK = 50_000


async def estimate_vectors(
    caller: Caller, choice: ModelChoice, texts: Sequence[str], dimensions: int | None
) -> Estimate:
    """Say what the vectors that are not held cost."""
    tokens = 0
    for start in range(0, len(texts), PAGE):
        page = texts[start : start + PAGE]
        held = await caller.recall(make_ask(choice, page, 0, dimensions, frozenset()))
        for text, one in zip(page, held, strict=True):
            if one is None:
                item = Item(text)
                measure(item, choice)
                tokens += item.tokens
    if not tokens:
        return Estimate(0, 0)
    price = caller.price(make_ask(choice, [], tokens, dimensions, frozenset()), Usage(input=tokens))
    return Estimate(price, None if price is None else max(price, 1))  # a call that is free is a call all the same


class Vectors:
    """Collects the vectors of customers in files of `folder`."""

    def __init__(self, caller: Caller, choice: ModelChoice, dimensions: int | None, folder: Path) -> None:
        self._caller = caller
        self._choice = choice
        self._dimensions = dimensions
        self._folder = folder

    async def collect(self, texts: Sequence[str], places: Sequence[int], *, flow: str, run: str) -> Any:
        """Return one row a customer, by the place of the text; NaN for who has none, or whose text was refused.

        What is bought is booked under `flow` and `run`. Raises `InputError` where nobody has a vector.
        """
        asker = Embedder(self._caller, self._choice, dimensions=self._dimensions, flow=flow, run=run)
        unique: Any = None
        if texts:
            async for block in asker.stream(texts):
                if unique is None and block.dimensions:
                    unique = self._open("texts", (len(texts), block.dimensions))
                    unique[: block.start] = np.nan
                if unique is not None:
                    unique[block.start : block.start + len(block.rows)] = _rows_of(block, unique.shape[1])
        if unique is None:
            raise InputError(
                "no customer has a vector",
                code="segments.nobody",
                hint="List fields under `describe` that hold something; who objects is left out.",
            )
        matrix = self._open("customers", (len(places), unique.shape[1]))
        index = np.array(places, np.int64)
        for start in range(0, len(index), _BLOCK):
            part = index[start : start + _BLOCK]
            rows = unique[np.maximum(part, 0)]
            rows[part < 0] = np.nan
            matrix[start : start + len(part)] = rows
        return matrix

    def _open(self, name: str, shape: tuple[int, int]) -> Any:
        return np.memmap(self._folder / name, np.float32, "w+", shape=shape)


def _rows_of(block: Block, width: int) -> Any:
    """Return the vectors of a block; one of refused texts only has none."""
    return block.matrix if block.dimensions == width else np.full((len(block.rows), width), np.nan, np.float32)
