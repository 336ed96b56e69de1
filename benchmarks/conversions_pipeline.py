"""The conversions pipeline: durable acknowledgements singly and in hundreds, drain, 1 bad event in 1,000, memory.

    python benchmarks/conversions_pipeline.py --sizes 10000 100000 1000000
    python benchmarks/conversions_pipeline.py --sizes 5000000 --only drained    # laid beside what was measured before

Every figure comes from a process of its own. The sandbox answers in another one over loopback; its CPU is not counted.
Ingest is measured from mapped records (events of about 1 KB) to receipts on disk; singly means 64 callers that wait.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

from harness import RESULTS, folder, run_child, sandbox, save

CHILD = """
import asyncio, json, resource, sys, time
from pathlib import Path
from penstock.events.mapping import load_mapping
from penstock.deliveries import open_deliveries
from penstock.workspace import Workspace

MAPPING = '''
event: order_created
amount_unit: major
fields:
  id: ${{ record.order }}
  timestamp: ${{ record.at }}
  source_url: https://shop.example/thanks
  oppref: ${{ record.click }}
  email: ${{ record.email }}
  external_id: ${{ record.customer }}
  user_agent: ${{ record.agent }}
  amount: ${{ record.total }}
  currency: ${{ record.currency }}
'''
AGENT = "Mozilla/5.0 (X11; Linux x86_64) " + "AppleWebKit/537.36 " * 20

def order(number, at, is_bad):
    return {"order": f"o{number}", "at": at, "click": "c" * 120, "email": f"u{number}@example.com",
            "customer": f"C{number}", "agent": AGENT, "total": "12.50", "currency": "EUR"}

def spoil(entry):  # the sandbox refuses it, the local rules would have; the bytes are what counts here
    import msgspec
    return msgspec.structs.replace(entry, body=entry.body.replace(b'"type":"contents"', b'"kind":"contents"'))

async def main(place, url, mode, size, share):
    place.joinpath("shop.yaml").write_text(MAPPING)
    overrides = {"sandbox": True, "sandbox-url": url, "events.in-flight": 4, "events.queue-limit": 10**8}
    async with Workspace.open(place, overrides=overrides, environ={}) as workspace:
        parts = (workspace.store, workspace.clock, workspace.settings, workspace.vendors)
        async with open_deliveries(*parts) as deliveries:
            mapping = deliveries.load_mapping(place / "shop.yaml")
            at = time.time() - 3600
            started, cpu = time.perf_counter(), time.process_time()
            if mode == "singly":
                numbers = iter(range(size))
                async def caller():
                    for number in numbers:
                        await deliveries.accept([order(number, at, False)], mapping=mapping, source="bench")
                await asyncio.gather(*(caller() for _ in range(64)))
            elif mode == "hundreds":
                starts = iter(range(0, size, 100))
                async def caller():
                    for start in starts:
                        records = [order(number, at, False) for number in range(start, start + 100)]
                        await deliveries.accept(records, mapping=mapping, source="bench")
                await asyncio.gather(*(caller() for _ in range(4)))
            else:
                intake = deliveries._intake
                for start in range(0, size, 1000):
                    entries = [await intake.make(order(number, at, False), mapping, "bench", False)
                               for number in range(start, start + 1000)]
                    if share:
                        entries[start // 1000 % 1000] = spoil(entries[start // 1000 % 1000])
                    await deliveries.outbox.accept(entries)
                queued = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
                started, cpu = time.perf_counter(), time.process_time()
                await deliveries.flush(is_patient=True)
            wall, used = time.perf_counter() - started, time.process_time() - cpu
            counts = await deliveries.counts()
            requests = (await workspace.store.read("count_event_attempts"))[0][0]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"events": size, "per_second": round(size / wall), "cpu_us_per_event": round(1e6 * used / size, 1),
                      "counts": counts, "requests": requests,
                      "peak_mib": round(peak / (1024 if sys.platform == "linux" else 1024 * 1024), 1)}))

asyncio.run(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4]), float(sys.argv[5])))
"""

MODES = {
    "accepted singly": ("singly", 0.0),
    "accepted in hundreds": ("hundreds", 0.0),
    "drained": ("drain", 0.0),
    "drained, 1 bad in 1,000": ("drain", 0.001),
}


def measure(what: str, size: int) -> dict[str, Any]:
    """Measure one mode in a process and a store of its own."""
    mode, share = MODES[what]
    with sandbox("--keep", "0") as url, folder() as place:
        found = run_child(CHILD, str(place), url, mode, str(size), str(share), timeout=7200)
    return {"what": what, **found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--only", choices=MODES, action="append")
    given = parser.parse_args()
    kept = RESULTS / "conversions_pipeline.json"
    before = json.loads(kept.read_text())["runs"] if kept.exists() else []
    found = {(run["events"], run["what"]): run for run in before}
    for size in given.sizes:
        for what in given.only or MODES:
            found[size, what] = measure(what, size)
            print(found[size, what], flush=True)
    order = list(MODES)
    runs = sorted(found.values(), key=lambda run: (run["events"], order.index(run["what"])))
    save("conversions_pipeline", {"runs": runs})


if __name__ == "__main__":
    main()
