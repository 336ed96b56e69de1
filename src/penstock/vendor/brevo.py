"""A thin client of Brevo v3: one request in, one checked answer or one typed error out.

It never retries and never waits. Messages of the vendor quote what was sent to it, so they leave
only redacted and without quotations. Meanings: API reference, help centre and rate-limit guide (August 2026).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any, NoReturn
from urllib.parse import quote, urlsplit

import msgspec

from penstock.base.errors import (
    AccessError,
    DefectError,
    PenstockError,
    QuotaError,
    RejectedError,
    SettingsError,
    ThrottledError,
    UnavailableError,
)
from penstock.base.redact import redact, register_secret
from penstock.vendor.brevo_endpoints import ENDPOINTS, Endpoint
from penstock.vendor.http import Http, Reply

HOST = "api.brevo.com"
LOOPBACK = ("127.0.0.1", "::1", "localhost")
LONGEST_RESET_SECONDS = 3600.0

_QUOTED = re.compile(r"\"[^\"]*\"|'[^']*'|`[^`]*`|“[^”]*”")
_IP_HINT = re.compile(r"\bip\b|unrecogni[sz]ed", re.IGNORECASE)

_BLOCKLISTS = frozenset(
    (
        "emailBlacklisted",
        "smsBlacklisted",
        "whatsappBlacklisted",
        "smtpBlacklistSender",
        "emailBlacklist",
        "smsBlacklist",
    )
)
"""Flags of a contact or an import that only a person may take away, in Brevo itself."""

QueryValue = str | int | list[str] | list[int]


class RateState(msgspec.Struct, frozen=True):
    """What the headers of a reply say: calls allowed, calls left, seconds until they are renewed."""

    limit: int
    remaining: int
    reset_seconds: float


class BrevoReply(msgspec.Struct, frozen=True):
    """A good answer: its status, its decoded body (None when empty) and the state of the rate limit."""

    status: int
    content: Any
    rate: RateState | None = None
    date: float | None = None
    """When Brevo answered by its own clock, in seconds since 1970."""


class Brevo:
    """One connection to a Brevo account."""

    def __init__(
        self, http: Http, api_key: str, *, base_url: str = "https://api.brevo.com/v3", timeout: float = 60.0
    ) -> None:
        """Use `api_key` at `base_url`; raises `SettingsError` for a host that is neither Brevo nor this machine."""
        self._base, self._is_local = _check_base(base_url)
        register_secret(api_key)
        self._http = http
        self._timeout = timeout
        self._headers = {"api-key": api_key, "accept": "application/json"}

    async def send(
        self,
        operation: str,
        *,
        path: Mapping[str, str | int] | None = None,
        query: Mapping[str, QueryValue] | None = None,
        body: Any = None,
    ) -> BrevoReply:
        """Call one of `ENDPOINTS` once; raises the typed error of whatever is not a good answer.

        A query parameter that the endpoint does not know is a `DefectError`: Brevo ignores such a
        parameter, and a misspelt filter would silently read everything.
        """
        endpoint = ENDPOINTS[operation]
        headers = self._headers
        content = None
        if body is not None:
            content = msgspec.json.encode(body)
            if b"lacklist" in content:
                _refuse_resubscription(operation, body)
            headers = {**headers, "content-type": "application/json"}
        reply = await self._http.send(
            endpoint.method,
            self._base + _fill(endpoint.path, path or {}),
            headers=headers,
            body=content,
            query=_to_pairs(operation, endpoint, query or {}),
            timeout=self._timeout,
        )
        return read_reply(operation, endpoint, reply)

    async def download(self, url: str) -> str:
        """Fetch a report that Brevo points to, without the key; the host is Brevo's file store, over https."""
        if urlsplit(url).scheme != "https" and not self._is_local:
            raise UnavailableError("Brevo names a report at an address that is not https", code="brevo.unsafe-report")
        reply = await self._http.send("GET", url, headers={"accept": "text/csv"}, timeout=self._timeout)
        if reply.status != 200:
            raise UnavailableError(
                f"a report of Brevo cannot be read: status {reply.status}",
                code="brevo.report-unreadable",
                status=reply.status,
            )
        return reply.body.decode("utf-8-sig", errors="replace")


def _refuse_resubscription(operation: str, body: Any) -> None:
    """Raise `DefectError` for a body that would let messages go to somebody who opted out."""
    if isinstance(body, dict):
        for name, value in body.items():
            if name in _BLOCKLISTS and value is not True:
                raise DefectError(f"{operation} would lift a blocklisting with {name}", code="brevo.resubscribe")
            _refuse_resubscription(operation, value)
    elif isinstance(body, list):
        for part in body:
            _refuse_resubscription(operation, part)


