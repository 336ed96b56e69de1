"""Delay that Penstock adds to a streamed answer, beside the bare openai SDK: `python benchmarks/streaming.py`.

A server in a process of its own sends a chat completion of 200 pieces, one every 2 ms, each with the time at which
it left (the machine's monotonic clock). Measured are the time from the call to the first piece, and for each piece the
time from the server to the reader. Both clients in turn, in one run. Penstock's figures hold the whole path of a paid
call: answer store, governor, reservation in the ledger.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from harness import folder, run_child, save

SERVER = """
import asyncio, json, sys, time

PIECES, PAUSE = int(sys.argv[1]), float(sys.argv[2])
HEAD = (b"HTTP/1.1 200 OK\\r\\ncontent-type: text/event-stream\\r\\nx-request-id: r\\r\\n"
        b"transfer-encoding: chunked\\r\\n\\r\\n")

def event(delta, reason=None, **rest):
    choices = [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}]
    whole = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "gpt-6-luna", "choices": choices}
    return b"data: " + json.dumps({**whole, **rest}).encode() + b"\\n\\n"

def chunk(data):
    return b"%x\\r\\n%s\\r\\n" % (len(data), data)

async def answer(reader, writer):
    with_usage = {"prompt_tokens": 9, "completion_tokens": PIECES, "total_tokens": 9 + PIECES}
    try:
        while True:
            head = (await reader.readuntil(b"\\r\\n\\r\\n")).lower()
            await reader.readexactly(int(head.split(b"content-length:")[1].split(b"\\r\\n")[0]))
            writer.write(HEAD)
            for _ in range(PIECES):
                writer.write(chunk(event({"content": f"{time.monotonic_ns()} "})))
                await asyncio.sleep(PAUSE)
            last = event({}, "stop") + event({}, choices=[], usage=with_usage) + b"data: [DONE]\\n\\n"
            writer.write(chunk(last) + b"0\\r\\n\\r\\n")
    except asyncio.IncompleteReadError:
        writer.close()

async def main():
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()

asyncio.run(main())
"""

MEASURE = """
import asyncio, gc, json, statistics, sys, time
import uvloop

class Watch:
    def __init__(self):
        self.first, self.delays, self.begun = [], [], 0

    def begin(self):
        self.begun = 0
        self.started = time.monotonic_ns()

    def hear(self, text):
        now = time.monotonic_ns()
        if not self.begun:
            self.begun = now
            self.first.append((now - self.started) / 1e6)
        self.delays += [(now - int(sent)) / 1e6 for sent in text.split()]

    def report(self, cpu):
        parts = statistics.quantiles(self.delays, n=100)
        print(json.dumps({
            "first_piece_ms": statistics.median(self.first), "piece_ms_median": statistics.median(self.delays),
            "piece_ms_99": parts[98], "pieces": len(self.delays), "cpu_ms_per_piece": 1000 * cpu / len(self.delays),
        }))
"""

PENSTOCK = (
    MEASURE
    + """
from pathlib import Path
from penstock.calls import CallOptions, Piece
from penstock.workspace import Workspace

async def main(folder, url, rounds):
    settings = {"openai.api-key": "sk-bench", "openai.base-url": url}
    async with Workspace.open(Path(folder), overrides=settings, environ={}) as workspace:
        watch = Watch()
        for round in range(rounds + 5):
            if round == 5:
                watch, cpu = Watch(), time.process_time()
            watch.begin()
            fresh = CallOptions(fresh=True)
            async for part in workspace.operations.stream("chat", {"text": "Write a line.", "max_tokens": 400}, fresh):
                if isinstance(part, Piece):
                    watch.hear(part.text)
        watch.report(time.process_time() - cpu)

uvloop.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
"""
)

SDK = (
    MEASURE
    + """
import openai

async def main(folder, url, rounds):
    client = openai.AsyncOpenAI(api_key="sk-bench", base_url=url)
    messages = [{"role": "user", "content": "Write a line."}]
    watch = Watch()
    for round in range(rounds + 5):
        if round == 5:
            watch, cpu = Watch(), time.process_time()
        watch.begin()
        parts = await client.chat.completions.create(
            model="gpt-6-luna", messages=messages, stream=True, stream_options={"include_usage": True}
        )
        async for part in parts:
            if part.choices and part.choices[0].delta.content:
                watch.hear(part.choices[0].delta.content)
    watch.report(time.process_time() - cpu)

uvloop.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
"""
)


@contextlib.contextmanager
def serve(pieces: int, pause: float) -> Iterator[str]:
    """Serve the stream in a process of its own; yields the base URL."""
    command = [sys.executable, "-c", SERVER, str(pieces), str(pause)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            yield f"http://127.0.0.1:{server.stdout.readline().strip()}/v1"
        finally:
            server.terminate()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pieces", type=int, default=200)
    parser.add_argument("--pause", type=float, default=0.002)
    parser.add_argument("--answers", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    ours: list[dict[str, Any]] = []
    theirs: list[dict[str, Any]] = []
    with serve(given.pieces, given.pause) as url, folder() as place:
        for _ in range(given.rounds):
            ours.append(run_child(PENSTOCK, str(place), url, str(given.answers)))
            theirs.append(run_child(SDK, str(place), url, str(given.answers)))
    names = ("first_piece_ms", "piece_ms_median", "piece_ms_99", "cpu_ms_per_piece")
    result = {
        "what": f"milliseconds, {given.pieces} pieces, one every {1000 * given.pause:g} ms; medians of the rounds",
        "penstock": {name: round(statistics.median(one[name] for one in ours), 3) for name in names},
        "openai_sdk": {name: round(statistics.median(one[name] for one in theirs), 3) for name in names},
        "rounds": {"penstock": ours, "openai_sdk": theirs},
    }
    save("streaming", result)


if __name__ == "__main__":
    main()
