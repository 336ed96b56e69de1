"""Recordings and pictures as steps of a flow: each by the model of its kind, each bad file its record's own failure."""

from __future__ import annotations

import base64
import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from penstock.operations.media import RED_SQUARE
from penstock.sandbox.sound import Speech, encode_speech
from shop import TEXTS, Shop, billed, feedback

TRANSCRIBE = {"transcribe": {"recording": "${{ record.text }}"}, "as": "call"}
JUDGE = {"analyze-sentiment": {"text": "${{ call.text }}", "topics": ["delivery", "quality"]}}


def record_call(number: int) -> str:
    """Return what a customer says on the phone, as a data URL."""
    sound = encode_speech(Speech(TEXTS[number], 4.0 + number), "mp3")
    return f"data:audio/mpeg;base64,{base64.b64encode(sound).decode()}"


def make_shop(folder: Path, texts: Sequence[str], steps: list[dict[str, Any]], columns: dict[str, str]) -> Shop:
    rows = [feedback(number, text=text) for number, text in enumerate(texts)]
    sink = {"files": {"match": "${{ record.id }}", "path": "out.csv", "columns": columns}}
    return Shop(folder, rows, steps=steps, summarize=None, sink=sink)


def results(shop: Shop) -> list[dict[str, str]]:
    with (shop.folder / "out.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


async def test_calls_are_written_down_and_judged_each_by_the_model_of_its_kind(tmp_path: Path) -> None:
    columns = {"text": "${{ call.text }}", "label": "${{ sentiment.label }}"}
    shop = make_shop(tmp_path, [record_call(number) for number in range(3)], [TRANSCRIBE, JUDGE], columns)
    async with shop.open() as workspace:
        report = await shop.run(workspace)
        assert (report.state, report.counts.failed) == ("done", 0)
        assert billed(workspace) == 6
        rows = results(shop)
        assert [row["text"] for row in rows] == list(TEXTS[:3])
        assert [row["label"] for row in rows] == ["negative", "positive", "negative"]
        await shop.run(workspace)
        assert billed(workspace) == 6


async def test_a_file_that_cannot_be_used_fails_its_record_alone(tmp_path: Path) -> None:
    (tmp_path / "secret.mp3").write_bytes(encode_speech(Speech("The safe is behind the picture.", 3.0), "mp3"))
    texts = [
        record_call(0),
        str(tmp_path / "secret.mp3"),
        "secret.mp3",
        "https://files.example/call.mp3",
        "https://127.0.0.1/call.mp3",
        f"data:image/png;base64,{RED_SQUARE}",
    ]
    shop = make_shop(tmp_path, texts, [TRANSCRIBE], {"text": "${{ call.text }}"})
    async with shop.open() as workspace:
        report = await shop.run(workspace)
        assert (report.counts.judged, report.counts.failed) == (1, 5)
        assert billed(workspace) == 1
    assert [row["text"] for row in results(shop)] == [TEXTS[0]]


async def test_pictures_are_looked_at_by_the_text_model(tmp_path: Path) -> None:
    step = {"analyze-image": {"text": "Which colour?", "images": ["${{ record.text }}"]}, "as": "seen"}
    texts = [f"data:image/png;base64,{RED_SQUARE}", "https://files.example/shoes.png"]
    shop = make_shop(tmp_path, texts, [step], {"text": "${{ seen.text }}"})
    async with shop.open() as workspace:
        report = await shop.run(workspace)
        assert (report.counts.judged, report.counts.failed) == (2, 0)
    assert all(row["text"] for row in results(shop))
