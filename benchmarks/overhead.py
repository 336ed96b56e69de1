"""CPU that Penstock adds to a record, beside the bare openai SDK: `python benchmarks/overhead.py`.

Same server (200 ms an answer), same texts and questions, 256 in flight, in turn, in one run. Penstock's figure is a
whole flow run: CSV, fingerprints, answer store, ledger, governor, validation and results on disk. CPU seconds of the
measured process, without its start.
"""

from __future__ import annotations

import argparse
import statistics

from harness import folder, run_child, sandbox, save, write_feedback, write_flow

PENSTOCK = """
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
        await workspace.run(folder / "warm.yaml")
        cpu, wall = time.process_time(), time.perf_counter()
        report = await workspace.run(folder / "flow.yaml")
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    assert report.state == "done" and report.counts.calls == report.counts.read, report
    print(json.dumps({"records": report.counts.read, "cpu_ms": 1000 * cpu / report.counts.read, "seconds": wall}))

uvloop.run(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
"""

SDK = """
import asyncio, csv, json, sys, time
from pathlib import Path
import openai
from penstock.features import sentiment
from penstock.operations.declare import ModelChoice
from penstock.vendor.models import load_catalogue

TOPICS = ["delivery", "quality", "price", "service", "returns"]

async def main(folder, url, in_flight, limit):
    choice = ModelChoice(load_catalogue().find("gpt-6-luna"))
    with (folder / "feedback.csv").open(encoding="utf-8") as file:
        texts = [row["text"] for row, _ in zip(csv.DictReader(file), range(limit))]
    bodies = [sentiment.prepare(sentiment.Input(text=text, topics=TOPICS), choice).body for text in texts]
    client = openai.AsyncOpenAI(api_key="sk-sandbox", base_url=url + "/openai/v1", max_retries=2)
    slots = asyncio.Semaphore(in_flight)

    async def one(body):
        async with slots:
            await client.decisions.create(**body)

    await asyncio.gather(*(one(body) for body in bodies[:200]))
    cpu, wall = time.process_time(), time.perf_counter()
    await asyncio.gather(*(one(body) for body in bodies))
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    print(json.dumps({"records": len(bodies), "cpu_ms": 1000 * cpu / len(bodies), "seconds": wall}))

asyncio.run(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=20_000)
    parser.add_argument("--sdk-records", type=int, default=4_000)
    parser.add_argument("--in-flight", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    ours, theirs = [], []
    with sandbox("--fast", "--latency", "0.2", "--rpm", "0", "--tpm", "0", "--keep", "0") as url, folder() as place:
        write_feedback(place / "feedback.csv", given.records)
        write_feedback(place / "warm.csv", 500, seed=9)
        write_flow(place / "flow.yaml", "feedback.csv")
        warm = write_flow(place / "warm.yaml", "warm.csv")
        warm.write_text(warm.read_text().replace("name: bench", "name: warm"))
        for number in range(given.rounds):
            workspace = place / f"round-{number}"
            workspace.mkdir()
            for name in ("feedback.csv", "warm.csv", "flow.yaml", "warm.yaml"):
                (workspace / name).symlink_to(place / name)
            ours.append(run_child(PENSTOCK, str(workspace), url, str(given.in_flight)))
            theirs.append(run_child(SDK, str(place), url, str(given.in_flight), str(given.sdk_records)))
    pairs = [mine["cpu_ms"] / sdk["cpu_ms"] for mine, sdk in zip(ours, theirs, strict=True)]
    save(
        "overhead",
        {
            "what": "CPU milliseconds per record at 200 ms latency",
            "in_flight": given.in_flight,
            "penstock_cpu_ms": round(statistics.median(one["cpu_ms"] for one in ours), 3),
            "openai_sdk_cpu_ms": round(statistics.median(one["cpu_ms"] for one in theirs), 3),
            "ratio": round(statistics.median(pairs), 3),
            "penstock_records_per_second": round(statistics.median(one["records"] / one["seconds"] for one in ours)),
            "openai_sdk_records_per_second": round(
                statistics.median(one["records"] / one["seconds"] for one in theirs)
            ),
            "rounds": {"penstock": ours, "openai_sdk": theirs},
        },
    )


if __name__ == "__main__":
    main()
