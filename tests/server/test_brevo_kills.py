"""The service killed at any moment while Brevo delivers: what was acknowledged is dealt with, and nothing twice."""

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

import pytest

from penstock.runtime.hooks import Hooks
from penstock.workspace import Workspace
from processes import clean_environment

PATH, TOKEN = "a" * 40, "b" * 40


async def save_hook(folder: Path) -> None:
    async with Workspace.open(folder, overrides={"sandbox": True}, environ={}, command="test") as workspace:
        await Hooks(workspace.store, workspace.clock).save("org", "conversations", "brevo", PATH, TOKEN)


@contextmanager
def serve(folder: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    command = [sys.executable, "-m", "penstock", "serve", "--sandbox", "--no-auth", "--port", "0"]
    environment = clean_environment(PENSTOCK_BREVO_RECONCILE_MINUTES="0")
    process = subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert process.stdout is not None
        yield process, int(json.loads(process.stdout.readline())["serving"].rpartition(":")[2])
    finally:
        process.kill()
        process.communicate()


def deliver(port: int, number: int) -> int:
    """Deliver a message as Brevo does; returns the status, 0 for no answer."""
    message = {"id": f"m{number}", "type": "visitor", "text": f"Words {number}", "createdAt": 1_790_000_000_000}
    body = {"eventName": "conversationFragment", "conversationId": "c", "visitor": {}, "messages": [message]}
    headers = {"authorization": f"Bearer {TOKEN}", "content-type": "application/json"}
    try:
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
            connection.request("POST", f"/webhooks/brevo/{PATH}", json.dumps(body), headers)
            return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0


def look(folder: Path) -> tuple[list[str], int]:
    """Return the ids of what was said, and how many deliveries are not dealt with."""
    with closing(sqlite3.connect(folder / ".penstock" / "sandbox.sqlite")) as store:
        said = [row[0] for row in store.execute("select id from feedback order by id")]
        return said, store.execute("select count(*) from inbox where state <> 'done'").fetchone()[0]


@pytest.mark.slow
def test_what_was_acknowledged_is_dealt_with_once_however_often_the_service_is_killed(tmp_path: Path) -> None:
    asyncio.run(save_hook(tmp_path))
    chance = random.Random(5)
    numbers = list(range(60))
    acknowledged: set[int] = set()
    for _ in range(2):
        with serve(tmp_path) as (process, port):
            enough, wanted = threading.Event(), len(acknowledged) + chance.randrange(1, 20)
            waiting = [number for number in numbers if number not in acknowledged]

            def send(part: list[int], port: int = port, enough: threading.Event = enough, wanted: int = wanted) -> None:
                for number in part:
                    if deliver(port, number) == 204:
                        acknowledged.add(number)
                    if len(acknowledged) >= wanted:
                        enough.set()

            threads = [threading.Thread(target=send, args=(waiting[place::4],)) for place in range(4)]
            for thread in threads:
                thread.start()
            assert enough.wait(30)
            os.kill(process.pid, signal.SIGKILL)
            for thread in threads:
                thread.join()
    with serve(tmp_path) as (process, port):
        assert {deliver(port, number) for number in numbers for _ in range(2)} == {204}
        while look(tmp_path)[1]:
            pass
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(30) == 0
    assert look(tmp_path)[0] == sorted(f"conversations:m{number}" for number in numbers)
    assert acknowledged
