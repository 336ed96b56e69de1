"""Subscriptions, where leaving is seen: Kaplan-Meier for how long customers stay, Cox for what makes them leave.

Needs the extra `survival` (lifelines).
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from penstock.base.errors import InputError, SettingsError
from penstock.features.customer_value.rows import Floats

FEWEST_LEFT = 20


@dataclass(frozen=True)
class Curve:
    """Share of customers who stay longer than each time, with its 95 % interval; `median` is None where half stay."""

    times: Floats
    staying: Floats
    low: Floats
    high: Floats
    customers: int
    left: int
    median: float | None

    def leaves_within(self, time: float, since: float) -> float | None:
        """Return the chance that one who has stayed for `since` leaves within `time`; None beyond what was seen."""
        if since + time > float(self.times[-1]):
            return None
        here, then = (self.staying[np.searchsorted(self.times, at, side="right") - 1] for at in (since, since + time))
        return float(1 - then / here) if here > 0 else None


@dataclass(frozen=True)
class Effect:
    """What one more of a covariate does to the rate of leaving: `ratio` is e^coefficient, with its 95 % interval."""

    name: str
    coefficient: float
    ratio: float
    low: float
    high: float
    p_value: float


@dataclass(frozen=True)
class Cox:
    """Effects on leaving; `concordance` is how often of two the one with the higher risk leaves first.

    `doubtful` names covariates whose effect changes with time (test of proportional hazards, p < 0.01).
    """

    effects: tuple[Effect, ...]
    log_likelihood: float
    concordance: float
    customers: int
    left: int
    doubtful: tuple[str, ...]


def stay(durations: npt.ArrayLike, left: npt.ArrayLike) -> Curve:
    """Estimate how long customers stay; `left` is false where a customer is still there after its duration."""
    times, gone = _check(durations, left)
    fitter = _lifelines().KaplanMeierFitter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitter.fit(times, gone)
    table, bounds = fitter.survival_function_, fitter.confidence_interval_
    median = float(fitter.median_survival_time_)
    return Curve(
        np.asarray(table.index, float), np.asarray(table.iloc[:, 0], float), np.asarray(bounds.iloc[:, 0], float),
        np.asarray(bounds.iloc[:, 1], float), len(times), int(gone.sum()), median if np.isfinite(median) else None,
    )  # fmt: skip


def explain_leaving(durations: npt.ArrayLike, left: npt.ArrayLike, covariates: Mapping[str, npt.ArrayLike]) -> Cox:
    """Estimate what raises and lowers the rate of leaving, from covariates known when each customer began."""
    times, gone = _check(durations, left)
    columns = {name: np.asarray(column, np.float64) for name, column in covariates.items()}
    for name, column in columns.items():
        if column.shape != times.shape or not np.isfinite(column).all() or np.ptp(column) == 0:
            raise InputError(
                f"the covariate {name!r} is constant, incomplete or no number",
                code="prediction.trait",
                hint="Leave it out, or fill it for every customer.",
            )
    lifelines = _lifelines()
    import pandas

    table = pandas.DataFrame({**columns, "duration": times, "left": gone})
    fitter = lifelines.CoxPHFitter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            fitter.fit(table, "duration", "left")
            tested = lifelines.statistics.proportional_hazard_test(fitter, table)
        except (lifelines.exceptions.ConvergenceError, np.linalg.LinAlgError) as error:
            raise InputError(
                "no effects fit: covariates say the same, or one alone tells who leaves",
                code="prediction.no-optimum",
                hint="Leave one of them out.",
            ) from error
    return _read(fitter, tested, len(times), int(gone.sum()))


def _read(fitter: Any, tested: Any, customers: int, left: int) -> Cox:
    effects = tuple(
        Effect(str(name), *(float(row[key]) for key in ("coef", "exp(coef)", "exp(coef) lower 95%",
                                                       "exp(coef) upper 95%", "p")))
        for name, row in fitter.summary.iterrows()
    )  # fmt: skip
    doubtful = tuple(str(name) for name, p in tested.summary["p"].items() if p < 0.01)
    return Cox(effects, float(fitter.log_likelihood_), float(fitter.concordance_index_), customers, left, doubtful)


def _check(durations: npt.ArrayLike, left: npt.ArrayLike) -> tuple[Floats, npt.NDArray[np.bool_]]:
    times, gone = np.asarray(durations, np.float64), np.asarray(left, bool)
    if times.shape != gone.shape or not (np.isfinite(times) & (times >= 0)).all():
        raise InputError(
            "every customer needs a duration from zero on, and whether it left",
            code="prediction.durations",
            hint="Leave out customers whose beginning is not known.",
        )
    if gone.sum() < FEWEST_LEFT:
        raise InputError(
            f"not enough data, because {int(gone.sum())} customers left and {FEWEST_LEFT} are needed",
            code="prediction.not-enough-data",
            hint="Watch for longer.",
        )
    return times, gone


def _lifelines() -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import lifelines
            import lifelines.statistics
    except ImportError as error:
        raise SettingsError(
            "the survival extra is not installed", code="settings.extra", hint="pip install 'penstock[survival]'"
        ) from error
    return lifelines
