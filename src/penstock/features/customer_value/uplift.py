"""Whom a campaign changes: X-learner and Qini, and only where chance decided who got it.

A customer likely to buy is not one whom the campaign makes buy: ranking by propensity is near random for the effect.
Needs the extra `boosting`.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from penstock.base.errors import InputError, SettingsError
from penstock.features.customer_value.calibration import area_under_curve
from penstock.features.customer_value.rows import Floats

FEWEST = 1000
"""Customers in each arm below which an effect that differs between customers cannot be told from noise."""
_SETTINGS: dict[str, Any] = {
    "objective": "regression", "learning_rate": 0.05, "num_leaves": 6, "min_data_in_leaf": 100, "lambda_l2": 10.0,
    "verbosity": -1, "num_threads": 1, "seed": 13, "deterministic": True, "force_row_wise": True,
}  # fmt: skip
_ROUNDS = 60
_DRAWS = 200


@dataclass(frozen=True)
class Uplift:
    """The mean effect with its 95 % interval, the expected effect on each customer, and how well that ranks them.

    `qini` is the area between the gain by rank and that of a random order, as a share of the whole effect's size;
    only an interval above zero says that the ranking is worth anything. Effects are of customers held out of training.
    """

    effects: Floats
    mean: float
    low: float
    high: float
    qini: float
    qini_low: float
    qini_high: float

    @property
    def ranks(self) -> bool:
        """Whether the ranking is better than none."""
        return self.qini_low > 0


def measure_uplift(features: Mapping[str, npt.ArrayLike], treated: npt.ArrayLike, outcome: npt.ArrayLike) -> Uplift:
    """Estimate what the campaign did; `treated` must have been drawn by lot.

    Raises `InputError`: `prediction.not-randomised` when a feature tells who was treated,
    `prediction.not-enough-data` when an arm is small.
    """
    table = np.column_stack([np.asarray(column, np.float64) for column in features.values()])
    got, result = np.asarray(treated, bool), np.asarray(outcome, np.float64)
    _check(table, tuple(features), got, result)
    effects, share = np.empty(len(got)), float(got.mean())
    half = np.random.default_rng(19).permutation(len(got)) % 2 == 0
    for part in (half, ~half):
        effects[part] = _x_learner(table[~part], got[~part], result[~part], table[part], share)
    gap = float(result[got].mean() - result[~got].mean())
    wide = 1.96 * float(np.sqrt(result[got].var(ddof=1) / got.sum() + result[~got].var(ddof=1) / (~got).sum()))
    chance = np.random.default_rng(23)
    drawn = [_qini(effects[rows], got[rows], result[rows])
             for rows in (chance.integers(0, len(got), len(got)) for _ in range(_DRAWS))]  # fmt: skip
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Uplift(effects, gap, gap - wide, gap + wide, _qini(effects, got, result), float(low), float(high))


def _check(table: Floats, names: tuple[str, ...], got: npt.NDArray[np.bool_], result: Floats) -> None:
    arms = int(got.sum()), int((~got).sum())
    if min(arms) < FEWEST:
        raise InputError(
            f"not enough data, because {arms[0]:,} got the campaign and {arms[1]:,} did not, and {FEWEST:,} of each "
            "are needed",
            code="prediction.not-enough-data",
            hint="Hold a larger random share of customers out of the next campaign.",
        )
    if not np.isfinite(result).all():
        raise InputError("an outcome is no number", code="prediction.outcome", hint="Give 0 where nothing happened.")
    error = np.sqrt((len(got) + 1) / (12 * arms[0] * arms[1]))  # of the area under the curve when chance decided
    for name, column in zip(names, table.T, strict=True):
        area = area_under_curve(np.nan_to_num(column, nan=-np.inf), got)
        if area is not None and abs(area - 0.5) > 5 * error:
            raise InputError(
                f"chance did not decide who got the campaign: {name!r} tells it ({area:.3f}, and 0.5 is chance)",
                code="prediction.not-randomised",
                hint="Keep a random share of customers out of the next campaign, and measure that one.",
            )


def _x_learner(table: Floats, got: npt.NDArray[np.bool_], result: Floats, others: Floats, share: float) -> Floats:
    """Return effects on `others`: learn outcomes in each arm, then what each arm's own differ by from the other's."""
    with_it, without = _fit(table[got], result[got]), _fit(table[~got], result[~got])
    gained = _fit(table[got], result[got] - without.predict(table[got], num_threads=1))
    missed = _fit(table[~got], with_it.predict(table[~got], num_threads=1) - result[~got])
    return np.asarray(
        share * missed.predict(others, num_threads=1) + (1 - share) * gained.predict(others, num_threads=1), np.float64
    )


def _fit(table: Floats, result: Floats) -> Any:
    try:
        import lightgbm
    except ImportError as error:
        raise SettingsError(
            "the boosting extra is not installed", code="settings.extra", hint="pip install 'penstock[boosting]'"
        ) from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return lightgbm.train(_SETTINGS, lightgbm.Dataset(table, result), _ROUNDS)


def _qini(effects: Floats, got: npt.NDArray[np.bool_], result: Floats) -> float:
    order = np.argsort(-effects, kind="stable")
    treated, won = got[order], result[order]
    arms = np.maximum(np.cumsum(treated), 1), np.maximum(np.cumsum(~treated), 1)
    share = np.arange(1, len(order) + 1) / len(order)
    gain = (np.cumsum(won * treated) / arms[0] - np.cumsum(won * ~treated) / arms[1]) * share
    return float((gain - gain[-1] * share).mean() / max(abs(float(gain[-1])), 1e-12))
