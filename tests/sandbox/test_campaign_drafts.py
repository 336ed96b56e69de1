"""Drafts of campaigns and templates: made once whatever happens on the way, and kept in step with their file."""

from __future__ import annotations

from itertools import pairwise

import pytest
from campaign_desk import CAMPAIGN, HTML, as_test, change, open_desk

from penstock.base.errors import FixError, InputError, PenstockError
from penstock.data.brevo_campaigns import Audience, Recipients, Sender, SubjectTest
from penstock.sandbox.world import Fault
from penstock.vendor.brevo_endpoints import ENDPOINTS

OPERATIONS = ("campaigns.list", "campaigns.create", "campaigns.get", "campaigns.update", "senders.list", "lists.list")
FAULTS = ("drop", "lost", "malformed", "html", "status 500", "status 429", "status 400")


def plan(desk, operation, fault, **rest):
    kind, _, status = fault.partition(" ")
    desk.world.faults.append(Fault("brevo", operation, kind, status=int(status) if status else None, times=1, **rest))


async def in_desk(folder, work, **options):
    async with open_desk(folder, **options) as desk:
        await desk.clock.run(work(desk))


async def test_a_campaign_is_drafted_once_and_then_unchanged(tmp_path):
    async def work(desk):
        first, second = await desk.draft(), await desk.draft()
        assert (first.done, second.done) == ("made", "unchanged")
        assert first.number == second.number
        assert desk.count("campaigns.create") == 1
        assert desk.count("campaigns.update") == 0
        (made,) = desk.state.campaigns.values()
        assert (made.status, made.fields["subject"], made.fields["params"]) == (
            "draft",
            CAMPAIGN.subject,
            {"offer": "50 %"},
        )
        assert made.fields["recipients"]["listIds"] == [1]

    await in_desk(tmp_path, work)


async def test_two_subjects_become_a_test_of_exactly_two(tmp_path):
    async def work(desk):
        await desk.draft(as_test(test=SubjectTest(share=30, winner="opens", wait_hours=12)))
        fields = next(iter(desk.state.campaigns.values())).fields
        assert (fields["abTesting"], fields["subjectA"], fields["subjectB"]) == (
            True,
            "Winter is half the price",
            "Warm for less",
        )
        assert (fields["splitRule"], fields["winnerCriteria"], fields["winnerDelay"]) == (30, "open", 12)

    await in_desk(tmp_path, work)


async def test_a_changed_file_updates_the_same_draft(tmp_path):
    async def work(desk):
        first = await desk.draft()
        second = await desk.draft(change(subject="Another subject"))
        assert (second.done, second.number) == ("updated", first.number)
        assert desk.state.campaigns[first.number].fields["subject"] == "Another subject"

    await in_desk(tmp_path, work)


async def test_what_somebody_edited_at_brevo_is_not_written_over(tmp_path):
    async def work(desk):
        number = (await desk.draft()).number
        desk.state.campaigns[number].fields["subject"] = "By a colleague"
        for campaign in (CAMPAIGN, change(preview_text="Other")):
            with pytest.raises(FixError) as caught:
                await desk.draft(campaign)
            assert caught.value.code == "campaign.edited"
        assert desk.state.campaigns[number].fields["subject"] == "By a colleague"
        assert (await desk.draft(replace=True)).done == "updated"
        assert desk.state.campaigns[number].fields["subject"] == CAMPAIGN.subject

    await in_desk(tmp_path, work)


async def test_a_draft_that_was_deleted_at_brevo_is_made_again(tmp_path):
    async def work(desk):
        desk.state.campaigns.pop((await desk.draft()).number)
        assert (await desk.draft()).done == "made"
        assert len(desk.state.campaigns) == 1

    await in_desk(tmp_path, work)


async def test_a_store_that_is_lost_finds_its_drafts_by_their_marks(tmp_path):
    async def work(desk):
        first = await desk.draft()
        async with open_desk(tmp_path, place=tmp_path / "new.sqlite") as other:
            other.campaigns._vendor._caller = desk.caller
            found = await other.campaigns._vendor.draft(CAMPAIGN, Audience(lists=(1,)))
            assert found[0] == first.number
        assert len(desk.state.campaigns) == 1

    await in_desk(tmp_path, work)


