"""Jobs against a model: whatever fails or is interrupted, a step that succeeded is never executed again."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.base.clock import SystemClock
from penstock.base.errors import (
    AccessError,
    DefectError,
    InputError,
    OutputError,
    PenstockError,
    QuotaError,
    StoppedError,
    ThrottledError,
    VendorError,
)
from penstock.runtime.jobs import JobContext, Jobs
from penstock.runtime.steps import pack_error, unpack_error

Hitch = str  # "fail": the step raises; "stop": the caller is cancelled while it runs
plans = st.lists(st.lists(st.sampled_from(["fail", "stop"]), max_size=2), min_size=1, max_size=4)


class Model:
    """Executes the plans given to it: hitches of a step come first, then it succeeds."""

    def __init__(self) -> None:
        self.hitches: dict[tuple[str, int], list[Hitch]] = {}
        self.calls: dict[tuple[str, int], int] = {}
        self.stuck = asyncio.Event()

    async def work(self, context: JobContext, payload: dict[str, Any]) -> list[int]:
        async def step(number: int) -> int:
            key = (context.job_id, number)
            self.calls[key] = self.calls.get(key, 0) + 1
            match self.hitches[key].pop(0) if self.hitches[key] else "":
                case "fail":
                    raise QuotaError("no credit")
                case "stop":
                    self.stuck.set()
                    await asyncio.Event().wait()
            return number * 10

        return [await context.step(f"s{n}", lambda n=n: step(n)) for n in range(payload["steps"])]


async def run_to_the_end(jobs: Jobs, model: Model, job_id: str, steps: int) -> list[int]:
    while True:
        model.stuck.clear()
        running = asyncio.ensure_future(jobs.run("model", job_id, {"steps": steps}))
        stuck = asyncio.ensure_future(model.stuck.wait())
        await asyncio.wait({running, stuck}, return_when=asyncio.FIRST_COMPLETED)
        if not running.done():
            running.cancel()
        stuck.cancel()
        try:
            return await running  # type: ignore[no-any-return]
        except (QuotaError, asyncio.CancelledError):
            continue


async def run_all(several: list[list[list[Hitch]]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        jobs, model = Jobs(Path(folder) / "jobs.db", SystemClock()), Model()
        jobs.register("model", model.work)
        await jobs.start(duty="ask")
        try:
            for number, plan in enumerate(several):
                await check_plan(jobs, model, f"job-{number}", plan)
        finally:
            await jobs.stop()


async def check_plan(jobs: Jobs, model: Model, job_id: str, plan: list[list[Hitch]]) -> None:
    model.hitches |= {(job_id, number): list(hitches) for number, hitches in enumerate(plan)}
    assert await run_to_the_end(jobs, model, job_id, len(plan)) == [number * 10 for number in range(len(plan))]
    assert [model.calls[job_id, number] for number in range(len(plan))] == [len(hitches) + 1 for hitches in plan]


@pytest.mark.slow
@settings(max_examples=6, deadline=None)
@given(several=st.lists(plans, min_size=1, max_size=3))
def test_a_step_is_executed_once_more_than_it_failed_or_was_interrupted(several: list[list[list[Hitch]]]) -> None:
    """The engine lives inside the example: its threads draw random numbers, which Hypothesis must not see meanwhile."""
    asyncio.run(run_all(several))


kinds = st.sampled_from([AccessError, DefectError, InputError, OutputError, QuotaError, StoppedError, ThrottledError])
words = st.text(st.characters(categories=["L"]), max_size=20)


@given(kind=kinds, message=words, code=words, hint=words, where=words, status=st.none() | st.integers(100, 599))
def test_a_recorded_error_comes_back_as_it_was(
    kind: type[PenstockError], message: str, code: str, hint: str, where: str, status: int | None
) -> None:
    more: dict[str, Any] = {"status": status, "sent": False} if issubclass(kind, VendorError) else {}
    error = kind(message, code=code or "area.reason", hint=hint, where=where, **more)
    back = unpack_error(pack_error(error))
    assert type(back) is kind
    assert back.to_dict() == error.to_dict()
    if isinstance(back, VendorError):
        assert (back.status, back.sent) == (status, False)


@given(data=st.none() | st.text() | st.dictionaries(st.text(), st.text()))
def test_a_record_that_is_not_ours_becomes_a_defect(data: Any) -> None:
    if not (isinstance(data, dict) and "type" in data):
        assert isinstance(unpack_error(data, "a foreign record"), DefectError)
