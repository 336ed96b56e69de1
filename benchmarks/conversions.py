"""CPU per conversion event, from a file to batches of bytes: `python benchmarks/conversions.py`.

Over the same file of JSON lines, in turn, each in a process of its own. The floor decodes each line, makes the same
number of SHA-256 and encodes an event of the same size, without normalising or checking anything. The plain loop is
what one would write in an afternoon: a pydantic model, hashlib, json. With `--kit FOLDER`, in which
`npm install @segment/actions-core liquidjs` was run, Segment's mapping kit does the same under Node. CPU seconds of the
measured process, without its start. Further sizes show how the figure grows with the number of events; the largest
ones are measured beside the floor alone.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
from pathlib import Path
from typing import Any

from harness import folder, run_child, save

NOW = 1_795_172_400
LARGEST_COMPARED = 200_000
"""Events up to which the plain loop and the mapping kit run too."""
MAPPING = """\
event: order_created
automap: false
amount_unit: major
fields:
  id: ${{ record.order_id }}
  timestamp: ${{ record.created_at }}
  source_url: ${{ record.page_url }}
  oppref: ${{ record.oppref }}
  email: ${{ record.customer.email }}
  phone: ${{ record.customer.phone }}
  external_id: ${{ record.customer.id }}
  first_name: ${{ record.customer.first_name }}
  last_name: ${{ record.customer.last_name }}
  country: ${{ record.customer.country }}
  city: ${{ record.customer.city }}
  postal_code: ${{ record.customer.zip }}
  ip_address: ${{ record.ip }}
  user_agent: ${{ record.user_agent }}
  amount: ${{ record.total }}
  currency: ${{ record.currency }}
  contents:
    each: ${{ record.items }}
    id: ${{ item.sku }}
    name: ${{ item.title }}
    quantity: ${{ item.quantity }}
    amount: ${{ item.price }}
"""

PENSTOCK = """
import asyncio, gc, json, resource, sys, time
from pathlib import Path
from penstock.data.files import files_source
from penstock.events.event import encode_event
from penstock.events.mapping import load_mapping

gc.freeze()
gc.set_threshold(100_000, 50, 100)  # as the command line does

async def main(folder, now):
    mapping = load_mapping(folder / "mapping.yaml")
    source = files_source({"path": "orders.jsonl", "key": ()}, folder)
    cpu, events, size = time.process_time(), 0, 0
    batch = []
    async for page in source.pages(size=100):
        for record in page.records:
            mapped = mapping.apply(record.data, now=now)
            if mapped.event is not None:
                batch.append(encode_event(mapped.event))
                events += 1
                if len(batch) == 1000:
                    size += len(b'{"events":[' + b",".join(batch) + b"]}")
                    batch.clear()
    size += len(b'{"events":[' + b",".join(batch) + b"]}")
    cpu = time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"events": events, "bytes": size, "us": 1e6 * cpu / events, "peak_mb": peak / 1024}))

asyncio.run(main(Path(sys.argv[1]), float(sys.argv[2])))
"""

FLOOR = """
import json, sys, time
from hashlib import sha256
from pathlib import Path
import msgspec

folder = Path(sys.argv[1])
decode, encode = msgspec.json.Decoder().decode, msgspec.json.Encoder().encode
cpu, events, size = time.process_time(), 0, 0
with (folder / "orders.jsonl").open("rb") as file:
    batch = []
    for line in file:
        record = decode(line)
        person = record["customer"]
        hashes = [
            sha256(person[name].encode()).hexdigest() for name in ("email", "phone", "id", "first_name", "last_name")
        ]
        batch.append(encode({
            "id": record["order_id"], "type": "order_created", "timestamp_ms": 1, "action_source": "web",
            "source_url": record["page_url"], "oppref": record["oppref"],
            "data": {"type": "contents", "amount": 1, "currency": record["currency"], "contents": record["items"]},
            "user": {
                "emails_sha256": hashes[0:1], "phone_numbers_sha256": hashes[1:2], "external_ids_sha256": hashes[2:3],
                "first_names_sha256": hashes[3:4], "last_names_sha256": hashes[4:5], "countries": [person["country"]],
                "cities": [person["city"]], "postal_codes": [person["zip"]], "ip_address": record["ip"],
                "user_agent": record["user_agent"],
            },
        }))
        events += 1
        if len(batch) == 1000:
            size += len(b'{"events":[' + b",".join(batch) + b"]}")
            batch.clear()
    size += len(b'{"events":[' + b",".join(batch) + b"]}")
cpu = time.process_time() - cpu
print(json.dumps({"events": events, "bytes": size, "us": 1e6 * cpu / events}))
"""

PLAIN = """
import hashlib, json, re, sys, time
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Literal
from pydantic import BaseModel, Field

class Item(BaseModel):
    id: str
    name: str | None = None
    quantity: int
    amount: int

class Data(BaseModel):
    type: Literal["contents"]
    amount: int
    currency: str = Field(pattern="^[A-Z]{3}$")
    contents: list[Item]

class User(BaseModel):
    emails_sha256: list[str]
    phone_numbers_sha256: list[str]
    external_ids_sha256: list[str]
    first_names_sha256: list[str]
    last_names_sha256: list[str]
    countries: list[str]
    cities: list[str]
    postal_codes: list[str]
    ip_address: str
    user_agent: str

class Event(BaseModel):
    id: str = Field(min_length=1)
    type: Literal["order_created"]
    timestamp_ms: int
    action_source: Literal["web"]
    source_url: str = Field(pattern="^https?://")
    oppref: str
    user: User
    data: Data

def digest(text):
    return [hashlib.sha256(text.encode()).hexdigest()]

def name(text):
    return digest(re.sub(r"[\\W_]", "", text.lower()))

