"""What ends a run before its time, and how the same command goes on."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from penstock.base.errors import FixError, StoppedError
from penstock.base.types import DOLLAR, to_money
from penstock.flows.engine import Run
from penstock.flows.state import list_letters, list_runs
from penstock.sandbox.world import Latency
from penstock.workspace import Workspace
from shop import Shop, assert_accounted_for, billed, feedback, in_shop, written


def many(number: int) -> list[dict[str, str]]:
    return [feedback(index) for index in range(number)]


async def test_a_budget_stops_the_run_and_is_never_passed_and_a_larger_one_goes_on(tmp_path: Path) -> None:
    shop = Shop(tmp_path, many(40))

    async def work(workspace: Workspace) -> None:
        whole = (await shop.plan(workspace)).cost
        assert whole is not None
        budget = whole / DOLLAR / 2
        stopped = await shop.run(workspace, budget=budget)
        assert (stopped.state, stopped.exit_code) == ("stopped", 6)
        assert stopped.problem is not None
        assert (stopped.problem.code, bool(stopped.problem.hint)) == ("budget.reached", True)
        assert 0 < stopped.counts.judged < 40
        assert stopped.counts.failed == 0
        books = await workspace.ledger.spent(f"run:{stopped.run}")
        assert books.reserved == 0
        assert 0 < books.spent <= to_money(budget)
        assert await list_letters(workspace.store, stopped.run) == []
        ended = await shop.run(workspace, budget=1.0)
        assert (ended.run, ended.resumed, ended.exit_code, ended.counts.judged) == (stopped.run, True, 0, 40)
        assert_accounted_for(ended, 40)
        assert (billed(workspace), written(workspace), ended.counts.calls) == (40, 40, 40)
        spent = (await workspace.ledger.spent(f"run:{ended.run}")).spent
        assert ended.counts.cost == spent

    await in_shop(shop, work)


@pytest.mark.parametrize("scope", ["flow", "day", "month"])
async def test_budgets_of_flow_day_and_month_hold_over_several_runs(tmp_path: Path, scope: str) -> None:
    shop = Shop(tmp_path, many(12))

    async def work(workspace: Workspace) -> None:
        first = await shop.run(workspace)
        assert first.exit_code == 0
        workspace.ledger.budgets[scope] = first.counts.cost + first.counts.cost // 2
        for row in shop.rows:
            row["text"] = f"Later: {row['text']}"
        second = await shop.run(workspace)
        assert second.exit_code == 6
        assert second.problem is not None
        assert scope in second.problem.message
        assert first.counts.cost + second.counts.cost <= workspace.ledger.budgets[scope]

    await in_shop(shop, work)


async def test_a_budget_in_the_flow_file_counts(tmp_path: Path) -> None:
    shop = Shop(tmp_path, many(20), budget=0.0002)

    async def work(workspace: Workspace) -> None:
        assert (await shop.run(workspace)).exit_code == 6

    await in_shop(shop, work)


async def test_a_budget_cannot_be_kept_without_a_price(tmp_path: Path) -> None:
    shop = Shop(tmp_path, many(3), model="my-own-model")

    async def work(workspace: Workspace) -> None:
        assert (await shop.plan(workspace)).cost is None
        report = await shop.run(workspace, budget=1.0)
        assert (report.exit_code, report.counts.failed, billed(workspace)) == (2, 0, 0)
        assert report.problem is not None
        assert report.problem.code == "budget.price-unknown"

    await in_shop(shop, work)


async def test_a_second_step_that_was_not_reached_is_no_failure(tmp_path: Path) -> None:
    steps = [
        {"analyze-sentiment": {"text": "${{ record.text }}"}},
        {"analyze-sentiment": {"text": "${{ sentiment.label }}: ${{ record.text }}"}, "as": "second"},
    ]
    shop = Shop(tmp_path, many(30), steps=steps)

    async def work(workspace: Workspace) -> None:
        stopped = await shop.run(workspace, budget=0.0008)
        assert (stopped.exit_code, stopped.counts.failed) == (6, 0)
        ended = await shop.run(workspace, budget=1.0)
        assert (ended.exit_code, ended.counts.judged, billed(workspace)) == (0, 30, 60)

    await in_shop(shop, work)


async def test_a_soft_stop_keeps_what_is_under_way_and_the_same_run_goes_on(tmp_path: Path) -> None:
    shop = Shop(tmp_path, many(1200))

    async def work(workspace: Workspace) -> None:
        workspace.vendors.world.latency["openai"] = Latency(0.2, 0.3)
        reason = StoppedError("enough", code="run.interrupted")

        def start(run: Run) -> None:
            async def stop_later() -> None:
                while billed(workspace) < 100:
                    await workspace.clock.sleep(0.05)
                run.stop(reason)

            stopping.append(asyncio.ensure_future(stop_later()))

        stopping: list[asyncio.Future[None]] = []
        stopped = await shop.run(workspace, started=start)
        assert (stopped.state, stopped.problem) == ("stopped", reason)
        assert 0 < stopped.counts.judged < 1200
        assert billed(workspace) == stopped.counts.judged
        ended = await shop.run(workspace)
        assert (ended.run, ended.exit_code, ended.counts.judged) == (stopped.run, 0, 1200)
        assert (billed(workspace), written(workspace)) == (1200, written(workspace))
        assert_accounted_for(ended, 1200)

    await in_shop(shop, work)


async def test_a_stop_while_writing_leaves_the_run_unfinished(tmp_path: Path) -> None:
    shop = Shop(tmp_path, many(300))

    async def work(workspace: Workspace) -> None:
        workspace.vendors.world.latency["brevo"] = Latency(0.3, 0.0)

        def start(run: Run) -> None:
            async def stop_later() -> None:
                while not run.progress.writes:
                    await workspace.clock.sleep(0.1)
                run.stop(StoppedError("enough", code="run.interrupted"))

            stopping.append(asyncio.ensure_future(stop_later()))

        stopping: list[asyncio.Future[None]] = []
        stopped = await shop.run(workspace, started=start)
        assert (stopped.state, stopped.counts.judged) == ("stopped", 300)
        assert 0 < stopped.counts.written < 300
        ended = await shop.run(workspace)
        assert (ended.run, ended.exit_code, ended.counts.written) == (stopped.run, 0, 300)
        assert written(workspace) == 300
        assert sum(workspace.vendors.account.repeats.values()) == 0

    await in_shop(shop, work)


async def test_a_run_that_is_cancelled_while_writing_looks_before_it_writes_again(tmp_path: Path) -> None:
    shop = Shop(tmp_path, many(60))
    shop.flow["sink"]["brevo"]["event"] = {"name": "judged", "properties": {"feedback": "${{ record.id }}"}}

    async def work(workspace: Workspace) -> None:
        workspace.vendors.world.latency["brevo"] = Latency(0.3, 0.0)
        running = asyncio.ensure_future(shop.run(workspace))
        while not workspace.vendors.account.events:
            await workspace.clock.sleep(0.05)
        running.cancel()
        stopped = await running
        assert (stopped.state, stopped.exit_code) == ("stopped", 6)
        ended = await shop.run(workspace)
        assert (ended.run, ended.exit_code) == (stopped.run, 0)
        sent = [str(one.properties["feedback"]) for one in workspace.vendors.account.events]
        assert sorted(sent) == sorted(row["id"] for row in shop.rows)

    await in_shop(shop, work)


async def test_a_source_that_changed_while_the_run_was_stopped_begins_anew_and_buys_nothing_twice(
    tmp_path: Path,
) -> None:
    shop = Shop(tmp_path, many(2000))

    async def work(workspace: Workspace) -> None:
        cost = (await shop.plan(workspace)).cost
        assert cost is not None
        stopped = await shop.run(workspace, budget=cost / DOLLAR * 0.9)
        assert stopped.exit_code == 6
        before = billed(workspace)
        shop.rows[0]["text"] = "A different text of another length."
        ended = await shop.run(workspace, budget=5.0)
        assert ended.run != stopped.run
        assert (ended.exit_code, ended.counts.read, ended.resumed) == (0, 2000, False)
        assert billed(workspace) == 2001
        assert before < 2000
        assert [row.state for row in await list_runs(workspace.store)] == ["done", "stopped"]

    await in_shop(shop, work)


async def test_rows_that_were_added_while_the_run_was_stopped_belong_to_it(tmp_path: Path) -> None:
    shop = Shop(tmp_path, many(700))

    async def work(workspace: Workspace) -> None:
        cost = (await shop.plan(workspace)).cost
        assert cost is not None
        stopped = await shop.run(workspace, budget=cost / DOLLAR * 0.8)
        shop.rows += [feedback(number) for number in range(700, 710)]
        shop.rows.append({**feedback(3), "text": "A repeated key behind the cursor."})
        for number in range(700, 710):
            workspace.vendors.account.add_contact(f"c{number}@example.com")
        ended = await shop.run(workspace, budget=5.0)
        assert (ended.run, ended.counts.judged, ended.counts.failed) == (stopped.run, 710, 1)
        assert_accounted_for(ended, 711)

    await in_shop(shop, work)


async def test_a_flow_that_is_running_is_not_started_twice(tmp_path: Path) -> None:
    shop = Shop(tmp_path, many(30))

    async def refuse_another(workspace: Workspace) -> None:
        (row,) = await list_runs(workspace.store)
        with pytest.raises(FixError) as caught:
            await shop.run(workspace)
        assert caught.value.code == "run.already-running"
        with pytest.raises(FixError) as caught:
            await workspace.retry(row.id)
        assert caught.value.code == "run.already-running"

    async def work(workspace: Workspace) -> None:
        workspace.vendors.world.latency["openai"] = Latency(5.0, 0.0)
        first = asyncio.ensure_future(shop.run(workspace))
        while not await list_runs(workspace.store):
            await workspace.clock.sleep(0.05)
        await workspace.clock.outside(refuse_another(workspace))  # the first cannot go on meanwhile
        assert (await first).exit_code == 0

    await in_shop(shop, work)


def fill_disk(workspace: Workspace) -> Callable[[], None]:
    """Let the store's file grow no more; returns what makes room again."""
    writer = workspace.store._writer._raw  # type: ignore[attr-defined]
    writer.execute("pragma max_page_count = 1")
    return lambda: writer.execute("pragma max_page_count = 1000000")


