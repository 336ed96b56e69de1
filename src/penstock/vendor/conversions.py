"""A thin client of OpenAI's Conversions API: one request becomes one verdict, whatever came back.

It never retries, never waits and never raises for an answer. Request and answers: developers.openai.com,
page "Conversions API" (wording with plural user lists, read again 2026-09); error bodies as seen in public
fixtures and run logs until 2026-10. The vendor documents no answer body, so what is not known is kept as it came.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any, Literal, NamedTuple

import msgspec

from penstock.base.errors import (
    AccessError,
    PenstockError,
    RejectedError,
    SettingsError,
    ThrottledError,
    UnavailableError,
    VendorError,
)
from penstock.base.redact import redact, register_secret
from penstock.vendor.http import Http, Reply

Kind = Literal["accepted", "rejected", "access", "pixel", "throttled", "unavailable", "unknown"]

BASE_URL = "https://bzr.openai.com"
SCOPE = "ads.third_party_events.write"
SOURCE_ID = re.compile(r"(cds|clidsrc)_")
"""How the id of an event source begins, which people take for the Pixel ID of the same source."""
KEPT_BYTES = 4 * 1024
_READ_BYTES = KEPT_BYTES + 512  # what a cut would leave of an address is past the end of what is kept
_SECRET_HEADERS = frozenset({"set-cookie", "authorization", "proxy-authenticate", "www-authenticate"})
_POINTER = re.compile(r"(?:body\.)?events\[(\d+)\]\.?(.*)", re.DOTALL)
_PLACE = re.compile(r"'loc': \('body', 'events', (\d+)((?:, (?:'[^']*'|\d+))*),?\)(?:, 'msg': '([^']*)')?")
_INTEGRATION = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


class Pointer(msgspec.Struct, frozen=True):
    """One event that a refusal names: its index in the request, the field below it, the vendor's code and words."""

    index: int
    field: str
    code: str
    message: str


class Verdict(msgspec.Struct, frozen=True):
    """What one request came to.

    `accepted`: the API took every event. `rejected`: it refused the batch as a whole, and `pointers` are the events
    that it named, if any. `access`: the key or the endpoint is wrong. `pixel`: the Pixel ID is. `throttled` and
    `unavailable`: send again, with the same ids; `error.sent` is False when nothing can have arrived.
    `unknown`: an answer that says nothing sure about the events. `status` is 0 when no answer came. `body` is capped
    and redacted for keeping, `headers` have no secrets. `accepted` is the count that the API states, `code` and
    `message` are the vendor's own. `retry_after` is in seconds. `error` says it all for people.
    """

    kind: Kind
    status: int
    headers: Mapping[str, str]
    body: bytes
    accepted: int | None
    code: str
    message: str
    pointers: tuple[Pointer, ...]
    retry_after: float | None
    error: PenstockError | None


class Conversions:
    """One Pixel ID with the key that may write to it."""

    def __init__(
        self, http: Http, api_key: str, *, pixel_id: str, base_url: str = BASE_URL, timeout: float = 30.0
    ) -> None:
        """Use `api_key` for `pixel_id` at `base_url`, with or without `/v1/events`; `timeout` is in seconds."""
        self._http = http
        self._base = base_url.rstrip("/").removesuffix("/events").removesuffix("/v1")
        self._timeout = timeout
        self._headers = {"Authorization": f"Bearer {api_key}", "Content-Type": "application/json"}
        register_secret(api_key)
        self.pixel_id = pixel_id
        self.destination = hashlib.blake2b(f"{self._base}\n{pixel_id}".encode(), digest_size=8).hexdigest()
        """Names where events go, by base URL and Pixel ID; a rotated key keeps it."""

    async def send(
        self, events: Sequence[bytes], *, validate_only: bool = False, integration_source: str = "penstock"
    ) -> Verdict:
        """Send encoded events as they are, in one request; nothing is saved with `validate_only`.

        Raises only for what cannot be sent at all: `SettingsError` for an integration source that the API would
        refuse, `InputError` for an address or key that no request can be built from.
        """
        body = _wrap(events, validate_only, normalize_integration(integration_source))
        try:
            reply = await self._http.send(
                "POST",
                f"{self._base}/v1/events",
                headers=self._headers,
                body=body,
                query=[("pid", self.pixel_id)],
                timeout=self._timeout,
            )
        except UnavailableError as error:
            return Verdict("unavailable", 0, {}, b"", None, "", error.message, (), None, error)
        return read_verdict(reply, len(events), self.pixel_id)


