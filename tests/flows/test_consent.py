"""Who objects is not judged and not written to, whenever the objection comes."""

from pathlib import Path
from typing import Any

from penstock.privacy import Privacy
from penstock.sandbox.brevo_consents import set_consent
from penstock.sandbox.brevo_people import opt_out
from shop import Shop, attributes_of, billed, feedback, in_shop, written

ANNA, BEN, EVE = "anna@example.com", "ben@example.com", "eve@example.com"
JOIN = {"contact": {"brevo": {}, "on": "${{ record.email }}"}}


def shop_of(folder: Path, **flow: Any) -> Shop:
    rows = [feedback(number, email=email) for number, email in enumerate((ANNA, BEN, EVE))]
    return Shop(folder, rows, join=JOIN, **flow)


def contact_of(workspace: Any, email: str) -> Any:
    return next(one for one in workspace.vendors.account.by_creation if one.email == email)


async def fill(shop: Shop, workspace: Any) -> None:
    """Have the emulated account hold the contacts before the first run."""
    shop.write()
    await workspace.plan(shop.path)


async def test_who_is_blocklisted_is_neither_judged_nor_written_to(tmp_path: Path) -> None:
    shop = shop_of(tmp_path)

    async def work(workspace: Any) -> None:
        await fill(shop, workspace)
        opt_out(workspace.vendors.account, contact_of(workspace, ANNA))
        plan = await shop.plan(workspace)
        assert (plan.objected, plan.calls) == (1, 2)
        report = await shop.run(workspace)
        assert (report.counts.objected, report.counts.judged, report.counts.read) == (1, 2, 3)
        assert report.exit_code == 0
        assert billed(workspace) == 2
        assert not attributes_of(workspace, ANNA).get("SENTIMENT_LABEL")
        assert attributes_of(workspace, BEN)["SENTIMENT_LABEL"]
        assert contact_of(workspace, ANNA).email_blacklisted

    await in_shop(shop, work)


async def test_values_of_who_objects_are_cleared_where_it_is_wished(tmp_path: Path) -> None:
    shop = shop_of(tmp_path, consent={"objected": "clear"})

    async def work(workspace: Any) -> None:
        await shop.run(workspace)
        assert attributes_of(workspace, ANNA)["SENTIMENT_LABEL"]
        opt_out(workspace.vendors.account, contact_of(workspace, ANNA))
        report = await shop.run(workspace)
        assert (report.counts.objected, report.counts.written, report.exit_code) == (1, 1, 0)
        assert not any(attributes_of(workspace, ANNA).get(name) for name in ("SENTIMENT_LABEL", "SENTIMENT_SCORE"))
        assert attributes_of(workspace, BEN)["SENTIMENT_LABEL"]
        writes = written(workspace)
        await shop.run(workspace)
        assert written(workspace) == writes
        assert contact_of(workspace, ANNA).email_blacklisted

    await in_shop(shop, work)


async def test_values_stay_where_nothing_else_is_wished(tmp_path: Path) -> None:
    shop = shop_of(tmp_path)

    async def work(workspace: Any) -> None:
        await shop.run(workspace)
        before = attributes_of(workspace, ANNA)
        opt_out(workspace.vendors.account, contact_of(workspace, ANNA))
        shop.rows[0]["text"] = "Something else entirely, awful."
        await shop.run(workspace)
        assert attributes_of(workspace, ANNA) == before

    await in_shop(shop, work)


async def test_an_opt_out_overtakes_a_write_that_waits(tmp_path: Path) -> None:
    shop = shop_of(tmp_path)

    async def work(workspace: Any) -> None:
        def opt_out_meanwhile(run: Any) -> None:
            deliver = run.deliveries[0].deliver

            async def leave_then_deliver(stop: Any) -> Any:
                opt_out(workspace.vendors.account, contact_of(workspace, ANNA))
                return await deliver(stop)

            run.deliveries[0].deliver = leave_then_deliver

        report = await shop.run(workspace, started=opt_out_meanwhile)
        assert not attributes_of(workspace, ANNA).get("SENTIMENT_LABEL")
        assert attributes_of(workspace, BEN)["SENTIMENT_LABEL"]
        assert report.exit_code == 0
        writes = written(workspace)
        assert (await shop.run(workspace)).counts.objected == 1
        assert written(workspace) == writes

    await in_shop(shop, work)


async def test_an_objection_that_is_noted_here_counts_without_brevo(tmp_path: Path) -> None:
    shop = shop_of(tmp_path)
    shop.flow["join"] = None

    async def work(workspace: Any) -> None:
        privacy = Privacy(workspace.store, workspace.clock)
        await privacy.object(ANNA)
        assert (await shop.run(workspace)).counts.objected == 1
        assert billed(workspace) == 2
        await privacy.withdraw_objection(ANNA)
        assert (await shop.run(workspace)).counts.judged == 1

    await in_shop(shop, work)


async def test_only_chosen_groups_say_no(tmp_path: Path) -> None:
    shop = shop_of(tmp_path, consent={"groups": [7]})

    async def work(workspace: Any) -> None:
        await fill(shop, workspace)
        account = workspace.vendors.account
        account.behaviour.consent_groups = True
        set_consent(account, contact_of(workspace, ANNA), 7, "unsubscribed")
        set_consent(account, contact_of(workspace, BEN), 8, "unsubscribed")
        assert (await shop.run(workspace)).counts.objected == 1
        assert not attributes_of(workspace, ANNA).get("SENTIMENT_LABEL")

    await in_shop(shop, work)


async def test_people_of_whom_nothing_is_known_can_be_left_out(tmp_path: Path) -> None:
    shop = shop_of(tmp_path, consent={"groups": [7], "unknown": "skip"})

    async def work(workspace: Any) -> None:
        await fill(shop, workspace)
        account = workspace.vendors.account
        account.behaviour.consent_groups = True
        set_consent(account, contact_of(workspace, EVE), 7, "subscribed")
        report = await shop.run(workspace)
        assert (report.counts.objected, report.counts.judged) == (2, 1)

    await in_shop(shop, work)


async def test_a_plan_warns_where_nothing_says_who_objects(tmp_path: Path) -> None:
    shop = shop_of(tmp_path)

    async def work(workspace: Any) -> None:
        assert "consent" not in [finding.name for finding in (await shop.plan(workspace)).findings]
        shop.flow["join"] = None
        (finding,) = [finding for finding in (await shop.plan(workspace)).findings if finding.name == "consent"]
        assert finding.verdict == "warn"

    await in_shop(shop, work)
