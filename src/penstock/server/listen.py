"""Puts the application on a port: slow and oversized clients are cut off, a signal ends it softly."""

from __future__ import annotations

import asyncio
import errno
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from penstock.base.errors import SettingsError

HEAD_SECONDS = 10.0
"""How long a client may take for the head of a request, from the first connection or byte on."""
HEAD_LIMIT = 64 << 10
"""Bytes of the head of a request at most."""
DRAIN_SECONDS = 60
"""How long requests under way may take once the service is stopping."""
BACKLOG = 4096
IDLE_SECONDS = 30
"""How long a connection stays open between two requests."""


class Served(Protocol):
    """An ASGI application that is told before it ends."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request, or follow the life of the server."""

    def drain(self) -> None:
        """Take no new work, and end what only waits."""


class PatientProtocol(HttpToolsProtocol):
    """HTTP/1.1 for one connection that waits only so long, and reads only so much, for the head of a request."""

    head_seconds = HEAD_SECONDS

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._head_size = 0
        self._is_in_head = True
        self._patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read; a head that grows too large ends the connection."""
        if self._is_in_head:
            self._head_size += len(data)
            if self._patience is None:
                self._wait_for_head()
        super().data_received(data)
        if self._is_in_head and self._head_size > HEAD_LIMIT and not self.transport.is_closing():
            self.transport.write(b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\n\r\n")
            self.transport.close()

    def on_headers_complete(self) -> None:
        """Hand the request on: from here the application minds the body."""
        self._is_in_head, self._head_size = False, 0
        self._stop_waiting()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Expect the next head."""
        self._is_in_head = True
        super().on_message_complete()

    def _wait_for_head(self) -> None:
        self._patience = self.loop.call_later(self.head_seconds, self._give_up)

    def _stop_waiting(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _give_up(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()


class Server(uvicorn.Server):
    """A server that tells where it listens, and for which a signal is a wish to end softly."""

    def __init__(
        self,
        app: Served,
        host: str,
        announce: Callable[[str], None],
        protocol: type[PatientProtocol] = PatientProtocol,
    ) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=protocol,
                ws="none",
                lifespan="on",
                log_config=None,
                log_level="critical",  # what matters is answered or reported; nothing else writes to the terminal
                access_log=False,
                server_header=False,
                proxy_headers=False,
                backlog=BACKLOG,
                timeout_keep_alive=IDLE_SECONDS,
                timeout_graceful_shutdown=DRAIN_SECONDS,
            )
        )
        self._app = app
        self._host = host
        self._announce = announce

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, then say where."""
        await super().startup(sockets=sockets)
        if self.started and sockets:
            port = sockets[0].getsockname()[1]
            host = f"[{self._host}]" if ":" in self._host else self._host
            self._announce(f"http://{host}:{port}")

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take the signals; the process ends by itself when the work is done, with exit code 0."""
        loop = asyncio.get_running_loop()
        numbers = (signal.SIGINT, signal.SIGTERM)
        for number in numbers:
            loop.add_signal_handler(number, self.stop)
        try:
            yield
        finally:
            for number in numbers:
                loop.remove_signal_handler(number)

    def stop(self) -> None:
        """End softly: no new connections, what is under way is finished; a second call ends at once."""
        if self.should_exit:
            self.force_exit = True
        self._app.drain()
        self.should_exit = True


async def listen(app: Served, host: str, port: int, announce: Callable[[str], None]) -> None:
    """Serve until a signal; port 0 takes any free one, and `announce` gets the address once it answers."""
    with open_socket(host, port) as place:
        await Server(app, host, announce).serve([place])


def open_socket(host: str, port: int) -> socket.socket:
    """Bind an address; raises `SettingsError` when that is not possible."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise SettingsError(
            f"cannot listen on {host}:{port}: {error.strerror or error}",
            code="serve.port-taken" if error.errno == errno.EADDRINUSE else "serve.address",
            hint="Choose another one with --host and --port; --port 0 takes any free port.",
        ) from error
