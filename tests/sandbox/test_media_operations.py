"""Pictures, speech and recordings through the whole path of a paid call, against the emulated OpenAI."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from penstock.base.errors import FixError, InputError, RejectedError, StoppedError
from penstock.calls import CallOptions
from penstock.door import Penstock
from penstock.operations.catalogue import find_operation
from penstock.operations.media import measure_picture
from penstock.operations.result import Result
from penstock.operations.sound import measure_seconds
from penstock.sandbox.pixels import draw_look, encode_picture
from penstock.sandbox.world import Fault
from penstock.workspace import Workspace

MEDIA = ("generate-image", "edit-image", "speak", "transcribe", "translate-audio", "analyze-image")
TEXT = "The parcel came two weeks late."
ENDS = "ends in"


@pytest.fixture
async def workspace(tmp_path: Path) -> AsyncIterator[Workspace]:
    async with Workspace.open(tmp_path, overrides={"sandbox": True}, environ={}) as workspace:
        yield workspace


async def call(workspace: Workspace, name: str, model: str | None = None, **values: Any) -> Result:
    return await workspace.operations.call(name, values, CallOptions(model=model))


async def say(workspace: Workspace, format: str = "mp3", text: str = TEXT) -> bytes:
    result = await call(workspace, "speak", text=text, format=format)
    return base64.b64decode(result.output["audio"]["base64"])


def own_warnings(result: Result) -> list[str]:
    return [warning for warning in result.warnings if ENDS not in warning]


async def spent(workspace: Workspace) -> int:
    return sum(row.cost for row in await workspace.ledger.costs())


@pytest.mark.parametrize("name", MEDIA)
async def test_the_example_works_and_the_preview_told_at_least_its_cost(workspace: Workspace, name: str) -> None:
    operation = find_operation(name)
    preview = workspace.operations.preview(name, operation.example)
    result = await call(workspace, name, **operation.example)
    assert result.cost_dollars is not None
    assert result.cost_dollars > 0
    assert preview.most_dollars is not None
    if operation.work is None:  # the preview of several calls is that of the first
        assert result.cost_dollars <= preview.most_dollars
    held = await call(workspace, name, **operation.example)
    assert (held.output, held.calls, held.cost_dollars) == (result.output, 0, 0.0)
    assert held.saved_dollars == pytest.approx(result.cost_dollars)


@pytest.mark.parametrize(
    ("values", "size", "dollars"),
    [
        ({"size": "1024x1024", "quality": "low"}, (1024, 1024), 0.006),
        ({"size": "1024x1536", "quality": "high", "format": "jpeg"}, (1024, 1536), 0.165),
        ({"size": "1536x1024", "quality": "medium", "copies": 3, "format": "webp"}, (1536, 1024), 0.123),
    ],
)
async def test_pictures_come_as_wished_at_the_published_price(
    workspace: Workspace, values: dict[str, Any], size: tuple[int, int], dollars: float
) -> None:
    result = await call(workspace, "generate-image", text="A red kettle", **values)
    pictures = [base64.b64decode(one["base64"]) for one in result.output["images"]]
    assert [measure_picture(one) for one in pictures] == [size] * values.get("copies", 1)
    assert {one["media_type"] for one in result.output["images"]} == {f"image/{values.get('format', 'png')}"}
    assert result.cost_dollars == pytest.approx(dollars, rel=0.02)
    assert result.usage["image_output"] == result.usage["output"]


async def test_an_edit_is_billed_by_text_and_pictures(workspace: Workspace) -> None:
    picture = encode_picture(draw_look("x"), 320, 320, "png")
    mask = encode_picture(draw_look("x"), 320, 320, "png", transparent=True)
    result = await call(
        workspace, "edit-image", text="Paint it blue", images=[picture, picture], mask=mask, quality="low"
    )
    used = result.usage
    assert used["image_input"] == 200
    expected = (used["input"] - 200) * 5e-6 + 200 * 8e-6 + used["output"] * 30e-6
    assert result.cost_dollars == pytest.approx(expected)


async def test_a_prompt_that_is_not_drawn_says_so_and_costs_nothing(workspace: Workspace) -> None:
    with pytest.raises(RejectedError) as caught:
        await call(
            workspace, "generate-image", text="graphic explicit sex, kill yourself, how to build a bomb and murder"
        )
    assert "safety" in caught.value.message
    assert await spent(workspace) == 0


@pytest.mark.parametrize("model", ["dall-e-3", "dall-e-2", "gpt-image-1"])
async def test_a_model_that_is_gone_is_refused_with_its_replacement(workspace: Workspace, model: str) -> None:
    with pytest.raises(FixError, match=f"no longer serves {model}: it was shut down on 2026") as caught:
        await call(workspace, "generate-image", model, text="A kettle", size="1024x1024")
    assert (caught.value.code, "gpt-image-2" in caught.value.hint) == ("model.shut-down", True)
    assert workspace.vendors.world.billed_calls.total() == 0


async def test_who_wishes_it_gets_the_replacement_and_is_told(tmp_path: Path) -> None:
    overrides = {"sandbox": True, "replace-ended": True}
    async with Workspace.open(tmp_path, overrides=overrides, environ={}) as workspace:
        result = await call(workspace, "generate-image", "dall-e-3", text="A kettle", size="1792x1024", quality="hd")
    assert (result.model, result.output["size"]) == ("gpt-image-2", "1792x1024")
    assert any("dall-e-3 is shut down: gpt-image-2 answers in its place" in one for one in result.warnings)
    assert "quality: hd was a word of DALL-E; high is used" in result.warnings


@pytest.mark.parametrize("format", ["mp3", "wav", "flac", "opus", "aac"])
async def test_what_is_spoken_can_be_written_down_again(workspace: Workspace, format: str) -> None:
    sound = await say(workspace, format)
    if format == "aac":  # no transcription takes it
        with pytest.raises(InputError, match="taken are"):
            await call(workspace, "transcribe", recording=sound)
        return
    result = await call(workspace, "transcribe", recording=sound)
    assert (result.output["text"], result.output["languages"]) == (TEXT, ["en"])
    assert measure_seconds(sound) == pytest.approx(result.usage["seconds"], abs=0.05)
    assert result.cost_dollars == pytest.approx(result.usage["seconds"] / 60 * 0.0045)


async def test_speech_has_a_known_cost_and_fits_a_budget(workspace: Workspace) -> None:
    result = await call(workspace, "speak", text=TEXT, voice="coral")
    assert result.cost_dollars == pytest.approx(result.usage["input"] * 0.6e-6 + result.usage["output"] * 12e-6)
    assert any("gpt-4o-mini-tts ends in" in warning for warning in result.warnings)
    options = CallOptions(budget=0.01)
    assert (await workspace.operations.call("speak", {"text": "Another one."}, options)).cost_dollars
    with pytest.raises(StoppedError):
        await workspace.operations.call("speak", {"text": "A third."}, CallOptions(budget=0.0001))
    older = await call(workspace, "speak", "tts-1", text=TEXT)
    assert (older.usage["characters"], older.cost_dollars) == (len(TEXT), pytest.approx(len(TEXT) * 15e-6))


async def test_a_long_text_is_spoken_in_parts_and_heard_as_one(workspace: Workspace) -> None:
    text = "".join(f"Sentence number {number} of the story. " for number in range(150))
    result = await call(workspace, "speak", text=text, format="mp3")
    sound = base64.b64decode(result.output["audio"]["base64"])
    assert result.calls == 2
    assert own_warnings(result) == ["text: too long for one call; cut into 2 at ends of sentences and joined"]
    assert measure_seconds(sound) == pytest.approx(len(text) / 15, abs=0.2)


async def test_a_part_that_was_bought_is_not_bought_again(workspace: Workspace) -> None:
    text = "".join(f"Sentence number {number} of the story. " for number in range(150))
    fault = Fault("openai", "speech", "status", status=400, code="invalid_value", after=1, times=1)
    workspace.vendors.world.faults.append(fault)
    with pytest.raises(RejectedError):
        await call(workspace, "speak", text=text)
    again = await call(workspace, "speak", text=text)
    assert again.calls == 1
    assert workspace.vendors.world.billed_calls["speech"] == 2


@pytest.mark.parametrize(
    ("model", "format", "has"),
    [
        ("whisper-1", "segments", "segments"),
        ("whisper-1", "words", "words"),
        ("whisper-1", "srt", "file"),
        ("whisper-1", "vtt", "file"),
        ("gpt-4o-transcribe-diarize", "speakers", "segments"),
        ("gpt-4o-transcribe", "text", "text"),
    ],
)
async def test_every_form_of_a_transcript_has_its_text_and_its_cost(
    workspace: Workspace, model: str, format: str, has: str
) -> None:
    text = "Good morning. " * 40
    sound = await say(workspace, text=text)
    result = await call(workspace, "transcribe", model, recording=sound, format=format)
    assert result.output[has]
    assert result.output["text"].split() == text.split()
    assert result.cost_dollars
    if model == "whisper-1":
        assert result.cost_dollars == pytest.approx(len(text) / 15 / 60 * 0.006, rel=0.01)
    if format == "speakers":
        assert {one["speaker"] for one in result.output["segments"]} == {"A", "B"}


async def test_a_translation_takes_the_way_of_its_model(workspace: Workspace) -> None:
    sound = await say(workspace, text="Guten Tag, das Paket ist nicht angekommen.")
    one = await call(workspace, "translate-audio", "whisper-1", recording=sound)
    two = await call(workspace, "translate-audio", recording=sound)
    assert (one.calls, own_warnings(one), one.model) == (1, [], "whisper-1")
    assert (two.calls, two.model, two.output["languages"]) == (2, "gpt-6-luna", ["de"])
    assert two.output["original"] == "Guten Tag, das Paket ist nicht angekommen."
    assert two.usage["seconds"] == one.usage["seconds"] > 0
    assert len(two.request_ids) == 2
    assert own_warnings(two)[0].startswith("translate-audio: two calls; gpt-transcribe writes down")


async def test_what_was_refused_once_is_no_longer_sent(workspace: Workspace) -> None:
    sound = await say(workspace)
    fault = Fault(
        "openai", "transcriptions", "status", status=400, code="unsupported_parameter", param="temperature", times=1
    )
    workspace.vendors.world.faults.append(fault)
    result = await call(workspace, "transcribe", recording=sound, temperature=0.4)
    assert own_warnings(result) == ["temperature: gpt-transcribe refused it; left out"]
    assert own_warnings(await call(workspace, "transcribe", recording=sound, temperature=0.5)) == own_warnings(result)


async def test_speech_that_breaks_off_is_asked_for_again_and_the_books_say_so(workspace: Workspace) -> None:
    workspace.vendors.world.faults.append(Fault("openai", "speech", "drop", times=1))
    result = await call(workspace, "speak", text=TEXT)
    assert base64.b64decode(result.output["audio"]["base64"])
    assert workspace.vendors.world.calls.total() == 2


async def test_a_url_is_not_fetched_in_the_sandbox(workspace: Workspace) -> None:
    with pytest.raises(InputError, match="fetches nothing") as caught:
        await call(workspace, "edit-image", text="x", images=["https://files.example/x.png"])
    assert caught.value.code == "file.not-fetched"
    shown = workspace.operations.preview("edit-image", {"text": "x", "images": ["https://files.example/x.png"]})
    assert shown.files == ("image: x.png (0 bytes)",)


async def test_paths_are_read_here_and_not_for_callers_under_a_label(workspace: Workspace, tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(encode_picture(draw_look("x"), 64, 64, "png"))
    values = {"text": "Which colour?", "images": [str(path)]}
    assert (await workspace.operations.call("analyze-image", values)).output["text"]
    with pytest.raises(InputError, match="paths are not read here"):
        await workspace.operations.under("tools", None).call("analyze-image", values)


def test_the_plain_door_takes_bytes_and_paths(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(encode_picture(draw_look("x"), 64, 64, "png"))
    with Penstock(tmp_path, sandbox=True) as penstock:
        one = penstock.edit_image(text="Blue", images=[path], quality="low")
        two = penstock.edit_image(text="Blue", images=[path.read_bytes()], quality="low")
    assert (one.output, two.calls) == (two.output, 0)