@lru_cache(maxsize=64)
def normalize_integration(name: str) -> str:
    """Return an integration source as the API stores it: trimmed, lower case, 1–64 of `a-z 0-9 . _ -`.

    Raises `SettingsError` for a name that the API would refuse together with the batch.
    """
    found = name.strip().lower()
    if not _INTEGRATION.fullmatch(found):
        raise SettingsError(
            f"{name!r} is no integration source",
            code="conversions.integration-source",
            hint="1 to 64 letters, digits, dots, underscores and hyphens, beginning with a letter or a digit.",
        )
    return found


def _wrap(events: Sequence[bytes], validate_only: bool, integration_source: str) -> bytes:
    probe = b',"validate_only":true' if validate_only else b""
    return b'{"events":[%b],"integration_source":"%b"%b}' % (b",".join(events), integration_source.encode(), probe)


def read_verdict(reply: Reply, sent: int, pixel_id: str = "") -> Verdict:
    """Say what a reply to a request with `sent` events means: by HTTP status first, then by code, never by type."""
    status = reply.status
    content = _decode(reply.body)
    answer = _Answer(reply.host, status, _read_details(content), read_wait(reply.headers), _request_id(reply.headers))
    pointers = _find_pointers(answer.details, sent)
    accepted = content.get("accepted_events") if isinstance(content, dict) else None
    accepted = accepted if isinstance(accepted, int) and not isinstance(accepted, bool) else None
    kind: Kind
    error: PenstockError | None
    if 200 <= status < 300:
        kind, error = _read_success(answer, accepted, sent)
    elif status in (301, 302, 303, 307, 308, 404, 405, 407):
        kind, error = "access", _wrong_endpoint(answer)
    elif status == 401:
        kind, error = "access", _refused_key(answer)
    elif status == 403:
        kind, error = _forbidden(answer, pixel_id)
    elif status == 429:
        kind, error = "throttled", _throttled(answer)
    elif status in (408, 425) or status >= 500:
        kind, error = "unavailable", _unavailable(answer)
    else:
        kind, error = _refused(answer, pointers)
    return Verdict(
        kind,
        status,
        {name: value for name, value in reply.headers.items() if name not in _SECRET_HEADERS},
        redact(reply.body[:_READ_BYTES].decode("utf-8", "replace")).encode()[:KEPT_BYTES],
        accepted,
        answer.code,
        answer.said,
        pointers if kind == "rejected" else (),
        answer.wait,
        error,
    )


class _Answer(NamedTuple):
    host: str
    status: int
    details: Mapping[str, Any]
    wait: float | None
    request_id: str | None

    @property
    def code(self) -> str:
        return str(self.details.get("code") or "")

    @property
    def said(self) -> str:
        return _shorten(self.details.get("message"))

    @property
    def known(self) -> dict[str, Any]:
        return {"where": self.host, "detail": self.said, "status": self.status, "request_id": self.request_id}

    def text(self, what: str) -> str:
        return f"{self.host} {what} ({self.code or self.status}): {self.said or 'no message'}"


def _shorten(value: Any) -> str:
    return redact(str(value or "")[:_READ_BYTES])[:1000]


