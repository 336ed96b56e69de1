"""Runs that buy by a deadline: the same results as at once, at half the price, whatever happens to a batch."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from penstock.base.clock import ManualClock
from penstock.base.errors import FlowError, InputError, StoppedError
from penstock.flows.engine import Report, Run
from penstock.runtime.batch_lines import BatchRow
from penstock.runtime.batches import list_batches
from penstock.runtime.call import FLEX_SECONDS
from penstock.sandbox.world import Fault, Latency
from penstock.workspace import Workspace
from shop import Shop, billed, feedback

DAY = 86_400.0
STEP = {"summarize": {"text": "${{ record.text }}", "limit": 20}, "as": "short"}
SINK = {"files": {"match": "${{ record.id }}", "path": "out.csv", "columns": {"short": "${{ short.text }}"}}}


def make_shop(folder: Path, number: int = 6, **flow: Any) -> Shop:
    folder.mkdir(exist_ok=True)
    parts: dict[str, Any] = {"steps": [STEP], "summarize": None, "sink": deepcopy(SINK), "model": "gpt-6-luna", **flow}
    return Shop(folder, [feedback(index) for index in range(number)], **parts)


async def in_time(shop: Shop, work: Callable[[Workspace], Awaitable[None]]) -> None:
    """Do `work` in a workspace whose days pass in milliseconds."""
    clock = ManualClock()

    async def all_of_it() -> None:
        async with shop.open(clock) as workspace:
            await work(workspace)

    await clock.run(all_of_it(), settle_rounds=100)


def plan_fault(workspace: Workspace, operation: str, kind: Any, **rest: Any) -> None:
    workspace.vendors.world.faults.append(Fault("openai", operation, kind, **rest))


def asked(workspace: Workspace, operation: str) -> int:
    """Return how many requests of an operation reached the vendor."""
    return sum(count for (_, name, _), count in workspace.vendors.world.calls.items() if name == operation)


async def pass_time(workspace: Workspace, seconds: float) -> None:
    """Let time pass in steps: in a long one the clock would run away from the threads of the store."""
    for _ in range(int(seconds / 4)):
        await workspace.clock.sleep(4)


async def open_batch(workspace: Workspace) -> BatchRow:
    """Wait until a batch is with the vendor, and return it."""
    while True:
        rows = await list_batches(workspace.store)
        if rows and rows[0].state == "open":
            return rows[0]
        await workspace.clock.sleep(1)


def assert_true_books(shop: Shop, workspace: Workspace, *, twice: int = 0) -> None:
    """Check that every call has an outcome, no money is left aside, and the vendor billed what the books say."""
    assert workspace.vendors.world.bought_twice() == twice
    with closing(sqlite3.connect(shop.folder / ".penstock" / "sandbox.sqlite")) as store:
        states = dict(store.execute("select state, count(*) from calls group by state").fetchall())
        assert set(states) <= {"done", "failed"}, states
        assert states["done"] == billed(workspace)
        spent = store.execute("select coalesce(sum(cost), 0) from calls").fetchone()[0]
        for scope, *rest in store.execute("select scope, spent, reserved, held from budgets"):
            assert rest[1:] == [0, 0], (scope, rest)
            assert not scope.startswith("day") or rest[0] <= spent
        assert store.execute("select count(*) from batch_lines").fetchone() == (0,)


async def test_a_run_with_a_day_of_time_gives_the_same_results_at_half_the_price(tmp_path: Path) -> None:
    found = {}
    for by in ("now", "24h"):
        folder = tmp_path / by
        folder.mkdir()
        shop = make_shop(folder)

        async def work(workspace: Workspace, by: str = by, shop: Shop = shop, folder: Path = folder) -> None:
            report = await shop.run(workspace, by=by)
            assert report.problem is None, report.problem
            counts = report.counts
            assert (counts.judged, counts.calls, counts.cached, counts.failed) == (6, 6, 0, 0)
            assert billed(workspace) == 6
            found[by] = (counts.cost, counts.tokens, (folder / "out.csv").read_text())

        await in_time(shop, work)
    assert found["now"][0] == 2 * found["24h"][0]
    assert found["now"][1:] == found["24h"][1:]


async def test_the_next_run_buys_nothing_and_the_files_at_the_vendor_are_gone(tmp_path: Path) -> None:
    shop = make_shop(tmp_path / "a")

    async def work(workspace: Workspace) -> None:
        await shop.run(workspace, by="24h")
        listed = await workspace.caller.connection("openai").get("/files")
        assert listed["data"] == []
        report = await shop.run(workspace, by="24h")
        assert (report.counts.unchanged, report.counts.calls) == (6, 0)
        assert len(await list_batches(workspace.store)) == 1
        assert_true_books(shop, workspace)

    await in_time(shop, work)


async def test_a_step_that_needs_another_is_a_round_of_its_own(tmp_path: Path) -> None:
    again = {"summarize": {"text": "${{ short.text }}", "limit": 8, "style": "headline"}, "as": "head"}
    shop = make_shop(tmp_path / "a", steps=[STEP, again])

    async def work(workspace: Workspace) -> None:
        report = await shop.run(workspace, by="2d")
        assert (report.counts.judged, report.counts.calls, asked(workspace, "responses")) == (6, 12, 0)
        assert [row.lines for row in await list_batches(workspace.store)] == [6, 6]
        assert_true_books(shop, workspace)

    await in_time(shop, work)


async def test_what_no_batch_takes_is_bought_live_and_the_rest_in_a_batch(tmp_path: Path) -> None:
    judge = {"classify": {"text": "${{ record.text }}", "labels": ["praise", "complaint"]}, "as": "kind"}
    shop = make_shop(tmp_path / "a", steps=[judge, STEP])

    async def work(workspace: Workspace) -> None:
        shop.write()
        plan = await workspace.plan(shop.path, by="24h")
        chosen = next(way for way in plan.ways if way.is_chosen)
        assert (chosen.way, chosen.calls, plan.calls) == ("batch", 0, 6)
        assert "known only after the first answers" in chosen.why
        report = await shop.run(workspace, by="24h")
        assert (report.counts.judged, report.counts.calls, report.counts.cached) == (6, 12, 0)
        assert (asked(workspace, "decisions"), asked(workspace, "responses")) == (6, 0)
        assert workspace.vendors.world.billed_calls["batch.responses"] == 6
        assert_true_books(shop, workspace)


async def test_decisions_alone_are_bought_now_and_the_plan_says_why(tmp_path: Path) -> None:
    judge = {"classify": {"text": "${{ record.text }}", "labels": ["praise", "complaint"]}, "as": "short"}
    shop = make_shop(tmp_path / "a", steps=[judge])
    shop.flow["sink"]["files"] = {**SINK["files"], "columns": {"short": "${{ short.labels }}"}}

    async def work(workspace: Workspace) -> None:
        shop.write()
        plan = await workspace.plan(shop.path, by="2d")
        ways = {way.way: way for way in plan.ways}
        assert ways["now"].is_chosen
        assert "the endpoint or the model is not offered there" in ways["batch"].why
        report = await shop.run(workspace, by="2d")
        assert (report.counts.judged, asked(workspace, "decisions"), asked(workspace, "batches.create")) == (6, 6, 0)

    await in_time(shop, work)


# what happens to a batch


async def test_a_request_that_is_refused_fails_its_record_alone_and_is_not_sent_again(tmp_path: Path) -> None:
    shop = make_shop(tmp_path / "a")

    async def work(workspace: Workspace) -> None:
        plan_fault(workspace, "batches.line", "status", status=400, code="invalid_prompt", times=2)
        report = await shop.run(workspace, by="24h")
        counts = report.counts
        assert (counts.judged, counts.failed, counts.calls, asked(workspace, "responses")) == (4, 2, 4, 0)
        assert {problem.code for problem in report.failures} == {"openai.rejected"}
        assert_true_books(shop, workspace)
        again = await workspace.retry(report.run)
        assert (again.counts.judged, again.counts.failed, again.counts.calls) == (2, 0, 2)
        assert billed(workspace) == 6

    await in_time(shop, work)


async def test_a_request_that_fails_is_tried_in_a_second_batch_and_then_live(tmp_path: Path) -> None:
    shop = make_shop(tmp_path / "a", 3)

    async def work(workspace: Workspace) -> None:
        plan_fault(workspace, "batches.line", "status", status=500, code="server_error", times=4)
        report = await shop.run(workspace, by="3d")
        assert (report.counts.judged, report.counts.failed) == (3, 0)
        assert [row.lines for row in await list_batches(workspace.store)] == [3, 3]
        assert asked(workspace, "responses") == 1  # failed in both: at the flex tier, which costs the same
        assert workspace.vendors.world.billed[-1].tier == "flex"
        assert_true_books(shop, workspace)

    await in_time(shop, work)


async def test_lines_that_never_come_are_asked_again(tmp_path: Path) -> None:
    shop = make_shop(tmp_path / "a")

    async def work(workspace: Workspace) -> None:
        plan_fault(workspace, "batches.line", "drop", times=2)
        report = await shop.run(workspace, by="3d")
        assert (report.counts.judged, report.counts.calls) == (6, 6)
        assert [row.lines for row in await list_batches(workspace.store)] == [2, 6]
        assert_true_books(shop, workspace)

    await in_time(shop, work)


@pytest.mark.slow
async def test_what_expired_goes_into_another_batch_while_there_is_time(tmp_path: Path) -> None:
    shop = make_shop(tmp_path / "a", 10)

    async def work(workspace: Workspace) -> None:
        plan_fault(workspace, "batches.run", "slow", seconds=2 * DAY, times=1)
        report = await shop.run(workspace, by="3d")
        assert (report.counts.judged, report.counts.calls, asked(workspace, "responses")) == (10, 10, 0)
        first, second = reversed(await list_batches(workspace.store))
        assert (first.status, second.status) == ("expired", "completed")
        assert 0 < second.lines < 10
        assert DAY < report.seconds < 2 * DAY
        assert_true_books(shop, workspace)

    await in_time(shop, work)


@pytest.mark.slow
async def test_before_the_deadline_a_batch_is_called_off_and_the_rest_is_bought_live(tmp_path: Path) -> None:
    shop = make_shop(tmp_path / "a", 10)

    async def work(workspace: Workspace) -> None:
        plan_fault(workspace, "batches.run", "slow", seconds=2 * DAY, times=1)
        report = await shop.run(workspace, by="24h")
        assert report.problem is None
        assert (report.counts.judged, report.counts.calls) == (10, 10)
        (row,) = await list_batches(workspace.store)
        assert row.status == "cancelled"
        assert 0 < asked(workspace, "responses") < 10
        assert report.seconds < DAY
        assert {one.tier for one in workspace.vendors.world.billed if one.operation == "responses"} == {"default"}
        assert_true_books(shop, workspace)

    await in_time(shop, work)


@pytest.mark.parametrize("kind", [pytest.param("hang", marks=pytest.mark.slow), "status"])
async def test_a_batch_that_does_nothing_or_fails_keeps_no_record_from_its_result(tmp_path: Path, kind: str) -> None:
    shop = make_shop(tmp_path / "a")

    async def work(workspace: Workspace) -> None:
        plan_fault(workspace, "batches.run", kind)
        report = await shop.run(workspace, by="24h")
        assert (report.problem, report.counts.judged, report.counts.calls) == (None, 6, 6)
        assert report.seconds < DAY
        assert_true_books(shop, workspace)

    await in_time(shop, work)


@pytest.mark.parametrize("operation", ["files.create", "batches.create", "batches.retrieve", "files.content"])
@pytest.mark.parametrize("kind", ["lost", "drop", "html", "status"])
async def test_no_lost_reply_doubles_or_loses_a_batch(tmp_path: Path, operation: str, kind: str) -> None:
    shop = make_shop(tmp_path / "a")

    async def work(workspace: Workspace) -> None:
        plan_fault(workspace, operation, kind, times=2)
        report = await shop.run(workspace, by="24h")
        assert (report.problem, report.counts.judged, report.counts.calls) == (None, 6, 6)
        made = await workspace.caller.connection("openai").get("/batches")
        assert len(made["data"]) == 1
        assert_true_books(shop, workspace)

    await in_time(shop, work)


async def test_a_batch_that_a_person_cancels_stops_the_run_which_can_go_on(tmp_path: Path) -> None:
    shop = make_shop(tmp_path / "a")

    async def cancel(workspace: Workspace) -> None:
        row = await open_batch(workspace)
        await pass_time(workspace, 1000)
        await workspace.batches.cancel(row)

    async def work(workspace: Workspace) -> None:
        workspace.vendors.world.latency["openai.batches"] = Latency(mean=2_000.0)
        report, _ = await asyncio.gather(shop.run(workspace, by="24h"), cancel(workspace))
        assert isinstance(report.problem, StoppedError)
        assert report.problem.code == "batch.cancelled"
        kept = billed(workspace)
        assert 0 < kept < 6
        report = await shop.run(workspace, by="24h")
        assert (report.resumed, report.problem, report.counts.calls, billed(workspace)) == (True, None, 6, 6)
        assert [row.lines for row in await list_batches(workspace.store)] == [6 - kept, 6]
        assert_true_books(shop, workspace)

    await in_time(shop, work)


async def test_a_stopped_run_leaves_its_batch_and_goes_on_with_it(tmp_path: Path) -> None:
    shop = make_shop(tmp_path / "a")

    async def work(workspace: Workspace) -> None:
        report = await stop_after(workspace, shop, 300.0, by="24h")
        assert (report.state, report.counts.judged) == ("stopped", 0)
        report = await shop.run(workspace)  # as it was begun, without saying so again
        assert (report.resumed, report.problem, report.counts.calls) == (True, None, 6)
        assert (len(await list_batches(workspace.store)), asked(workspace, "responses")) == (1, 0)
        assert_true_books(shop, workspace)

    await in_time(shop, work)


async def test_by_now_calls_off_what_was_begun_and_buys_only_what_is_missing(tmp_path: Path) -> None:
    shop = make_shop(tmp_path / "a", 10)

    async def work(workspace: Workspace) -> None:
        await stop_after(workspace, shop, 1000.0, by="24h")
        report = await shop.run(workspace, by="now")
        assert (report.resumed, report.problem, report.counts.calls, report.counts.judged) == (True, None, 10, 10)
        (row,) = await list_batches(workspace.store)
        assert (row.status, 0 < asked(workspace, "responses") < 10) == ("cancelled", True)
        assert_true_books(shop, workspace)

    await in_time(shop, work)


async def stop_after(workspace: Workspace, shop: Shop, seconds: float, **given: Any) -> Report:
    workspace.vendors.world.latency["openai.batches"] = Latency(mean=2_000.0)
    runs: list[Run] = []

    async def stop() -> None:
        await open_batch(workspace)
        await pass_time(workspace, seconds)
        runs[0].stop(StoppedError("stopped", code="run.interrupted"))

    report, _ = await asyncio.gather(shop.run(workspace, started=runs.append, **given), stop())
    return report


async def test_a_webhook_has_a_batch_looked_at_at_once(tmp_path: Path) -> None:
    shop = make_shop(tmp_path / "a")

    async def tell(workspace: Workspace) -> None:
        while (before := await open_batch(workspace)).polls < 13:  # from then on it is looked at every five minutes
            await workspace.clock.sleep(4)
        await workspace.batches.hear(before.vendor_id)
        while (await list_batches(workspace.store))[0].polls == before.polls:
            await workspace.clock.sleep(0.01)
        assert workspace.clock.now() < before.due_at

    async def work(workspace: Workspace) -> None:
        workspace.vendors.world.latency["openai.batches"] = Latency(mean=9_000.0)
        await asyncio.gather(shop.run(workspace, by="24h"), tell(workspace))

    await in_time(shop, work)


# money


async def test_a_budget_holds_for_batches_too_and_the_run_goes_on_with_more(tmp_path: Path) -> None:
    shop = make_shop(tmp_path / "a", 12)

    async def work(workspace: Workspace) -> None:
        plan = await workspace.plan(shop.path, by="24h")
        most = 0.00004
        report = await shop.run(workspace, by="24h", budget=most)
        assert report.problem is not None
        assert report.problem.code == "budget.reached"
        bought = billed(workspace)
        assert (0 <= bought < 12, report.counts.cost <= most * 1e12, plan.calls) == (True, True, 12)
        report = await shop.run(workspace, by="24h", budget=1.0)
        assert (report.problem, report.counts.judged, billed(workspace)) == (None, 12, 12)
        assert_true_books(shop, workspace)

    shop.write()
    await in_time(shop, work)


# other ways


async def test_two_hours_are_the_flex_tier_at_half_the_price(tmp_path: Path) -> None:
    shop = make_shop(tmp_path / "a")

    async def work(workspace: Workspace) -> None:
        plan_fault(workspace, "responses", "status", status=429, code="resource_unavailable", times=3)
        report = await shop.run(workspace, by="2h")
        assert (report.problem, report.counts.calls, asked(workspace, "batches.create")) == (None, 6, 0)
        assert {one.tier for one in workspace.vendors.world.billed} == {"flex"}
        found["flex"] = report.counts.cost
        shop.flow["name"] = "other"
        other = await shop.run(workspace, by="now")
        assert (other.counts.calls, other.counts.cached) == (0, 6)  # the same answers, whichever way they came

    found: dict[str, int] = {}
    await in_time(shop, work)
    live = make_shop(tmp_path / "b")

    async def work_live(workspace: Workspace) -> None:
        found["now"] = (await live.run(workspace)).counts.cost

    await in_time(live, work_live)
    assert found["now"] == 2 * found["flex"]


async def test_without_capacity_flex_gives_way_to_the_usual_tier_before_the_deadline(tmp_path: Path) -> None:
    shop = make_shop(tmp_path / "a")

    async def work(workspace: Workspace) -> None:
        world = workspace.vendors.world
        plan_fault(workspace, "responses", "status", status=429, code="resource_unavailable")

        async def relent() -> None:
            while not asked(workspace, "responses"):
                await workspace.clock.sleep(1)
            await pass_time(workspace, 3600 - FLEX_SECONDS + 60)  # longer than the flex tier is asked
            world.faults.clear()

        report, _ = await asyncio.gather(shop.run(workspace, by="1h"), relent())
        assert (report.problem, report.counts.calls) == (None, 6)
        with closing(sqlite3.connect(workspace.store.place)) as store:
            sent = store.execute("select tier, state, sent_at from calls order by sent_at").fetchall()
        begun = sent[0][2]
        assert [tier for tier, state, _ in sent if state == "done"] == ["default"] * 6
        refused = [at - begun for tier, state, at in sent if state != "done" and tier == "flex"]
        assert len(refused) >= 6
        assert max(refused) <= 3600 - FLEX_SECONDS

    await in_time(shop, work)


@pytest.mark.parametrize("text", ["tomorrow", "0h", "-1h", "24", "h", "1h2", "15d", "nan", ""])
async def test_a_deadline_that_is_none_is_refused_by_name(tmp_path: Path, text: str) -> None:
    shop = make_shop(tmp_path / "a")

    async def work(workspace: Workspace) -> None:
        shop.write()
        if text:
            with pytest.raises(InputError, match="is not a time by which"):
                await workspace.plan(shop.path, by=text)
        shop.flow["by"] = text
        shop.write()
        with pytest.raises(FlowError, match="is not a time by which"):
            await workspace.plan(shop.path)

    await in_time(shop, work)


async def test_a_flow_file_can_say_by_when(tmp_path: Path) -> None:
    shop = make_shop(tmp_path / "a", by="1d12h")

    async def work(workspace: Workspace) -> None:
        report = await shop.run(workspace)
        assert (report.counts.judged, asked(workspace, "batches.create")) == (6, 1)

    await in_time(shop, work)
