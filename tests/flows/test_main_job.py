"""The main job through the Python door: what is unchanged costs nothing and writes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.base.errors import FlowError
from shop import Shop, assert_accounted_for, attributes_of, billed, feedback, written


async def test_a_second_run_calls_nothing_and_writes_nothing(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    async with shop.open() as workspace:
        first = await shop.run(workspace)
        assert (first.counts.judged, first.counts.calls, first.counts.written, first.exit_code) == (6, 6, 6, 0)
        assert (billed(workspace), written(workspace)) == (6, 6)
        assert attributes_of(workspace, "c1@example.com")["SENTIMENT_LABEL"] == "positive"
        second = await shop.run(workspace)
        assert (second.counts.unchanged, second.counts.calls, second.counts.written) == (6, 0, 0)
        assert (billed(workspace), written(workspace)) == (6, 6)
        assert_accounted_for(second, 6)


async def test_one_changed_feedback_is_one_call_and_at_most_one_write(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    async with shop.open() as workspace:
        await shop.run(workspace)
        shop.record("f0")["text"] = "All is well now, I am really happy."
        plan = await shop.plan(workspace)
        assert (plan.new, plan.changed, plan.unchanged, plan.calls, plan.possible_writes) == (0, 1, 5, 1, 1)
        report = await shop.run(workspace)
        assert (report.counts.judged, report.counts.unchanged) == (1, 5)
        assert (report.counts.calls, report.counts.written) == (1, 1)
        assert attributes_of(workspace, "c0@example.com")["SENTIMENT_LABEL"] == "positive"


async def test_a_text_that_comes_back_is_not_bought_again(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    async with shop.open() as workspace:
        await shop.run(workspace)
        before = attributes_of(workspace, "c0@example.com")
        old = shop.record("f0")["text"]
        shop.record("f0")["text"] = "All is well now, I am really happy."
        await shop.run(workspace)
        shop.record("f0")["text"] = old
        assert (await shop.plan(workspace)).held == 1
        report = await shop.run(workspace)
        assert (report.counts.calls, report.counts.cached, report.counts.written) == (0, 1, 1)
        assert report.counts.saved > 0
        assert attributes_of(workspace, "c0@example.com") == before


async def test_records_are_added_and_removed(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    async with shop.open() as workspace:
        await shop.run(workspace)
        workspace.vendors.account.add_contact("new@example.com")
        shop.rows.insert(0, feedback(77, email="new@example.com"))
        del shop.rows[3]
        report = await shop.run(workspace)
        assert (report.counts.judged, report.counts.unchanged, report.counts.calls, report.counts.written) == (
            1,
            5,
            1,
            1,
        )


async def test_a_changed_join_row_or_sink_rewrites_without_a_call(tmp_path: Path) -> None:
    shop = Shop(
        tmp_path,
        join={"contact": {"files": {"path": "contacts.csv", "key": "email"}, "on": "${{ record.email }}"}},
    )
    shop.contacts = [{"email": f"C{number}@Example.com", "plan": "basic"} for number in range(6)]
    shop.flow["sink"]["brevo"]["attributes"]["SENTIMENT_BY"] = "${{ contact.plan }}"
    async with shop.open() as workspace:
        first = await shop.run(workspace)
        assert (first.exit_code, first.counts.written) == (0, 6)
        shop.contacts[2]["plan"] = "plus"
        report = await shop.run(workspace)
        assert (report.counts.unchanged, report.counts.calls, report.counts.written) == (6, 0, 1)
        assert attributes_of(workspace, "c2@example.com")["SENTIMENT_BY"] == "plus"
        shop.flow["sink"]["brevo"]["attributes"]["SENTIMENT_BY"] = "plan ${{ contact.plan }}"
        report = await shop.run(workspace)
        assert (report.counts.calls, report.counts.written) == (0, 6)


async def test_another_model_asks_again_and_the_old_one_is_held(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    async with shop.open() as workspace:
        await shop.run(workspace)
        shop.flow["model"] = "gpt-5.4-mini"
        assert (await shop.plan(workspace)).calls == 6
        report = await shop.run(workspace)
        assert (report.counts.judged, report.counts.calls) == (6, 6)
        del shop.flow["model"]
        report = await shop.run(workspace)
        assert (report.counts.judged, report.counts.calls, report.counts.cached) == (6, 0, 6)


async def test_equal_texts_are_bought_once(tmp_path: Path) -> None:
    shop = Shop(tmp_path, [feedback(number, text="Lovely, thank you!") for number in range(5)])
    async with shop.open() as workspace:
        plan = await shop.plan(workspace)
        assert (plan.calls, plan.shared) == (1, 4)
        report = await shop.run(workspace)
        assert (report.counts.judged, report.counts.calls, billed(workspace)) == (5, 1, 1)
        assert report.counts.written == 5


async def test_several_feedbacks_of_a_contact_become_one_dated_summary(tmp_path: Path) -> None:
    rows = [
        feedback(1, email="Ann@example.com ", text="Terrible, awful, the worst shop ever.", date="2024-01-01"),
        feedback(2, email="ann@Example.com", text="Wonderful! Great service, I love it.", date="2026-11-19"),
        feedback(3, email="bob@example.com", text="Good."),
    ]
    shop = Shop(tmp_path, rows)
    async with shop.open() as workspace:
        report = await shop.run(workspace)
        assert (report.counts.judged, report.counts.written) == (3, 2)
        ann = attributes_of(workspace, "ann@example.com")
        assert (ann["SENTIMENT_COUNT"], ann["SENTIMENT_LABEL"]) == (2, "positive")
        assert str(ann["SENTIMENT_AT"]).startswith("2026-11-19")
        shop.rows[0]["date"] = "2026-11-20"
        report = await shop.run(workspace)
        assert (report.counts.calls, report.counts.written) == (0, 1)
        assert attributes_of(workspace, "ann@example.com")["SENTIMENT_LABEL"] != "positive"


async def test_summaries_are_the_same_however_pages_fall(tmp_path: Path) -> None:
    rows = [feedback(number, email=f"c{number % 7}@example.com") for number in range(1300)]
    shop = Shop(tmp_path, rows)
    async with shop.open() as workspace:
        report = await shop.run(workspace)
        assert (report.counts.judged, report.counts.pages, report.exit_code) == (1300, 3, 0)
        assert sum(attributes_of(workspace, f"c{number}@example.com")["SENTIMENT_COUNT"] for number in range(7)) == 1300
        again = await shop.run(workspace)
        assert (again.counts.unchanged, again.counts.calls, again.counts.written) == (1300, 0, 0)


async def test_each_judged_record_is_one_event(tmp_path: Path) -> None:
    event = {
        "name": "feedback_judged",
        "date": "${{ record.date }}",
        "properties": {"score": "${{ sentiment.score }}", "feedback": "${{ record.id }}"},
    }
    shop = Shop(tmp_path)
    shop.flow["sink"]["brevo"]["event"] = event
    async with shop.open() as workspace:
        report = await shop.run(workspace)
        assert (report.exit_code, report.counts.written, len(workspace.vendors.account.events)) == (0, 12, 6)
        assert (await shop.run(workspace)).counts.written == 0
        shop.record("f0")["text"] = "All is well now, I am really happy."
        assert (await shop.run(workspace)).counts.written == 2
        assert len(workspace.vendors.account.events) == 7
        properties = [one.properties for one in workspace.vendors.account.events]
        assert sorted(str(part["feedback"]) for part in properties) == ["f0", "f0", "f1", "f2", "f3", "f4", "f5"]


async def test_a_filter_leaves_records_out_before_anything_is_asked(tmp_path: Path) -> None:
    shop = Shop(tmp_path, where="${{ record.id != 'f3' }}")
    async with shop.open() as workspace:
        report = await shop.run(workspace)
        assert (report.counts.filtered, report.counts.judged, billed(workspace)) == (1, 5, 5)
        assert_accounted_for(report, 6)


async def test_a_wrong_column_is_one_error_with_line_and_column(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    shop.flow["steps"][0]["analyze-sentiment"]["text"] = "${{ record.txt }}"
    async with shop.open() as workspace:
        with pytest.raises(FlowError) as caught:
            await shop.run(workspace)
        assert caught.value.code == "flow.unknown-field"
        assert "Did you mean text?" in caught.value.hint
        assert caught.value.where.startswith(f"{shop.path}:")
        assert caught.value.where.count(":") == 2
        assert (billed(workspace), written(workspace)) == (0, 0)
