"""Speech that comes as events: put together, priced by its usage, and never taken for whole when it is not."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from penstock.base.errors import UnavailableError
from penstock.base.types import Usage
from penstock.vendor.http import Reply
from penstock.vendor.openai import read_media


def events(*parts: dict[str, Any]) -> bytes:
    return b"".join(b"data: " + json.dumps(part).encode() + b"\n\n" for part in parts)


def delta(sound: bytes) -> dict[str, Any]:
    return {"type": "speech.audio.delta", "audio": base64.b64encode(sound).decode()}


DONE = {"type": "speech.audio.done", "usage": {"input_tokens": 5, "output_tokens": 40, "total_tokens": 45}}


def read(body: bytes) -> Any:
    return read_media(Reply(200, {"content-type": "text/event-stream; charset=utf-8", "x-request-id": "r"}, body, "h"))


def test_the_pieces_become_one_sound_with_its_usage() -> None:
    exchange = read(events(delta(b"ab"), delta(b"c"), DONE))
    assert base64.b64decode(exchange.content["base64"]) == b"abc"
    assert (exchange.usage, exchange.request_id, exchange.error) == (Usage(input=5, output=40), "r", None)


def test_without_usage_none_is_made_up() -> None:
    assert read(events(delta(b"ab"), {"type": "speech.audio.done"})).usage == Usage()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        events(delta(b"ab")),
        events(delta(b"ab"), {"type": "error", "error": {"message": "overloaded"}}),
        events({"type": "speech.audio.delta", "audio": "???"}, DONE),
        events({"type": "speech.audio.delta"}, DONE),
        b"data: not json\n\n",
        b"data: 7\n\n",
    ],
)
def test_speech_that_breaks_off_is_an_error(body: bytes) -> None:
    exchange = read(body)
    assert isinstance(exchange.error, UnavailableError)
    assert (exchange.error.code, exchange.content) == ("openai.broken-stream", None)
