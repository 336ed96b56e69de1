"""What a bad answer of OpenAI, Azure or a compatible server means: the vendor's `code` first, then `type`, then status.

Meanings: developers.openai.com guide "Error codes" (stored copy of November 2026). Gateways differ in
their bodies (a text as error, a number as code, a web page), so nothing about a body is taken for granted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec

from penstock.base.errors import (
    AccessError,
    PenstockError,
    QuotaError,
    RejectedError,
    SettingsError,
    ThrottledError,
    UnavailableError,
)
from penstock.base.redact import redact
from penstock.vendor import openai_meanings as meanings
from penstock.vendor.http import Reply
from penstock.vendor.openai_meanings import Meaning

_LONGEST = 500


_PASSING = ("server_error", "rate_limit_exceeded", "vector_store_timeout")

_REFUSED_PARAMETER = (
    re.compile(r"(?i)^(?:body\.)?([\w.]+): .*(?:not permitted|not supported|unknown field|extra_forbidden)"),
    re.compile(
        r"(?i)(?:unsupported|unrecognized|unknown)(?: request)? (?:parameter|argument|field)s?"
        r"(?: supplied)?:? ['\"`]?([\w.]+)"
    ),
)
_REFUSED_ROLE = re.compile(r"(?i)(?:unexpected|unknown|invalid|unsupported) role:? ['\"`]?developer")
"""How servers without OpenAI's codes say that they do not know a parameter."""
_NO_MODEL = re.compile(r"(?i)\bmodel\b.*(not found|does not exist|not available)")
_NO_OBJECT = re.compile(r"(?i)\bwith id\b|\bno such\b")
_CAPACITY = re.compile(r"(?i)resource.?unavailable|capacity")


class _Said(msgspec.Struct, frozen=True):
    """A bad answer, with everything that may be shown of it."""

    host: str
    status: int
    code: str
    kind: str
    param: str
    text: str
    is_page: bool
    wait: float | None
    request_id: str

    @property
    def known(self) -> dict[str, Any]:
        """What every vendor error keeps."""
        return {"where": self.host, "detail": self.text, "status": self.status, "request_id": self.request_id}

    @property
    def words(self) -> str:
        """What the host said, with the vendor's code or the status."""
        said = "something that is not JSON, as a gateway or proxy sends" if self.is_page else self.text or "no message"
        return f"({self.code or self.status}): {said}"


def explain(reply: Reply, content: Any, request_id: str) -> PenstockError:
    """Return the error that a bad answer means; `content` is the decoded body, or None where it is not JSON."""
    said = _read(reply, content, request_id)
    if said.status < 300:
        return UnavailableError(
            f"{said.host} answered {said.status} with JSON that is no answer of this API",
            code="openai.wrong-shape",
            hint="A gateway or a wrong base URL often answers like this; the call may have been billed.",
            **said.known,
        )
    if said.status < 400:
        return _explain_redirect(reply, said)
    return _explain_quota(said) or _explain_access(said) or _explain_trouble(said) or _explain_refusal(said)


def explain_failed_response(content: Mapping[str, Any], host: str, request_id: str) -> PenstockError | None:
    """Return the error inside a 200: a response object that failed on the vendor's side may succeed when repeated."""
    details = content.get("error")
    if content.get("status") != "failed" or not isinstance(details, dict):
        return None
    code = _text(details.get("code"))
    if code not in _PASSING:
        return None  # final for this input: the operation that reads the answer says so
    return UnavailableError(
        f"{host} gave up on the answer: {_clean(details.get('message') or code)}",
        code="openai.failed-response",
        where=host,
        status=200,
        request_id=request_id,
    )