def lock_store(workspace: Workspace) -> Callable[[], None]:
    """Lock the store's file from outside for longer than anybody waits; returns what ends that."""
    workspace.store._writer._raw.execute("pragma busy_timeout = 20")  # type: ignore[attr-defined]
    other = sqlite3.connect(workspace.store.place, isolation_level=None)
    other.execute("begin immediate")
    return other.close


@pytest.mark.parametrize(("trouble", "code"), [(fill_disk, "store.full"), (lock_store, "store.locked")])
async def test_a_store_that_cannot_be_written_stops_the_run_and_loses_only_what_was_under_way(
    tmp_path: Path, trouble: Callable[[Workspace], Callable[[], None]], code: str
) -> None:
    shop = Shop(tmp_path, many(200))

    async def work(workspace: Workspace) -> None:
        workspace.vendors.world.latency["openai"] = Latency(0.2, 0.3)

        def start(run: Run) -> None:
            async def trouble_later() -> None:
                while billed(workspace) < 50:
                    await workspace.clock.sleep(0.05)
                end_trouble = trouble(workspace)
                while run.worker.stopped_by is None:
                    await workspace.clock.sleep(0.05)
                end_trouble()

            troubles.append(asyncio.ensure_future(trouble_later()))

        troubles: list[asyncio.Future[None]] = []
        stopped = await shop.run(workspace, started=start)
        assert stopped.problem is not None
        assert (stopped.problem.code, stopped.exit_code, stopped.counts.failed) == (code, 6, 0)
        assert stopped.problem.hint
        ended = await shop.run(workspace)
        assert (ended.exit_code, ended.counts.judged) == (0, 200)
        assert workspace.vendors.world.bought_twice() <= 16

    await in_shop(shop, work, **{"in-flight": 16})
