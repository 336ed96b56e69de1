"""What counts as an order is a stated rule, and whatever is left out is said."""

import datetime

import duckdb
import numpy as np
import pytest

from cohorts import TODAY, log_of, orders
from penstock.base.errors import InputError, PenstockError
from penstock.base.types import Page, Problem, Record, Reject
from penstock.features.customer_value.orders import OrderColumns, OrderLog, OrderRules
from penstock.features.customer_value.summaries import Summaries, to_date


def day(number):
    return datetime.date(2026, 1, number)


def row_of(log, customer, **window):
    summaries = log.summaries(**window)
    at = list(summaries.customers).index(customer)
    return {name: getattr(summaries, name)[at] for name in ("orders", "first", "last", "total", "first_total")}


def findings(log):
    return {finding.name: finding for finding in log.quality.findings}


def test_orders_of_one_day_are_one_order():
    row = row_of(log_of([("a", day(1), 5), ("a", day(1), 7), ("a", day(9), 1)]), "a")
    assert (row["orders"], row["total"], row["first_total"]) == (2, 13, 12)
    assert (to_date(row["first"]), to_date(row["last"])) == (day(1), day(9))


def test_orders_of_one_week_are_one_order_with_a_grain_of_seven_days():
    monday = datetime.date(2026, 1, 5)
    rows = [("a", monday + datetime.timedelta(days=at), 1) for at in (0, 6, 7, 20)]
    row = row_of(log_of(rows, OrderRules(grain=7)), "a")
    assert row["orders"] == 3
    assert to_date(row["first"]) == monday


@pytest.mark.parametrize(("unit", "age"), [(1, 30), (7, 30 / 7), (365.25, 30 / 365.25)])
def test_the_unit_only_scales_time(unit, age):
    log = log_of([("a", day(1), 5), ("b", day(31), 7)], OrderRules(unit=unit))
    assert log.summaries().grouped[0].age.max() == pytest.approx(age)


def test_refunds_are_no_orders_and_are_said():
    rows = [("a", day(1), 50), ("a", day(9), 20), ("a", day(12), -20), ("b", day(3), -5)]
    left_out, net = log_of(rows), log_of(rows, OrderRules(refunds="net"))
    assert row_of(left_out, "a")["total"] == 70
    assert net.summaries().net.tolist() == [50]
    assert [row_of(log, "a")["orders"] for log in (left_out, net)] == [2, 2]
    assert "2 refunds of 25.00" in findings(net)["refunds"].message
    assert len(left_out.summaries()) == 1


def test_orders_worth_nothing_count_by_rule():
    rows = [("a", day(1), 5), ("a", day(9), 0)]
    assert row_of(log_of(rows), "a")["orders"] == 2
    assert row_of(log_of(rows, OrderRules(zeros="drop")), "a")["orders"] == 1
    assert "count as orders" in findings(log_of(rows))["zeros"].message


def test_a_hundred_thousand_duplicates_are_one_order():
    log = log_of([("a", day(1), 5)] * 100_000 + [("b", day(2), 5)])
    assert row_of(log, "a")["total"] == 5
    assert "99,999 rows" in findings(log)["duplicates"].message


def test_duplicates_count_each_where_that_is_the_rule():
    log = log_of([("a", day(1), 5)] * 3, OrderRules(duplicates="keep"))
    assert row_of(log, "a")["total"] == 15
    assert "count each" in findings(log)["duplicates"].message


def test_orders_in_the_future_are_left_out_and_said():
    log = log_of([("a", day(1), 5), ("a", TODAY + datetime.timedelta(days=1), 5)])
    assert log.last_day == day(1)
    assert findings(log)["future"].verdict == "warn"


def test_a_row_without_customer_date_or_number_is_left_out_and_said():
    rows = [("a", day(1), 5), ("  ", day(1), 5), (None, day(1), 5), ("a", "31/12/2025", 5), ("a", day(2), "5 €"),
            ("a", day(3), float("nan")), ("a", day(3), float("inf")), ("a", day(4), None)]  # fmt: skip
    log = log_of(rows)
    assert row_of(log, "a")["orders"] == 1
    assert [findings(log)[name].message.split()[0] for name in ("customers", "dates", "values")] == ["2", "1", "4"]
    assert findings(log)["dates"].verdict == "fail"


