"""What `plan` says against what the run then costs: `python benchmarks/estimate.py [--texts FILE]`.

The sandbox counts tokens with the vendor's published ranks where the extra `tokens` is installed in it; the estimate
is made both with that extra and without. FILE holds rated texts (tab-separated: id, rating, text).
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path
from typing import Any

from harness import folder, run_child, sandbox, save, write_feedback, write_flow

RUN = """
import asyncio, json, sys
from pathlib import Path
if sys.argv[3] == "characters":
    sys.modules["bpe_openai"] = None
    sys.modules["bpe_openai._bindings"] = None
from penstock.vendor import tokens
from penstock.workspace import Workspace

async def main(folder, url):
    settings = {"sandbox": True, "sandbox-url": url, "model": sys.argv[4]}
    async with Workspace.open(folder, overrides=settings) as workspace:
        plan = await workspace.plan(folder / "flow.yaml")
        report = await workspace.run(folder / "flow.yaml")
    assert report.state == "done", report
    print(json.dumps({"exact_tokens": tokens.is_exact(), "planned_usd": plan.cost / 1e12,
                      "cost_usd": report.counts.cost / 1e12, "planned_calls": plan.calls, "calls": report.counts.calls,
                      "error_percent": 100 * (plan.cost / report.counts.cost - 1)}))

asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
"""


def write_texts(path: Path, texts: Path, limit: int) -> None:
    lines = texts.read_text(encoding="utf-8", errors="replace").splitlines()[:limit]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "text"])
        writer.writerows([line.split("\t")[0], line.split("\t")[2]] for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=Path)
    parser.add_argument("--records", type=int, default=2_000)
    given = parser.parse_args()
    found: list[dict[str, Any]] = []
    for model in ("gpt-6-luna", "gpt-5.6-luna"):
        for counting in ("ranks", "characters"):
            with sandbox("--rpm", "0", "--tpm", "0", "--keep", "0") as url, folder() as place:
                if given.texts:
                    write_texts(place / "feedback.csv", given.texts, given.records)
                else:
                    write_feedback(place / "feedback.csv", given.records)
                write_flow(place / "flow.yaml", "feedback.csv")
                found.append({"model": model, "counting": counting, **run_child(RUN, str(place), url, counting, model)})
    save("estimate", {"texts": given.texts.name if given.texts else "generated", "runs": found})


if __name__ == "__main__":
    main()
