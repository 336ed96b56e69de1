"""A Brevo account in process, with the client and the paced calls on top of it."""

from __future__ import annotations

from typing import Any

import msgspec

from penstock.base.clock import ManualClock
from penstock.data.brevo import Account, BrevoContacts, BrevoSink
from penstock.runtime.brevo_calls import BrevoCaller
from penstock.runtime.effects import OneEffect
from penstock.sandbox.brevo import build_brevo_app
from penstock.sandbox.brevo_limits import BrevoLimits
from penstock.sandbox.brevo_state import BrevoState
from penstock.sandbox.world import Fault, World
from penstock.vendor.brevo import Brevo
from penstock.vendor.http import Http


class Gateway:
    """What stands before a vendor: turns a cut connection into its own page, and keeps the bodies of writes."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self.bodies: list[tuple[str, Any]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        held: list[Any] = []
        parts: list[bytes] = []

        async def hold(message: Any) -> None:
            held.append(message)

        async def note() -> Any:
            message = await receive()
            parts.append(message.get("body", b""))
            return message

        try:
            await self._app(scope, note, hold)
        except ConnectionResetError:
            held = [
                {"type": "http.response.start", "status": 502, "headers": []},
                {"type": "http.response.body", "body": b"<html>Bad Gateway</html>"},
            ]
        if body := b"".join(parts):
            self.bodies.append((scope["path"], msgspec.json.decode(body)))
        for message in held:
            await send(message)


class MemoryEffects:
    """The ledger of one-off effects without a store, for one process."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], OneEffect] = {}

    async def once(self, kind: str, name: str, make: Any, find: Any, fields: Any = None) -> str:
        known = await self.plan(kind, name, fields)
        if known.state != "confirmed":
            receipt = await find() if known.state in ("sent", "unknown") else None
            await self.settle(kind, name, "unknown")
            await self.settle(kind, name, "confirmed", receipt or await make())
        return self.rows[kind, name].receipt

    async def plan(self, kind: str, name: str, fields: Any = None) -> OneEffect:
        planned = OneEffect(kind, name, "planned", dict(fields or {}), "", "", 0, "", 0.0)
        return self.rows.setdefault((kind, name), planned)

    async def send(self, effect: OneEffect) -> None:
        await self.settle(effect.kind, effect.name, "sent")

    async def settle(self, kind: str, name: str, state: Any, receipt: str = "", *, problem: str = "") -> None:
        row = self.rows[kind, name]
        self.rows[kind, name] = msgspec.structs.replace(
            row, state=state, receipt=receipt or row.receipt, problem=problem
        )

    def doubt(self, kind: str, name: str) -> None:
        self.rows[kind, name] = msgspec.structs.replace(self.rows[kind, name], state="unknown")

    async def get(self, kind: str, name: str) -> OneEffect | None:
        return self.rows.get((kind, name))

    async def known(self, kind: str) -> list[OneEffect]:
        return [row for row in self.rows.values() if row.kind == kind]

    async def lost(self, kind: str) -> list[OneEffect]:
        return [row for row in await self.known(kind) if row.state == "unknown"]

    async def forget(self, kind: str, name: str) -> None:
        self.rows.pop((kind, name), None)


class Desk:
    """One account with everything that a test needs to see."""

    def __init__(
        self, *, scale: float = 1.0, limited: bool = True, key: str = "xkeysib-test-0123", **state: Any
    ) -> None:
        self.clock = ManualClock()
        self.world = World(self.clock)
        self.state = BrevoState(self.world, **state)
        self.limits = BrevoLimits(scale, enabled=limited)
        self.gateway = Gateway(build_brevo_app(self.world, state=self.state, limits=self.limits))
        self.http = Http(apps={"api.brevo.com": self.gateway})
        self.caller = BrevoCaller(Brevo(self.http, key, timeout=30.0), self.clock)
        self.effects: Any = MemoryEffects()
        self.account = Account(self.state.organization, "Sandbox", "free")

    def sink(self, **options: Any) -> BrevoSink:
        return BrevoSink(self.caller, self.account, self.effects, **options)

    def contacts(self, **options: Any) -> BrevoContacts:
        return BrevoContacts(self.caller, self.account, **options)

    def again(self) -> BrevoCaller:
        """Return the calls of another process: nothing learnt, nothing remembered."""
        return BrevoCaller(Brevo(self.http, "xkeysib-test-0123", timeout=30.0), self.clock)

    def add_people(self, count: int, *, apart: float = 10.0, start: float = 0.0) -> list[str]:
        emails = []
        for number in range(count):
            emails.append(f"person{number}@example.com")
            self.state.add_contact(emails[-1], created_at=self.clock.now() - 1e6 + start + number * apart)
        return emails

    def add_score(self) -> None:
        self.state.add_attribute("SENTIMENT_SCORE", "float")

    def fault(self, operation: str, kind: str, **rest: Any) -> None:
        self.world.faults.append(Fault("brevo", operation, kind, **rest))  # type: ignore[arg-type]

    def count(self, operation: str, status: int | None = None) -> int:
        return sum(
            number
            for (_, name, answered), number in self.world.calls.items()
            if name == operation and status in (None, answered)
        )

    def values(self, name: str) -> dict[str, Any]:
        return {
            shown["email"]: shown["attributes"].get(name)
            for shown in (self.state.show(contact) for contact in self.state.by_creation)
        }
