"""Price lists as a catalogue file states them, and what a usage costs by them in whole picodollars.

Lists are decimal dollars; each tier is turned once into integers, because every paid call is priced twice.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime
from decimal import ROUND_CEILING, Decimal
from typing import NamedTuple

import msgspec

from penstock.base.types import DOLLAR, Money, Usage

_MILLION = 1_000_000
_TIERS = {
    "": "standard",
    "auto": "standard",
    "default": "standard",
    "standard": "standard",
    "batch": "batch",
    "flex": "flex",
    "fast": "fast",
    "priority": "fast",
    "ultrafast": "ultrafast",
}

_OF_MEDIA = ("image_input", "image_cached", "image_output", "audio_input", "audio_output", "minute", "characters")


class Rates(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Dollars per million tokens, per million characters and per minute of audio; None where none is published.

    `input`, `cached`, `write` and `output` are text, and whatever of another kind has no rate of its own.
    """

    input: Decimal | None = None
    cached: Decimal | None = None
    write: Decimal | None = None
    output: Decimal | None = None
    image_input: Decimal | None = None
    image_cached: Decimal | None = None
    image_output: Decimal | None = None
    audio_input: Decimal | None = None
    audio_output: Decimal | None = None
    minute: Decimal | None = None
    characters: Decimal | None = None