def _decode(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _read_details(content: Any) -> Mapping[str, Any]:
    """Return the error object of an answer; gateways also give a bare text there, or FastAPI's `detail`."""
    if not isinstance(content, dict):
        return {}
    found = content.get("error", content.get("detail"))
    if isinstance(found, dict):
        return found
    return {} if found is None else {"message": found if isinstance(found, str) else repr(found)}


def read_wait(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that `Retry-After` asks for; a date there counts from the answer's own `Date`."""
    text = headers.get("retry-after", "")
    try:
        seconds = float(text)
    except ValueError:
        try:
            later = parsedate_to_datetime(text)
            seconds = (later - parsedate_to_datetime(headers.get("date", ""))).total_seconds()
        except (ValueError, TypeError):
            return None
    return max(seconds, 0.0) if math.isfinite(seconds) else None


def _request_id(headers: Mapping[str, str]) -> str | None:
    return next((headers[name] for name in ("x-request-id", "request-id", "cf-ray") if headers.get(name)), None)


def _find_pointers(details: Mapping[str, Any], sent: int) -> tuple[Pointer, ...]:
    """Return every event that a refusal names, once per field; one that the request had not is no pointer."""
    listed = details.get("errors")
    entries = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    found = dict.fromkeys(pointer for entry in entries for pointer in _read_entry(entry))
    named = {pointer.index for pointer in found}
    found |= dict.fromkeys(pointer for pointer in _read_entry(details) if pointer.index not in named)
    return tuple(pointer for pointer in found if pointer.index < sent)


def _read_entry(entry: Mapping[str, Any]) -> Iterator[Pointer]:
    """Yield the pointer in `param`, else those in a message that lists locations as the API's validator does."""
    code = str(entry.get("code") or "")
    message = str(entry.get("message") or "")
    if match := _POINTER.fullmatch(str(entry.get("param") or "")):
        yield Pointer(int(match[1][:9]), _shorten(match[2]), code, _shorten(message))
        return
    for place in _PLACE.finditer(message):
        field = ".".join(part.strip(" '") for part in place[2].split(",") if part.strip())
        yield Pointer(int(place[1][:9]), _shorten(field), code, _shorten(place[3] or message))


def _read_success(answer: _Answer, accepted: int | None, sent: int) -> tuple[Kind, PenstockError | None]:
    if accepted == sent:
        return "accepted", None
    if accepted is None:
        what = f"answered {answer.status} without saying how many events it took"
    else:
        what = f"took {accepted:,} of {sent:,} events and did not say which"
    return "unknown", VendorError(
        f"{answer.host} {what}",
        code="conversions.unknown-answer",
        hint="The answer is kept. Sending again with the same ids is safe: the first copy of an event counts.",
        **answer.known,
    )


def _wrong_endpoint(answer: _Answer) -> AccessError:
    return AccessError(
        answer.text("has no Conversions API at this address"),
        code="conversions.wrong-endpoint",
        hint=f"Set conversions.base-url to {BASE_URL}; neither api.openai.com nor api.ads.openai.com takes events.",
        where=answer.host,
    )


def _refused_key(answer: _Answer) -> AccessError:
    if "scope" in answer.said.lower() or "permission" in answer.said.lower():
        return AccessError(
            answer.text("knows the key, but it may not write events"),
            code="conversions.missing-scope",
            hint=f"Use a Conversions key (Ads Manager, Conversions): it has the scope {SCOPE}. An Advertiser or "
            "platform key looks the same and lacks it; `penstock doctor` tells which kind this one is.",
            where=answer.host,
        )
    return AccessError(
        answer.text("does not know the key"),
        code="conversions.key-refused",
        hint="Check OPENAI_CONVERSIONS_API_KEY: mistyped, or deleted. `penstock events setup key` makes a new one.",
        where=answer.host,
    )


def _forbidden(answer: _Answer, pixel_id: str) -> tuple[Kind, PenstockError]:
    if "pid" not in answer.said.lower() and "pixel" not in answer.said.lower():
        return "access", AccessError(
            answer.text("does not allow this"),
            code="conversions.not-allowed",
            hint="The account may not be open for conversions, or a gateway stands before OpenAI.",
            where=answer.host,
        )
    if SOURCE_ID.match(pixel_id):
        return "pixel", AccessError(
            f"{answer.host} does not know {pixel_id!r}: that is the id of the event source, not its Pixel ID",
            code="conversions.source-id",
            hint="`penstock events settings` lists the Pixel ID beside each source id; set conversions.pixel-id to it.",
            where=answer.host,
        )
    return "pixel", AccessError(
        answer.text(f"does not know the Pixel ID {pixel_id!r}"),
        code="conversions.unknown-pixel",
        hint="Copy the Pixel ID from Ads Manager, or list them: penstock events settings. "
        "The key must be of the same ad account.",
        where=answer.host,
    )


def _throttled(answer: _Answer) -> ThrottledError:
    return ThrottledError(
        answer.text("refused: too fast"), code="conversions.throttled", retry_after=answer.wait, **answer.known
    )


def _unavailable(answer: _Answer) -> UnavailableError:
    return UnavailableError(
        answer.text("failed"), code="conversions.unavailable", retry_after=answer.wait, **answer.known
    )


def _refused(answer: _Answer, pointers: tuple[Pointer, ...]) -> tuple[Kind, PenstockError]:
    """Tell a refusal of the events from one of the request around them, which no event can be blamed for."""
    param = str(answer.details.get("param") or "")
    if "'query', 'pid'" in answer.said or param == "pid":
        return "pixel", AccessError(
            answer.text("misses the Pixel ID"),
            code="conversions.no-pixel",
            hint="export PENSTOCK_CONVERSIONS_PIXEL_ID=…",
            where=answer.host,
        )
    is_about_events = bool(pointers) or not param or param.startswith("events")
    if answer.status not in (400, 413, 422) or not is_about_events or "required field: events" in answer.said:
        return "unknown", VendorError(
            answer.text("did not take the request"),
            code="conversions.request-refused",
            hint="No event is to blame, and all are kept. A gateway or the API itself may have changed.",
            **answer.known,
        )
    return "rejected", RejectedError(
        answer.text("refused the batch"),
        code="conversions.rejected",
        hint="One invalid event fails a whole request; the events that are named, or that remain when the batch is "
        "halved, are set aside with the reason.",
        **answer.known,
    )
