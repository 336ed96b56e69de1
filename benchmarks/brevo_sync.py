"""Backfill and write-back of a Brevo account, beside the vendor's SDK: `python benchmarks/brevo_sync.py`.

The emulated account is a process of its own with the limits of a general plan. Both sides share a clock that jumps
over waits: the time of each request travels in a header, so hours of limits pass in minutes and are counted exactly.
The flow reads all contacts, counts the tokens of one attribute and writes the count into another one. Then it runs
again without a change, and again with one contact in a hundred changed. CPU and memory are measured without limits,
by the machine's own clock, and there the SDK does the same work on fewer contacts.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from harness import folder, run_child, save

SERVER = """
import asyncio, gc, json, random, sys
from email.utils import formatdate
from harness import WORDS
from penstock.base.clock import ManualClock, SystemClock
from penstock.sandbox.brevo import build_brevo_app
from penstock.sandbox.brevo_limits import BrevoLimits
from penstock.sandbox.server import make_config
from penstock.sandbox.world import World
import uvicorn

count, is_limited = int(sys.argv[1]), sys.argv[2] == "limited"
clock = ManualClock() if is_limited else SystemClock()
app = build_brevo_app(World(clock), limits=BrevoLimits(enabled=is_limited))
state = app.state
if not is_limited:  # then its own pace is not of interest either
    state.behaviour.import_delay, state.behaviour.import_rows_per_second = 0.0, 1e9
state.add_attribute("FEEDBACK")
chance = random.Random(5)
texts = [" ".join(chance.choice(WORDS) for _ in range(chance.randint(8, 40))) for _ in range(5_000)]
for number in range(count):
    state.add_contact(f"c{number}@example.com", {"FEEDBACK": f"{texts[number % 5000]} {number}"},
                      created_at=clock.now() - 4e7 + number * 20)
gc.collect()
gc.freeze()
calls = {}

async def serve(scope, receive, send):
    headers = dict(scope["headers"])
    if (moment := float(headers.get(b"x-bench-time", 0))) > clock.now():
        clock.advance(moment - clock.now())
    if scope["path"] == "/bench/change":
        share = int(scope["query_string"])
        for contact in state.by_creation[::share]:
            contact.attributes["FEEDBACK"] = f"{texts[chance.randrange(5000)]} changed"
            contact.modified = state.now()
        state.touch()
    if scope["path"].startswith("/bench/"):
        told = {f"{name} {status}": number for (vendor, name, status), number in state.world.calls.items()}
        held = sum("AI_TOKENS" in one.attributes for one in state.by_creation)
        body = json.dumps({"calls": told, "held": held, "contacts": len(state.contacts),
                           "repeats": dict(state.repeats), "now": clock.now()}).encode()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})
        return

    async def dated(message):
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], (b"date", formatdate(clock.now(), usegmt=True).encode())]
        await send(message)

    await app(scope, receive, dated)

async def main():
    config = make_config(serve, "127.0.0.1", 0)
    config.date_header = False  # the account has a clock of its own
    server = uvicorn.Server(config)
    task = asyncio.ensure_future(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    print("PORT", server.servers[0].sockets[0].getsockname()[1], flush=True)
    await task

asyncio.run(main())
"""

COMMON = """
import asyncio, gc, json, resource, sys, time, urllib.request

def look(url, path="", at=0.0):
    asked = urllib.request.Request(f"{url}/bench/{path or 'look'}", headers={"x-bench-time": f"{at:.6f}"})
    with urllib.request.urlopen(asked) as reply:
        return json.loads(reply.read())

def calls_between(before, after):
    made = {name: number - before["calls"].get(name, 0) for name, number in after["calls"].items()}
    return {name: number for name, number in made.items() if number}

def peak():
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform == "linux" else 1 << 20), 1)
"""

OURS = (
    COMMON
    + """
from pathlib import Path
from penstock.base.clock import ManualClock, SystemClock
from penstock.vendor.http import Http
from penstock.workspace import Workspace

gc.freeze()  # as the command line does
gc.set_threshold(100_000, 50, 100)
folder, url, is_limited = Path(sys.argv[1]), sys.argv[2], sys.argv[3] == "limited"
class Patient(ManualClock):
    async def run(self, work, settle_rounds=20):
        task = asyncio.ensure_future(work)
        while not task.done():
            for _ in range(settle_rounds):
                await asyncio.sleep(0)
            await asyncio.sleep(0.0005 if self._outside else 0.004)  # threads may be at work that nobody announced
            if self._sleepers and not self._outside:
                self._wake_until(self._sleepers[0][0])
        return task.result()

clock = Patient() if is_limited else SystemClock()

class Timed(Http):
    async def send(self, method, url, *, headers, **rest):
        if is_limited:
            headers = {**headers, "x-bench-time": f"{clock.now():.6f}"}
        return await clock.outside(super().send(method, url, headers=headers, **rest))

