"""Turns amounts into minor units of their currency, exactly: the unit is declared, nothing is rounded or guessed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Context, Decimal
from typing import Any, Literal

from penstock.base.errors import MappingError

Unit = Literal["major", "minor"]

_NUMBER = re.compile(r"[+-]?\d{1,30}(?:\.\d{1,30})?", re.ASCII)
_EXACT = Context(prec=70)
_LARGEST = 2**53
_HINTS = {
    "major": "Round it in your data, or in the mapping: ${{ record.total | float | round(2) }}.",
    "minor": "Set `amount_unit: major` where 42.00 means 42 dollars.",
}


def _refuse(code: str, message: str, hint: str = "") -> MappingError:
    return MappingError(message, code=code, hint=hint)


def to_minor(value: Any, digits: int, unit: Unit) -> int:
    """Return an amount in minor units; `digits` are those of the currency (ISO 4217: USD 2, JPY 0, KWD 3).

    `major` turns 42.00 into 4200; `minor` takes 4200 as it is. Raises `MappingError` for what is
    no plain number, for more decimals than the currency has, and below zero, since the vendor
    documents neither refunds nor corrections.
    """
    if digits == 2 and unit == "major" and type(value) is str and 3 < len(value) < 16 and value[-3] == ".":
        cents = value[:-3] + value[-2:]  # 42.00, as nearly all amounts are written
        if cents.isdigit() and cents.isascii():
            return int(cents)
    number = _read(value)
    scaled = number.scaleb(digits, _EXACT) if unit == "major" else number
    amount = int(scaled)
    if amount != scaled:
        raise _refuse(
            "money.precision",
            f"has more decimals than the currency's {digits}" if unit == "major" else "is no whole number",
            _HINTS[unit],
        )
    if amount < 0:
        raise _refuse("money.negative", "is below zero", "Refunds cannot be sent: the vendor documents no way to.")
    if amount > _LARGEST:
        raise _refuse("money.too-large", "is larger than any amount")
    return amount


def _read(value: Any) -> Decimal:
    if isinstance(value, (str, float, Decimal)) or (type(value) is int and abs(value) <= _LARGEST):
        text = value.strip() if isinstance(value, str) else repr(value) if isinstance(value, float) else str(value)
        if _NUMBER.fullmatch(text):
            return Decimal(text)
    raise _refuse("money.not-a-number", "is not a plain number", "Write 1299.50: no currency sign, no comma.")


def read_currency(value: Any, currencies: Mapping[str, int]) -> str:
    """Return a currency as its three capital letters; raises `MappingError` for what ISO 4217 does not list."""
    code = value.strip().upper() if isinstance(value, str) else ""
    if code not in currencies:
        raise _refuse("money.unknown-currency", "is not a currency of ISO 4217", "Write three letters, such as EUR.")
    return code
