"""The word of a flow file about how long a result counts."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import field_validator

from penstock.flows.strict import Strict

_SPAN = re.compile(r"(\d+(?:\.\d+)?)\s*(h|hours?|d|days?|w|weeks?)")
_SECONDS = {"h": 3_600.0, "d": 86_400.0, "w": 604_800.0}
_LONGEST = 100 * 366 * 86_400.0


class ExpirePart(Strict):
    """How long a result counts, and what becomes of it then."""

    age: str
    """Age at which a result no longer counts, such as `180 days`, from when it was judged."""
    then: Literal["recompute", "clear"] = "recompute"
    """`recompute`: judged anew by the next run, held answers of that age are not used. `clear`: taken from Brevo."""

    @field_validator("age")
    @classmethod
    def _check_age(cls, value: str) -> str:
        read_span(value)
        return value

    @property
    def seconds(self) -> float:
        """Return the age in seconds."""
        return read_span(self.age)


def read_span(text: str) -> float:
    """Return a span such as `180 days`, `26w` or `36 hours` in seconds; raises `ValueError`."""
    found = _SPAN.fullmatch(text.strip().lower())
    seconds = float(found[1]) * _SECONDS[found[2][0]] if found else 0.0
    if not 0 < seconds <= _LONGEST:
        raise ValueError(f"{text[:40]!r} is no age: write it as 180 days, 26 weeks or 36 hours")
    return seconds