async def test_a_draft_without_an_answer_is_looked_up_before_it_is_repeated(tmp_path):
    async def work(desk):
        plan(desk, "campaigns.create", "lost")
        with pytest.raises(PenstockError):
            await desk.draft()
        assert (await desk.draft()).done == "made"
        assert len(desk.state.campaigns) == 1
        assert desk.count("campaigns.create") == 1

    await in_desk(tmp_path, work)


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("fault", FAULTS)
async def test_no_fault_makes_a_second_draft(tmp_path, operation, fault):
    async def work(desk):
        for at in range(3):
            plan(desk, operation, fault, after=at)
        for campaign in (CAMPAIGN, change(subject="Second thoughts")):
            for _ in range(8):
                try:
                    drafted = await desk.draft(campaign)
                    break
                except PenstockError:
                    continue
            assert desk.state.campaigns[drafted.number].fields["subject"] == campaign.subject
        desk.world.faults.clear()
        assert len(desk.state.campaigns) == 1
        assert (await desk.draft(change(subject="Second thoughts"))).done == "unchanged"

    await in_desk(tmp_path, work)


WRONG = {
    "an attribute that the account lacks": {"html": HTML.replace("FIRSTNAME", "FIRST_NAME")},
    "a param without a value": {"params": {}},
    "no unsubscribe link": {"html": HTML.replace("{{ unsubscribe }}", "https://shop.example/bye")},
    "a link without https": {"html": HTML.replace("https://", "http://")},
    "an empty link": {"html": HTML.replace("https://shop.example/winter", "")},
    "a relative link": {"html": HTML.replace("https://shop.example/winter", "/winter")},
    "the old language": {"html": HTML + "<p>{FIRSTNAME}</p>"},
    "an open block": {"html": HTML + "{% if contact.FIRSTNAME %}"},
    "a script": {"html": HTML + "<script>alert(1)</script>"},
    "a foreign sender": {"sender": Sender(email="someone@else.example")},
    "an unknown sender id": {"sender": Sender(id=99)},
    "a subject that comes out empty": {"subject": "{{ contact.LASTNAME }}"},
    "a picture that is hosted without https": {"html": HTML + '<img src="http://a.example/b.png" alt="">'},
}


@pytest.mark.parametrize("name", WRONG)
async def test_what_fails_a_check_is_not_written(tmp_path, name):
    async def work(desk):
        drafted = await desk.draft(change(**WRONG[name]))
        assert drafted.done == "failed"
        assert [one for one in drafted.findings if one.verdict == "fail" and one.fix]
        assert desk.world.writes == [] or all(write.operation.startswith("contacts") for write in desk.world.writes)
        assert not desk.state.campaigns

    await in_desk(tmp_path, work)


async def test_a_list_is_found_by_name_or_id_and_must_be_there(tmp_path):
    async def work(desk):
        assert (await desk.draft(change(recipients=Recipients(lists=(1,))))).done == "made"
        with pytest.raises(InputError) as caught:
            await desk.draft(change(name="other", recipients=Recipients(lists=("Nobody",))))
        assert caught.value.code == "campaign.no-such-list"
        desk.state.add_list("News")
        with pytest.raises(InputError) as caught:
            await desk.draft()
        assert "2 lists named" in caught.value.message

    await in_desk(tmp_path, work)


async def test_a_template_is_made_once_inactive_and_kept_in_step(tmp_path):
    async def work(desk):
        first = await desk.draft(kind="template")
        assert (first.kind, first.done, (await desk.draft(kind="template")).done) == ("template", "made", "unchanged")
        assert not desk.state.templates[first.number].active
        assert (await desk.draft(change(subject="Other"), kind="template")).done == "updated"
        assert desk.state.templates[first.number].subject == "Other"
        desk.state.templates.clear()
        assert (await desk.draft(kind="template")).done == "made"

    await in_desk(tmp_path, work)


@pytest.mark.parametrize("fault", ["drop", "lost", "status 500", "html"])
async def test_no_fault_makes_a_second_template(tmp_path, fault):
    async def work(desk):
        plan(desk, "templates.create", fault)
        for _ in range(3):
            try:
                drafted = await desk.draft(kind="template")
                break
            except PenstockError:
                continue
        assert drafted.number in desk.state.templates
        assert len(desk.state.templates) == 1

    await in_desk(tmp_path, work)


async def test_drafts_use_little_of_the_general_limit(tmp_path):
    async def work(desk):
        used = [0]
        for campaign in (CAMPAIGN, CAMPAIGN, change(subject="Other")):
            await desk.draft(campaign)
            used.append(sum(desk.count(name) for name, one in ENDPOINTS.items() if one.family == "rest"))
        assert [after - before for before, after in pairwise(used)] == [4, 2, 4]

    await in_desk(tmp_path, work)
