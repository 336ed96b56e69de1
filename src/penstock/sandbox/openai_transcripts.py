"""Transcriptions and translations of the emulated OpenAI.

What the sandbox itself spoke is heard word by word; any other recording gets a placeholder that names its length
and fingerprint. Nothing is really translated: words that are not English are marked as such.
"""

from __future__ import annotations

import hashlib
import math
from typing import Any, NamedTuple

import msgspec

from penstock.base.types import Usage
from penstock.sandbox.forms import FormFile
from penstock.sandbox.judge import judge
from penstock.sandbox.openai_fields import Fields, find_media_model, invalid, name_set, read_fields, unsupported
from penstock.sandbox.openai_models import Model
from penstock.sandbox.openai_requests import ApiError, missing
from penstock.sandbox.openai_routes import EVENTS, Call, Done, Job, Route, Service, answer_json
from penstock.sandbox.openai_streams import frame
from penstock.sandbox.openai_subtitles import Segment, cut_segments, place_words, write_srt, write_vtt
from penstock.sandbox.sound import measure_seconds, read_speech

_ENDINGS = ("flac", "mp3", "mp4", "mpeg", "mpga", "m4a", "ogg", "wav", "webm")
_MOST_BYTES = 25_000_000
_KNOWN = {
    "transcriptions": name_set(
        "file model language languages keywords prompt response_format temperature include timestamp_granularities "
        "stream chunking_strategy known_speaker_names known_speaker_references"
    ),
    "translations": name_set("file model prompt response_format temperature"),
}
_FORMATS = {
    "whisper-1": ("json", "text", "srt", "verbose_json", "vtt"),
    "gpt-4o-transcribe-diarize": ("json", "text", "diarized_json"),
}
_AUDIO_TOKENS_PER_SECOND = 10
_ENGLISH = name_set("the and is are was your you we to of for it this that then with has have how what")
_LANGUAGES = {"en": "english", "de": "german", "fr": "french", "es": "spanish", "it": "italian", "nl": "dutch"}


class _Heard(NamedTuple):
    """What was heard: the words, their language, the length in seconds, and how it is to be handed back."""

    text: str
    language: str
    seconds: float
    kind: str
    model: Model
    usage: Usage


