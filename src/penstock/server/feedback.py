"""The inlet for feedback over HTTP: signed by the sender, within five minutes, kept before it is acknowledged."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence

import msgspec
from starlette.responses import Response

from penstock.base.clock import Clock
from penstock.base.errors import AccessError, InputError, SettingsError
from penstock.base.settings import Settings
from penstock.base.types import Problem
from penstock.data.feedback import read_said
from penstock.runtime.feedback import Feedback, Said
from penstock.server.doors import Call, Door, reply
from penstock.server.events import LINES, MOST_EVENTS, read_records

HEADER = "penstock-signature"
WINDOW_SECONDS = 300
MOST_SIGNATURES = 8
BODY_LIMIT = 8 << 20


class Refused(msgspec.Struct, frozen=True):
    """A record that was not taken: its place in the request, and why."""

    index: int
    problem: Problem


class FeedbackDoor:
    """Takes what customers said from whoever has the secret."""

    def __init__(self, feedback: Feedback, settings: Settings, clock: Clock) -> None:
        self._feedback = feedback
        self._settings = settings
        self._clock = clock

    def doors(self) -> list[Door]:
        """Return the route; a signature stands in the place of a token."""
        record = {
            "type": "object",
            "properties": {name: {} for name in ("id", "text", "source", "email", "ext_id", "at")},
            "required": ["text"],
        }
        taken = {
            "type": "object",
            "properties": {
                "added": {"type": "integer"},
                "known": {"type": "integer"},
                "refused": {"type": "array", "items": msgspec.json.schema(Refused)},
            },
        }
        return [
            Door(
                "POST",
                "/v1/feedback",
                self._take,
                f"Feedback, signed in the header {HEADER}: 202 when every good record is on disk.",
                None,
                body={
                    "application/json": {
                        "oneOf": [record, {"type": "array", "items": record, "maxItems": MOST_EVENTS}]
                    },
                    LINES[0]: {"type": "string", "description": "One JSON object a line."},
                },
                query={"source": "Whose words these are, where a record does not say it."},
                reply=taken,
                status=202,
                limit=BODY_LIMIT,
                works_while_draining=True,
                asks_again=True,
            )
        ]

    async def _take(self, call: Call) -> Response:
        secrets = str(self._settings.get("feedback.webhook-secret") or "").split()
        if not secrets:
            raise SettingsError(
                "no secret is set for feedback over HTTP, so none can be trusted",
                code="feedback.no-secret",
                hint="export PENSTOCK_FEEDBACK_WEBHOOK_SECRET=…   (any long random text; while it is rotated, both)",
            )
        verify_signature(call.request.headers, call.body, secrets, self._clock.now())
        good, refused = self._read(call)
        put = await self._feedback.put(good)
        status = 202 if good or not refused else 422
        return reply({"added": put.added, "known": put.known + put.forgotten, "refused": refused}, status)

    def _read(self, call: Call) -> tuple[list[Said], list[Refused]]:
        good: list[Said] = []
        refused = []
        for index, one in enumerate(read_records(call)):
            if isinstance(one, Problem):
                refused.append(Refused(index, one))
                continue
            try:
                good.append(read_said("http", one, source=call.query.get("source", "feedback")))
            except InputError as error:
                refused.append(Refused(index, Problem.from_error(error)))
        return good, refused


def sign(timestamp: int, body: bytes, secret: str) -> str:
    """Return the header of a request: the time and the HMAC-SHA256 over it, a full stop and the raw body."""
    return f"t={timestamp},v1={_digest(str(timestamp), body, secret)}"


def verify_signature(headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now: float) -> None:
    """Raise `AccessError` unless the body was signed with one of the secrets within five minutes of `now`."""
    parts = [part.strip().partition("=") for part in headers.get(HEADER, "")[:2_000].split(",")]
    times = [value for name, _, value in parts if name == "t"]
    given = [value for name, _, value in parts if name == "v1"][:MOST_SIGNATURES]
    if len(times) != 1 or not times[0].isascii() or not times[0].isdecimal() or len(times[0]) > 12 or not given:
        raise AccessError(
            "the feedback is not signed",
            code="feedback.unsigned",
            hint=f"Send the header {HEADER}: t=SECONDS,v1=HMAC; see docs/how-to/feedback.md.",
        )
    is_good = False
    for secret in secrets:
        wanted = _digest(times[0], body, secret).encode()
        for one in given:
            is_good |= hmac.compare_digest(wanted, one.encode("utf-8", "surrogateescape"))
    if not is_good:
        raise AccessError(
            "the feedback is not signed with a secret that is known here",
            code="feedback.bad-signature",
            hint="Sign the raw body with feedback.webhook-secret; a proxy must not change the body.",
        )
    if abs(now - int(times[0])) > WINDOW_SECONDS:
        raise AccessError(
            f"the feedback was signed {now - int(times[0]):.0f} s ago, and {WINDOW_SECONDS} s are allowed",
            code="feedback.too-old",
            hint="Check both clocks; sign a request anew when it is sent again.",
        )


def _digest(timestamp: str, body: bytes, secret: str) -> str:
    return hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