def minor(text):
    return int(Decimal(text) * 100)

now = float(sys.argv[2])
cpu, events, size = time.process_time(), 0, 0
with (Path(sys.argv[1]) / "orders.jsonl").open(encoding="utf-8") as file:
    batch = []
    for line in file:
        record = json.loads(line)
        person = record["customer"]
        moment = int(datetime.fromisoformat(record["created_at"]).timestamp() * 1000)
        if not now - 7 * 86400 <= moment / 1000 <= now + 600:
            continue
        event = Event(
            id=record["order_id"], type="order_created", timestamp_ms=moment, action_source="web",
            source_url=record["page_url"].split("?")[0], oppref=record["oppref"],
            user=User(
                emails_sha256=digest(person["email"].strip().lower()),
                phone_numbers_sha256=digest(re.sub(r"[^0-9]", "", person["phone"])),
                external_ids_sha256=digest(person["id"].strip()), first_names_sha256=name(person["first_name"]),
                last_names_sha256=name(person["last_name"]), countries=[person["country"]], cities=[person["city"]],
                postal_codes=[person["zip"]], ip_address=record["ip"], user_agent=record["user_agent"],
            ),
            data=Data(
                type="contents", amount=minor(record["total"]), currency=record["currency"],
                contents=[
                    Item(id=item["sku"], name=item["title"], quantity=item["quantity"], amount=minor(item["price"]))
                    for item in record["items"]
                ],
            ),
        )
        batch.append(event.model_dump())
        events += 1
        if len(batch) == 1000:
            size += len(json.dumps({"events": batch}).encode())
            batch.clear()
    size += len(json.dumps({"events": batch}).encode())
cpu = time.process_time() - cpu
print(json.dumps({"events": events, "bytes": size, "us": 1e6 * cpu / events}))
"""


def write_orders(path: Path, count: int, seed: int = 5) -> None:
    """Write orders of about 800 bytes, each of another customer, with one to three items."""
    chance = random.Random(seed)
    names = ("Ada", "Mary Jane", "Zoe", "Ion", "Grace", "Linus"), ("Lovelace", "O'Connor", "Van Der Berg", "Smith")
    with path.open("w", encoding="utf-8") as file:
        for number in range(count):
            prices = [chance.randrange(100, 20_000) for _ in range(chance.randint(1, 3))]
            order = {
                "order_id": f"ord-{number}",
                "created_at": f"2026-11-{14 + number % 6:02d}T{number % 24:02d}:{number % 60:02d}:00Z",
                "page_url": f"https://shop.example/thanks/{number % 50}?utm_source=chatgpt",
                "oppref": f"opp-{chance.getrandbits(128):032x}",
                "currency": chance.choice(("EUR", "USD", "GBP")),
                "total": _major(sum(prices)),
                "ip": f"192.0.2.{number % 250}",
                "user_agent": "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 Chrome/140.0.0.0",
                "customer": {
                    "id": f"CUST-{number:08d}",
                    "email": f"Customer.{number}@Example.com",
                    "phone": f"+49 171 {number % 10_000_000:07d}",
                    "first_name": chance.choice(names[0]),
                    "last_name": chance.choice(names[1]),
                    "country": "DE",
                    "city": "Berlin",
                    "zip": f"{10115 + number % 900}",
                },
                "items": [
                    {"sku": f"sku-{price}", "title": f"Thing number {price}", "quantity": 1, "price": _major(price)}
                    for price in prices
                ],
            }
            file.write(json.dumps(order) + "\n")


def _major(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02d}"


def run_kit(place: Path, kit: Path) -> dict[str, Any]:
    """Run the same work with Segment's mapping kit under Node."""
    script = Path(__file__).with_name("conversions_kit.cjs")
    done = subprocess.run(
        ["node", str(script), str(place), str(kit.resolve()), str(NOW)], capture_output=True, text=True, check=True
    )
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def measure(place: Path, rounds: int, kit: Path | None, *, compares: bool) -> dict[str, Any]:
    """Run the ways in turn; returns medians and ratios."""
    scripts = {"floor": FLOOR, "penstock": PENSTOCK, **({"plain": PLAIN} if compares else {})}
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in scripts} | ({"kit": []} if kit and compares else {})
    for _ in range(rounds):
        for name, script in scripts.items():
            runs[name].append(run_child(script, str(place), str(NOW)))
        if kit and compares:
            runs["kit"].append(run_kit(place, kit))
    assert len({run["events"] for found in runs.values() for run in found}) == 1, runs

    def times(above: str, below: str) -> float:
        pairs = zip(runs[above], runs[below], strict=True)
        return round(statistics.median(one["us"] / other["us"] for one, other in pairs), 2)

    return {
        "events": runs["penstock"][0]["events"],
        "cpu_us_per_event": {
            name: round(statistics.median(run["us"] for run in found), 2) for name, found in runs.items()
        },
        "penstock_times_floor": times("penstock", "floor"),
        **{f"{name}_times_penstock": times(name, "penstock") for name in ("plain", "kit") if name in runs},
        "penstock_peak_mb": round(max(run["peak_mb"] for run in runs["penstock"]), 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, nargs="+", default=[20_000, 200_000, 2_000_000])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--kit", type=Path)
    given = parser.parse_args()
    results = []
    for count in given.events:
        with folder() as place:
            write_orders(place / "orders.jsonl", count)
            (place / "mapping.yaml").write_text(MAPPING, encoding="utf-8")
            compares = count <= LARGEST_COMPARED
            results.append(measure(place, given.rounds, given.kit, compares=compares))
    save("conversions", {"what": "CPU microseconds per event, file to batches of bytes", "sizes": results})


if __name__ == "__main__":
    main()
