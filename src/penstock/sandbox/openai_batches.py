"""Batches of the emulated OpenAI, from validation to files, by the world's clock.

A batch takes 5 seconds and 3 ms a line, or what `world.latency["openai.batches"]` says: a tenth to validate, a tenth
to finalize, the rest to work. Faults planned for `batches.run` strike a whole batch when its work begins (`slow`:
it takes `seconds` longer, beyond a day it expires half done; `hang`: it makes no progress; `status`: it fails);
those for `batches.line` strike single requests (`status`: refused with `code`; `drop`: never answered).
"""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec

from penstock.base.types import Usage
from penstock.sandbox.openai_batch_files import Checked, Line, check_input, write_answer, write_error
from penstock.sandbox.openai_fields import invalid, name_set, read_fields
from penstock.sandbox.openai_files import Files, make_page, read_expiry
from penstock.sandbox.openai_requests import ApiError
from penstock.sandbox.openai_routes import Act, Call, Done, Route, Service, answer_json

ENDPOINTS = (
    "/v1/responses",
    "/v1/chat/completions",
    "/v1/embeddings",
    "/v1/completions",
    "/v1/moderations",
    "/v1/images/generations",
    "/v1/images/edits",
    "/v1/videos",
)
_KNOWN = name_set("input_file_id endpoint completion_window metadata output_expires_after")
_DAY = 86_400.0
_CREATIONS_PER_HOUR = 2_000
_TEN_MINUTES = 600.0
_OPEN = ("validating", "in_progress", "finalizing")
_MOMENTS = (
    "created",
    "in_progress",
    "expires",
    "finalizing",
    "completed",
    "failed",
    "expired",
    "cancelling",
    "cancelled",
)


class _Batch(msgspec.Struct):
    id: str
    endpoint: str
    input_file_id: str
    account: str
    metadata: dict[str, str] | None
    output_seconds: float | None
    seconds: float
    """How long it takes from its creation to its end."""
    times: dict[str, float]
    status: str = "validating"
    model: str = ""
    lines: list[Line] = []
    """In the order of work."""
    at: int = 0
    good: list[bytes] = []
    bad: list[bytes] = []
    completed: int = 0
    failed: int = 0
    faults: list[dict[str, Any]] = []
    usage: Usage = Usage()
    queued: int = 0
    """Input tokens that wait, as the pool of the model counts them."""
    total: int = 0
    output_file_id: str | None = None
    error_file_id: str | None = None

    def add(self, line: bytes, *, is_good: bool) -> None:
        """Take a line of output or of errors."""
        (self.good if is_good else self.bad).append(line)
        self.completed += is_good
        self.failed += not is_good

    def body(self) -> dict[str, Any]:
        """Return the Batch object."""
        used = self.usage
        return {
            "id": self.id,
            "object": "batch",
            "endpoint": self.endpoint,
            "model": self.model or None,
            "errors": {"object": "list", "data": self.faults} if self.faults else None,
            "input_file_id": self.input_file_id,
            "completion_window": "24h",
            "status": self.status,
            "output_file_id": self.output_file_id,
            "error_file_id": self.error_file_id,
            **{f"{name}_at": int(self.times[name]) if name in self.times else None for name in _MOMENTS},
            "request_counts": {"total": self.total, "completed": self.completed, "failed": self.failed},
            "usage": {
                "input_tokens": used.input,
                "input_tokens_details": {"cached_tokens": used.cached},
                "output_tokens": used.output,
                "output_tokens_details": {"reasoning_tokens": used.reasoning},
                "total_tokens": used.input + used.output,
            },
            "metadata": self.metadata,
        }


