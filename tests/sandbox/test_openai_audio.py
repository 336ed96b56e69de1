"""Speech and transcripts of the emulated OpenAI: what each model takes, what is refused, and what is counted."""

import io
import wave
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from media_desk import Desk

from penstock.base.types import Usage
from penstock.sandbox.sound import TYPES, encode_speech, read_speech, speak

HELLO = {"model": "gpt-4o-mini-tts", "voice": "alloy", "input": "Hello, your parcel has arrived."}


def silent_wav(seconds):
    made = io.BytesIO()
    with wave.open(made, "wb") as out:
        out.setparams((1, 2, 8_000, 0, "NONE", ""))
        out.writeframes(bytes(round(16_000 * seconds)))
    return made.getvalue()


@given(text=st.text(min_size=1, max_size=400), kind=st.sampled_from(sorted(set(TYPES) - {"pcm"})))
def test_every_file_carries_its_text(text, kind):
    speech = speak(text, "marin", 1.0)
    assert read_speech(encode_speech(speech, kind)) == speech


async def test_a_wav_is_as_long_as_its_text_at_its_speed():
    desk = Desk()
    for speed, seconds in ((1.0, 31 / 15), (2.0, 31 / 30)):
        got = await desk.post("audio/speech", **HELLO, response_format="wav", speed=speed)
        with wave.open(io.BytesIO(got.raw)) as sound:
            assert sound.getframerate() == 24_000
            assert sound.getnframes() / 24_000 == pytest.approx(seconds, abs=0.001)


async def test_speech_is_counted_in_tokens_or_in_characters():
    desk = Desk()
    await desk.post("audio/speech", **HELLO)
    await desk.post("audio/speech", **{**HELLO, "model": "tts-1-hd"})
    assert desk.world.billed_usage == {
        "gpt-4o-mini-tts": Usage(input=7, output=43, audio_output=43),
        "tts-1-hd": Usage(characters=31),
    }


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        ({"input": "x" * 4_097}, "input", "string_above_max_length"),
        ({"input": ""}, "input", "missing_required_parameter"),
        ({"voice": "bob"}, "voice", "invalid_value"),
        ({"voice": None}, "voice", "missing_required_parameter"),
        ({"voice": {"id": "other_1"}}, "voice", "invalid_value"),
        ({"speed": 4.5}, "speed", "invalid_value"),
        ({"response_format": "ogg"}, "response_format", "invalid_value"),
        ({"model": "tts-1", "instructions": "Whisper"}, "instructions", "unsupported_parameter"),
        ({"model": "tts-1", "stream_format": "sse"}, "stream_format", "unsupported_value"),
        ({"model": "whisper-1"}, "model", "unsupported_value"),
    ],
)
async def test_what_cannot_be_spoken_is_refused(body, param, code):
    got = await Desk().post("audio/speech", **{**HELLO, **body})
    assert (got.status, got.error["param"], got.error["code"]) == (400, param, code)


async def test_a_voice_of_ones_own_speaks():
    assert (await Desk().post("audio/speech", **{**HELLO, "voice": {"id": "voice_1234"}})).status == 200


async def test_all_speech_ends_on_its_day():
    desk = Desk()
    desk.clock.advance(datetime(2027, 1, 6, tzinfo=UTC).timestamp() - desk.clock.now())
    for model in ("tts-1", "tts-1-hd", "gpt-4o-mini-tts"):
        assert (await desk.post("audio/speech", **{**HELLO, "model": model})).status == 404


async def test_another_recording_gets_a_placeholder_with_its_length():
    desk = Desk()
    got = [
        await desk.form("audio/transcriptions", {"file": ("call.wav", silent_wav(3.5))}, model="gpt-transcribe")
        for _ in range(2)
    ]
    assert got[0].raw == got[1].raw
    assert "3.5 seconds" in got[0].json["text"]
    assert got[0].json["usage"] == {"type": "duration", "seconds": 3.5}
    assert desk.world.billed_usage["gpt-transcribe"] == Usage(seconds=7.0)


@pytest.mark.parametrize(
    ("file", "fields", "status", "param"),
    [
        (("call.txt", b"x"), {}, 400, "file"),
        (("call", b"x"), {}, 400, "file"),
        (("call.wav", silent_wav(0)), {}, 400, "file"),
        (("call.wav", bytes(25_000_001)), {}, 413, "file"),
        (("call.wav", silent_wav(1)), {"response_format": "srt"}, 400, "response_format"),
        (("call.wav", silent_wav(1)), {"language": "en"}, 400, "language"),
        (("call.wav", silent_wav(1)), {"temperature": "2"}, 400, "temperature"),
        (("call.wav", silent_wav(1)), {"model": "whisper-1", "keywords[]": "kite"}, 400, "keywords"),
        (
            ("call.wav", silent_wav(1)),
            {"model": "gpt-4o-transcribe", "response_format": "text"},
            400,
            "response_format",
        ),
        (("call.wav", silent_wav(31)), {"model": "gpt-4o-transcribe-diarize"}, 400, "chunking_strategy"),
        (("call.wav", silent_wav(1)), {"model": "gpt-4o-transcribe-diarize", "prompt": "x"}, 400, "prompt"),
        (
            ("call.wav", silent_wav(1)),
            {"model": "gpt-4o-transcribe-diarize", "known_speaker_names[]": ["a", "b"]},
            400,
            "known_speaker_names",
        ),
        (
            ("call.wav", silent_wav(1)),
            {"model": "whisper-1", "timestamp_granularities[]": "word"},
            400,
            "timestamp_granularities",
        ),
    ],
)
async def test_what_cannot_be_heard_is_refused(file, fields, status, param):
    got = await Desk().form("audio/transcriptions", {"file": file}, **{"model": "gpt-transcribe", **fields})
    assert (got.status, got.error["param"]) == (status, param)


async def test_a_transcription_is_a_form():
    got = await Desk().post("audio/transcriptions", model="gpt-transcribe")
    assert (got.status, got.error["code"]) == (400, "invalid_content_type")


async def test_translation_is_honest_about_what_it_cannot_do():
    desk = Desk()
    spoken = encode_speech(speak("Die Lieferung kam leider viel zu spät und war kaputt", "alloy", 1.0), "wav")
    body = {"model": "whisper-1", "response_format": "verbose_json"}
    got = await desk.form("audio/translations", {"file": ("a.wav", spoken)}, **body)
    assert got.json["task"] == "translate"
    assert got.json["language"] == "english"
    assert "not translated by the sandbox" in got.json["text"]
    refused = await desk.form("audio/translations", {"file": ("a.wav", spoken)}, model="gpt-transcribe")
    assert refused.error["param"] == "model"
