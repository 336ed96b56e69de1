"""Predictions as the source of a flow: from files, SQL and Brevo orders into attributes, once, and told when odd."""

import datetime
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

import orders
from penstock.base.clock import ManualClock
from penstock.base.errors import FlowError, InputError, StoppedError
from penstock.data.files import files_source
from penstock.flows.engine import Run
from penstock.flows.forecasts import load_forecast
from penstock.runtime.progress import Progress
from penstock.sandbox.brevo_shop_records import Order
from penstock.workspace import Workspace
from shop import Shop, attributes_of, feedback, in_shop, written

pytest.importorskip("duckdb", reason="needs the extra predict")

STOPPED = StoppedError("enough", code="run.interrupted")
ATTRIBUTES = {
    "CHURN": "${{ record.churn }}",
    "LIFETIME_VALUE": "${{ record.lifetime_value }}",
    "CUSTOMER_GROUP": "${{ record.group }}",
    "REASON": "${{ record.reasons[0] }}",
    "PREDICTED_AT": "${{ record.as_of }}",
    "PREDICTED_BY": "${{ record.model }} ${{ record.version }}",
}


def shop_of(folder: Path, given: dict[str, Any] | None = None, rows: list[Any] | None = None, **more: Any) -> Shop:
    orders.write_csv(folder / "orders.csv", orders.made(600) if rows is None else rows)
    source = {"orders": given or {"files": {"path": "orders.csv"}}, "as-of": orders.AS_OF, **more}
    return Shop(
        folder,
        name="predictions",
        source={"predictions": source},
        steps=None,
        summarize=None,
        consent={"unknown": "use"},
        sink={"brevo": {"match": "${{ record.customer }}", "create-contacts": True, "attributes": ATTRIBUTES}},
    )


async def test_predictions_land_in_attributes_once(tmp_path: Path) -> None:
    shop = shop_of(tmp_path)

    async def work(workspace: Workspace) -> None:
        plan = await shop.plan(workspace)
        assert (plan.calls, plan.writes, written(workspace)) == (0, plan.records, 0)
        report = await shop.run(workspace)
        assert (report.counts.failed, report.problem) == (0, None)
        found = attributes_of(workspace, "c10@example.com")
        assert 0 <= found["CHURN"] <= 1
        assert found["PREDICTED_BY"].startswith(("mbg-nbd", "bg-nbd", "pareto-nbd"))
        assert found["PREDICTED_AT"].startswith(orders.AS_OF)
        before = written(workspace)
        again = await shop.run(workspace)
        assert (written(workspace), again.counts.unchanged) == (before, plan.records)
        assert (await shop.plan(workspace)).writes == 0

    await in_shop(shop, work)


async def test_a_changed_log_writes_what_changed(tmp_path: Path) -> None:
    rows = orders.made(600)
    shop = shop_of(tmp_path, rows=rows)

    async def work(workspace: Workspace) -> None:
        await shop.run(workspace)
        before = attributes_of(workspace, rows[0][1])["CHURN"]
        orders.write_csv(tmp_path / "orders.csv", [*rows, ("new", rows[0][1], orders.AS_OF, 30.0)])
        await shop.run(workspace)
        assert attributes_of(workspace, rows[0][1])["CHURN"] < before

    await in_shop(shop, work)


async def test_a_table_of_a_database_is_an_order_log(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "shop.sqlite") as table:
        table.execute("create table sales (id text primary key, email text, paid_at text, amount real)")
        table.executemany("insert into sales values (?, ?, ?, ?)", orders.made(600))
    table.close()
    by_file, by_table = tmp_path / "a", tmp_path / "b"
    values = []
    for folder, given in (
        (by_file, None),
        (by_table, {"sql": {"url": f"sqlite:///{tmp_path / 'shop.sqlite'}", "table": "sales", "key": "id"}}),
    ):
        folder.mkdir()
        shop = shop_of(folder, given)

        async def work(workspace: Workspace, shop: Shop = shop) -> None:
            await shop.run(workspace)
            values.append(attributes_of(workspace, "c10@example.com"))

        await in_shop(shop, work)
    assert values[0] == values[1]


