"""Recordings become feedback, each once; a text becomes a file that can be listened to."""

import csv
import json
import shutil
import struct
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from penstock.base.clock import ManualClock
from penstock.base.errors import InputError, StoppedError
from penstock.base.types import Change
from penstock.calls import CallOptions
from penstock.cli.main import penstock
from penstock.data.files import folder_sink
from penstock.operations.sound import cut_sound, join_sound, make_silence, measure_seconds
from penstock.privacy import Privacy
from penstock.runtime.feedback import Feedback
from penstock.sandbox.sound import Speech, encode_speech
from penstock.voice import Heard, Voice
from shop import TEXTS, Shop, billed

ANNA, BEN = "anna@example.com", "ben@example.com"


def record(folder: Path, name: str, text: str, seconds: float = 4.0) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(encode_speech(Speech(text, seconds), name.rpartition(".")[2]))


def write_list(folder: Path, *rows: tuple[str, str, str]) -> None:
    with (folder / "recordings.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("file", "email", "at"), *rows])


async def hear(workspace: Any, folder: Path, **more: Any) -> Heard:
    return await Voice(workspace.operations, workspace.store, workspace.clock).hear(folder, **more)


async def test_recordings_are_written_down_once_with_what_the_list_says(tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    record(calls, "a.mp3", TEXTS[0])
    record(calls, "b.wav", TEXTS[1])
    (calls / "notes.txt").write_text("no recording")
    write_list(calls, ("a.mp3", ANNA, "2026-11-02T10:00:00Z"), ("b.wav", BEN, "2026-11-03"))
    async with Shop(tmp_path).open() as workspace:
        heard = await hear(workspace, calls)
        assert (heard.recordings, heard.added, heard.failed) == (2, 2, [])
        rows = await Feedback(workspace.store, workspace.clock).page()
        assert [(row.contact, row.text, row.source) for row in rows] == [
            (ANNA, TEXTS[0], "voice"),
            (BEN, TEXTS[1], "voice"),
        ]
        assert rows[0].happened_at == 1_793_613_600.0
        bought = billed(workspace)
        (calls / "a.mp3").rename(calls / "z.mp3")
        again = await hear(workspace, calls)
        assert (again.added, again.known, again.dollars) == (0, 2, 0.0)
        assert billed(workspace) == bought


async def test_who_objects_or_was_forgotten_is_not_sent(tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    record(calls, "a.mp3", TEXTS[0])
    record(calls, "b.mp3", TEXTS[1])
    write_list(calls, ("a.mp3", ANNA, ""), ("b.mp3", BEN, ""))
    async with Shop(tmp_path).open() as workspace:
        privacy = Privacy(workspace.store, workspace.clock)
        await privacy.object(ANNA)
        await privacy.forget(BEN)
        heard = await hear(workspace, calls)
        assert (heard.recordings, heard.forgotten, heard.added, billed(workspace)) == (2, 2, 0, 0)


async def test_a_bad_recording_is_a_problem_of_its_own(tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    record(calls, "a.mp3", TEXTS[0])
    (calls / "b.mp3").write_bytes(b"this is no sound at all")
    (calls / "c.ogg").write_bytes(b"OggS" + bytes(25_000_001))
    async with Shop(tmp_path).open() as workspace:
        heard = await hear(workspace, calls)
        assert (heard.added, sorted(problem.where for problem in heard.failed)) == (1, ["b.mp3", "c.ogg"])
        assert [problem.code for problem in heard.failed if problem.where == "c.ogg"] == ["voice.too-long"]
        with pytest.raises(InputError, match="no folder"):
            await hear(workspace, tmp_path / "nowhere")


async def test_a_budget_holds_over_all_recordings_and_a_dry_run_sends_nothing(tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    for number in range(20):
        record(calls, f"{number:02}.mp3", f"{TEXTS[0]} {number}", 60.0)
    clock = ManualClock()

    async def work() -> None:
        async with Shop(tmp_path).open(clock) as workspace:
            heard = await hear(workspace, calls, dry_run=True)
            assert (heard.recordings, billed(workspace)) == (20, 0)
            assert heard.dollars is not None
            assert heard.dollars > 0
            with pytest.raises(StoppedError):
                await hear(workspace, calls, options=CallOptions(budget=heard.dollars * 0.6))
            assert 8 <= billed(workspace) < 20
            assert (await hear(workspace, calls)).recordings == 20
            assert billed(workspace) == 20

    await clock.run(work())


def test_a_folder_is_heard_in_the_shell_then_judged_by_a_flow(tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    record(calls, "a.mp3", TEXTS[2])
    write_list(calls, ("a.mp3", ANNA, "2026-11-02"))
    sink = {"files": {"match": "${{ record.id }}", "path": "out.csv", "columns": {"label": "${{ sentiment.label }}"}}}
    shop = Shop(tmp_path, source={"feedback": {"from": "voice"}}, summarize=None, sink=sink)

    def invoke(*words: str) -> Any:
        return CliRunner().invoke(penstock, [*words, "--sandbox", "--workspace", str(tmp_path)], standalone_mode=False)

    assert json.loads(invoke("feedback", "hear", str(calls), "--json").stdout)["added"] == 1
    assert "at most $" in invoke("feedback", "hear", str(calls), "--dry-run").stdout
    assert invoke("run", str(shop.path), "--yes").return_value == 0
    with (tmp_path / "out.csv").open(encoding="utf-8") as file:
        assert [row["label"] for row in csv.DictReader(file)] == ["negative"]


def speech_flow(folder: Path, **sink: Any) -> Shop:
    steps = [{"speak": {"text": "Thank you. ${{ record.text }}", "format": "wav"}}]
    part = {"match": "${{ record.id }}", "path": "spoken", "columns": {"audio": "${{ speak.audio }}"}, **sink}
    return Shop(folder, steps=steps, summarize=None, sink={"folder": part})


async def test_texts_are_read_aloud_to_files_in_a_flow_once(tmp_path: Path) -> None:
    shop = speech_flow(tmp_path)
    async with shop.open() as workspace:
        report = await shop.run(workspace)
        assert (report.exit_code, report.counts.written) == (0, 6)
        files = sorted((tmp_path / "spoken").iterdir())
        assert [file.name for file in files] == [f"f{number}.wav" for number in range(6)]
        assert all(measure_seconds(file.read_bytes()) > 0.5 for file in files)
        bought = billed(workspace)
        again = await shop.run(workspace)
        assert (again.counts.planned, billed(workspace)) == (0, bought)


async def test_a_name_that_leads_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    shop = speech_flow(tmp_path, match="../${{ record.id }}")
    async with shop.open() as workspace:
        report = await shop.run(workspace)
        assert (report.counts.refused, report.failures[0].code) == (6, "folder.bad-name")
    assert not list(tmp_path.parent.glob("f*.wav"))


async def test_a_folder_holds_what_was_made_and_nothing_else(tmp_path: Path) -> None:
    sink = folder_sink({"path": "out"}, tmp_path)
    made = {"base64": "YWJj", "name": "speech.mp3", "media_type": "audio/mpeg"}
    changes = [
        Change("1", "row", {"email": "a"}, {"audio": made, "text": "abc", "none": None}),
        Change("2", "row", {"email": "b"}, {"audio": 5}),
    ]
    assert [outcome.state for outcome in await sink.find(changes)] == ["later", "rejected"]
    assert [outcome.state for outcome in await sink.write(changes)] == ["confirmed", "rejected"]
    assert [outcome.state for outcome in await sink.find(changes)] == ["confirmed", "rejected"]
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["a-audio.mp3", "a-text.txt"]
    (tmp_path / "file").write_text("")
    assert [one.verdict for one in await folder_sink({"path": "file"}, tmp_path).check({})] == ["fail"]


@pytest.mark.parametrize("kind", ["wav", "mp3"])
def test_a_long_recording_is_cut_without_a_loss(kind: str) -> None:
    data = encode_speech(Speech("Something that takes a while to say.", 30.0), kind)
    parts = cut_sound(data, len(data) // 4)
    assert len(parts) > 3
    assert all(len(part) <= len(data) // 4 for part in parts)
    assert sum(map(measure_seconds, parts)) == pytest.approx(measure_seconds(data), abs=0.1)
    assert measure_seconds(join_sound(kind, parts)) == pytest.approx(measure_seconds(data), abs=0.1)


def test_what_is_short_is_not_cut_and_what_cannot_be_cut_is_said() -> None:
    silence = make_silence(1.0)
    assert cut_sound(silence, 25_000_000) == [silence]
    for data in (b"OggS" + bytes(100), struct.pack("<100x")):
        with pytest.raises(ValueError, match="cannot be cut"):
            cut_sound(data, 10)


EXAMPLE = Path(__file__).parents[2] / "examples" / "voice"


def test_the_example_goes_from_texts_to_recordings_to_judged_feedback(tmp_path: Path) -> None:
    shutil.copytree(EXAMPLE, tmp_path, dirs_exist_ok=True)

    def invoke(*words: str) -> Any:
        return CliRunner().invoke(penstock, [*words, "--sandbox", "--workspace", str(tmp_path)], standalone_mode=False)

    assert invoke("run", str(tmp_path / "flow.yaml"), "--yes").return_value == 0
    heard = json.loads(invoke("feedback", "hear", str(tmp_path / "calls"), "--json").stdout)
    assert (heard["added"], heard["failed"]) == (3, [])
    assert invoke("run", str(tmp_path / "judge.yaml"), "--apply-schema", "--yes").return_value == 0
    judged = json.loads(invoke("explain", "c01@example.com", "--json").stdout)
    [written] = judged["written"]
    assert written["fields"]["VOICE_LABEL"] == "negative"
    assert written["fields"]["VOICE_DONE_VERSION"] == "analyze-sentiment 1"
    [aspect] = [one for one in judged["judged"][0]["results"]["sentiment"]["aspects"] if one["topic"] == "delivery"]
    assert aspect["score"] < 0
    assert aspect["evidence"] == "Hello, my parcel came two weeks late, a terrible delivery."
