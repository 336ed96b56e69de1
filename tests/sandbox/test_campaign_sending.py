"""Approval, sending, scheduling and results of campaigns: nothing goes out that a person did not approve and type."""

from __future__ import annotations

import pytest
from campaign_desk import as_test, change, open_desk

from penstock.base.errors import InputError, PenstockError, QuotaError
from penstock.data.brevo_campaigns import Recipients
from penstock.data.brevo_results import Counts
from penstock.runtime.barred import Barred
from stores import KINDS, new_place

HOUR = 3600.0
FAULTS = (
    ("drop", None),
    ("lost", None),
    ("malformed", None),
    ("html", None),
    ("status", 500),
    ("status", 429),
    ("status", 400),
)


async def in_desk(folder, work, **options):
    async with open_desk(folder, **options) as desk:
        await desk.clock.run(work(desk))


async def refused(work, code):
    with pytest.raises(PenstockError) as caught:
        await work
    assert caught.value.code == code
    assert caught.value.hint
    return caught.value


@pytest.mark.parametrize("kind", KINDS)
async def test_only_an_approved_draft_with_its_id_and_its_recipients_typed_is_sent(tmp_path, kind):
    async def work(desk):
        number = (await desk.draft()).number
        send = desk.campaigns.send
        await refused(send("winter", confirm_id=number, confirm_recipients=10), "campaign.not-approved")
        review = await desk.campaigns.approve("winter", "ann")
        assert (review.state, review.approved_by, review.recipients.describe()) == (
            "approved",
            "ann",
            "10 (not: 1 blocklisted)",
        )
        await refused(send("winter", confirm_id=number + 1, confirm_recipients=10), "campaign.not-confirmed")
        await refused(send("winter", confirm_id=number, confirm_recipients=11), "campaign.not-confirmed")
        assert desk.count("campaigns.send") == 0
        assert (await send("winter", confirm_id=number, confirm_recipients=10)).state == "sent"
        assert desk.count("campaigns.send") == 1
        await refused(send("winter", confirm_id=number, confirm_recipients=10), "campaign.not-a-draft")
        assert desk.count("campaigns.send") == 1

    await in_desk(tmp_path, work, place=new_place(kind, tmp_path))


async def test_a_list_that_grew_since_is_noticed_before_it_is_sent(tmp_path):
    async def work(desk):
        review = await desk.approved()
        desk.state.add_contact("new@example.com", lists=[1])
        await refused(
            desk.campaigns.send("winter", confirm_id=review.number, confirm_recipients=10), "campaign.not-confirmed"
        )

    await in_desk(tmp_path, work)


@pytest.mark.parametrize("where", ["html", "subject", "recipients", "by the file"])
async def test_an_edit_anywhere_ends_the_approval(tmp_path, where):
    async def work(desk):
        review = await desk.approved()
        one = desk.state.campaigns[review.number]
        if where == "html":
            one.html += "<p>And one more thing</p>"
        elif where == "subject":
            one.fields["subject"] = "Read this"
        elif where == "recipients":
            other = desk.state.add_list("Everybody")
            one.fields["recipients"] = {"listIds": [1, other.id]}
        else:
            await desk.draft(change(params={"offer": "60 %"}))
        assert (await desk.campaigns.show("winter")).state == "draft"
        await refused(
            desk.campaigns.send("winter", confirm_id=review.number, confirm_recipients=10), "campaign.not-approved"
        )
        assert (await desk.campaigns.approve("winter", "ann")).state == "approved"

    await in_desk(tmp_path, work)


async def test_what_was_edited_while_a_person_looked_is_not_approved(tmp_path):
    async def work(desk):
        await desk.draft()
        seen = (await desk.campaigns.show("winter")).fingerprint
        desk.state.campaigns[1].html += "<p>!</p>"
        await refused(desk.campaigns.approve("winter", "ann", seen), "campaign.edited")

    await in_desk(tmp_path, work)


async def test_a_campaign_of_somebody_else_is_shown_but_never_touched(tmp_path):
    async def work(desk):
        await desk.draft()
        theirs = desk.state.campaigns[1]
        desk.state.campaigns[7] = type(theirs)(
            7, "draft", theirs.created, theirs.modified, dict(theirs.fields), theirs.html
        )
        assert not (await desk.campaigns.show("7")).is_own
        await refused(desk.campaigns.approve("7", "ann"), "campaign.not-own")
        await refused(desk.campaigns.send("7", confirm_id=7, confirm_recipients=10), "campaign.not-own")
        await refused(desk.campaigns.withdraw("7"), "campaign.not-a-draft")

    await in_desk(tmp_path, work)