class LongRates(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Rates of the whole request once its input is above `over` tokens."""

    over: int
    standard: Rates | None = None
    batch: Rates | None = None
    flex: Rates | None = None
    fast: Rates | None = None
    ultrafast: Rates | None = None
    decide: Rates | None = None


class Prices(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Prices of one period, by service tier; `decide` is the Decisions API."""

    start: date | None = msgspec.field(default=None, name="from")
    standard: Rates | None = None
    batch: Rates | None = None
    flex: Rates | None = None
    fast: Rates | None = None
    ultrafast: Rates | None = None
    decide: Rates | None = None
    long: LongRates | None = None

    def rates(self, row: str, input_tokens: int) -> Rates | None:
        """Return the rates of a tier for a request of this size, None where none is published."""
        sheet = self.long if self.long and input_tokens > self.long.over else self
        found: Rates | None = getattr(sheet, row)
        return found


class Sheet:
    """The rates of one tier in picodollars per million units, or per minute: a price is a few whole products."""

    __slots__ = (
        "_audio_input",
        "_audio_output",
        "_cached",
        "_characters",
        "_image_cached",
        "_image_input",
        "_image_output",
        "_input",
        "_is_free",
        "_is_text",
        "_minute",
        "_most_input",
        "_most_output",
        "_output",
        "_write",
    )

    def __init__(self, rates: Rates) -> None:
        """Take the rates; reads and writes of the cache without a rate of their own are plain input."""
        self._input = _scale(rates.input)
        self._cached = _scale(rates.cached, self._input)
        self._write = _scale(rates.write, self._input)
        self._output = _scale(rates.output)
        self._image_input = _scale(rates.image_input, self._input)
        self._image_cached = _scale(
            rates.image_cached, self._cached if rates.image_input is None else self._image_input
        )
        self._image_output = _scale(rates.image_output)
        self._audio_input = _scale(rates.audio_input)
        self._audio_output = _scale(rates.audio_output)
        self._minute = _scale(rates.minute)
        self._characters = _scale(rates.characters)
        pictures = (self._image_input, self._image_cached)
        self._most_input = _most(self._input, self._cached, self._write, *pictures, self._audio_input)
        self._most_output = _most(self._output, self._image_output, self._audio_output)
        self._is_text = rates.input is not None and all(getattr(rates, name) is None for name in _OF_MEDIA)
        self._is_free = all(not getattr(rates, field.name) for field in msgspec.structs.fields(Rates))

    def cost(self, usage: Usage) -> Money | None:
        """Return what `usage` costs; None where a rate that it needs is missing, or nothing was counted at all.

        Cached and written tokens are taken to be inside the input, reasoning inside the output
        (vendor pricing page, 2026-10; that writes are inside is an assumption).
        """
        if not self._is_text or (usage.images or usage.image_output or usage.audio_input or usage.audio_output):
            return self._cost_of_media(usage)
        taken, cached, written, given = usage.input, usage.cached, usage.cache_write, usage.output
        if given and self._output is None:
            return None
        if not taken and not given and not self._is_free:
            return None
        total = max(taken - cached - written, 0) * self._input + cached * self._cached + written * self._write  # type: ignore[operator]
        return -(-(total + given * (self._output or 0)) // _MILLION)

    def worst(self, input_tokens: int, output_tokens: int, seconds: float, characters: int) -> Money | None:
        """Return the most that a request of this size can cost: the dearest reading of each token."""
        if self._minute is not None or self._characters is not None:
            return self.cost(Usage(seconds=seconds, characters=characters))
        if self._most_input is None or (output_tokens and self._most_output is None):
            return None
        return -(-(input_tokens * self._most_input + output_tokens * (self._most_output or 0)) // _MILLION)

    def _cost_of_media(self, usage: Usage) -> Money | None:
        if self._is_free:
            return 0
        if self._characters is not None:
            return -(-usage.characters * self._characters // _MILLION) if usage.characters else None
        if self._minute is not None:
            minutes = Decimal(str(usage.seconds)) / 60
            return int((minutes * self._minute).to_integral_value(ROUND_CEILING)) or None
        if (usage.images and not usage.output) or not (usage.input or usage.output):
            return None
        parts = [*self._input_parts(usage), *self._output_parts(usage)]
        if any(amount and rate is None for amount, rate in parts):
            return None
        return -(-sum(amount * (rate or 0) for amount, rate in parts) // _MILLION)

    def _input_parts(self, usage: Usage) -> Iterable[tuple[int, int | None]]:
        """Split the input by kind; cached tokens count as text first, so that the invoice is at most this."""
        audio = usage.audio_input
        if self._audio_input is not None and not audio:  # the split is not reported, and somebody was listened to
            audio = usage.input
        image = min(usage.image_input, usage.input - audio)
        text = max(usage.input - image - audio - usage.cache_write, 0)
        cached_text = min(usage.cached, text)
        cached_image = min(usage.cached - cached_text, image)
        yield text - cached_text, self._input
        yield cached_text, self._cached
        yield usage.cache_write, self._write
        yield image - cached_image, self._image_input
        yield cached_image, self._image_cached
        yield audio, self._audio_input

    def _output_parts(self, usage: Usage) -> Iterable[tuple[int, int | None]]:
        image = usage.image_output
        if usage.images and not image:  # the split is not reported, and pictures are the dear part
            image = usage.output
        audio = usage.audio_output
        yield max(usage.output - image - audio, 0), self._output
        yield image, self._image_output
        yield audio, self._audio_output


class Period(NamedTuple):
    """The sheets of one tier from a time on: for usual requests, and for those above `over` input tokens."""

    start: float
    over: float
    short: Sheet | None
    long: Sheet | None


def list_periods(prices: Iterable[Prices], tier: str, operation: str) -> tuple[Period, ...]:
    """Return the sheets of a service tier, newest first; none where the tier has no row in a price list."""
    row = _TIERS.get(tier)
    if operation == "decide":
        row = "decide" if row == "standard" else None
    if row is None:
        return ()
    return tuple(_period(one, row) for one in sorted(prices, key=lambda one: one.start or date.min, reverse=True))


def find_sheet(periods: tuple[Period, ...], at: float | None, input_tokens: int) -> Sheet | None:
    """Return the sheet in force at a time (None: the newest) for a request of this size."""
    for period in periods:
        if at is None or at >= period.start:
            return period.long if input_tokens > period.over else period.short
    return None


def _period(prices: Prices, row: str) -> Period:
    start = to_time(prices.start) if prices.start else float("-inf")
    long = prices.long
    return Period(start, long.over if long else float("inf"), _sheet(prices, row), _sheet(long, row) if long else None)


def _sheet(prices: Prices | LongRates, row: str) -> Sheet | None:
    rates: Rates | None = getattr(prices, row)
    return Sheet(rates) if rates else None


def to_time(day: date) -> float:
    """Return the seconds since 1970 at which a day begins (UTC)."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()


def _scale(rate: Decimal | None, otherwise: int | None = None) -> int | None:
    return otherwise if rate is None else int((rate * DOLLAR).to_integral_value(ROUND_CEILING))


def _most(*rates: int | None) -> int | None:
    return max((rate for rate in rates if rate is not None), default=None)
