"""Speech of the emulated OpenAI: sound files whose length follows the text, whole or as a stream."""

from __future__ import annotations

import base64

from penstock.base.types import Usage
from penstock.sandbox.openai_fields import Fields, find_media_model, invalid, name_set, read_fields, unsupported
from penstock.sandbox.openai_models import Model
from penstock.sandbox.openai_requests import missing
from penstock.sandbox.openai_routes import EVENTS, Call, Done, Job, Route, Service
from penstock.sandbox.openai_streams import frame
from penstock.sandbox.sound import TYPES, encode_speech, speak

VOICES = name_set("alloy ash ballad cedar coral echo fable marin nova onyx sage shimmer verse")
_KNOWN = name_set("model input voice instructions response_format speed stream_format")
_AUDIO_TOKENS_PER_SECOND = 1_250 / 60
"""From the published $0.015 a minute at $12 per million audio tokens."""

_PIECE = 32_768


class Speeches:
    """Reads texts aloud."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def routes(self) -> list[Route]:
        """Return the endpoint."""
        return [Route("POST", "/v1/audio/speech", "speech", self.speak)]

    def speak(self, call: Call) -> Job:
        """POST /audio/speech."""
        fields = read_fields(call, form=False)
        fields.refuse_unknown(_KNOWN)
        model = find_media_model(self._service, fields, "audio/speech")
        text = fields.text("input", most=4_096)
        voice = _read_voice(fields)
        speech = speak(text, voice, fields.number("speed", 0.25, 4.0, 1.0))
        kind = fields.choice("response_format", tuple(TYPES), "mp3")
        stream = fields.choice("stream_format", ("audio", "sse"), "audio")
        instructions = fields.text("instructions", "", most=4_096)
        if model.id.startswith("tts-1") and instructions:
            raise unsupported("instructions", f"is not supported with {model.id}.")
        if model.id.startswith("tts-1") and stream == "sse":
            raise invalid("stream_format", f"'sse' is not supported with {model.id}.", "unsupported_value")
        usage = self._measure(model, text, instructions, speech.seconds)

        def run() -> Done:
            sound = encode_speech(speech, kind)
            pieces = tuple(sound[at : at + _PIECE] for at in range(0, len(sound), _PIECE))
            if stream == "audio":
                return Done(b"", usage, TYPES[kind], pieces=pieces)
            return Done(b"", usage, EVENTS, pieces=_write_events(pieces, usage))

        return Job(model, len(text) // 4, run)

    def _measure(self, model: Model, text: str, instructions: str, seconds: float) -> Usage:
        """Count tokens for gpt-4o-mini-tts, characters for the others."""
        if model.id.startswith("tts-1"):
            return Usage(characters=len(text))
        made = max(1, round(seconds * _AUDIO_TOKENS_PER_SECOND))
        count = self._service.tokenizer.count
        return Usage(input=count(text) + count(instructions), output=made, audio_output=made)


def _read_voice(fields: Fields) -> str:
    """Return the voice: a built-in one, or the id of one's own (`{"id": "voice_…"}`)."""
    voice = fields.get("voice")
    if voice is None:
        raise missing("voice")
    if isinstance(voice, dict) and str(voice.get("id", "")).startswith("voice_"):
        return str(voice["id"])
    if not isinstance(voice, str) or voice not in VOICES:
        raise invalid("voice", f"{voice!r} is not supported. Supported values are: {', '.join(sorted(VOICES))}.")
    return voice


def _write_events(pieces: tuple[bytes, ...], usage: Usage) -> tuple[bytes, ...]:
    used = {"input_tokens": usage.input, "output_tokens": usage.output, "total_tokens": usage.input + usage.output}
    events: list[dict[str, object]] = [
        {"type": "speech.audio.delta", "audio": base64.b64encode(piece).decode()} for piece in pieces
    ]
    events.append({"type": "speech.audio.done", "usage": used})
    return tuple(frame(event) for event in events)
