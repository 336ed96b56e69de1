"""Webhooks of the emulated OpenAI: endpoints, secrets, and deliveries signed as Standard Webhooks asks, with retries.

Faults planned for `webhooks.deliver` strike single deliveries: `drop` (not sent), `lost` (sent, but counted as
failed, so that it comes twice), `slow` (late by `seconds`), `malformed` (sent with a wrong signature).
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
from typing import Any
from urllib.parse import urlsplit

import msgspec

from penstock.sandbox.loopback import LOOPBACK, Deliver
from penstock.sandbox.openai_fields import Fields, invalid, name_set, read_fields
from penstock.sandbox.openai_files import make_page
from penstock.sandbox.openai_requests import ApiError
from penstock.sandbox.openai_routes import Act, Call, Done, Route, Service, answer_json

_OUTCOMES = {
    "batch": "completed failed expired cancelled",
    "response": "completed failed cancelled incomplete",
    "eval.run": "succeeded failed canceled",
    "fine_tuning.job": "succeeded failed cancelled",
    "realtime.call": "incoming",
    "video": "completed failed",
    "agent.environment": "ready failed suspended expired",
    "agent.session": "created action_required in_progress idle failed",
    "safety.alert": "created",
}
EVENT_TYPES = tuple(f"{name}.{outcome}" for name, outcomes in _OUTCOMES.items() for outcome in outcomes.split())
GAPS_SECONDS = (5.0, 30.0, 120.0, 600.0, 3_600.0, 14_400.0, 43_200.0, 86_400.0, 110_000.0)
"""The waits between the tries of one delivery: they grow, and the last try comes within 72 hours."""

_KNOWN = name_set("name url event_types")
_DAY = 86_400.0


class _Endpoint(msgspec.Struct):
    id: str
    name: str
    url: str
    event_types: list[str]
    secret: str
    created_at: float
    updated_at: float
    old_secret: str = ""
    old_until: float = 0.0

    def body(self) -> dict[str, Any]:
        """Return the endpoint without its secret."""
        return {
            "id": self.id,
            "object": "webhook_endpoint",
            "created_at": int(self.created_at),
            "updated_at": int(self.updated_at),
            "name": self.name,
            "url": self.url,
            "event_types": self.event_types,
            "signing_secret_hint": f"whsec_...{self.secret[-4:]}",
        }

    def secrets(self, now: float) -> list[str]:
        """Return the secrets that count now, the newest first."""
        return [self.secret, self.old_secret] if self.old_secret and now < self.old_until else [self.secret]


class Webhooks:
    """The endpoints of the emulated service, and what is on its way to them."""

    def __init__(self, service: Service, deliver: Deliver) -> None:
        self._service = service
        self._clock = service.world.clock
        self._deliver = deliver
        self._kept: dict[str, _Endpoint] = {}
        self._ticker = _Ticker(service)
        self._tasks: set[asyncio.Task[None]] = set()
        service.listeners.append(self.fire)
        service.watchers.append(self._watch)

    def routes(self) -> list[Route]:
        """Return the endpoints of the API."""
        base = "/v1/webhook_endpoints"
        one = f"{base}/{{id}}"
        types = {"object": "list", "data": list(EVENT_TYPES)}
        return [
            Route("GET", "/v1/webhook_event_types", "webhooks.event_types", lambda _: answer_json(types)),
            Route("POST", base, "webhooks.create", self._create),
            Route("GET", base, "webhooks.list", self._list),
            Route("GET", one, "webhooks.retrieve", lambda call: answer_json(self._find(call).body())),
            Route("POST", one, "webhooks.update", self._update),
            Route("DELETE", one, "webhooks.delete", self._delete),
            Route("POST", f"{one}/rotate_secret", "webhooks.rotate", self._rotate),
            Route("POST", f"{one}/test", "webhooks.test", self._test),
        ]

    def fire(self, event: str, identity: str) -> None:
        """Send an event to every endpoint that wants its type; each has its own `webhook-id`."""
        for endpoint in list(self._kept.values()):
            if event in endpoint.event_types:
                task = asyncio.get_running_loop().create_task(self._send(endpoint, self._make(event, identity)))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    def _make(self, event: str, identity: str) -> bytes:
        body = {
            "object": "event",
            "id": self._clock.new_id("evt"),
            "type": event,
            "created_at": int(self._clock.now()),
            "data": {"id": identity},
        }
        return msgspec.json.encode(body)

    async def _send(self, endpoint: _Endpoint, body: bytes) -> None:
        """Try until the answer is 2xx, for 72 hours at most; the endpoint may change or go meanwhile."""
        identity = self._clock.new_id("wh")
        for wait in (0.0, *GAPS_SECONDS):
            await self._clock.sleep(wait)
            if endpoint.id not in self._kept:
                return
            if 200 <= await self._try(endpoint, identity, body) < 300:
                return

    async def _try(self, endpoint: _Endpoint, identity: str, body: bytes) -> int:
        fault = self._service.world.take_fault("openai", "webhooks.deliver")
        kind = fault.kind if fault else ""
        if fault and kind == "slow":
            await self._clock.sleep(fault.seconds)
        if kind == "drop":
            return 0
        headers = sign(endpoint.secrets(self._clock.now()), identity, self._clock.now(), body)
        if kind == "malformed":
            headers["webhook-signature"] = "v1," + base64.b64encode(bytes(32)).decode()
        try:
            status = await self._deliver(endpoint.url, headers, body)
        except OSError:
            status = 0
        self._service.world.note("openai", "webhooks.deliver", status)
        return 0 if kind == "lost" else status

    def _watch(self) -> None:
        if self._kept:
            self._ticker.watch()

    def _find(self, call: Call) -> _Endpoint:
        found = self._kept.get(call.names["id"])
        if found is None:
            raise ApiError(404, f"No webhook endpoint found with id '{call.names['id']}'.", param="webhook_endpoint_id")
        return found

    def _list(self, call: Call) -> Done:
        return answer_json(make_page(call, list(self._kept.values()), most=100, usual=20))

    def _create(self, call: Call) -> Act:
        fields = read_fields(call, form=False)
        fields.refuse_unknown(_KNOWN)
        name, url, types = fields.text("name"), _read_url(fields), _read_types(fields)

        def run() -> Done:
            now = self._clock.now()
            endpoint = _Endpoint(self._clock.new_id("whep"), name, url, types, self._make_secret(), now, now)
            self._kept[endpoint.id] = endpoint
            self._ticker.watch()
            return answer_json({**endpoint.body(), "signing_secret": endpoint.secret})

        return Act(run)

    def _make_secret(self) -> str:
        digest = hashlib.blake2b(self._clock.new_id("secret").encode(), digest_size=32).digest()
        return f"whsec_{base64.b64encode(digest).decode()}"

    def _update(self, call: Call) -> Act:
        endpoint, fields = self._find(call), read_fields(call, form=False)
        fields.refuse_unknown(_KNOWN)
        name = fields.text("name", endpoint.name)
        url = _read_url(fields) if "url" in fields.names else endpoint.url
        types = _read_types(fields) if "event_types" in fields.names else endpoint.event_types

        def run() -> Done:
            if (name, url, types) != (endpoint.name, endpoint.url, endpoint.event_types):
                endpoint.name, endpoint.url, endpoint.event_types = name, url, types
                endpoint.updated_at = self._clock.now()
            return answer_json(endpoint.body())

        return Act(run)

    def _delete(self, call: Call) -> Act:
        identity = self._find(call).id

        def run() -> Done:
            self._kept.pop(identity, None)
            return answer_json({"id": identity, "object": "webhook_endpoint.deleted", "deleted": True})

        return Act(run)

    def _rotate(self, call: Call) -> Act:
        endpoint = self._find(call)
        keeps = bool(call.content.strip()) and read_fields(call, form=False).flag("keep_old_secret_active_for_24_hours")

        def run() -> Done:
            now = self._clock.now()
            endpoint.old_secret, endpoint.old_until = endpoint.secret, now + _DAY if keeps else 0.0
            endpoint.secret, endpoint.updated_at = self._make_secret(), now
            return answer_json({**endpoint.body(), "signing_secret": endpoint.secret})

        return Act(run)

    def _test(self, call: Call) -> Act:
        endpoint = self._find(call)
        event = read_fields(call, form=False).choice("event_type", EVENT_TYPES, "")

        async def run() -> Done:
            body = self._make(event, self._clock.new_id(event.split(".")[0]))
            status = await self._try(endpoint, self._clock.new_id("wh"), body)
            if not status:
                raise ApiError(502, "The endpoint could not be reached.", code="webhook_unreachable", kind="api_error")
            result = {"object": "webhook_endpoint.test", "webhook_endpoint_id": endpoint.id, "event_type": event}
            return answer_json({**result, "success": True, "status_code": status})

        return Act(run)


class _Ticker:
    """Does what is due while nobody asks, so that events are sent in time; waits by the world's clock."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._task: asyncio.Task[None] | None = None
        self._until = 0.0

    def watch(self) -> None:
        """Make sure that somebody wakes when something is due next."""
        due, loop = self._service.next_due, asyncio.get_running_loop()
        if due is None:
            return
        if self._task is not None and not self._task.done() and self._task.get_loop() is loop:
            if self._until <= due or self._task is asyncio.current_task():
                return
            self._task.cancel()
        self._until = due
        self._task = loop.create_task(self._tick())

    async def _tick(self) -> None:
        clock = self._service.world.clock
        while (due := self._service.next_due) is not None:
            self._until = due
            await clock.sleep(due - clock.now())
            self._service.run_due()


