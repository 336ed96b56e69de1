"""Runs that are killed at any moment, and the same command to the end: nothing is bought, written or lost twice.

`PENSTOCK_KILLS` sets how often (default 30).
"""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from processes import Commands, Sandbox, open_commands, serve_sandbox
from shop import Shop, feedback

KILLS = int(os.environ.get("PENSTOCK_KILLS", "30"))
IN_FLIGHT = 8


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with serve_sandbox("--latency", "0.06", "--latency-sigma", "0.6", "--brevo-scale", "100") as server:
        yield server


@pytest.fixture
def commands(tmp_path: Path) -> Iterator[Commands]:
    with open_commands(tmp_path) as opened:
        yield opened


def make_shop(folder: Path, number: int, **sink: Any) -> Shop:
    shop = Shop(folder, [feedback(index, email=f"c{index % 40}@example.com") for index in range(number)])
    shop.flow["sink"]["brevo"].update({"create-contacts": True, **sink})
    shop.write()
    (folder / "penstock.toml").write_text(f"in-flight = {IN_FLIGHT}\n")
    return shop


def arguments(sandbox: Sandbox) -> list[str]:
    return ["run", "flow.yaml", "--sandbox", "--sandbox-url", sandbox.url, "--apply-schema", "--json"]


def pause(seconds: float) -> None:
    """Let a process work for a while before it is killed: the one wait that no clock can stand in for."""
    threading.Event().wait(seconds)


def query(folder: Path, text: str) -> list[Any]:
    with closing(sqlite3.connect(folder / ".penstock" / "sandbox.sqlite")) as store, store:
        rows = store.execute(text).fetchall()
    store.close()
    return rows


def assert_ledger_is_true(folder: Path, sandbox: Sandbox) -> None:
    """Check that every call has an outcome, and that the vendor billed what the books say."""
    states = dict(query(folder, "select state, count(*) from calls group by state"))
    assert states.get("sent", 0) == 0
    done, unknown = states.get("done", 0), states.get("unknown", 0)
    state = sandbox.state()
    billed = sum(state["billed_calls"].values())
    assert done <= billed <= done + unknown
    assert state["bought_twice"] <= unknown
    for spent, reserved, held, calls in query(folder, "select spent, reserved, held, calls from budgets"):
        assert (reserved, spent >= 0, held >= 0) == (0, True, True)
        assert (spent > 0) == (calls > 0)
        assert spent or held  # a run that was killed before its first answer holds what it may have cost
    (total,) = query(folder, "select sum(cost) from calls where state = 'done'")[0]
    assert query(folder, "select spent from budgets where scope like 'day:%'") == [(total,)]


@pytest.mark.slow
def test_a_run_that_is_killed_at_random_moments_buys_and_writes_nothing_twice(
    tmp_path: Path, sandbox: Sandbox, commands: Commands
) -> None:
    chance = random.Random(20261120)
    shop = make_shop(tmp_path, 150)
    kills = generation = 0
    while kills < KILLS:
        child = commands.start(*arguments(sandbox))
        pause(chance.uniform(0.05, 0.7))
        with suppress(ProcessLookupError):  # it was done already
            os.kill(child, signal.SIGKILL)
        code = commands.wait()
        kills += code == -signal.SIGKILL
        if code == 0:  # it was done before the kill: new texts, new work
            generation += 1
            for row in shop.rows:
                row["text"] = f"{row['text']} {generation}"
            shop.write()
        else:
            assert code == -signal.SIGKILL, commands.err.read_text()
    assert commands.run(*arguments(sandbox)) == 0, commands.err.read_text()
    counts = commands.report()["counts"]
    assert counts["judged"] + counts["unchanged"] == 150
    assert counts["failed"] + counts["rejected"] + counts["refused"] + counts["duplicates"] == 0
    state = sandbox.state()
    assert state["bought_twice"] <= kills * IN_FLIGHT
    assert state["brevo"]["repeats"] == {}
    assert state["brevo"]["contacts"] == 40
    assert query(tmp_path, "select count(*) from items where state = 'done'") == [(150,)]
    assert query(tmp_path, "select state, count(*) from effects where kind = 'attributes' group by state") == [
        ("confirmed", 40)
    ]
    assert_ledger_is_true(tmp_path, sandbox)
    assert commands.run(*arguments(sandbox)) == 0
    again = commands.report()["counts"]
    assert (again["unchanged"], again["calls"], again["written"]) == (150, 0, 0)


