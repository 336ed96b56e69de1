"""Speech that came as events: its sound in one piece, and what it used, which the plain form does not tell.

Events: OpenAPI description of 2026-08-21 and SDK 3.51.
"""

from __future__ import annotations

import base64
from typing import Any

import msgspec

from penstock.base.errors import UnavailableError
from penstock.vendor.sse import EventReader


def join_speech(body: bytes, host: str) -> tuple[bytes, dict[str, Any]]:
    """Return the sound and the usage object; raises `UnavailableError` for speech that breaks off or has an error."""
    reader = EventReader()
    sound: list[bytes] = []
    for event in [*reader.feed(body), *reader.end()]:
        try:
            data = msgspec.json.decode(event.data)
            kind = data.get("type")
            if kind == "speech.audio.delta":
                sound.append(base64.b64decode(data["audio"], validate=True))
        except (msgspec.DecodeError, AttributeError, KeyError, TypeError, ValueError):
            raise _broken(host, "an event of it cannot be read") from None
        if kind == "speech.audio.done":
            used = data.get("usage")
            return b"".join(sound), used if isinstance(used, dict) else {}
        if kind == "error" or data.get("error"):
            raise _broken(host, "the vendor reports an error in the middle")
    raise _broken(host, "it ended in the middle")


def _broken(host: str, why: str) -> UnavailableError:
    return UnavailableError(
        f"{host} broke off its speech: {why}",
        code="openai.broken-stream",
        hint="Run it again: the answer is bought anew, and the one that broke off may have been billed.",
    )
