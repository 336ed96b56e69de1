"""The service as a real process: ended softly by a signal, killed at any moment, patient with nobody who is slow."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from service import open_service

from penstock.base.clock import SystemClock
from penstock.server.listen import HEAD_LIMIT, PatientProtocol, Server, open_socket
from processes import clean_environment, serve_sandbox
from shop import Shop


class Service:
    """A running `penstock serve`."""

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self.process = process
        self.port = port

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)) as connection:
            content = None if body is None else json.dumps(body)
            connection.request(method, path, content, {"content-type": "application/json"})
            answered = connection.getresponse()
            text = answered.read()
            return answered.status, json.loads(text) if text else None

    def end(self, number: int) -> int:
        os.kill(self.process.pid, number)
        return self.process.wait(30)


@contextmanager
def serve(folder: Path, *options: str) -> Iterator[Service]:
    command = [sys.executable, "-m", "penstock", "serve", "--sandbox", "--no-auth", "--port", "0", *options]
    process = subprocess.Popen(
        command, cwd=folder, env=clean_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        first = process.stdout.readline()
        assert first, process.stderr and process.stderr.read()
        yield Service(process, int(json.loads(first)["serving"].rpartition(":")[2]))
    finally:
        process.kill()
        process.communicate()


def order(name: str) -> dict[str, Any]:
    return {
        "id": name, "event": "order_created", "timestamp": int(SystemClock().now()), "email": f"{name}@example.com",
        "source_url": "https://shop.example/", "amount": "1.00", "currency": "EUR",
    }  # fmt: skip


def states(folder: Path) -> dict[str, str]:
    with closing(sqlite3.connect(folder / ".penstock" / "sandbox.sqlite")) as store:
        tables = {row[0] for row in store.execute("select name from sqlite_master where type = 'table'")}
        table = "events" if "events" in tables else "outbox"
        return dict(store.execute(f"select event_id, state from {table}").fetchall())


@pytest.mark.slow
def test_a_signal_ends_it_softly_requests_are_answered_and_events_are_delivered(tmp_path: Path) -> None:
    with serve_sandbox("--latency", "1.0") as sandbox, serve(tmp_path, "--sandbox-url", sandbox.url) as service:
        assert service.ask("GET", "/readyz") == (200, {"status": "ok"})
        status, taken = service.ask("POST", "/v1/events?mapping=flat", [order("a"), order("b")])
        assert (status, taken["accepted"]) == (202, 2)
        answers: list[tuple[int, Any]] = []
        body = {"input": {"text": "Hello"}}
        asking = threading.Thread(target=lambda: answers.append(service.ask("POST", "/v1/operations/respond", body)))
        asking.start()
        while not sandbox.state()["calls"]:
            pass
        assert service.end(signal.SIGTERM) == 0
        asking.join()
        assert answers[0][0] == 200
        with pytest.raises(OSError, match="refused"):
            service.ask("GET", "/healthz")
    assert set(states(tmp_path).values()) == {"delivered"}


class Senders:
    """Threads that send events until enough were acknowledged, or the service is gone."""

    def __init__(self, service: Service, name: str, wanted: int) -> None:
        self.service, self.name, self.wanted = service, name, wanted
        self.acknowledged: set[str] = set()
        self.problems: list[Any] = []
        self.enough = threading.Event()
        self.threads = [threading.Thread(target=self._send, args=(number,)) for number in range(4)]
        for thread in self.threads:
            thread.start()

    def _send(self, sender: int) -> None:
        for number in range(10_000):
            names = [f"{self.name}-{sender}-{number}-{place}" for place in range(1 + number % 7)]
            try:
                status, taken = self.service.ask("POST", "/v1/events?mapping=flat", [order(name) for name in names])
            except (OSError, http.client.HTTPException, ValueError):
                return
            if status != 202:
                self.problems.append(taken)
            self.acknowledged.update(names)
            if len(self.acknowledged) >= self.wanted or self.problems:
                self.enough.set()

    def join(self) -> None:
        for thread in self.threads:
            thread.join()
        assert self.problems == []


@pytest.mark.slow
def test_what_was_acknowledged_is_there_after_a_kill_at_any_moment(tmp_path: Path) -> None:
    chance = random.Random(11)
    acknowledged: set[str] = set()
    for kill in range(4):
        with serve(tmp_path) as service:
            senders = Senders(service, f"k{kill}", chance.randrange(1, 300))
            senders.enough.wait(30)
            assert service.end(signal.SIGKILL) == -signal.SIGKILL
            senders.join()
            acknowledged |= senders.acknowledged
        assert acknowledged <= states(tmp_path).keys()
    with serve(tmp_path) as service:
        assert service.end(signal.SIGTERM) == 0
    held = states(tmp_path)
    assert {held[name] for name in acknowledged} == {"delivered"}


async def test_a_client_that_sends_no_head_or_a_huge_one_is_cut_off(tmp_path: Path) -> None:
    class Impatient(PatientProtocol):
        head_seconds = 0.05

    async with open_service(tmp_path, with_tokens=False) as client:
        came: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        server = Server(client.app, "127.0.0.1", came.set_result, Impatient)
        server.config.lifespan = "off"
        serving = asyncio.create_task(server.serve([open_socket("127.0.0.1", 0)]))
        port = int((await came).rpartition(":")[2])

        async def talk(*parts: bytes) -> bytes:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            for part in parts:
                writer.write(part)
                await writer.drain()
            answered = await reader.read()
            writer.close()
            return answered

        assert await talk() == b""
        assert await talk(b"GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\n") == b""
        head = b"GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\nx-long: "
        assert (await talk(head, b"x" * (HEAD_LIMIT + 1))).startswith(b"HTTP/1.1 431 ")
        good = b"GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n"
        assert (await talk(good)).startswith(b"HTTP/1.1 200 ")
        client.app._gate._body_seconds = 0.05
        slow = b"POST /v1/flows/plan HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 10\r\nconnection: close\r\n\r\n{"
        assert (await talk(slow)).startswith(b"HTTP/1.1 408 ")
        assert (await talk(b"\x16\x03\x01 nonsense\r\n\r\n")).startswith(b"HTTP/1.1 400 ")
        server.stop()
        await serving


async def test_each_event_leaves_the_real_server_before_the_next_one_is_made(tmp_path: Path) -> None:
    Shop(tmp_path)
    async with open_service(tmp_path, with_tokens=False) as client:
        run = (await client.post("/v1/flows/run", {"flow": "flow.yaml", "apply_schema": True})).json()["run"]
        await client.app.desk.wait()
        feed = client.app.desk.feed(run)
        assert feed is not None
        feed.is_ended = False  # as while the run is still under way
        came: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        server = Server(client.app, "127.0.0.1", came.set_result)
        server.config.lifespan = "off"
        serving = asyncio.create_task(server.serve([open_socket("127.0.0.1", 0)]))
        reader, writer = await asyncio.open_connection("127.0.0.1", int((await came).rpartition(":")[2]))
        writer.write(f"GET /v1/runs/{run}/events HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n".encode())
        assert b"text/event-stream" in await reader.readuntil(b"\r\n\r\n")
        for number in range(20):
            feed.put({"number": number})
            while b'{"number":%d}' % number not in await reader.readuntil(b"\n\n"):
                pass
        server.stop()
        assert (await reader.read()).endswith(b"0\r\n\r\n")
        writer.close()
        await serving