class Transcripts:
    """Writes down what recordings say."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def routes(self) -> list[Route]:
        """Return the endpoints."""
        return [
            Route("POST", "/v1/audio/transcriptions", "transcriptions", self.transcribe),
            Route("POST", "/v1/audio/translations", "translations", self.translate),
        ]

    def transcribe(self, call: Call) -> Job:
        """POST /audio/transcriptions."""
        fields, model, recording = self._read(call, "audio/transcriptions")
        _check_options(fields, model)
        kind = fields.choice("response_format", _FORMATS.get(model.id, ("json",)), "json")
        granularities = fields.many("timestamp_granularities")
        if granularities and (kind != "verbose_json" or set(granularities) - {"word", "segment"}):
            raise invalid("timestamp_granularities", "word and segment, with the response_format verbose_json.")
        heard = self._hear(fields, model, recording, kind)
        if model.id.endswith("diarize") and heard.seconds > 30 and "chunking_strategy" not in fields.names:
            raise missing("chunking_strategy")
        includes = "logprobs" in fields.many("include")
        streams = fields.flag("stream") and model.id != "whisper-1"

        def run() -> Done:
            if streams:
                return _stream(heard)
            return _answer(heard, granularities, with_chances=includes)

        return Job(model, len(recording.content) // 1_000, run)

    def translate(self, call: Call) -> Job:
        """POST /audio/translations (until 2027-02-26, as its only model)."""
        fields, model, recording = self._read(call, "audio/translations")
        kind = fields.choice("response_format", _FORMATS["whisper-1"], "json")
        heard = self._hear(fields, model, recording, kind)
        if heard.language != "en":
            heard = heard._replace(text=f"[{heard.language}, not translated by the sandbox] {heard.text}")
        run_translate = kind == "verbose_json"

        def run() -> Done:
            done = _answer(heard._replace(language="en"), [], with_chances=False)
            if not run_translate:
                return done
            body = msgspec.json.decode(done.content)
            return done._replace(content=msgspec.json.encode({**body, "task": "translate"}))

        return Job(model, len(recording.content) // 1_000, run)

    def _read(self, call: Call, api: str) -> tuple[Fields, Model, FormFile]:
        fields = read_fields(call, form=True)
        fields.refuse_unknown(_KNOWN[call.operation])
        recording = fields.file("file")
        model = find_media_model(self._service, fields, api)
        ending = recording.name.rpartition(".")[2].lower()
        if ending not in _ENDINGS:
            text = f"Unrecognized file format. Supported formats: {', '.join(_ENDINGS)}"
            raise ApiError(400, text, code="unsupported_format", param="file")
        if len(recording.content) > _MOST_BYTES:
            text = f"Maximum content size limit (25 MB) exceeded ({len(recording.content)} bytes read)"
            raise ApiError(413, text, param="file")
        fields.number("temperature", 0.0, 1.0, 0.0)
        return fields, model, recording

    def _hear(self, fields: Fields, model: Model, recording: FormFile, kind: str) -> _Heard:
        speech = read_speech(recording.content)
        seconds = speech.seconds if speech else measure_seconds(recording.content)
        if seconds < 0.1:
            text = "Audio file is too short. Minimum audio length is 0.1 seconds."
            raise ApiError(400, text, code="audio_too_short", param="file")
        if speech:
            text = speech.text
        else:
            digest = hashlib.blake2b(recording.content, digest_size=4).hexdigest()
            text = f"A recording of {seconds:.1f} seconds that the sandbox cannot hear, fingerprint {digest}."
        language = fields.text("language", "") or _guess_language(text)
        return _Heard(text, language, seconds, kind, model, self._measure(fields, model, text, seconds))

    def _measure(self, fields: Fields, model: Model, text: str, seconds: float) -> Usage:
        """Count seconds for whisper-1 and gpt-transcribe, tokens for the others."""
        if not model.id.startswith("gpt-4o"):
            return Usage(seconds=seconds)
        heard = math.ceil(seconds * _AUDIO_TOKENS_PER_SECOND)
        count = self._service.tokenizer.count
        prompt = fields.text("prompt", "")
        return Usage(input=heard + (count(prompt) if prompt else 0), output=count(text), audio_input=heard)


def _check_options(fields: Fields, model: Model) -> None:
    """Refuse the options that only other models have."""
    is_newest, diarizes = model.id == "gpt-transcribe", model.id.endswith("diarize")
    rules = {
        "keywords": is_newest,
        "languages": is_newest,
        "language": not is_newest,
        "prompt": not diarizes,
        "timestamp_granularities": not diarizes,
        "known_speaker_names": diarizes,
        "known_speaker_references": diarizes,
        "include": model.id.startswith("gpt-4o") and not diarizes,
    }
    for name, is_taken in rules.items():
        if name in fields.names and not is_taken:
            raise unsupported(name, f"is not supported with {model.id}.")
    names, references = fields.many("known_speaker_names"), fields.many("known_speaker_references")
    if len(names) > 4 or len(names) != len(references):
        raise invalid("known_speaker_names", "at most 4, each with one entry in known_speaker_references.")


def _guess_language(text: str) -> str:
    """Return the language of a text; the lexicon alone is unsure of short English ones."""
    return "en" if _ENGLISH & set(text.lower().split()) else judge(text).language


def _used(heard: _Heard) -> dict[str, Any]:
    usage = heard.usage
    if usage.seconds:
        return {"type": "duration", "seconds": usage.seconds}
    return {
        "type": "tokens",
        "input_tokens": usage.input,
        "input_token_details": {"text_tokens": usage.input - usage.audio_input, "audio_tokens": usage.audio_input},
        "output_tokens": usage.output,
        "total_tokens": usage.input + usage.output,
    }


def _answer(heard: _Heard, granularities: list[str], *, with_chances: bool) -> Done:
    segments = cut_segments(heard.text, heard.seconds)
    if heard.kind in ("text", "srt", "vtt"):
        writers = {"text": lambda _: heard.text + "\n", "srt": write_srt, "vtt": write_vtt}
        return Done(writers[heard.kind](segments).encode(), heard.usage, b"text/plain; charset=utf-8")
    if heard.kind == "verbose_json":
        return answer_json(_verbose(heard, segments, granularities), heard.usage)
    if heard.kind == "diarized_json":
        return answer_json(_diarized(heard, segments), heard.usage)
    body: dict[str, Any] = {"text": heard.text, "usage": _used(heard)}
    if heard.model.id == "gpt-transcribe":
        body["languages"] = [{"code": heard.language}]
    if with_chances:
        body["logprobs"] = [
            {"token": word, "bytes": list(word.encode()), "logprob": -0.01} for word in heard.text.split()
        ]
    return answer_json(body, heard.usage)


def _verbose(heard: _Heard, segments: list[Segment], granularities: list[str]) -> dict[str, Any]:
    body: dict[str, Any] = {
        "task": "transcribe",
        "language": _LANGUAGES.get(heard.language, heard.language),
        "duration": heard.seconds,
        "text": heard.text,
        "usage": _used(heard),
    }
    if "segment" in granularities or not granularities:
        body["segments"] = [
            {
                "id": at,
                "seek": 0,
                "start": segment.start,
                "end": segment.end,
                "text": segment.text,
                "tokens": [],
                "temperature": 0.0,
                "avg_logprob": -0.01,
                "compression_ratio": 1.0,
                "no_speech_prob": 0.0,
            }
            for at, segment in enumerate(segments)
        ]
    if "word" in granularities:
        body["words"] = [
            {"word": one.text, "start": one.start, "end": one.end} for one in place_words(heard.text, heard.seconds)
        ]
    return body


def _diarized(heard: _Heard, segments: list[Segment]) -> dict[str, Any]:
    """Give each sentence to one of two speakers in turn."""
    return {
        "task": "transcribe",
        "duration": heard.seconds,
        "text": heard.text,
        "segments": [
            {
                "type": "transcript.text.segment",
                "id": f"seg_{at:03d}",
                "start": segment.start,
                "end": segment.end,
                "text": segment.text,
                "speaker": "AB"[at % 2],
            }
            for at, segment in enumerate(segments)
        ],
        "usage": _used(heard),
    }


def _stream(heard: _Heard) -> Done:
    words = heard.text.split(" ")
    events: list[dict[str, Any]] = [
        {"type": "transcript.text.delta", "delta": word if at == 0 else f" {word}"} for at, word in enumerate(words)
    ]
    if heard.kind == "diarized_json":
        events = [
            {**segment, "type": "transcript.text.segment"}
            for segment in _diarized(heard, cut_segments(heard.text, heard.seconds))["segments"]
        ]
    events.append({"type": "transcript.text.done", "text": heard.text, "usage": _used(heard)})
    return Done(b"", heard.usage, EVENTS, pieces=tuple(frame(event) for event in events))
