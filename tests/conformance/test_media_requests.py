"""Requests for pictures and sound, held against the vendor's SDK types and its published description."""

from __future__ import annotations

from typing import Any, get_type_hints

import pytest
from openai.types.audio.speech_create_params import SpeechCreateParams
from openai.types.audio.transcription_create_params import TranscriptionCreateParamsNonStreaming
from openai.types.audio.translation_create_params import TranslationCreateParams
from openai.types.image_edit_params import ImageEditParamsNonStreaming
from openai.types.image_generate_params import ImageGenerateParamsNonStreaming
from pydantic import TypeAdapter

from fake_asker import choose
from openai_wire import read_description
from penstock.operations.catalogue import find_operation
from penstock.operations.media import RED_SQUARE
from penstock.operations.sound import make_silence
from penstock.runtime.ask import Ask
from penstock.sandbox.pixels import draw_look, encode_picture

WAV = make_silence(0.5)
SQUARE = encode_picture(draw_look("x"), 64, 64, "png")
MASK = encode_picture(draw_look("x"), 64, 64, "png", transparent=True)
LOOK = {"copies": 2, "size": "1536x1024", "quality": "low", "format": "webp", "compression": 50,
        "background": "opaque", "moderation": "low"}  # fmt: skip
CASES: list[tuple[str, str, dict[str, Any]]] = [
    ("generate-image", "gpt-image-2", {"text": "x"}),
    ("generate-image", "gpt-image-2", {"text": "x", **LOOK}),
    ("generate-image", "gpt-image-1.5", {"text": "x", "size": "1792x1024", "quality": "hd"}),
    ("edit-image", "gpt-image-2", {"text": "x", "images": [RED_SQUARE]}),
    (
        "edit-image",
        "gpt-image-1.5",
        {"text": "x", **LOOK, "images": [SQUARE, RED_SQUARE], "mask": MASK, "fidelity": "high"},
    ),
    ("speak", "gpt-4o-mini-tts", {"text": "x", "instructions": "Calm.", "speed": 2, "format": "wav"}),
    ("speak", "tts-1", {"text": "x", "voice": "nova"}),
    ("transcribe", "gpt-transcribe", {"recording": WAV, "languages": ["de", "en"], "keywords": ["x"], "context": "y"}),
    ("transcribe", "whisper-1", {"recording": WAV, "format": "words", "languages": ["de"], "temperature": 0.5}),
    ("transcribe", "whisper-1", {"recording": WAV, "format": "srt"}),
    (
        "transcribe",
        "gpt-4o-transcribe-diarize",
        {"recording": WAV, "format": "speakers", "speakers": [{"name": "Ann", "file": WAV}]},
    ),
    ("translate-audio", "whisper-1", {"recording": WAV, "context": "y"}),
]
KINDS: dict[str, tuple[Any, str]] = {
    "/images/generations": (ImageGenerateParamsNonStreaming, "CreateImageRequest"),
    "/images/edits": (ImageEditParamsNonStreaming, "CreateImageEditRequest"),
    "/audio/speech": (SpeechCreateParams, "CreateSpeechRequest"),
    "/audio/transcriptions": (TranscriptionCreateParamsNonStreaming, "CreateTranscriptionRequest"),
    "/audio/translations": (TranslationCreateParams, "CreateTranslationRequest"),
}
every_case = pytest.mark.parametrize(("name", "model", "values"), CASES)


def prepare(name: str, model: str, values: dict[str, Any]) -> Ask:
    operation = find_operation(name)
    ask: Ask = operation.prepare(operation.parse(values), choose(model))
    return ask


@every_case
def test_every_field_is_one_of_the_official_sdk(name: str, model: str, values: dict[str, Any]) -> None:
    ask = prepare(name, model, values)
    kinds = get_type_hints(KINDS[ask.path][0])
    assert {*ask.body, *(file.field.removesuffix("[]") for file in ask.files)} <= set(kinds)
    for field, value in ask.body.items():
        TypeAdapter(kinds[field]).validate_python(value)


@every_case
def test_every_body_fits_the_published_description(name: str, model: str, values: dict[str, Any]) -> None:
    ask = prepare(name, model, values)
    sent: dict[str, Any] = dict(ask.body)
    for file in ask.files:  # a part of a form is a string of bytes
        field = file.field.removesuffix("[]")
        sent[field] = [*sent.get(field, []), "bytes"] if file.field.endswith("[]") else "bytes"
    read_description().check(KINDS[ask.path][1], sent)
