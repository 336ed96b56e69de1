"""Who buys within a horizon, by what is known of each customer besides the orders: calibrated gradient boosting.

No future can leak in: every feature is computed up to one `as_of`, labels come strictly after it, the newest complete
window but one trains and the newest evaluates, and a feature that alone tells the label is refused. A trait counts
only where chances were surely better with it (`signals`).
"""

from __future__ import annotations

import datetime
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from penstock.base.errors import InputError, SettingsError
from penstock.features.customer_value.beta_geometric import MbgNbd
from penstock.features.customer_value.calibration import Judgement, area_under_curve, judge
from penstock.features.customer_value.minimum import Minimum
from penstock.features.customer_value.orders import OrderLog
from penstock.features.customer_value.rows import Floats
from penstock.features.customer_value.signals import LEAST, Signal, weigh
from penstock.features.customer_value.summaries import Summaries, to_day

SUSPICIOUS = 0.98
"""Area under the curve of one feature alone from which on it is taken for the label in disguise."""
_LOOKS_BACK = (28, 91)
_FOLDS = 5
_ROUNDS = 120
_SETTINGS: dict[str, Any] = {
    "objective": "binary", "learning_rate": 0.05, "num_leaves": 8, "min_data_in_leaf": 50, "lambda_l2": 5.0,
    "verbosity": -1, "num_threads": 1, "seed": 11, "deterministic": True, "force_row_wise": True,
}  # fmt: skip


class Trait(NamedTuple):
    """Something that became known of a customer on a day: a covariate is only ever read from that day on."""

    customer: str
    day: datetime.date
    name: str
    value: float


@dataclass(frozen=True)
class Features:
    """A matrix of what was known on `as_of`, a row a customer; NaN where nothing was known."""

    names: tuple[str, ...]
    table: Floats
    as_of: datetime.date
    summaries: Summaries

    def only(self, names: Sequence[str]) -> Features:
        """Return some of the columns."""
        places = [self.names.index(name) for name in names]
        return Features(tuple(names), np.ascontiguousarray(self.table[:, places]), self.as_of, self.summaries)

    def count(self, name: str) -> int:
        """Return of how many customers a feature is known."""
        return int(np.isfinite(self.table[:, self.names.index(name)]).sum())


@dataclass(frozen=True)
class Propensity:
    """Chances of an order within the horizon, now; and how the same recipe did on the newest complete window."""

    summaries: Summaries
    chances: Floats
    judgement: Judgement
    against: Judgement
    """How MBG/NBD, which knows orders alone, did on the same window."""
    importance: dict[str, float]
    """Share of what each feature decided; traits that do not count are not among them."""
    trained: tuple[datetime.date, datetime.date]
    evaluated: tuple[datetime.date, datetime.date]
    signals: tuple[Signal, ...] = ()
    """What each trait won on the window that evaluates, and whether it counts."""

    @property
    def is_worth_it(self) -> bool:
        """Whether it beats the orders alone; they often tie."""
        return self.judgement.brier < self.against.brier


class FeatureTable:
    """Builds features for any day from the order log and traits; never reads beyond that day."""

    def __init__(self, log: OrderLog, traits: Iterable[Trait] = ()) -> None:
        self._log = log
        self._traits: dict[str, list[Trait]] = {}
        for trait in sorted(traits, key=lambda entry: entry.day):
            self._traits.setdefault(trait.name, []).append(trait)

    @property
    def traits(self) -> tuple[str, ...]:
        """The names of the traits."""
        return tuple(self._traits)

    def build(self, as_of: datetime.date, summaries: Summaries | None = None) -> Features:
        """Return what was known of every customer on `as_of`."""
        known = summaries or self._log.summaries(as_of)
        silence, span = known.as_of - known.last, known.last - known.first
        columns: dict[str, Floats] = {
            "orders": known.orders.astype(float),
            "days since the last order": silence.astype(float),
            "days since the first order": (known.as_of - known.first).astype(float),
            "usual pause in days": np.where(known.repeats > 0, span / np.maximum(known.repeats, 1), np.nan),
            "silence in usual pauses": np.where(span > 0, silence * known.repeats / np.maximum(span, 1), np.nan),
        }
        for days in _LOOKS_BACK:
            columns[f"orders in the last {days} days"] = self._log.recent(known, days).astype(float)
        rows, places = known.grouped
        model = MbgNbd(*MbgNbd.fit(rows).parameters)
        columns["chance to be active"] = model.alive(rows)[places]
        columns["expected orders a quarter"] = model.expected(rows, 91 / known.unit)[places]
        if known.has_value:
            columns["mean value of an order"] = known.net / known.orders
        for name, traits in self._traits.items():
            if name in columns:
                raise InputError(
                    f"{name!r} is worked out of the orders already",
                    code="prediction.trait",
                    hint="Give this trait another name.",
                )
            latest = {trait.customer: trait.value for trait in traits if trait.day <= as_of}
            columns[name] = np.array([latest.get(customer, np.nan) for customer in known.customers], float)
        return Features(tuple(columns), np.column_stack(list(columns.values())), as_of, known)


