"""What a delivery of Brevo's webhooks says: read tolerantly, by epoch times alone, with a mark for each event.

Brevo gives deliveries no id, names the same event in two spellings, sends scalars also as arrays, and mixes three time
zones in one payload (guides marketing-webhooks, transactional-webhooks, conversations-webhooks, inbound-parse, 2026).
"""

from __future__ import annotations

import hashlib
import html
import re
from collections.abc import Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Literal

import msgspec

from penstock.base.errors import InputError
from penstock.data.brevo_targets import read_email
from penstock.runtime.feedback import Said, make_said

Kind = Literal["opt-out", "deleted", "changed", "said"]

_KINDS: Mapping[str, Kind] = {
    "unsubscribe": "opt-out",
    "unsubscribed": "opt-out",
    "spam": "opt-out",
    "complaint": "opt-out",
    "contactdeleted": "deleted",
    "contactupdated": "changed",
    "listaddition": "changed",
    "hardbounce": "changed",
}
"""Events by their name without capitals and signs; of all others nothing follows here."""
_URGENT = re.compile(rb"unsub|spam|complaint|delet", re.IGNORECASE)
_SIGNS = re.compile(r"[^a-z]")
_TAG = re.compile(r"<[^>]*>")
MOST_EVENTS = 5_000
_MILLISECONDS_FROM = 100_000_000_000


class News(msgspec.Struct, frozen=True):
    """One event: what follows from it, about whom, and the mark by which it is recognised when it comes again."""

    kind: Kind
    mark: bytes
    email: str = ""
    key: str = ""
    """The id or ext_id of the contact; Brevo does not say which."""
    by: str = ""
    """Name of the API key that caused it; empty for people."""
    fields: frozenset[str] = frozenset()
    """Names of what changed, where that is said."""
    lists: frozenset[int] = frozenset()
    at: float = 0.0
    """Seconds since 1970; 0 where the payload has no epoch time."""
    said: tuple[Said, ...] = ()

    @property
    def names(self) -> list[str]:
        """What the contact is known by, the surest first; a bare number is never one, for it names other things too."""
        if self.email:
            return [self.email, *([self.key] if self.key and not self.key.isdecimal() else [])]
        if not self.key:
            return []
        return [f"id:{self.key}", f"ext_id:{self.key}"] if self.key.isdecimal() else [self.key, f"ext_id:{self.key}"]


def is_urgent(body: bytes) -> bool:
    """Tell whether a body may hold an opt-out or a deletion; nearly free, and wrong on the safe side only."""
    return _URGENT.search(body) is not None


def read_news(body: bytes) -> list[News]:
    """Return the events of a delivery that something follows from, opt-outs and deletions first.

    Raises `InputError` (`webhook.not-an-event`) for a body that is none.
    """
    found = [one for payload in _payloads(body) if (one := _read(payload)) is not None]
    order = {"opt-out": 0, "deleted": 1}
    return sorted(found, key=lambda one: order.get(one.kind, 2))


def _payloads(body: bytes) -> list[dict[str, Any]]:
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise _unreadable("the delivery is not JSON") from error
    if isinstance(value, dict) and isinstance(value.get("events"), list) and "event" not in value:
        value = value["events"]  # batched deliveries are seen bare and wrapped
    rows = value if isinstance(value, list) else [value]
    payloads = [one for one in rows if isinstance(one, dict)]
    if len(payloads) < len(rows) or len(rows) > MOST_EVENTS:
        raise _unreadable("the delivery is not a list of events")
    return payloads


def _unreadable(message: str) -> InputError:
    return InputError(
        message,
        code="webhook.not-an-event",
        hint="Brevo's format may have changed: compare it with the webhook guide.",
    )


def _read(payload: dict[str, Any]) -> News | None:
    if "eventName" in payload:
        return _conversation(payload)
    if isinstance(payload.get("items"), list):
        return _mail(payload)
    kind = _KINDS.get(_SIGNS.sub("", str(payload.get("event", "")).lower()))
    if kind is None:
        return None
    email = read_email(_first(payload.get("email"))) or ""
    key = _text(_first(payload.get("key")))
    content = _first(payload.get("content"))
    return News(
        kind,
        _mark(payload, email or key),
        email,
        key,
        _text(payload.get("api_key_name")),
        frozenset(content) if isinstance(content, dict) else frozenset(),
        frozenset(int(one) for one in _lists(payload) if one.isdecimal()),
        _epoch(payload),
    )


