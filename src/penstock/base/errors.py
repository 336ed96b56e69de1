"""Every exception of Penstock, grouped by what to do next.

    PenstockError              code · message · hint · where · detail
    ├─ FixError                the user must change something
    │  ├─ SettingsError        a setting is missing or wrong; says where it looked
    │  ├─ InputError           operation input or source data does not fit
    │  ├─ FlowError            the flow file is wrong; line and column
    │  └─ MappingError         a value cannot be built from a record
    ├─ AccessError             key refused or permission missing; stops the run
    ├─ VendorError             the vendor answered with a failure
    │  ├─ RejectedError        will never succeed as sent; isolate and keep
    │  ├─ QuotaError           out of credit or over a spend limit; never retried
    │  ├─ ThrottledError       too fast; knows when to come back
    │  └─ UnavailableError     5xx, timeout, network; retried
    ├─ OutputError             the answer does not fit; one repair, then kept as failed
    ├─ StoppedError            budget, cancel or deadline
    └─ DefectError             a bug in Penstock

Failed items inside a batch are `penstock.base.types.Problem` values, not exceptions.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

Recovery = Literal["fix", "stop", "isolate", "retry", "repair", "report"]


class PenstockError(Exception):
    """Something went wrong that a person can act on."""

    code: str = "penstock.error"
    hint: str = ""
    exit_code: ClassVar[int] = 1
    http_status: ClassVar[int] = 500
    recovery: ClassVar[Recovery] = "report"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        hint: str | None = None,
        where: str = "",
        detail: str = "",
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or type(self).code
        self.hint = type(self).hint if hint is None else hint
        self.where = where
        self.detail = detail

    def to_dict(self) -> dict[str, Any]:
        """Return what a machine may show: code, message, hint and where."""
        return {"code": self.code, "message": self.message, "hint": self.hint, "where": self.where}


class FixError(PenstockError):
    """The user must change something before this can work."""

    code = "fix.needed"
    exit_code = 2
    http_status = 422
    recovery: ClassVar[Recovery] = "fix"


class SettingsError(FixError):
    """A setting is missing or has a wrong value."""

    code = "settings.invalid"
    http_status = 400


class InputError(FixError):
    """The input of an operation or the data of a source does not fit."""

    code = "input.invalid"


class FlowError(FixError):
    """The flow file is wrong; `where` names file, line and column."""

    code = "flow.invalid"


class MappingError(FixError):
    """A value cannot be built from the record."""

    code = "mapping.failed"
    recovery: ClassVar[Recovery] = "isolate"


class AccessError(PenstockError):
    """The key was refused or lacks a permission."""

    code = "access.refused"
    hint = "Run `penstock doctor` to see which key is refused and why."
    exit_code = 4
    http_status = 401
    recovery: ClassVar[Recovery] = "stop"


class VendorError(PenstockError):
    """The vendor answered with a failure."""

    code = "vendor.failed"
    exit_code = 5
    http_status = 502

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        hint: str | None = None,
        where: str = "",
        detail: str = "",
        status: int | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
        sent: bool = True,
        param: str = "",
    ) -> None:
        """Keep the vendor's status and request id beside the message.

        `retry_after` is in seconds. `sent` is False when the request provably
        never reached the vendor, so that nothing can have been billed or written.
        `param` is the parameter that the vendor names.
        """
        super().__init__(message, code=code, hint=hint, where=where, detail=detail)
        self.status = status
        self.request_id = request_id
        self.retry_after = retry_after
        self.sent = sent
        self.param = param


class RejectedError(VendorError):
    """The request will never succeed as it was sent."""

    code = "vendor.rejected"
    exit_code = 1
    http_status = 422
    recovery: ClassVar[Recovery] = "isolate"


class QuotaError(VendorError):
    """Credit is used up or a spend limit was reached; retrying cannot help."""

    code = "vendor.quota-exhausted"
    hint = "Add credit or raise the spend limit at the vendor, then run the same command again."
    exit_code = 5
    recovery: ClassVar[Recovery] = "stop"


class ThrottledError(VendorError):
    """Requests came too fast; `retry_after` says when to come back."""

    code = "vendor.throttled"
    http_status = 503
    recovery: ClassVar[Recovery] = "retry"


class UnavailableError(VendorError):
    """The vendor is down, too slow or out of reach."""

    code = "vendor.unavailable"
    http_status = 503
    recovery: ClassVar[Recovery] = "retry"


class OutputError(PenstockError):
    """The model's answer does not fit what was asked for; `text` is what it said."""

    code = "output.invalid"
    exit_code = 1
    http_status = 502
    recovery: ClassVar[Recovery] = "repair"
    text: str = ""


class StoppedError(PenstockError):
    """A budget, a deadline or a person stopped the work."""

    code = "run.stopped"
    exit_code = 6
    http_status = 409
    recovery: ClassVar[Recovery] = "stop"


class DefectError(PenstockError):
    """Penstock itself is wrong."""

    code = "penstock.defect"
    hint = "This is a bug in Penstock. Please report it with the output of `penstock doctor --json`."
    exit_code = 70
    http_status = 500
    recovery: ClassVar[Recovery] = "report"
