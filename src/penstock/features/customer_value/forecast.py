"""One run from an order log to a forecast of every customer, with what speaks for and against it.

A run stands on the whole log and a holdout, or (`add`) on what was kept of the last run and the days that follow it.
"""

from __future__ import annotations

import datetime
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from penstock.base.errors import InputError
from penstock.base.types import Finding
from penstock.features.customer_value.choose import MODELS, Choice, Trial, choose, fit_spend
from penstock.features.customer_value.drift import Change, compare_inputs, compare_parameters, judge_drift
from penstock.features.customer_value.fitting import Fit
from penstock.features.customer_value.minimum import NOT_ENOUGH, Minimum
from penstock.features.customer_value.orders import OrderLog, OrderRules
from penstock.features.customer_value.predictions import Predictions, predict
from penstock.features.customer_value.propensity import Propensity, Trait, predict_orders
from penstock.features.customer_value.quality import Quality
from penstock.features.customer_value.rfm import Rfm, score
from penstock.features.customer_value.summaries import COLUMNS, Summaries, to_date, to_day
from penstock.features.customer_value.wishes import Wishes

VERSION = 1
"""Raise with any change to what a prediction says."""
RFM_ONLY = "rfm"


@dataclass(frozen=True)
class Kept:
    """What is kept of a run for the next one: the model, how it was judged, and the summaries it stands on."""

    model: str
    fit: Fit
    horizon: float
    cut: datetime.date
    until: datetime.date
    trials: tuple[Trial, ...]
    baselines: tuple[Trial, ...]
    summaries: Summaries


@dataclass(frozen=True)
class Drift:
    """What moved since the last run, of `since`: parameters (none where another model was chosen), and inputs."""

    since: datetime.date
    model: str
    changes: tuple[Change, ...]
    inputs: dict[str, float]


@dataclass(frozen=True)
class Forecast:
    """A finished run. Without `choice` and `predictions` there is too little data, and RFM scores are all there is."""

    wishes: Wishes
    summaries: Summaries
    rfm: Rfm
    findings: tuple[Finding, ...]
    quality: Quality
    choice: Choice | None = None
    predictions: Predictions | None = None
    propensity: Propensity | None = None
    drift: Drift | None = None
    added: int = 0
    """Days that were added to what was kept; 0 for a run over the whole log."""

    @property
    def as_of(self) -> datetime.date:
        """The last day that is known."""
        return to_date(self.summaries.as_of)

    @property
    def model(self) -> str:
        """The name of the model, `rfm` where there is none."""
        return self.choice.model.name if self.choice else RFM_ONLY

    def keep(self) -> Kept | None:
        """Return what the next run needs; None where nothing was fitted."""
        if self.choice is None:
            return None
        one = self.choice
        return Kept(one.model.name, one.fit, one.horizon, one.cut, one.until, one.trials, one.baselines, one.summaries)


def leave_out(made: Forecast, people: Collection[str]) -> Forecast:
    """Take people out of what is said and kept, such as who objects to profiling; what is known of all stays."""
    if not people:
        return made
    names = made.summaries.customers
    stay = ~np.isin(names.astype(str), list(people))
    known = made.summaries
    kept = replace(
        known,
        **{name: getattr(known, name)[stay] for name in COLUMNS},
        refunds={name: amount for name, amount in known.refunds.items() if name not in people},
    )
    said = made.predictions
    if said is not None:
        columns = ("customers", "alive", "churn", "orders", "spend", "value")
        said = replace(said, **{name: _take(getattr(said, name), stay) for name in columns})
    rfm = Rfm(made.rfm.recency[stay], made.rfm.frequency[stay], _take(made.rfm.money, stay), made.rfm.names[stay])
    choice = replace(made.choice, summaries=kept) if made.choice else None
    return replace(made, summaries=kept, predictions=said, rfm=rfm, choice=choice)


def _take(column: Any, stay: Any) -> Any:
    return None if column is None else column[stay]


def rules_of(wishes: Wishes) -> OrderRules:
    """Return how orders are counted."""
    return OrderRules(
        zone=wishes.zone, unit=wishes.unit, refunds=wishes.refunds, zeros=wishes.zeros, duplicates=wishes.duplicates,
        rates=wishes.rates,
    )  # fmt: skip


