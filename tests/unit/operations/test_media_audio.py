"""Speech and recordings: lengths, joined parts, what each model takes, and how answers are read."""

from __future__ import annotations

import base64
import io
import struct
import wave
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fake_asker import FakeAsker, answer, choose, respond_with
from penstock.base.errors import InputError, OutputError, UnavailableError
from penstock.base.types import DOLLAR
from penstock.operations import speak, transcribe, translate_audio
from penstock.operations.sound import join_sound, make_silence, measure_seconds
from penstock.operations.speak import MOST_CHARACTERS, cut_text
from penstock.sandbox.sound import Speech, encode_speech
from penstock.vendor.models import load_catalogue

CATALOGUE = load_catalogue()
WAV = make_silence(1.5)
SRT = "1\n00:00:00,000 --> 00:00:01,500\nGood morning.\n\n2\n00:00:01,500 --> 00:00:03,000\nThe parcel\nis late.\n"
VTT = "WEBVTT\n\n00:00.000 --> 00:01.500\nGood morning.\n\nNOTE nobody says this\n"


def say(model: str = "gpt-4o-mini-tts", **values: Any) -> Any:
    options = {name: values.pop(name) for name in ("strict", "refused") if name in values}
    return speak.prepare(speak.OPERATION.parse({"text": "Good morning.", **values}), choose(model, **options))


def hear(model: str = "gpt-transcribe", **values: Any) -> Any:
    options = {name: values.pop(name) for name in ("strict", "refused") if name in values}
    return transcribe.prepare(transcribe.OPERATION.parse({"recording": WAV, **values}), choose(model, **options))


# lengths


@pytest.mark.parametrize("kind", ["mp3", "wav", "flac", "opus"])
@pytest.mark.parametrize("seconds", [0.5, 3.0, 75.25])
def test_the_length_of_a_recording_is_read_from_it(kind: str, seconds: float) -> None:
    found = measure_seconds(encode_speech(Speech("Hello", seconds), kind))
    assert found == pytest.approx(seconds, abs=0.05)


def test_the_length_of_an_mp4_is_read_from_its_header() -> None:
    body = b"\0\0\0\x20ftypM4A \0\0\0\0" + b"\0\0\0\x6cmoov\0\0\0\x64mvhd" + struct.pack(">IIIII", 0, 1, 2, 600, 3000)
    assert measure_seconds(body + b"\0" * 100) == 5.0
    long = b"\0\0\0\x20ftypmp42\0\0\0\0mvhd" + struct.pack(">IQQIQ", 1 << 24, 1, 2, 1000, 61_000)
    assert measure_seconds(long + b"\0" * 100) == 61.0


def test_a_streamed_wav_without_a_length_is_measured_by_its_bytes() -> None:
    for size in (0, 0xFFFFFFFF):
        at = WAV.index(b"data") + 4
        streamed = WAV[:at] + struct.pack("<I", size) + WAV[at + 4 :]
        assert measure_seconds(streamed) == 1.5


@given(st.binary(max_size=400))
def test_a_length_that_cannot_be_read_is_rather_too_long(data: bytes) -> None:
    for beginning in (
        b"RIFF\0\0\0\0WAVE",
        b"OggS",
        b"fLaC",
        b"\0\0\0\x20ftypmp42",
        b"\xff\xfb\x90\xc4",
        b"\x1aE\xdf\xa3",
    ):
        assert measure_seconds(beginning + data) >= 0


# joining


def test_joined_wavs_play_one_after_the_other() -> None:
    with wave.open(io.BytesIO(join_sound("wav", [WAV, make_silence(0.5), WAV]))) as file:
        assert file.getnframes() / file.getframerate() == 3.5
        assert file.getframerate() == 2_000


def test_wavs_of_another_rate_are_not_joined() -> None:
    with pytest.raises(ValueError, match="sampled differently"):
        join_sound("wav", [WAV, make_silence(1.0, 8_000)])


def test_joined_mp3s_hold_all_frames_and_no_tags_in_between() -> None:
    parts = [encode_speech(Speech(text, 2.0), "mp3") for text in ("One", "Two")]
    frame = b"\xff\xf3\x44\xc4" + b"\0" * 92
    told = parts[1][: parts[1].index(frame)] + frame[:20] + b"Info" + frame[24:] + parts[1][parts[1].index(frame) :]
    joined = join_sound("mp3", [parts[0], told, b"".join((frame, b"TAG", b"\0" * 125))])
    assert b"ID3" not in joined
    assert b"TAG" not in joined
    assert b"Info" not in joined
    assert len(joined) % 96 == 0
    assert measure_seconds(joined) == pytest.approx(4.0 + 0.024, abs=0.05)


