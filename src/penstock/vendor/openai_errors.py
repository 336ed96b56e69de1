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
from penstock.vendor.http import Reply

_LONGEST = 500

_QUOTA: Mapping[str, tuple[str, str, str]] = {
    "credit_balance_exhausted": (
        "openai.credit-exhausted",
        "the prepaid credit is used up",
        "Add credit under Billing on the vendor's platform, then run the same command again.",
    ),
    "organization_spend_limit_exceeded": (
        "openai.organization-spend-limit",
        "the organisation's own monthly spend limit is reached",
        "Raise the organisation's limit under Limits, or wait until the month turns; then run the same command again.",
    ),
    "project_spend_limit_exceeded": (
        "openai.project-spend-limit",
        "the project's own monthly spend limit is reached",
        "Raise the project's limit in its settings, use another project, or wait until the month turns.",
    ),
    "organization_usage_limit_exceeded": (
        "openai.usage-limit",
        "the usage limit that OpenAI set for the organisation is reached",
        "Ask OpenAI for a higher usage limit (Limits page); the organisation itself cannot raise it.",
    ),
}
_OLD_QUOTA = (
    "openai.quota-exhausted",
    "the quota is used up",
    "Look at Billing (credit) and Limits (monthly limits) on the vendor's platform, then run the same command again.",
)
_OLD_QUOTA_CODES = ("insufficient_quota", "billing_hard_limit_reached")
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

_WRONG_KEY = (
    "openai.key-refused",
    "refused the key",
    "Set a valid key of this endpoint (OPENAI_API_KEY, or the connection's secret); then `penstock connections test`.",
)
_NOT_ALLOWED = (
    "openai.not-allowed",
    "does not allow this",
    "The key lacks a permission: give it the scope in the project's key settings, or use a key that has it.",
)
_GATEWAY = (
    "openai.gateway",
    "refused the call before any API saw it",
    "A gateway, proxy or firewall answered instead of the API: check the base URL, the proxy and its rules.",
)
_ACCESS = (
    (
        re.compile(r"(?i)\bip\b|ip_not|allow.?list"),
        (
            "openai.ip-not-allowed",
            "does not take calls from this machine's address",
            "Add this machine's IP address to the organisation's or project's allow-list, or call from a listed one.",
        ),
    ),
    (
        re.compile(r"(?i)\bproject|_project"),
        (
            "openai.wrong-project",
            "refused the project",
            "The key does not belong to this project: correct or remove `project` of the connection (openai.project).",
        ),
    ),
    (
        re.compile(r"(?i)organi[sz]ation"),
        (
            "openai.wrong-organization",
            "refused the organisation",
            "The key's owner is no member: correct or remove `organization` of the connection (openai.organization).",
        ),
    ),
    (
        re.compile(r"(?i)country|region|territory"),
        (
            "openai.country",
            "does not serve this country or region",
            "Call from a supported country, or use a regional host that the organisation is allowed to use.",
        ),
    ),
)
_IS_BLOCKED = "openai.blocked", "The vendor's safety rules refuse this content; change it, a repetition does not help."
_FAULTS: Mapping[str, tuple[str, str]] = {
    "context_length_exceeded": ("openai.too-long", "Shorten the text or use a model with a longer context."),
    "moderation_blocked": _IS_BLOCKED,
    "content_policy_violation": _IS_BLOCKED,
    "content_filter": _IS_BLOCKED,
    "413": ("openai.too-large", "Send a smaller file or fewer texts at once."),
    "422": (
        "openai.not-processable",
        "It was tried twice; change the input or the parameters named in the message.",
    ),
}


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
    found = next((_QUOTA[name] for name in (said.code, said.kind) if name in _QUOTA), None)
    if found is None and (said.code in _OLD_QUOTA_CODES or said.kind in _OLD_QUOTA_CODES):
        found = _OLD_QUOTA
    if found is None:
        return None
    code, what, hint = found
    return QuotaError(f"{said.host}: {what}", code=code, hint=hint, **said.known)


def _explain_access(said: _Said) -> PenstockError | None:
    """Return the error of a key, an organisation, a project, an address or a country: it concerns every call alike."""
    if said.status not in (401, 403) or said.code == "model_not_found":
        return None
    told = f"{said.code} {said.text}"
    usual = _WRONG_KEY if said.status == 401 else _NOT_ALLOWED
    if said.is_page and said.status == 403:
        fault = _GATEWAY
    elif said.code == "invalid_api_key":
        fault = _WRONG_KEY
    else:
        fault = next((fault for sign, fault in _ACCESS if sign.search(told)), usual)
    code, what, hint = fault
    request = f" [request {said.request_id}]" if said.request_id else ""
    return AccessError(
        f"{said.host} {what} {said.words}", code=code, hint=hint, where=said.host, detail=said.text + request
    )


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
    name, hint = _find_missing(said) if said.status in (403, 404, 405) else _find_fault(said)
    return RejectedError(
        f"{said.host} rejected the request {said.words}", code=name, hint=hint, param=said.param, **said.known
    )


def _find_parameter(said: _Said) -> _Said:
    """Take a refused parameter out of the message where there is no code: it teaches like OpenAI's own refusal."""
    if _REFUSED_ROLE.search(said.text):
        return msgspec.structs.replace(said, code="unsupported_value", param="messages.role")
    for pattern in _REFUSED_PARAMETER:
        found = pattern.search(said.text)
        if found is not None:
            return msgspec.structs.replace(said, code="unsupported_parameter", param=found[1].removeprefix("body."))
    return said


def _find_missing(said: _Said) -> tuple[str, str]:
    if said.code == "DeploymentNotFound":
        return "openai.deployment-missing", (
            "Azure has no such deployment: create it, or correct `models` of the connection (deployment to model)."
        )  # fmt: skip
    if said.code == "model_not_found" or (said.status == 404 and _NO_MODEL.search(said.text)):
        return "openai.model-not-found", (
            "Its name is wrong, it is retired, or the key's project is not granted it; `penstock doctor` tells what is "
            "known of the model that is set."
        )  # fmt: skip
    if said.status == 404 and (said.param == "id" or _NO_OBJECT.search(said.text)):
        return "openai.not-found", "The object is gone, or belongs to another project; check its id."
    return "openai.endpoint-missing", "This server has no such endpoint; check the base URL."


def _find_fault(said: _Said) -> tuple[str, str]:
    if said.code in ("unsupported_parameter", "unsupported_value"):
        return f"openai.{said.code.replace('_', '-')}", f"The model does not take {said.param!r} like this."
    if said.param == "service_tier":
        return "openai.tier-not-allowed", "The project may not use this tier with this model: set the tier `default`."
    usual = "openai.rejected", "Change the input or the parameters named in the message."
    return _FAULTS.get(said.code) or _FAULTS.get(str(said.status)) or usual
