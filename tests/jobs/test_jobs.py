"""What a job promises while nothing crashes; the same on both databases."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from typing import Any

import pytest
from sqlalchemy import text

from penstock.base.clock import SystemClock
from penstock.base.errors import DefectError, InputError, QuotaError, StoppedError, ThrottledError
from penstock.runtime.jobs import JobContext, Jobs


class Tally:
    """Work whose steps are counted, and fail or block as told."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.errors: dict[str, Exception] = {}
        self.blocked: dict[str, asyncio.Event] = {}
        self.threads: set[int] = set()

    async def work(self, context: JobContext, payload: dict[str, Any]) -> dict[str, Any]:
        results = [await context.step(name, lambda name=name: self.step(name)) for name in payload["steps"]]
        return {"id": context.job_id, "results": results}

    async def step(self, name: str) -> str:
        self.threads.add(threading.get_ident())
        self.calls.append(name)
        if name in self.blocked:
            await self.blocked[name].wait()
        if name in self.errors:
            raise self.errors[name]
        return name.upper()

    async def until(self, name: str) -> None:
        while name not in self.calls:  # noqa: ASYNC110 - the step is called from everywhere
            await asyncio.sleep(0.005)


@pytest.fixture
def tally() -> Tally:
    return Tally()


async def test_work_runs_on_the_loop_of_its_caller_whether_run_or_queued(jobs: Jobs, tally: Tally) -> None:
    jobs.register("count", tally.work)
    await jobs.start()
    assert await jobs.run("count", "one", {"steps": ["a", "b"]}) == {"id": "one", "results": ["A", "B"]}
    await jobs.enqueue("count", "two", {"steps": ["c"]})
    assert await jobs.wait("two") == {"id": "two", "results": ["C"]}
    assert tally.threads == {threading.get_ident()}


async def test_a_job_that_is_done_returns_its_record(jobs: Jobs, tally: Tally) -> None:
    jobs.register("count", tally.work)
    await jobs.start()
    first = await jobs.run("count", "one", {"steps": ["a"]})
    await jobs.enqueue("count", "one", {"steps": ["other"]})
    assert await jobs.run("count", "one", {"steps": ["other"]}) == first
    assert tally.calls == ["a"]


async def test_equal_jobs_at_the_same_time_run_once(jobs: Jobs, tally: Tally) -> None:
    jobs.register("count", tally.work)
    await jobs.start()
    results = await asyncio.gather(*(jobs.run("count", "one", {"steps": ["a", "b"]}) for _ in range(5)))
    assert results == [{"id": "one", "results": ["A", "B"]}] * 5
    assert tally.calls == ["a", "b"]


async def test_an_error_keeps_its_class_code_and_status(jobs: Jobs, tally: Tally) -> None:
    tally.errors["b"] = ThrottledError("slow down, anna@example.com", code="openai.slow", status=429, retry_after=7.5)
    jobs.register("count", tally.work)
    await jobs.start()
    with pytest.raises(ThrottledError):
        await jobs.run("count", "one", {"steps": ["a", "b"]})
    with pytest.raises(ThrottledError) as caught:
        await jobs.wait("one")
    error = caught.value
    assert (error.code, error.status, error.retry_after) == ("openai.slow", 429, 7.5)
    assert error.message == "slow down, [email]"
    (job,) = await jobs.list(state="failed")
    assert job.problem is not None
    assert (job.id, job.problem.code) == ("one", "openai.slow")


async def test_a_failed_job_goes_on_behind_its_last_good_step(jobs: Jobs, tally: Tally) -> None:
    tally.errors["b"] = QuotaError("no credit")
    jobs.register("count", tally.work)
    await jobs.start()
    with pytest.raises(QuotaError):
        await jobs.run("count", "one", {"steps": ["a", "b", "c"]})
    del tally.errors["b"]
    assert await jobs.run("count", "one", {}) == {"id": "one", "results": ["A", "B", "C"]}
    assert tally.calls == ["a", "b", "b", "c"]


