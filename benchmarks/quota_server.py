"""A chat endpoint that enforces request and token limits exactly and counts what it admitted and refused.

Answers after about 0.3 s (lognormal, sigma 0.3), refuses after 20 ms, charges a quarter of the
prompt's bytes plus `max_tokens`. `POST /reset` sets the reading, `GET /stats` tells the figures.
"""

from __future__ import annotations

import asyncio
import json
import math
import random
import sys
from typing import Any

from penstock.base.clock import SystemClock
from penstock.sandbox.limits import Limit, Limiter

RPM, TPM = 3000, 400_000
LATENCY, SIGMA, REFUSAL = 0.3, 0.3, 0.02


class State:
    def __init__(self) -> None:
        self.clock = SystemClock()
        self.reset({})

    def reset(self, options: dict[str, Any]) -> None:
        self.depth = float(options.get("depth", 60))
        self.limiter = Limiter(
            self.clock,
            {},
            default=Limit(RPM, TPM),
            depth_seconds=self.depth,
            count_refused=bool(options.get("count_refused", False)),
        )
        self.chance = random.Random(7)
        self.first = self.last = 0.0
        self.requests = self.tokens = self.refused = 0
        self.prompts: dict[str, int] = {}

    def admit(self, body: dict[str, Any]) -> tuple[int, list[tuple[bytes, bytes]], dict[str, Any], float]:
        text = "".join(str(message.get("content") or "") for message in body.get("messages", ()))
        prompt = math.ceil(len(text.encode()) / 4)
        output = int(body.get("max_tokens") or body.get("max_completion_tokens") or 0)
        verdict = self.limiter.admit("account", "model", prompt + output)
        now = self.clock.monotonic()
        self.first = self.first or now
        if not verdict.allowed:
            self.refused += 1
            error = {
                "message": verdict.message,
                "type": verdict.dimension,
                "param": None,
                "code": "rate_limit_exceeded",
            }
            return 429, verdict.headers, {"error": error}, REFUSAL
        self.last = now
        self.requests += 1
        self.tokens += prompt + output
        name = text[:24]
        self.prompts[name] = self.prompts.get(name, 0) + 1
        return 200, verdict.headers, answer(body, prompt), LATENCY * self.chance.lognormvariate(0.0, SIGMA)

    def stats(self) -> dict[str, Any]:
        passed = max(self.last - self.first, 0.0) + self.depth
        used = max(self.requests / (RPM / 60 * passed), self.tokens / (TPM / 60 * passed))
        return {
            "accepted": self.requests,
            "tokens": self.tokens,
            "refused": self.refused,
            "seconds": self.last - self.first,
            "used": used,
            "paid_twice": sum(count - 1 for count in self.prompts.values()),
        }


def answer(body: dict[str, Any], prompt: int) -> dict[str, Any]:
    message = {"role": "assistant", "content": '{"score": 0.5}', "refusal": None}
    usage = {"prompt_tokens": prompt, "completion_tokens": 5, "total_tokens": prompt + 5}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": body.get("model", "model"),
        "choices": [choice],
        "usage": usage,
    }


class Connection(asyncio.Protocol):
    def __init__(self, state: State) -> None:
        self.state = state
        self.buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = self.buffer[:end].decode("latin-1")
            length = 0
            for line in head.split("\r\n")[1:]:
                name, _, value = line.partition(":")
                if name.lower() == "content-length":
                    length = int(value)
            if len(self.buffer) < end + 4 + length:
                return
            body = self.buffer[end + 4 : end + 4 + length]
            self.buffer = self.buffer[end + 4 + length :]
            self.handle(head.split(" ", 2)[1], json.loads(body) if body else {})

    def handle(self, path: str, body: dict[str, Any]) -> None:
        if path == "/stats":
            self.reply(200, [], self.state.stats())
        elif path == "/reset":
            self.state.reset(body)
            self.reply(200, [], {})
        else:
            status, headers, content, wait = self.state.admit(body)
            asyncio.get_running_loop().call_later(wait, self.reply, status, headers, content)

    def reply(self, status: int, headers: list[tuple[bytes, bytes]], content: dict[str, Any]) -> None:
        body = json.dumps(content).encode()
        lines = [b"HTTP/1.1 %d %s" % (status, b"OK" if status == 200 else b"Too Many Requests")]
        lines += [name + b": " + value for name, value in headers]
        lines += [b"content-type: application/json", b"x-request-id: req_1", b"content-length: %d" % len(body)]
        if not self.transport.is_closing():
            self.transport.write(b"\r\n".join(lines) + b"\r\n\r\n" + body)


async def serve() -> None:
    state = State()
    server = await asyncio.get_running_loop().create_server(lambda: Connection(state), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)  # the parent's end closes it


if __name__ == "__main__":
    try:
        import uvloop
    except ImportError:
        asyncio.run(serve())
    else:
        uvloop.run(serve())
