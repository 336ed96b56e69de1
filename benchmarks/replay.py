"""Replay of held answers, and what a kill costs: `python benchmarks/replay.py`.

(1) A flow over 100,000 records is run, and run again with nothing changed. Then its results (not its answers) are
deleted, and it is run once more: every answer is held. The paid-call path alone is measured on the same store: held
answers are found, decompressed, validated and read, a page at a time. (2) A run is killed with SIGKILL when half of
the calls are bought; the same command ends it. Bought twice is what the server billed beyond one call per text.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

from harness import folder, run_child, sandbox, save, write_feedback, write_flow

RUN = """
import asyncio, json, sys, time
from pathlib import Path
import gc
import uvloop
from penstock.workspace import Workspace

gc.freeze()  # as the command line does
gc.set_threshold(100_000, 50, 100)

async def main(folder, url, in_flight):
    settings = {"sandbox": True, "sandbox-url": url, "in-flight": in_flight}
    async with Workspace.open(folder, overrides=settings) as workspace:
        cpu, wall = time.process_time(), time.perf_counter()
        report = await workspace.run(folder / "flow.yaml")
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    counts = report.counts
    print(json.dumps({"state": report.state, "read": counts.read, "judged": counts.judged, "calls": counts.calls,
                      "cached": counts.cached, "seconds": wall, "cpu_seconds": cpu}))

uvloop.run(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
"""

PATH = """
import asyncio, csv, gc, json, sys, time
from pathlib import Path
import uvloop
from penstock.features import sentiment
from penstock.workspace import Workspace

gc.freeze()  # as the command line does
gc.set_threshold(100_000, 50, 100)

TOPICS = ["delivery", "quality", "price", "service", "returns"]

async def main(folder, url):
    cpu = wall = 0.0
    read = 0
    async with Workspace.open(folder, overrides={"sandbox": True, "sandbox-url": url}) as workspace:
        caller, choice = workspace.caller, workspace.flows.choose_model()
        with (folder / "feedback.csv").open(encoding="utf-8") as file:
            rows = csv.DictReader(file)
            while page := [row["text"] for _, row in zip(range(500), rows)]:
                inputs = [sentiment.Input(text=text, topics=TOPICS) for text in page]
                keys = [caller.address(sentiment.prepare(one, choice)) for one in inputs]
                began_cpu, began = time.process_time(), time.perf_counter()
                held = await caller.answers.get_many(keys)
                outputs = [sentiment.read(one, held[key]) for one, key in zip(inputs, keys)]
                cpu, wall = cpu + time.process_time() - began_cpu, wall + time.perf_counter() - began
                assert all(-1 <= output.score <= 1 for output in outputs)
                assert all(held[key].cached for key in keys)
                read += len(outputs)
    print(json.dumps({"records": read, "records_per_second": round(read / wall),
                      "cpu_us_per_record": round(1e6 * cpu / read, 1)}))

uvloop.run(main(Path(sys.argv[1]), sys.argv[2]))
"""


def billed(url: str) -> int:
    with urllib.request.urlopen(f"{url}/_sandbox/state") as reply:
        state: dict[str, Any] = json.load(reply)
    return sum(state["billed_calls"].values())


def replay(url: str, place: Path, records: int) -> dict[str, Any]:
    write_feedback(place / "feedback.csv", records)
    write_flow(place / "flow.yaml", "feedback.csv")
    first = run_child(RUN, str(place), url, "256")
    path = run_child(PATH, str(place), url)
    unchanged = run_child(RUN, str(place), url, "256")
    assert (unchanged["calls"], unchanged["cached"]) == (0, 0), unchanged
    drop_results(place)
    again = run_child(RUN, str(place), url, "256")
    assert (again["calls"], again["cached"]) == (0, records), again
    return {
        "records": records,
        "records_per_second": round(again["read"] / again["seconds"]),
        "cpu_us_per_record": round(1e6 * again["cpu_seconds"] / again["read"], 1),
        "unchanged_per_second": round(unchanged["read"] / unchanged["seconds"]),
        "unchanged_cpu_us_per_record": round(1e6 * unchanged["cpu_seconds"] / unchanged["read"], 1),
        "first_run": first,
        "path": path,
        "unchanged": unchanged,
        "replay": again,
    }


def drop_results(place: Path) -> None:
    """Delete what the flow knows of its records, so that only the answers are left."""
    import sqlite3

    store = sqlite3.connect(place / ".penstock" / "sandbox.sqlite")
    with store:
        store.execute("delete from items")
    store.close()


def kill(url: str, place: Path, records: int, in_flight: int) -> dict[str, Any]:
    write_feedback(place / "feedback.csv", records, seed=11)
    write_flow(place / "flow.yaml", "feedback.csv")
    before = billed(url)
    command = [sys.executable, "-c", RUN, str(place), url, str(in_flight)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as child:
        while billed(url) - before < records // 2 and child.poll() is None:
            time.sleep(0.02)
        at_kill = billed(url) - before
        os.kill(child.pid, signal.SIGKILL)
    second = run_child(RUN, str(place), url, str(in_flight))
    return {
        "records": records,
        "in_flight": in_flight,
        "billed_at_kill": at_kill,
        "bought_twice": billed(url) - before - records,
        "second_run": second,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--kill-records", type=int, default=1_200)
    given = parser.parse_args()
    options = ("--fast", "--rpm", "0", "--tpm", "0", "--keep", "0")
    with sandbox(*options) as url, folder() as place:
        replayed = replay(url, place, given.records)
    with sandbox(*options, "--latency", "0.2") as url, folder() as place:
        killed = kill(url, place, given.kill_records, 64)
    save("replay", {"path": replayed.pop("path"), "replay": replayed, "kill": killed})


if __name__ == "__main__":
    main()
