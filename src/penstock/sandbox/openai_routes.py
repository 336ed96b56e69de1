"""What the parts of the emulated OpenAI share: routes, requests, answers, the limits, and what happens later.

A part is a module with `make_routes(service) -> list[Route]`; `openai.py` collects them.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import msgspec

from penstock.base.types import Usage
from penstock.sandbox.limits import Limiter
from penstock.sandbox.loopback import Deliver, post_to_loopback
from penstock.sandbox.openai_meter import Meter
from penstock.sandbox.openai_models import Model, Models
from penstock.sandbox.openai_quirks import Quirks
from penstock.sandbox.openai_requests import ApiError
from penstock.sandbox.world import World

JSON = b"application/json"
EVENTS = b"text/event-stream; charset=utf-8"


class Call(NamedTuple):
    """One request: the operation that its path names, the named parts of the path, the query, and who asks."""

    operation: str
    method: str
    path: str
    names: dict[str, str]
    query: dict[str, list[str]]
    headers: dict[bytes, bytes]
    content: bytes
    account: str

    def read_json(self) -> Any:
        """Decode the body; refuses what is not JSON."""
        try:
            return msgspec.json.decode(self.content)
        except msgspec.DecodeError as error:
            text = "We could not parse the JSON body of your request."
            raise ApiError(400, text, code="invalid_json") from error

    def asked(self, name: str, default: str = "") -> str:
        """Return a parameter of the query, the last one when it is given several times."""
        return self.query.get(name, [default])[-1]


class Done(NamedTuple):
    """Finished work: the answer and what it used (None: free); with `pieces`, it is sent piece by piece."""

    content: bytes
    usage: Usage | None = None
    kind: bytes = JSON
    status: int = 200
    pieces: tuple[bytes, ...] = ()


class Job(NamedTuple):
    """A checked request: its model, the tokens that the limiter charges (None: not limited), and the work itself.

    `images` are charged to the limit of images a minute.
    """

    model: Model
    charge: int | None
    run: Callable[[], Done]
    images: int = 0


class Act(NamedTuple):
    """A checked request that changes something and costs nothing; it is done only when no fault prevents it."""

    run: Callable[[], Done | Awaitable[Done]]


Handler = Callable[[Call], Job | Act | Done]


def act(handler: Callable[[Call], Done]) -> Handler:
    """Return a handler that does its work only when no fault prevents it."""
    return lambda call: Act(lambda: handler(call))


class Route(NamedTuple):
    """One endpoint: `{name}` in the path takes one segment; `admin` asks for an admin key."""

    method: str
    path: str
    operation: str
    handler: Handler
    admin: bool = False


def answer_json(value: Any, usage: Usage | None = None) -> Done:
    """Return a finished answer of JSON."""
    return Done(msgspec.json.encode(value), usage)


class Line(NamedTuple):
    """The answer to a request that came in a batch; `usage` is None for what is free or failed."""

    status: int
    content: bytes
    usage: Usage | None
    model: str


class Service:
    """One emulated service: its world, models, limits and routes, and the work that is due later."""

    def __init__(
        self,
        world: World,
        models: Models,
        limiter: Limiter,
        *,
        fast: bool = False,
        quirks: Quirks | None = None,
        plain: bool = False,
        deliver: Deliver = post_to_loopback,
    ) -> None:
        self.world = world
        self.models = models
        self.limiter = limiter
        self.fast = fast
        self.quirks = quirks or Quirks()
        self.plain = plain
        self.meter = Meter(world.clock, fast=fast)
        self.tokenizer = self.meter.tokenizer
        self.deliver = deliver
        self.listeners: list[Callable[[str, str], None]] = []
        self.watchers: list[Callable[[], None]] = []
        self._exact: dict[str, dict[str, Route]] = {}
        self._patterns: list[tuple[re.Pattern[str], dict[str, Route]]] = []
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._order = 0

    def add(self, routes: list[Route]) -> None:
        """Serve these endpoints too."""
        for route in routes:
            if "{" not in route.path:
                self._exact.setdefault(route.path, {})[route.method] = route
                continue
            pattern = re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", route.path))
            methods = next((known for one, known in self._patterns if one.pattern == pattern.pattern), None)
            if methods is None:
                methods = {}
                self._patterns.append((pattern, methods))
            methods[route.method] = route

    def find(self, method: str, path: str) -> tuple[Route, dict[str, str]]:
        """Return the endpoint of a path and the named parts of it; an exact path wins over a pattern."""
        methods, names = self._exact.get(path), {}
        for pattern, known in () if methods else self._patterns:
            match = pattern.fullmatch(path)
            if match:
                methods, names = known, match.groupdict()
                break
        if methods is None:
            raise ApiError(404, f"Invalid URL ({method} {path})")
        if method not in methods:
            raise ApiError(405, f"Not allowed to {method} on {path}.", code="method_not_allowed")
        return methods[method], names

    def answer_line(self, path: str, content: bytes, account: str) -> Line:
        """Answer one line of a batch: the live endpoint without its limits, faults and bill."""
        try:
            route, names = self.find("POST", path)
            job = route.handler(Call(route.operation, "POST", path, names, {}, {}, content, account))
            if isinstance(job, Act):
                raise ApiError(400, f"{path} cannot be used in a batch.", code="unsupported_value", param="url")
            done = job.run() if isinstance(job, Job) else job
        except ApiError as error:
            return Line(error.status, msgspec.json.encode(error.envelope), None, "")
        return Line(done.status, done.content, done.usage, job.model.id if isinstance(job, Job) else "")

    def later(self, seconds: float, action: Callable[[], None]) -> None:
        """Do something when the world's clock has moved on; it happens before the next request is answered."""
        self._order += 1
        heapq.heappush(self._due, (self.world.clock.now() + seconds, self._order, action))
        for watcher in self.watchers:
            watcher()

    @property
    def next_due(self) -> float | None:
        """Return when something is due next, in seconds since 1970."""
        return self._due[0][0] if self._due else None

    def run_due(self) -> None:
        """Do what is due by now, in order."""
        while self._due and self._due[0][0] <= self.world.clock.now():
            heapq.heappop(self._due)[2]()

    def announce(self, event: str, identity: str) -> None:
        """Tell listeners (webhooks) that something happened, such as `response.completed`, and to which object."""
        for listener in self.listeners:
            listener(event, identity)
