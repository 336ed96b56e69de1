"""Judgements against human ratings: `python benchmarks/evaluation.py FILE…`.

FILE holds rated texts (tab-separated: id, mean rating of about 20 people on −4…4, text). Measured twice: the offline
scorer (VADER), which is what a run falls back on; and the whole path (`analyze-sentiment` over the emulated Decisions
API), whose sandbox judges with the same lexicon: it shows what the path keeps, not how well a model judges.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from harness import folder, save


def evaluate(file: Path, *options: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "penstock", "evaluate", str(file), "--json", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--injections", type=int, default=50, help="Negative texts that each injection is put around.")
    given = parser.parse_args()
    found = []
    for file in given.files:
        with folder() as place:
            sandbox = ("--by", "model", "--sandbox", "--workspace", str(place))
            found.append(
                {
                    "texts": file.name,
                    "offline": evaluate(file, "--injections", str(given.injections)),
                    "sandbox_path": evaluate(file, *sandbox),
                }
            )
    save("evaluation", {"files": found})


if __name__ == "__main__":
    main()
