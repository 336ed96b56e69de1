"""Time that one operation adds to the vendor's own, beside the bare openai SDK: `python benchmarks/single.py`.

The sandbox in a process of its own answers after 50 ms; calls are made one after the other. What a client adds is its
time less that of the bare request over the same HTTP library, which is measured in the same run. Penstock's figure
holds the whole path of a paid call: answer store, governor, reservation on disk, settlement and answer on disk.
"""

from __future__ import annotations

import argparse
import statistics
from typing import Any

from harness import folder, run_child, sandbox, save

LATENCY = 0.05

MEASURE = """
import asyncio, json, statistics, sys, time
import uvloop

url, client, calls = sys.argv[1], sys.argv[2], int(sys.argv[3])
BODY = {"model": "gpt-6-luna", "max_output_tokens": 200, "reasoning": {"effort": "none"}, "store": False}

async def take_times(ask):
    for number in range(10):
        await ask(f"warm up {number}")
    times = []
    for number in range(calls):
        started = time.perf_counter()
        await ask(f"Say something about the number {number}.")
        times.append(time.perf_counter() - started)
    return times

async def bare():
    from penstock.vendor.http import Http
    http = Http()
    headers = {"Authorization": "Bearer sk-x", "Content-Type": "application/json"}
    async def ask(text):
        body = json.dumps({**BODY, "input": text}).encode()
        reply = await http.send("POST", url + "/openai/v1/responses", headers=headers, body=body)
        assert reply.status == 200, reply.body
    times = await take_times(ask)
    await http.close()
    return times

async def sdk():
    from openai import AsyncOpenAI
    async with AsyncOpenAI(api_key="sk-x", base_url=url + "/openai/v1") as openai:
        async def ask(text):
            await openai.responses.create(input=text, **BODY)
        return await take_times(ask)

async def penstock():
    from pathlib import Path
    from penstock.workspace import Workspace
    overrides = {"sandbox": True, "sandbox-url": url}
    async with Workspace.open(Path(sys.argv[4]), overrides=overrides, environ={}) as workspace:
        async def ask(text):
            await workspace.operations.respond(text=text, max_tokens=200)
        return await take_times(ask)

with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
    times = runner.run({"bare": bare, "openai_sdk": sdk, "penstock": penstock}[client]())
print(json.dumps({"milliseconds": statistics.median(times) * 1000}))
"""


def measure(calls: int, rounds: int) -> dict[str, Any]:
    """Measure all clients in turn; milliseconds, medians of the rounds."""
    names = ("bare", "openai_sdk", "penstock")
    taken: dict[str, list[float]] = {name: [] for name in names}
    with (
        sandbox("--latency", str(LATENCY), "--latency-sigma", "0", "--rpm", "0", "--tpm", "0") as url,
        folder() as place,
    ):
        for number in range(rounds):
            for name in names:
                own = place / f"{name}{number}"
                own.mkdir()
                taken[name].append(run_child(MEASURE, url, name, str(calls), str(own))["milliseconds"])
    medians = {name: round(statistics.median(taken[name]), 2) for name in names}
    return {
        "calls": calls,
        "latency_ms": LATENCY * 1000,
        "milliseconds": medians,
        "added_ms": {name: round(medians[name] - medians["bare"], 2) for name in names[1:]},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    save("single", measure(arguments.calls, arguments.rounds))


if __name__ == "__main__":
    main()