async def test_an_error_outside_a_step_costs_no_step_again(jobs: Jobs, tally: Tally) -> None:
    attempts: list[int] = []

    async def work(context: JobContext, payload: dict[str, Any]) -> Any:
        done = await tally.work(context, payload)
        attempts.append(1)
        if len(attempts) == 1:
            raise RuntimeError("between two steps")
        return done

    jobs.register("count", work)
    await jobs.start()
    with pytest.raises(DefectError, match="RuntimeError: between two steps"):
        await jobs.run("count", "one", {"steps": ["a"]})
    assert await jobs.run("count", "one", {"steps": ["a"]}) == {"id": "one", "results": ["A"]}
    assert tally.calls == ["a"]


async def test_work_may_catch_the_error_of_a_step_and_replays_the_same_way(jobs: Jobs, tally: Tally) -> None:
    tally.errors["a"] = ValueError("odd")
    fails = [True]

    async def work(context: JobContext, payload: dict[str, Any]) -> Any:
        with pytest.raises(DefectError, match="ValueError: odd"):
            await context.step("a", lambda: tally.step("a"))
        if fails.pop() if fails else False:
            raise StoppedError("later")
        return await context.step("b", lambda: tally.step("b"))

    jobs.register("count", work)
    await jobs.start()
    with pytest.raises(StoppedError):
        await jobs.run("count", "one", {})
    await jobs.cancel("one")
    assert tally.calls == ["a"]


async def test_a_cancelled_caller_interrupts_its_job_which_can_go_on(jobs: Jobs, tally: Tally) -> None:
    tally.blocked["b"] = asyncio.Event()
    jobs.register("count", tally.work)
    await jobs.start(duty="ask")
    running = asyncio.create_task(jobs.run("count", "one", {"steps": ["a", "b"]}))
    await tally.until("b")
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    tally.blocked["b"].set()
    assert await jobs.run("count", "one", {}) == {"id": "one", "results": ["A", "B"]}
    assert tally.calls == ["a", "b", "b"]


async def test_cancel_stops_a_running_job_at_once_and_run_takes_it_up(jobs: Jobs, tally: Tally) -> None:
    tally.blocked["b"] = asyncio.Event()
    jobs.register("count", tally.work)
    await jobs.start()
    running = asyncio.create_task(jobs.run("count", "one", {"steps": ["a", "b"]}))
    await tally.until("b")
    await jobs.cancel("one")
    with pytest.raises(StoppedError) as caught:
        await running
    assert caught.value.code == "job.cancelled"
    with pytest.raises(StoppedError):
        await jobs.wait("one")
    tally.blocked["b"].set()
    assert await jobs.run("count", "one", {}) == {"id": "one", "results": ["A", "B"]}
    assert tally.calls == ["a", "b", "b"]


async def test_a_queued_job_can_be_cancelled_before_it_starts(jobs: Jobs, tally: Tally) -> None:
    jobs.register("count", tally.work)
    await jobs.enqueue("count", "one", {"steps": ["a"]})
    await jobs.cancel("one")
    await jobs.start()
    with pytest.raises(StoppedError):
        await jobs.wait("one")
    assert tally.calls == []


async def test_stop_interrupts_a_queued_job_and_the_next_worker_takes_it_up(database: str, tally: Tally) -> None:
    tally.blocked["b"] = asyncio.Event()
    for started in (1, 2):
        jobs = Jobs(database, SystemClock())
        jobs.register("count", tally.work)
        await jobs.start()
        if started == 1:
            await jobs.enqueue("count", "one", {"steps": ["a", "b"]})
            await tally.until("b")
        else:
            tally.blocked["b"].set()
            assert await jobs.wait("one") == {"id": "one", "results": ["A", "B"]}
        await jobs.stop()
    assert tally.calls == ["a", "b", "b"]


