"""The report of a run: one HTML page that needs nothing else, JSON, and pictures as PNG and SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from penstock.base.errors import InputError
from penstock.features.customer_value.choose import Choice, Trial
from penstock.features.customer_value.fitting import Fit
from penstock.features.customer_value.forecast import Forecast
from penstock.features.customer_value.outcome import facts_of
from penstock.features.customer_value.reasons import Reasons
from penstock.features.customer_value.rfm import NAMES
from penstock.features.customer_value.summaries import to_date

THRESHOLDS = tuple(step / 20 for step in range(1, 20))
MOST_AT_RISK = 10
_Z = 1.959964
CAVEATS = (
    "Churn is the chance of no order within the horizon. One minus the chance to be active is something else.",
    "Who is likely to leave is not whom a campaign changes: only a group left out by lot tells that.",
    "A season, a price change or a shop that closed is not in the orders before it.",
    "Lifetime value counts on customers who behave as until now, over a time longer than any holdout.",
)


def build_report(made: Forecast) -> dict[str, Any]:
    """Return everything that the report says, as plain values."""
    choice = made.choice
    return {
        "about": facts_of(made),
        "facts": _facts(made),
        "models": [_trial(one, choice) for one in (*choice.trials, *choice.baselines)] if choice else [],
        "parameters": _parameters(choice) if choice else [],
        "calibration": _calibration(choice.trial) if choice else None,
        "gains": [asdict(one) for one in choice.trial.churn.gains] if choice and choice.trial.churn else [],
        "order_gains": [asdict(one) for one in choice.trial.gains] if choice else [],
        "thresholds": _thresholds(made),
        "groups": _groups(made),
        "reasons": _reasons(made),
        "at_risk": _at_risk(made),
        "importance": made.propensity.importance if made.propensity and made.propensity.is_worth_it else {},
        "propensity": _propensity(made),
        "quality": _quality(made),
        "drift": _drift(made),
        "findings": msgspec.to_builtins(list(made.findings)),
        "caveats": list(CAVEATS),
    }


def write_report(made: Forecast, folder: Path, title: str) -> list[Path]:
    """Write `report.html`, `report.json` and the pictures; raises `SettingsError` without the extra `report`."""
    from penstock.features.customer_value.page import render_page
    from penstock.features.customer_value.pictures import draw

    report = build_report(made)
    pictures = draw(report)
    files = {"report.html": render_page(report, pictures, title).encode(), "report.json": _to_json(report)}
    for name, picture in pictures.items():
        files |= {f"{name}.svg": picture.svg, f"{name}.png": picture.png}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            fresh = folder / f"{name}.new"
            fresh.write_bytes(content)
            fresh.replace(folder / name)
    except OSError as error:
        raise InputError(f"the report cannot be written: {error}", code="prediction.cannot-write") from error
    return [folder / name for name in files]


def _to_json(report: dict[str, Any]) -> bytes:
    return msgspec.json.format(msgspec.json.encode(report), indent=2)


def _facts(made: Forecast) -> dict[str, str]:
    known, choice, said = made.summaries, made.choice, made.predictions
    facts = {
        "customers": f"{len(known):,}, {int(known.orders.sum()):,} orders",
        "as of": f"{made.as_of}",
        "model": choice.model.title if choice else "none: RFM scores, not a forecast",
    }
    if choice is None or said is None:
        return facts
    facts["log-likelihood"] = f"{choice.fit.log_likelihood:,.2f}"
    facts["horizon"] = f"{made.wishes.horizon:g} days"
    facts["held against"] = f"{choice.cut} to {choice.until}"
    if made.added:
        facts["added"] = f"{made.added} days to what was kept; judged at the last run over the whole log"
    if (churn := choice.trial.churn) is not None:
        facts["churn"] = f"{said.churn.mean():.1%} expected; {churn.rate:.1%} in the holdout"
        facts["Brier"] = f"{churn.brier:.4f}, one rate for everyone {churn.baseline:.4f}"
        low, high = churn.calibration_low, churn.calibration_high
        facts["calibration error"] = f"{churn.calibration_error:.4f} ({low:.4f} to {high:.4f})"
        facts["area under the curve"] = "unknown" if churn.sharpness is None else f"{churn.sharpness:.3f}"
    facts["expected orders"] = f"{said.orders.sum():,.0f}"
    if said.value is not None:
        facts["lifetime value"] = f"{_sum(said.value):,.2f} over {made.wishes.value_horizon:g} days"
    return facts


def _trial(trial: Trial, choice: Choice) -> dict[str, Any]:
    churn = trial.churn
    return {
        "name": trial.name, "title": trial.title, "is_baseline": trial in choice.baselines,
        "is_chosen": trial.name == choice.model.name, "problem": trial.problem, "parameters": trial.parameters,
        "log_likelihood": trial.log_likelihood, "error": trial.error, "squared": trial.squared,
        "correlation": trial.correlation, "off": trial.off, "brier": churn.brier if churn else None,
        "calibration_error": churn.calibration_error if churn else None,
        "area_under_curve": churn.sharpness if churn else None,
    }  # fmt: skip


def _parameters(choice: Choice) -> list[dict[str, Any]]:
    found = _of_fit(choice.model.title, tuple(choice.model.parameters), choice.fit)
    if choice.spend is not None and choice.spend_fit is not None:
        found += _of_fit("Gamma-Gamma", tuple(choice.spend.parameters), choice.spend_fit)
    return found


def _of_fit(model: str, names: Sequence[str], fit: Fit) -> list[dict[str, Any]]:
    found = []
    for name, value, error in zip(names, fit.parameters, fit.errors, strict=True):
        wide = math.exp(min(_Z * error, 50.0)) if math.isfinite(error) else None
        low, high = (value / wide, value * wide) if wide else (None, None)
        entry = {"model": model, "name": name, "value": value, "low": low, "high": high}
        found.append({**entry, "log_likelihood": fit.log_likelihood})
    return found


def _calibration(trial: Trial) -> dict[str, Any] | None:
    churn = trial.churn
    if churn is None:
        return None
    return {
        "error": churn.calibration_error, "low": churn.calibration_low, "high": churn.calibration_high,
        "brier": churn.brier, "baseline": churn.baseline, "customers": churn.customers, "rate": churn.rate,
        "churn": [asdict(one) for one in churn.bins], "orders": [asdict(one) for one in trial.bins],
    }  # fmt: skip


def _thresholds(made: Forecast) -> list[dict[str, Any]]:
    """Say what acting on everyone from a chance of churn on brings: one order won back for each who was to leave."""
    said, wishes = made.predictions, made.wishes
    if said is None:
        return []
    worth = None if said.spend is None else np.where(np.isfinite(said.spend), said.spend, 0.0) * wishes.margin
    found = []
    for low in THRESHOLDS:
        chosen = said.churn >= low
        churn = said.churn[chosen]
        cost = wishes.contact_cost * len(churn)
        value = None if worth is None else float((churn * worth[chosen]).sum()) * wishes.win_back - cost
        found.append(
            {"from": low, "customers": len(churn), "leavers": float(churn.sum()), "cost": cost, "value": value}
        )
    return found


def _groups(made: Forecast) -> list[dict[str, Any]]:
    found = []
    for name, means in NAMES.items():
        chosen = made.rfm.names == name
        entry: dict[str, Any] = {"name": name, "means": means, "customers": int(chosen.sum())}
        if made.predictions is not None and chosen.any():
            entry["churn"] = float(made.predictions.churn[chosen].mean())
            value = made.predictions.value
            entry["value"] = None if value is None else _sum(value[chosen])
        found.append(entry)
    return found


def _reasons(made: Forecast) -> list[dict[str, Any]]:
    """Count what stands behind the predictions: how long customers are silent, beside their own pace."""
    known, said = made.summaries, made.predictions
    if said is None:
        return []
    silence, span = known.as_of - known.last, known.last - known.first
    pause = span / np.maximum(known.repeats, 1)
    once = known.repeats == 0
    late = silence / np.maximum(pause, 1.0)
    parts = {
        "ordered once: judged by what others did": once,
        "the next order is not due yet": ~once & (late < 1),
        "the next order is due": ~once & (late >= 1) & (late < 2),
        "silent for twice the usual pause or longer": ~once & (late >= 2),
    }
    return [
        {
            "reason": reason,
            "customers": int(part.sum()),
            "churn": float(said.churn[part].mean()) if part.any() else None,
        }
        for reason, part in parts.items()
    ]


def _at_risk(made: Forecast) -> list[dict[str, Any]]:
    """Return the customers with the most at stake: chance to leave times what their orders were worth."""
    said, known = made.predictions, made.summaries
    if said is None:
        return []
    worth = known.net if known.has_value else known.orders.astype(float)
    reasons = Reasons.of(known, said)
    order = np.lexsort((known.customers.astype(str), -(said.churn * worth)))[:MOST_AT_RISK]
    return [
        {
            "customer": str(known.customers[at]), "churn": float(said.churn[at]), "worth": float(worth[at]),
            "last_order": str(to_date(int(known.last[at]))), "reasons": reasons.explain(at),
        }
        for at in order.tolist()
    ]  # fmt: skip


def _propensity(made: Forecast) -> dict[str, Any] | None:
    learnt = made.propensity
    if learnt is None:
        return None
    return {
        "counts": learnt.is_worth_it, "brier": learnt.judgement.brier, "brier_orders_alone": learnt.against.brier,
        "calibration_error": learnt.judgement.calibration_error, "importance": learnt.importance,
        "evaluated": [str(day) for day in learnt.evaluated],
        "signals": [{**one._asdict(), "counts": one.counts} for one in learnt.signals],
    }  # fmt: skip


def _quality(made: Forecast) -> dict[str, Any]:
    one = made.quality
    return {
        "rows": one.rows, "orders": one.orders, "refunds": one.refunds, "first": str(to_date(one.first)),
        "last": str(to_date(one.last)), "currencies": one.currencies, "has_value": one.has_value,
    }  # fmt: skip


def _drift(made: Forecast) -> dict[str, Any] | None:
    one = made.drift
    if one is None:
        return None
    return {
        "since": str(one.since), "model": one.model, "inputs": one.inputs,
        "parameters": [asdict(change) for change in one.changes],
    }  # fmt: skip


def _sum(values: Any) -> float:
    return float(values[np.isfinite(values)].sum())