def sign(secrets: list[str], identity: str, now: float, body: bytes) -> dict[str, str]:
    """Return the headers of a delivery: one signature for each secret that counts (Standard Webhooks)."""
    stamp = str(int(now))
    signed = b".".join([identity.encode(), stamp.encode(), body])
    signatures = []
    for secret in secrets:
        key = base64.b64decode(secret.removeprefix("whsec_"))
        digest = hmac.new(key, signed, hashlib.sha256).digest()
        signatures.append("v1," + base64.b64encode(digest).decode())
    return {
        "content-type": "application/json",
        "user-agent": "OpenAI/1.0 (+https://platform.openai.com/docs/webhooks)",
        "webhook-id": identity,
        "webhook-timestamp": stamp,
        "webhook-signature": " ".join(signatures),
    }


def _read_url(fields: Fields) -> str:
    url = fields.text("url", most=2_048)
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in LOOPBACK):
        raise invalid("url", "expected an HTTPS URL (the sandbox also takes http on this machine).")
    return url


def _read_types(fields: Fields) -> list[str]:
    types = fields.many("event_types")
    if not types:
        raise invalid("event_types", "expected at least one event type.")
    unknown = sorted(set(types) - set(EVENT_TYPES))
    if unknown:
        raise invalid("event_types", f"'{unknown[0]}' is not an event type.")
    return list(dict.fromkeys(types))
