"""What a run of predictions is asked for: where the orders are, which columns, horizons, and what acting costs."""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from penstock.base.errors import InputError
from penstock.base.expression import suggest

_UNITS = {"d": 1.0, "day": 1.0, "w": 7.0, "week": 7.0, "m": 30.4375, "month": 30.4375, "y": 365.25, "year": 365.25}
_SPAN = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-z]+?)s?\s*\Z")


class Part(BaseModel):
    """A closed part of the options; names are written with hyphens."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, alias_generator=lambda name: name.replace("_", "-"),
        validate_by_name=True, validate_by_alias=True,
    )  # fmt: skip


class ColumnWishes(Part):
    """Which column is what; what is not named is guessed from the usual names, and said."""

    contact: str = ""
    """The customer."""
    date: str = ""
    value: str = ""
    currency: str = ""
    order: str = ""
    format: str = ""
    """How dates are written, as `strptime`, where they are not ISO."""


class SignalWishes(Part):
    """Numbers of customers with the day on which each became known."""

    files: dict[str, Any] | None = None
    sql: dict[str, Any] | None = None
    flow: str = ""
    """Name of a flow that judges feedback: its scores are the signal `sentiment`."""
    contact: str = "contact"
    """Column that names the customer as the orders do."""
    date: str = "date"
    """Column of the day from which on it was known."""
    values: list[str] = Field(default=[])
    """Columns of the numbers."""


class Wishes(Part):
    """The options of `source: predictions`, and of `penstock predict`."""

    orders: dict[str, dict[str, Any]]
    """Where the orders come from: one of files, sql, brevo, with its options."""
    columns: ColumnWishes = ColumnWishes()
    """Which column of the orders is what."""
    horizon: float = Field(91.0, gt=0, le=3653)
    """How far to look: 13w, 90d, 3 months; churn is the chance of no order within it."""
    unit: float = Field(7.0, ge=1, le=366)
    """The unit of time that models count in."""
    as_of: datetime.date | None = None
    """The day to look from; nothing after it is read. Without it: today."""
    value_horizon: float = Field(365.25, gt=0, le=36525)
    """Over how long lifetime value is summed."""
    discount: float = Field(0.1, ge=0, le=10)
    """Yearly discount of later money: 0.1 is 10 %."""
    margin: float = Field(1.0, gt=0, le=1)
    """Share of revenue that is kept."""
    zone: str = "UTC"
    """Time zone in which a day begins and ends."""
    refunds: Literal["drop", "net"] = "drop"
    zeros: Literal["keep", "drop"] = "keep"
    duplicates: Literal["drop", "keep"] = "drop"
    rates: dict[str, float] = Field(default={})
    """What one of each currency is worth in the currency of the values."""
    propensity: bool = False
    """Also learn from all that is known, by boosted trees (so do signals); they count only where better."""
    signals: SignalWishes | None = None
    """What else is known of customers and since when, such as the sentiment of their feedback."""
    add: bool = False
    """The orders hold the days since the last run: they are added to what is kept of it."""
    fallback: Literal["", "rfm"] = ""
    """Below the data minimum: rfm gives scores without a forecast; else it is refused."""
    contact_cost: float = Field(0.0, ge=0, allow_inf_nan=False)
    """What it costs to act on one customer, in the currency of the orders."""
    win_back: float = Field(0.05, ge=0, le=1)
    """Share of leavers who order after all when acted on: an assumption, until a held-out group has told."""
    report: str = ""
    """Folder for the report of each run."""

    @field_validator("horizon", "unit", "value_horizon", mode="before")
    @classmethod
    def _read_span(cls, value: Any) -> Any:
        return read_span(value) if isinstance(value, str) else value

    @field_validator("orders")
    @classmethod
    def _check_orders(cls, value: dict[str, Any]) -> dict[str, Any]:
        if len(value) != 1 or not value.keys() <= {"files", "sql", "brevo"}:
            raise ValueError("name exactly one of files, sql, brevo")
        return value

    @field_validator("rates")
    @classmethod
    def _check_rates(cls, value: dict[str, float]) -> dict[str, float]:
        if not all(0 < rate < float("inf") for rate in value.values()):
            raise ValueError("a rate is a number above 0")
        return {name.strip().upper(): rate for name, rate in value.items()}

    @property
    def learns(self) -> bool:
        """Whether more than the orders is learnt from."""
        return self.propensity or self.signals is not None

    @property
    def units(self) -> float:
        """The horizon in units."""
        return self.horizon / self.unit


def read_span(text: str) -> float:
    """Return the days of a span such as 13w, 90d or 3 months; raises `ValueError`."""
    found = _SPAN.match(text.lower())
    if found is None or found[2] not in _UNITS:
        raise ValueError(f"{text!r} is no span of time: write 13w, 90d, 6m or 1y")
    return float(found[1]) * _UNITS[found[2]]


def read_wishes(given: Mapping[str, Any]) -> Wishes:
    """Check the options; raises `InputError` (`input.unknown-option`, `prediction.wrong-option`)."""
    try:
        return Wishes.model_validate(dict(given))
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            known = [field.alias or name for name, field in Wishes.model_fields.items()]
            raise InputError(
                f"predictions have no option {name!r}",
                code="input.unknown-option",
                hint=suggest(name, known) or f"They take {', '.join(known)}.",
            ) from error
        raise InputError(
            f"{name}: {first['msg'].removeprefix('Value error, ')}",
            code="prediction.wrong-option",
            hint="docs/how-to/predictions.md lists the options.",
        ) from error