class Batches:
    """The batches of the emulated service; each line is answered by the live endpoint, outside its limits."""

    def __init__(self, service: Service, files: Files) -> None:
        self._service = service
        self._world = service.world
        self._clock = service.world.clock
        self._files = files
        self._kept: dict[str, _Batch] = {}
        self._created: dict[str, deque[float]] = {}
        self._queued: dict[tuple[str, str], int] = {}

    def routes(self) -> list[Route]:
        """Return the endpoints."""
        return [
            Route("POST", "/v1/batches", "batches.create", self._create),
            Route("GET", "/v1/batches", "batches.list", self._list),
            Route("GET", "/v1/batches/{id}", "batches.retrieve", lambda call: answer_json(self._find(call).body())),
            Route("POST", "/v1/batches/{id}/cancel", "batches.cancel", self._cancel),
        ]

    def _find(self, call: Call) -> _Batch:
        found = self._kept.get(call.names["id"])
        if found is None:
            raise ApiError(404, f"No batch found with id '{call.names['id']}'.", param="batch_id")
        return found

    def _list(self, call: Call) -> Done:
        return answer_json(make_page(call, list(reversed(self._kept.values())), most=100, usual=20))

    def _create(self, call: Call) -> Act:
        fields = read_fields(call, form=False)
        fields.refuse_unknown(_KNOWN)
        endpoint = fields.choice("endpoint", ENDPOINTS, "") if fields.get("endpoint") else fields.text("endpoint")
        if endpoint == "/v1/videos":
            raise invalid("endpoint", "videos were retired on 2026-09-24.", "unsupported_value")
        fields.text("completion_window")
        fields.choice("completion_window", ("24h",), "24h")
        stored = self._files.find(fields.text("input_file_id"))
        if stored.purpose != "batch":
            raise invalid("input_file_id", f"expected a file of purpose 'batch', got '{stored.purpose}'.")
        metadata = fields.get("metadata")
        if metadata is not None and (not isinstance(metadata, dict) or len(metadata) > 16):
            raise invalid("metadata", "at most 16 pairs of texts.")
        expiry = read_expiry(fields, "output_expires_after")
        self._check_rate(call.account)

        def run() -> Done:
            now = self._clock.now()
            self._created.setdefault(call.account, deque()).append(now)
            latency = self._world.latency.get("openai.batches")
            seconds = latency.draw(self._world.rng) if latency else 5.0 + 0.003 * stored.content.count(b"\n")
            identity = self._clock.new_id("batch")
            times = {"created": now, "expires": now + _DAY}
            batch = _Batch(identity, endpoint, stored.id, call.account, metadata, expiry, seconds, times)
            self._kept[identity] = batch
            self._at(now + 0.1 * seconds, lambda: self._validate(batch, stored.content))
            return answer_json(batch.body())

        return Act(run)

    def _check_rate(self, account: str) -> None:
        """Refuse more than 2,000 creations an hour."""
        created = self._created.setdefault(account, deque())
        while created and created[0] <= self._clock.now() - 3_600:
            created.popleft()
        if len(created) >= _CREATIONS_PER_HOUR:
            text = f"Rate limit reached for batch creations per hour: Limit {_CREATIONS_PER_HOUR}."
            raise ApiError(429, text, code="rate_limit_exceeded", kind="requests")

    def _at(self, moment: float, action: Callable[[], None]) -> None:
        """Do something at a moment, or at once when the clock has jumped past it."""
        self._service.later(max(0.0, moment - self._clock.now()), action)

    def _validate(self, batch: _Batch, content: bytes) -> None:
        if batch.status != "validating":
            return
        moment = batch.times["created"] + 0.1 * batch.seconds
        checked = check_input(content, batch.endpoint, self._service.models, moment)
        batch.total = len(checked.lines) + sum(fault["line"] is not None for fault in checked.faults)
        batch.faults = checked.faults or self._check_queue(batch, checked)
        if batch.faults:
            self._end(batch, "failed", moment)
            return
        order = list(checked.lines)
        random.Random(f"{self._world.seed} {len(self._kept)}").shuffle(order)  # noqa: S311 - repeatable on purpose
        batch.lines = order
        self._start(batch, moment)

    def _check_queue(self, batch: _Batch, checked: Checked) -> list[dict[str, Any]]:
        """Put the batch into the pool of queued input tokens of its model, or say that it does not fit."""
        batch.model = checked.model.id if checked.model else ""
        tokens = sum(len(line.body) // 4 for line in checked.lines)
        limiter = self._service.limiter
        most = limiter.limits.get(batch.model, limiter.default).batch_tokens
        key = (batch.account, batch.model)
        if most is not None and self._queued.get(key, 0) + tokens > most:
            text = (
                f"Enqueued token limit reached for {batch.model}: Limit {most:.0f} enqueued tokens. "
                "Please try again once some in_progress batches have been completed."
            )
            return [{"code": "token_limit_exceeded", "message": text, "param": None, "line": None}]
        batch.queued = tokens
        self._queued[key] = self._queued.get(key, 0) + tokens
        return []

    def _start(self, batch: _Batch, moment: float) -> None:
        batch.status = "in_progress"
        batch.times["in_progress"] = moment
        fault = self._world.take_fault("openai", "batches.run")
        if fault and fault.kind == "status":
            text = "Planned fault of the sandbox: the batch failed."
            batch.faults = [{"code": fault.code or "server_error", "message": text, "param": None, "line": None}]
            self._end(batch, "failed", moment)
            return
        extra = math.inf if fault and fault.kind == "hang" else fault.seconds if fault and fault.kind == "slow" else 0.0
        work, last = 0.8 * batch.seconds + extra, batch.times["expires"]
        steps = max(min(batch.total, 20), math.ceil(batch.total / 100))
        for step in range(1, steps + 1):
            due = moment + work * step / steps
            if due <= last:
                self._at(due, partial(self._work, batch, batch.total * step // steps, due))
        if moment + work > last:
            self._at(last, lambda: self._expire(batch))

    def _work(self, batch: _Batch, until: int, moment: float) -> None:
        """Answer the lines up to `until`; after the last, the files are written."""
        if batch.status != "in_progress":
            return
        while batch.at < until:
            self._answer(batch, batch.lines[batch.at])
            batch.at += 1
        if batch.at == batch.total:
            batch.status = "finalizing"
            batch.times["finalizing"] = moment
            end = moment + 0.1 * batch.seconds
            self._at(end, lambda: self._finish(batch, end))

    def _finish(self, batch: _Batch, moment: float) -> None:
        if batch.status == "finalizing":
            self._end(batch, "completed", moment)

    def _answer(self, batch: _Batch, line: Line) -> None:
        identity, request_id = self._clock.new_id("batch_req"), self._clock.new_id("req")
        fault = self._world.take_fault("openai", "batches.line")
        if fault and fault.kind == "drop":
            text = "Planned fault of the sandbox."
            batch.add(write_error(identity, line, fault.code or "server_error", text), is_good=False)
            return
        if fault and fault.kind == "status":
            refusal = ApiError(
                fault.status or 500, "Planned fault of the sandbox.", code=fault.code, kind="server_error"
            )
            content = msgspec.json.encode(refusal.envelope)
            batch.add(write_answer(identity, request_id, line, refusal.status, content), is_good=False)
            return
        refused = _find_live_parameter(line.body)
        if refused is not None:
            batch.add(write_answer(identity, request_id, line, 400, refused), is_good=False)
            return
        answer = self._service.answer_line(batch.endpoint, line.body, batch.account)
        written = write_answer(identity, request_id, line, answer.status, answer.content)
        batch.add(written, is_good=answer.status < 400)
        if answer.usage is not None:
            operation = self._service.find("POST", batch.endpoint)[0].operation
            batch.usage += answer.usage
            self._world.bill(f"batch.{operation}", line.body, answer.model, answer.usage, line.custom_id)

    def _expire(self, batch: _Batch) -> None:
        if batch.status not in _OPEN:
            return
        text = "This request could not be executed before the completion window expired."
        self._give_up(batch, "batch_expired", text)
        self._end(batch, "expired", batch.times["expires"])

    def _give_up(self, batch: _Batch, code: str, text: str) -> None:
        for line in batch.lines[batch.at :]:
            batch.add(write_error(self._clock.new_id("batch_req"), line, code, text), is_good=False)
        batch.at = len(batch.lines)

    def _cancel(self, call: Call) -> Act:
        batch = self._find(call)
        if batch.status not in _OPEN:
            raise ApiError(409, f"Cannot cancel a batch with status '{batch.status}'.")

        def run() -> Done:
            now = self._clock.now()
            end = now + min(_TEN_MINUTES, 0.1 * batch.seconds)
            batch.status = "cancelling"
            batch.times["cancelling"] = now
            self._at(end, lambda: self._drop(batch, end))
            return answer_json(batch.body())

        return Act(run)

    def _drop(self, batch: _Batch, moment: float) -> None:
        self._give_up(batch, "batch_cancelled", "This request was not executed: the batch was cancelled.")
        self._end(batch, "cancelled", moment)

    def _end(self, batch: _Batch, status: str, moment: float) -> None:
        """Write the files that have lines, free the queue, and tell who listens."""
        batch.status = status
        batch.times[status] = moment
        batch.output_file_id = self._write(batch, "output", batch.good)
        batch.error_file_id = self._write(batch, "error", batch.bad)
        key = (batch.account, batch.model)
        self._queued[key] = self._queued.get(key, 0) - batch.queued
        batch.lines, batch.good, batch.bad = [], [], []
        self._service.announce(f"batch.{status}", batch.id)

    def _write(self, batch: _Batch, name: str, lines: list[bytes]) -> str | None:
        if not lines:
            return None
        content = b"\n".join([*lines, b""])
        return self._files.add(f"{batch.id}_{name}.jsonl", "batch_output", content, batch.output_seconds).id


class _Live(msgspec.Struct):
    stream: Any = None
    background: Any = None
    service_tier: Any = None


def _find_live_parameter(body: bytes) -> bytes | None:
    """Return the refusal of a line that asks for what only a live call can have: a stream, a tier of its own."""
    live = msgspec.json.decode(body, type=_Live)
    for name in ("stream", "background", "service_tier"):
        if getattr(live, name):
            text = f"Unsupported parameter: '{name}' cannot be used in a batch."
            return msgspec.json.encode(ApiError(400, text, code="unsupported_parameter", param=name).envelope)
    return None