async def test_a_command_leaves_its_work_until_it_is_asked_for_again(database: str, tally: Tally) -> None:
    tally.blocked["b"] = asyncio.Event()
    jobs = Jobs(database, SystemClock())
    jobs.register("count", tally.work)
    await jobs.start(duty="ask")
    running = asyncio.create_task(jobs.run("count", "one", {"steps": ["a", "b"]}))
    await tally.until("b")
    await jobs.stop()
    with pytest.raises(StoppedError, match="interrupted"):
        await running
    tally.blocked["b"].set()

    await jobs.start()
    await jobs.enqueue("count", "other", {"steps": ["c"]})
    await jobs.wait("other")
    assert tally.calls == ["a", "b", "c"]  # a worker did not touch what the command left
    await jobs.stop()

    await jobs.start(duty="ask")
    assert await jobs.run("count", "one", {}) == {"id": "one", "results": ["A", "B"]}
    await jobs.stop()
    assert tally.calls == ["a", "b", "c", "b"]


async def test_stop_can_wait_for_what_runs(jobs: Jobs, tally: Tally) -> None:
    tally.blocked["a"] = asyncio.Event()
    jobs.register("count", tally.work)
    await jobs.start()
    running = asyncio.create_task(jobs.run("count", "one", {"steps": ["a", "b"]}))
    await tally.until("a")
    stopping = asyncio.create_task(jobs.stop(drain_seconds=60))
    tally.blocked["a"].set()
    await stopping
    assert await running == {"id": "one", "results": ["A", "B"]}


async def test_a_job_and_a_fact_commit_together_or_not_at_all(jobs: Jobs, tally: Tally) -> None:
    jobs.register("count", tally.work)
    with jobs.connect() as connection, connection.begin():
        connection.execute(text("create table facts (name text)"))
    with jobs.connect() as connection:
        connection.execute(text("insert into facts values ('dropped')"))
        jobs.enqueue_in(connection, "count", "dropped", {"steps": ["x"]})
        connection.rollback()
    with jobs.connect() as connection:
        connection.execute(text("insert into facts values ('kept')"))
        jobs.enqueue_in(connection, "count", "kept", {"steps": ["a"]})
        connection.commit()
    await jobs.start()
    assert await jobs.wait("kept") == {"id": "kept", "results": ["A"]}
    with pytest.raises(InputError):
        await jobs.wait("dropped")
    with jobs.connect() as connection:
        assert connection.execute(text("select name from facts")).fetchall() == [("kept",)]
    assert tally.calls == ["a"]


async def test_finished_jobs_are_forgotten_and_others_stay(jobs: Jobs, tally: Tally) -> None:
    tally.errors["bad"] = QuotaError("no")
    tally.blocked["wait"] = asyncio.Event()
    jobs.register("count", tally.work)
    await jobs.start()
    await jobs.run("count", "done", {"steps": ["a"]})
    with pytest.raises(QuotaError):
        await jobs.run("count", "failed", {"steps": ["bad"]})
    running = asyncio.create_task(jobs.run("count", "running", {"steps": ["wait"]}))
    await tally.until("wait")
    assert await jobs.forget_finished(3600) == 0
    assert await jobs.forget_finished(-3600) == 2
    assert [job.id for job in await jobs.list()] == ["running"]
    tally.blocked["wait"].set()
    await running


async def test_what_is_unknown_is_refused_with_a_hint(jobs: Jobs, tally: Tally) -> None:
    with pytest.raises(DefectError):
        await jobs.run("count", "one", {})
    with pytest.raises(InputError, match="no queue 'qeue'") as caught:
        await jobs.enqueue("count", "one", {}, queue="qeue")
    assert "default" in caught.value.hint
    with pytest.raises(InputError, match="no job 'nothing'"):
        await jobs.wait("nothing")
    await jobs.start()
    with pytest.raises(DefectError):
        jobs.register("late", tally.work)


