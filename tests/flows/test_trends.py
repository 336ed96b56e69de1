"""Trends of what a flow has judged: in the shell, and as the source of a flow that raises an event."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from penstock.base.errors import InputError
from penstock.cli.main import penstock
from penstock.flows.trending import TrendSource, read_trends
from shop import Shop, feedback, in_shop

GOOD = "The delivery was quick and great, thank you."
BAD = "The delivery was terrible, awful and late."
WATCH = {
    "name": "watch",
    "source": {"trends": {"flow": "feedback"}},
    "where": "${{ record.turn == 'worse' }}",
    "consent": {"unknown": "use"},
    "steps": None,
    "summarize": None,
    "sink": {
        "brevo": {
            "match": "team@example.com",
            "create-contacts": True,
            "event": {
                "name": "topic_turned",
                "properties": {"topic": "${{ record.topic }}", "mean": "${{ record.mean }}"},
            },
        }
    },
}


def rows(newest: str, people: int = 30) -> list[dict[str, Any]]:
    """People who were glad about deliveries in September, and wrote again in November."""
    early = [feedback(n, email=f"c{n}@example.com", text=f"{GOOD} {n}", date="2026-09-20") for n in range(people)]
    late = [
        feedback(n + people, email=f"c{n}@example.com", text=f"{newest} {n}", date="2026-11-10") for n in range(people)
    ]
    return early + late


def shop_of(folder: Path, newest: str = BAD) -> Shop:
    steps = [{"analyze-sentiment": {"text": "${{ record.text }}", "topics": ["delivery", "price"], "aspects": True}}]
    return Shop(folder, rows(newest), steps=steps)


def invoke(folder: Path, *words: str) -> tuple[int, str]:
    result = CliRunner().invoke(penstock, [*words, "--sandbox", "--workspace", str(folder)], standalone_mode=False)
    return int(result.return_value or 0), result.stdout


def test_a_turned_topic_is_told_in_the_shell_and_by_the_exit_code(tmp_path: Path) -> None:
    shop = shop_of(tmp_path)
    assert invoke(tmp_path, "run", str(shop.path), "--apply-schema", "--yes")[0] == 0
    code, text = invoke(tmp_path, "trends", str(shop.path))
    assert (code, "delivery: turned for the worse" in text) == (0, True)
    code, text = invoke(tmp_path, "trends", "feedback", "--topic", "delivery", "--json", "--alert")
    found = json.loads(text)
    assert (code, found["turned"], [one["topic"] for one in found["topics"]]) == (3, ["delivery"], ["delivery"])
    newest = found["topics"][0]["points"][-1]
    assert (newest["people"], newest["end"]) == (30, "2026-11-10")
    assert newest["low"] < newest["mean"] < newest["high"] < 0
    code, text = invoke(tmp_path, "trends", "feedback", "--contact", "C1@example.com", "--json", "--alert")
    assert (code, json.loads(text)["feedback"]) == (0, 2)


async def test_what_is_steady_raises_no_alert(tmp_path: Path) -> None:
    shop = shop_of(tmp_path, GOOD)

    async def work(workspace: Any) -> None:
        await shop.run(workspace)
        found = await read_trends(workspace.store, "feedback", workspace.clock.now())
        assert found.turned == []
        assert {one.turn for one in found.topics} == {"steady"}

    await in_shop(shop, work)


async def test_a_turn_becomes_one_event_at_brevo_however_often_it_is_looked_for(tmp_path: Path) -> None:
    shop = shop_of(tmp_path)
    shop.rows += [feedback(900, date="2026-11-10")]

    async def work(workspace: Any) -> None:
        await shop.run(workspace)
        watch = tmp_path / "watch.yaml"
        watch.write_text(json.dumps({key: part for key, part in WATCH.items() if part is not None}))
        plan = await workspace.plan(watch)
        assert (plan.calls, plan.writes) == (0, 2)  # deliveries, and all feedback together
        report = await workspace.run(watch)
        assert (report.exit_code, report.counts.written, report.counts.cost) == (0, 2, 0)
        again = await workspace.run(watch)
        assert (again.counts.written, again.counts.unchanged) == (0, 2)

    await in_shop(shop, work)


async def test_nothing_dated_and_wrong_options_are_said(tmp_path: Path) -> None:
    shop = Shop(tmp_path, summarize={"by": "${{ record.email }}"})

    async def work(workspace: Any) -> None:
        await shop.run(workspace)
        now = workspace.clock.now()
        with pytest.raises(InputError, match="nothing that has a date"):
            await read_trends(workspace.store, "feedback", now)
        for options in ({"flow": "feedback", "dyas": 7}, {}, {"flow": "feedback", "days": "7"}):
            with pytest.raises(InputError):
                TrendSource(workspace.store, now, options)
        with pytest.raises(InputError, match="number above zero"):
            await read_trends(workspace.store, "feedback", now, days=float("nan"))

    await in_shop(shop, work)