@pytest.mark.slow
def test_a_run_that_is_killed_while_it_writes_sends_no_event_twice(
    tmp_path: Path, sandbox: Sandbox, commands: Commands
) -> None:
    event = {"name": "judged", "date": "${{ record.date }}", "properties": {"feedback": "${{ record.id }}"}}
    make_shop(tmp_path, 60, event=event)
    sandbox.post("latency", vendor="brevo", mean=0.06, sigma=0.5)
    kills = seen = 0
    for _ in range(20):
        child = commands.start(*arguments(sandbox))
        for _ in range(1500):
            if query_or_none(tmp_path) or sandbox.state()["brevo"]["events"] > seen + 8:
                break
            pause(0.01)
        os.kill(child, signal.SIGKILL)
        if commands.wait() == 0:
            break
        kills += 1
        seen = sandbox.state()["brevo"]["events"]
        if kills == 2:
            break
    assert kills == 2
    assert commands.run(*arguments(sandbox)) == 0, commands.err.read_text()
    state = sandbox.state()
    assert state["brevo"]["events"] == 60
    assert state["brevo"]["repeats"] == {}
    assert query(tmp_path, "select kind, state, count(*) from effects group by 1, 2 order by 1") == [
        ("attribute", "confirmed", 4),  # created in the account, each once
        ("attributes", "confirmed", 40),
        ("event", "confirmed", 60),
    ]
    report = commands.report()
    assert (report["resumed"], report["counts"]["written"], report["counts"]["planned"]) == (True, 100, 100)
    assert_ledger_is_true(tmp_path, sandbox)


@pytest.mark.slow
def test_a_retry_that_is_killed_goes_on_with_the_same_command(
    tmp_path: Path, sandbox: Sandbox, commands: Commands
) -> None:
    chance = random.Random(2)
    make_shop(tmp_path, 120)
    refusal = {"kind": "status", "status": 400, "code": "invalid_request_error"}
    sandbox.post("faults", vendor="openai", operation="decisions", times=60, **refusal)
    assert commands.run(*arguments(sandbox)) == 3, commands.err.read_text()
    first = commands.report()
    assert first["counts"]["failed"] == 60
    retry = ["runs", "retry", first["run"], "--sandbox", "--sandbox-url", sandbox.url, "--json"]
    kills = 0
    while kills < 6:
        child = commands.start(*retry)
        pause(chance.uniform(0.1, 0.5))
        with suppress(ProcessLookupError):  # it was done already
            os.kill(child, signal.SIGKILL)
        code = commands.wait()
        if code == 0:
            break
        assert code == -signal.SIGKILL, commands.err.read_text()
        kills += 1
    else:
        assert commands.run(*retry) == 0, commands.err.read_text()
    assert kills
    state = sandbox.state()
    assert state["brevo"]["repeats"] == {}
    assert state["brevo"]["contacts"] == 40
    assert query(tmp_path, "select count(*) from items where state = 'done'") == [(120,)]
    assert query(tmp_path, "select state, count(*) from effects where kind = 'attributes' group by state") == [
        ("confirmed", 40)
    ]
    assert query(tmp_path, "select count(*) from dead_letters where resolved_at is null") == [(0,)]
    assert_ledger_is_true(tmp_path, sandbox)


def query_or_none(folder: Path) -> bool:
    """Tell whether every event has an outcome."""
    try:
        rows = query(folder, "select count(*), sum(state = 'confirmed') from effects where kind = 'event'")
    except sqlite3.Error:
        return False
    return rows[0][0] == 60 and rows[0][0] == rows[0][1]


@pytest.mark.slow
def test_the_first_ctrl_c_ends_softly_and_loses_nothing(tmp_path: Path, sandbox: Sandbox, commands: Commands) -> None:
    make_shop(tmp_path, 200)
    child = commands.start(*arguments(sandbox))
    while sandbox.billed() < 20:
        pause(0.01)
    os.kill(child, signal.SIGINT)
    assert commands.wait() == 130
    errors = commands.err.read_text()
    assert "Press Ctrl-C again" in errors
    assert "Traceback" not in errors
    report = commands.report()
    assert (report["state"], report["problem"]["code"]) == ("stopped", "run.interrupted")
    assert report["counts"]["judged"] == report["counts"]["calls"] == sandbox.billed() > 0
    assert query(tmp_path, "select count(*) from calls where state <> 'done'") == [(0,)]
    assert commands.run(*arguments(sandbox)) == 0
    assert (sandbox.billed(), sandbox.state()["bought_twice"]) == (200, 0)
    assert commands.report()["counts"]["judged"] == 200


@pytest.mark.slow
def test_the_second_ctrl_c_ends_at_once_and_the_ledger_stays_true(
    tmp_path: Path, sandbox: Sandbox, commands: Commands
) -> None:
    make_shop(tmp_path, 50)
    sandbox.post("latency", vendor="openai", mean=20.0, sigma=0.0)
    child = commands.start(*arguments(sandbox))
    while not any(call["operation"] == "decisions" for call in sandbox.state()["calls"]) and not _calls_sent(tmp_path):
        pause(0.01)
    os.kill(child, signal.SIGINT)
    while "Press Ctrl-C again" not in commands.err.read_text():
        pause(0.01)
    os.kill(child, signal.SIGINT)
    assert commands.wait() == 130, commands.err.read_text()
    assert "Traceback" not in commands.err.read_text()
    states = dict(query(tmp_path, "select state, count(*) from calls group by state"))
    assert set(states) == {"unknown"}
    sandbox.post("latency", vendor="openai", mean=0.0, sigma=0.0)
    assert commands.run(*arguments(sandbox)) == 0, commands.err.read_text()
    assert commands.report()["counts"]["judged"] == 50


def _calls_sent(folder: Path) -> bool:
    try:
        return bool(query(folder, "select 1 from calls limit 1"))
    except sqlite3.Error:
        return False
