"""Keys that occur more than once: the first record counts, always the same one, and the others are told of."""

from __future__ import annotations

from pathlib import Path

from penstock.flows.state import list_letters
from shop import Shop, assert_accounted_for, billed, feedback, written


async def test_identical_rows_are_counted_and_do_no_harm(tmp_path: Path) -> None:
    rows = [feedback(1), feedback(2), feedback(1)]
    shop = Shop(tmp_path, rows)
    async with shop.open() as workspace:
        assert (await shop.plan(workspace)).duplicates == 1
        report = await shop.run(workspace)
        assert (report.counts.judged, report.counts.duplicates, report.exit_code) == (2, 1, 0)
        assert await list_letters(workspace.store, report.run) == []
        assert_accounted_for(report, 3)


async def test_a_repeated_key_with_other_content_is_a_dead_letter(tmp_path: Path) -> None:
    rows = [feedback(1), feedback(2), {**feedback(1), "text": "Something else."}]
    shop = Shop(tmp_path, rows)
    async with shop.open() as workspace:
        for _ in range(2):
            report = await shop.run(workspace)
            assert (report.counts.failed, report.exit_code) == (1, 3)
            assert_accounted_for(report, 3)
            (letter,) = await list_letters(workspace.store, report.run)
            assert (letter.key, letter.problem.code) == ("f1", "source.duplicate-key")
            assert letter.place.endswith("4")
            assert letter.record["text"] == "Something else."
        assert (billed(workspace), written(workspace)) == (2, 2)


async def test_the_first_record_of_a_key_counts_on_whichever_page_the_others_are(tmp_path: Path) -> None:
    rows = [feedback(number) for number in range(1600)]
    for place in (30, 520, 1100, 1590):  # pages 1, 2, 3 and 4; three pages are under way at once
        rows[place] = {**feedback(7), "text": f"Another text at {place}."}
    shop = Shop(tmp_path, rows)
    async with shop.open() as workspace:
        first = await shop.run(workspace)
        assert (first.counts.judged, first.counts.failed) == (1596, 4)
        assert_accounted_for(first, 1600)
        letters = await list_letters(workspace.store, first.run)
        assert sorted(letter.record["text"] for letter in letters) == sorted(
            f"Another text at {place}." for place in (30, 520, 1100, 1590)
        )
        writes = written(workspace)
        shop.rows.insert(0, feedback(5000))  # every line number moves
        workspace.vendors.account.add_contact("c5000@example.com")
        for _ in range(2):
            again = await shop.run(workspace)
            assert (again.counts.failed, again.exit_code) == (4, 3)
            assert_accounted_for(again, 1601)
        assert (again.counts.unchanged, again.counts.written, again.counts.calls) == (1597, 0, 0)
        assert written(workspace) == writes + 1


async def test_two_records_with_one_target_end_with_the_last_one_and_then_rest(tmp_path: Path) -> None:
    rows = [feedback(1, email="ann@example.com"), feedback(2, email="Ann@example.com")]
    sink = {"brevo": {"match": "${{ record.email }}", "attributes": {"SENTIMENT_LABEL": "${{ sentiment.label }}"}}}
    shop = Shop(tmp_path, rows, summarize=None, sink=sink)
    async with shop.open() as workspace:
        assert (await shop.run(workspace)).counts.written == 1
        assert workspace.vendors.account.by_creation[0].attributes["SENTIMENT_LABEL"] == "negative"
        assert (await shop.run(workspace)).counts.written == 0