def _mark(payload: dict[str, Any], who: str) -> bytes:
    """Hash what makes two deliveries the same event (Brevo has no id for them)."""
    return _hash(
        [
            _text(payload.get("id")),
            _SIGNS.sub("", str(payload.get("event", "")).lower()),
            who,
            _text(payload.get("message-id") or payload.get("camp_id")),
            _epoch(payload),
            sorted(_lists(payload)),
            _first(payload.get("content")),
        ]
    )


def _lists(payload: dict[str, Any]) -> list[str]:
    value = payload.get("list_id")
    return [_text(one) for one in (value if isinstance(value, list) else [value]) if one is not None]


def _epoch(payload: Mapping[str, Any]) -> float:
    """Return when it happened by the epoch fields alone; `date…` are local to the account or to France."""
    for name in ("ts_event", "ts", "ts_epoch"):
        value = payload.get(name)
        if isinstance(value, str) and value.isdecimal() and len(value) < 16:
            value = int(value)
        if isinstance(value, int | float) and not isinstance(value, bool) and value > 0:
            return float(value) / 1000 if value >= _MILLISECONDS_FROM else float(value)
    return 0.0


def _conversation(payload: dict[str, Any]) -> News | None:
    visitor = payload.get("visitor")
    visitor = visitor if isinstance(visitor, dict) else {}
    attributes = visitor.get("attributes")
    email = read_email(attributes.get("EMAIL")) if isinstance(attributes, dict) else None
    contact = email or (f"id:{visitor['contactId']}" if visitor.get("contactId") else "")
    given = payload.get("messages")
    messages = [*(given if isinstance(given, list) else []), payload.get("message")]
    said: list[Said] = []
    for one in messages:
        if not isinstance(one, dict) or one.get("type") != "visitor" or one.get("isTrigger"):
            continue  # an agent's, or the widget's own
        said += _said(
            "conversation",
            text=_words(one.get("text"), one.get("html")),
            source="conversations",
            id=_text(one.get("id")),
            contact=contact,
            happened_at=_epoch({"ts": one.get("createdAt")}),
            extra={"conversation": _text(payload.get("conversationId")), "subject": _text(one.get("subject"))},
        )
    return _heard(said)


def _mail(payload: dict[str, Any]) -> News | None:
    said: list[Said] = []
    for one in payload["items"]:
        if not isinstance(one, dict):
            continue
        sender = one.get("From")
        said += _said(
            "mail",
            text=_words(one.get("ExtractedMarkdownMessage") or one.get("RawTextBody"), one.get("RawHtmlBody")),
            source="mail",
            id=_text(one.get("MessageId")).strip("<> ") or _text(_first(one.get("Uuid"))),
            contact=read_email(sender.get("Address")) if isinstance(sender, dict) else None,
            happened_at=_mail_time(one.get("SentAtDate")),
            extra={"subject": _text(one.get("Subject"))[:500], "spam_score": one.get("SpamScore")},
        )
    return _heard(said)


def _said(road: Literal["conversation", "mail"], **parts: Any) -> Iterator[Said]:
    """Yield the feedback, or nothing where a message has no words or no proper id."""
    try:
        yield make_said(road, **parts)
    except InputError:
        return


def _heard(said: list[Said]) -> News | None:
    """Return news of what was said; its mark stands for the very words, which a transcript repeats."""
    if not said:
        return None
    return News("said", _hash([[one.id, one.text] for one in said]), said=tuple(said))


def _words(text: Any, markup: Any) -> str:
    if isinstance(text, str) and text.strip():
        return text
    return html.unescape(_TAG.sub(" ", markup)) if isinstance(markup, str) else ""


def _mail_time(value: Any) -> float:
    try:
        moment = parsedate_to_datetime(value)
        return moment.timestamp() if moment.tzinfo is not None else 0.0
    except (TypeError, ValueError, OverflowError):
        return 0.0


def _first(value: Any) -> Any:
    if isinstance(value, list):
        return value[0] if value else None
    return value


def _text(value: Any) -> str:
    return str(value).strip() if isinstance(value, str | int) and not isinstance(value, bool) else ""


def _hash(parts: list[Any]) -> bytes:
    return hashlib.blake2b(msgspec.json.encode(parts, order="sorted"), digest_size=16).digest()