def test_samples_are_simply_strung_together() -> None:
    assert join_sound("pcm", [b"\1\2", b"\3\4"]) == b"\1\2\3\4"


# speak


def test_a_long_text_is_cut_behind_sentences() -> None:
    text = "This is one sentence. " * 300 + "Is it the last?"
    parts = cut_text(text)
    assert len(parts) == 2
    assert all(part.endswith((".", "?")) for part in parts)
    assert " ".join(parts) == text


@given(st.text(alphabet=st.sampled_from("ab .!?\n。x"), min_size=1, max_size=200), st.integers(1, 120))
def test_nothing_of_a_text_is_lost_and_no_part_is_too_long(piece: str, times: int) -> None:
    parts = cut_text(piece * times)
    assert all(0 < len(part) <= MOST_CHARACTERS for part in parts)
    assert "".join("".join(parts).split()) == "".join((piece * times).split())


def test_speech_is_asked_for_as_events_because_only_they_tell_what_was_used() -> None:
    ask = say(voice="coral", instructions="Calm.", speed=1.5, format="wav")
    assert ask.body == {
        "model": "gpt-4o-mini-tts",
        "input": "Good morning.",
        "voice": "coral",
        "instructions": "Calm.",
        "response_format": "wav",
        "speed": 1.5,
        "stream_format": "sse",
    }
    assert (ask.path, ask.reply) == ("/audio/speech", "media")


def test_older_and_unknown_models_and_servers_that_refuse_events_get_the_plain_form() -> None:
    assert "stream_format" not in say("tts-1").body
    assert "stream_format" not in say("a-gateway-voice").body
    assert "stream_format" not in say(refused=frozenset({"stream_format"})).body


def test_a_voice_of_ones_own_goes_by_its_id() -> None:
    assert say(voice="voice_123").body["voice"] == {"id": "voice_123"}


def test_a_voice_that_is_not_there_is_replaced_with_a_warning_or_refused() -> None:
    ask = say(voice="rachel")
    assert (ask.body["voice"], ask.warnings) == (
        "alloy",
        ("voice: gpt-4o-mini-tts has no voice 'rachel'; alloy is used",),
    )
    with pytest.raises(InputError, match="voice cannot be honoured"):
        say(voice="rachel", strict=True)
    assert say(voice="Coral").body["voice"] == "coral"
    assert say("a-gateway-voice", voice="Rachel").body["voice"] == "Rachel"


def test_older_models_take_no_instructions() -> None:
    ask = say("tts-1", instructions="Calm.")
    assert "instructions" not in ask.body
    assert ask.warnings == ("instructions: tts-1 does not take them; left out",)
    with pytest.raises(InputError, match="instructions cannot be honoured"):
        say("tts-1", instructions="Calm.", strict=True)


def test_what_speech_costs_at_most() -> None:
    text = "Good morning, your parcel is on its way. " * 20
    characters = CATALOGUE.price("tts-1", None, "default", say("tts-1", text=text).most)
    tokens = CATALOGUE.price("gpt-4o-mini-tts", None, "default", say(text=text).most)
    assert characters == len(text.strip()) * 15 * DOLLAR // 1_000_000
    assert tokens is not None
    usual = len(text) / 15 / 60 * 0.015 * DOLLAR
    assert usual < tokens < usual * 3


@pytest.mark.parametrize("format", ["opus", "aac", "flac"])
def test_a_long_text_in_a_format_that_cannot_be_joined_is_refused(format: str) -> None:
    with pytest.raises(InputError, match="cannot be joined") as caught:
        say(text="A sentence. " * 500, format=format)
    assert (caught.value.code, "wav, mp3, pcm" in caught.value.hint) == ("speech.too-long", True)


async def test_the_parts_of_a_long_text_become_one_file() -> None:
    sound = base64.b64encode(make_silence(1.0)).decode()
    asker = FakeAsker(*[{"media_type": "audio/wav", "base64": sound}] * 2)
    given = speak.OPERATION.parse({"text": "A sentence. " * 500, "format": "wav"})
    done = await speak.OPERATION.perform(asker, given, choose("gpt-4o-mini-tts"))
    assert measure_seconds(base64.b64decode(done.output.audio.base64)) == 2.0
    assert (len(done.answers), done.output.audio.name) == (2, "speech.wav")
    assert done.warnings == ("text: too long for one call; cut into 2 at ends of sentences and joined",)
    assert [len(ask.body["input"]) <= MOST_CHARACTERS for ask in asker.asked] == [True, True]


