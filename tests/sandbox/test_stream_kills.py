"""A process that is killed while it prints an answer leaves its money as held, and the next one buys it anew."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from penstock.workspace import Workspace
from processes import clean_environment, serve_sandbox

TEXT = "Write one line about rain."


@pytest.mark.parametrize("name", ["respond", "chat"])
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT], ids=["killed", "interrupted"])
@pytest.mark.slow
async def test_the_books_are_true_after_the_end_of_a_process_that_streamed(
    tmp_path: Path, name: str, end: signal.Signals
) -> None:
    command = [sys.executable, "-m", "penstock", name, "--text", TEXT, "--stream", "--json"]
    with serve_sandbox() as sandbox:
        operation = "responses" if name == "respond" else name
        sandbox.post("faults", vendor="openai", operation=operation, kind="hang", seconds=600, times=1)
        process = subprocess.Popen(  # noqa: ASYNC220 - it is waited for by hand
            [*command, "--sandbox", "--sandbox-url", sandbox.url],
            cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=clean_environment(),
        )  # fmt: skip
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["text"]
        os.kill(process.pid, end)
        _, told = process.communicate(timeout=20)
        assert process.returncode == (-end if end == signal.SIGKILL else 130), told
        assert sandbox.billed() == 1
        overrides = {"sandbox": True, "sandbox-url": sandbox.url}
        async with Workspace.open(tmp_path, overrides=overrides, environ={}) as workspace:
            (row,) = await workspace.ledger.costs()
            assert (row.state, row.cost) == ("unknown", 0)
            assert row.held > 0
            result = await workspace.operations.call(name, {"text": TEXT})
            assert (result.cached, result.calls) == (False, 1)
            states = {row.state: row.count for row in await workspace.ledger.costs()}
            assert states == {"unknown": 1, "done": 1}
        assert sandbox.billed() == 2
        sandbox.process.kill()  # it would wait until its silence is over