async def test_the_most_urgent_job_comes_first(database: str, tally: Tally) -> None:
    jobs = Jobs(database, SystemClock(), queues={"narrow": 1})
    jobs.register("count", tally.work)
    for name, priority in (("late", 9), ("soon", 2), ("now", 0)):
        await jobs.enqueue("count", name, {"steps": [name]}, queue="narrow", priority=priority)
    await jobs.start()
    await asyncio.gather(*(jobs.wait(name) for name in ("late", "soon", "now")))
    await jobs.stop()
    assert tally.calls == ["now", "soon", "late"]


async def test_a_result_that_is_not_json_is_a_defect(jobs: Jobs) -> None:
    async def work(context: JobContext, payload: Any) -> Any:
        async def step() -> Any:
            return object()

        return await context.step("odd", step)

    jobs.register("odd", work)
    await jobs.start()
    with pytest.raises(DefectError) as caught:
        await jobs.run("odd", "one", {})
    assert caught.value.code == "job.not-recorded"


async def test_steps_that_changed_their_names_are_noticed(jobs: Jobs, tally: Tally) -> None:
    names = ["a", "b"]
    tally.errors["b"] = StoppedError("stop")

    async def work(context: JobContext, payload: Any) -> Any:
        for name in names:
            await context.step(name, lambda name=name: tally.step(name))

    jobs.register("count", work)
    await jobs.start()
    with pytest.raises(StoppedError):
        await jobs.run("count", "one", {})
    names[0] = "renamed"
    with pytest.raises(DefectError) as caught:
        await jobs.run("count", "one", {})
    assert caught.value.code == "job.changed"


async def test_the_engine_prints_nothing(jobs: Jobs, tally: Tally, capfd: pytest.CaptureFixture[str]) -> None:
    tally.errors["a"] = QuotaError("no")
    jobs.register("count", tally.work)
    await jobs.start()
    await jobs.enqueue("count", "one", {"steps": ["a"]})
    with pytest.raises(QuotaError):
        await jobs.wait("one")
    await jobs.stop()
    assert capfd.readouterr() == ("", "")


async def test_the_calendar_is_kept_changed_and_cleared(jobs: Jobs) -> None:
    await jobs.schedule("nightly", "count", "0 3 * * *", {"steps": []}, tz="Europe/Paris")
    await jobs.schedule("nightly", "count", "0 4 * * *", {"steps": ["a"]})
    (entry,) = await jobs.schedules()
    assert (entry.cron, entry.tz, entry.payload) == ("0 4 * * *", "UTC", {"steps": ["a"]})
    for cron, tz in (("every day", "UTC"), ("0 3 * * *", "Europe/Pariss")):
        with pytest.raises(InputError) as caught:
            await jobs.schedule("bad", "count", cron, {}, tz=tz)
        assert caught.value.code == "schedule.invalid"
    await jobs.unschedule("nightly")
    await jobs.unschedule("nightly")
    assert await jobs.schedules() == []


@pytest.mark.slow
async def test_the_calendar_enqueues_with_the_due_time(jobs: Jobs) -> None:
    given: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def work(context: JobContext, payload: dict[str, Any]) -> None:
        given.put_nowait(payload)

    jobs.register("tick", work)
    await jobs.schedule("ticker", "tick", "* * * * * *", {"of": "test"})
    await jobs.start()
    payload = await given.get()
    assert payload["of"] == "test"
    assert payload["scheduled_at"].startswith("20")


async def test_one_process_executes_for_one_database(jobs: Jobs, tmp_path: Any) -> None:
    await jobs.start()
    other = Jobs(tmp_path / "other.db", SystemClock())
    with pytest.raises(DefectError) as caught:
        await other.start()
    assert caught.value.code == "job.second-engine"
    await other.stop()
    await jobs.enqueue("anything", "one", {})
    assert [job.state for job in await jobs.list()] == ["waiting"]


def test_importing_jobs_loads_neither_the_engine_nor_a_database_driver() -> None:
    code = "import sys, penstock.runtime.jobs; print({'dbos', 'sqlalchemy', 'psycopg'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout == b"set()\n"
