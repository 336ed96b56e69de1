"""Webhooks from OpenAI: who really sent a message, and what it points at.

Standard Webhooks: HMAC-SHA256 over id, timestamp and raw body, five minutes either way
(OpenAI contract 2.17, compiled 2026-11).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping, Sequence

import msgspec

from penstock.base.errors import AccessError, InputError, SettingsError

TOLERANCE_SECONDS = 300
MOST_SIGNATURES = 16
"""A header with more is refused before anything is computed for each."""
LONGEST_ID = 256
CLOCK = "Check this machine's clock; a delivery that was recorded and sent again later is refused as well."


class Event(msgspec.Struct, frozen=True):
    """A verified message. `message` stays the same when it is delivered again; `data_id` names what to fetch."""

    message: str
    id: str
    type: str
    created_at: int
    data_id: str


class _Data(msgspec.Struct, frozen=True):
    id: str = ""


class _Payload(msgspec.Struct, frozen=True):
    type: str
    id: str = ""
    created_at: int = 0
    data: _Data = _Data()


_decode = msgspec.json.Decoder(_Payload).decode


def verify(headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now: float) -> Event:
    """Return the event of a delivery; `headers` are lower-case, `secrets` are the present one and those being retired.

    Raises `AccessError` when it was not signed with one of the secrets, or not within five
    minutes of `now` (seconds since 1970); `InputError` when a signed body is no event.
    """
    message, timestamp, signatures = _read_headers(headers)
    age = now - timestamp
    if age > TOLERANCE_SECONDS:
        raise AccessError(
            f"the webhook was refused: its timestamp lies {age:.0f} s back", code="webhook.too-old", hint=CLOCK
        )
    if age < -TOLERANCE_SECONDS:
        raise AccessError(
            f"the webhook was refused: its timestamp lies {-age:.0f} s ahead", code="webhook.too-new", hint=CLOCK
        )
    is_good = False
    for secret in secrets:
        wanted = sign(message, timestamp, body, secret).encode()
        for given in signatures:
            is_good |= hmac.compare_digest(wanted, given.encode("utf-8", "surrogateescape"))
    if not is_good:
        raise AccessError(
            "the webhook was refused: no signature of it fits",
            code="webhook.bad-signature",
            hint="Set openai.webhook-secret to this endpoint's secret; while it is rotated, both with a space between.",
        )
    return _read_event(message, body)


def read_pointer(body: bytes) -> str:
    """Return the id of the object that a verified message points at."""
    return _decode(body).data.id


def sign(message: str, timestamp: int, body: bytes, secret: str) -> str:
    """Return the signature of a delivery, such as `v1,…`; a secret is base64 after `whsec_`."""
    content = b"%s.%d.%s" % (message.encode("utf-8", "surrogateescape"), timestamp, body)
    return "v1," + base64.b64encode(hmac.digest(_key_of(secret), content, hashlib.sha256)).decode()


def _key_of(secret: str) -> bytes:
    if not secret.startswith("whsec_"):
        return secret.encode()
    text = secret.removeprefix("whsec_")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error as error:
        raise SettingsError(
            "the webhook secret is not base64 after whsec_",
            code="webhook.bad-secret",
            hint="Copy it again as OpenAI showed it when the endpoint was made or its secret was rotated.",
        ) from error


def _read_headers(headers: Mapping[str, str]) -> tuple[str, int, list[str]]:
    message = headers.get("webhook-id", "")
    timestamp = headers.get("webhook-timestamp", "")
    signatures = [one for one in headers.get("webhook-signature", "").split() if one.startswith("v1,")]
    is_time = timestamp.isascii() and timestamp.isdecimal() and len(timestamp) <= 15
    if not 0 < len(message) <= LONGEST_ID or not is_time or not 0 < len(signatures) <= MOST_SIGNATURES:
        raise AccessError(
            "the webhook was refused: it lacks a proper webhook-id, webhook-timestamp or webhook-signature",
            code="webhook.unsigned",
            hint="Only OpenAI's own deliveries belong at this address.",
        )
    return message, int(timestamp), signatures


def _read_event(message: str, body: bytes) -> Event:
    try:
        payload = _decode(body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise InputError(
            f"the signed message is not an event: {error}",
            code="webhook.not-an-event",
            hint="Its contract may have changed: compare it with the webhook reference of OpenAI.",
        ) from error
    return Event(message, payload.id, payload.type, payload.created_at, payload.data.id)