def predict_orders(
    log: OrderLog, horizon_days: int, traits: Iterable[Trait] = (), minimum: Minimum | None = None
) -> Propensity:
    """Train, evaluate on the newest complete window, and predict the window after the log.

    Raises `InputError`: `prediction.not-enough-data`, `prediction.leak`; `SettingsError` without the extra `boosting`.
    """
    least, table = minimum or Minimum(), FeatureTable(log, traits)
    end, step = log.last_day, datetime.timedelta(days=horizon_days)
    least.check(log.summaries(end))
    known, labels = _window(log, table, end - 2 * step, end - step, least)
    tested, truth = _window(log, table, end - step, end, least)
    _stop_leaks(known, labels)
    _stop_leaks(tested, truth)
    own = tuple(name for name in known.names if name not in table.traits)
    chances = {own: _learn(own, known, labels, tested)}
    signals = []
    for name in table.traits:
        customers = min(known.count(name), tested.count(name))
        if customers >= LEAST:
            chances[*own, name] = _learn((*own, name), known, labels, tested)
        signals.append(weigh(name, customers, chances[own], chances.get((*own, name)), truth, len(table.traits)))
    names = (*own, *(signal.name for signal in signals if signal.counts))
    judgement = judge(chances[names] if names in chances else _learn(names, known, labels, tested), truth)
    rows, places = tested.summaries.grouped
    model = MbgNbd(*MbgNbd.fit(rows).parameters)
    against = judge(1 - model.none(rows, horizon_days / log.rules.unit)[places], truth)
    now = table.build(end).only(names)
    final = _Machine(tested.only(names).table, truth)
    return Propensity(
        now.summaries, final.chances(now.table), judgement, against, final.importance(names),
        (end - 2 * step, end - step), (end - step, end), tuple(signals),
    )  # fmt: skip


def _learn(names: tuple[str, ...], known: Features, labels: Floats, tested: Features) -> Floats:
    """Return what some of the features, learnt on one window, say of the next."""
    return _Machine(known.only(names).table, labels).chances(tested.only(names).table)


def _window(
    log: OrderLog, table: FeatureTable, as_of: datetime.date, until: datetime.date, least: Minimum
) -> tuple[Features, Floats]:
    if as_of < log.first_day:
        raise InputError(
            f"not enough data, because the log begins on {log.first_day} and two windows before the last are needed",
            code="prediction.not-enough-data",
            hint="Choose a shorter horizon, or bring a longer log.",
        )
    known, later, _ = log.holdout(as_of, until)
    least.check(known)
    features, labels = table.build(as_of, known), (later > 0).astype(float)
    if not 20 <= labels.sum() <= len(labels) - 20:
        raise InputError(
            f"not enough data, because {int(labels.sum())} of {len(labels)} customers ordered within the window",
            code="prediction.not-enough-data",
            hint="Choose another horizon: at least 20 customers must order and 20 must not.",
        )
    return features, labels


def _stop_leaks(features: Features, labels: Floats) -> None:
    """Refuse a feature that alone tells the label, by its value or by where it is missing."""
    for name, column in zip(features.names, features.table.T, strict=True):
        for values in (np.nan_to_num(column, nan=-np.inf), np.isnan(column).astype(float)):
            area = area_under_curve(values, labels > 0)
            if area is not None and max(area, 1 - area) > SUSPICIOUS:
                raise InputError(
                    f"{name!r} alone tells who will order ({max(area, 1 - area):.3f}): it was written afterwards",
                    code="prediction.leak",
                    hint="Leave it out, or date it by the day on which it became known.",
                )


class _Machine:
    """Boosted trees; their scores are turned into chances on rows that each tree set had not seen."""

    def __init__(self, table: Floats, labels: Floats) -> None:
        self._labels = labels
        self._table = table
        fold = np.random.default_rng(17).permutation(len(labels)) % _FOLDS
        scores = np.empty(len(labels))
        for part in range(_FOLDS):
            scores[fold == part] = _score(_train(table[fold != part], labels[fold != part]), table[fold == part])
        self._slope, self._shift = _fit_sigmoid(scores, labels)

    @cached_property
    def _trees(self) -> Any:
        return _train(self._table, self._labels)

    def chances(self, table: Floats) -> Floats:
        return np.asarray(1 / (1 + np.exp(-(self._slope * _score(self._trees, table) + self._shift))))

    def importance(self, names: Sequence[str]) -> dict[str, float]:
        gain = np.asarray(self._trees.feature_importance("gain"), float)
        shares = gain / max(float(gain.sum()), 1e-12)
        return {names[at]: float(shares[at]) for at in np.argsort(-shares)}


def _train(table: Floats, labels: Floats) -> Any:
    try:
        import lightgbm
    except ImportError as error:
        raise SettingsError(
            "the boosting extra is not installed", code="settings.extra", hint="pip install 'penstock[boosting]'"
        ) from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return lightgbm.train(_SETTINGS, lightgbm.Dataset(table, labels), _ROUNDS)


def _score(trees: Any, table: Floats) -> Floats:
    return np.asarray(trees.predict(table, raw_score=True, num_threads=1), np.float64)


def _fit_sigmoid(scores: Floats, labels: Floats) -> tuple[float, float]:
    """Fit a slope and a shift of the scores by Newton steps (Platt scaling)."""
    at = np.array([1.0, 0.0])
    columns = np.stack((scores, np.ones(len(scores))))
    for _ in range(50):
        chances = 1 / (1 + np.exp(-np.clip(at @ columns, -30, 30)))
        slope = columns @ (chances - labels)
        bend = (columns * (chances * (1 - chances))) @ columns.T + 1e-9 * np.eye(2)
        step = np.linalg.solve(bend, slope)
        at = at - step
        if np.abs(step).max() < 1e-10:
            break
    return float(at[0]), float(at[1])


def to_traits(records: Iterable[tuple[str, datetime.date, str, float]]) -> list[Trait]:
    """Make traits of rows; raises `InputError` for a value that is not finite."""
    traits = [Trait(*record) for record in records]
    for trait in traits:
        if not np.isfinite(trait.value) or to_day(trait.day) < -36_525:
            raise InputError(
                f"{trait.name!r} of {trait.customer} on {trait.day} is {trait.value!r}",
                code="prediction.trait",
                hint="Give a number, and leave out what is not known.",
            )
    return traits
