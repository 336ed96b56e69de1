"""How much must be known before a forecast is more than a number out of nothing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from penstock.base.errors import InputError
from penstock.features.customer_value.summaries import Summaries, to_date

NOT_ENOUGH = "prediction.not-enough-data"


@dataclass(frozen=True)
class Minimum:
    """The least that a model is fitted to.

    `customers` who ordered, `days` from the first order to the last day, `frequent` of them with three orders or
    more, and the newest order at most `silent` days old.
    """

    customers: int = 500
    days: int = 180
    frequent: int = 10
    silent: int = 30

    def check(self, summaries: Summaries) -> None:
        """Raise `InputError` (`prediction.not-enough-data`) that names everything that is missing."""
        lacks = self.lacks(summaries)
        if lacks:
            raise InputError(
                f"not enough data, because {', and '.join(lacks)}",
                code=NOT_ENOUGH,
                hint="Bring a longer log, or use the RFM scores, which need no model.",
            )

    def lacks(self, summaries: Summaries) -> list[str]:
        """Return what is missing, in words; empty when nothing is."""
        count = len(summaries)
        span = summaries.as_of - int(np.min(summaries.first, initial=summaries.as_of))
        newest = int(np.max(summaries.last, initial=summaries.since))
        often = int((summaries.orders >= 3).sum())
        said = []
        if count < self.customers:
            said.append(f"{count:,} customers ordered and {self.customers:,} are needed")
        if span < self.days:
            said.append(f"the log covers {span} days and {self.days} are needed")
        if often < self.frequent:
            said.append(f"{often} customers have three orders or more and {self.frequent} are needed")
        if summaries.as_of - newest > self.silent:
            said.append(f"the newest order is of {to_date(newest)}, more than {self.silent} days before the last day")
        return said
