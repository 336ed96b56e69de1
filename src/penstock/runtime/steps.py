"""Runs asynchronous work for the engine's threads, on the event loop that owns it, and records its steps.

The engine calls a job in one of its threads. The work itself runs as a task on the
caller's loop; each step goes to the thread, which records it around a call back to the loop.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any

from penstock.base.errors import DefectError, PenstockError, VendorError
from penstock.base.redact import redact

JSON = Any
Work = Callable[["JobContext", Any], Awaitable[JSON]]
Recorder = Callable[[str, Callable[[], JSON]], JSON]
"""Runs a step in the engine's thread and records it; raises `RecordedError`, `Lost` or `Interrupted`."""


LOOK_SECONDS = 1.0
"""How often a thread that waits for the loop looks whether the loop is still there."""


class Interrupted(BaseException):
    """The work ended without an outcome: what it recorded stays, and it can go on later.

    Not an `Exception`, so that neither the work nor the engine takes it for a result.
    """


class Lost(Interrupted):
    """The job was cancelled elsewhere, another worker has taken it over, or its record cannot be written."""


class RecordedError(Exception):
    """An error on its way into the engine's records; `data` is what is kept of it."""

    def __init__(self, error: PenstockError) -> None:
        super().__init__(redact(error.message))
        self.error = error
        self.data = pack_error(error)


def pack_error(error: PenstockError) -> dict[str, JSON]:
    """Return what is recorded of an error, without secrets."""
    data = {"type": type(error).__name__, "code": error.code, "hint": error.hint, "where": error.where}
    packed: dict[str, JSON] = {**data, "message": redact(error.message), "detail": redact(error.detail)}
    if isinstance(error, VendorError):
        packed["vendor"] = {
            "status": error.status,
            "request_id": error.request_id,
            "retry_after": error.retry_after,
            "sent": error.sent,
            "param": error.param,
        }
    return packed


def unpack_error(data: Any, message: str = "") -> PenstockError:
    """Rebuild a recorded error as the class that it was."""
    if not isinstance(data, dict) or "type" not in data:
        return DefectError(redact(message) or "a job failed and left no reason", code="job.failed")
    kind = _error_classes().get(data["type"], DefectError)
    return kind(
        data["message"],
        code=data["code"],
        hint=data["hint"],
        where=data["where"],
        detail=data["detail"],
        **(data.get("vendor", {}) if issubclass(kind, VendorError) else {}),
    )


def _error_classes() -> dict[str, type[PenstockError]]:
    found: dict[str, type[PenstockError]] = {}
    waiting: list[type[PenstockError]] = [PenstockError]
    while waiting:
        kind = waiting.pop()
        found[kind.__name__] = kind
        waiting.extend(kind.__subclasses__())
    return found


def as_penstock_error(error: BaseException) -> PenstockError:
    """Return the error itself, or a `DefectError` that names a foreign one."""
    if isinstance(error, PenstockError):
        return error
    defect = DefectError(f"{type(error).__name__}: {error}")
    defect.__cause__ = error
    return defect


class JobContext:
    """What a job may use: its id, and steps that survive a crash."""

    def __init__(self, job_id: str, bridge: Bridge) -> None:
        self.job_id = job_id
        self._bridge = bridge

    async def step(self, name: str, work: Callable[[], Awaitable[JSON]]) -> JSON:
        """Run `work` and record what it returned or raised; after a crash return the record instead.

        Steps of a job run one after the other, and always in the same order: the order
        must follow from the job's payload and from what earlier steps returned.
        Raises the step's own error; one that is no `PenstockError` comes as `DefectError`.
        """
        return await self._bridge.step(name, work)


class _Order:
    """One step on its way through the thread."""

    __slots__ = ("answer", "context", "name", "task", "work")

    def __init__(self, name: str, work: Callable[[], Awaitable[JSON]], answer: asyncio.Future[JSON]) -> None:
        self.name = name
        self.work = work
        self.answer = answer
        self.context = contextvars.copy_context()
        self.task: asyncio.Task[JSON] | None = None