async def test_a_part_that_fails_fails_the_whole_once_all_parts_are_through() -> None:
    sound = base64.b64encode(make_silence(1.0)).decode()
    asker = FakeAsker(UnavailableError("gone", code="http.broken"), {"media_type": "audio/wav", "base64": sound})
    given = speak.OPERATION.parse({"text": "A sentence. " * 500, "format": "wav"})
    with pytest.raises(UnavailableError):
        await speak.OPERATION.perform(asker, given, choose("gpt-4o-mini-tts"))
    assert len(asker.asked) == 2


@pytest.mark.parametrize(
    "content", [None, {}, {"base64": ""}, {"base64": "??"}, {"media_type": "text/plain", "text": ""}]
)
def test_an_answer_without_sound_is_none(content: Any) -> None:
    with pytest.raises(OutputError):
        speak.read(speak.OPERATION.parse({"text": "x"}), answer(content))


# transcribe


def test_a_recording_travels_with_a_name_that_has_an_ending() -> None:
    ask = hear()
    assert (ask.path, ask.body, ask.reply) == ("/audio/transcriptions", {"model": "gpt-transcribe"}, "json")
    assert [(file.field, file.name, file.media_type) for file in ask.files] == [("file", "recording.wav", "audio/wav")]


@pytest.mark.parametrize(
    ("model", "format", "sent"),
    [
        ("gpt-transcribe", "text", {}),
        ("whisper-1", "text", {}),
        ("gpt-4o-transcribe", "text", {}),
        ("whisper-1", "segments", {"response_format": "verbose_json"}),
        ("whisper-1", "words", {"response_format": "verbose_json", "timestamp_granularities": ["word", "segment"]}),
        ("whisper-1", "srt", {"response_format": "srt"}),
        ("whisper-1", "vtt", {"response_format": "vtt"}),
        ("gpt-4o-transcribe-diarize", "text", {"chunking_strategy": "auto"}),
        ("gpt-4o-transcribe-diarize", "speakers", {"chunking_strategy": "auto", "response_format": "diarized_json"}),
        ("a-gateway-model", "srt", {"response_format": "srt"}),
    ],
)
def test_the_form_is_said_as_the_model_knows_it(model: str, format: str, sent: dict[str, Any]) -> None:
    assert hear(model, format=format).body == {"model": model, **sent}


@pytest.mark.parametrize("format", ["segments", "words", "srt", "vtt", "speakers"])
@pytest.mark.parametrize("model", ["gpt-transcribe", "gpt-4o-transcribe", "gpt-4o-mini-transcribe"])
def test_a_form_that_a_model_does_not_write_is_refused_and_the_model_named_that_does(model: str, format: str) -> None:
    with pytest.raises(InputError, match=f"{model} does not write it") as caught:
        hear(model, format=format)
    maker = "gpt-4o-transcribe-diarize" if format == "speakers" else "whisper-1"
    assert maker in caught.value.hint


@pytest.mark.parametrize(
    ("model", "values", "sent", "warns"),
    [
        ("gpt-transcribe", {"languages": ["de", "fr"]}, {"languages": ["de", "fr"]}, False),
        ("whisper-1", {"languages": ["de"]}, {"language": "de"}, False),
        ("whisper-1", {"languages": ["de", "fr"]}, {}, True),
        ("gpt-transcribe", {"keywords": ["Penstock"]}, {"keywords": ["Penstock"]}, False),
        ("whisper-1", {"keywords": ["Penstock"], "context": "A call."}, {"prompt": "A call.\nPenstock"}, True),
        ("gpt-4o-transcribe", {"context": "A call."}, {"prompt": "A call."}, False),
        ("gpt-4o-transcribe-diarize", {"context": "A call."}, {"chunking_strategy": "auto"}, True),
        ("gpt-4o-transcribe-diarize", {"keywords": ["x"]}, {"chunking_strategy": "auto"}, True),
        ("whisper-1", {"temperature": 0.2}, {"temperature": 0.2}, False),
        ("whisper-1", {"speakers": [{"name": "Ann", "file": WAV}]}, {}, True),
    ],
)
def test_what_helps_to_hear_is_said_as_the_model_knows_it(
    model: str, values: dict[str, Any], sent: dict[str, Any], warns: bool
) -> None:
    ask = hear(model, **values)
    assert ask.body == {"model": model, **sent}
    assert bool(ask.warnings) == warns
    if warns:
        with pytest.raises(InputError, match="cannot be honoured"):
            hear(model, **values, strict=True)


