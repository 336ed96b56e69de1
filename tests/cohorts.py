"""Customers made by the rules of a model, so that a test knows the truth."""

from __future__ import annotations

import datetime

import numpy as np

from penstock.features.customer_value.orders import OrderColumns, OrderLog, OrderRules

START = datetime.date(2025, 1, 1)
TODAY = datetime.date(2026, 11, 20)


def histories(kind, parameters, count, seed=1, days=(190, 280), unit=7.0):
    """Return repeats, recency and age in days of customers who behave as the model says."""
    chance = np.random.default_rng(seed)
    r, alpha, first, second = parameters
    pace = chance.gamma(r, 1 / alpha, count)
    age = chance.integers(days[0], days[1] + 1, count)
    end = age / unit
    leaves = np.zeros(count)
    if kind == "pareto-nbd":
        end = np.minimum(end, chance.exponential(1 / np.maximum(chance.gamma(first, 1 / second, count), 1e-300)))
    else:
        leaves = chance.beta(first, second, count)
    repeats, last, time = np.zeros(count, int), np.zeros(count), np.zeros(count)
    there = np.arange(count)
    if kind == "mbg-nbd":
        there = there[chance.random(count) >= leaves]
    while len(there):
        time[there] += chance.exponential(1 / np.maximum(pace[there], 1e-12))
        there = there[time[there] <= end[there]]
        repeats[there] += 1
        last[there] = time[there]
        there = there[chance.random(len(there)) >= leaves[there]]
    return repeats, np.minimum(np.ceil(last * unit).astype(int), age), age


def orders(count=1500, days=400, seed=2, value=30.0):
    """Return orders of customers who order at a pace of their own until they leave: customer, day, value."""
    chance = np.random.default_rng(seed)
    found = []
    for customer in range(count):
        day = chance.integers(0, days // 2)
        pause, worth = chance.gamma(1.5, 30) + 2, value * chance.gamma(4, 0.25) + 1
        while day < days:
            found.append(
                (
                    f"c{customer}",
                    START + datetime.timedelta(days=int(day)),
                    round(worth * chance.gamma(6, 1 / 6) + 0.01, 2),
                )
            )
            if chance.random() < 0.2:
                break
            day += 1 + chance.exponential(pause)
    return found


def log_of(rows, rules=None, today=TODAY, **columns):
    """Make an order log of tuples customer, date, value."""
    records = ({"customer": customer, "date": date, "value": value} for customer, date, value in rows)
    return OrderLog.from_records(records, OrderColumns(value="value", **columns), rules or OrderRules(), today)