async def test_a_check_that_fails_keeps_a_draft_from_being_approved(tmp_path):
    async def work(desk):
        await desk.draft(change(recipients=Recipients()))
        assert "nobody" in (await refused(desk.campaigns.approve("winter", "ann"), "campaign.checks-failed")).message

    await in_desk(tmp_path, work)


@pytest.mark.parametrize("who", ["P3@example.com", "customer-7"])
async def test_who_objected_here_holds_a_campaign_back(tmp_path, who):
    async def work(desk):
        desk.state.contacts[5].ext_id = "customer-7"
        review = await desk.approved()
        await Barred(desk.store).add([who], "objected", desk.clock.now())
        error = await refused(
            desk.campaigns.send("winter", confirm_id=review.number, confirm_recipients=10), "campaign.checks-failed"
        )
        assert "1 of them objected here" in error.message

    await in_desk(tmp_path, work)


async def test_a_sending_without_an_answer_is_known_by_its_status_and_never_repeated(tmp_path):
    async def work(desk):
        review = await desk.approved()
        desk.fault("campaigns.send", "lost", times=1)
        assert (await desk.campaigns.send("winter", confirm_id=review.number, confirm_recipients=10)).state == "sent"
        assert desk.count("campaigns.send") == 1
        assert [write.operation for write in desk.world.writes].count("campaigns.send") == 1

    await in_desk(tmp_path, work)


@pytest.mark.parametrize("fault", [("drop", None), ("status", 500), ("status", 429), ("html", None)])
async def test_a_sending_that_did_not_happen_is_left_to_the_person(tmp_path, fault):
    async def work(desk):
        review = await desk.approved()
        typed = {"confirm_id": review.number, "confirm_recipients": 10}
        desk.fault("campaigns.send", fault[0], status=fault[1], times=1)
        with pytest.raises(PenstockError):
            await desk.campaigns.send("winter", **typed)
        assert [write.operation for write in desk.world.writes].count("campaigns.send") == 0
        assert (await desk.campaigns.show("winter")).state == "approved"
        await desk.campaigns.send("winter", **typed)
        assert [write.operation for write in desk.world.writes].count("campaigns.send") == 1

    await in_desk(tmp_path, work)


async def test_an_unknown_sending_of_a_dead_process_is_asked_for_first(tmp_path):
    async def work(desk):
        review = await desk.approved()
        desk.fault("campaigns.send", "lost", times=1)
        desk.fault("campaigns.get", "status", status=400, after=2, times=1)
        typed = {"confirm_id": review.number, "confirm_recipients": 10}
        with pytest.raises(PenstockError):
            await desk.campaigns.send("winter", **typed)
        await refused(desk.campaigns.send("winter", **typed), "campaign.not-a-draft")
        assert [write.operation for write in desk.world.writes].count("campaigns.send") == 1

    await in_desk(tmp_path, work)


async def test_without_credit_nothing_is_sent_and_it_can_be_sent_later(tmp_path):
    async def work(desk):
        desk.state.account.credits = 5
        review = await desk.approved()
        assert [one.message for one in review.findings if one.name == "credit"] == [
            "5 mails are left in the plan, 10 are needed"
        ]
        with pytest.raises(QuotaError):
            await desk.campaigns.send("winter", confirm_id=review.number, confirm_recipients=10)
        desk.state.account.credits = 50
        assert (await desk.campaigns.send("winter", confirm_id=review.number, confirm_recipients=10)).state == "sent"

    await in_desk(tmp_path, work)


