"""Real processes for tests: the sandbox server, and commands that can be killed at any moment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


class Sandbox:
    """A running sandbox server."""

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self.process = process
        self.url = url

    def state(self) -> dict[str, Any]:
        """Return what the vendors counted."""
        with urllib.request.urlopen(f"{self.url}/_sandbox/state", timeout=10) as reply:
            return dict(json.load(reply))

    def post(self, path: str, **body: Any) -> None:
        request = urllib.request.Request(f"{self.url}/_sandbox/{path}", json.dumps(body).encode(), method="POST")
        urllib.request.urlopen(request, timeout=10).close()

    def billed(self) -> int:
        return sum(self.state()["billed_calls"].values())


@contextmanager
def serve_sandbox(*options: str) -> Iterator[Sandbox]:
    """Start `python -m penstock.sandbox.server` on a free port of this machine."""
    command = [sys.executable, "-m", "penstock.sandbox.server", "--port", "0", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=clean_environment())
    try:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(3)]
        yield Sandbox(process, lines[1].strip().partition("=")[2].removesuffix("/openai/v1"))
    finally:
        process.terminate()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def clean_environment(**more: str) -> dict[str, str]:
    """Return the environment without keys or settings."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("PENSTOCK_", "OPENAI_", "BREVO_"))
    }
    return {**kept, **more}


_FORKS = """
import json, os, sys
from penstock.cli.main import execute
import penstock.cli.flows, penstock.data.files, penstock.data.brevo, penstock.features.sentiment
import penstock.runtime.jobs, dbos
for line in sys.stdin:
    order = json.loads(line)
    child = os.fork()
    if child == 0:
        for number, name in ((1, "out"), (2, "err")):
            handle = os.open(order[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(handle, number)
        code = 70
        try:
            code = execute(order["arguments"])
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Commands:
    """Starts `penstock` commands as processes, from one process that has imported everything already."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.out, self.err = folder / "stdout.txt", folder / "stderr.txt"
        self._process = subprocess.Popen(
            [sys.executable, "-c", _FORKS],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=folder,
            env=clean_environment(),
        )

    def start(self, *arguments: str) -> int:
        """Start a command and return its process id."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        order = {"arguments": list(arguments), "out": str(self.out), "err": str(self.err)}
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def wait(self) -> int:
        """Wait for the command's end and return its exit code, below zero for a signal."""
        assert self._process.stdout is not None
        return int(self._process.stdout.readline())

    def run(self, *arguments: str) -> int:
        self.start(*arguments)
        return self.wait()

    def report(self) -> dict[str, Any]:
        """Return the JSON document that the last command wrote."""
        return dict(json.loads(self.out.read_text()))

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


@contextmanager
def open_commands(folder: Path) -> Iterator[Commands]:
    commands = Commands(folder)
    try:
        yield commands
    finally:
        commands.close()