def test_known_speakers_go_along_with_their_samples() -> None:
    ask = hear("gpt-4o-transcribe-diarize", format="speakers", speakers=[{"name": "Ann", "file": WAV}])
    assert ask.body["known_speaker_names"] == ["Ann"]
    assert ask.body["known_speaker_references"][0].startswith("data:audio/wav;base64,")


def test_what_listening_costs_at_most_follows_from_the_length() -> None:
    minute = make_silence(60.0)
    assert CATALOGUE.price("gpt-transcribe", None, "default", hear(recording=minute).most) == int(0.0045 * DOLLAR)
    tokens = hear("gpt-4o-transcribe", recording=minute).most
    assert 600 <= tokens.audio_input < 640
    assert hear(recording="https://files.example/call.mp3").most is None


def listen(content: Any, **values: Any) -> Any:
    return transcribe.read(transcribe.OPERATION.parse({"recording": WAV, **values}), answer(content, "whisper-1"))


@pytest.mark.parametrize(("format", "text", "says"), [("srt", SRT, "Good morning. The parcel is late."),
                                                      ("vtt", VTT, "Good morning.")])  # fmt: skip
def test_subtitles_are_a_file_and_their_words_the_text(format: str, text: str, says: str) -> None:
    output = listen({"media_type": "text/plain", "text": text}, format=format)
    assert output.text == says
    assert (base64.b64decode(output.file.base64).decode(), output.file.name) == (text, f"subtitles.{format}")


def test_times_and_speakers_are_read() -> None:
    part = {"start": 0, "end": 1.5, "text": " Good morning.", "speaker": "A"}
    output = listen({"text": "Good morning.", "segments": [part], "words": [{"start": 0, "end": 1, "word": "Good"}]})
    assert [(one.start, one.end, one.text, one.speaker) for one in output.segments] == [(0, 1.5, "Good morning.", "A")]
    assert [one.text for one in output.words] == ["Good"]


@pytest.mark.parametrize(
    "content", [None, {}, {"text": None}, {"text": "x", "segments": [7]}, {"text": "x", "words": [{}]}]
)
def test_an_answer_of_another_shape_is_none(content: Any) -> None:
    with pytest.raises(OutputError):
        listen(content)


# translate-audio


def translate(model: str, **values: Any) -> Any:
    given = translate_audio.OPERATION.parse({"recording": WAV, **values})
    return given, choose(model, writer=CATALOGUE.find("gpt-6-luna"))


async def test_english_takes_one_call_where_the_vendor_translates() -> None:
    asker = FakeAsker({"text": "The parcel is late."})
    done = await translate_audio.OPERATION.perform(asker, *translate("whisper-1", context="A call."))
    assert [ask.path for ask in asker.asked] == ["/audio/translations"]
    assert asker.asked[0].body == {"model": "whisper-1", "prompt": "A call."}
    assert (done.output.text, done.warnings) == ("The parcel is late.", ())


@pytest.mark.parametrize(("model", "to"), [("gpt-transcribe", "en"), ("whisper-1", "fr"), ("gpt-4o-transcribe", "en")])
async def test_otherwise_it_is_written_down_and_translated_by_a_text_model(model: str, to: str) -> None:
    asker = FakeAsker({"text": "Das Paket ist da."}, respond_with("The parcel is here."))
    done = await translate_audio.OPERATION.perform(asker, *translate(model, to=to))
    assert [ask.path for ask in asker.asked] == ["/audio/transcriptions", "/responses"]
    assert (done.output.text, done.output.original) == ("The parcel is here.", "Das Paket ist da.")
    assert len(done.answers) == 2
    assert done.warnings == (f"translate-audio: two calls; {model} writes down what is said, gpt-6-luna translates it",)


async def test_what_is_in_the_wished_language_already_is_not_translated() -> None:
    asker = FakeAsker({"text": "Hello.", "languages": [{"code": "en"}]})
    done = await translate_audio.OPERATION.perform(asker, *translate("gpt-transcribe"))
    assert (done.output.text, len(asker.asked)) == ("Hello.", 1)


async def test_without_a_text_model_it_is_refused_before_anything_is_paid() -> None:
    asker = FakeAsker()
    given, choice = translate("gpt-transcribe")
    with pytest.raises(InputError, match="no text model"):
        await translate_audio.OPERATION.perform(asker, given, choose(choice.model.id))
    assert asker.asked == []