async def test_a_campaign_is_scheduled_and_taken_back(tmp_path):
    async def work(desk):
        review = await desk.approved()
        typed = {"confirm_id": review.number, "confirm_recipients": 10}
        with pytest.raises(InputError):
            await desk.campaigns.schedule("winter", desk.clock.now() - 1, **typed)
        await desk.campaigns.schedule("winter", desk.clock.now() + 24 * HOUR, **typed)
        assert (await desk.campaigns.show("winter")).state == "scheduled"
        await refused(desk.draft(change(subject="Late idea")), "campaign.not-a-draft")
        assert (await desk.campaigns.withdraw("winter")).status == "draft"
        assert (await desk.campaigns.show("winter")).state == "approved"
        await desk.campaigns.schedule("winter", desk.clock.now() + HOUR, **typed)
        await desk.clock.sleep(2 * HOUR)
        assert (await desk.campaigns.show("winter")).state == "sent"

    await in_desk(tmp_path, work)


@pytest.mark.parametrize("kind", KINDS)
async def test_results_of_a_test_are_read_by_version_and_kept(tmp_path, kind):
    async def work(desk):
        review = await desk.approved(as_test())
        assert (await desk.campaigns.results("winter")).winner == "notAvailable"
        await desk.campaigns.send("winter", confirm_id=review.number, confirm_recipients=10)
        await desk.clock.sleep(30 * HOUR)
        found = await desk.campaigns.results("winter")
        tally = desk.state.campaigns[review.number].tally
        assert found.winner in ("A", "B", "tie")
        arms = {one.version: one for one in found.versions}
        assert arms[""].delivered == 10 == arms["A"].delivered + arms["B"].delivered
        assert {name: arms[name].opened for name in "AB"} == {name: tally.get(f"{name}.opened", 0) for name in "AB"}
        desk.state.campaigns[review.number].tally = {}  # Brevo forgets its counts after a time
        again = await desk.campaigns.results("winter")
        assert {one.version: one.delivered for one in again.versions}[""] == 10
        assert {one.version: one.opened for one in again.versions}[""] == arms[""].opened

    await in_desk(tmp_path, work, place=new_place(kind, tmp_path))


async def test_the_list_tells_own_campaigns_and_their_states(tmp_path):
    async def work(desk):
        await desk.approved()
        await desk.draft(change(name="spring"))
        assert [(one.name, one.state, one.is_own) for one in await desk.campaigns.newest()] == [
            ("spring", "draft", True),
            ("winter", "approved", True),
        ]
        await refused(desk.campaigns.show("autumn"), "campaign.unknown")
        await refused(desk.campaigns.show("99"), "campaign.unknown")

    await in_desk(tmp_path, work)


async def test_a_preview_shows_what_one_contact_gets(tmp_path):
    async def work(desk):
        await desk.draft()
        shown = await desk.campaigns.preview("winter", "p4@example.com")
        assert "Hello P4, 50 % off" in shown["HTML"]
        assert "Hello P0" in (await desk.campaigns.preview("winter"))["HTML"]
        await refused(desk.campaigns.preview("winter", "nobody@example.com"), "campaign.no-such-contact")

    await in_desk(tmp_path, work)


def test_larger_counts_stand_over_those_that_were_forgotten():
    assert Counts("", "x", 10, 4, 2) | Counts("", "", 0, 5, 0) == Counts("", "x", 10, 5, 2)


@pytest.mark.parametrize("seed", range(8))
async def test_while_every_fifth_call_fails_there_is_one_draft_and_one_sending(tmp_path, seed):
    async def insist(step):
        for _ in range(60):
            try:
                return await step()
            except PenstockError as error:
                if error.code == "campaign.not-a-draft":
                    return None
        raise AssertionError("it never succeeds")

    async def work(desk):
        desk.world.rng.seed(seed)
        for kind, status in FAULTS:
            desk.fault("*", kind, status=status, rate=0.2 / len(FAULTS))
        number = (await insist(desk.draft)).number
        typed = {"confirm_id": number, "confirm_recipients": 10}
        await insist(lambda: desk.draft(change(subject="Better")))
        await insist(lambda: desk.campaigns.approve("winter", "ann"))
        await insist(lambda: desk.campaigns.send("winter", **typed))
        await insist(lambda: desk.campaigns.send("winter", **typed))
        await desk.clock.sleep(HOUR)
        found = await insist(lambda: desk.campaigns.results("winter"))
        assert [one.delivered for one in found.versions] == [10]
        assert [write.operation for write in desk.world.writes].count("campaigns.send") == 1
        assert [one.fields["subject"] for one in desk.state.campaigns.values()] == ["Better"]

    await in_desk(tmp_path, work)