def _check_base(base_url: str) -> tuple[str, bool]:
    parts = urlsplit(base_url)
    host = (parts.hostname or "").lower()
    is_local = host in LOOPBACK
    if is_local or (host == HOST and parts.scheme == "https"):
        return base_url.rstrip("/"), is_local
    said = f"{host} is Brevo's old host" if host.endswith("sendinblue.com") else f"{host or base_url!r} is not Brevo"
    raise SettingsError(
        f"the address of Brevo is wrong: {said}",
        code="brevo.wrong-host",
        hint=f"Remove PENSTOCK_BREVO_BASE_URL, or set it to https://{HOST}/v3 or to a sandbox on this machine.",
        where="brevo.base-url",
    )


def _fill(path: str, values: Mapping[str, str | int]) -> str:
    for name, value in values.items():
        path = path.replace("{" + name + "}", quote(str(value), safe=""))
    return path


def _to_pairs(operation: str, endpoint: Endpoint, query: Mapping[str, QueryValue]) -> list[tuple[str, str]]:
    unknown = sorted(set(query) - endpoint.query)
    if unknown:
        raise DefectError(f"{operation} does not know the query parameters {', '.join(unknown)}", code="brevo.query")
    pairs: list[tuple[str, str]] = []
    for name, value in query.items():
        pairs.extend((name, str(item)) for item in (value if isinstance(value, list) else [value]))
    return pairs


def read_reply(operation: str, endpoint: Endpoint, reply: Reply) -> BrevoReply:
    """Check and decode a reply; raises the typed error that it means."""
    if reply.status not in endpoint.good:
        _raise_failure(operation, reply)
    content = reply.json() if reply.body.strip() else None
    if isinstance(content, dict) and isinstance(content.get("code"), str) and "message" in content:
        _raise_failure(operation, reply)
    if endpoint.collection:
        _check_collection(operation, endpoint.collection, content)
    elif endpoint.method == "GET" and not isinstance(content, dict):
        _raise_shape(operation, reply.status)
    return BrevoReply(reply.status, content, read_rate(reply.headers), _read_date(reply.headers))


def _read_date(headers: Mapping[str, str]) -> float | None:
    try:
        return parsedate_to_datetime(headers.get("date", "")).timestamp()
    except ValueError:
        return None


def _check_collection(operation: str, name: str, content: Any) -> None:
    """Refuse a 200 without its collection: an outage must not read as "there are none"."""
    if isinstance(content, dict) and (isinstance(content.get(name), list) or content.get("count") == 0):
        content.setdefault(name, [])
        return
    _raise_shape(operation, 200)


def _raise_shape(operation: str, status: int) -> NoReturn:
    raise UnavailableError(
        f"Brevo answered {operation} with {status}, but not with what belongs in the answer",
        code="brevo.wrong-shape",
        hint="A proxy or an outage can cause this; run the command again later.",
        status=status,
    )


def read_rate(headers: Mapping[str, str]) -> RateState | None:
    """Read the rate-limit headers; None where they are missing or make no sense.

    The reset is the time left, normally in seconds; a value longer than any window is taken as milliseconds.
    """
    try:
        limit = int(headers.get("x-sib-ratelimit-limit", ""))
        remaining = int(headers.get("x-sib-ratelimit-remaining", ""))
        reset = float(headers.get("x-sib-ratelimit-reset", ""))
    except ValueError:
        return None
    if limit <= 0 or remaining < 0 or not 0 <= reset < 1e9:
        return None
    return RateState(limit, remaining, _clamp_reset(reset))


def _clamp_reset(reset: float) -> float:
    return min(reset / 1000 if reset > LONGEST_RESET_SECONDS else reset, LONGEST_RESET_SECONDS)


def _read_retry_after(headers: Mapping[str, str]) -> float | None:
    try:
        reset = float(headers.get("x-sib-ratelimit-reset", ""))
    except ValueError:
        return None
    return _clamp_reset(reset) if 0 <= reset < 1e9 else None


class _Failure(msgspec.Struct, frozen=True):
    """A bad answer, with everything that may be shown of it."""

    operation: str
    status: int
    code: str
    said: str
    duplicates: str
    has_envelope: bool
    retry_after: float | None

    @property
    def summary(self) -> str:
        return f"{self.operation} answered {self.status}" + (f" ({self.code})" if self.code else "")

    @property
    def about(self) -> dict[str, Any]:
        return {"where": self.operation, "detail": self.said, "status": self.status}