def test_dates_of_another_format_are_read_when_it_is_stated():
    log = log_of([("a", "31.12.2025", 5), ("a", "01.01.2026", 5)], format="%d.%m.%Y")
    assert (log.first_day, log.last_day) == (datetime.date(2025, 12, 31), day(1))


def test_a_time_with_an_offset_belongs_to_the_day_of_the_zone():
    rows = [("a", "2026-01-01T23:30:00Z", 5)]
    assert log_of(rows).last_day == day(1)
    assert log_of(rows, OrderRules(zone="Europe/Berlin")).last_day == day(2)
    assert log_of(rows, OrderRules(zone="America/New_York")).last_day == day(1)


def test_a_mix_of_times_with_and_without_offset_is_said():
    log = log_of([("a", "2026-01-01T23:30:00+01:00", 5), ("b", "2026-01-01 10:00:00", 5)])
    assert "1 of 2 times" in findings(log)["zones"].message


def test_an_unknown_zone_is_refused():
    with pytest.raises(InputError) as caught:
        log_of([("a", day(1), 5)], OrderRules(zone="Middle/Earth"))
    assert caught.value.code == "orders.zone"


def with_currency(rows, **rules):
    records = [dict(zip(("customer", "date", "value", "currency"), row, strict=True)) for row in rows]
    columns = OrderColumns(value="value", currency="currency")
    return OrderLog.from_records(records, columns, OrderRules(**rules), TODAY)


MIXED = [("a", day(1), 10, "EUR"), ("a", day(5), 10, "usd"), ("b", day(2), 3, "EUR")]


def test_values_of_two_currencies_are_never_added():
    log = with_currency(MIXED)
    assert findings(log)["currencies"].verdict == "fail"
    assert log.summaries().has_value is False
    assert row_of(log, "a")["total"] == 0
    assert row_of(log, "a")["orders"] == 2


def test_values_are_added_at_the_given_rates():
    log = with_currency(MIXED, rates={"EUR": 1.0, "USD": 0.5})
    assert row_of(log, "a")["total"] == 15
    assert "currencies" not in findings(log)


def test_a_currency_without_a_rate_is_said():
    assert findings(with_currency(MIXED, rates={"EUR": 1.0}))["currencies"].verdict == "fail"


def test_a_gap_in_the_log_is_said():
    rows = [(f"c{at}", day(1) + datetime.timedelta(days=at), 5) for at in range(100) if not 40 <= at < 60]
    assert "20 days" in findings(log_of(rows))["gaps"].message
    assert "gaps" not in findings(log_of(orders(50)))


def test_a_column_that_is_missing_is_named(tmp_path):
    path = tmp_path / "orders.csv"
    path.write_text("who,date,value\na,2026-01-01,5\n")
    with pytest.raises(InputError) as caught:
        OrderLog.from_file(path, OrderColumns(value="value"), OrderRules(), TODAY)
    assert caught.value.code == "orders.column"
    assert "customer" in caught.value.message


@pytest.mark.parametrize("name", ["orders.xlsx", "absent.csv"])
def test_a_file_that_is_no_order_log_is_refused(tmp_path, name):
    if name != "absent.csv":
        (tmp_path / name).write_text("x")
    with pytest.raises(InputError) as caught:
        OrderLog.from_file(tmp_path / name, OrderColumns(), OrderRules(), TODAY)
    assert caught.value.code == "orders.file"


@pytest.mark.parametrize("rows", [[], [("a", "nonsense", 5)], [("a", TODAY + datetime.timedelta(days=9), 5)]])
def test_a_log_without_a_usable_order_is_refused(rows):
    with pytest.raises(InputError) as caught:
        log_of(rows)
    assert caught.value.code == "orders.empty"


