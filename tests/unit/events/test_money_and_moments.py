"""Amounts to minor units without rounding, times to milliseconds without guessing."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from penstock.base.errors import MappingError, SettingsError
from penstock.events.contract import load_contract
from penstock.events.moment import moment_reader
from penstock.events.money import read_currency, to_minor

DIGITS = load_contract().digits


@pytest.mark.parametrize(
    ("value", "currency", "minor"),
    [
        ("42.00", "USD", 4200),
        ("129.99", "USD", 12999),
        ("8900", "JPY", 8900),
        ("8900.00", "JPY", 8900),
        ("26.00", "USD", 2600),
        (26, "USD", 2600),
        ("1.234", "KWD", 1234),
        (129.99, "EUR", 12999),
        (0.29, "EUR", 29),
        (Decimal("19.90"), "EUR", 1990),
        ("1.5", "CLF", 15000),
        (" 7 ", "EUR", 700),
        (0, "EUR", 0),
    ],
)
def test_major_units_become_minor_ones_exactly(value, currency, minor):
    assert to_minor(value, DIGITS[currency], "major") == minor


@pytest.mark.parametrize(("value", "minor"), [("4200", 4200), (4200, 4200), (4200.0, 4200), ("4200.00", 4200)])
def test_minor_units_are_taken_as_they_are(value, minor):
    assert to_minor(value, 2, "minor") == minor


@pytest.mark.parametrize(
    ("value", "unit", "reason"),
    [
        ("10.005", "major", "money.precision"),
        (59.980000000000004, "major", "money.precision"),
        ("1.00000000000000000000000000001", "major", "money.precision"),
        ("12.50", "minor", "money.precision"),
        ("-5.00", "major", "money.negative"),
        ("1,299.00", "major", "money.not-a-number"),
        ("129,99", "major", "money.not-a-number"),
        ("$5", "major", "money.not-a-number"),
        ("1e3", "major", "money.not-a-number"),
        ("", "major", "money.not-a-number"),
        (True, "major", "money.not-a-number"),
        (None, "major", "money.not-a-number"),
        (float("nan"), "major", "money.not-a-number"),
        (float("inf"), "major", "money.not-a-number"),
        (Decimal("1E+400000"), "major", "money.not-a-number"),
        ("٤٢", "major", "money.not-a-number"),
        ("99999999999999999", "major", "money.too-large"),
        pytest.param(10**5000, "major", "money.not-a-number", id="huge"),
    ],
)
def test_an_amount_that_is_not_exact_is_refused(value, unit, reason):
    with pytest.raises(MappingError) as caught:
        to_minor(value, 2, unit)
    assert caught.value.code == reason


def test_a_currency_is_three_letters_of_the_standard():
    assert read_currency(" eur ", DIGITS) == "EUR"
    for wrong in ("€", "EURO", "XXX", "", None, 978):
        with pytest.raises(MappingError):
            read_currency(wrong, DIGITS)


MOMENT = 1_795_168_800_000
ISO = "2026-11-20T10:00:00Z"


@pytest.mark.parametrize(
    "value",
    [
        1_795_168_800,
        "1795168800",
        1_795_168_800_000,
        "1795168800000",
        1_795_168_800_000_000,
        1_795_168_800.0,
        "1795168800.000",
        ISO,
        "2026-11-20T11:00:00+01:00",
        "2026-11-20 10:00:00Z",
        datetime(2026, 11, 20, 10, tzinfo=UTC),
    ],
)
def test_todays_times_are_recognised_by_their_size_or_offset(value):
    assert moment_reader()(value) == MOMENT


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (42, "moment.unit-unclear"),
        (99_999_999_999, "moment.unit-unclear"),
        ("20261120", "moment.unit-unclear"),
        ("2026-11-20T10:00:00", "moment.no-offset"),
        ("2026-11-20", "moment.no-offset"),
        (date(2026, 11, 20), "moment.no-offset"),
        ("yesterday", "moment.not-a-time"),
        ("20.11.2026", "moment.not-a-time"),
        (True, "moment.not-a-time"),
        ([], "moment.not-a-time"),
        (float("nan"), "moment.unit-unclear"),
        (-5, "moment.unit-unclear"),
    ],
)
def test_a_time_that_can_be_mistaken_is_refused(value, reason):
    with pytest.raises(MappingError) as caught:
        moment_reader()(value)
    assert caught.value.code == reason


def test_a_declared_unit_or_zone_decides():
    assert moment_reader("s")(42) == 42_000
    assert moment_reader("us")(42_000_000) == 42_000
    assert moment_reader("ms")("42") == 42
    assert moment_reader("iso", "UTC")("2026-11-20T10:00:00") == MOMENT
    assert moment_reader("iso", "Europe/Berlin")("2026-11-20T11:00:00") == MOMENT
    assert moment_reader("auto", "Europe/Berlin")(date(2026, 11, 20)) == MOMENT - 11 * 3_600_000
    with pytest.raises(MappingError):
        moment_reader("iso")(1_795_168_800)
    with pytest.raises(MappingError):
        moment_reader("s")(float("nan"))


def test_an_unknown_zone_is_told_when_the_mapping_is_read():
    with pytest.raises(SettingsError, match="Berlim"):
        moment_reader("iso", "Europe/Berlim")
