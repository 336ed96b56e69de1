"""Runs over Brevo contacts that are killed at every request for contacts, before it is answered and after."""

from __future__ import annotations

import csv
import os
import signal
import socket
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from penstock.base.clock import SystemClock
from penstock.sandbox.server import build_app, make_config
from penstock.sandbox.world import World
from processes import Commands, open_commands
from shop import Shop

PEOPLE = 2_300
REQUESTS = 6
"""For contacts in one run: the first ones to try the flow on, how many, three windows, how many in the end."""


class Trap:
    """The emulated vendors, and a process that is killed at one of its requests for contacts."""

    def __init__(self) -> None:
        self.app = build_app(World(SystemClock()), brevo_scale=1_000)
        self.account = self.app._brevo.state
        self.started = threading.Event()
        self.pid = self.asked = self.kill_at = 0
        self.answers_first = False

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        is_counted = scope["type"] == "http" and scope["path"] == "/brevo/v3/contacts" and scope["method"] == "GET"
        self.asked += is_counted
        kills = is_counted and self.asked == self.kill_at
        if kills and not self.answers_first:
            self.kill()
        else:
            await self.app(scope, receive, send)
            if kills:
                self.kill()

    def kill(self) -> None:
        self.started.wait(10)
        os.kill(self.pid, signal.SIGKILL)

    def fill(self) -> None:
        """Make contacts a second apart; a few texts are all that must be bought."""
        self.account.add_attribute("FEEDBACK")
        made = self.account.world.clock.now() - 30 * 86_400
        for number in range(PEOPLE):
            text = f"The zip broke on day {number % 5}. Terrible."
            self.account.add_contact(f"p{number}@example.com", {"FEEDBACK": text}, created_at=made + number)

    def billed(self) -> int:
        return sum(self.account.world.billed_calls.values())


@contextmanager
def serve(app: Trap) -> Iterator[str]:
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(make_config(app, "127.0.0.1", 0))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)
        listener.close()


def run(commands: Commands, trap: Trap, url: str, *, kill_at: int = 0, answers_first: bool = False) -> int:
    trap.asked, trap.kill_at, trap.answers_first = 0, kill_at, answers_first
    trap.started.clear()
    trap.pid = commands.start("run", "flow.yaml", "--sandbox", "--sandbox-url", url, "--json")
    trap.started.set()
    return commands.wait()


@pytest.mark.slow
@pytest.mark.parametrize("answers_first", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("number", range(1, REQUESTS + 1))
def test_a_run_killed_at_a_request_for_contacts_goes_on_and_loses_nobody(
    tmp_path: Path, number: int, answers_first: bool
) -> None:
    columns = {"label": "${{ sentiment.label }}"}
    shop = Shop(
        tmp_path,
        source={"brevo": {}},
        steps=[{"analyze-sentiment": {"text": "${{ record.attributes.FEEDBACK }}"}}],
        summarize=None,
        sink={"files": {"path": "out.csv", "match": "${{ record.email }}", "columns": columns}},
    )
    shop.write()
    trap = Trap()
    trap.fill()
    with serve(trap) as url, open_commands(tmp_path) as commands:
        code = run(commands, trap, url, kill_at=number, answers_first=answers_first)
        assert code == -signal.SIGKILL or (number == REQUESTS and answers_first), commands.err.read_text()
        assert run(commands, trap, url) == 0, commands.err.read_text()
        counts = commands.report()["counts"]
        assert counts["failed"] == counts["rejected"] == 0
        with (tmp_path / "out.csv").open(encoding="utf-8") as file:
            emails = sorted(row["email"] for row in csv.DictReader(file))
        assert emails == sorted(f"p{one}@example.com" for one in range(PEOPLE))
        with closing(sqlite3.connect(tmp_path / ".penstock" / "sandbox.sqlite")) as store:
            (lost,) = store.execute("select count(*) from calls where state = 'unknown'").fetchone()
        assert 5 <= trap.billed() <= 5 + lost  # bought again is only what was under way when the process died
        assert run(commands, trap, url) == 0, commands.err.read_text()
        assert commands.report()["counts"]["judged"] == 0
        assert commands.report()["counts"]["unchanged"] <= 601  # those of the last ten minutes before the watermark
