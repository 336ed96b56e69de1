"""Peak memory and speed of whole runs from ten thousand to a million records: `python benchmarks/memory.py`.

The flow reads a CSV, judges each text, summarises three records per contact and keeps a CSV of results. The server
answers at once, without limits, in a process of its own.
"""

from __future__ import annotations

import argparse

from harness import FLOW, folder, run_child, sandbox, save, write_feedback, write_flow

SUMMARY = (
    FLOW
    + """\
summarize:
  by: ${{{{ record.email }}}}
  at: ${{{{ record.date }}}}
sink:
  files:
    path: results.csv
    match: {{ email: "${{{{ record.email }}}}" }}
    columns:
      score: ${{{{ sentiment.score }}}}
      label: ${{{{ sentiment.label }}}}
      count: ${{{{ sentiment.count }}}}
"""
)

RUN = """
import json, resource, sys, time
from pathlib import Path
import gc
import uvloop
from penstock.workspace import Workspace

gc.freeze()  # as the command line does
gc.set_threshold(100_000, 50, 100)

async def main(folder, url):
    settings = {"sandbox": True, "sandbox-url": url, "in-flight": 256}
    async with Workspace.open(folder, overrides=settings) as workspace:
        cpu, wall = time.process_time(), time.perf_counter()
        report = await workspace.run(folder / "flow.yaml")
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    counts = report.counts
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"state": report.state, "problem": report.problem and report.problem.message,
                      "read": counts.read, "judged": counts.judged, "unchanged": counts.unchanged,
                      "calls": counts.calls, "written": counts.written, "seconds": round(wall, 1),
                      "cpu_ms_per_record": round(1000 * cpu / max(counts.read, 1), 4),
                      "peak_mib": round(peak / (1024 if sys.platform == "linux" else 1024 * 1024), 1)}))

uvloop.run(main(Path(sys.argv[1]), sys.argv[2]))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    given = parser.parse_args()
    found = []
    for size in given.sizes:
        with sandbox("--fast", "--rpm", "0", "--tpm", "0", "--keep", "0") as url, folder() as place:
            write_feedback(place / "feedback.csv", size)
            write_flow(place / "flow.yaml", "feedback.csv", SUMMARY)
            first = run_child(RUN, str(place), url, timeout=7200)
            again = run_child(RUN, str(place), url, timeout=7200)
            store = (place / ".penstock" / "sandbox.sqlite").stat().st_size
            found.append({"records": size, "first": first, "unchanged": again, "store_bytes_per_record": store // size})
            print(found[-1], flush=True)
    save("memory", {"sizes": found})


if __name__ == "__main__":
    main()