def read_wait(headers: Mapping[str, str]) -> float | None:
    """Return how many seconds a refusal asks to wait: milliseconds header first, then `Retry-After`."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        value = headers.get(name)
        if value:
            try:
                return max(float(value) * unit, 0.0)
            except ValueError:
                continue
    return None


def _read(reply: Reply, content: Any, request_id: str) -> _Said:
    """Take what there is out of a body: an envelope, an error that is only a text, or a bare message."""
    envelope = content if isinstance(content, dict) else {}
    error = envelope.get("error")
    if not isinstance(error, dict):
        message = error if isinstance(error, str) else envelope.get("message") or _read_detail(envelope.get("detail"))
        error = {"message": message, "code": envelope.get("code"), "type": envelope.get("type")}
    return _Said(
        reply.host,
        reply.status,
        _text(error.get("code")),
        _text(error.get("type")),
        _text(error.get("param")),
        _clean(error.get("message")),
        content is None,
        read_wait(reply.headers),
        request_id,
    )


def _read_detail(detail: Any) -> Any:
    """Return what a web framework says about the first wrong field: place and reason, never the input beside them."""
    if not isinstance(detail, list):
        return detail
    first = detail[0] if detail and isinstance(detail[0], dict) else {}
    place = first.get("loc")
    where = ".".join(str(part) for part in place) if isinstance(place, list) else ""
    return f"{where}: {first.get('msg') or first.get('type') or 'wrong'}" if where else None


def _text(value: Any) -> str:
    """Return a code as text: some gateways send numbers; what only repeats the status says nothing."""
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        return ""
    text = _clean(value)
    return "" if text.isdigit() else text


def _clean(value: Any) -> str:
    """Redact and shorten a message; what is neither text nor number may quote the request and is left out."""
    return redact(str(value))[:_LONGEST] if isinstance(value, (str, int)) else ""


def _explain_redirect(reply: Reply, said: _Said) -> PenstockError:
    target = urlsplit(reply.headers.get("location") or "").hostname or "another address"
    return SettingsError(
        f"{said.host} sends calls on to {target} ({said.status}), which is never followed with a key",
        code="openai.redirected",
        hint="Set the base URL of the connection to the address that really answers.",
        where=said.host,
    )


def _explain_quota(said: _Said) -> PenstockError | None:
    """Return the error of credit and limits, which no retry can help."""
    if said.code == "rate_limit_exceeded":
        return None
    found = next((meanings.QUOTA[name] for name in (said.code, said.kind) if name in meanings.QUOTA), None)
    if found is None and (said.code in meanings.OLD_QUOTA_CODES or said.kind in meanings.OLD_QUOTA_CODES):
        found = meanings.OLD_QUOTA
    if found is None:
        return None
    return QuotaError(f"{said.host}: {found.what}", code=found.code, hint=found.hint, **said.known)


def _explain_access(said: _Said) -> PenstockError | None:
    """Return the error of a key, an organisation, a project, an address or a country: it concerns every call alike."""
    if said.status not in (401, 403) or said.code == "model_not_found":
        return None
    told = f"{said.code} {said.text}"
    usual = meanings.WRONG_KEY if said.status == 401 else meanings.NOT_ALLOWED
    if said.is_page and said.status == 403:
        fault = meanings.GATEWAY
    elif said.code == "invalid_api_key":
        fault = meanings.WRONG_KEY
    else:
        fault = next((fault for sign, fault in meanings.ACCESS if sign.search(told)), usual)
    request = f" [request {said.request_id}]" if said.request_id else ""
    text = f"{said.host} {fault.what} {said.words}"
    return AccessError(text, code=fault.code, hint=fault.hint, where=said.host, detail=said.text + request)


def _explain_trouble(said: _Said) -> PenstockError | None:
    """Return the error of a call that may succeed later."""
    status, told = said.status, f"{said.code} {said.kind} {said.text}"
    known = {**said.known, "retry_after": said.wait}
    if status == 429 and said.code != "rate_limit_exceeded" and _CAPACITY.search(told):
        return ThrottledError(
            f"{said.host} has no capacity for this tier just now, and billed nothing",
            code="openai.no-capacity",
            hint="It is tried again; to be served at once, use the tier default instead of flex.",
            **known,
        )
    if status == 429:
        return ThrottledError(
            f"{said.host} refused: too fast {said.words}",
            code="openai.throttled",
            hint="It is tried again when the quota has room; a higher usage tier raises the quota.",
            **known,
        )
    if status == 503 and re.search(r"(?i)slow.?down", told):
        return ThrottledError(
            f"{said.host} asks to slow down",
            code="openai.slow-down",
            hint="Traffic rose too fast: the former rate is kept for 15 minutes, then grows again.",
            **known,
        )
    if status in (408, 409) or status >= 500:
        return UnavailableError(
            f"{said.host} failed {said.words}",
            code="openai.unavailable",
            hint="It is tried again; when it lasts, look at the status page of whoever runs this host.",
            **known,
        )
    return None


def _explain_refusal(said: _Said) -> RejectedError:
    if said.status in (400, 422) and not said.code and not said.param:
        said = _find_parameter(said)
    found = _find_missing(said) if said.status in (403, 404, 405) else _find_fault(said)
    text = f"{said.host} {found.what} {said.words}"
    return RejectedError(text, code=found.code, hint=found.hint, param=said.param, **said.known)


def _find_parameter(said: _Said) -> _Said:
    """Take a refused parameter out of the message where there is no code: it teaches like OpenAI's own refusal."""
    if _REFUSED_ROLE.search(said.text):
        return msgspec.structs.replace(said, code="unsupported_value", param="messages.role")
    for pattern in _REFUSED_PARAMETER:
        found = pattern.search(said.text)
        if found is not None:
            return msgspec.structs.replace(said, code="unsupported_parameter", param=found[1].removeprefix("body."))
    return said


def _find_missing(said: _Said) -> Meaning:
    if said.code == "DeploymentNotFound":
        return meanings.DEPLOYMENT
    if said.code == "model_not_found" or (said.status == 404 and _NO_MODEL.search(said.text)):
        return meanings.MODEL
    if said.status == 404 and (said.param == "id" or _NO_OBJECT.search(said.text)):
        return meanings.OBJECT
    return meanings.ENDPOINT


def _find_fault(said: _Said) -> Meaning:
    hint = f"The model does not take {said.param!r} like this."
    if said.code == "unsupported_parameter":
        return Meaning(RejectedError, "openai.unsupported-parameter", meanings.REJECTS, hint)
    if said.code == "unsupported_value":
        return Meaning(RejectedError, "openai.unsupported-value", meanings.REJECTS, hint)
    if said.param == "service_tier":
        return meanings.TIER
    return meanings.FAULTS.get(said.code) or meanings.FAULTS.get(str(said.status)) or meanings.REJECTED
