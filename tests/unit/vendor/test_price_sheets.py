"""A sheet in whole numbers against the same sum in fractions, for any rates and any usage."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from penstock.base.types import DOLLAR, Usage
from penstock.vendor.prices import Prices, Rates, Sheet, find_sheet, list_periods

rates = st.decimals(0, 1000, places=6)
tokens = st.integers(0, 10**9)


@given(
    given_rates=st.tuples(rates, st.none() | rates, st.none() | rates, rates),
    amounts=st.tuples(tokens, tokens, tokens, tokens),
)
def test_text_costs_exactly_the_sum_of_its_parts_rounded_up(
    given_rates: tuple[Decimal, Decimal | None, Decimal | None, Decimal], amounts: tuple[int, int, int, int]
) -> None:
    plain, cached, written, output = amounts
    taken, cheap, dear, given_out = given_rates
    usage = Usage(plain + cached + written, cached, written, output)
    sheet = Sheet(Rates(input=taken, cached=cheap, write=dear, output=given_out))
    parts = (
        (plain, taken),
        (cached, taken if cheap is None else cheap),
        (written, taken if dear is None else dear),
        (output, given_out),
    )
    exact = sum((Fraction(amount) * Fraction(rate) for amount, rate in parts), Fraction()) * DOLLAR / 1_000_000
    is_free = not any((taken, cheap, dear, given_out))
    expected = math.ceil(exact) if usage.input or usage.output or is_free else None
    assert sheet.cost(usage) == expected


@given(
    split=st.tuples(tokens, tokens, tokens, tokens),
    cached=tokens,
    own=st.tuples(rates, rates, rates, rates, rates, rates),
)
def test_every_token_of_a_picture_is_billed_once(
    split: tuple[int, int, int, int], cached: int, own: tuple[Decimal, ...]
) -> None:
    text, image, text_out, image_out = split
    cached = min(cached, text + image)
    one = Decimal(1)
    usage = Usage(
        text + image,
        cached,
        0,
        text_out + image_out,
        image_input=image,
        image_output=image_out,
        images=min(image_out, 1),
    )
    same = Sheet(Rates(one, one, one, one, image_input=one, image_cached=one, image_output=one))
    total = usage.input + usage.output
    assert same.cost(usage) == (total * DOLLAR // 1_000_000 if total and (usage.output or not usage.images) else None)
    names = ("input", "cached", "output", "image_input", "image_cached", "image_output")
    real = Sheet(Rates(**dict(zip(names, own, strict=True))))
    cost, worst = real.cost(usage), real.worst(usage.input, usage.output, 0.0, 0)
    assert cost is None or (worst is not None and cost <= worst)


@given(st.floats(0.001, 10**6), rates)
def test_time_costs_its_share_of_a_minute_rounded_up(seconds: float, rate: Decimal) -> None:
    cost = Sheet(Rates(minute=rate)).cost(Usage(seconds=seconds))
    exact = Fraction(str(seconds)) * Fraction(rate) * DOLLAR / 60
    assert (cost or 0) - exact < 2
    assert exact - (cost or 0) <= Fraction(1, 1000)


def test_a_free_list_costs_nothing_and_an_empty_one_is_no_list() -> None:
    assert Sheet(Rates(minute=Decimal(0))).cost(Usage(seconds=60)) == 0
    assert Sheet(Rates(input=Decimal(1))).cost(Usage()) is None
    assert list_periods([Prices(standard=Rates(input=Decimal(1)))], "scale", "") == ()
    assert find_sheet((), 0.0, 1) is None