def test_csv_parquet_and_records_say_the_same(tmp_path):
    rows = orders(200)
    text = "".join(f"{customer},{date},{value}\n" for customer, date, value in rows)
    (tmp_path / "o'rders.csv").write_text("customer,date,value\n" + text)
    duckdb.sql(f"SELECT * FROM read_csv('{tmp_path}/o''rders.csv')").write_parquet(str(tmp_path / "orders.parquet"))
    logs = [
        log_of(rows),
        *(
            OrderLog.from_file(tmp_path / name, OrderColumns(value="value"), OrderRules(), TODAY)
            for name in ("o'rders.csv", "orders.parquet")
        ),
    ]
    seen = [sorted(zip(*(getattr(s, name).tolist() for name in NAMES), strict=True)) for s in summaries_of(logs)]
    assert seen[0] == seen[1] == seen[2]


NAMES = ("customers", "orders", "first", "last")


def summaries_of(logs):
    return [log.summaries() for log in logs]


class Shelf:
    """A source of two pages, one with a row that cannot be read."""

    def describe(self):
        return "shelf"

    def identity(self):
        return "shelf"

    async def pages(self, cursor=None, size=500):
        yield Page([Record("1", {"customer": "a", "date": "2026-01-01", "value": 5})])
        yield Page(
            [Record("2", {"customer": "a", "date": "2026-01-03", "value": 6})],
            [Reject("line 3", "??", Problem("data.row", "not a row"))],
        )

    async def count(self):
        return None

    async def close(self):
        return None


async def test_any_source_of_records_is_an_order_log():
    log = await OrderLog.from_source(Shelf(), OrderColumns(value="value"), OrderRules(), TODAY)
    assert row_of(log, "a")["total"] == 11
    assert "1 rows of the source" in findings(log)["rejects"].message


def test_nothing_after_the_last_day_asked_for_is_read():
    log = log_of([("a", day(1), 5), ("a", day(9), 7), ("b", day(10), 9)])
    assert row_of(log, "a", as_of=day(8))["orders"] == 1
    assert list(log.summaries(day(8)).customers) == ["a"]
    summaries, later, worth = log.holdout(day(8), day(10))
    assert (list(summaries.customers), later.tolist(), worth.tolist()) == (["a"], [1], [7])
    assert log.recent(summaries, 28).tolist() == [1]


def test_a_window_beyond_the_log_is_refused():
    log = log_of([("a", day(1), 5), ("a", day(9), 7)])
    for call in (lambda: log.holdout(day(5), day(20)), lambda: log.summaries(datetime.date(2020, 1, 1))):
        with pytest.raises(InputError) as caught:
            call()
        assert caught.value.code == "orders.window"


@pytest.mark.parametrize("rules", [{"grain": 0}, {"unit": 0}, {"unit": float("nan")}])
def test_a_unit_that_is_no_time_is_refused(rules):
    with pytest.raises(InputError) as caught:
        OrderRules(**rules)
    assert caught.value.code == "orders.unit"


def test_summaries_are_kept_in_a_file(tmp_path):
    summaries = log_of(orders(60)).summaries()
    summaries.save(tmp_path / "it's.parquet")
    again = Summaries.load(tmp_path / "it's.parquet")
    assert again.customers.tolist() == summaries.customers.tolist()
    assert np.array_equal(again.squares, summaries.squares)
    assert (again.since, again.as_of, again.unit, again.has_value) == (summaries.since, summaries.as_of, 7.0, True)


def test_days_that_are_counted_already_are_never_added_again():
    log = log_of(orders(60))
    summaries = log.summaries()
    for add in (lambda: summaries.merge(summaries), lambda: summaries.until(log.first_day)):
        with pytest.raises(PenstockError) as caught:
            add()
        assert caught.value.code == "orders.overlap"


def test_the_same_orders_can_be_seen_from_a_later_day():
    summaries = log_of([("a", day(1), 5)]).summaries()
    assert summaries.until(day(11)).grouped[0].age.tolist() == [10 / 7]
