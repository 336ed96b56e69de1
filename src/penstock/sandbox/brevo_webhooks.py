"""Webhooks of the emulated Brevo: the endpoints that manage them, and the events on their way to a receiver.

Delivered as the vendor describes: token, own headers or credentials in the URL, no signature and no delivery id; four
more tries after a 429 or no answer at all, discarded after every other answer but 2xx.
"""

from __future__ import annotations

import asyncio
import base64
import heapq
from collections import Counter
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit, urlunsplit

import msgspec

from penstock.sandbox.brevo_wire import Answer, RefusedError, Request, decode, format_time, invalid, is_descending
from penstock.sandbox.loopback import LOOPBACK, Deliver

if TYPE_CHECKING:
    from penstock.sandbox.brevo_state import BrevoState

MAX_WEBHOOKS = 40
BATCH_SECONDS = 300.0
BATCH_EVENTS = 500
GAPS_SECONDS = (600.0, 3_600.0, 7_200.0, 28_800.0)
"""The waits between the tries of one delivery (developers.brevo.com, retry-mechanism, 2026)."""
PAUSE_SECONDS = 600.0
AT_ONCE = 50

_TRANSACTIONAL = (
    "sent request delivered hardBounce softBounce blocked spam invalid deferred click opened uniqueOpened unsubscribed"
)
_MARKETING = "spam opened click hardBounce softBounce unsubscribed listAddition delivered contactUpdated contactDeleted"
EVENTS = {
    "transactional": tuple(_TRANSACTIONAL.split()),
    "marketing": tuple(_MARKETING.split()),
    "inbound": ("inboundEmailProcessed", "reply"),
}
_PUBLIC = tuple(EVENTS)


class Webhook(msgspec.Struct):
    """One webhook; times are milliseconds. Those of type `conversations` are set in Brevo's own pages only."""

    id: int
    url: str
    events: list[str]
    type: str
    created: int
    modified: int
    description: str = ""
    channel: str | None = None
    domain: str | None = None
    batched: bool = False
    auth: dict[str, Any] | None = None
    headers: list[dict[str, str]] = []
    paused_until: float = 0.0

    def show(self) -> dict[str, Any]:
        """Return the webhook as the API shows it."""
        shown: dict[str, Any] = {
            "id": self.id,
            "url": self.url,
            "description": self.description,
            "events": self.events,
            "type": self.type,
            "batched": self.batched,
            "createdAt": format_time(self.created),
            "modifiedAt": format_time(self.modified),
        }
        for name in ("channel", "domain", "auth", "headers"):
            if value := getattr(self, name):
                shown[name] = value
        return shown

    def address(self) -> tuple[str, dict[str, str]]:
        """Return where a delivery goes, and the headers that prove who sends it."""
        headers = {"content-type": "application/json", "accept": "application/json"}
        parts = urlsplit(self.url)
        if parts.username is not None:
            secret = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
            headers["authorization"] = f"Basic {base64.b64encode(secret).decode()}"
        if self.auth and self.auth.get("token"):
            headers["authorization"] = f"Bearer {self.auth['token']}"
        headers.update({one["key"].lower(): one["value"] for one in self.headers})
        return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])), headers


class Letter(msgspec.Struct):
    """What is on its way to one receiver, and when it is due (seconds since 1970)."""

    due: float
    number: int
    webhook: int
    payloads: list[Any]
    batched: bool = False
    tries: int = 0
    delayed: bool = False


