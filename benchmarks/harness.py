"""What the benchmarks share: a sandbox server in its own process, generated feedback, measured child processes."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import platform
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
WORDS = (
    "the parcel came late but quality is great price too high service friendly return slow shoes broke zip jacket "
    "lovely colour size small delivery quick refund never arrived happy sad angry perfect poor box damaged support "
    "answered courier rude fabric soft cheap worth again"
).split()

FLOW = """\
name: bench
source:
  files: {{ path: {path}, key: id }}
steps:
  - analyze-sentiment:
      text: ${{{{ record.text }}}}
      topics: [delivery, quality, price, service, returns]
"""


@contextlib.contextmanager
def sandbox(*options: str) -> Iterator[str]:
    """Serve the emulated vendors in a process of their own; yields the address."""
    command = [sys.executable, "-m", "penstock.sandbox.server", "--port", "0", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            for line in server.stdout:
                if line.startswith("OPENAI_BASE_URL="):
                    break
            yield line.split("=", 1)[1].strip().removesuffix("/openai/v1")
        finally:
            server.terminate()


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """Give a new folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as name:
        yield Path(name)


def write_feedback(path: Path, rows: int, seed: int = 5) -> None:
    """Write feedback of 8 to 40 words, each text different, three to a contact."""
    chance = random.Random(seed)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "email", "date", "text"])
        for number in range(rows):
            text = " ".join(chance.choice(WORDS) for _ in range(chance.randint(8, 40)))
            date = f"2026-{1 + number % 10:02d}-{1 + number % 28:02d}"
            writer.writerow([f"r{number}", f"c{number // 3}@example.com", date, f"{text} {number}"])


def write_flow(path: Path, source: str, text: str = FLOW) -> Path:
    """Write a flow file that reads `source`."""
    path.write_text(text.format(path=source), encoding="utf-8")
    return path


def run_child(script: str, *arguments: str, timeout: float = 3600) -> dict[str, Any]:
    """Run a Python script given as text; returns the JSON of its last line with CPU seconds and peak memory added."""
    before = os.times()
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, timeout=timeout, check=False
    )
    if done.returncode:
        raise SystemExit(f"a measured process failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    after = os.times()
    result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    result["process_cpu_seconds"] = round(
        after.children_user + after.children_system - before.children_user - before.children_system, 3
    )
    result["process_seconds"] = round(time.perf_counter() - started, 3)
    return result


def save(name: str, result: dict[str, Any]) -> None:
    """Write a result with the machine that it was measured on, and print it."""
    RESULTS.mkdir(exist_ok=True)
    machine = {"python": platform.python_version(), "system": platform.system(), "cores": os.cpu_count()}
    text = json.dumps({"machine": machine, **result}, indent=2)
    (RESULTS / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    print(text)
