"""Makes `orders.csv`: orders of a made shop, the same ones every time it is run."""

import csv
import datetime
import random
from pathlib import Path

START, DAYS, CUSTOMERS = datetime.date(2025, 9, 1), 445, 900


def make_orders(seed: int = 7) -> list[tuple[str, str, str, str, str]]:
    """Return orders of customers who order at a pace of their own until they leave for good."""
    chance = random.Random(seed)  # noqa: S311 - made customers
    found = []
    for number in range(CUSTOMERS):
        day, pause = chance.randrange(DAYS * 3 // 4), 4 + chance.gammavariate(1.6, 26)
        worth, leaves = 18 + chance.gammavariate(3, 12), chance.betavariate(1.2, 4.5)
        while day < DAYS:
            paid = max(3.0, worth * chance.gammavariate(8, 1 / 8))
            when = START + datetime.timedelta(days=int(day))
            found.append((f"c{number:04}@example.com", when, paid))
            if chance.random() < leaves:
                break
            day += 1 + chance.expovariate(1 / pause)
    found.sort(key=lambda order: (order[1], order[0]))
    return [
        (f"o{number:05}", email, str(when), f"{paid:.2f}", "EUR") for number, (email, when, paid) in enumerate(found, 1)
    ]


if __name__ == "__main__":
    with (Path(__file__).parent / "orders.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["order_id", "email", "ordered_at", "total", "currency"])
        writer.writerows(make_orders())
