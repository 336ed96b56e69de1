"""A worker process for the crash tests: `child.py DATABASE LOG TASK [WORKER SLOT]`. It logs each step that it executes.

Tasks: `run` runs twelve jobs as a command does, `slow` the same with time for others to interfere;
`work` serves the queue until it is told to stop; `hold` starts, and waits.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import Any

from penstock.base.clock import SystemClock
from penstock.base.errors import PenstockError
from penstock.runtime.jobs import JobContext, Jobs

STEPS = 5
JOBS = 12
SECONDS = {"run": 0.01, "slow": 0.4}


def log(path: str, line: str) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(handle, f"{line}\n".encode())
    os.close(handle)


def work_for(path: str) -> Any:
    async def work(context: JobContext, payload: dict[str, Any]) -> dict[str, Any]:
        async def step(number: int) -> int:
            log(path, f"step {os.getpid()} {context.job_id} {number}")
            await asyncio.sleep(payload["seconds"])
            return number

        return {"steps": [await context.step(f"step-{n}", lambda n=n: step(n)) for n in range(STEPS)]}

    return work


async def main(database: str, path: str, task: str, worker: str = "main", slot: str = "") -> int:
    jobs = Jobs(database, SystemClock(), worker, int(slot) if slot else None, beat_seconds=0.2, dead_after_seconds=0.8)
    jobs.register("steps", work_for(path))
    told = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)
    try:
        await jobs.start(duty="ask" if task in SECONDS else "work")
    except PenstockError as error:
        print(error.code, error.message, error.hint, sep="\n")
        return 2
    log(path, f"started {os.getpid()}")
    if task in SECONDS:
        await asyncio.gather(*(jobs.run("steps", f"job-{n}", {"seconds": SECONDS[task]}) for n in range(JOBS)))
    else:
        await told.wait()
    await jobs.stop()
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(*sys.argv[1:])))
