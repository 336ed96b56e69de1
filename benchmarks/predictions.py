"""The whole of `penstock predict` beside the floor of one aggregation: `python benchmarks/predictions.py`.

Ten million orders in a Parquet file of a million customers. Measured is the command as a person runs it, in a process
of its own: three models held against a holdout, every customer predicted, the table written, the run kept for the next
one. The floor is one DuckDB aggregation of the same file by customer, which only fetches.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

from harness import folder, run_child, save
from lifetime import FLOOR, MAKING


def run_command(place: Path) -> dict[str, float]:
    """Run the command in a workspace of its own; returns its CPU and wall seconds."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "penstock", "predict", str(place / "orders.parquet"), "--sandbox",
         "--as-of", "2025-12-31", "--save", str(place / "out.parquet"), "--json", "--workspace", str(place)],
        capture_output=True, text=True, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {
        "cpu": spent, "seconds": time.perf_counter() - started, "memory": after.ru_maxrss * 1024,
        "customers": sum(group["customers"] for group in json.loads(done.stdout)["groups"]),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orders", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with folder() as place:
        path = str(place / "orders.parquet")
        run_child(MAKING, path, str(options.orders))
        runs, floors = [], []
        for _ in range(options.rounds):
            floors.append(run_child(FLOOR, path, "plain"))
            runs.append(run_command(place))
    result: dict[str, object] = {"orders": options.orders, "customers": int(runs[0]["customers"])}
    for name in ("cpu", "seconds"):
        own = statistics.median(run[name] for run in runs)
        floor = statistics.median(float(run[f"work_{name}"]) for run in floors)
        result |= {
            name: round(own, 2),
            f"floor_{name}": round(floor, 2),
            f"times_the_floor_{name}": round(own / floor, 2),
        }
    result["peak_memory_mb"] = round(max(run["memory"] for run in runs) / 1e6)
    save("predictions", result)


if __name__ == "__main__":
    main()
