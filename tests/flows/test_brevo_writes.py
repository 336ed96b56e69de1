"""Flows that keep lists, attributes, orders and products of Brevo in step, from the file to the account."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from penstock.base.errors import FlowError
from penstock.flows.model import load_flow
from penstock.sandbox.brevo_people import opt_out
from shop import Shop, attributes_of, feedback, in_shop, written

LABEL = {"value": "${{ sentiment.label }}", "kind": "category", "options": ["positive", "neutral", "negative"]}
LISTS = {
    "Unhappy": "${{ sentiment.score < 0 }}",
    "Mood": {"value": "${{ sentiment.label }}", "options": ["positive", "neutral", "negative", "mixed"]},
}


def shop_of(folder: Path, **sink: Any) -> Shop:
    given = {"match": "${{ record.email }}", "attributes": {"SENTIMENT_LABEL": LABEL}, "lists": LISTS, **sink}
    return Shop(folder, sink={"brevo": given}, summarize=None)


def members(workspace: Any, name: str) -> set[str]:
    account = workspace.vendors.account
    number = next(one.id for one in account.lists.values() if one.name == name)
    return {contact.email for contact in account.by_creation if number in contact.lists}


def moods(workspace: Any) -> dict[str, set[str]]:
    return {mood: members(workspace, f"Mood: {mood}") for mood in ("positive", "neutral", "negative")}


async def test_a_plan_names_what_is_missing_and_a_run_creates_it(tmp_path: Path) -> None:
    shop = shop_of(tmp_path)

    async def work(workspace: Any) -> None:
        plan = await shop.plan(workspace)
        missing = {finding.name: finding.fix for finding in plan.findings if finding.verdict == "fail"}
        assert set(missing) == {
            "Brevo attribute SENTIMENT_LABEL", "Brevo list Unhappy",
            *(f"Brevo list Mood: {mood}" for mood in ("positive", "neutral", "negative", "mixed")),
        }  # fmt: skip
        assert all("--apply-schema" in fix for fix in missing.values())
        with pytest.raises(FlowError, match="does not exist"):
            await workspace.run(shop.path)
        assert (await shop.run(workspace)).exit_code == 0
        label = workspace.vendors.account.attributes["SENTIMENT_LABEL"]
        assert (label.category, list(label.options.values())) == ("category", ["positive", "neutral", "negative"])
        assert not [one for one in (await shop.plan(workspace)).findings if one.verdict == "fail"]

    await in_shop(shop, work)


async def test_lists_follow_what_is_judged_and_a_second_run_writes_nothing(tmp_path: Path) -> None:
    shop = shop_of(tmp_path)

    async def work(workspace: Any) -> None:
        report = await shop.run(workspace)
        assert report.exit_code == 0, report
        lists = moods(workspace)
        everybody = {f"c{number}@example.com" for number in range(6)}
        assert set().union(*lists.values()) == everybody
        assert members(workspace, "Unhappy") == lists["negative"]
        assert attributes_of(workspace, "c1@example.com")["SENTIMENT_LABEL"]
        before = dict(workspace.vendors.world.written)
        assert (await shop.run(workspace)).counts.written == 0
        assert dict(workspace.vendors.world.written) == before

        unhappy = min(lists["negative"])
        row = next(row for row in shop.rows if row["email"] == unhappy)
        row["text"] = "Lovely jacket, wonderful service, thank you so much! I love it."
        assert (await shop.run(workspace)).exit_code == 0
        assert unhappy in members(workspace, "Mood: positive")
        assert unhappy not in members(workspace, "Mood: negative") | members(workspace, "Unhappy")
        assert not workspace.vendors.account.repeats["lists.add"]

    await in_shop(shop, work)


async def test_who_objects_is_taken_off_our_lists_where_it_is_wished(tmp_path: Path) -> None:
    shop = shop_of(tmp_path)
    shop.flow |= {"consent": {"objected": "clear"}, "join": {"contact": {"brevo": {}, "on": "${{ record.email }}"}}}

    async def work(workspace: Any) -> None:
        await shop.run(workspace)
        account = workspace.vendors.account
        one = next(contact for contact in account.by_creation if contact.email in members(workspace, "Unhappy"))
        own = account.add_list("Newsletter", 1)
        account.join(one, own.id)
        opt_out(account, one)
        report = await shop.run(workspace)
        assert (report.counts.objected, report.exit_code) == (1, 0)
        assert one.email not in members(workspace, "Unhappy") | set().union(*moods(workspace).values())
        assert not attributes_of(workspace, one.email).get("SENTIMENT_LABEL")
        assert one.email in members(workspace, "Newsletter")
        assert one.email_blacklisted
        writes = written(workspace)
        await shop.run(workspace)
        assert written(workspace) == writes

    await in_shop(shop, work)


async def test_orders_and_products_of_a_file_reach_brevo_once(tmp_path: Path) -> None:
    shop = Shop(tmp_path, [feedback(1)])
    shop.flow |= {
        "name": "orders", "steps": [], "summarize": None,
        "source": {"files": {"path": "orders.csv", "key": "id"}},
        "sink": {"brevo": {
            "match": "${{ record.email }}",
            "order": {
                "id": "${{ record.id }}", "createdAt": "${{ record.date }}", "status": "${{ record.status }}",
                "amount": "${{ record.amount }}",
                "products": [{"productId": "${{ record.product }}", "price": "${{ record.amount }}"}],
            },
            "product": {"id": "${{ record.product }}", "name": "Jacket ${{ record.product }}"},
        }},
    }  # fmt: skip
    rows = [
        {"id": f"o{n}", "email": f"c{n % 3}@example.com", "date": "2026-11-01", "status": "paid", "amount": n + 0.5,
         "product": f"p{n % 2}"}
        for n in range(9)
    ]  # fmt: skip

    def save() -> None:
        with (tmp_path / "orders.csv").open("w", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, list(rows[0]))
            table.writeheader()
            table.writerows(rows)

    async def work(workspace: Any) -> None:
        save()
        report = await shop.run(workspace)
        assert (report.exit_code, report.counts.written) == (0, 11), report
        account = workspace.vendors.account
        assert (len(account.shop.orders), set(account.shop.products)) == (9, {"p0", "p1"})
        assert (await shop.run(workspace)).counts.written == 0
        rows[4]["status"] = "refunded"
        save()
        assert (await shop.run(workspace)).counts.written == 1
        assert account.shop.orders["o4"].fields["status"] == "refunded"
        assert not account.repeats["orders.status"] + account.repeats["orders.batch"]

    await in_shop(shop, work)


@pytest.mark.parametrize(
    ("sink", "message"),
    [
        ({"attributes": {"A": {"kind": "category"}}}, "value"),
        ({"attributes": {"A": {"value": 1, "kind": "colour"}}}, "kind"),
        ({"lists": {"A": {"value": "x", "options": []}}}, "options"),
        ({"lists": {"A": {"value": "x"}}}, "options"),
        ({"lists": {"A": "${{ nobody.is }}"}}, "nobody"),
        ({"order": {"id": "${{ record.id }}"}, "match": None}, "match"),
        ({"attributes": {}}, "writes nothing"),
    ],
)
def test_a_wrong_sink_is_one_error_with_its_place(tmp_path: Path, sink: dict[str, Any], message: str) -> None:
    part = {"match": "${{ record.email }}", "attributes": {}, **sink}
    shop = Shop(tmp_path, sink={"brevo": {word: value for word, value in part.items() if value is not None}})
    with pytest.raises(FlowError, match=message) as caught:
        load_flow(shop.path)
    assert "flow.yaml" in caught.value.where


async def test_a_value_that_has_no_list_is_a_dead_letter_and_no_other_list_is_touched(tmp_path: Path) -> None:
    shop = shop_of(tmp_path, lists={"Mood": {"value": "${{ sentiment.label }}", "options": ["positive"]}})

    async def work(workspace: Any) -> None:
        report = await shop.run(workspace)
        assert {problem.code for problem in report.failures} == {"mapping.no-such-list"}
        assert members(workspace, "Mood: positive")

    await in_shop(shop, work)
