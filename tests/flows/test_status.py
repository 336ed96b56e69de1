"""Each value says when and by what it was made, and stops counting by rule."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from penstock.base.clock import ManualClock
from penstock.base.errors import FlowError
from penstock.cli.main import penstock
from penstock.flows.expiring import read_span
from penstock.flows.model import load_flow
from shop import ATTRIBUTES, Shop, attributes_of, billed, feedback, in_shop

ANNA, BEN = "anna@example.com", "ben@example.com"
DAY = 86_400.0


def shop_of(folder: Path, **flow: Any) -> Shop:
    sink = {"brevo": {"match": "${{ record.email }}", "attributes": dict(ATTRIBUTES), "status": "SENTIMENT_DONE"}}
    rows = [feedback(1, email=ANNA), feedback(2, email=BEN)]
    return Shop(folder, rows, sink=sink, **flow)


def held(workspace: Any, email: str) -> dict[str, Any]:
    return {name: value for name, value in attributes_of(workspace, email).items() if value is not None}


def day_of(clock: Any) -> str:
    from penstock.flows.work import status_of

    return str(status_of(clock.now(), {})["at"])


@pytest.mark.parametrize("is_summarised", [True, False])
async def test_each_value_says_when_by_which_model_and_version_it_was_made(tmp_path: Path, is_summarised: bool) -> None:
    shop = shop_of(tmp_path) if is_summarised else shop_of(tmp_path, summarize=None)
    if not is_summarised:
        shop.flow["sink"]["brevo"]["attributes"] = {"SENTIMENT_SCORE": "${{ sentiment.score }}"}

    async def work(workspace: Any) -> None:
        first_day = day_of(workspace.clock)
        report = await shop.run(workspace)
        assert report.exit_code == 0
        values = held(workspace, ANNA)
        assert values["SENTIMENT_DONE_AT"] == first_day
        assert values["SENTIMENT_DONE_MODEL"] == "gpt-6-luna"
        assert values["SENTIMENT_DONE_VERSION"] == "analyze-sentiment 1"
        await workspace.clock.sleep(40 * DAY)
        again = await shop.run(workspace)
        assert (again.counts.unchanged, again.counts.planned) == (2, 0)
        assert held(workspace, ANNA)["SENTIMENT_DONE_AT"] == first_day
        shop.record("f1")["text"] = "Now it is all fine, thank you, great!"
        await shop.run(workspace)
        assert held(workspace, ANNA)["SENTIMENT_DONE_AT"] == day_of(workspace.clock) != first_day
        assert held(workspace, BEN)["SENTIMENT_DONE_AT"] == first_day

    await in_shop(shop, work)


async def test_what_is_too_old_is_judged_and_bought_anew_and_the_plan_says_so(tmp_path: Path) -> None:
    shop = shop_of(tmp_path, expire="180 days")

    async def work(workspace: Any) -> None:
        await shop.run(workspace)
        await workspace.clock.sleep(179 * DAY)
        plan = await shop.plan(workspace)
        assert (plan.expired, plan.calls, plan.unchanged) == (0, 0, 2)
        await workspace.clock.sleep(2 * DAY)
        plan = await shop.plan(workspace)
        assert (plan.expired, plan.calls, plan.held, plan.changed) == (2, 2, 0, 2)
        before = billed(workspace)
        report = await shop.run(workspace)
        assert (report.counts.expired, report.counts.judged, report.counts.calls) == (2, 2, 2)
        assert billed(workspace) == before + 2
        assert held(workspace, ANNA)["SENTIMENT_DONE_AT"] == day_of(workspace.clock)
        again = await shop.run(workspace)
        assert (again.counts.expired, again.counts.unchanged, again.counts.calls) == (0, 2, 0)

    await in_shop(shop, work)


@pytest.mark.parametrize("is_gone", [True, False])
async def test_what_is_too_old_is_cleared_where_it_is_wished_in_the_source_or_not(
    tmp_path: Path, is_gone: bool
) -> None:
    shop = shop_of(tmp_path, expire={"age": "26 weeks", "then": "clear"})

    async def work(workspace: Any) -> None:
        await shop.run(workspace)
        await workspace.clock.sleep(200 * DAY)
        shop.rows = [feedback(3, email=BEN), *([] if is_gone else [shop.record("f1")])]
        plan = await shop.plan(workspace)
        assert plan.expired == 2  # whose values the run itself renews is not known before
        report = await shop.run(workspace)
        assert (report.counts.expired, report.exit_code) == (1, 0)
        assert not [name for name in held(workspace, ANNA) if name.startswith("SENTIMENT")]
        assert held(workspace, BEN)["SENTIMENT_LABEL"]
        again = await shop.run(workspace)
        assert (again.counts.expired, again.counts.planned) == (0, 0)

    await in_shop(shop, work)


def test_a_status_is_explained_in_the_shell(tmp_path: Path) -> None:
    shop = shop_of(tmp_path)

    def invoke(*words: str) -> str:
        return CliRunner().invoke(penstock, [*words, "--sandbox", "--workspace", str(tmp_path)]).stdout

    invoke("run", str(shop.path), "--apply-schema", "--yes")
    assert "analyze-sentiment 1, gpt-6-luna" in invoke("explain", ANNA)
    assert json.loads(invoke("explain", ANNA, "--json"))["judged"][0]["made"] == {
        "sentiment": "analyze-sentiment 1|gpt-6-luna"
    }


@pytest.mark.parametrize("age", ["soon", "0 days", "-3 days", "180", "1e9 weeks", ""])
def test_an_age_that_is_none_is_refused_at_its_place(tmp_path: Path, age: str) -> None:
    shop = shop_of(tmp_path, expire=age)
    with pytest.raises(FlowError, match="is no age"):
        load_flow(shop.path)


def test_ages_are_read() -> None:
    assert [read_span(text) for text in ("180 days", "1d", "2 weeks", "36h")] == [180 * DAY, DAY, 14 * DAY, 1.5 * DAY]


def test_the_name_status_is_taken(tmp_path: Path) -> None:
    shop = shop_of(tmp_path, steps=[{"analyze-sentiment": {"text": "${{ record.text }}"}, "as": "status"}])
    with pytest.raises(FlowError, match="'status' is taken"):
        load_flow(shop.path)


async def test_what_is_too_old_is_bought_anew_in_a_batch_too(tmp_path: Path) -> None:
    step = {"summarize": {"text": "${{ record.text }}", "limit": 20}, "as": "short"}
    sink = {"files": {"match": "${{ record.id }}", "path": "out.csv", "columns": {"at": "${{ status.at }}"}}}
    shop = Shop(
        tmp_path,
        [feedback(number) for number in range(4)],
        steps=[step], summarize=None, sink=sink, model="gpt-6-luna", expire="30 days",
    )  # fmt: skip
    clock = ManualClock()

    async def work() -> None:
        async with shop.open(clock) as workspace:
            assert (await shop.run(workspace)).exit_code == 0
            before = billed(workspace)
            await clock.sleep(31 * DAY)
            report = await shop.run(workspace, by="26h")
            assert (report.exit_code, report.counts.expired, report.counts.judged) == (0, 4, 4)
            assert billed(workspace) == before + 4
            with (tmp_path / "out.csv").open(encoding="utf-8") as file:
                assert {row["at"] for row in csv.DictReader(file)} == {day_of(clock)}
            assert (await shop.run(workspace)).counts.unchanged == 4
            assert billed(workspace) == before + 4

    await clock.run(work(), settle_rounds=100)


async def test_a_run_that_a_budget_stops_among_old_results_goes_on_without_paying_twice(tmp_path: Path) -> None:
    shop = shop_of(tmp_path, expire="30 days")
    shop.rows = [feedback(number) for number in range(30)]

    async def work(workspace: Any) -> None:
        await shop.run(workspace)
        first = billed(workspace)
        await workspace.clock.sleep(31 * DAY)
        cost = (await shop.plan(workspace)).cost / 1e12
        stopped = await shop.run(workspace, budget=cost / 2)
        assert stopped.state == "stopped"
        report = await shop.run(workspace, budget=10.0)
        assert report.exit_code == 0
        assert billed(workspace) == 2 * first
        assert (await shop.plan(workspace)).expired == 0

    await in_shop(shop, work)