def forecast(
    log: OrderLog, wishes: Wishes, today: datetime.date, before: Kept | None = None, traits: tuple[Trait, ...] = ()
) -> Forecast:
    """Choose a model, predict every customer and compare with the run `before`; the log was opened with `today`.

    Raises `InputError`: `prediction.not-enough-data` unless the fallback is wished for, `prediction.horizon`.
    """
    found = list(log.quality.findings)
    try:
        if wishes.add and before is not None:
            choice, added = _add(log, wishes, before, today)
        else:
            _check_age(log.last_day, today)
            choice, added = choose(log, wishes.units), 0
    except InputError as error:
        if error.code != NOT_ENOUGH or wishes.fallback != RFM_ONLY:
            raise
        found.append(Finding("minimum", "fail", f"{error.message}: these are RFM scores, not a forecast", error.hint))
        known = log.summaries()
        return Forecast(wishes, known, score(known), tuple(found), log.quality)
    known = choice.summaries
    predictions = predict(
        choice.model, known, wishes.units, choice.spend, wishes.value_horizon / wishes.unit, wishes.discount,
        wishes.margin,
    )  # fmt: skip
    drift = _compare(before, choice) if before is not None else None
    found = [*choice.findings]
    if drift is not None:
        found += judge_drift(drift.changes, drift.inputs)
        if drift.model != choice.model.name:
            message = f"the model is {choice.model.name} now, and was {drift.model} in the last run"
            found.append(Finding("drift", "warn", message, "Compare the holdout errors of both runs."))
    propensity = None
    if wishes.learns and not added:
        propensity, said = _learn(log, wishes, traits)
        found += said
    return Forecast(
        wishes, known, score(known), tuple(found), log.quality, choice, predictions, propensity, drift, added
    )


def _check_age(last: datetime.date, today: datetime.date) -> None:
    """Refuse to speak of today from a log that ends long before: silence would look like leaving."""
    silent = Minimum().silent
    if (today - last).days > silent:
        raise InputError(
            f"not enough data, because the newest order is of {last}, more than {silent} days before {today}",
            code=NOT_ENOUGH,
            hint=f"Bring newer orders, or look from the end of the log: as-of {last}.",
        )


def _add(log: OrderLog, wishes: Wishes, before: Kept, today: datetime.date) -> tuple[Choice, int]:
    """Add the days after the last run to what is kept of it, and fit the same model from where it was."""
    whole, old_end = before.summaries, to_date(before.summaries.as_of)
    if wishes.unit != whole.unit or abs(before.horizon - wishes.units) > 1e-9:
        raise InputError(
            "what is kept of the last run has another unit or horizon",
            code="prediction.kept",
            hint="Keep both as they were, or run once over the whole log, without `add`.",
        )
    if log.last_day > old_end:
        whole = whole.merge(log.summaries(since=old_end + datetime.timedelta(days=1)))
    _check_age(to_date(whole.as_of), today)
    Minimum().check(whole)
    kind = MODELS[before.model]
    fit = kind.fit(whole.grouped[0], before.fit.parameters)
    spend, spend_fit, tie, said = fit_spend(whole)
    age = (to_date(whole.as_of) - before.until).days
    if age > before.horizon * whole.unit:
        message = f"the model was last held against orders {age} days ago"
        said.append(Finding("holdout", "warn", message, "Run once over the whole log, without `add`."))
    findings = (*log.quality.findings, *said)
    choice = Choice(
        kind(*fit.parameters), fit, spend, spend_fit, tie, whole, before.horizon, before.cut, before.until,
        before.trials, before.baselines, findings,
    )  # fmt: skip
    return choice, max(1, whole.as_of - to_day(old_end))


def _compare(before: Kept, choice: Choice) -> Drift:
    names = tuple(choice.model.parameters)
    same = before.model == choice.model.name and before.summaries.unit == choice.summaries.unit
    changes = compare_parameters(names, before.fit, choice.fit) if same else ()
    return Drift(
        to_date(before.summaries.as_of), before.model, changes, compare_inputs(before.summaries, choice.summaries)
    )


def _learn(log: OrderLog, wishes: Wishes, traits: tuple[Trait, ...]) -> tuple[Propensity | None, list[Finding]]:
    """Learn from all that is known; what cannot be learnt is a finding, and the model of orders stands alone."""
    try:
        learnt = predict_orders(log, round(wishes.horizon), traits)
    except InputError as error:
        if error.code != NOT_ENOUGH:  # such as a signal that was written afterwards
            raise
        message = f"propensity is that of the orders alone: {error.message}"
        return None, [Finding("propensity", "warn", message, error.hint)]
    said = [signal.finding for signal in learnt.signals]
    own, plain = learnt.judgement.brier, learnt.against.brier
    if learnt.is_worth_it:
        message = f"boosted trees miss by {own:.4f} (Brier), the orders alone by {plain:.4f}: the trees count"
        return learnt, [*said, Finding("propensity", "ok", message)]
    message = f"boosted trees miss by {own:.4f} (Brier), the orders alone by {plain:.4f}: the orders count"
    return learnt, [*said, Finding("propensity", "warn", message, "Nothing to do.")]
