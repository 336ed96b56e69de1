"""The official OpenAI SDK, with strict response validation, makes pictures and sound in the sandbox."""

import base64
import io
import json

import openai
import pytest

from openai_server import OpenAIServer, make_check, without_nulls
from penstock.sandbox.pixels import read_picture

PROMPT = "A red kite over a field of oats"


@pytest.fixture(scope="module")
def server():
    with OpenAIServer() as server:
        yield server


@pytest.fixture(scope="module")
def conforms():
    return make_check()


@pytest.fixture
async def client(server):
    server.world.reset()
    async with server.client() as client:
        yield client


def picture_of(image):
    return read_picture(base64.b64decode(image.b64_json))


async def test_images_come_as_base64_with_tokens_by_kind(client, conforms):
    request = {"model": "gpt-image-2", "prompt": PROMPT, "n": 2, "size": "1024x1536", "quality": "high"}
    conforms("CreateImageRequest", request)
    raw = await client.images.with_raw_response.generate(**request)
    result = raw.parse()
    assert [picture_of(one)[:3] for one in result.data] == [("png", 1024, 1536)] * 2
    assert result.usage.output_tokens == 11_000
    assert result.usage.output_tokens_details.image_tokens == 11_000
    assert result.usage.input_tokens_details.image_tokens == 0
    conforms("ImagesResponse", without_nulls(raw.http_response.json()))


async def test_a_streamed_picture_sends_previews_first(client, conforms):
    stream = await client.images.generate(model="gpt-image-2", prompt=PROMPT, stream=True, partial_images=2)
    events = [event async for event in stream]
    assert [event.type for event in events] == [
        "image_generation.partial_image",
        "image_generation.partial_image",
        "image_generation.completed",
    ]
    assert [event.partial_image_index for event in events[:2]] == [0, 1]
    assert picture_of(events[2])[:3] == ("png", 1024, 1024)
    conforms("ImageGenPartialImageEvent", without_nulls(events[0].model_dump()))
    conforms("ImageGenCompletedEvent", without_nulls(events[2].model_dump()))


async def test_pictures_are_edited_with_a_mask(client):
    made = await client.images.generate(model="gpt-image-2", prompt=PROMPT, background="transparent")
    first = base64.b64decode(made.data[0].b64_json)
    result = await client.images.edit(
        model="gpt-image-2",
        prompt="Make it blue",
        image=[("one.png", first), ("two.png", first)],
        mask=("mask.png", first),
        output_format="webp",
    )
    assert picture_of(result.data[0])[:3] == ("webp", 1024, 1024)
    assert result.usage.input_tokens_details.image_tokens == 2 * 1024
    stream = await client.images.edit(model="gpt-image-2", prompt="Bluer", image=first, stream=True, partial_images=1)
    assert [event.type async for event in stream] == ["image_edit.partial_image", "image_edit.completed"]


async def test_refused_pictures_raise_what_the_sdk_maps_them_to(client):
    with pytest.raises(openai.NotFoundError, match="dall-e-3"):
        await client.images.generate(model="dall-e-3", prompt=PROMPT)
    with pytest.raises(openai.BadRequestError) as caught:
        await client.images.generate(model="gpt-image-2", prompt="a porn scene")
    assert caught.value.code == "moderation_blocked"


@pytest.mark.parametrize("kind", ["mp3", "opus", "aac", "flac", "wav", "pcm"])
async def test_speech_comes_in_every_format(client, conforms, kind):
    request = {
        "model": "gpt-4o-mini-tts",
        "voice": "marin",
        "input": "Good morning, customers.",
        "response_format": kind,
    }
    conforms("CreateSpeechRequest", request)
    spoken = await client.audio.speech.create(**request)
    assert len(spoken.content) > 100
    async with client.audio.speech.with_streaming_response.create(**request) as response:
        assert response.headers["content-type"] == {"mp3": "audio/mpeg"}.get(kind, f"audio/{kind}")
        assert b"".join([piece async for piece in response.iter_bytes()]) == spoken.content


@pytest.mark.parametrize(("kind", "ending"), [("wav", "wav"), ("mp3", "mp3"), ("flac", "flac"), ("opus", "ogg")])
async def test_what_was_spoken_is_heard_again(client, conforms, kind, ending):
    text = "Your order has left our house. It arrives on Friday!"
    spoken = await client.audio.speech.create(model="tts-1", voice="alloy", input=text, response_format=kind)
    recording = (f"speech.{ending}", spoken.content)
    raw = await client.audio.transcriptions.with_raw_response.create(model="gpt-transcribe", file=recording)
    assert raw.parse().text == text
    assert [one.code for one in raw.parse().languages] == ["en"]
    assert raw.parse().usage.type == "duration"
    conforms("CreateTranscriptionResponseJson", raw.http_response.json())


async def test_every_form_of_a_transcript(client, conforms):
    text = "First we listen. Then we write."
    spoken = await client.audio.speech.create(model="tts-1", voice="alloy", input=text, response_format="wav")
    recording = ("speech.wav", io.BytesIO(spoken.content))

    async def hear(**options):
        recording[1].seek(0)
        return await client.audio.transcriptions.create(**{"model": "whisper-1", "file": recording, **options})

    verbose = await hear(response_format="verbose_json", timestamp_granularities=["word", "segment"])
    assert [one.text for one in verbose.segments] == ["First we listen.", "Then we write."]
    assert [one.word for one in verbose.words] == text.split()
    conforms("CreateTranscriptionResponseVerboseJson", without_nulls(verbose.model_dump()))
    assert (await hear(response_format="text")) == text + "\n"
    assert (await hear(response_format="srt")).startswith("1\n00:00:00,000 --> ")
    assert (await hear(response_format="vtt")).startswith("WEBVTT\n\n00:00:00.000 --> ")
    spoken_by = await hear(model="gpt-4o-transcribe-diarize", response_format="diarized_json", chunking_strategy="auto")
    assert [one.speaker for one in spoken_by.segments] == ["A", "B"]
    conforms("CreateTranscriptionResponseDiarizedJson", without_nulls(spoken_by.model_dump()))
    counted = await hear(model="gpt-4o-mini-transcribe", include=["logprobs"])
    assert counted.usage.input_token_details.audio_tokens == 21
    assert len(counted.logprobs) == 6
    streamed = await hear(model="gpt-4o-transcribe", stream=True)
    events = [event async for event in streamed]
    assert "".join(event.delta for event in events[:-1]) == events[-1].text == text
    conforms("TranscriptTextDeltaEvent", without_nulls(events[0].model_dump()))
    conforms("TranscriptTextDoneEvent", without_nulls(events[-1].model_dump()))
    with pytest.warns(DeprecationWarning, match="deprecated"):
        translated = await client.audio.translations.create(model="whisper-1", file=("speech.wav", spoken.content))
    assert translated.text == text
    with pytest.raises(openai.BadRequestError, match="response_format"):
        await hear(model="gpt-transcribe", response_format="srt")


async def test_speech_streams_as_events(client, conforms):
    request = {"model": "gpt-4o-mini-tts", "voice": "cedar", "input": "Hello", "stream_format": "sse"}
    async with client.audio.speech.with_streaming_response.create(**request) as response:
        lines = [line async for line in response.iter_lines() if line]
    events = [json.loads(line.removeprefix("data: ")) for line in lines]
    assert [event["type"] for event in events] == ["speech.audio.delta", "speech.audio.done"]
    assert events[1]["usage"]["output_tokens"] == 7
    for event in events:
        conforms("CreateSpeechResponseStreamEvent", event)
