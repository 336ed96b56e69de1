"""Segments of customers from their descriptions and behaviour: found, placed or followed, and told apart.

What is said of them is made here without a call: words, profiles, drift, outliers, a picture.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime
from functools import lru_cache
from math import isfinite
from typing import Any, NamedTuple

import msgspec
import numpy as np

from penstock.base.errors import InputError
from penstock.features.clustering.behaviour import Behaviour, BehaviourScale
from penstock.features.clustering.counts import compare_counts
from penstock.features.clustering.customers import Customers
from penstock.features.clustering.drawing import Method, draw_map
from penstock.features.clustering.drift import Drift, find_outliers, measure_drift
from penstock.features.clustering.examples import pick_examples
from penstock.features.clustering.identity import carry_ids, find_places
from penstock.features.clustering.model import NOWHERE, Found, Places, Segmentation, find_segments, refresh
from penstock.features.clustering.profile import Profile, profile_segments
from penstock.features.clustering.terms import Term, find_terms, name_by_terms
from penstock.features.segment_book import Difference, Moved, Name, Picture, Trial, Wish, Word

Array = np.ndarray[Any, Any]

DRAWN = 3_000
"""Customers on the map."""
_WORDED = 50_000
"""Customers whose words are counted."""
_FACTS = 12
_DAY = 86_400
_VALUE = re.compile(r"[^.!?\n]{1,40}")
"""One of several values in a cell; a sentence is none."""
_BAND = re.compile(r"(?:minus |in )?\d[\d ]*(?:$| to under | or more| days)")


class Grouped(NamedTuple):
    """Segments, where customers are, and how it came about."""

    segmentation: Segmentation
    places: Places
    way: str
    trials: list[Trial]
    suggested: int | None
    drift: Drift | None
    retired: dict[str, str]


class Told(NamedTuple):
    """What can be said without a call, segment by segment, and the rows of customers to show to who names them."""

    profiles: list[Profile]
    words: list[list[Term]]
    examples: list[Any]
    outliers: Array
    picture: Picture


def to_plain(value: Any) -> Any:
    """Return what a text means: a number or date where it is written as one, several values with semicolons between.

    All else stays as it is.
    """
    return _read_text(value) if isinstance(value, str) else value


@lru_cache(1 << 16)
def _read_text(value: str) -> Any:
    if ";" in value:
        parts = tuple(part.strip() for part in value.split(";") if part.strip())
        return parts if all(_VALUE.fullmatch(part) for part in parts) else value
    text = value.strip()
    if len(text) > 40 or not (text[:1].isdigit() or text[:1] == "-"):
        return value
    digits = text.lstrip("-")
    is_code = len(digits) > 1 and digits[0] == "0" and digits[1] != "."
    if not is_code:
        with suppress(ValueError):
            return float(text)
    with suppress(ValueError):
        return datetime.fromisoformat(text)
    return value


def build_behaviour(
    columns: Mapping[str, Sequence[Any]],
    as_of: float,
    share: float,
    weights: Mapping[str, float],
    scale: BehaviourScale | None = None,
) -> Behaviour | None:
    """Return the behaviour in some columns, None where there are none.

    A column of numbers or dates (as days before `as_of`) is one of numbers, any other one of categories; `scale` says
    what each was when segments were made.
    """
    if not columns:
        return None
    known = {} if scale is None else dict.fromkeys((one.name for one in scale.numbers), True)
    known |= {} if scale is None else dict.fromkeys((one.name for one in scale.categories), False)
    numbers: dict[str, list[float | None]] = {}
    categories: dict[str, list[Any]] = {}
    for name, values in columns.items():
        if known.get(name, all(_is_number(value) for value in values)):
            numbers[name] = [_to_number(value, as_of) for value in values]
        else:
            categories[name] = [_to_category(value) for value in values]
    return Behaviour(numbers, categories, share, weights)


def _is_number(value: Any) -> bool:
    return value in (None, "") or (isinstance(value, (int, float, date)) and not isinstance(value, bool))


def _to_number(value: Any, as_of: float) -> float | None:
    if isinstance(value, datetime):
        return (as_of - (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()) / _DAY
    if isinstance(value, date):
        return (as_of - datetime(value.year, value.month, value.day, tzinfo=UTC).timestamp()) / _DAY
    return float(value) if isinstance(value, (int, float)) and isfinite(value) else None


def _to_category(value: Any) -> Any:
    if value in (None, ""):
        return None
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple, set)):
        return sorted({str(one) for one in value})
    return str(value)


def group(
    customers: Customers, count: int | None, old: Segmentation | None, wish: Wish, before: Sequence[str]
) -> Grouped:
    """Place customers, let the centres follow, or find segments anew; ids live on wherever they can.

    `before` has the id of each customer's segment in the last version, empty where there was none.
    Without `count` the suggested number is taken; raises `InputError` where none is sound.
    """
    if old is None or wish == "anew":
        return _find(customers, count, old, before)
    drift = measure_drift(old, old.place(customers))
    if wish == "follow":
        segmentation, places = refresh(old, customers)
        return Grouped(segmentation, places, "followed", [], None, drift, dict(old.successors))
    return Grouped(old, old.place(customers), "placed", [], None, drift, dict(old.successors))


def _find(customers: Customers, count: int | None, old: Segmentation | None, before: Sequence[str]) -> Grouped:
    trials, suggested = _compare(customers, count)
    if count is None and suggested is None:
        told = "; ".join(f"{one.segments}: {one.objection}" for one in trials[:4])
        raise InputError(
            f"no number of segments is sound ({told})",
            code="segments.no-count",
            hint="Describe customers by more fields, or set `k` to the number that you want all the same.",
        )
    found = find_segments(customers, count or suggested or 1)
    retired: dict[str, str] = {}
    if old is not None:
        carried = carry_ids(found, old, find_places(old, before))
        found = Found(carried.segmentation, found.places)
        retired = dict(carried.segmentation.successors)
    return Grouped(found.segmentation, found.places, "found", trials, suggested, None, retired)


def _compare(customers: Customers, count: int | None) -> tuple[list[Trial], int | None]:
    """Try the usual numbers of segments; where a number is wished for, too few customers are no error."""
    try:
        compared = compare_counts(customers)
    except InputError:
        if count is None:
            raise
        return [], None
    return [Trial(*trial) for trial in compared.trials], compared.suggested


def tell(
    grouped: Grouped,
    customers: Customers,
    texts: Sequence[str],
    columns: Mapping[str, Sequence[Any]],
    as_of: float,
    method: Method | None = None,
) -> Told:
    """Say what makes each segment different. `columns` are all fields that customers are described by."""
    segmentation, places = grouped.segmentation, grouped.places
    count = len(segmentation.ids)
    fields = build_behaviour(columns, as_of, 0.5, {})
    profiles = profile_segments(segmentation, places, *((fields.numbers, fields.categories) if fields else ()))
    rows = customers.draw(places.segments != NOWHERE, _WORDED, segmentation.seed)
    words = find_terms((_strip(texts[row]) for row in rows.tolist()), places.segments[rows], count)
    return Told(
        profiles,
        words,
        list(pick_examples(segmentation, customers, places)),
        find_outliers(segmentation, places),
        _draw(segmentation, customers, places, method),
    )


def _strip(text: str) -> str:
    """Return what a description says in words, without the names of fields and without bands of numbers."""
    values = [line.partition(": ")[2] for line in text.split("\n")]
    return " ".join(value for value in values if not _BAND.match(value))


def _draw(segmentation: Segmentation, customers: Customers, places: Places, method: Method | None) -> Picture:
    rows = np.sort(customers.draw(places.segments != NOWHERE, DRAWN, segmentation.seed))
    behaviour = customers.behaviour
    if behaviour is not None:
        numbers = {name: [values[row] for row in rows] for name, values in behaviour.numbers.items()}
        categories = {name: [values[row] for row in rows] for name, values in behaviour.categories.items()}
        behaviour = Behaviour(numbers, categories, behaviour.share, behaviour.weights)
    keys = None if customers.keys is None else [customers.keys[row] for row in rows]
    some = Customers(customers.take(rows), customers.embedding, keys, behaviour)
    drawn = draw_map(segmentation, some, method)
    points = zip(drawn.places.tolist(), places.segments[rows].tolist(), strict=True)
    return Picture(drawn.note, drawn.method, [(round(x, 3), round(y, 3), segment) for (x, y), segment in points])


def name_plainly(ids: Sequence[str], told: Told) -> dict[str, Name]:
    """Name every segment by its words and what its profile shows."""
    names = name_by_terms(ids, told.words)
    return {
        one: Name(names[one], _describe(profile), by="terms") for one, profile in zip(ids, told.profiles, strict=True)
    }


def _describe(profile: Profile) -> str:
    """Return a sentence of the three clearest facts."""
    said = []
    for fact in [fact for fact in profile.facts if fact.is_clear][:3]:
        if fact.value:
            said.append(f"{fact.field} {fact.value}: {fact.here:.0%} (elsewhere {fact.elsewhere:.0%})")
        else:
            said.append(f"{fact.field}: {fact.here:,.4g} on average (elsewhere {fact.elsewhere:,.4g})")
    return "; ".join(said)


def to_words(terms: Sequence[Term]) -> list[Word]:
    """Return words as they are kept."""
    return [Word(term.word, round(term.here, 4), round(term.elsewhere, 4)) for term in terms]


def to_differences(profile: Profile) -> list[Difference]:
    """Return the largest differences as they are kept."""
    return [
        Difference(
            fact.field,
            fact.value,
            round(fact.here, 6),
            round(fact.elsewhere, 6),
            None if fact.lift is None else round(fact.lift, 4),
            round(fact.effect, 4),
            fact.is_clear,
        )
        for fact in profile.facts[:_FACTS]
    ]


def to_moved(drift: Drift | None) -> Moved | None:
    """Return drift as it is kept."""
    if drift is None:
        return None
    figures = [round(float(one), 4) for one in (drift.distances, drift.far, drift.shares)]
    return Moved(drift.verdict, figures[0], figures[1], figures[2], list(drift.reasons))


def mark(text: str) -> str:
    """Return a short hash of a description: enough to tell whether somebody has it still."""
    return hashlib.blake2b(text.encode(errors="replace"), digest_size=6).hexdigest()


def is_still_meant(name: Name, marks: set[str]) -> bool:
    """Tell whether at least half of the descriptions that a name rests on are still in the segment."""
    return bool(name.shown) and 2 * sum(one in marks for one in name.shown) >= len(name.shown)


def hash_recipe(parts: Any) -> str:
    """Name what segments are found by: another recipe cannot go on with the same centres."""
    return hashlib.blake2b(msgspec.json.encode(parts, order="sorted"), digest_size=8).hexdigest()
