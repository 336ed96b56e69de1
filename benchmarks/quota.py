"""How much of a quota is used, and at what price in refusals: Penstock and its peers against an exact server.

Readings: S1 whole-minute buckets that are full at the start, S2 one-second buckets, S3 as S2 with
refused requests counted. "used" is what was admitted, as a share of what the binding limit offered
between the first request and the last admission.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import urllib.request
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RPM, TPM, MEAN_TOKENS, SHORT_TOKENS = 3000, 400_000, 396, 38
READINGS = {
    "S1": {"depth": 60, "count_refused": False},
    "S2": {"depth": 1, "count_refused": False},
    "S3": {"depth": 1, "count_refused": True},
}
PEERS = (
    ("openai-sdk", "2 retries", ["--retries", "2"]),
    ("openai-sdk", "10 retries", ["--retries", "10"]),
    ("litellm-router", "rpm and tpm given", []),
    ("langchain-limiter", "50/s, bucket 50", []),
    ("curator", "rpm and tpm given", []),
)


@dataclass
class Case:
    client: str
    note: str
    reading: str
    kind: str
    error: float = 1.0
    noise: float = 0.0
    processes: int = 1
    options: list[str] = field(default_factory=list)
    board: str = ""


class Server:
    """The exact server in a process of its own."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "quota_server.py")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.url = f"http://127.0.0.1:{int(self.process.stdout.readline())}"

    def ask(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(urllib.request.Request(self.url + path, data=data), timeout=10) as reply:
            return dict(json.loads(reply.read()))

    def close(self) -> None:
        self.process.terminate()
        self.process.wait()


def run(case: Case, server: Server, python: str, seconds: float) -> dict[str, Any]:
    """Run one case to its end, or stop it after three times the ideal time."""
    depth = READINGS[case.reading]["depth"]
    offered = seconds + depth
    records = int(offered * (RPM / 60 if case.kind == "short" else TPM / 60 / MEAN_TOKENS))
    with tempfile.TemporaryDirectory() as folder:
        board = case.board or (str(Path(folder) / "quota.sqlite") if case.processes > 1 else "")
        clients = [
            start(case, server, python, board, number, records // case.processes) for number in range(case.processes)
        ]
        for client in clients:
            assert client.stdout is not None
            while client.stdout.readline().strip() not in ("ready", ""):
                pass
        server.ask("/reset", READINGS[case.reading])
        started = time.monotonic()
        for client in clients:
            release(client)
        results = [finish(client, started + 3 * seconds + 5) for client in clients]
        wall = time.monotonic() - started
    stats = server.ask("/stats")
    total = records // case.processes * case.processes
    asked = stats["accepted"] + stats["refused"]
    return {
        **{key: value for key, value in asdict(case).items() if key not in ("options", "board")},
        "records": total,
        "delivered": sum(result["done"] for result in results) / total,
        "stopped": any(result.get("stopped", False) for result in results),
        "used": stats["used"],
        "refused": stats["refused"],
        "refused_share": stats["refused"] / asked if asked else 0.0,
        "paid_twice": stats["paid_twice"],
        "seconds": stats["seconds"],
        "time_to_ideal": wall / seconds,
        "cpu_ms_per_record": 1000 * sum(result["cpu"] for result in results) / total,
    }


def start(case: Case, server: Server, python: str, board: str, number: int, records: int) -> subprocess.Popen[str]:
    command = [python, str(HERE / "quota_clients.py"), case.client, "--base", server.url + "/v1", "--kind", case.kind]
    command += ["--first", str(number * records), "--records", str(records), "--error", str(case.error)]
    command += ["--noise", str(case.noise), "--processes", str(case.processes), "--board", board, *case.options]
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=None if os.environ.get("SHOW_ERRORS") else subprocess.DEVNULL,
        text=True,
        env=environment,
    )


def release(client: subprocess.Popen[str]) -> None:
    assert client.stdin is not None
    with contextlib.suppress(BrokenPipeError):
        client.stdin.write("go\n")
        client.stdin.close()
    client.stdin = None  # `communicate` must not touch it again


def finish(client: subprocess.Popen[str], deadline: float) -> dict[str, Any]:
    try:
        output, _ = client.communicate(timeout=max(deadline - time.monotonic(), 1))
    except subprocess.TimeoutExpired:
        client.kill()
        client.communicate()
        return {"done": 0, "cpu": 0.0, "stopped": True}
    for line in reversed(output.splitlines()):
        if line.startswith('{"done"'):
            return dict(json.loads(line))
    return {"done": 0, "cpu": 0.0, "stopped": True}


def our_cases(*, quick: bool) -> list[Case]:
    if quick:
        return [Case("penstock", "", reading, "mixed") for reading in READINGS] + [
            Case("penstock", "2 processes", "S2", "mixed", processes=2)
        ]
    cases = [
        Case("penstock", f"estimate {error:+.0%}" if error else "exact estimate", reading, kind, 1.0 + error)
        for reading in READINGS
        for kind in ("mixed", "short")
        for error in (0.0, 0.15, -0.15)
    ]
    cases += [Case("penstock", "noisy estimate", reading, "mixed", noise=0.25) for reading in READINGS]
    cases += [
        Case("penstock", f"{processes} processes", reading, kind, processes=processes)
        for processes in (2, 4)
        for reading in READINGS
        for kind in ("mixed", "short")
    ]
    return cases


def find_python(client: str, candidates: list[str]) -> str | None:
    for python in candidates:
        probe = [python, str(HERE / "quota_clients.py"), client, "--probe"]
        environment = {**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
        if subprocess.run(probe, capture_output=True, check=False, env=environment).returncode == 0:
            return python
    return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=40.0, help="refill time that each case's work is made for")
    parser.add_argument("--quick", action="store_true", help="four cases of 10 seconds, no peers")
    parser.add_argument("--peers-python", action="append", default=[], help="a Python with peers installed; repeatable")
    parser.add_argument("--only", default="", help="only cases whose description contains this")
    parser.add_argument("--postgres", default="", help="also share a quota through this database")
    parser.add_argument("--output", type=Path, default=HERE / "results" / "quota.json")
    args = parser.parse_args()
    seconds = min(args.seconds, 10.0) if args.quick else args.seconds
    cases = our_cases(quick=args.quick)
    if args.postgres:
        cases += [
            Case("penstock", "2 on PostgreSQL", name, "mixed", processes=2, board=args.postgres) for name in READINGS
        ]
    pythons: dict[str, str | None] = {"penstock": sys.executable}
    for name, note, options in () if args.quick else PEERS:
        if name not in pythons:
            pythons[name] = find_python(name, [sys.executable, *args.peers_python])
            if pythons[name] is None:
                print(f"{name}: not installed in any given Python, left out (see --peers-python)")
        if pythons[name]:
            cases += [
                Case(name, note, reading, kind, options=list(options))
                for reading in READINGS
                for kind in ("mixed", "short")
                if kind == "mixed" or reading == "S2"
            ]
    cases = [case for case in cases if args.only in describe(asdict(case))]
    server = Server()
    results = []
    try:
        print(f"{'client':<44} {'delivered':>9} {'used':>7} {'refused':>8} {'share':>7} {'CPU ms':>7}")
        for case in cases:
            result = run(case, server, pythons[case.client] or sys.executable, seconds)
            results.append(result)
            print(
                f"{describe(result):<44} {result['delivered']:>8.1%} {result['used']:>7.1%} {result['refused']:>8,}"
                f" {result['refused_share']:>7.2%} {result['cpu_ms_per_record']:>7.2f}"
                f"{'  stopped' if result['stopped'] else ''}",
                flush=True,
            )
    finally:
        server.close()
    machine = {"python": platform.python_version(), "cores": os.cpu_count(), "system": platform.platform()}
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(json.dumps({"machine": machine, "seconds": seconds, "cases": results}, indent=1) + "\n")


def describe(case: dict[str, Any]) -> str:
    return f"{case['client']} {case['reading']} {case['kind']} {case['note']}".strip()


if __name__ == "__main__":
    main()
