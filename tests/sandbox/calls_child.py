"""Buys answers in processes that a test kills: `calls_child.py BASE_URL`, one order per line on standard input.

An order is `DATABASE COUNT WIDTH SEED`: a new process opens the store and asks for COUNT answers in
an order of its own, WIDTH at a time. The line `pid N` is printed when it starts, `ended N CODE` when it is over.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
from pathlib import Path

from call_desk import ask_about
from penstock.base.clock import SystemClock
from penstock.runtime.answers import Answers
from penstock.runtime.call import Caller
from penstock.runtime.corrections import Corrections
from penstock.runtime.governor import Governor
from penstock.runtime.ledger import Ledger
from penstock.runtime.quota import MemoryBoard
from penstock.runtime.refusals import Refusals
from penstock.runtime.store import Store
from penstock.vendor.http import Http
from penstock.vendor.models import Limits, load_catalogue
from penstock.vendor.openai import OpenAI


async def buy_all(base_url: str, database: str, count: int, width: int, seed: int) -> None:
    clock = SystemClock()
    store = await Store.open(database if "://" in database else Path(database), clock)
    ledger, http = Ledger(store, clock), Http()
    await ledger.recover()
    governor = Governor(clock, MemoryBoard(clock), lambda _: Limits(rpm=600_000))
    caller = Caller(
        connections={"openai": OpenAI(http, "sk-test", base_url=base_url)},
        answers=Answers(store, clock),
        ledger=ledger,
        governor=governor,
        catalogue=load_catalogue(),
        corrections=Corrections(store, {}),
        refusals=Refusals(store, clock, {}),
        clock=clock,
    )
    numbers = list(range(count))
    random.Random(seed).shuffle(numbers)

    async def work() -> None:
        while numbers:
            await caller.ask(ask_about(f"Text {numbers.pop()}"), run="r")

    await asyncio.gather(*(work() for _ in range(width)))
    await governor.close()
    await http.close()
    await store.close()


def main(base_url: str) -> None:
    load_catalogue()
    for line in sys.stdin:
        database, *rest = line.split()
        pid = os.fork()
        if not pid:
            asyncio.run(buy_all(base_url, database, *map(int, rest)))
            os._exit(0)
        print("pid", pid, flush=True)
        _, status = os.waitpid(pid, 0)
        print("ended", pid, os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
