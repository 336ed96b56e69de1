"""Runs that buy in batches and are killed at any moment: each answer is bought once, none is lost.

`PENSTOCK_KILLS` sets how often (default 15).
"""

from __future__ import annotations

import os
import random
import signal
import sqlite3
from contextlib import suppress
from pathlib import Path

import pytest
from test_run_kill import arguments, pause, query

from processes import Commands, Sandbox, open_commands, serve_sandbox
from shop import Shop, feedback

KILLS = int(os.environ.get("PENSTOCK_KILLS", "15"))
RECORDS = 120


def make_shop(folder: Path) -> Shop:
    step = {"summarize": {"text": "${{ record.text }}", "limit": 20}, "as": "short"}
    sink = {"files": {"match": "${{ record.id }}", "path": "out.csv", "columns": {"short": "${{ short.text }}"}}}
    rows = [feedback(index) for index in range(RECORDS)]
    return Shop(folder, rows, steps=[step], summarize=None, sink=sink, model="gpt-6-luna", by="24h")


def change_texts(shop: Shop, generation: int) -> None:
    for row in shop.rows:
        row["text"] = f"{row['text']} {generation}"
    shop.write()


def assert_books_are_true(folder: Path, sandbox: Sandbox) -> None:
    """Check that every call has an outcome, no money is left aside, and the vendor billed what the books say."""
    states = dict(query(folder, "select state, count(*) from calls group by state"))
    assert set(states) <= {"done", "failed"}, states
    assert states["done"] == sandbox.billed()
    assert query(folder, "select count(*) from budgets where reserved <> 0 or held <> 0") == [(0,)]
    (total,) = query(folder, "select sum(cost) from calls where state = 'done'")[0]
    assert query(folder, "select spent from budgets where scope like 'day:%'") == [(total,)]
    assert query(folder, "select tier, count(*) from calls where state = 'done' group by tier") == [
        ("batch", states["done"])
    ]


@pytest.mark.slow
def test_a_run_in_batches_that_is_killed_at_random_moments_buys_nothing_twice(tmp_path: Path) -> None:
    chance = random.Random(20261120)
    shop = make_shop(tmp_path)
    with serve_sandbox("--latency", "0.02", "--batch-seconds", "0.6") as sandbox, open_commands(tmp_path) as commands:
        kills, generation = _kill(commands, sandbox, shop, chance)
        assert commands.run(*arguments(sandbox)) == 0, commands.err.read_text()
        counts = commands.report()["counts"]
        assert counts["judged"] + counts["unchanged"] == RECORDS
        assert counts["failed"] == 0
        assert sandbox.state()["bought_twice"] == 0
        assert sandbox.billed() == RECORDS * (generation + 1)
        assert kills >= KILLS
        assert_books_are_true(tmp_path, sandbox)


def _kill(commands: Commands, sandbox: Sandbox, shop: Shop, chance: random.Random) -> tuple[int, int]:
    """Kill the same command again and again; whenever it was done before that, there is new work."""
    kills = generation = 0
    while kills < KILLS:
        child = commands.start(*arguments(sandbox))
        pause(chance.uniform(0.1, 1.6))
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        code = commands.wait()
        assert code in (0, -signal.SIGKILL), commands.err.read_text()
        kills += code != 0
        if code == 0:
            generation += 1
            change_texts(shop, generation)
    return kills, generation


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["prepared", "creating", "open"])
def test_a_kill_in_each_state_of_a_batch_is_followed_by_the_right_next_step(tmp_path: Path, moment: str) -> None:
    make_shop(tmp_path)
    slow = {"prepared": "files.create", "creating": "batches.create", "open": "batches.retrieve"}[moment]
    with serve_sandbox("--batch-seconds", "0.6") as sandbox, open_commands(tmp_path) as commands:
        sandbox.post("faults", vendor="openai", operation=slow, kind="hang", seconds=5.0, times=1)
        child = commands.start(*arguments(sandbox))
        while state_of_batch(tmp_path) != moment:
            pause(0.01)
        pause(0.4)  # the vendor has done what it was asked for, and is silent
        os.kill(child, signal.SIGKILL)
        assert commands.wait() == -signal.SIGKILL
        assert commands.run(*arguments(sandbox)) == 0, commands.err.read_text()
        report = commands.report()
        assert (report["resumed"], report["counts"]["judged"], report["counts"]["calls"]) == (True, RECORDS, RECORDS)
        assert (sandbox.billed(), sandbox.state()["bought_twice"]) == (RECORDS, 0)
        assert query(tmp_path, "select count(*), sum(lines) from batches") == [(1, RECORDS)]
        assert_books_are_true(tmp_path, sandbox)


def state_of_batch(folder: Path) -> str:
    try:
        rows = query(folder, "select state from batches")
    except sqlite3.Error:
        return ""
    return str(rows[0][0]) if rows else ""
