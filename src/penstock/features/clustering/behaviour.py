"""Behaviour beside the text: recency, orders, spend and categories, brought to one scale, with weights to be seen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np

from penstock.base.errors import InputError

Array = np.ndarray[Any, Any]

SHARE = 0.3
MOST_VALUES = 20
"""Values of a category that are told apart; rarer ones count as one."""
_FARTHEST = 3.0
"""Standard deviations at which a number is cut off, so that one huge order makes no segment of its own."""
_SKEWED = 1.0
OTHER = "(other)"


@dataclass(frozen=True)
class Behaviour:
    """Columns of the same customers. None and NaN are unknown, and stand in the middle.

    `categories` hold a name, or several for a customer, such as the shelves that were bought from. `share` is the part
    that behaviour has in the distance between customers, the rest is the text; `weights` divides it among the fields,
    1 for each that is not named.
    """

    numbers: Mapping[str, Sequence[float | None] | Array] = field(default_factory=dict)
    categories: Mapping[str, Sequence[str | Collection[str] | None]] = field(default_factory=dict)
    share: float = SHARE
    weights: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        names = [*self.numbers, *self.categories]
        if not 0 < self.share < 1:
            raise InputError(f"share: {self.share} is not between 0 and 1", code="segments.weight")
        if len(set(names)) < len(names) or "text" in names:
            raise InputError(
                "a field of the behaviour is a number or a category, not both, and not called text",
                code="segments.weight",
            )
        for name, weight in self.weights.items():
            if name not in names or not 0 <= weight < float("inf"):
                raise InputError(
                    f"weights: {name} must be a field of the behaviour, its weight zero or more",
                    code="segments.weight",
                    where=name,
                )
        if not any(self.weights.get(name, 1) for name in names):
            raise InputError("behaviour needs a field that has weight", code="segments.weight")

    def lengths(self) -> dict[str, int]:
        """Return how many values each field has."""
        return {name: len(values) for name, values in (*self.numbers.items(), *self.categories.items())}


class NumberScale(msgspec.Struct, frozen=True):
    """How a number becomes a coordinate: logarithm where it is skewed, then in standard deviations."""

    name: str
    is_log: bool
    middle: float
    spread: float
    weight: float


class CategoryScale(msgspec.Struct, frozen=True):
    """How a category becomes coordinates: one for each value, together with a variance of one."""

    name: str
    values: tuple[str, ...]
    middles: tuple[float, ...]
    spread: float
    weight: float


class BehaviourScale(msgspec.Struct, frozen=True):
    """What was learnt about the columns; equal columns are placed equally ever after."""

    share: float
    numbers: tuple[NumberScale, ...]
    categories: tuple[CategoryScale, ...]

    def weights(self) -> dict[str, float]:
        """Return the part of each field, and of the text, in the distance between customers; together 1."""
        fields: tuple[NumberScale | CategoryScale, ...] = (*self.numbers, *self.categories)
        total = sum(one.weight for one in fields)
        return {"text": 1 - self.share} | {one.name: self.share * one.weight / total for one in fields}

    def place(self, behaviour: Behaviour | None) -> Array:
        """Return the coordinates, float32; raises `InputError` where a field is missing that the segments go by."""
        here = {} if behaviour is None else {**behaviour.numbers, **behaviour.categories}
        gone = [name for name in self.weights() if name != "text" and name not in here]
        if gone or behaviour is None:
            raise InputError(
                f"the segments were made with the fields {', '.join(gone)}, which are not there",
                code="segments.no-field",
                hint="Give the same fields, or make the segments anew without them.",
            )
        parts = self.weights()
        customers = next(iter(behaviour.lengths().values()))
        placed = np.zeros((customers, len(self.numbers) + sum(len(one.values) for one in self.categories)), np.float32)
        for at, number in enumerate(self.numbers):
            placed[:, at] = _scaled(number, behaviour.numbers[number.name]) * np.sqrt(parts[number.name])
        start = len(self.numbers)
        for one in self.categories:
            columns = placed[:, start : start + len(one.values)]
            _spread_out(one.values, behaviour.categories[one.name], columns)
            columns -= np.array(one.middles, np.float32)
            columns *= np.float32(np.sqrt(parts[one.name]) / one.spread)
            start += len(one.values)
        return placed


def learn_scale(behaviour: Behaviour, rows: Array) -> BehaviourScale:
    """Learn from some rows how the columns are brought to one scale."""
    numbers = [
        _learn_number(name, _to_floats(name, values)[rows], behaviour.weights.get(name, 1.0))
        for name, values in sorted(behaviour.numbers.items())
    ]
    categories = [
        _learn_category(name, [values[row] for row in rows], behaviour.weights.get(name, 1.0))
        for name, values in sorted(behaviour.categories.items())
    ]
    return BehaviourScale(behaviour.share, tuple(numbers), tuple(categories))


def _to_floats(name: str, values: Sequence[float | None] | Array) -> Array:
    try:
        if isinstance(values, np.ndarray) and values.dtype.kind in "fiub":
            return values.astype(np.float64)
        return np.array([np.nan if value is None else value for value in values], np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} holds something that is no number", code="segments.no-number", where=name) from error


def _learn_number(name: str, values: Array, weight: float) -> NumberScale:
    known = values[np.isfinite(values)]
    if not len(known):
        return NumberScale(name, False, 0.0, 1.0, weight)
    middle, spread = float(known.mean()), float(known.std())
    is_log = bool(spread and known.min() >= 0 and (((known - middle) / spread) ** 3).mean() > _SKEWED)
    if is_log:
        known = np.log1p(known)
        middle, spread = float(known.mean()), float(known.std())
    return NumberScale(name, is_log, middle, spread or 1.0, weight)


def _scaled(scale: NumberScale, values: Sequence[float | None] | Array) -> Array:
    column = _to_floats(scale.name, values)
    if scale.is_log:
        column = np.log1p(np.maximum(column, 0))
    column = (column - scale.middle) / scale.spread
    clipped: Array = np.clip(np.where(np.isnan(column), 0.0, column), -_FARTHEST, _FARTHEST)
    return clipped


def _learn_category(name: str, values: Sequence[str | Collection[str] | None], weight: float) -> CategoryScale:
    counts = Counter(value for given in values for value in _several(given))
    named = sorted(counts, key=lambda value: (-counts[value], value))
    kept = tuple(sorted(named[:MOST_VALUES])) + ((OTHER,) if len(named) > MOST_VALUES else ())
    if not kept:
        return CategoryScale(name, (OTHER,), (0.0,), 1.0, weight)
    columns = np.zeros((len(values), len(kept)))
    _spread_out(kept, values, columns)
    return CategoryScale(
        name, kept, tuple(map(float, columns.mean(axis=0))), float(np.sqrt(columns.var(axis=0).sum())) or 1.0, weight
    )


def _several(given: str | Collection[str] | None) -> set[str]:
    if given is None:
        return set()
    return {given} if isinstance(given, str) else set(given)


def _spread_out(values: tuple[str, ...], given: Sequence[str | Collection[str] | None], columns: Array) -> None:
    """Fill a column of zeros for each value with the part that it has in what a customer holds."""
    places = {value: at for at, value in enumerate(values)}
    other = places.get(OTHER)
    for row, one in enumerate(given):
        if isinstance(one, str):
            at = places.get(one, other)
            if at is not None:
                columns[row, at] = 1
            continue
        held = _several(one)
        for value in held:
            at = places.get(value, other)
            if at is not None:
                columns[row, at] += 1 / len(held)
