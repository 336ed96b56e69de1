"""Processes for tests that kill them: an emulator served here that outlives them, and one process that forks them."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from penstock.sandbox.server import make_config


@asynccontextmanager
async def serve_app(app: Any, *, has_date: bool = True) -> AsyncIterator[str]:
    """Serve an application on loopback; yields its address. Without `has_date` it dates answers itself."""
    import uvicorn

    config = make_config(app, "127.0.0.1", 0)
    config.date_header = has_date
    server = uvicorn.Server(config)
    task = asyncio.ensure_future(server.serve())
    while not server.started:  # noqa: ASYNC110 - the server has no event for this
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await task


class Children:
    """One process that forks the others, so that Python and its imports start once."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    @classmethod
    async def start(cls, script: Path, *arguments: str) -> Children:
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
        return cls(
            await asyncio.create_subprocess_exec(
                sys.executable,
                str(script),
                *arguments,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                env=environment,
            )
        )

    async def begin(self, order: str) -> int:
        """Have a child work on an order; returns its process id."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{order}\n".encode())
        return int((await self._line())[1])

    async def ended(self) -> int:
        """Wait for the child's end; returns its exit code, below zero for a signal."""
        return int((await self._line())[2])

    async def _line(self) -> list[str]:
        assert self.process.stdout is not None
        return (await self.process.stdout.readline()).decode().split()

    async def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        await self.process.wait()


def fork_for_each_order(work: Callable[[list[str]], Awaitable[None]]) -> None:
    """Read orders from standard input, one a line, and work on each in a process of its own."""
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            code = 70
            try:
                asyncio.run(work(line.split()))  # type: ignore[arg-type]
                code = 0
            finally:
                os._exit(code)
        print("pid", child, flush=True)
        print("ended", child, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