async def test_orders_of_brevo_are_an_order_log(tmp_path: Path) -> None:
    shop = shop_of(tmp_path, {"brevo": {}})

    async def work(workspace: Workspace) -> None:
        account = workspace.vendors.open_brevo("brevo") and workspace.vendors.account
        for number, email, day, value in orders.made(600):
            contact = next((one for one in account.by_creation if one.email == email), None) or account.add_contact(
                email
            )
            fields = {"id": number, "createdAt": f"{day}T10:00:00.000Z", "updatedAt": f"{day}T10:00:00.000Z",
                      "status": "completed", "amount": value, "identifiers": {"email_id": email}}  # fmt: skip
            account.shop.orders[number] = Order(number, 1, 1, contact.id, fields)
        report = await shop.run(workspace)
        assert (report.counts.failed, report.problem) == (0, None)
        assert 0 <= attributes_of(workspace, "c10@example.com")["CHURN"] <= 1

    await in_shop(shop, work)


async def test_a_run_cut_off_between_goes_on_with_the_same_predictions(tmp_path: Path) -> None:
    shop = shop_of(tmp_path)

    async def work(workspace: Workspace) -> None:
        runs: list[Run] = []

        def stop_early(progress: Progress) -> None:
            progress.every = 0.0
            progress.listen(lambda snapshot: snapshot.done >= 500 and runs[0].stop(STOPPED))

        stopped = await shop.run(workspace, listen=stop_early, started=runs.append)
        assert stopped.state == "stopped"
        cut = written(workspace)
        report = await shop.run(workspace)
        assert (report.run, report.resumed, report.problem) == (stopped.run, True, None)
        once = written(workspace)
        assert cut < once
        await shop.run(workspace)
        assert written(workspace) == once

    await in_shop(shop, work)


async def test_too_few_orders_are_refused_or_scored(tmp_path: Path) -> None:
    (tmp_path / "few").mkdir()
    few = shop_of(tmp_path / "few", rows=orders.made(30))

    async def refused(workspace: Workspace) -> None:
        with pytest.raises(InputError, match="not enough data") as caught:
            await few.plan(workspace)
        assert caught.value.code == "prediction.not-enough-data"

    await in_shop(few, refused)
    scored = shop_of(tmp_path, rows=orders.made(30), fallback="rfm")
    scored.flow["sink"]["brevo"]["attributes"] = {"GROUP": "${{ record.group }}", "BY": "${{ record.model }}"}

    async def work(workspace: Workspace) -> None:
        await scored.run(workspace)
        assert attributes_of(workspace, "c10@example.com")["BY"] == "rfm"

    await in_shop(scored, work)


@pytest.mark.parametrize(
    ("more", "word"),
    [({"horizont": "13w"}, "Did you mean horizon"), ({"horizon": "soon"}, "how-to"), ({"margin": 7}, "how-to")],
)
async def test_a_wrong_option_is_said_with_its_place(tmp_path: Path, more: dict[str, Any], word: str) -> None:
    shop = shop_of(tmp_path, **more)

    async def work(workspace: Workspace) -> None:
        with pytest.raises(FlowError) as caught:
            await shop.plan(workspace)
        assert word in caught.value.hint
        assert "flow.yaml:" in caught.value.where

    await in_shop(shop, work)


async def test_who_objects_is_not_written_and_not_kept(tmp_path: Path) -> None:
    shop = shop_of(tmp_path)

    async def work(workspace: Workspace) -> None:
        from penstock.privacy import Privacy

        await Privacy(workspace.store, workspace.clock).object("c10@example.com")
        await shop.run(workspace)
        kept = await load_forecast(workspace.store, "predictions")
        assert kept is not None
        assert "c10@example.com" not in kept.summaries.customers
        assert "c11@example.com" in kept.summaries.customers
        with pytest.raises(StopIteration):
            attributes_of(workspace, "c10@example.com")

    await in_shop(shop, work)


async def test_what_is_kept_is_read_back_as_it_was(tmp_path: Path) -> None:
    rows = [
        *orders.made(600),
        ("r1", "c10@example.com", "2025-11-01", -5.0),
        ("r2", "x@example.com", "2025-11-01", -5.0),
    ]
    shop = shop_of(tmp_path, rows=rows, refunds="net")

    async def work(workspace: Workspace) -> None:
        await shop.run(workspace)
        kept = await load_forecast(workspace.store, "predictions")
        assert kept is not None
        assert kept.summaries.refunds == {"c10@example.com": 5.0, "x@example.com": 5.0}
        assert kept.trials[0].churn is not None
        assert len(kept.fit.errors) == 4
        assert kept.summaries.as_of == max(kept.summaries.last)

    await in_shop(shop, work)


