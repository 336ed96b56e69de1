"""A Brevo account whose webhooks are caught: `letters` are the deliveries, `answers` what the receiver says."""

from __future__ import annotations

import json
from typing import Any

from brevo_emulator_calls import Calls

from penstock.sandbox.brevo import build_brevo_app
from penstock.sandbox.brevo_limits import BrevoLimits


class Hooked(Calls):
    """An account with a receiver; without a word in `answers` it answers 200, and 0 is no answer."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.letters: list[tuple[str, dict[str, str], Any]] = []
        self.times: list[float] = []
        self.answers: list[int] = []
        limits = BrevoLimits(enabled=False)
        self.app = build_brevo_app(self.world, state=self.state, limits=limits, deliver=self._deliver)

    async def _deliver(self, url: str, headers: dict[str, str], body: bytes) -> int:
        self.letters.append((url, headers, json.loads(body)))
        self.times.append(self.clock.now())
        status = self.answers.pop(0) if self.answers else 200
        if status == 0:
            raise ConnectionRefusedError(url)
        return status

    async def hook(self, *events: str, url: str = "https://shop.example/hooks/secret", **rest: Any) -> int:
        """Make a webhook and return its id."""
        body = {"url": url, "events": list(events), "type": "marketing", **rest}
        got = await self("POST", "webhooks", body)
        assert got.status == 201, got.raw
        return got.json["id"]

    async def wait(self, seconds: float = 60.0) -> list[Any]:
        """Let time pass, as nobody asks anything; returns the bodies that arrived."""
        self.app.ticker.watch()
        await self.clock.run(self.clock.sleep(seconds))
        return [body for _, _, body in self.letters]
