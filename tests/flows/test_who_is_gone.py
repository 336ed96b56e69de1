"""Who was deleted in Brevo is not created again, and who left one of our lists is left alone."""

from pathlib import Path
from typing import Any

import pytest

from shop import Shop, attributes_of, billed, feedback, in_shop

ANNA, BEN = "anna@example.com", "ben@example.com"
LISTS = {"Everybody": "${{ sentiment.score < 2 }}"}
EVENT = {"name": "judged", "properties": {"label": "${{ sentiment.label }}"}}
WRITES: dict[str, dict[str, Any]] = {
    "attributes": {"attributes": {"SENTIMENT_SCORE": "${{ sentiment.score }}"}},
    "lists": {"lists": LISTS},
    "event": {"event": EVENT},
}


def shop_of(folder: Path, sink: dict[str, Any], **flow: Any) -> Shop:
    rows = [feedback(number, email=email) for number, email in enumerate((ANNA, BEN))]
    given = {"match": "${{ record.email }}", "create-contacts": True, **sink}
    return Shop(folder, rows, sink={"brevo": given}, summarize=None, **flow)


def find(workspace: Any, email: str) -> Any:
    return workspace.vendors.account.find("email", email)


@pytest.mark.parametrize("kind", WRITES)
async def test_a_contact_that_was_written_to_and_deleted_is_not_created_again(tmp_path: Path, kind: str) -> None:
    shop = shop_of(tmp_path, WRITES[kind])

    async def work(workspace: Any) -> None:
        assert (await shop.run(workspace)).exit_code == 0
        workspace.vendors.account.remove(find(workspace, ANNA))
        for row in shop.rows:
            row["text"] = "Something else entirely, awful." if kind != "lists" else row["text"]
        if kind == "lists":
            shop.flow["sink"]["brevo"]["lists"] = {"Others": LISTS["Everybody"]}
        report = await shop.run(workspace)
        assert (report.counts.written, report.counts.refused) == (1, 1)
        assert report.failures[0].code == "brevo.contact-deleted"
        assert find(workspace, ANNA) is None
        assert find(workspace, BEN) is not None

    await in_shop(shop, work)


async def test_another_flow_does_not_create_a_deleted_contact_either(tmp_path: Path) -> None:
    shop = shop_of(tmp_path, WRITES["attributes"])

    async def work(workspace: Any) -> None:
        await shop.run(workspace)
        workspace.vendors.account.remove(find(workspace, ANNA))
        shop.flow["name"] = "another"
        workspace.vendors.account.invented.append("another")  # the sandbox gives it no people of its own
        shop.rows.append(feedback(7, email="new@example.com"))
        report = await shop.run(workspace)
        assert (report.counts.written, report.counts.refused) == (2, 1)
        assert find(workspace, ANNA) is None
        assert find(workspace, "new@example.com") is not None

    await in_shop(shop, work)


async def test_many_deleted_contacts_are_not_created_again_by_an_import(tmp_path: Path) -> None:
    shop = shop_of(tmp_path, WRITES["attributes"])
    shop.rows = [feedback(number, text=f"Great {number % 3}") for number in range(4_000)]

    async def work(workspace: Any) -> None:
        assert (await shop.run(workspace)).counts.written == 4_000
        account = workspace.vendors.account
        for number in range(0, 4_000, 2):
            account.remove(find(workspace, f"c{number}@example.com"))
        shop.rows = [feedback(number, text=f"Awful {number % 3}") for number in range(4_000)]
        report = await shop.run(workspace)
        assert (report.counts.written, report.counts.refused) == (2_000, 2_000)
        assert len(account.contacts) == 2_000
        assert workspace.vendors.world.written["brevo", "contacts.import"] >= 2

    await in_shop(shop, work)


async def test_contacts_that_are_read_from_the_account_itself_are_never_created(tmp_path: Path) -> None:
    text = "${{ record.attributes.FEEDBACK }}"
    shop = shop_of(tmp_path, WRITES["attributes"], source={"brevo": {}}, steps=[{"analyze-sentiment": {"text": text}}])

    async def work(workspace: Any) -> None:
        account = workspace.vendors.account
        account.add_attribute("FEEDBACK")
        for email in (ANNA, BEN):
            account.add_contact(email, {"FEEDBACK": "Awful."})
        account.add_attribute("SENTIMENT_SCORE", "float")
        plain = account.world.written

        async def delete_anna() -> None:
            while not billed(workspace):
                await workspace.clock.sleep(0.01)
            account.remove(find(workspace, ANNA))

        import asyncio

        gone = asyncio.create_task(delete_anna())
        await shop.run(workspace)
        await gone
        assert find(workspace, ANNA) is None
        assert plain["brevo", "contacts.create"] == 0
        assert "SENTIMENT_SCORE" in attributes_of(workspace, BEN)

    await in_shop(shop, work)


async def test_who_leaves_a_list_of_ours_is_left_alone_whichever_lists_are_named(tmp_path: Path) -> None:
    join = {"contact": {"brevo": {}, "on": "${{ record.email }}"}}
    shop = shop_of(tmp_path, WRITES["lists"], join=join, consent={"lists": [1]})

    async def work(workspace: Any) -> None:
        account = workspace.vendors.account
        account.behaviour.per_list_unsubscription = True
        news, other = account.add_list("News"), account.add_list("Other")
        assert (news.id, other.id) == (1, 2)
        account.add_contact(ANNA)
        account.add_contact(BEN, unsubscribed=[other.id])
        assert (await shop.run(workspace)).counts.objected == 0
        ours = next(one for one in account.lists.values() if one.name == "Everybody")
        anna = find(workspace, ANNA)
        account.leave(anna, ours.id)
        anna.unsubscribed = (ours.id,)
        calls = billed(workspace)
        for row in shop.rows:
            row["text"] = "Something else entirely, awful."
        report = await shop.run(workspace)
        assert (report.counts.objected, report.counts.judged) == (1, 1)
        assert billed(workspace) == calls + 1
        assert ours.id not in anna.lists

    await in_shop(shop, work)