class Outbox:
    """The webhooks of an account, and what is on its way to them; `counts` tells how the deliveries ended.

    Faults planned for `webhooks.deliver` strike single deliveries: `drop` (never sent), `lost` (sent, but counted as
    unanswered, so that it comes twice), `slow` (late by `seconds`).
    """

    def __init__(self, state: BrevoState) -> None:
        self._state = state
        self.hooks: dict[int, Webhook] = {}
        self.letters: list[tuple[float, int, Letter]] = []
        self.counts: Counter[str] = Counter()
        self._number = 0
        self._open: dict[int, Letter] = {}

    def next_due(self) -> float | None:
        """Return when the next delivery is due."""
        return self.letters[0][0] if self.letters else None

    def fire(self, type: str, event: str, payload: dict[str, Any], domain: str | None = None) -> None:
        """Send an event to every webhook that wants it; `event` is the name that webhooks subscribe to."""
        for hook in self.hooks.values():
            if hook.type != type or event not in hook.events or (domain and hook.domain != domain):
                continue
            own = payload if type in ("inbound", "conversations") else {"id": hook.id, **payload}
            now = self._state.world.clock.now()
            if hook.batched:
                self._batch(hook, own, now)
            else:
                spread = self._state.behaviour.webhook_spread
                self._push(Letter(now + spread * self._state.world.rng.random(), 0, hook.id, [own]))

    def _batch(self, hook: Webhook, payload: dict[str, Any], now: float) -> None:
        due = (now // BATCH_SECONDS + 1) * BATCH_SECONDS
        letter = self._open.get(hook.id)
        if letter is not None and letter.due == due and len(letter.payloads) < BATCH_EVENTS:
            letter.payloads.append(payload)
            return
        self._open[hook.id] = letter = Letter(due, 0, hook.id, [payload], batched=True)
        self._push(letter)

    def notify(self, url: str, payload: dict[str, Any]) -> None:
        """Send the end of a process to its `notifyUrl`, once."""
        self._push(Letter(self._state.world.clock.now(), 0, 0, [url, payload], tries=len(GAPS_SECONDS)))

    def push_all(self, letters: list[Letter]) -> None:
        """Put kept letters back on their way."""
        for letter in letters:
            self._push(letter)

    def _push(self, letter: Letter) -> None:
        self._number += 1
        letter.number = self._number
        heapq.heappush(self.letters, (letter.due, letter.number, letter))

    async def deliver_due(self, deliver: Deliver) -> int:
        """Send everything that is due by now; returns how many deliveries were tried."""
        due = []
        now = self._state.world.clock.now()
        while self.letters and self.letters[0][0] <= now:
            due.append(heapq.heappop(self.letters)[2])
        tried = 0
        for start in range(0, len(due), AT_ONCE):
            tried += sum(await asyncio.gather(*(self._send(one, deliver) for one in due[start : start + AT_ONCE])))
        return tried

    async def _send(self, letter: Letter, deliver: Deliver) -> bool:
        now = self._state.world.clock.now()
        hook = self.hooks.get(letter.webhook)
        if hook is None and letter.webhook:
            return False
        if hook is not None and now < hook.paused_until:
            self._later(letter, hook.paused_until)
            return False
        fault = self._state.world.take_fault("brevo", "webhooks.deliver")
        kind = fault.kind if fault else ""
        if fault and kind == "slow" and not letter.delayed:
            letter.delayed = True
            self._later(letter, now + fault.seconds)
            return False
        if kind == "drop":
            self.counts["dropped"] += 1
            return False
        status = await self._post(hook, letter, deliver)
        self._settle(letter, hook, 0 if kind == "lost" else status)
        return True

    async def _post(self, hook: Webhook | None, letter: Letter, deliver: Deliver) -> int:
        if hook is None:
            url, body = letter.payloads
            headers = {"content-type": "application/json"}
        else:
            url, headers = hook.address()
            body = letter.payloads[0]
            if letter.batched:
                body = {"events": letter.payloads} if self._wraps() else letter.payloads
        try:
            status = await deliver(url, headers, msgspec.json.encode(body))
        except OSError:
            status = 0
        self._state.world.note("brevo", "webhooks.deliver", status)
        return status

    def _wraps(self) -> bool:
        return self._state.behaviour.batch_shape == "object"

    def _settle(self, letter: Letter, hook: Webhook | None, status: int) -> None:
        now = self._state.world.clock.now()
        if status == 0 and hook is not None:
            hook.paused_until = now + PAUSE_SECONDS
        if 200 <= status < 300:
            self.counts["delivered"] += 1
        elif status in (0, 429) and letter.tries < len(GAPS_SECONDS):
            self.counts["retried"] += 1
            self._later(letter, now + GAPS_SECONDS[letter.tries])
            letter.tries += 1
        else:
            self.counts["discarded"] += 1

    def _later(self, letter: Letter, due: float) -> None:
        letter.due = due
        self._push(letter)


class _Header(msgspec.Struct):
    key: str
    value: str


class _Body(msgspec.Struct):
    url: str | None = None
    events: list[str] | None = None
    type: str = "transactional"
    channel: str | None = None
    description: str | None = None
    domain: str | None = None
    batched: bool | None = None
    auth: dict[str, Any] | None = None
    headers: list[_Header] | None = None


def list_webhooks(state: BrevoState, request: Request) -> Answer:
    """GET /webhooks: those of one type, or all that the API may see."""
    wanted = request.text("type")
    if wanted is not None and wanted not in _PUBLIC:
        raise invalid(f"type is not valid: {wanted}")
    types = _PUBLIC if wanted is None else (wanted,)
    rows = [hook.show() for hook in state.outbox.hooks.values() if hook.type in types]
    return Answer(200, {"webhooks": rows[::-1] if is_descending(request) else rows})


def create_webhook(state: BrevoState, request: Request) -> Answer:
    """POST /webhooks: the same one twice makes two, which both fire."""
    body = decode(request.body, _Body)
    if not body.url or not body.events:
        raise RefusedError(400, "missing_parameter", "url and events are needed")
    if body.type not in _PUBLIC:
        raise invalid(f"type is not valid: {body.type}")
    if body.type == "inbound" and not body.domain:
        raise RefusedError(400, "missing_parameter", "domain is missing")
    if sum(hook.type in _PUBLIC for hook in state.outbox.hooks.values()) >= MAX_WEBHOOKS:
        raise invalid(f"the account has {MAX_WEBHOOKS} webhooks, which is the most")
    _check(body, body.type)
    hook = Webhook(state.next_id("webhook"), body.url, body.events, body.type, state.now(), state.now())
    _take(hook, body)
    hook.channel = body.channel
    state.outbox.hooks[hook.id] = hook
    state.world.wrote("brevo", "webhooks.create", str(hook.id), tuple(hook.events))
    return Answer(201, {"id": hook.id})


def get_webhook(state: BrevoState, request: Request) -> Answer:
    """GET /webhooks/{webhook}."""
    return Answer(200, _find(state, request).show())


def update_webhook(state: BrevoState, request: Request) -> Answer:
    """PUT /webhooks/{webhook}."""
    hook = _find(state, request)
    body = decode(request.body, _Body)
    _check(body, hook.type)
    _take(hook, body)
    hook.modified = state.now()
    state.world.wrote("brevo", "webhooks.update", str(hook.id), ())
    return Answer(204)


def delete_webhook(state: BrevoState, request: Request) -> Answer:
    """DELETE /webhooks/{webhook}: what is on its way to it is not sent any more."""
    hook = _find(state, request)
    del state.outbox.hooks[hook.id]
    state.world.wrote("brevo", "webhooks.delete", str(hook.id), ())
    return Answer(204)


def _check(body: _Body, type: str) -> None:
    if body.url is not None:
        parts = urlsplit(body.url)
        if not parts.hostname or (parts.scheme != "https" and parts.hostname not in LOOPBACK):
            raise invalid("url must be an https address (the sandbox also takes http on this machine)")
    for event in body.events or ():
        if event not in EVENTS[type]:
            raise invalid(f"events: {event} is not an event of {type} webhooks")


def _take(hook: Webhook, body: _Body) -> None:
    for name in ("url", "events", "description", "domain", "batched", "auth"):
        value = getattr(body, name)
        if value is not None:
            setattr(hook, name, value)
    if body.headers is not None:
        hook.headers = [{"key": one.key, "value": one.value} for one in body.headers]


def _find(state: BrevoState, request: Request) -> Webhook:
    text = request.path["webhook"]
    hook = state.outbox.hooks.get(int(text)) if text.isdecimal() else None
    if hook is None or hook.type not in _PUBLIC:
        raise RefusedError(404, "document_not_found", "Webhook ID does not exist")
    return hook
