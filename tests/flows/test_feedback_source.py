"""A flow that reads the feedback table: what is judged is what customers said, once each."""

from __future__ import annotations

from pathlib import Path

from penstock.data.feedback import FeedbackSource, feedback_source, read_said
from penstock.privacy import Privacy
from penstock.runtime.feedback import Feedback
from penstock.workspace import Workspace

FLOW = """
name: voices
source: { feedback: { from: reviews } }
steps:
  - analyze-sentiment: { text: "${{ record.text }}" }
sink:
  files:
    path: out.csv
    match: { id: "${{ record.id }}" }
    columns: { score: "${{ sentiment.score }}" }
"""


async def test_a_flow_judges_feedback_and_skips_who_objects(tmp_path: Path) -> None:
    path = tmp_path / "voices.yaml"
    path.write_text(FLOW, encoding="utf-8")
    async with Workspace.open(tmp_path, overrides={"sandbox": True}, environ={}, command="test") as workspace:
        table = Feedback(workspace.store, workspace.clock)
        await table.put(
            [
                read_said("file", {"id": number, "text": text, "email": f"{number}@x.org"}, source=source)
                for number, text, source in ((1, "Wonderful", "reviews"), (2, "Awful", "reviews"), (3, "Bad", "other"))
            ]
        )
        await Privacy(workspace.store, workspace.clock).object("2@x.org")
        await workspace.run(path)
        assert (tmp_path / "out.csv").read_text(encoding="utf-8").splitlines()[1].startswith("reviews:1,")
        assert len((tmp_path / "out.csv").read_text(encoding="utf-8").splitlines()) == 2
        explained = await Privacy(workspace.store, workspace.clock).explain("2@x.org")
        assert (explained.feedback, explained.barred) == (1, "objected")
        forgotten = await Privacy(workspace.store, workspace.clock).forget("2@x.org")
        assert forgotten.feedback == 1


async def test_a_cursor_goes_on_with_what_came_since(tmp_path: Path) -> None:
    async with Workspace.open(tmp_path, overrides={"sandbox": True}, environ={}, command="test") as workspace:
        table = Feedback(workspace.store, workspace.clock)
        source = feedback_source({}, workspace.store)
        await table.put([read_said("http", {"id": number, "text": "t"}, source="s") for number in range(7)])
        pages = [page async for page in source.pages(size=3)]
        assert [len(page.records) for page in pages] == [3, 3, 1]
        assert await source.count() == 7
        await table.put([read_said("http", {"id": 9, "text": "t", "ext_id": "e9"}, source="s")])
        (page,) = [page async for page in source.pages(pages[-1].cursor)]
        assert [record.data["ext_id"] for record in page.records] == ["e9"]
        assert FeedbackSource(workspace.store, "s").identity() != source.identity()
