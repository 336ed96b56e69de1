"""An emulated ad account in process, with the clients of both of its APIs."""

from __future__ import annotations

from typing import Any

import msgspec

from penstock.base.clock import ManualClock
from penstock.sandbox.conversions import build_conversions_app
from penstock.sandbox.conversions_ads import build_ads_app
from penstock.sandbox.conversions_rules import Behaviour
from penstock.sandbox.conversions_state import PIXEL, ConversionsState
from penstock.sandbox.world import Fault, World
from penstock.vendor.conversions import Conversions, Verdict
from penstock.vendor.http import Http

EVENTS_HOST, ADS_HOST = "bzr.openai.com", "api.ads.openai.com"


class Desk:
    """One account with everything that a test needs to see."""

    def __init__(self, **behaviour: Any) -> None:
        self.clock = ManualClock()
        self.world = World(self.clock)
        self.state = ConversionsState(self.world, Behaviour(any_pixel=False, **behaviour))
        self.app = build_conversions_app(self.world, state=self.state)
        self.ads_app = build_ads_app(self.state)
        self.http = Http(apps={EVENTS_HOST: self.app, ADS_HOST: self.ads_app})

    def client(self, key: str = "sk-test-0123456789", pixel_id: str = PIXEL, timeout: float = 30.0) -> Conversions:
        return Conversions(self.http, key, pixel_id=pixel_id, timeout=timeout)

    async def send(self, *events: dict[str, Any] | bytes, **rest: Any) -> Verdict:
        encoded = [one if isinstance(one, bytes) else msgspec.json.encode(one) for one in events]
        return await self.clock.run(self.client().send(encoded, **rest))

    def change(self, **behaviour: Any) -> None:
        self.state.behaviour = msgspec.structs.replace(self.state.behaviour, **behaviour)

    def fault(self, kind: str, **rest: Any) -> None:
        self.world.faults.append(Fault("conversions", "events", kind, **rest))  # type: ignore[arg-type]

    def lead(self, number: int = 1, **changes: Any) -> dict[str, Any]:
        """Return a valid event; a change to None removes the field."""
        event: dict[str, Any] = {
            "id": f"lead-{number}",
            "type": "lead_created",
            "timestamp_ms": round(self.clock.now() * 1000),
            "action_source": "web",
            "source_url": "https://www.example.org/contact",
            "data": {"type": "customer_action"},
            **changes,
        }
        return {name: value for name, value in event.items() if value is not None}

    def order(self, number: int = 1, data: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
        contents = [{"id": "mug", "quantity": 2, "amount": 2999, "currency": "EUR", "variant_dict": {"colour": "blue"}}]
        held = {"type": "contents", "amount": 5998, "currency": "EUR", "contents": contents, **(data or {})}
        changes = {"id": f"order-{number}", "type": "order_created", "data": held, **changes}
        return self.lead(number, **changes)
