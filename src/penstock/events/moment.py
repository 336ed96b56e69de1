"""Turns the times of records into Unix milliseconds, where their unit is declared or cannot be mistaken."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, tzinfo
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from penstock.base.errors import MappingError, SettingsError

UNITS = {"s": 1000, "ms": 1}
_DIGITS = re.compile(r"-?\d{1,20}(?:\.\d{1,9})?", re.ASCII)
_LAST = 253_402_300_800_000  # the year 10000


def _refuse(code: str, message: str, hint: str = "") -> MappingError:
    return MappingError(message, code=code, hint=hint)


def moment_reader(unit: str = "auto", zone: str = "") -> Callable[[Any], int]:
    """Return what reads times into milliseconds.

    `unit` is `s`, `ms`, `us`, `iso`, or `auto`: then the size of a number tells, as today's seconds,
    milliseconds and microseconds lie a thousandfold apart. A time without an offset is refused
    unless `zone` names its zone (`UTC`, `Europe/Berlin`); so is a bare date.
    """
    place = _zone(zone) if zone else None

    def read(value: Any) -> int:
        if isinstance(value, str):
            value = value.strip()
            if value[4:5] == "-" or not _DIGITS.fullmatch(value):
                return _from_iso(value, place)
            value = int(value) if value.isdigit() else Decimal(value)
        elif isinstance(value, date):
            return _from_iso(value.isoformat(), place)
        if unit == "iso" or isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
            raise _refuse(
                "moment.not-a-time", "is not a time", "Write 2026-11-20T09:30:00Z, or Unix seconds or milliseconds."
            )
        return _from_number(value, unit)

    return read


def _zone(name: str) -> tzinfo:
    try:
        return UTC if name.upper() == "UTC" else ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise SettingsError(
            f"there is no time zone {name!r}", code="settings.zone", hint="Write UTC, or a name such as Europe/Berlin."
        ) from error


def _from_number(value: float | Decimal, unit: str) -> int:
    if unit == "auto":
        unit = _guess(value)
    try:
        amount = Decimal(repr(value)) if isinstance(value, float) else value
        milliseconds = int(amount // 1000) if unit == "us" else int(amount * UNITS[unit])
    except (ArithmeticError, ValueError) as error:
        raise _refuse("moment.not-a-time", "is not a time") from error
    if not 0 <= milliseconds < _LAST:
        raise _refuse("moment.not-a-time", "is not a time of these centuries")
    return milliseconds


def _guess(value: float | Decimal) -> str:
    for unit, least in (("s", 10**9), ("ms", 10**12), ("us", 10**15)):
        if least <= value < 5 * least:
            return unit
    raise _refuse(
        "moment.unit-unclear",
        "is a number whose unit cannot be told",
        "Declare `timestamp_unit:` as s, ms or us in the mapping.",
    )


def _from_iso(text: str, zone: tzinfo | None) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise _refuse("moment.not-a-time", "is not a time", "Write 2026-11-20T09:30:00Z.") from error
    if moment.tzinfo is None:
        if zone is None:
            raise _refuse(
                "moment.no-offset",
                "has no offset from UTC",
                "Write it with Z or +01:00, or declare `timezone:` in the mapping.",
            )
        moment = moment.replace(tzinfo=zone)
    try:
        return round(moment.timestamp() * 1000)
    except (OverflowError, ValueError) as error:
        raise _refuse("moment.not-a-time", "is not a time of these centuries") from error
