"""Customer value beside `lifetimes` and beside the floor of one aggregation: `python benchmarks/lifetime.py`.

`fit`: BG/NBD at a million made customers whose orders are counted in days, each side in a process of its own, from
plain columns to parameters; merging equal histories counts for Penstock.
`orders`: ten million orders in a Parquet file of a million customers. The floor is one DuckDB aggregation by customer
that fetches count, first and last day, and sum. The floor of days counts what the models need, days with an order: the
same aggregation over one by customer and day, with the sum of squares. Penstock reads the same file, looks for what is
wrong with it (duplicates too), counts days with an order, fits MBG/NBD and Gamma-Gamma and predicts every customer.
"""

from __future__ import annotations

import argparse
import statistics

from harness import folder, run_child, save

COHORT = """
import json, sys, time
import numpy as np

def cohort(count):
    made = np.random.default_rng(1)
    pace, leaves = made.gamma(0.2426, 1 / 4.4136, count), made.beta(0.7929, 2.4259, count)
    age = made.integers(27 * 7, 39 * 7 + 1, count)
    time, last, repeats = np.zeros(count), np.zeros(count), np.zeros(count, int)
    there = np.arange(count)
    while len(there):
        time[there] += made.exponential(1 / np.maximum(pace[there], 1e-12))
        there = there[time[there] * 7 <= age[there]]
        repeats[there] += 1
        last[there] = time[there]
        there = there[made.random(len(there)) >= leaves[there]]
    return repeats, np.floor(last * 7).astype(int), age

repeats, last, age = cohort(int(sys.argv[1]))
wall, cpu = time.perf_counter, time.process_time
"""

OURS = (
    COHORT
    + """
from penstock.features.customer_value.beta_geometric import BgNbd
from penstock.features.customer_value.rows import Rows
runs = []
for _ in range(7):
    started, used = wall(), cpu()
    fit = BgNbd.fit(Rows.merged(repeats, last, age, 7.0))
    runs.append((cpu() - used, wall() - started))
print(json.dumps({"parameters": fit.parameters, "log_likelihood": fit.log_likelihood,
                  "fit_cpu": sorted(run[0] for run in runs)[3], "fit_seconds": sorted(run[1] for run in runs)[3]}))
"""
)

LIFETIMES = (
    COHORT
    + """
import warnings
warnings.simplefilter("ignore")
import lifetimes
x, recency, T = repeats.astype(float), last / 7, age / 7
started, used = wall(), cpu()
fitter = lifetimes.BetaGeoFitter().fit(x, recency, T, tol=1e-9)
seconds, spent = wall() - started, cpu() - used
print(json.dumps({"parameters": [float(value) for value in fitter.params_], "fit_cpu": spent, "fit_seconds": seconds}))
"""
)

MAKING = """
import duckdb, sys
rows, customers = int(sys.argv[2]), int(sys.argv[2]) // 10
duckdb.sql("SET threads = 2; SET enable_progress_bar = false")
duckdb.sql(f"COPY (SELECT 'c' || lpad(who::VARCHAR, 8, '0') AS customer, TIMESTAMP '2024-01-01' + "
           f"to_seconds((hash(who) % 31536000 + hash(i) % (1 + hash(who * 3) % 31536000))::BIGINT) AS date, "
           f"round(5 + (hash(i * 5) % 2000) / 100.0 * (1 + hash(who * 7) % 9), 2)::DOUBLE AS value FROM (SELECT i, "
           f"floor({customers} * pow((hash(i * 11) % 100000000) / 1e8, 1.5))::BIGINT AS who FROM range({rows}) t(i))) "
           f"TO '{sys.argv[1]}' (FORMAT parquet)")
print("{}")
"""

