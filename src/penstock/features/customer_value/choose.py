"""The model is chosen by what came to pass: each is fitted on the past and held against the newest complete window."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from penstock.base.errors import InputError
from penstock.base.types import Finding
from penstock.features.customer_value.beta_geometric import BgNbd, MbgNbd
from penstock.features.customer_value.calibration import Bin, Gain, Judgement, count_bins, gains, judge
from penstock.features.customer_value.fitting import FARTHEST, Fit
from penstock.features.customer_value.gamma_gamma import GammaGamma, Independence, independence
from penstock.features.customer_value.minimum import Minimum
from penstock.features.customer_value.orders import OrderLog
from penstock.features.customer_value.pareto import ParetoNbd
from penstock.features.customer_value.purchase import PurchaseModel
from penstock.features.customer_value.rows import Floats, Integers, Rows
from penstock.features.customer_value.summaries import Summaries

MODELS: dict[str, type[MbgNbd | BgNbd | ParetoNbd]] = {kind.name: kind for kind in (MbgNbd, BgNbd, ParetoNbd)}
"""By name, the default first."""
BETTER = 0.005
"""Share by which another model must miss less than the default to take its place."""


@dataclass(frozen=True)
class Trial:
    """What a model (or a baseline) would have said before the holdout, against what came to pass.

    `error` is the mean absolute error of orders, `squared` the root of the mean squared one (which chooses), `off` the
    share by which all orders together are missed, `churn` the judgement of the chance of no order. `problem` says
    why a model could not be fitted.
    """

    name: str
    title: str
    parameters: dict[str, float] = field(default_factory=dict)
    log_likelihood: float | None = None
    error: float | None = None
    squared: float | None = None
    correlation: float | None = None
    off: float | None = None
    churn: Judgement | None = None
    bins: tuple[Bin, ...] = ()
    gains: tuple[Gain, ...] = ()
    problem: str = ""


@dataclass(frozen=True)
class Choice:
    """The chosen model fitted to all orders, how it did on the holdout beside the others, and when not to trust it."""

    model: PurchaseModel
    fit: Fit
    spend: GammaGamma | None
    spend_fit: Fit | None
    independence: Independence | None
    summaries: Summaries
    horizon: float
    """Length of the holdout and of the forecast, in units."""
    cut: datetime.date
    until: datetime.date
    trials: tuple[Trial, ...]
    baselines: tuple[Trial, ...]
    findings: tuple[Finding, ...]

    @property
    def trial(self) -> Trial:
        """How the chosen model did on the holdout."""
        return next(trial for trial in self.trials if trial.name == self.model.name)


def choose(
    log: OrderLog,
    horizon: float,
    models: Sequence[str] = tuple(MODELS),
    minimum: Minimum | None = None,
    as_of: datetime.date | None = None,
) -> Choice:
    """Fit every model before the last `horizon` (in units) of the log, compare them on it, and refit the best to all.

    Raises `InputError`: `prediction.` not-enough-data, model, horizon, no-optimum.
    """
    kinds = [_find(name) for name in models]
    until = as_of or log.last_day
    if not (np.isfinite(horizon) and horizon > 0) or horizon * log.rules.unit < 1:
        raise InputError(
            f"the horizon {horizon!r} is no day", code="prediction.horizon", hint="Give at least one day's length."
        )
    cut = until - datetime.timedelta(days=round(horizon * log.rules.unit))
    least = minimum or Minimum()
    whole = log.summaries(until)
    least.check(whole)
    if cut < log.first_day:
        least.check(log.summaries(log.first_day))
    past, later, _ = log.holdout(cut, until)
    least.check(past)
    trials = [_try(kind, past, later, horizon) for kind in kinds]
    best = _best(trials)
    known = tuple(next(trial.parameters for trial in trials if trial.name == best).values())
    kind = MODELS[best]
    fit = kind.fit(whole.grouped[0], known)
    spend, spend_fit, tie, said = fit_spend(whole)
    model = kind(*fit.parameters)
    trial = next(trial for trial in trials if trial.name == best)
    baselines = _baselines(past, later, horizon)
    findings = [*log.quality.findings, *said, *doubts(trial, baselines, fit, whole)]
    return Choice(
        model, fit, spend, spend_fit, tie, whole, horizon, cut, until, tuple(trials), baselines, tuple(findings)
    )


def fit_spend(summaries: Summaries) -> tuple[GammaGamma | None, Fit | None, Independence | None, list[Finding]]:
    """Fit what an order is worth, where values can be added and there are enough; else say why there is none."""
    if not summaries.has_value:
        message = "no value of an order is known: no lifetime value is predicted"
        return None, None, None, [Finding("spend", "warn", message, "Give the value column, in one currency.")]
    known = summaries.spend
    if len(known.orders) < 50:
        message = f"{len(known.orders)} customers have a second order of value, and 50 are needed to know spend"
        return None, None, None, [Finding("spend", "warn", message, "Bring a longer log.")]
    try:
        fit = GammaGamma.fit(known)
    except InputError as error:
        return None, None, None, [Finding("spend", "warn", error.message, error.hint)]
    tie, said = independence(known), []
    if not tie.holds:
        message = f"spend depends on how often one orders (correlation {tie.correlation:.2f}): values are off"
        said.append(Finding("independence", "warn", message, "Trust the order forecast more than the value."))
    model = GammaGamma(*fit.parameters)
    if model.q <= 1:
        message = "the mean order of an unknown customer has no finite value"
        said.append(Finding("spend", "warn", message, "Look for a few enormous orders."))
    return model, fit, tie, said


def doubts(trial: Trial, baselines: Sequence[Trial], fit: Fit, summaries: Summaries) -> list[Finding]:
    """Say when not to trust the chosen model."""
    said = []
    own = next(entry for entry in baselines if entry.name == "own-pace")
    if trial.squared is not None and own.squared is not None and trial.squared >= own.squared:
        message = f"the model misses orders by {trial.squared:.3f}, the customer's own pace by {own.squared:.3f}"
        said.append(Finding("baseline", "fail", message, "Do not use the forecast: it knows nothing new."))
    if trial.off is not None and abs(trial.off) > 0.2:
        message = f"all orders of the holdout were missed by {trial.off:+.0%}"
        said.append(Finding("level", "warn", message, "Use the ranking, not the sums; look for seasons and gaps."))
    if trial.churn is not None and trial.churn.calibration_low > 0.05:
        message = f"chances of churn are off by {trial.churn.calibration_error:.3f} on average"
        said.append(Finding("calibration", "warn", message, "Use the ranking, not the chances."))
    if trial.churn is not None and trial.churn.brier >= trial.churn.baseline:
        message = "chances of churn are no better than one rate for everyone"
        said.append(Finding("churn", "fail", message, "Do not act on single customers' churn."))
    loose = [name for name, error in zip(trial.parameters, fit.errors, strict=True) if not error < 2]
    far = [
        name for name, value in zip(trial.parameters, fit.parameters, strict=True) if abs(np.log(value)) > FARTHEST - 1
    ]
    if loose or far:
        message = f"the orders do not hold the parameter {', '.join(dict.fromkeys([*loose, *far]))}"
        said.append(Finding("parameters", "warn", message, "Expect other parameters next time; forecasts change less."))
    cohorts = np.ptp(summaries.first)
    if cohorts > 366:
        message = f"first orders span {cohorts} days: customers won at different times may differ"
        said.append(Finding("cohorts", "warn", message, "Fit each year of first orders by itself and compare."))
    return said


def measure(trial: Trial, expected: Floats, later: Integers, none: Floats | None) -> Trial:
    """Fill in how far a forecast was off."""
    from dataclasses import replace

    miss = expected - later
    varied = np.ptp(expected) > 0 and np.ptp(later) > 0
    total = float(later.sum())
    return replace(
        trial,
        error=float(np.abs(miss).mean()),
        squared=float(np.sqrt((miss**2).mean())),
        correlation=float(np.corrcoef(expected, later)[0, 1]) if varied else None,
        off=float(expected.sum() / total - 1) if total else None,
        churn=None if none is None else judge(none, later == 0),
        bins=count_bins(expected, later),
        gains=gains(expected, later.astype(np.float64)),
    )


def _find(name: str) -> type[MbgNbd | BgNbd | ParetoNbd]:
    if name not in MODELS:
        raise InputError(
            f"there is no model {name!r}", code="prediction.model", hint=f"There are: {', '.join(MODELS)}."
        )
    return MODELS[name]


def _try(kind: type[MbgNbd | BgNbd | ParetoNbd], past: Summaries, later: Integers, horizon: float) -> Trial:
    rows, places = past.grouped
    trial = Trial(kind.name, kind.title)
    try:
        fit = kind.fit(rows)
    except InputError as error:
        return Trial(kind.name, kind.title, problem=error.message)
    model = kind(*fit.parameters)
    trial = Trial(kind.name, kind.title, model.parameters, fit.log_likelihood)
    return measure(trial, model.expected(rows, horizon)[places], later, model.none(rows, horizon)[places])


def _best(trials: Sequence[Trial]) -> str:
    sound = [trial for trial in trials if trial.squared is not None]
    if not sound:
        raise InputError(
            f"no model fits these orders: {trials[0].problem if trials else 'none was named'}",
            code="prediction.no-optimum",
            hint="Use the RFM scores, or bring a longer log.",
        )
    first, best = sound[0], min(sound, key=lambda trial: trial.squared or 0.0)
    return best.name if (best.squared or 0.0) < (first.squared or 0.0) * (1 - BETTER) else first.name


def _baselines(past: Summaries, later: Integers, horizon: float) -> tuple[Trial, ...]:
    """Return what one would have said without a model."""
    rows, places = past.grouped
    pace = _pace(rows) * horizon
    average = np.full(len(past), float((rows.repeats * rows.weight).sum() / max((rows.age * rows.weight).sum(), 1e-9)))
    return (
        measure(Trial("own-pace", "own pace goes on"), pace[places], later, None),
        measure(Trial("average", "everyone is average"), average * horizon, later, None),
        measure(Trial("nobody", "nobody comes back"), np.zeros(len(past)), later, None),
    )


def _pace(rows: Rows) -> Floats:
    return np.asarray(np.where(rows.age > 0, rows.repeats / np.where(rows.age > 0, rows.age, 1.0), 0.0))