async def test_the_example_runs_and_its_orders_are_made_by_its_script(tmp_path: Path) -> None:
    import runpy
    import shutil

    pytest.importorskip("matplotlib", reason="needs the extra report")
    example = Path(__file__).parents[2] / "examples" / "predictions"
    shutil.copytree(example, tmp_path / "shop")
    made = runpy.run_path(str(example / "make_orders.py"))["make_orders"]()
    assert [",".join(row) for row in made] == (example / "orders.csv").read_text().splitlines()[1:]

    async def work() -> None:
        async with Workspace.open(
            tmp_path / "shop", overrides={"sandbox": True}, environ={}, clock=clock, command="test"
        ) as workspace:
            report = await workspace.run(tmp_path / "shop" / "flow.yaml", apply_schema=True)
            assert (report.counts.failed, report.counts.read) == (0, 900)

    clock = ManualClock()
    await clock.run(work())
    said = json.loads((tmp_path / "shop" / "report" / "report.json").read_text())
    assert all(finding["verdict"] != "fail" for finding in said["findings"])


async def test_what_people_said_is_read_with_its_day_from_files_and_from_judged_feedback(tmp_path: Path) -> None:
    from penstock.features.customer_value.wishes import read_wishes
    from penstock.flows.traits import Known, read_known

    rows = [feedback(number, email=f"C{number}@example.com", date="2026-01-05") for number in range(6)]
    judged = Shop(tmp_path, rows)
    orders.write_csv(
        tmp_path / "moods.csv",
        [
            ("c1@example.com", "2026-01-02", 0.5, "x"),
            ("c2@example.com", "never", 1, 2),
            ("c3@example.com", "2026-01-03", "nan", 4),
        ],
        ("contact", "date", "mood", "stars"),
    )
    files = {"path": "moods.csv", "key": ["contact", "date"]}
    wishes = read_wishes(
        {"orders": {"brevo": {}}, "signals": {"flow": "feedback", "files": files, "values": ["mood", "stars"]}}
    )
    assert wishes.signals is not None

    async def work(workspace: Workspace) -> None:
        await judged.run(workspace)
        found, unread = await read_known(workspace.store, wishes.signals, open_files)
        said = [one for one in found if one.name == "sentiment"]
        assert {one.customer for one in said} == {f"c{number}@example.com" for number in range(6)}
        assert {str(one.day) for one in said} == {"2026-01-05"}
        assert all(-1 <= one.value <= 1 for one in said)
        rest = [one for one in found if one.name != "sentiment"]
        assert rest == [
            Known("c1@example.com", datetime.date(2026, 1, 2), "mood", 0.5),
            Known("c3@example.com", datetime.date(2026, 1, 3), "stars", 4.0),
        ]
        assert unread == 4

    async def open_files(kind: str, options: Any) -> Any:
        assert kind == "files"
        return files_source(options, tmp_path)

    await in_shop(judged, work)


def signals_of(folder: Path, value: Any) -> dict[str, Any]:
    """Write a number of every customer, known before both windows, and return the option that names it."""
    rows = [(f"c{number}@example.com", "2025-01-01", value(f"c{number}@example.com")) for number in range(900)]
    orders.write_csv(folder / "moods.csv", rows, ("contact", "date", "mood"))
    return {"signals": {"files": {"path": "moods.csv"}, "values": ["mood"]}}


async def test_a_signal_that_says_nothing_does_not_count(tmp_path: Path) -> None:
    pytest.importorskip("lightgbm", reason="needs the extra boosting")
    noise = signals_of(tmp_path, lambda name: int(name[1:].partition("@")[0]) * 7919 % 101)
    shop = shop_of(tmp_path, rows=orders.made(900), report="report", **noise)

    async def work(workspace: Workspace) -> None:
        await shop.run(workspace)
        report = json.loads((tmp_path / "report" / "report.json").read_text())
        assert [one["counts"] for one in report["propensity"]["signals"]] == [False]
        assert "mood" not in report["propensity"]["importance"]
        assert "What else is known" in (tmp_path / "report" / "report.html").read_text()

    await in_shop(shop, work)


async def test_a_signal_written_afterwards_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("lightgbm", reason="needs the extra boosting")
    rows = orders.made(900)
    came = {email for _, email, day, _ in rows if day > "2025-11-05"}
    shop = shop_of(tmp_path, rows=rows, **signals_of(tmp_path, lambda name: int(name in came)))

    async def work(workspace: Workspace) -> None:
        with pytest.raises(InputError, match="written afterwards") as caught:
            await shop.plan(workspace)
        assert caught.value.code == "prediction.leak"

    await in_shop(shop, work)