FLOOR = """
import duckdb, json, sys, time
duckdb.sql("SET threads = 2; SET enable_progress_bar = false")
orders = "SELECT customer, date::DATE AS day, value FROM '" + sys.argv[1] + "'"
more = ""
if sys.argv[2] == "days":
    orders = f"SELECT customer, day, sum(value) AS value FROM ({orders}) GROUP BY ALL"
    more = ", sum(value * value) AS q"
started, used = time.perf_counter(), time.process_time()
found = duckdb.sql(f"SELECT customer, count(*) AS n, min(day) AS a, max(day) AS b, sum(value) AS s{more} "
                   f"FROM ({orders}) GROUP BY customer").fetchnumpy()
print(json.dumps({"customers": len(found["n"]), "work_cpu": time.process_time() - used,
                  "work_seconds": time.perf_counter() - started}))
"""

WHOLE = """
import datetime, json, sys, time
from pathlib import Path
from penstock.features.customer_value.choose import MODELS, fit_spend
from penstock.features.customer_value.orders import OrderColumns, OrderLog, OrderRules
from penstock.features.customer_value.predictions import predict
marks, started, used = {}, time.perf_counter(), time.process_time()

def mark(name):
    marks[name] = round(time.process_time() - used, 3)

log = OrderLog.from_file(Path(sys.argv[1]), OrderColumns(value="value"), OrderRules(), datetime.date(2026, 11, 20))
mark("inspected")
summaries = log.summaries()
mark("counted")
rows, _ = summaries.grouped
kind = MODELS["mbg-nbd"]
model = kind(*kind.fit(rows).parameters)
spend = fit_spend(summaries)[0]
mark("fitted")
found = predict(model, summaries, 13, spend, value_horizon=52, discount=0.1)
mark("predicted")
print(json.dumps({"customers": len(found.churn), "work_cpu": time.process_time() - used,
                  "work_seconds": time.perf_counter() - started, "marks": marks}))
"""


def median(runs: list[dict[str, object]], name: str) -> float:
    return statistics.median(float(str(run[name])) for run in runs)


def measure_fit(customers: int, rounds: int) -> dict[str, object]:
    ours = [run_child(OURS, str(customers)) for _ in range(rounds)]
    theirs = [run_child(LIFETIMES, str(customers)) for _ in range(rounds)]
    pairs = zip(ours[0]["parameters"], theirs[0]["parameters"], strict=True)
    return {
        "customers": customers,
        "seconds": median(ours, "fit_seconds"),
        "lifetimes_seconds": median(theirs, "fit_seconds"),
        "times_faster": round(median(theirs, "fit_seconds") / median(ours, "fit_seconds"), 1),
        "times_less_cpu": round(median(theirs, "fit_cpu") / median(ours, "fit_cpu"), 1),
        "largest_relative_difference": max(abs(own / other - 1) for own, other in pairs),
        "parameters": ours[0]["parameters"],
    }


def measure_orders(orders: int, rounds: int) -> dict[str, object]:
    with folder() as place:
        path = str(place / "orders.parquet")
        run_child(MAKING, path, str(orders))
        floors, days, wholes = [], [], []
        for _ in range(rounds):
            floors.append(run_child(FLOOR, path, "plain"))
            days.append(run_child(FLOOR, path, "days"))
            wholes.append(run_child(WHOLE, path))
    result: dict[str, object] = {"orders": orders, "customers": wholes[0]["customers"]}
    for name in ("cpu", "seconds"):
        own, floor, by_day = (median(runs, f"work_{name}") for runs in (wholes, floors, days))
        result |= {
            name: round(own, 3),
            f"floor_{name}": round(floor, 3),
            f"floor_of_days_{name}": round(by_day, 3),
            f"times_the_floor_{name}": round(own / floor, 2),
            f"times_the_floor_of_days_{name}": round(own / by_day, 2),
        }
    return {**result, "cpu_after_each_step": wholes[-1]["marks"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", default=["fit", "orders"])
    parser.add_argument("--customers", type=int, default=1_000_000)
    parser.add_argument("--orders", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    result = {}
    if "fit" in options.parts:
        result["fit"] = measure_fit(options.customers, options.rounds)
    if "orders" in options.parts:
        result["orders"] = measure_orders(options.orders, options.rounds)
    save("lifetime", result)


if __name__ == "__main__":
    main()