def _raise_failure(operation: str, reply: Reply) -> NoReturn:
    try:
        decoded = msgspec.json.decode(reply.body)
    except msgspec.DecodeError:
        decoded = None
    envelope = decoded if isinstance(decoded, dict) else {}
    metadata = envelope.get("metadata")
    duplicates = metadata.get("duplicate_identifiers") if isinstance(metadata, dict) else None
    failure = _Failure(
        operation,
        reply.status,
        _clean(str(envelope.get("code") or "")),
        _clean(str(envelope.get("message") or "")),
        ", ".join(_clean(str(name)) for name in duplicates) if isinstance(duplicates, list) else "",
        bool(envelope),
        _read_retry_after(reply.headers),
    )
    raise _explain_account(failure) or _explain_trouble(failure) or _explain_refusal(failure)


def _explain_account(failure: _Failure) -> PenstockError | None:
    """Return the error that stops everything: key, permission, credit."""
    if failure.status == 401 or failure.code == "unauthorized":
        return _explain_key(failure)
    if failure.status == 402 or failure.code == "not_enough_credits":
        return QuotaError(f"the credit at Brevo is used up: {failure.summary}", code="brevo.no-credit", **failure.about)
    if (failure.status == 403 and failure.has_envelope) or failure.code == "permission_denied":
        return _explain_permission(failure)
    return None


def _explain_trouble(failure: _Failure) -> PenstockError | None:
    """Return the error of a request that may succeed later."""
    if failure.status == 429:
        return ThrottledError(
            f"too fast for Brevo: {failure.summary}",
            code="brevo.throttled",
            retry_after=failure.retry_after,
            **failure.about,
        )
    if failure.status == 425 or failure.code == "account_in_process":
        return UnavailableError(
            f"Brevo is still working on this contact or account: {failure.summary}",
            code="brevo.in-process",
            hint="Nothing is wrong with the request; it is tried again later.",
            **failure.about,
        )
    if failure.status in (403, 404, 405) and not failure.has_envelope:
        return UnavailableError(
            f"a gateway answered for Brevo: {failure.summary}", code="brevo.gateway", **failure.about
        )
    if not 400 <= failure.status < 500 or failure.status == 408:
        kind = "brevo.error-in-answer" if failure.status < 300 else "brevo.unavailable"
        return UnavailableError(f"Brevo failed: {failure.summary}", code=kind, **failure.about)
    return None


def _explain_key(failure: _Failure) -> AccessError:
    first = "Brevo says that this machine's IP address is not authorised. " if _IP_HINT.search(failure.said) else ""
    return AccessError(
        f"Brevo refused the key: {failure.summary}",
        code="brevo.key-refused",
        hint=f"{first}A 401 has four causes: the key is wrong or deleted, it has expired, it was deactivated, or this "
        "IP address is not on the account's list (Brevo > Settings > Security > Authorised IPs). "
        "Make a new key under Settings > SMTP & API, then export BREVO_API_KEY=…",
        where=failure.operation,
        detail=failure.said,
    )


def _explain_permission(failure: _Failure) -> AccessError:
    resource = failure.operation.split(".", maxsplit=1)[0]
    return AccessError(
        f"the key may not do this at Brevo: {failure.summary}",
        code="brevo.permission-denied",
        hint=f"Give the restricted key read and write access to {resource}, or switch the feature on in the account.",
        where=failure.operation,
        detail=failure.said,
    )


def _explain_refusal(failure: _Failure) -> RejectedError:
    if failure.duplicates:
        return RejectedError(
            f"another contact already has this {failure.duplicates}: {failure.summary}",
            code="brevo.duplicate",
            hint="Merge the two contacts in Brevo, or match by another identifier.",
            **failure.about,
        )
    if failure.status == 404:
        return RejectedError(f"Brevo does not have it: {failure.summary}", code="brevo.not-found", **failure.about)
    return RejectedError(
        f"Brevo refused the request: {failure.summary}: {failure.said or 'no reason given'}",
        code="brevo.rejected",
        hint="The vendor's code says which field; correct the record or its mapping, then retry it.",
        **failure.about,
    )


def _clean(text: str) -> str:
    """Drop what a vendor's message quotes from the request, then redact the rest."""
    return redact(_QUOTED.sub("[…]", text))[:300]
