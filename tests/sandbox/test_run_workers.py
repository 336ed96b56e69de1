"""Several processes on one PostgreSQL share a run; killing any of them loses nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from postgres import new_database
from processes import Sandbox, clean_environment, serve_sandbox
from shop import Shop, feedback

_ENTRY = [sys.executable, "-c", "from penstock.cli.main import main; main()"]
RECORDS = 3000
IN_FLIGHT = 16


class Team:
    """Commands of one project on one database."""

    def __init__(self, folder: Path, database: str, sandbox: Sandbox) -> None:
        self.folder = folder
        self.database = database
        self.sandbox = sandbox
        self.environment = clean_environment(PENSTOCK_DATABASE_URL=database)
        self.started: list[subprocess.Popen[str]] = []

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        command = [*_ENTRY, *arguments, "--sandbox", "--sandbox-url", self.sandbox.url]
        with (self.folder / f"stderr-{len(self.started)}.txt").open("w") as errors:
            process = subprocess.Popen(
                command, cwd=self.folder, env=self.environment, stdout=subprocess.PIPE, stderr=errors, text=True
            )
        self.started.append(process)
        return process

    def query(self, text: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.database) as connection:
            return connection.execute(text).fetchall()  # type: ignore[arg-type]

    def wait_until(self, text: str, enough: int) -> int:
        """Wait until a count in the database is reached; returns it."""
        pause = threading.Event()
        for _ in range(1200):
            try:
                if (found := int(self.query(text)[0][0] or 0)) >= enough:
                    return found
            except psycopg.errors.UndefinedTable:
                pass
            assert not any(process.poll() for process in self.started), self.errors()
            pause.wait(0.05)
        raise AssertionError(f"waited too long for {text}; {self.errors()}")

    def errors(self) -> str:
        return "\n".join(path.read_text() for path in sorted(self.folder.glob("stderr-*.txt")))

    def end(self) -> None:
        for process in self.started:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self.started:
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdout is not None:
                process.stdout.close()


@pytest.fixture
def team(tmp_path: Path) -> Iterator[Team]:
    shop = Shop(tmp_path, [feedback(index, email=f"c{index % 30}@example.com") for index in range(RECORDS)])
    shop.flow["sink"]["brevo"]["create-contacts"] = True
    shop.write()
    (tmp_path / "penstock.toml").write_text(f"in-flight = {IN_FLIGHT}\n")
    limits = ("--rpm", "60000", "--tpm", "60000000", "--brevo-scale", "100")
    with serve_sandbox("--latency", "0.1", "--latency-sigma", "0.3", *limits) as sandbox:
        team = Team(tmp_path, new_database(), sandbox)
        try:
            yield team
        finally:
            team.end()


def assert_whole(team: Team) -> None:
    """Check the end of a run: every record judged, every write confirmed once, every call with an outcome."""
    team.start("cost", "--json").communicate()  # whoever opens the store next settles what a dead process left
    assert team.query("select state, count(*) from items group by 1") == [("done", RECORDS)]
    assert team.query("select state, count(*) from effects where kind = 'attributes' group by 1") == [("confirmed", 30)]
    assert team.query("select count(*) from calls where state = 'sent'") == [(0,)]
    state = team.sandbox.state()
    assert state["brevo"]["repeats"] == {}
    (unknown,) = team.query("select count(*) from calls where state = 'unknown'")[0]
    assert state["bought_twice"] <= unknown <= IN_FLIGHT
    assert team.query("select state, (counts::json ->> 'judged')::int from runs order by started_at desc limit 1") == [
        ("done", RECORDS)
    ]


@pytest.mark.slow
def test_two_workers_share_a_run_and_one_of_them_may_die(team: Team) -> None:
    workers = [team.start("worker"), team.start("worker")]
    run = team.start("run", "flow.yaml", "--apply-schema", "--json")
    team.wait_until("select count(distinct session) from calls where state = 'done'", 2)
    busy = "from sessions where command = 'worker' and id in (select session from calls where state = 'sent')"
    victim = team.wait_until(f"select coalesce(max(pid), 0) {busy}", 1)
    os.kill(victim, signal.SIGKILL)
    for worker in workers:
        if worker.pid == victim:
            worker.wait()
            worker.returncode = 0  # it was told to die
    out, _ = run.communicate(timeout=90)
    assert run.returncode == 0, team.errors()
    assert f'"judged": {RECORDS}' in out
    assert_whole(team)


@pytest.mark.slow
def test_a_killed_coordinator_is_taken_over_by_the_same_command(team: Team) -> None:
    team.start("worker")
    run = team.start("run", "flow.yaml", "--apply-schema", "--json")
    team.wait_until("select count(*) from calls where state = 'done'", 400)
    os.kill(run.pid, signal.SIGKILL)
    run.communicate()
    run.returncode = 0
    again = team.start("run", "flow.yaml", "--apply-schema", "--json")
    out, _ = again.communicate(timeout=90)
    assert again.returncode == 0, team.errors()
    assert '"resumed": true' in out
    assert_whole(team)


@pytest.mark.slow
def test_a_budget_stops_every_worker_and_a_larger_one_lets_them_go_on(team: Team) -> None:
    team.start("worker")
    run = team.start("run", "flow.yaml", "--apply-schema", "--json", "--budget", "0.05")
    run.communicate(timeout=90)
    assert run.returncode == 6, team.errors()
    run.returncode = 0
    spent, reserved = team.query("select spent, reserved from budgets where scope like 'run:%'")[0]
    assert (0 < spent <= 50_000_000_000, reserved) == (True, 0)
    again = team.start("run", "flow.yaml", "--apply-schema", "--json", "--budget", "5")
    again.communicate(timeout=90)
    assert again.returncode == 0, team.errors()
    assert_whole(team)
