"""Conversion events over HTTP, each acknowledged when it is on disk: `python benchmarks/conversions_http.py`.

One process serves, another one sends over 64 open connections: single events of 1 KB, and arrays of 100. In turn:
`penstock serve` with its token, mapping, checks, hashes and delivery to the sandbox (a third process); the same while
the vendor cannot be reached; and two floors on the same Starlette and uvicorn: one that answers without looking at the
body, one that puts each body into SQLite with one commit. CPU is that of the serving process while requests come.
Where `strace` is installed a shorter run counts the fsyncs.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness import folder, sandbox, save

CONNECTIONS = 64
PENSTOCK = (sys.executable, "-m", "penstock")
MAPPING = """\
event: order_created
amount_unit: major
fields:
  id: ${{ record.order }}
  timestamp: ${{ record.at }}
  source_url: https://shop.example/thanks
  oppref: ${{ record.click }}
  email: ${{ record.email }}
  external_id: ${{ record.customer }}
  user_agent: ${{ record.agent }}
  amount: ${{ record.total }}
  currency: ${{ record.currency }}
"""
AGENT = "Mozilla/5.0 (X11; Linux x86_64) " + "AppleWebKit/537.36 " * 34
FLOOR = """
import json, sqlite3, sys
import uvicorn
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

folder, keeps = sys.argv[1], sys.argv[2] == "insert"
base = sqlite3.connect(folder + "/floor.sqlite", isolation_level=None)
base.execute("pragma journal_mode = wal")
base.execute("pragma synchronous = full")
base.execute("create table events (body blob)")

async def take(request):
    body = await request.body()
    if keeps:
        base.execute("insert into events values (?)", (body,))
    return Response(b'{"accepted":1}', 202, media_type="application/json")

class Server(uvicorn.Server):
    async def startup(self, sockets=None):
        await super().startup(sockets)
        print(json.dumps({"serving": f"http://127.0.0.1:{self.servers[0].sockets[0].getsockname()[1]}"}), flush=True)

app = Starlette(routes=[Route("/v1/events", take, methods=["POST"])])
Server(uvicorn.Config(app, port=0, http="httptools", log_level="critical", access_log=False)).run()
"""


def write_request(number: int, size: int, at: float, token: str) -> bytes:
    """Return the bytes of one request with `size` events; one alone stands by itself."""
    events = [
        {"order": f"o{number}-{index}", "at": at, "click": "c" * 120, "email": f"u{number}.{index}@example.com",
         "customer": f"CUST-{number}-{index}", "agent": AGENT, "total": "12.50", "currency": "EUR"}
        for index in range(size)
    ]  # fmt: skip
    body = json.dumps(events[0] if size == 1 else events).encode()
    head = (
        "POST /v1/events HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
        f"authorization: Bearer {token}\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def send_all(port: int, requests: list[bytes]) -> int:
    """Send requests over as many connections as there are; returns how many were answered with 202."""
    left = iter(requests)
    good = 0

    async def one() -> None:
        nonlocal good
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for request in left:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            await reader.readexactly(length)
            good += head.startswith(b"HTTP/1.1 202")
        writer.close()

    await asyncio.gather(*(one() for _ in range(CONNECTIONS)))
    return good


@contextlib.contextmanager
def serving(command: list[str], place: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Start a server that says where it listens; yields it with its port."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PENSTOCK", "OPENAI"))}
    with subprocess.Popen(command, cwd=place, env=environment, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            yield server, int(json.loads(server.stdout.readline())["serving"].rpartition(":")[2])
        finally:
            os.kill(_served(server.pid), signal.SIGTERM)


def _served(pid: int) -> int:
    """Return the process that serves: the only child where it is traced, else itself."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(children[0]) if children else pid


def cpu_of(pid: int) -> float:
    """Return the CPU seconds of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def prepared(name: str, place: Path) -> Iterator[tuple[list[str], str]]:
    """Prepare a folder for one way; yields the command that serves, and the token."""
    if name.startswith("floor"):
        yield [sys.executable, "-c", FLOOR, str(place), name.rpartition(" ")[2]], "none"
        return
    (place / "shop.yaml").write_text(MAPPING, encoding="utf-8")
    with contextlib.nullcontext("http://127.0.0.1:9") if "down" in name else sandbox("--keep", "0") as url:
        settings = f'sandbox = true\nsandbox-url = "{url}"\n'
        (place / "penstock.toml").write_text(settings, encoding="utf-8")
        add = [*PENSTOCK, "tokens", "add", "shop", "--mapping", "shop.yaml"]
        token = subprocess.run(add, cwd=place, capture_output=True, text=True, check=True).stdout.strip()
        yield [*PENSTOCK, "serve", "--port", "0"], token


def measure(name: str, size: int, events: int, *, traced: bool = False) -> dict[str, float]:
    """Send so many events in requests of one size to a new server."""
    with folder() as place, prepared(name, place) as (command, token):
        trace = ["strace", "-f", "--seccomp-bpf", "-c", "-e", "trace=fsync,fdatasync", "-o", "trace.txt"]
        with serving([*trace, *command] if traced else command, place) as (server, port):
            at = round(time.time()) - 3600
            asyncio.run(send_all(port, [write_request(number, size, at, token) for number in range(-64, 0)]))
            requests = [write_request(number, size, at, token) for number in range(events // size)]
            pid = _served(server.pid)
            started, cpu = time.perf_counter(), cpu_of(pid)
            good = asyncio.run(send_all(port, requests))
            seconds, used = time.perf_counter() - started, cpu_of(pid) - cpu
        assert good == len(requests), f"{good} of {len(requests)} taken"
        result = {"per_second": events / seconds, "us": 1e6 * used / events}
        if traced:
            lines = (place / "trace.txt").read_text(encoding="utf-8").splitlines()
            result["fsyncs"] = int(next(line for line in lines if line.endswith("total")).split()[3])
        return result


WAYS = ("floor nothing", "floor insert", "penstock", "penstock, vendor down")


def compare(size: int, events: int, rounds: int) -> dict[str, Any]:
    """Run the ways in turn; returns medians and ratios of CPU per event."""
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in WAYS}
    for _ in range(rounds):
        for name in WAYS:
            runs[name].append(measure(name, size, events))
            print(size, name, runs[name][-1], flush=True)

    def median(name: str, what: str) -> float:
        return statistics.median(run[what] for run in runs[name])

    found: dict[str, Any] = {"events_per_request": size, "events": events, "ways": {}}
    for name in WAYS:
        found["ways"][name] = {
            "cpu_us_per_event": round(median(name, "us"), 1),
            "events_per_second": round(median(name, "per_second")),
            "times_insert": round(
                statistics.median(
                    run["us"] / floor["us"] for run, floor in zip(runs[name], runs["floor insert"], strict=True)
                ),
                2,
            ),
        }
        if shutil.which("strace") and name != "penstock, vendor down":
            fewer = max(events // 10, size * CONNECTIONS)
            found["ways"][name]["fsyncs_per_1000_events"] = round(
                1000 * measure(name, size, fewer, traced=True)["fsyncs"] / (fewer + size * 64), 1
            )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    found = [compare(1, given.events, given.rounds), compare(100, given.events * 5, given.rounds)]
    save("conversions_http", {"what": "events over HTTP, acknowledged on disk", "sizes": found})


if __name__ == "__main__":
    main()
