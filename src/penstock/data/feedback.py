"""The feedback table as a source of flows, and how rows of files, requests and events become feedback."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Any

from penstock.base.errors import InputError
from penstock.base.types import Page, Record
from penstock.data.rows import check_options, text_option
from penstock.runtime.feedback import Feedback, Road, Row, Said, make_said
from penstock.runtime.store import Store

OPTIONS = ("from",)
FIELDS = ("id", "text", "source", "email", "ext_id", "at")
"""What a record of feedback may say of itself; everything else is kept beside it."""
_MILLISECONDS_FROM = 100_000_000_000


class FeedbackSource:
    """Feedback in the order in which it came, all or that of one origin."""

    def __init__(self, store: Store, origin: str = "") -> None:
        self._feedback = Feedback(store, store.clock)
        self._origin = origin

    def describe(self) -> str:
        return f"feedback from {self._origin}" if self._origin else "feedback"

    def identity(self) -> str:
        return f"feedback:{self._origin}"

    async def pages(self, cursor: dict[str, Any] | None = None, size: int = 500) -> AsyncIterator[Page]:
        """Yield feedback from a cursor on; the cursor of the last page starts with what came since."""
        after = int((cursor or {}).get("after", 0))
        while rows := await self._feedback.page(after, self._origin, size):
            after = rows[-1].number
            yield Page([to_record(row) for row in rows], [], {"after": after})

    async def count(self) -> int | None:
        return sum((await self._feedback.counts(self._origin)).values())

    async def close(self) -> None:
        """Do nothing: the store belongs to who opened it."""


def feedback_source(options: Mapping[str, Any], store: Store) -> FeedbackSource:
    """Make a source of the feedback table; `from` names one origin, such as reviews. Raises `InputError`."""
    what = "the feedback source"
    check_options(what, options, OPTIONS, ())
    return FeedbackSource(store, (text_option(what, options, "from") or "").strip().lower())


def to_record(row: Row) -> Record:
    """Return a row of the table as flows see it."""
    is_email = "@" in row.contact
    data: dict[str, Any] = {
        "id": row.id,
        "source": row.source,
        "text": row.text,
        "email": row.contact if is_email else None,
        "ext_id": row.contact if row.contact and not is_email else None,
        "at": _write_time(row.happened_at or row.at),
        "extra": row.extra,
    }
    return Record(row.id, data, f"feedback {row.id}")


def read_said(road: Road, given: Mapping[str, Any], *, source: str) -> Said:
    """Return the feedback that a row of a file, a request or an event holds; raises `InputError`.

    `source` is whose words these are where the row does not say it. `at` is ISO 8601 with its offset (UTC without
    one), or epoch seconds or milliseconds.
    """
    email = given.get("email")
    return make_said(
        road,
        text=given.get("text"),
        source=given.get("source") or source,
        id=given.get("id"),
        contact=email if isinstance(email, str) and email.strip() else given.get("ext_id"),
        happened_at=read_time(given.get("at")),
        extra={str(name): value for name, value in given.items() if name not in FIELDS},
    )


def read_time(value: Any) -> float:
    """Return a time as seconds since 1970, 0 where there is none; raises `InputError` for what is no time."""
    if value in (None, ""):
        return 0.0
    try:
        number = float(value)
    except (TypeError, ValueError):
        return _read_iso(value)
    if not 0 <= number < 1e14:  # also refuses NaN
        raise _no_time()
    return number / 1000 if number >= _MILLISECONDS_FROM else number


def _read_iso(value: Any) -> float:
    try:
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value).strip())
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError) as error:
        raise _no_time() from error


def _no_time() -> InputError:
    return InputError(
        "the time of the feedback is none", code="feedback.bad-time", hint="Write 2026-11-20T10:00:00Z.", where="at"
    )


def _write_time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
