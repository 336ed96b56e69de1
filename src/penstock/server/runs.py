"""Flows and their runs over HTTP: plan, run, look, follow, stop, retry; only flow files inside the workspace."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from starlette.responses import Response

from penstock.base.errors import FixError, InputError
from penstock.base.types import DOLLAR
from penstock.flows.kept import RunRow
from penstock.flows.plan import Plan
from penstock.flows.rows import to_run
from penstock.flows.state import list_letters, list_runs
from penstock.server.desk import RunDesk
from penstock.server.doors import Call, Door, decode, find_inside, reply
from penstock.server.sse import Event, stream
from penstock.workspace import Workspace

LOOK_SECONDS = 1.0
"""Between looks at a run that another process works on."""
END = "end"


class PlanRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which flow, its path inside the workspace, and by when it is to be done, such as 24h."""

    flow: str
    by: str | None = None


class RunRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which flow to run, by when, and what it may cost: dollars, or yes to whatever it is estimated at."""

    flow: str
    budget: float | None = None
    by: str | None = None
    yes: bool = False
    apply_schema: bool = False


class RetryRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a retry may cost, in dollars."""

    budget: float | None = None


class Runs:
    """Routes of flows and runs of one workspace."""

    def __init__(self, workspace: Workspace, desk: RunDesk, draining: Any) -> None:
        self._workspace = workspace
        self._desk = desk
        self._draining = draining

    def doors(self) -> Iterator[Door]:
        """Yield the routes."""
        started = {"type": "object", "properties": {"run": {"type": "string"}, "events": {"type": "string"}}}
        listed = {"type": "object", "properties": {"runs": {"type": "array"}, "next": {"type": ["string", "null"]}}}
        paging = {"limit": "Rows at most, up to 200.", "before": "The `next` of the page before."}
        yield Door("POST", "/v1/flows/plan", self._plan, "What a run would do, cost and write.", "work",
                   body=_body(PlanRequest), reply=msgspec.json.schema(Plan))  # fmt: skip
        yield Door("POST", "/v1/flows/run", self._run, "Run a flow, or go on with its unfinished run.", "work",
                   body=_body(RunRequest), reply=started, status=202, keeps=True)  # fmt: skip
        yield Door("GET", "/v1/runs", self._list, "Runs, newest first.", "work", reply=listed,
                   query={**paging, "flow": "Only runs of the flow of this name."})  # fmt: skip
        yield Door("GET", "/v1/runs/{id}", self._show, "One run, and its dead letters.", "work",
                   query={"limit": "Dead letters at most, up to 200.", "after": "The `next` before."})  # fmt: skip
        yield Door("GET", "/v1/runs/{id}/events", self._follow, "Progress as it happens; resumes at Last-Event-ID.",
                   "work", reply={"type": "string"}, reply_type="text/event-stream")  # fmt: skip
        yield Door("POST", "/v1/runs/{id}/stop", self._stop, "End a run softly: what was bought is kept.", "work",
                   status=202)  # fmt: skip
        yield Door("POST", "/v1/runs/{id}/retry", self._retry, "Try the failed records of a run again.", "work",
                   body=_body(RetryRequest), reply=started, status=202, keeps=True)  # fmt: skip

    async def _plan(self, call: Call) -> Response:
        request: PlanRequest = call.json(PlanRequest)
        return reply(await self._workspace.plan(self._flow_file(request.flow), by=request.by))

    async def _run(self, call: Call) -> Response:
        request: RunRequest = call.json(RunRequest)
        path = self._flow_file(request.flow)
        if request.budget is None and not request.yes:
            await self._check_cost(path, request.by)
        budget = _budget(request.budget)
        run = await self._desk.start(path, budget=budget, by=request.by, apply_schema=request.apply_schema)
        return _started(run)

    async def _check_cost(self, path: Path, by: str | None) -> None:
        """Refuse a run that is estimated above the threshold: a request cannot be asked back."""
        if self._workspace.vendors.is_sandbox:
            return
        made = await self._workspace.plan(path, by=by)
        threshold = float(self._workspace.settings.get("ask-above"))
        if made.cost is None or made.cost > threshold * DOLLAR:
            cost = "an unknown cost" if made.cost is None else f"${made.cost / DOLLAR:,.2f}"
            raise FixError(
                f"the run is estimated at {cost}, more than may be spent without asking",
                code="budget.not-confirmed",
                hint='Add "budget": DOLLARS or "yes": true to the request.',
            )

    async def _retry(self, call: Call) -> Response:
        request: RetryRequest = decode(call.body or b"{}", RetryRequest)
        return _started(await self._desk.retry(str(call.path["id"]), budget=_budget(request.budget)))

    async def _stop(self, call: Call) -> Response:
        run = await self._find(str(call.path["id"]))
        if not self._desk.stop(run.id):
            raise FixError(
                f"this service is not working on {run.id}, which is {run.state}",
                code="run.not-here",
                hint="Stop it in the process that works on it.",
            )
        return reply({"run": run.id}, 202)

    async def _list(self, call: Call) -> Response:
        limit = call.limit()
        rows = await self._workspace.store.read(
            "runs_before", flow=call.query.get("flow", ""), before=call.query.get("before", ""), limit=limit + 1
        )
        runs = [to_run(row) for row in rows[:limit]]
        following = runs[-1].id if len(rows) > limit else None
        return reply({"runs": [self._view(run) for run in runs], "next": following})

    async def _show(self, call: Call) -> Response:
        limit = call.limit()
        run = await self._find(str(call.path["id"]))
        after = call.query.get("after", "0")
        if not after.isascii() or not after.isdecimal():
            raise InputError(
                "after is the `next` of the page before", code="request.cursor", where="after", hint="Begin without it."
            )
        letters = await list_letters(self._workspace.store, run.id, after=int(after[:18]), limit=limit)
        shown = [{"stage": one.stage, "key": one.key, "problem": one.problem, "at": _time(one.at)} for one in letters]
        following = str(letters[-1].id) if len(letters) == limit else None
        return reply({**self._view(run), "dead_letters": shown, "next": following})

    async def _follow(self, call: Call) -> Response:
        run = await self._find(str(call.path["id"]))
        last = call.request.headers.get("last-event-id", "")
        if last == END:  # a browser asks again after the end, unless it is told that there is nothing more
            return Response(status_code=204)
        return stream(self._events(run.id, last), self._workspace.clock, self._draining)

    async def _events(self, run: str, last: str) -> AsyncIterator[Event]:
        feed = self._desk.feed(run)
        if feed is not None:
            async for event in feed.follow(last):
                yield event
        else:
            async for event in self._watch(run, last):
                yield event
        yield Event(self._view(await self._find(run)), END, END)

    async def _watch(self, run: str, last: str) -> AsyncIterator[Event]:
        """Look at the store for what another process does with a run."""
        while True:
            row = await self._find(run)
            if row.state != "running":
                return
            view = self._view(row)
            mark = f"kept-{hashlib.blake2b(msgspec.json.encode(view), digest_size=8).hexdigest()}"
            if mark != last:
                last = mark
                yield Event(view, mark, "run")
            await self._workspace.clock.sleep(LOOK_SECONDS)

    async def _find(self, run: str) -> RunRow:
        rows = await list_runs(self._workspace.store, run=run, limit=1) if run else []
        if not rows:
            raise InputError(f"there is no run {run[:80]}", code="run.unknown", hint="GET /v1/runs lists them.")
        return rows[0]

    def _flow_file(self, name: str) -> Path:
        """Return the flow file that is meant; raises `InputError` unless it lies inside the workspace."""
        path = find_inside(self._workspace.folder, name)
        if path is None:
            raise InputError(
                "there is no such flow file in the workspace",
                code="flow.unknown",
                hint='Give its path from the workspace folder on, such as "flows/feedback.yaml".',
                where="flow",
            )
        return path

    def _view(self, run: RunRow) -> dict[str, Any]:
        path = Path(run.path)
        folder = self._workspace.folder.resolve()
        return {
            "run": run.id,
            "flow": run.flow,
            "file": str(path.relative_to(folder)) if path.is_relative_to(folder) else path.name,
            "state": run.state,
            "started_at": _time(run.started_at),
            "ended_at": _time(run.ended_at),
            "counts": {name: value for name, value in msgspec.to_builtins(run.counts).items() if name != "cost"},
            "cost_dollars": run.counts.cost / DOLLAR,
            "problem": run.problem,
        }


def _body(kind: type[msgspec.Struct]) -> dict[str, Any]:
    return {"application/json": msgspec.json.schema(kind)}


def _started(run: str) -> Response:
    place = f"/v1/runs/{run}"
    return reply({"run": run, "events": f"{place}/events"}, 202, {"Location": place})


def _budget(dollars: float | None) -> float | None:
    if dollars is not None and not 0 < dollars <= 1e9:  # also refuses NaN
        raise InputError(
            "a budget is an amount in dollars, more than 0",
            code="request.budget",
            where="budget",
            hint='Such as "budget": 2.50.',
        )
    return dollars


def _time(at: float | None) -> str | None:
    return None if at is None else datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
