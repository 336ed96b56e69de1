"""What has changed since the last run: the parameters, and the customers that they are fitted to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from penstock.base.types import Finding
from penstock.features.customer_value.fitting import Fit
from penstock.features.customer_value.rows import Floats
from penstock.features.customer_value.summaries import Summaries

PARTS = 10
MOVED, SHIFTED = 0.1, 0.25
"""Population stability index from which on an input counts as moved, and as another population."""


@dataclass(frozen=True)
class Change:
    """A parameter before and now, and by how many standard errors it moved."""

    name: str
    before: float
    now: float
    errors: float


def compare_parameters(names: tuple[str, ...], before: Fit, now: Fit) -> tuple[Change, ...]:
    """Compare two fits of one model by the logarithms of their parameters."""
    changes = []
    for at, name in enumerate(names):
        wide = float(np.hypot(before.errors[at], now.errors[at]))
        moved = float(np.log(now.parameters[at] / before.parameters[at])) / wide if 0 < wide < np.inf else 0.0
        changes.append(Change(name, before.parameters[at], now.parameters[at], moved))
    return tuple(changes)


def compare_inputs(before: Summaries, now: Summaries) -> dict[str, float]:
    """Return the population stability index of orders, silence, age and spend; zero is no change."""
    pairs: dict[str, tuple[npt.NDArray[Any], npt.NDArray[Any]]] = {
        "orders": (before.orders, now.orders),
        "days since the last order": (before.as_of - before.last, now.as_of - now.last),
        "days since the first order": (before.as_of - before.first, now.as_of - now.first),
    }
    if before.has_value and now.has_value:
        pairs["mean value of an order"] = (before.net / before.orders, now.net / now.orders)
    return {name: stability(old.astype(np.float64), new.astype(np.float64)) for name, (old, new) in pairs.items()}


def stability(before: Floats, now: Floats) -> float:
    """Return the population stability index over tenths of the values before; shares of zero count as half a case."""
    if not len(before) or not len(now):
        return 0.0 if len(before) == len(now) else float("inf")
    edges = np.unique(np.quantile(before, np.arange(1, PARTS) / PARTS))
    old, new = (
        np.maximum(np.bincount(np.searchsorted(edges, values, side="left"), minlength=len(edges) + 1), 0.5)
        / len(values)
        for values in (before, now)
    )
    return float(((new - old) * np.log(new / old)).sum())


def judge_drift(changes: tuple[Change, ...], inputs: Mapping[str, float]) -> list[Finding]:
    """Say in words what has moved far enough to look at."""
    said = []
    for change in changes:
        if abs(change.errors) > 4 and not 0.8 < change.now / change.before < 1.25:
            message = f"the parameter {change.name} moved from {change.before:.3g} to {change.now:.3g}"
            said.append(Finding("drift", "warn", message, "Look at the holdout: customers behave in another way."))
    for name, index in inputs.items():
        if index >= MOVED:
            verb = "is of another population" if index >= SHIFTED else "has moved"
            message = f"{name} {verb} since the last run (stability index {index:.2f})"
            said.append(Finding("drift", "warn", message, "Look for a campaign, an import or missing orders."))
    return said