class Bridge:
    """One running job between the engine's thread and the event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, recorder: Recorder) -> None:
        self._loop = loop
        self._recorder = recorder
        self._orders: SimpleQueue[_Order | None] = SimpleQueue()
        self._task: asyncio.Task[JSON] | None = None
        self._stopped = False
        self._reason = ""

    def drive(self, job_id: str, work: Work, payload: JSON) -> JSON:
        """Run the job to its end, from the engine's thread; raises `RecordedError` or `Interrupted`."""
        self._post(lambda: self._begin(JobContext(job_id, self), work, payload))
        while (order := self._orders.get()) is not None:
            self._record(order)
        task = self._task
        if task is None or self._stopped or task.cancelled():
            raise Interrupted(self._reason)
        error = task.exception()
        if error is None:
            return task.result()
        if not isinstance(error, Exception):
            raise Interrupted from error
        raise RecordedError(as_penstock_error(error)) from error

    def interrupt(self) -> None:
        """End the work without an outcome; called on the loop."""
        self._stopped = True
        if self._task is not None:
            self._task.cancel()

    async def step(self, name: str, work: Callable[[], Awaitable[JSON]]) -> JSON:
        """Have the thread record `work`."""
        order = _Order(name, work, self._loop.create_future())
        self._orders.put(order)
        try:
            return await order.answer
        except asyncio.CancelledError:
            if order.task is not None:
                order.task.cancel()
                await asyncio.wait({order.task})
            raise

    def _begin(self, context: JobContext, work: Work, payload: JSON) -> None:
        if self._stopped:
            self._orders.put(None)
            return
        self._task = asyncio.ensure_future(_await(lambda: work(context, payload)))
        self._task.add_done_callback(lambda _: self._orders.put(None))

    def _record(self, order: _Order) -> None:
        try:
            value = self._recorder(order.name, lambda: self._call(order))
        except RecordedError as failure:
            self._answer(order, error=failure.error)
        except Lost as loss:
            self._reason = str(loss)
            self._post(self.interrupt)
            self._answer(order, error=asyncio.CancelledError())
        except Interrupted:
            self._answer(order, error=asyncio.CancelledError())
        except Exception as error:  # noqa: BLE001 - the work gets it
            defect = DefectError(f"step {order.name} could not be recorded: {error}", code="job.not-recorded")
            defect.__cause__ = error
            self._answer(order, error=defect)
        else:
            self._answer(order, value)

    def _call(self, order: _Order) -> JSON:
        done: Future[JSON] = Future()
        self._post(lambda: self._begin_step(order, done), order.context)
        while True:
            try:
                return done.result(timeout=LOOK_SECONDS)
            except TimeoutError:
                if done.done():
                    raise
                if not self._loop.is_running():  # the program ends: nobody will answer any more
                    raise Interrupted from None

    def _begin_step(self, order: _Order, done: Future[JSON]) -> None:
        if order.answer.done():
            done.set_exception(Interrupted())
            return
        order.task = asyncio.ensure_future(_await(order.work))
        order.task.add_done_callback(lambda task: _pass_on(task, done))

    def _answer(self, order: _Order, value: JSON = None, error: BaseException | None = None) -> None:
        def settle() -> None:
            if order.answer.done():
                return
            if error is None:
                order.answer.set_result(value)
            elif isinstance(error, asyncio.CancelledError):
                order.answer.cancel()
            else:
                order.answer.set_exception(error)

        self._post(settle)

    def _post(self, work: Callable[[], None], context: contextvars.Context | None = None) -> None:
        try:
            self._loop.call_soon_threadsafe(work, context=context or contextvars.Context())
        except RuntimeError as error:  # the loop is closed: the program ends
            raise Interrupted from error


def _pass_on(task: asyncio.Task[JSON], done: Future[JSON]) -> None:
    if task.cancelled():
        done.set_exception(Interrupted())
        return
    error = task.exception()
    if error is None:
        done.set_result(task.result())
    elif isinstance(error, Exception):
        failure = RecordedError(as_penstock_error(error))
        failure.__cause__ = error
        done.set_exception(failure)
    else:
        done.set_exception(Interrupted())


async def _await(work: Callable[[], Awaitable[JSON]]) -> JSON:
    return await work()
