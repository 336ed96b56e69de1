"""Why a customer is judged as it is: sentences from its own history beside everyone's, not from the model's inside."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from penstock.features.customer_value.predictions import Predictions
from penstock.features.customer_value.rows import Floats
from penstock.features.customer_value.summaries import Summaries, to_date


@dataclass(frozen=True)
class Reasons:
    """Explains single customers of one run; what it needs of everyone is worked out once."""

    summaries: Summaries
    predictions: Predictions
    typical_churn: float
    typical_spend: float

    @classmethod
    def of(cls, summaries: Summaries, predictions: Predictions) -> Reasons:
        """Prepare to explain the customers of these summaries."""
        spend = predictions.spend
        known = spend[np.isfinite(spend)] if spend is not None else np.empty(0)
        return cls(summaries, predictions, _middle(predictions.churn), _middle(known))

    def explain(self, at: int) -> list[str]:
        """Return up to four sentences about the customer at a place of the summaries, the weightiest first."""
        known, said = self.summaries, []
        orders, silence = int(known.orders[at]), int(known.as_of - known.last[at])
        said.append(self._history(at, orders, silence))
        if orders > 1:
            said.append(_rhythm((int(known.last[at]) - int(known.first[at])) / (orders - 1), silence))
        churn = float(self.predictions.churn[at])
        side = "above" if churn > self.typical_churn else "below"
        if abs(churn - self.typical_churn) > 0.02:
            typical = f"{side} the {self.typical_churn:.0%} of a typical customer"
            said.append(f"The chance of no order within the horizon is {churn:.0%}, {typical}.")
        if self.predictions.spend is not None and orders > 1 and self.typical_spend > 0:
            ratio = float(self.predictions.spend[at]) / self.typical_spend
            if not 0.8 < ratio < 1.25:
                said.append(f"An order is expected to be worth {ratio:.1f} times a typical customer's.")
        return said

    def _history(self, at: int, orders: int, silence: int) -> str:
        last = to_date(int(self.summaries.last[at]))
        if orders == 1:
            return f"Ordered once, on {last}, {_days(silence)} ago; whether it comes back is known from others alone."
        return f"Ordered on {orders} days, the last time on {last}, {_days(silence)} ago."


def _rhythm(pause: float, silence: int) -> str:
    usual = _days(max(1, round(pause)))
    ratio = silence / max(pause, 1.0)
    if ratio < 1:
        return f"It usually orders every {usual}: the next order is not due yet."
    if ratio < 2:
        return f"It usually orders every {usual}: the next order is due."
    return f"It usually orders every {usual}: it has been silent for {ratio:.1f} times as long."


def _days(count: int) -> str:
    return "1 day" if count == 1 else f"{count:,} days"


def _middle(values: Floats) -> float:
    return float(np.median(values)) if len(values) else 0.0
