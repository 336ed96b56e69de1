"""Segments whose run is killed at any moment: descriptions and names are bought once, and everybody gets a segment."""

from __future__ import annotations

import csv
import os
import random
import signal
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from processes import Commands, Sandbox, open_commands, serve_sandbox
from segment_shop import SegmentShop, customer

pytest.importorskip("numpy", reason="needs the extra segments")

KILLS = int(os.environ.get("PENSTOCK_KILLS", "4"))


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with serve_sandbox("--latency", "0.2", "--latency-sigma", "0.6") as server:
        yield server


@pytest.fixture
def commands(tmp_path: Path) -> Iterator[Commands]:
    with open_commands(tmp_path) as opened:
        yield opened


@pytest.mark.slow
def test_what_was_bought_before_a_kill_is_not_bought_again(
    tmp_path: Path, sandbox: Sandbox, commands: Commands
) -> None:
    kinds = ("run", "garden", "cook")
    customers = [customer(number, kinds[number % 3], card=f"kept x{number:04}y") for number in range(2100)]
    shop = SegmentShop(tmp_path, customers, describe=["bought", "card"], names="model")
    columns = {"email": "${{ record.email }}", "segment": "${{ record.segment }}"}
    shop.flow["sink"] = {"files": {"path": "out.csv", "match": "${{ record.email }}", "columns": columns}}
    shop.write()
    command = ["run", "flow.yaml", "--sandbox", "--sandbox-url", sandbox.url, "--json"]
    chance = random.Random(20261120)
    for _ in range(KILLS):
        child = commands.start(*command)
        threading.Event().wait(chance.uniform(0.3, 1.5))  # the one wait that no clock can stand in for
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        commands.wait()
    assert commands.run(*command) == 0, commands.err.read_text()
    state = sandbox.state()
    with closing(sqlite3.connect(tmp_path / ".penstock" / "sandbox.sqlite")) as store:
        states = dict(store.execute("select state, count(*) from calls group by state").fetchall())
    done, unknown = states.get("done", 0), states.get("unknown", 0)
    assert done <= sum(state["billed_calls"].values()) <= done + unknown
    assert state["bought_twice"] <= unknown
    assert state["billed_calls"]["embeddings"] <= 2 + unknown
    with (tmp_path / "out.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {row["email"] for row in rows} == {one["email"] for one in customers}
    assert {row["segment"] for row in rows} == {"s1", "s2", "s3"}
    calls = sandbox.billed()
    assert commands.run(*command) == 0
    assert sandbox.billed() == calls
