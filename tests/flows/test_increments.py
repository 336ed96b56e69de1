"""Flows over Brevo contacts: the second run reads what changed, and nothing is left behind for that."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from penstock.base.clock import ManualClock
from penstock.base.errors import StoppedError
from penstock.privacy import Privacy
from shop import Shop, attributes_of, billed

DAY = 86_400.0
SENTIMENT = {"SENTIMENT_SCORE": "${{ sentiment.score }}", "SENTIMENT_LABEL": "${{ sentiment.label }}"}


class People:
    """A shop whose records are Brevo contacts with a feedback each."""

    def __init__(self, folder: Path, count: int = 30, **flow: Any) -> None:
        self.clock = ManualClock()
        self.count = count
        self.shop = Shop(
            folder,
            source={"brevo": {}},
            steps=[{"analyze-sentiment": {"text": "${{ record.attributes.FEEDBACK }}"}}],
            summarize=None,
            sink={"brevo": {"match": "${{ record.email }}", "attributes": SENTIMENT}},
            **flow,
        )

    def fill(self, workspace: Any) -> None:
        """Put the contacts there, long ago, unless they are there."""
        account = self.account = workspace.vendors.account
        if account.contacts:
            return
        account.add_attribute("FEEDBACK")
        for number in range(self.count):
            attributes = {"FEEDBACK": f"The zip of jacket {number} broke on the first day. Terrible."}
            made = self.clock.now() - 100 * DAY + number
            account.add_contact(f"p{number}@example.com", attributes, created_at=made)

    def change(self, number: int, text: str) -> None:
        contact = self.account.find("email", f"p{number}@example.com")
        contact.attributes["FEEDBACK"] = text
        contact.modified = self.account.now()
        self.account.touch()

    def drop(self, number: int) -> None:
        self.account.remove(self.account.find("email", f"p{number}@example.com"))

    async def do(self, work: Any, **overrides: Any) -> None:
        async def all_of_it() -> None:
            async with self.shop.open(self.clock, **overrides) as workspace:
                self.fill(workspace)
                await work(workspace)

        await self.clock.run(all_of_it())


async def test_the_second_run_reads_what_changed_and_the_plan_says_since_when(tmp_path: Path) -> None:
    people = People(tmp_path)

    async def work(workspace: Any) -> None:
        first = await people.shop.run(workspace)
        assert (first.exit_code, first.counts.judged, first.counts.written) == (0, 30, 30)
        people.clock.advance(DAY)
        await people.shop.run(workspace)  # what the first run wrote comes back once
        people.clock.advance(DAY)
        people.change(7, "Lovely jacket, thank you so much!")
        plan = await people.shop.plan(workspace)
        assert "changed since 20" in plan.source
        assert (plan.changed, plan.calls) == (1, 1)
        third = await people.shop.run(workspace)
        assert (third.counts.judged, third.counts.calls) == (1, 1)
        assert attributes_of(workspace, "p7@example.com")["SENTIMENT_LABEL"] == "positive"

    await people.do(work)


async def test_a_quiet_account_is_not_read_again(tmp_path: Path) -> None:
    sink = {
        "files": {"path": "out.csv", "match": "${{ record.email }}", "columns": {"score": "${{ sentiment.score }}"}}
    }
    people = People(tmp_path)
    people.shop.flow["sink"] = sink

    async def work(workspace: Any) -> None:
        await people.shop.run(workspace)
        people.clock.advance(DAY)
        people.change(3, "Better now, thank you!")
        again = await people.shop.run(workspace)
        assert again.counts.judged == 1
        assert again.counts.read <= 30
        people.clock.advance(DAY)
        assert (await people.shop.run(workspace)).counts.read == 1  # the last change lies in the overlap
        assert len((tmp_path / "out.csv").read_text().splitlines()) == 31

    await people.do(work)


async def test_full_reads_everything_and_buys_nothing(tmp_path: Path) -> None:
    people = People(tmp_path)

    async def work(workspace: Any) -> None:
        await people.shop.run(workspace)
        people.clock.advance(DAY)
        await people.shop.run(workspace)
        bought = billed(workspace)
        plan = await workspace.plan(people.shop.path, all_records=True)
        assert (plan.records, plan.unchanged, plan.calls) == (30, 30, 0)
        report = await workspace.run(people.shop.path, all_records=True)
        assert (report.counts.read, report.counts.unchanged) == (30, 30)
        assert billed(workspace) == bought

    await people.do(work)


@pytest.mark.parametrize("part", ["steps", "model", "where"])
async def test_another_flow_file_reads_everything(tmp_path: Path, part: str) -> None:
    people = People(tmp_path)

    async def work(workspace: Any) -> None:
        await people.shop.run(workspace)
        people.clock.advance(DAY)
        await people.shop.run(workspace)
        if part == "steps":
            people.shop.flow["steps"][0]["analyze-sentiment"]["topics"] = ["delivery", "quality"]
        elif part == "model":
            people.shop.flow["model"] = "gpt-5.4-nano"
        else:
            people.shop.flow["where"] = "${{ record.id > 0 }}"
        report = await people.shop.run(workspace)
        assert report.counts.read == 30, report.problem

    await people.do(work)


async def test_a_flow_that_joins_reads_everything_for_the_other_side_may_have_changed(tmp_path: Path) -> None:
    people = People(
        tmp_path, join={"plan": {"files": {"path": "contacts.csv", "key": "email"}, "on": "${{ record.email }}"}}
    )
    people.shop.contacts = [{"email": "p1@example.com", "plan": "gold"}]

    async def work(workspace: Any) -> None:
        await people.shop.run(workspace)
        people.clock.advance(DAY)
        assert (await people.shop.run(workspace)).counts.read == 30

    await people.do(work)


async def test_another_organisation_begins_anew(tmp_path: Path) -> None:
    people = People(tmp_path)

    async def work(workspace: Any) -> None:
        await people.shop.run(workspace)
        people.clock.advance(DAY)
        await people.shop.run(workspace)
        people.account.organization = "another-organisation"
        for contact in people.account.by_creation:
            contact.attributes.pop("SENTIMENT_LABEL")
        report = await people.shop.run(workspace)
        assert report.counts.read == 30
        assert report.counts.written == 30  # what the other organisation holds says nothing about this one
        assert attributes_of(workspace, "p1@example.com")["SENTIMENT_LABEL"]

    await people.do(work)


async def test_contacts_that_are_gone_leave_nothing_behind(tmp_path: Path) -> None:
    people = People(tmp_path)

    async def work(workspace: Any) -> None:
        await people.shop.run(workspace)
        people.clock.advance(2 * DAY)
        for number in (2, 5):
            people.drop(number)
        told: list[str] = []
        await people.shop.run(workspace, listen=lambda progress: progress.listen(lambda at: told.append(at.message)))
        assert any("2 records are gone" in text for text in told)
        explained = await Privacy(workspace.store, people.clock).explain("p2@example.com")
        assert (explained.judged, explained.written) == ([], [])
        assert (await Privacy(workspace.store, people.clock).explain("p3@example.com")).judged
        people.account.add_contact("p2@example.com", {"FEEDBACK": "I am back, and it is lovely."})
        report = await people.shop.run(workspace)
        assert report.counts.judged == 1
        assert attributes_of(workspace, "p2@example.com")["SENTIMENT_LABEL"]

    await people.do(work)


async def test_nothing_is_compared_while_nothing_seems_to_be_missing_until_a_week_is_over(tmp_path: Path) -> None:
    people = People(tmp_path)

    async def work(workspace: Any) -> None:
        await people.shop.run(workspace)
        people.clock.advance(2 * DAY)
        await people.shop.run(workspace)
        people.drop(1)
        people.account.add_contact("new@example.com", {"FEEDBACK": "Fine, all of it."})
        people.clock.advance(DAY)
        await people.shop.run(workspace)
        privacy = Privacy(workspace.store, people.clock)
        assert (await privacy.explain("p1@example.com")).judged
        people.clock.advance(8 * DAY)
        await people.shop.run(workspace)
        assert not (await privacy.explain("p1@example.com")).judged

    await people.do(work)


async def test_results_of_events_stay_when_the_events_are_older_than_what_is_read(tmp_path: Path) -> None:
    people = People(tmp_path, 1)
    people.shop.flow["source"] = {"brevo": {"object": "events"}}
    people.shop.flow["steps"] = [{"analyze-sentiment": {"text": "${{ record.event_properties.text }}"}}]
    columns = {"score": "${{ sentiment.score }}"}
    people.shop.flow["sink"] = {"files": {"path": "out.csv", "match": "${{ record.contact_id }}", "columns": columns}}

    async def work(workspace: Any) -> None:
        caller = workspace.vendors.open_brevo()
        event = {"event_name": "feedback", "identifiers": {"contact_id": 1}, "event_properties": {"text": "Awful."}}
        await caller.call("events.create", body=event)
        people.clock.advance(60)
        assert (await people.shop.run(workspace)).counts.judged == 1
        for _ in range(2):
            people.clock.advance(200 * DAY)
            assert (await people.shop.run(workspace)).counts.judged == 0
        assert await workspace.store.read("kept_keys", flow="feedback", after="", limit=5)

    await people.do(work)


async def test_an_objection_is_carried_out_although_the_contact_did_not_change(tmp_path: Path) -> None:
    people = People(tmp_path, consent={"objected": "clear"})

    async def work(workspace: Any) -> None:
        await people.shop.run(workspace)
        people.clock.advance(DAY)
        await people.shop.run(workspace)
        people.clock.advance(DAY)
        await Privacy(workspace.store, people.clock).object("p4@example.com")
        await people.shop.run(workspace)
        assert not attributes_of(workspace, "p4@example.com").get("SENTIMENT_LABEL")
        assert attributes_of(workspace, "p3@example.com")["SENTIMENT_LABEL"]

    await people.do(work)


async def test_a_run_that_goes_on_with_another_model_is_followed_by_one_that_reads_everything(tmp_path: Path) -> None:
    people = People(tmp_path)

    async def begin(workspace: Any) -> None:
        stopped = await people.shop.run(workspace, budget=0.00001)
        assert stopped.problem is not None

    async def go_on(workspace: Any) -> None:
        report = await people.shop.run(workspace, budget=100)
        assert (report.resumed, report.exit_code) == (True, 0)
        people.clock.advance(DAY)
        assert not (await people.shop.plan(workspace)).source.count("changed since")
        await people.shop.run(workspace, budget=100)
        assert (await people.shop.plan(workspace)).source.count("changed since")

    await people.do(begin)
    await people.do(go_on, model="gpt-5.4-nano")


@pytest.mark.slow
async def test_a_run_that_was_stopped_does_not_move_the_watermark(tmp_path: Path) -> None:
    people = People(tmp_path, 1300)

    async def work(workspace: Any) -> None:
        stopped = await people.shop.run(workspace, budget=0.0001)
        assert stopped.problem is not None
        report = await people.shop.run(workspace, budget=100)
        assert report.exit_code == 0, report.problem
        labels = [contact.attributes.get("SENTIMENT_LABEL") for contact in people.account.by_creation]
        assert all(labels)

    await people.do(work)


@pytest.mark.slow
@pytest.mark.parametrize("page", [0, 1, 2])
async def test_a_run_interrupted_after_any_page_reads_the_rest_once(tmp_path: Path, page: int) -> None:
    people = People(tmp_path, 1300)

    async def work(workspace: Any) -> None:
        def stop_at(run: Any) -> None:
            def look(snapshot: Any) -> None:
                if snapshot.done >= 500 * (page + 1):
                    run.stop(StoppedError("enough", code="run.stopped"))

            run.progress.listen(look)

        await people.shop.run(workspace, started=stop_at)
        report = await people.shop.run(workspace)
        assert report.exit_code == 0
        assert billed(workspace) == 1300
        people.clock.advance(DAY)
        people.change(1299, "Splendid, thank you.")
        again = await people.shop.run(workspace)
        assert again.counts.judged == 1

    await people.do(work)