async def main():
    found = []
    settings = {"sandbox": True, "sandbox-url": url}
    for change in ("", "", "change?100", ""):
        if is_limited:
            clock.advance(86_400)  # one run a day
        async with Workspace.open(folder, overrides=settings, clock=clock) as workspace:
            await workspace.vendors.http.close()
            workspace.vendors.http = Timed()
            before = look(url, change, clock.now() if is_limited else 0.0)
            at, cpu, wall = clock.now(), time.process_time(), time.perf_counter()
            report = await workspace.run(folder / "flow.yaml", apply_schema=True)
            cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
            after = look(url)
        made, counts = calls_between(before, after), report.counts
        found.append({"state": report.state, "problem": report.problem and report.problem.message,
                      "read": counts.read, "judged": counts.judged, "written": counts.written, "held": after["held"],
                      "contacts": after["contacts"], "repeats": after["repeats"], "calls": sum(made.values()),
                      "by_operation": made, "account_seconds": round(clock.now() - at, 1), "seconds": round(wall, 1),
                      "cpu_seconds": round(cpu, 2), "cpu_us_per_contact": round(1e6 * cpu / max(counts.read, 1), 1),
                      "peak_mib": peak()})
        print(found[-1], file=sys.stderr, flush=True)
    print(json.dumps({"runs": found}))

asyncio.run(clock.run(main()) if is_limited else main())
"""
)

SDK = (
    COMMON
    + """
from brevo import Brevo
from brevo.contacts.types import ImportContactsRequestJsonBodyItem

url, way = sys.argv[1], sys.argv[2]
client = Brevo(api_key="xkeysib-bench", base_url=f"{url}/brevo/v3".replace("/brevo", ""))
before = look(url)
cpu, wall = time.process_time(), time.perf_counter()
client.contacts.create_attribute("normal", "AI_TOKENS", type="float")
rows, offset = [], 0
while True:
    page = client.contacts.get_contacts(limit=1000, offset=offset).contacts
    for one in page:
        text = one.attributes.get("FEEDBACK") if isinstance(one.attributes, dict) else ""
        rows.append((one.email, len(str(text)) // 4))
    if len(page) < 1000:
        break
    offset += len(page)
if way == "update":
    for email, tokens in rows:
        client.contacts.update_contact(email, attributes={"AI_TOKENS": tokens})
else:
    list_id = client.contacts.create_list(folder_id=1, name=f"Updates {way}").id
    for start in range(0, len(rows), 10_000):
        chunk = [ImportContactsRequestJsonBodyItem(email=email, attributes={"AI_TOKENS": tokens})
                 for email, tokens in rows[start : start + 10_000]]
        done = client.contacts.import_contacts(json_body=chunk, list_ids=[list_id], update_existing_contacts=True)
        while client.process.get_process(done.process_id).status not in ("completed", "failed"):
            time.sleep(0.1)
cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
made = calls_between(before, look(url))
print(json.dumps({"contacts": len(rows), "calls": sum(made.values()), "by_operation": made,
                  "cpu_seconds": round(cpu, 2), "seconds": round(wall, 1),
                  "cpu_us_per_contact": round(1e6 * cpu / len(rows), 1), "peak_mib": peak()}))
"""
)

FLOW = """\
name: bench
source:
  brevo: {}
steps:
  - count-tokens: { text: "${{ record.attributes.FEEDBACK }}", method: here }
    as: counted
sink:
  brevo:
    match: ${{ record.email }}
    attributes: { AI_TOKENS: "${{ counted.tokens }}" }
"""


@contextmanager
def account(count: int, limits: str) -> Iterator[str]:
    """Serve an account with so many contacts; yields the address."""
    command = [sys.executable, "-c", SERVER, str(count), limits]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as server:
        try:
            assert server.stdout is not None
            yield f"http://127.0.0.1:{server.stdout.readline().split()[1]}"
        finally:
            server.terminate()


def measure(count: int, limits: str) -> dict[str, Any]:
    """Run the flow four times on an account: all new, nothing new, one in a hundred changed, nothing new."""
    with account(count, limits) as url, folder() as place:
        (place / "flow.yaml").write_text(FLOW, encoding="utf-8")
        found = {"contacts": count, "limits": limits, **run_child(OURS, str(place), url, limits, timeout=7200)}
    print(json.dumps(found), flush=True)
    return found


def beside(count: int, rounds: int) -> list[dict[str, Any]]:
    """Run the flow and the SDK in turn on accounts of the same size, without limits; the middle one of each counts."""
    ways: dict[str, list[dict[str, Any]]] = {"penstock": [], "sdk, update": [], "sdk, import": []}
    for _ in range(rounds):
        ways["penstock"].append(measure(count, "free")["runs"][0])
        for way in ("update", "import"):
            with account(count, "free") as url:
                ways[f"sdk, {way}"].append(run_child(SDK, url, way))
    return [{"way": way, **sorted(runs, key=lambda run: run["cpu_seconds"])[rounds // 2]} for way, runs in ways.items()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--contacts", type=int, default=1_000_000)
    parser.add_argument("--few", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    limited = measure(given.contacts, "limited")
    free = [measure(given.few, "free"), measure(given.contacts, "free")]
    save("brevo", {"limited": limited, "free": free, "beside": beside(given.few, given.rounds)})


if __name__ == "__main__":
    main()
